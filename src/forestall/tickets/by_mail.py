"""Tickets and mail: what clients write becomes a ticket or a line of one; what we answer leaves as mail.

`MailDesk` is what the room of mail hands its messages to, inside its transaction. `follow_answers` writes the
mails that answers on tickets want; it converges: after a crash the next call makes up for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from forestall.estate.models import Contact
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.kernel.errors import Trouble
from forestall.mail.actions import Placed, assign_stranger, thread_for
from forestall.mail.decide import ACKNOWLEDGED_A_DAY_MOST, NewTicket, OnThread
from forestall.mail.knowing import SCOPE as MAIL
from forestall.mail.models import Message, Thread
from forestall.mail.outbox import write
from forestall.mail.tokens import without_token
from forestall.mail.values import Kind
from forestall.tickets.following import journal, write_entry
from forestall.tickets.known_trouble import known_trouble
from forestall.tickets.models import Entry, Mention, Ticket
from forestall.tickets.opening import Opening, open_ticket

ACTOR = "forestall:mail"
REOPEN_WITHIN = timedelta(days=14)  # docs/decisions/0022-mail.md
TEXT_MAX_CHARS = 20_000
ANSWER_WITHIN = timedelta(days=2)
MOST = 200
DAY = timedelta(days=1)

Report = Callable[[str, bytes, datetime], str]


@dataclass(frozen=True, slots=True)
class MailDesk:
    """A `mail.actions.Desk`. `reports` takes in what a backup product tells of a plan, in words."""

    reports: Report

    def open(self, message: Message, decision: NewTicket, now: datetime) -> Placed:
        """A new ticket of the sender's client, and once a word that we have it."""
        ticket = open_reported(
            client=decision.who.client, title=without_token(message.subject), text=_words_of(message),
            reporter=message.contact_id, actor=_actor(message), now=now,
        )  # fmt: skip
        entry = every(Entry).filter(ticket=ticket, kind="opened").latest("pk")
        if decision.acknowledge:
            acknowledge(ticket, to=message.sender, name=message.sender_name, text=message.said, now=now)
        return Placed(ticket.pk, ticket.number, entry.pk)

    def add(self, message: Message, thread: Thread, decision: OnThread, now: datetime) -> Placed:
        """A line of the thread's ticket; one that was closed long ago is gone on from by a new one."""
        ticket = every(Ticket).select_for_update().get(pk=thread.topic)
        if decision.quiet or decision.staff:
            kind = "note"
        else:
            kind = "mail_in"
            if ticket.closed_at and now - ticket.closed_at > REOPEN_WITHIN:
                return self._go_on(message, ticket, now)
            _wake(ticket, now)
        text = _words_of(message)
        if kind == "note" or not message.contact_id:
            text = f"{decision.why[:1].upper()}{decision.why[1:]}.\n{text}"
        ticket.changed_at = now
        ticket.save(update_fields=["changed_at"])
        entry = write_entry(ticket, kind, text, actor=_actor(message), now=now)
        journal("ticket.noted", ticket, actor=ACTOR, now=now, more={"mail": message.pk, "entry": entry.pk})
        return Placed(ticket.pk, ticket.number, entry.pk)

    def report(self, plan: str, raw: bytes, now: datetime) -> str:
        """Runs of a backup plan."""
        return self.reports(plan, raw, now)

    def _go_on(self, message: Message, old: Ticket, now: datetime) -> Placed:
        text = f"It goes on from ticket #{old.number}, which was closed.\n{_words_of(message)}"
        ticket = open_reported(
            client=old.client_id, title=without_token(message.subject) or old.title, text=text,
            reporter=message.contact_id, actor=_actor(message), now=now, asset=old.asset_id,
        )  # fmt: skip
        write_entry(
            old, "note", f"Its client wrote again: see ticket #{ticket.number}.", actor=ACTOR, now=now
        )
        entry = every(Entry).filter(ticket=ticket, kind="opened").latest("pk")
        return Placed(ticket.pk, ticket.number, entry.pk)


def open_reported(
    *,
    client: str,
    title: str,
    text: str,
    reporter: str | None,
    actor: str,
    now: datetime,
    asset: str | None = None,
    came_by: str = "mail",
) -> Ticket:
    """A ticket that a client reported, by mail or in the portal. It is not touched yet: nobody of ours saw
    it."""
    opening = Opening(
        client=client, title=title.strip()[:300] or "(no subject)", text=text.strip()[:TEXT_MAX_CHARS],
        asset=asset, reporter=reporter, came_by=came_by,
    )  # fmt: skip
    scope = Scope(actor=actor[:160], clients=frozenset({client}))
    return open_ticket(scope, opening, now=now, touched=False)


def say(scope: Scope, ticket: str, *, text: str, contact: Contact, now: datetime) -> Entry:
    """A line that a contact writes in the portal; as an answer by mail it wakes the ticket. Raises Trouble,
    DoesNotExist."""
    if not text.strip():
        raise Trouble("this needs some text", "Write what we should know.")
    with transaction.atomic():
        row = seen(Ticket, scope).select_for_update(of=("self",)).get(pk=ticket)
        if row.closed_at and now - row.closed_at > REOPEN_WITHIN:
            raise Trouble("this ticket was closed a while ago", "Report it anew, and name its number.")
        _wake(row, now)
        actor = f"{contact.name} <{contact.email}>"
        entry = write_entry(row, "mail_in", text.strip()[:TEXT_MAX_CHARS], actor=actor, now=now)
        journal("ticket.noted", row, actor=actor[:160], now=now, more={"entry": entry.pk})
    return entry


def let_in(scope: Scope, message: str, *, client: str, now: datetime) -> Message:
    """A stranger's message is this client's: a ticket, and its sender a contact. Raises as
    mail.actions.assign_stranger."""
    return assign_stranger(scope, message, client=client, desk=MailDesk(_no_reports), now=now)


def _no_reports(plan: str, raw: bytes, now: datetime) -> str:
    raise AssertionError("a message that a person lets in is no report of a backup product")


def follow_mentions(*, now: datetime) -> int:
    """Write the mails to people who were named on a ticket and did not look yet; how many. What they answer
    is a note on the ticket."""
    rows = every(Mention).filter(seen_at=None, at__gt=now - ANSWER_WITHIN).order_by("-at")
    rows = rows.select_related("person", "entry", "ticket")[:MOST]
    keys = {row.pk: f"mention:{row.pk}" for row in rows}
    there = Message.objects.of(MAIL).filter(key__in=[f"out:{key}" for key in keys.values()])
    written = set(there.values_list("key", flat=True))
    count = 0
    for row in rows:
        if f"out:{keys[row.pk]}" in written or not row.person.is_active:
            continue
        ticket = row.ticket
        text = (
            f"{row.entry.actor} named you on ticket #{ticket.number}, {ticket.title}:\n\n{row.entry.text}"
            "\n\n-- \nWhat you answer to this mail is a note on the ticket."
        )
        with transaction.atomic():
            thread = thread_for(ticket.client_id, ticket.pk, ticket.number, now=now)
            made = write(
                thread, key=keys[row.pk], to=[row.person.email], subject=f"You: {ticket.title}", text=text,
                now=now, kind=Kind.MACHINE,
            )  # fmt: skip
            count += made is not None
    return count


def follow_answers(*, now: datetime) -> int:
    """Write the mails of answers that have none yet; how many."""
    rows = every(Entry).filter(kind="reply", at__gt=now - ANSWER_WITHIN).order_by("-at")[:MOST]
    written = {
        key.removeprefix("out:entry:")
        for key in Message.objects.of(MAIL)
        .filter(key__in=[f"out:entry:{row.pk}" for row in rows])
        .values_list("key", flat=True)
    }
    count = 0
    for entry in rows:
        if entry.pk not in written:
            with transaction.atomic():
                ticket = every(Ticket).get(pk=entry.ticket_id)
                count += _mail(ticket, entry, recipients_of(ticket), now)
    return count


def tell_undelivered(given_up: Sequence[Message], *, now: datetime) -> None:
    """An answer that cannot be delivered stands on its ticket, so that somebody rings."""
    for message in given_up:
        if message.thread is None:
            continue
        with transaction.atomic():
            ticket = every(Ticket).select_for_update().get(pk=message.thread.topic)
            text = f"The mail to {', '.join(message.recipients)} did not leave: {message.reason}"
            write_entry(ticket, "note", text, actor=ACTOR, now=now)
            ticket.changed_at = now
            ticket.save(update_fields=["changed_at"])


def acknowledge(ticket: Ticket, *, to: str, name: str, text: str, now: datetime) -> None:
    """Tell the person once that we have it, and what we know already. Not more than a few times a day: a
    machine that answers would go on for ever."""
    today = Message.objects.of(MAIL).filter(
        outgoing=True, kind=Kind.MACHINE, at__gt=now - DAY, recipients__icontains=to
    )
    if "@" not in to or today.count() >= ACKNOWLEDGED_A_DAY_MOST:
        return
    scope = Scope(actor=ACTOR, clients=frozenset({ticket.client_id}))
    known = known_trouble(scope, client=ticket.client_id, text=f"{ticket.title} {text}", now=now)
    fitting = [one.said(now) for one in known if one.fits]
    lines = [f"Hello {name}," if name else "Hello,", "", f"we have it: it is ticket #{ticket.number}."]
    if fitting:
        lines += ["", "It may be this:", *fitting]
    lines += ["", "Answer this mail to add something. It costs you nothing."]
    thread = thread_for(ticket.client_id, ticket.pk, ticket.number, now=now)
    write(
        thread, key=f"acknowledged:{ticket.pk}", to=[to], subject=f"Re: {ticket.title}",
        text="\n".join(lines), now=now, kind=Kind.MACHINE,
    )  # fmt: skip


def recipients_of(ticket: Ticket) -> list[str]:
    """Who gets an answer: the person of the client who wrote last on it, by mail or in the portal."""
    said = list(
        every(Entry).filter(ticket=ticket, kind__in=("opened", "mail_in")).order_by("-at", "-pk")[:20]
    )
    kinds = (Kind.PERSON, Kind.INVITATION, Kind.MACHINE)
    mails = Message.objects.of(MAIL).filter(
        entry__in=[one.pk for one in said], outgoing=False, kind__in=kinds
    )
    senders = dict(mails.exclude(sender="").values_list("entry", "sender"))
    for entry in said:
        if entry.pk in senders:
            return [senders[entry.pk]]
        contact = contact_of_actor(ticket.client_id, entry.actor)
        if contact is not None:
            return [contact.email]
    return []


def contact_of_actor(client: str, actor: str) -> Contact | None:
    """The contact who is named as the writer of an entry (`Name <address>`)."""
    address = actor.rpartition("<")[2].rstrip(">") if actor.endswith(">") else ""
    return every(Contact).filter(client=client, email__iexact=address).first() if "@" in address else None


def _mail(ticket: Ticket, entry: Entry, to: Sequence[str], now: datetime) -> bool:
    thread = thread_for(ticket.client_id, ticket.pk, ticket.number, now=now)
    text = f"{entry.text}\n\n-- \nTicket #{ticket.number}. Answer this mail to go on."
    made = write(
        thread, key=f"entry:{entry.pk}", to=to, subject=f"Re: {ticket.title}", text=text, now=now,
        entry=entry.pk,
    )  # fmt: skip
    return made is not None


def _wake(ticket: Ticket, now: datetime) -> None:
    """The client wrote: what waited, was resolved or was closed is open again."""
    if ticket.closed_at is not None or ticket.status in ("waiting", "resolved", "closed"):
        was, ticket.status, ticket.closed_at = ticket.status, "open", None
        if ticket.cause_key and every(Ticket).filter(cause_key=ticket.cause_key, closed_at=None).exclude(
            pk=ticket.pk
        ):
            ticket.cause_key = ""  # its cause has another open ticket by now
        write_entry(ticket, "status", f"{was} → open: its client wrote", actor=ACTOR, now=now)
    ticket.changed_at = now
    ticket.save(update_fields=["status", "closed_at", "cause_key", "changed_at"])


def _actor(message: Message) -> str:
    name = message.contact.name if message.contact else message.sender_name
    return f"{name} <{message.sender}>" if name else f"<{message.sender}>"


def _words_of(message: Message) -> str:
    return message.said[:TEXT_MAX_CHARS] or "(no text)"
