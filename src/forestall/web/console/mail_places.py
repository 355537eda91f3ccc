"""Where mail comes in: mailboxes that are fetched, addresses of ours."""

from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import queries as estate
from forestall.mail import actions, queries
from forestall.mail.fetching import try_mailbox
from forestall.mail.models import Mailbox
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404
from forestall.web.console.mail import counted

SILENT_AFTER = timedelta(minutes=15)  # as the rule mailbox-unread of Forestall itself has it
SECURITIES = {"tls": "TLS (993)", "starttls": "STARTTLS (143)", "none": "not encrypted"}


@needs("installation:read")
def mailboxes(request: Asked) -> HttpResponse:
    """Mailboxes and how they stand, addresses, forms for both."""
    now, config = timezone.now(), settings.CONFIG
    rows = queries.list_mailboxes(request.scope)
    context = {
        "tab": "mailboxes",
        "rows": [(row, state_of(row)) for row in rows],
        "addresses": queries.list_addresses(request.scope),
        "clients": estate.list_clients(request.scope, limit=20),
        "securities": SECURITIES,
        "door": f"{config.smtp_host}:{config.ports.smtp + config.port_offset}",
        "given": {},
        "now": now,
    }
    return render(request, "console/mailboxes.html", counted(request) | context)


@needs("installation:write")
def mailbox_add(request: Asked) -> HttpResponse:
    """A mailbox that is fetched from now on; its connection is tried at once, and what is wrong said."""
    given, made = request.POST, list[Mailbox]()

    def add() -> None:
        port = given.get("port", "")[:6]
        made.append(
            actions.add_mailbox(
                request.scope, address=given.get("address", ""), host=given.get("host", ""),
                user=given.get("user", ""), password=given.get("password", ""), now=timezone.now(),
                client=client_given(request.scope, given), port=int(port) if port.isdecimal() else 0,
                security=given.get("security", ""), folder=given.get("folder", ""),
                done_folder=given.get("done", ""),
            )
        )  # fmt: skip

    if not attempt(request, add, "The mailbox is kept, its password sealed."):
        return redirect("mailboxes")
    _try(request, made[0])
    return redirect("mailbox", mailbox=made[0].pk)


@needs("installation:read")
def mailbox_page(request: Asked, mailbox: str) -> HttpResponse:
    """One mailbox."""
    row = seen_or_404(lambda: queries.get_mailbox(request.scope, mailbox))
    context = {"tab": "mailboxes", "row": row, "state": state_of(row), "securities": SECURITIES}
    return render(request, "console/mailbox.html", counted(request) | context)


@needs("installation:write")
def mailbox_change(request: Asked, mailbox: str, what: str) -> HttpResponse:
    """Test it, look now, another password, away with it."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: queries.get_mailbox(scope, mailbox))
    match what:
        case "test":
            _try(request, row)
        case "look":
            attempt(request, lambda: actions.look_soon(scope, row.pk), "It is looked at within seconds.")
        case "password":
            password = request.POST.get("password", "")
            if attempt(
                request, lambda: actions.set_password(scope, row.pk, password=password, now=now), "Sealed."
            ):
                _try(request, seen_or_404(lambda: queries.get_mailbox(scope, mailbox)))
        case "remove":
            done = f"{row.address} is fetched no more. What came by it stays."
            if attempt(request, lambda: actions.remove_mailbox(scope, row.pk, now=now), done):
                return redirect("mailboxes")
        case _:
            raise Http404
    return redirect("mailbox", mailbox=row.pk)


@needs("installation:write")
def address_add(request: Asked) -> HttpResponse:
    """An address at which mail is taken in."""
    given = request.POST

    def add() -> None:
        client = client_given(request.scope, given)
        actions.add_address(
            request.scope, address=given.get("address", ""), client=client, now=timezone.now()
        )

    attempt(request, add, "Mail to it is taken in from now on.")
    return redirect("mailboxes")


@needs("installation:write")
def address_remove(request: Asked, address: str) -> HttpResponse:
    """Mail to it is refused from now on."""
    now = timezone.now()
    attempt(
        request, lambda: actions.remove_address(request.scope, address, now=now), "Mail to it is refused now."
    )
    return redirect("mailboxes")


def state_of(row: Mailbox) -> str:
    """How a mailbox stands: `silent` when it was not read for a while."""
    last = row.well_at or row.made_at
    if row.trouble and timezone.now() - last > SILENT_AFTER:
        return "silent"
    if row.trouble:
        return "failing"
    if timezone.now() - last > SILENT_AFTER:
        return "silent"
    return "read" if row.well_at else "waiting"


def _try(request: Asked, row: Mailbox) -> None:
    said: list[str] = []
    if attempt(request, lambda: said.append(try_mailbox(row))):
        attempt(request, lambda: None, f"The connection works: {said[0]}.")
