"""Writes of mail: what waits is taken in, strangers are given to a client or dropped, addresses, mailboxes.

Mail knows nothing of tickets, which come later on the road: `take` is handed a `Desk`, what the room of
tickets does with a message (tickets.by_mail), and calls it inside its own transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db import IntegrityError, transaction

from forestall.estate.actions import add_contact
from forestall.estate.checks import email_or_none
from forestall.estate.models import Client, Contact, Person
from forestall.estate.tenancy import Scope
from forestall.estate.values import Role
from forestall.estate.vault import seal
from forestall.journal.actions import append
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.mail.decide import (
    Decision,
    Hold,
    Ignore,
    NewTicket,
    OnThread,
    Repeat,
    Report,
    Who,
    decide,
    decide_kind,
)
from forestall.mail.knowing import SCOPE, known_around, thread_now
from forestall.mail.models import Address, Attachment, Mailbox, Message, Thread
from forestall.mail.reading import read_message
from forestall.mail.spool import Spool
from forestall.mail.values import Arrived, Content, Facts, Kind, State

ACTOR = "forestall:mail"
SAID_MAX_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a message went: a ticket (`topic`), its number, and the entry of its timeline."""

    topic: str
    number: int
    entry: str


class Desk(Protocol):
    """What becomes of messages, on tickets. Both run inside the transaction that takes the message in."""

    def open(self, message: Message, decision: NewTicket, now: datetime) -> Placed:
        """A new ticket."""
        ...

    def add(self, message: Message, thread: Thread, decision: OnThread, now: datetime) -> Placed:
        """A line on the thread's ticket, or a new ticket that goes on from it."""
        ...

    def report(self, plan: str, raw: bytes, now: datetime) -> str:
        """Runs of a backup plan, told by its product; what was understood, in words. May run twice."""
        ...


@dataclass(frozen=True, slots=True)
class Taking:
    """With what messages are taken in. `trusted` as in mail.headers."""

    spool: Spool
    desk: Desk
    key: bytes
    trusted: tuple[str, ...] = ()


def take(taking: Taking, name: str, *, now: datetime) -> Message:
    """Take in a message that waits, and unlink it after. The same again changes nothing."""
    arrived = taking.spool.read(name)
    raw = taking.spool.blobs.read(arrived.digest)
    facts, content = read_message(raw, arrived, key=taking.key, trusted=taking.trusted)
    kind, _ = decide_kind(facts)
    key = f"in:{arrived.digest}:{arrived.recipients[0] if arrived.recipients else ''}"[:160]
    row = Message.objects.of(SCOPE).filter(key=key).first()
    if row is None:
        known = known_around(facts, arrived, content.said[:SAID_MAX_CHARS], key=taking.key, now=now)
        decision = decide(facts, kind, known)
        if not isinstance(decision, Repeat):
            for part in content.parts:
                taking.spool.blobs.keep(part.data)
        with transaction.atomic():
            row = _row(arrived, facts, content, kind, decision, key)
            _follow(taking.desk, row, decision, raw, now)
            append(
                f"mail.{row.state}", client=row.client_id or "", subject=row.pk, actor=ACTOR, at=now,
                body={"kind": row.kind, "why": row.reason, "by": arrived.by},
            )  # fmt: skip
    taking.spool.done(name)
    return row


def _row(
    arrived: Arrived, facts: Facts, content: Content, kind: Kind, decision: Decision, key: str
) -> Message:
    row = Message.objects.create(
        kind=kind, state=_state_of(decision), reason=decision.why[:500], key=key,
        message_id=facts.message_id[:255], sender=facts.sender[:254], sender_name=facts.sender_name,
        recipients=list(facts.recipients)[:20], subject=facts.subject or "(no subject)",
        said=content.said[:SAID_MAX_CHARS], text=content.text, page=content.page, notes=list(content.notes),
        signed=content.signed, authentication=dict(facts.authentication), digest=arrived.digest,
        size=arrived.size, at=from_ms(arrived.received_at_ms),
    )  # fmt: skip
    if not isinstance(decision, Repeat):
        Attachment.objects.bulk_create(
            Attachment(
                message=row, name=part.name, kind=part.kind, claimed=part.claimed, size=part.size,
                digest=part.digest, held=part.held,
            )
            for part in content.parts
        )  # fmt: skip
    return row


def _state_of(decision: Decision) -> State:
    match decision:
        case Repeat():
            return State.REPEATED
        case Report():
            return State.REPORT
        case Ignore():
            return State.IGNORED
        case Hold():
            return State.STRANGER
    return State.TAKEN


def _follow(desk: Desk, row: Message, decision: Decision, raw: bytes, now: datetime) -> None:
    match decision:
        case Report(plan=plan):
            address = Address.objects.of(SCOPE).filter(plan=plan).first()
            row.client_id = address.client_id if address else None
            row.reason = desk.report(plan, raw, now)[:500]
            row.save(update_fields=["client", "reason"])
        case Hold(client=client, thread=refers):
            row.client_id, row.refers = client or None, refers
            row.save(update_fields=["client", "refers"])
        case NewTicket(who=who):
            row.client_id, row.contact_id = who.client, who.contact
            _place(row, desk.open(row, decision, now), now)
        case OnThread(thread=thread):
            row.client_id, row.contact_id = thread.client, decision.contact or None
            if decision.bounced:
                mine = Message.objects.of(SCOPE).filter(pk=decision.bounced, outgoing=True)
                mine.update(state=State.BOUNCED, reason=row.said[:500])
            found = Thread.objects.of(SCOPE).get(pk=thread.id)
            _place(row, desk.add(row, found, decision, now), now)


def _place(row: Message, placed: Placed, now: datetime) -> None:
    assert row.client_id
    row.thread = thread_for(row.client_id, placed.topic, placed.number, now=now)
    row.entry, row.state = placed.entry, State.TAKEN
    row.save(update_fields=["client", "contact", "thread", "entry", "state"])


def thread_for(client: str, topic: str, number: int, *, now: datetime) -> Thread:
    """The conversation about one thing, made when there is none."""
    thread, _ = Thread.objects.get_or_create(
        topic=topic, defaults={"client_id": client, "number": number, "made_at": now}
    )
    return thread


def assign_stranger(
    scope: Scope, message: str, *, client: str, desk: Desk, now: datetime, make_contact: bool = True
) -> Message:
    """It is this client's: a line of the ticket that it refers to, if that is theirs, else a new one; its
    sender is a contact from now on. Raises Trouble when somebody was faster, DoesNotExist for what the scope
    does not see."""
    Client.objects.all().of(scope).get(pk=client)
    with transaction.atomic():
        row = _waiting(scope, message)
        who = Who("", client, row.sender_name or row.sender)
        known = contact_of(client, row.sender)
        if known is None and make_contact and _may_be_contact(row.sender):
            known = add_contact(scope, client=client, name=row.sender_name or row.sender, email=row.sender).pk
        row.client_id, row.contact_id = client, known
        why = f"{scope.actor} said whose it is"
        thread = Thread.objects.of(SCOPE).filter(pk=row.refers, client=client).first()
        if thread is not None:
            placed = desk.add(row, thread, OnThread(thread_now(thread), why, known or ""), now)
        else:
            placed = desk.open(row, NewTicket(who, why, acknowledge=False), now)
        _place(row, placed, now)
        row.reason = why
        row.save(update_fields=["reason"])
        append("mail.assigned", client=client, subject=row.pk, actor=scope.actor, at=now, body={})
    return row


def drop_stranger(scope: Scope, message: str, *, now: datetime) -> Message:
    """It is nobody's business: it stays, and nothing comes of it. Raises as assign_stranger."""
    with transaction.atomic():
        row = _waiting(scope, message)
        row.state, row.reason = State.DROPPED, f"{scope.actor} dropped it"
        row.save(update_fields=["state", "reason"])
        append("mail.dropped", client=row.client_id or "", subject=row.pk, actor=scope.actor, at=now, body={})
    return row


def note_file_taken(scope: Scope, attachment: str, *, now: datetime) -> None:
    """Write down who took a file that can do harm. Raises Attachment.DoesNotExist."""
    row = Attachment.objects.select_related("message").get(
        pk=attachment, message__in=Message.objects.of(scope)
    )
    append("mail.held_file_taken", client=row.message.client_id or "", subject=row.message_id,
           actor=scope.actor, at=now, body={"name": row.name, "why": row.held})  # fmt: skip


def _waiting(scope: Scope, message: str) -> Message:
    row = Message.objects.of(scope).select_for_update().get(pk=message)
    if row.outgoing or row.state not in (State.STRANGER, State.IGNORED, State.DROPPED):
        raise Trouble("this message is settled", "Look at it: its state says what became of it.")
    return row


def _may_be_contact(address: str) -> bool:
    """Whether it is an address at all, and of none of us."""
    try:
        staff = Person.objects.filter(email__iexact=address).exclude(role=Role.CLIENT_CONTACT)
        return bool(email_or_none(address)) and not staff.exists()
    except Trouble:
        return False


def contact_of(client: str, address: str) -> str | None:
    """The contact of a client with this address."""
    row = Contact.objects.of(SCOPE).filter(client=client, email__iexact=address).first()
    return row.pk if row else None


def add_address(scope: Scope, *, address: str, client: str = "", plan: str = "", now: datetime) -> Address:
    """An address at which mail is taken in. One without a client is for who sees every client. Raises Trouble
    for one that is taken or is none."""
    address = (email_or_none(address) or "").lower()
    if not address or "+" in address:
        raise Trouble("that is no address for mail", "Write one like support@your-domain, without a +.")
    if client:
        Client.objects.all().of(scope).get(pk=client)
    elif not scope.everything:
        raise Trouble("an address of all clients is for who sees all clients", "Choose a client.")
    try:
        with transaction.atomic():
            row = Address.objects.create(address=address, client_id=client or None, plan=plan, made_at=now)
            append("mail.address_added", client=client, subject=row.pk, actor=scope.actor, at=now,
                   body={"address": address, "plan": plan})  # fmt: skip
    except IntegrityError as error:
        raise Trouble(f"{address} is an address of ours already", "Remove it first, or use it.") from error
    return row


def remove_address(scope: Scope, address: str, *, now: datetime) -> None:
    """Mail to it is refused from now on. Raises Address.DoesNotExist."""
    with transaction.atomic():
        row = Address.objects.of(scope).get(pk=address)
        append("mail.address_removed", client=row.client_id or "", subject=row.pk, actor=scope.actor, at=now,
               body={"address": row.address})  # fmt: skip
        row.delete()


def add_mailbox(
    scope: Scope,
    *,
    address: str,
    host: str,
    user: str,
    password: str,
    now: datetime,
    client: str = "",
    port: int = 993,
    security: str = "tls",
    folder: str = "INBOX",
    done_folder: str = "",
) -> Mailbox:
    """A mailbox that is fetched; its password goes into the vault. Its address becomes one of ours. Raises
    Trouble."""
    if security not in ("tls", "starttls", "none") or not 1 <= port <= 65535:
        raise Trouble("that is no way to reach a mailbox", "Choose tls, starttls or none, and a port.")
    if not host.strip() or not user.strip() or not password:
        raise Trouble("a mailbox has a server, a user and a password", "Fill in all three.")
    if not client and not scope.everything:
        raise Trouble("a mailbox of all clients is for who sees all clients", "Choose a client.")
    wanted = (email_or_none(address) or "").lower()
    with transaction.atomic():
        if not Address.objects.of(scope).filter(address=wanted).exists():
            add_address(scope, address=address, client=client, now=now)
        row = Mailbox(
            client_id=client or None, address=wanted, host=host.strip()[:253], port=port, security=security,
            user=user.strip()[:254], folder=folder.strip()[:254] or "INBOX",
            done_folder=done_folder.strip()[:254], made_at=now,
        )  # fmt: skip
        row.sealed = seal(client or None, f"mailbox:{row.pk}", password)
        row.save()
        append("mail.mailbox_added", client=client, subject=row.pk, actor=scope.actor, at=now,
               body={"host": row.host, "user": row.user})  # fmt: skip
    return row


def set_password(scope: Scope, mailbox: str, *, password: str, now: datetime) -> Mailbox:
    """Another password, sealed; it is tried at once. Raises Trouble, Mailbox.DoesNotExist."""
    if not password:
        raise Trouble("there is no password", "Enter the one with which the mailbox opens.")
    with transaction.atomic():
        row = Mailbox.objects.of(scope).get(pk=mailbox)
        row.sealed = seal(row.client_id, f"mailbox:{row.pk}", password)
        row.looked_at = None
        row.save(update_fields=["sealed", "looked_at"])
        append("mail.mailbox_password_changed", client=row.client_id or "", subject=row.pk, actor=scope.actor,
               at=now, body={"host": row.host, "user": row.user})  # fmt: skip
    return row


def look_soon(scope: Scope, mailbox: str) -> None:
    """It is looked at within seconds. Raises Mailbox.DoesNotExist."""
    if not Mailbox.objects.of(scope).filter(pk=mailbox).update(looked_at=None):
        raise Mailbox.DoesNotExist


def remove_mailbox(scope: Scope, mailbox: str, *, now: datetime) -> None:
    """It is fetched no more. Raises Mailbox.DoesNotExist."""
    with transaction.atomic():
        row = Mailbox.objects.of(scope).get(pk=mailbox)
        append("mail.mailbox_removed", client=row.client_id or "", subject=row.pk, actor=scope.actor, at=now,
               body={"host": row.host, "user": row.user})  # fmt: skip
        row.delete()
