"""What a client contact does with tickets in the portal: report, join what is known, read, write, close.

Nothing internal leaves here: `conversation` gives what was said between the client and us, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from forestall.estate.models import Asset, Contact, Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.kernel.errors import Trouble
from forestall.mail.actions import thread_for
from forestall.mail.blobs import Blobs
from forestall.mail.models import Attachment, Message
from forestall.mail.parts import part_of
from forestall.mail.values import Kind, Part, State
from forestall.tickets import actions
from forestall.tickets.by_mail import say
from forestall.tickets.known_trouble import known_trouble
from forestall.tickets.models import Entry, Ticket
from forestall.tickets.opening import Opening, open_ticket
from forestall.tickets.values import CLIENT

# What a person says → impact and urgency.
HOW_BAD = {
    "hindered": ("It is in the way, but I can work", 3, 2),
    "stopped": ("I cannot work", 3, 1),
    "several": ("Several of us cannot work properly", 2, 1),
    "all": ("Nobody here can work", 1, 1),
    "later": ("It can wait", 3, 3),
}
TITLE_MAX_CHARS = 90
TEXT_MAX_CHARS = 20_000
FILES_MOST = 5
FILE_MAX_BYTES = 15_000_000
REPORTS_AN_HOUR_MOST = 30
LISTED_MOST = 100
SAID_MOST = 300
ASSETS_MOST = 500
THEIRS = ("portal", "mail", "agent")  # came_by: the first entry is in the client's own words


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the conversation. `ours`: the provider wrote it."""

    who: str
    at: datetime
    text: str
    ours: bool
    files: Sequence[Attachment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a contact reports: `how_bad` a word of HOW_BAD; `files` as name, claimed type and bytes."""

    text: str
    how_bad: str = "hindered"
    asset: str | None = None
    files: Sequence[tuple[str, str, bytes]] = ()


def contact_of(scope: Scope, person: Person) -> Contact | None:
    """Who the person is at the client that they see."""
    return (
        seen(Contact, scope)
        .filter(email__iexact=person.email)
        .select_related("client")
        .order_by("pk")
        .first()
    )


def their_assets(scope: Scope, contact: Contact) -> list[Asset]:
    """What they may say it is about."""
    rows = seen(Asset, scope).filter(client=contact.client_id, archived_at=None)
    return list(rows.exclude(kind="forestall")[:ASSETS_MOST])


def tickets_of(scope: Scope, contact: Contact | None) -> "QuerySet[Ticket]":
    """What they reported or wrote on; without a contact (staff who look at what clients see) all."""
    rows = seen(Ticket, scope).select_related("client", "asset")
    if contact is None:
        return rows
    lines = seen(Entry, scope).filter(
        client=contact.client_id, kind__in=("opened", "mail_in"), actor__iendswith=f"<{contact.email}>"
    )
    return rows.filter(client=contact.client_id).filter(
        Q(reporter=contact) | Q(pk__in=lines.values("ticket"))
    )


def report(scope: Scope, contact: Contact, told: Told, *, blobs: Blobs, now: datetime) -> Ticket:
    """A new ticket. Raises Trouble for what is missing, too much, or a file that nobody should open; and
    DoesNotExist for an asset that is not seen."""
    text = told.text.strip()
    if not text:
        raise Trouble("we need a few words", "Write what is wrong, as you would say it.")
    if len(text) > TEXT_MAX_CHARS:
        raise Trouble(
            f"this has more than {TEXT_MAX_CHARS} characters", "Shorten it, or attach it as a file."
        )
    if told.how_bad not in HOW_BAD:
        raise Trouble("how bad is it?", "Choose one of the lines.")
    hour = every(Ticket).filter(reporter=contact, opened_at__gt=now - timedelta(hours=1))
    if hour.count() >= REPORTS_AN_HOUR_MOST:
        raise Trouble("that were many reports within an hour", "Ring us, please: something is badly wrong.")
    parts = _checked(told.files)
    for part in parts:
        blobs.keep(part.data)
    _, impact, urgency = HOW_BAD[told.how_bad]
    opening = Opening(
        client=contact.client_id, title=title_of(text), text=text, asset=told.asset, reporter=contact.pk,
        came_by="portal", impact=impact, urgency=urgency,
    )  # fmt: skip
    with transaction.atomic():
        theirs = Scope(actor=actor_of(contact), clients=frozenset({contact.client_id}))
        ticket = open_ticket(theirs, opening, now=now, touched=False)
        entry = every(Entry).filter(ticket=ticket, kind="opened").latest("pk")
        _attach(ticket, entry, contact, parts, now)
    return ticket


def join(scope: Scope, contact: Contact, ticket: str, *, text: str = "", now: datetime) -> Entry:
    """A contact says "this is mine too": a line on the ticket of trouble that is known. Raises
    Trouble when it is known no more, DoesNotExist for what is not seen."""
    seen(Ticket, scope).get(pk=ticket, client=contact.client_id)
    known = known_trouble(scope, client=contact.client_id, text=text, now=now)
    if ticket not in {one.ticket for one in known}:
        raise Trouble("this is over, as far as we see", "Report what is still wrong below.")
    words = f"This is mine too. {text.strip()}".strip()
    return say(scope, ticket, text=words[:TEXT_MAX_CHARS], contact=contact, now=now)


def close(scope: Scope, contact: Contact, ticket: str, *, now: datetime) -> None:
    """The contact says that it is solved: only what they reported. Raises DoesNotExist, Trouble."""
    row = tickets_of(scope, contact).get(pk=ticket)
    if row.reporter_id != contact.pk:
        raise Trouble("others wait for this too", "Write that it works for you; we close it.")
    actions.set_status(scope, ticket, status="closed", now=now)


def conversation(scope: Scope, ticket: Ticket, *, provider: str) -> list[Said]:
    """What was said between the client and us, oldest first."""
    public = Q(visibility=CLIENT)
    if ticket.came_by in THEIRS:
        public |= Q(kind="opened")
    rows = list(seen(Entry, scope).filter(public, ticket=ticket).order_by("at", "pk")[:SAID_MOST])
    names = dict(Person.objects.filter(email__in={row.actor for row in rows}).values_list("email", "name"))
    files: dict[str, list[Attachment]] = {}
    given = Attachment.objects.filter(message__entry__in=[row.pk for row in rows], held="")
    for one in given.select_related("message").order_by("pk"):
        files.setdefault(one.message.entry, []).append(one)
    return [
        Said(
            names.get(row.actor, provider) if row.direction == "out" else row.actor.partition(" <")[0],
            row.at, row.text, row.direction == "out", files.get(row.pk, ()),
        )
        for row in rows
    ]  # fmt: skip


def given_file(scope: Scope, contact: Contact | None, attachment: str) -> Attachment:
    """A file of a conversation that they read; one that can do harm is none. Raises DoesNotExist."""
    row = Attachment.objects.select_related("message").get(pk=attachment, held="")
    public = Q(visibility=CLIENT) | Q(kind="opened", ticket__came_by__in=THEIRS)
    entry = seen(Entry, scope).filter(public).get(pk=row.message.entry)
    tickets_of(scope, contact).get(pk=entry.ticket_id)
    return row


def title_of(text: str) -> str:
    """The first line, cut at a word."""
    line = " ".join(text.strip().splitlines()[0].split())
    if len(line) <= TITLE_MAX_CHARS:
        return line
    return line[:TITLE_MAX_CHARS].rpartition(" ")[0] or line[:TITLE_MAX_CHARS]


def actor_of(contact: Contact) -> str:
    """How a contact stands on a timeline."""
    tail = f" <{contact.email}>"
    return contact.name[: 160 - len(tail)] + tail


def _checked(files: Sequence[tuple[str, str, bytes]]) -> list[Part]:
    if len(files) > FILES_MOST:
        raise Trouble(f"at most {FILES_MOST} files go with a report", "Leave some out.")
    parts = []
    for name, claimed, data in files:
        if len(data) > FILE_MAX_BYTES:
            raise Trouble(f"{name} is larger than {FILE_MAX_BYTES // 1_000_000} MB", "Send a smaller one.")
        part = part_of(data, name=name, claimed=claimed)
        if part.held:
            raise Trouble(f"{part.name} cannot be taken: {part.held}", "Send a photo, a PDF or plain text.")
        parts.append(part)
    return parts


def _attach(ticket: Ticket, entry: Entry, contact: Contact, parts: Sequence[Part], now: datetime) -> None:
    """Files hang on a message, as those of a mail do."""
    if not parts:
        return
    message = Message.objects.create(
        client_id=ticket.client_id, contact=contact, entry=entry.pk, state=State.TAKEN, kind=Kind.PERSON,
        thread=thread_for(ticket.client_id, ticket.pk, ticket.number, now=now), key=f"portal:{entry.pk}",
        sender=contact.email.lower(), sender_name=contact.name, subject=ticket.title, said=entry.text,
        reason="given in the portal", at=now,
    )  # fmt: skip
    Attachment.objects.bulk_create(
        Attachment(
            message=message, name=one.name, kind=one.kind, claimed=one.claimed, size=one.size,
            digest=one.digest, held=one.held,
        )
        for one in parts
    )  # fmt: skip
