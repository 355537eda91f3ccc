"""Writes of tickets by people: open, assign, note, status, effort. What alerts do to tickets: `following.py`.

Every function takes the scope of who acts; what it does not see raises DoesNotExist (pages answer 404).
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from forestall.estate.models import Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.kernel.errors import Trouble
from forestall.kernel.words import say_duration
from forestall.tickets.decide import STATUSES
from forestall.tickets.following import Followed, follow_alerts, journal, open_for, write_entry
from forestall.tickets.models import Effort, Entry, Ticket
from forestall.tickets.opening import TEXT_MAX_CHARS, Opening, check_priority, open_ticket
from forestall.tickets.sla import change_priority, settle

__all__ = [
    "Followed",
    "assign",
    "follow_alerts",
    "note",
    "open_by_hand",
    "open_for",
    "rename",
    "set_priority",
    "set_status",
    "start_timer",
    "stop_timer",
]

TITLE_MAX_CHARS = 300
EFFORT_MOST = timedelta(hours=12)  # a timer that ran longer was forgotten: its effort is cut to this


def open_by_hand(
    scope: Scope,
    *,
    client: str,
    title: str,
    text: str = "",
    asset: str | None = None,
    priority: int = 3,
    now: datetime,
) -> Ticket:
    """A ticket that a person writes. Raises Trouble for a missing title or a wrong priority."""
    opening = Opening(client=client, title=title, text=text, asset=asset, priority=priority)
    return open_ticket(scope, opening, now=now)


def assign(scope: Scope, ticket: str, *, person: str | None, now: datetime) -> Ticket:
    """Give the ticket to a person who sees its client, or (None) to nobody. Raises Trouble otherwise."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        name = "nobody"
        if person is not None:
            somebody = Person.objects.filter(Q(all_clients=True) | Q(clients=row.client_id), is_active=True)
            found = somebody.filter(pk=person).distinct().first()
            if found is None:
                raise Trouble(
                    "that person cannot have this ticket", "Choose somebody who works for this client."
                )
            name = found.name
        row.assignee_id = person
        _touch(row, now)
        row.save()
        write_entry(row, "assigned", f"Assigned to {name}.", actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"assignee": person or ""})
    return row


def rename(scope: Scope, ticket: str, *, title: str, now: datetime) -> Ticket:
    """Another title. It is found by it from now on, and by the one before, which its timeline keeps. Raises
    Trouble for none, or too long a one."""
    title = " ".join(title.split())
    if not title:
        raise Trouble("a ticket needs a title", "Write in one line what is wrong.")
    if len(title) > TITLE_MAX_CHARS:
        raise Trouble(f"a title has at most {TITLE_MAX_CHARS} characters", "Shorten it.")
    with transaction.atomic():
        row = _locked(scope, ticket)
        was, row.title = row.title, title
        _touch(row, now)
        row.save()
        write_entry(row, "status", f"Called “{title}”; before: “{was}”.", actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"was_title": was})
    return row


def note(scope: Scope, ticket: str, *, text: str, now: datetime) -> Entry:
    """Write a line on the timeline. Raises Trouble for an empty or too long one."""
    if not text.strip():
        raise Trouble("a note needs some text", "Write what you saw or did.")
    if len(text) > TEXT_MAX_CHARS:
        raise Trouble(f"a note has at most {TEXT_MAX_CHARS} characters", "Shorten it, or write two.")
    with transaction.atomic():
        row = _locked(scope, ticket)
        _touch(row, now)
        row.save()
        entry = write_entry(row, "note", text.strip(), actor=scope.actor, now=now)
        journal("ticket.noted", row, actor=scope.actor, now=now, more={"entry": entry.pk})
    return entry


def set_status(scope: Scope, ticket: str, *, status: str, now: datetime, text: str = "") -> Ticket:
    """Change the status; `closed` closes it, anything else opens it again.

    Raises Trouble for an unknown status, and when the cause has another open ticket by now.
    """
    if status not in STATUSES:
        raise Trouble(f"there is no status {status!r}", f"Choose one of {', '.join(STATUSES)}.")
    try:
        with transaction.atomic():
            row = _locked(scope, ticket)
            was = row.status
            row.status = status
            row.closed_at = now if status == "closed" else None
            _touch(row, now)
            row.save()
            said = f"{was} → {status}" + (f"\n{text.strip()[:TEXT_MAX_CHARS]}" if text.strip() else "")
            write_entry(row, "status", said, actor=scope.actor, now=now)
            kind = "ticket.closed" if status == "closed" else "ticket.changed"
            journal(kind, row, actor=scope.actor, now=now, more={"was": was})
    except IntegrityError as error:
        raise Trouble(
            "this cause has another open ticket by now", "Work on that one; it counts the occurrences."
        ) from error
    return row


def set_priority(scope: Scope, ticket: str, *, priority: int, now: datetime) -> Ticket:
    """1 (now) to 4 (whenever). Raises Trouble for another number."""
    check_priority(priority)
    with transaction.atomic():
        row = _locked(scope, ticket)
        was, row.priority = row.priority, priority
        _touch(row, now)
        row.save()
        change_priority(row, was, now)
        write_entry(row, "status", f"priority {was} → {priority}", actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"was_priority": was})
    return row


def start_timer(scope: Scope, ticket: str, *, person: Person, now: datetime) -> Effort:
    """The person works on this ticket from now on. A timer of theirs on another ticket stops; one on this
    ticket goes on. It runs on the server, whatever becomes of the browser."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        running = every(Effort).select_for_update().filter(person=person, ended_at=None).first()
        if running is not None and running.ticket_id == row.pk:
            return running
        if running is not None:
            _stop(running, scope, now)
        effort = Effort.objects.create(client_id=row.client_id, ticket=row, person=person, started_at=now)
        _touch(row, now)
        if row.status == "open":
            row.status = "in_progress"
        row.save()
        settle(row, "effort", now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"timer": "started"})
    return effort


def stop_timer(scope: Scope, *, person: Person, now: datetime) -> Effort | None:
    """End the person's running timer; None when there is none."""
    with transaction.atomic():
        running = every(Effort).select_for_update().filter(person=person, ended_at=None).first()
        if running is None:
            return None
        _stop(running, scope, now)
    return running


def _stop(effort: Effort, scope: Scope, now: datetime) -> None:
    effort.ended_at = min(max(now, effort.started_at), effort.started_at + EFFORT_MOST)
    effort.save(update_fields=["ended_at"])
    ticket = every(Ticket).select_for_update().get(pk=effort.ticket_id)
    ticket.changed_at = now
    ticket.save(update_fields=["changed_at"])
    spent = say_duration((effort.ended_at - effort.started_at).total_seconds())
    cut = " (the timer was forgotten and is cut)" if effort.ended_at < now else ""
    write_entry(ticket, "effort", f"Worked {spent}{cut}.", actor=scope.actor, now=now)
    journal("ticket.changed", ticket, actor=scope.actor, now=now, more={"timer": "stopped"})


def _locked(scope: Scope, ticket: str) -> Ticket:
    return seen(Ticket, scope).select_for_update(of=("self",)).get(pk=ticket)


def _touch(ticket: Ticket, now: datetime) -> None:
    ticket.touched_at = ticket.touched_at or now
    ticket.changed_at = now
