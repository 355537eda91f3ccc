"""The portal's pages: report in a minute, what is known already, one's tickets.

A contact sees what they reported or wrote on; staff see all that their clients could, and write nothing here.
"""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header

from forestall.estate import queries as estate
from forestall.estate.models import Contact, Person
from forestall.estate.values import Role
from forestall.kernel.errors import Trouble
from forestall.mail.blobs import Blobs
from forestall.tickets import reporting
from forestall.tickets.by_mail import say
from forestall.tickets.known_trouble import known_trouble
from forestall.tickets.models import Ticket
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

STATUS = {
    "open": "We have it",
    "in_progress": "We are on it",
    "waiting": "We wait for you",
    "resolved": "We think it is solved",
    "closed": "Closed",
}
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
BYTES = "application/octet-stream"
BACK = "It is not solved. Please look again."


@needs("portal:read")
def home(request: Asked) -> HttpResponse:
    """The one page to report on: what we know, the form, one's own tickets."""
    contact = contact_asking(request)
    if request.method == "POST":
        made: list[Ticket] = []
        if attempt(request, lambda: made.append(_report(request, _writer(contact)))):
            messages.success(request, f"Thank you. We have it: it is ticket #{made[0].number}.")
            return redirect("portal-ticket", ticket=made[0].pk)
    now = timezone.now()
    context = frame(request, contact) | {
        "given": request.POST,
        "how_bad": {key: words for key, (words, _, _) in reporting.HOW_BAD.items()},
        "assets": reporting.their_assets(request.scope, contact) if contact else [],
        "known": _known(request, contact, ""), "now": now,
        "tickets": _listed(request, contact, 5),
    }  # fmt: skip
    return render(request, "portal/home.html", context)


@needs("portal:read")
def known(request: Asked) -> HttpResponse:
    """What we know that fits the words of the form, as they are written."""
    contact = contact_asking(request)
    context = {"known": _known(request, contact, request.POST.get("text", "")[:2000]), "contact": contact}
    return render(request, "portal/_known.html", context)


@needs("portal:read")
def tickets(request: Asked) -> HttpResponse:
    """One's tickets, the newest first."""
    contact = contact_asking(request)
    context = frame(request, contact) | {"tickets": _listed(request, contact, reporting.LISTED_MOST)}
    return render(request, "portal/tickets.html", context)


@needs("portal:read")
def ticket_page(request: Asked, ticket: str) -> HttpResponse:
    """One ticket with what was said."""
    contact = contact_asking(request)
    row = seen_or_404(lambda: reporting.tickets_of(request.scope, contact).get(pk=ticket))
    if request.method == "POST":
        attempt(request, lambda: _change(request, row, _writer(contact)))
        return redirect("portal-ticket", ticket=ticket)
    provider = estate.provider(request.scope).name
    context = frame(request, contact) | {
        "ticket": row, "said": reporting.conversation(request.scope, row, provider=provider),
        "status": STATUS.get(row.status, row.status),
        "mine": contact is not None and row.reporter_id == contact.pk,
    }  # fmt: skip
    return render(request, "portal/ticket.html", context)


@needs("portal:read")
def give_file(request: Asked, given_file: str) -> HttpResponse:
    """A file of a conversation: a picture is shown, anything else is a download; neither can run."""
    contact = contact_asking(request)
    row = seen_or_404(lambda: reporting.given_file(request.scope, contact, given_file))
    try:
        data = Blobs(settings.DATA.mail / "blobs").read(row.digest)
    except FileNotFoundError:
        raise Http404 from None
    answer = HttpResponse(data, content_type=row.kind if row.kind in SHOWN else BYTES)
    answer["Content-Disposition"] = (
        content_disposition_header(row.kind not in SHOWN, row.name) or "attachment"
    )
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["Cache-Control"] = "private, no-store"
    return answer


@needs("portal:read")
def join(request: Asked, ticket: str) -> HttpResponse:
    """This is mine too."""
    contact = contact_asking(request)
    if request.method != "POST":
        seen_or_404(lambda: reporting.tickets_of(request.scope, contact).get(pk=ticket))
        return redirect("portal-ticket", ticket=ticket)
    text, now = request.POST.get("text", ""), timezone.now()
    if contact is None:
        seen_or_404(lambda: reporting.tickets_of(request.scope, None).get(pk=ticket))
    done = attempt(
        request, lambda: reporting.join(request.scope, _writer(contact), ticket, text=text, now=now),
        "Thank you. We know now that it hits you too; you see here what becomes of it.",
    )  # fmt: skip
    return redirect("portal-ticket", ticket=ticket) if done else redirect("portal")


def frame(request: Asked, contact: Contact | None) -> dict[str, Any]:
    """What the portal's frame shows."""
    return {"contact": contact, "provider": estate.provider(request.scope).name, "statuses": STATUS}


def contact_asking(request: Asked) -> Contact | None:
    """Who asks; None for staff. Raises PermissionDenied for a client's person who is no contact any more."""
    contact = who_asks(request)
    if contact is None and _person(request).role == Role.CLIENT_CONTACT:
        raise PermissionDenied("your address is no contact of a client any more; ask who looks after you")
    return contact


def who_asks(request: Asked) -> Contact | None:
    """The contact that the person is; None for staff, and for somebody who is none (any more)."""
    person = _person(request)
    return reporting.contact_of(request.scope, person) if person.role == Role.CLIENT_CONTACT else None


def _person(request: Asked) -> Person:
    person = request.user
    assert isinstance(person, Person)  # the gate let nobody else in
    return person


def _writer(contact: Contact | None) -> Contact:
    if contact is None:
        raise Trouble("this is what clients see", "Work on tickets in the console.")
    return contact


def _known(request: Asked, contact: Contact | None, text: str) -> list[dict[str, Any]]:
    if contact is None:
        return []
    now = timezone.now()
    found = known_trouble(request.scope, client=contact.client_id, text=text, now=now)
    return [{"said": one.said(now), "ticket": one.ticket, "fits": one.fits} for one in found]


def _listed(request: Asked, contact: Contact | None, most: int) -> list[dict[str, Any]]:
    rows = reporting.tickets_of(request.scope, contact).order_by("-number")[:most]
    return [{"row": row, "status": STATUS.get(row.status, row.status)} for row in rows]


def _report(request: Asked, contact: Contact) -> Ticket:
    given, files = request.POST, request.FILES.getlist("file")
    if len(files) > reporting.FILES_MOST or any((one.size or 0) > reporting.FILE_MAX_BYTES for one in files):
        most = f"{reporting.FILES_MOST} files of {reporting.FILE_MAX_BYTES // 1_000_000} MB"
        raise Trouble(f"at most {most} go with a report", "Leave some out, or send smaller ones.")
    told = reporting.Told(
        text=given.get("text", ""), how_bad=given.get("how_bad", "hindered"),
        asset=given.get("asset") or None,
        files=[(one.name or "file", one.content_type or "", one.read()) for one in files],
    )  # fmt: skip
    blobs = Blobs(settings.DATA.mail / "blobs")
    return reporting.report(request.scope, contact, told, blobs=blobs, now=timezone.now())


def _change(request: Asked, row: Ticket, contact: Contact) -> None:
    given, now = request.POST, timezone.now()
    match given.get("do", "say"):
        case "say":
            say(request.scope, row.pk, text=given.get("text", ""), contact=contact, now=now)
        case "back":
            say(request.scope, row.pk, text=given.get("text", "").strip() or BACK, contact=contact, now=now)
        case "close":
            reporting.close(request.scope, contact, row.pk, now=now)
        case _:
            raise Http404
