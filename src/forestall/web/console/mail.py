"""Mail as people see it: strangers who wait, every message with its safe text, what did not leave, files."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header

from forestall.estate import queries as estate
from forestall.kernel.errors import Trouble
from forestall.mail import queries
from forestall.mail.actions import drop_stranger, note_file_taken
from forestall.mail.blobs import Blobs
from forestall.mail.outbox import send_again
from forestall.mail.values import State
from forestall.tickets.by_mail import let_in
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404

SHOWN = 50
STRANGERS_SHOWN = 30
LEAVING = (State.DUE, State.GIVEN_UP, State.BOUNCED)
# What a browser is told that a file is. Everything else is only bytes to it.
SAFE_KINDS = frozenset(
    {
        "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain", "text/csv",
        "text/calendar", "application/zip", "message/rfc822",
    }
)  # fmt: skip
BYTES = "application/octet-stream"


def counted(request: Asked) -> dict[str, Any]:
    """What the tabs say."""
    return {
        "nav": "mail",
        "stranger_count": queries.count_strangers(request.scope),
        "failed_count": queries.count_failed(request.scope),
    }


@needs("tickets:read")
def mail_strangers(request: Asked) -> HttpResponse:
    """Messages that wait until somebody says whose they are."""
    page = queries.list_messages(
        request.scope, states=(State.STRANGER,), outgoing=False, after=_after(request), most=STRANGERS_SHOWN
    )
    found = queries.suggested(request.scope, page.items)
    context = {"tab": "strangers", "page": page, "rows": [(row, found[row.pk]) for row in page.items]}
    return render(request, "console/mail_strangers.html", counted(request) | context)


@needs("tickets:read")
def mail_all(request: Asked) -> HttpResponse:
    """Everything that came and went."""
    state = request.GET.get("state", "")
    states = (state,) if state in set(State) else ()
    page = queries.list_messages(request.scope, states=states, after=_after(request), most=SHOWN)
    context = {"tab": "all", "page": page, "state": state, "states": list(State)}
    return render(request, "console/mail_all.html", counted(request) | context)


@needs("tickets:read")
def mail_outgoing(request: Asked) -> HttpResponse:
    """Answers that wait, or that did not reach who they are for."""
    page = queries.list_messages(
        request.scope, states=LEAVING, outgoing=True, after=_after(request), most=SHOWN
    )
    context = {"tab": "outgoing", "page": page, "server": settings.CONFIG.mail.host}
    return render(request, "console/mail_outgoing.html", counted(request) | context)


@needs("tickets:read")
def mail_message(request: Asked, message: str) -> HttpResponse:
    """One message: who wrote it, what is safe to show of it, its files, and what to do with it."""
    row = seen_or_404(lambda: queries.get(request.scope, message))
    waits = not row.outgoing and row.state in (State.STRANGER, State.IGNORED, State.DROPPED)
    context = {
        "row": row,
        "files": list(row.attachments.all()),
        "waits": waits,
        "fails": row.outgoing and row.state in LEAVING,
        "suggested": queries.suggested(request.scope, [row])[row.pk] if waits else [],
        "clients": estate.list_clients(request.scope, limit=20),
    }
    return render(request, "console/mail_message.html", counted(request) | context)


@needs("tickets:write")
def mail_change(request: Asked, message: str, what: str) -> HttpResponse:
    """A stranger is let in or refused; a message of ours is sent again."""
    scope, now, given = request.scope, timezone.now(), request.POST
    row = seen_or_404(lambda: queries.get(scope, message))
    match what:
        case "let-in":
            if attempt(request, lambda: _let_in(request, row.pk)):
                thread = queries.get(scope, row.pk).thread
                assert thread is not None  # it was placed on a ticket
                said = f"It is on ticket #{thread.number} now, and {row.sender or 'its sender'} a contact."
                messages.success(request, said)
                return redirect("ticket", ticket=thread.topic)
        case "refuse":
            done = f"Nothing comes of it. It is kept under All, where {row.sender} can still be let in."
            if attempt(request, lambda: drop_stranger(scope, row.pk, now=now), done):
                return redirect("mail")
        case "again":
            done = "It is sent within seconds."
            attempt(request, lambda: send_again(scope, row.pk, to=given.get("to", ""), now=now), done)
            return redirect("mail-outgoing")
        case _:
            raise Http404
    return redirect("mail-message", message=row.pk)


@needs("tickets:read")
def mail_file(request: Asked, attachment: str) -> HttpResponse:
    """A file of a message, as a download and nothing else. One that can do harm wants to be asked for by a
    button, and that is written down."""
    row = seen_or_404(lambda: queries.get_attachment(request.scope, attachment))
    if row.held and request.method != "POST":
        return redirect("mail-message", message=row.message_id)
    try:
        data = Blobs(settings.DATA.mail / "blobs").read(row.digest)
    except FileNotFoundError:
        raise Http404 from None
    if row.held:
        note_file_taken(request.scope, row.pk, now=timezone.now())
    kind = row.kind if row.kind in SAFE_KINDS and not row.held else BYTES
    answer = HttpResponse(data, content_type=kind)
    answer["Content-Disposition"] = content_disposition_header(True, row.name) or "attachment"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _let_in(request: Asked, message: str) -> None:
    client = request.POST.get("owner", "") or client_given(request.scope, request.POST)
    if not client:
        raise Trouble("nobody said whose it is", "Choose the client.")
    let_in(request.scope, message, client=client, now=timezone.now())


def _after(request: Asked) -> str | None:
    return request.GET.get("after") or None
