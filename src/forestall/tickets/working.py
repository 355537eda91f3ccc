"""Writes of the desk by people: replies, checklists, linked assets, merging and parting, effort by hand, many
tickets at once. As in `actions`: every function takes the scope of who acts; what it does not see raises
DoesNotExist."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from forestall.estate.models import Asset, Person
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.kernel.errors import Trouble
from forestall.kernel.words import say_duration
from forestall.tickets import actions
from forestall.tickets.decide import priority_from
from forestall.tickets.following import journal, write_entry
from forestall.tickets.models import (
    ChecklistItem,
    Effort,
    Entry,
    Link,
    Looking,
    Mention,
    Queue,
    SavedView,
    Ticket,
)
from forestall.tickets.opening import TEXT_MAX_CHARS, Opening, add_items, open_ticket, tidy_tags
from forestall.tickets.sla import change_priority
from forestall.tickets.values import COST_CLASSES

BULK_MOST = 100
VIEWS_MOST = 30
EFFORT_MOST = timedelta(hours=24)
LOOKS_FOR = timedelta(seconds=60)
_MENTION = re.compile(r"(?<![\w@])@([\w.\-]{2,60})")


def reply(scope: Scope, ticket: str, *, text: str, now: datetime, status: str = "") -> Entry:
    """An answer to the client. The room of mail sends it (`by_mail.follow_answers`); `status` is set with it,
    when given. Raises Trouble for an empty or too long one."""
    if not text.strip():
        raise Trouble("an answer needs some text", "Write what the client should know.")
    if len(text) > TEXT_MAX_CHARS:
        raise Trouble(f"an answer has at most {TEXT_MAX_CHARS} characters", "Shorten it, or write two.")
    with transaction.atomic():
        row = _locked(scope, ticket)
        _touch(row, now)
        row.save()
        entry = write_entry(row, "reply", text.strip(), actor=scope.actor, now=now)
        journal("ticket.answered", row, actor=scope.actor, now=now, more={"entry": entry.pk})
        if status and status != row.status:
            actions.set_status(scope, ticket, status=status, now=now)
    return entry


def note(scope: Scope, ticket: str, *, text: str, now: datetime) -> Entry:
    """A line for colleagues; who is named with @ is told."""
    with transaction.atomic():
        entry = actions.note(scope, ticket, text=text, now=now)
        for person in mentioned(entry.client_id, text):
            Mention.objects.create(
                client_id=entry.client_id, entry=entry, ticket_id=entry.ticket_id, person=person, at=now
            )
    return entry


def mentioned(client: str, text: str) -> list[Person]:
    """Who of those that work for a client is named: by first name, whole name with dots, or address before
    the @. A name of two people names both."""
    words = {word.lower().strip(".") for word in _MENTION.findall(text)}
    if not words:
        return []
    staff = Person.objects.filter(Q(all_clients=True) | Q(clients=client), is_active=True)
    rows = staff.exclude(role="client_contact").distinct()
    return [one for one in rows if words & handles_of(one)]


def handles_of(person: Person) -> set[str]:
    """How a person is named after an @, in small letters."""
    name = person.name.lower().split()
    return {*name[:1], ".".join(name), person.email.lower().partition("@")[0]}


def classify(scope: Scope, ticket: str, *, impact: int, urgency: int, now: datetime) -> Ticket:
    """Impact and urgency, 1 to 3 each, and the priority that follows. Raises Trouble for other numbers."""
    if impact not in (1, 2, 3) or urgency not in (1, 2, 3):
        raise Trouble("impact and urgency are 1 to 3", "Choose how many are hit, and how badly.")
    with transaction.atomic():
        row = _locked(scope, ticket)
        was = row.priority
        row.impact, row.urgency = impact, urgency
        row.priority = priority_from(impact=impact, urgency=urgency)
        _touch(row, now)
        row.save()
        change_priority(row, was, now)
        text = f"priority {was} → {row.priority} (impact {impact}, urgency {urgency})"
        write_entry(row, "status", text, actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"was_priority": was})
    return row


def file_under(
    scope: Scope, ticket: str, *, now: datetime, queue: str | None = None, tags: Sequence[str] | None = None
) -> Ticket:
    """Put it into a queue ("" takes it out), and give it tags; what is None stays."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        if queue is not None:
            row.queue = Queue.objects.get(pk=queue, retired_at=None) if queue else None
        if tags is not None:
            row.tags = tidy_tags(tags)
        _touch(row, now)
        row.save()
        more = {"queue": row.queue_id or "", "tags": row.tags}
        write_entry(row, "status", _say_filed(row), actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more=more)
    return row


def link_asset(scope: Scope, ticket: str, *, asset: str, linked: bool, now: datetime) -> Ticket:
    """Name another asset that the ticket is about, or (`linked` False) name it no more."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        named = seen(Asset, scope).get(pk=asset, client=row.client_id)
        if linked:
            row.assets.add(named)
        else:
            row.assets.remove(named)
        _touch(row, now)
        row.save()
        text = f"{'About' if linked else 'No longer about'} {named.name}."
        write_entry(row, "status", text, actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"asset": asset, "linked": linked})
    return row


def extend_checklist(scope: Scope, ticket: str, *, lines: Sequence[str], now: datetime) -> None:
    """More to do. Raises Trouble when it becomes too long."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        add_items(row, lines)
        row.changed_at = now
        row.save(update_fields=["changed_at"])
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"checklist": len(lines)})


def tick(scope: Scope, ticket: str, *, item: str, done: bool, now: datetime) -> ChecklistItem:
    """Something of the checklist is done, or not after all."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        found = seen(ChecklistItem, scope).get(pk=item, ticket=row)
        found.done_at, found.done_by = (now, scope.actor[:160]) if done else (None, "")
        found.save(update_fields=["done_at", "done_by"])
        _touch(row, now)
        row.save()
        mark = "Done" if done else "Not done after all"
        write_entry(row, "checklist", f"{mark}: {found.text}", actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"item": item, "done": done})
    return found


def log_effort(
    scope: Scope, ticket: str, *, person: Person, minutes: int, cost_class: str, note: str, now: datetime
) -> Effort:
    """Time that was spent without a timer, up to now, as on the telephone. Raises Trouble for too much or too
    little."""
    spent = timedelta(minutes=minutes)
    if not timedelta() < spent <= EFFORT_MOST:
        raise Trouble("effort is 1 minute to 24 hours", "Write the minutes of one piece of work.")
    _check_class(cost_class)
    with transaction.atomic():
        row = _locked(scope, ticket)
        effort = Effort.objects.create(
            client_id=row.client_id, ticket=row, person=person, started_at=now - spent, ended_at=now,
            cost_class=cost_class, by_hand=True, note=note.strip()[:300],
        )  # fmt: skip
        _touch(row, now)
        row.save()
        said = f"Worked {say_duration(spent.total_seconds())} ({COST_CLASSES[cost_class].lower()})."
        text = f"{said} {effort.note}".strip()
        write_entry(row, "effort", text, actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"effort": effort.pk})
    return effort


def merge(scope: Scope, ticket: str, *, into: str, now: datetime) -> Ticket:
    """The ticket is the same as another of the client: its occurrences, linked assets and effort go there,
    and it is closed. Its own timeline stays with it. Raises Trouble when they cannot be one."""
    with transaction.atomic():
        first, second = sorted((ticket, into))
        rows = {key: _locked(scope, key) for key in dict.fromkeys((first, second))}
        row, target = rows[ticket], rows[into]
        if row.pk == target.pk:
            raise Trouble("a ticket cannot be merged into itself", "Choose another ticket.")
        if row.client_id != target.client_id:
            raise Trouble("these tickets are of two clients", "Merge only tickets of one client.")
        if row.merged_into_id or target.merged_into_id:
            raise Trouble("one of these is merged already", "Choose the ticket that it went into.")
        every(Link).filter(ticket=row).update(ticket=target)
        every(Effort).filter(ticket=row).update(ticket=target)
        target.assets.add(*(one for one in (row.asset, *row.assets.all()) if one and one != target.asset))
        target.occurrences += row.occurrences
        target.reporter_id = target.reporter_id or row.reporter_id
        _touch(target, now)
        target.save()
        row.merged_into, row.status, row.closed_at = target, "closed", now
        _touch(row, now)
        row.save()
        write_entry(row, "merged", f"Merged into #{target.number}.", actor=scope.actor, now=now)
        write_entry(
            target, "merged", f"#{row.number} was merged into this: {row.title}", actor=scope.actor, now=now
        )
        journal("ticket.closed", row, actor=scope.actor, now=now, more={"merged_into": target.pk})
        journal("ticket.changed", target, actor=scope.actor, now=now, more={"merged": row.pk})
    return target


def split(scope: Scope, ticket: str, *, title: str, text: str = "", now: datetime) -> Ticket:
    """Part of it becomes a ticket of its own, with the same client, asset, reporter and queue."""
    with transaction.atomic():
        row = _locked(scope, ticket)
        opening = Opening(
            client=row.client_id, title=title, text=text or f"Split from #{row.number}: {row.title}",
            asset=row.asset_id, reporter=row.reporter_id, came_by=row.came_by, queue=row.queue_id,
            priority=row.priority, tags=row.tags, split_from=row.pk,
        )  # fmt: skip
        made = open_ticket(scope, opening, now=now)
        _touch(row, now)
        row.save()
        write_entry(row, "merged", f"Split: #{made.number} {made.title}", actor=scope.actor, now=now)
        journal("ticket.changed", row, actor=scope.actor, now=now, more={"split": made.pk})
    return made


def change_many(
    scope: Scope, tickets: Sequence[str], *, now: datetime, status: str = "", person: str | None = None,
    priority: int | None = None, queue: str | None = None,
) -> int:  # fmt: skip
    """The same change to many tickets, all or none; how many. Raises Trouble for none, or too many."""
    if not tickets:
        raise Trouble("no ticket is chosen", "Mark some with the boxes, or with x.")
    if len(tickets) > BULK_MOST:
        raise Trouble(f"at most {BULK_MOST} tickets are changed at once", "Choose fewer.")
    with transaction.atomic():
        for ticket in sorted(set(tickets)):
            if status:
                actions.set_status(scope, ticket, status=status, now=now)
            if person is not None:
                actions.assign(scope, ticket, person=person or None, now=now)
            if priority is not None:
                actions.set_priority(scope, ticket, priority=priority, now=now)
            if queue is not None:
                file_under(scope, ticket, queue=queue, now=now)
    return len(set(tickets))


def look_at(scope: Scope, ticket: str, *, person: Person, now: datetime) -> list[str]:
    """The person has the ticket's page open; the names of who else has. What they were told there is seen."""
    row = seen(Ticket, scope).get(pk=ticket)
    Looking.objects.update_or_create(
        ticket=row, person=person, defaults={"at": now, "client_id": row.client_id}
    )
    every(Mention).filter(ticket=row, person=person, seen_at=None).update(seen_at=now)
    others = every(Looking).filter(ticket=row, at__gt=now - LOOKS_FOR).exclude(person=person)
    return list(others.order_by("person__name").values_list("person__name", flat=True))


def save_view(person: Person, *, name: str, filters: str) -> SavedView:
    """Keep filters under a name; the same name again takes the new ones. Raises Trouble for too many."""
    if not name.strip():
        raise Trouble("a view needs a name", "Call it by what it shows.")
    rows = SavedView.objects.filter(person=person)
    if rows.exclude(name=name.strip()[:80]).count() >= VIEWS_MOST:
        raise Trouble(f"a person has at most {VIEWS_MOST} views", "Remove one first.")
    return rows.update_or_create(person=person, name=name.strip()[:80], defaults={"filters": filters[:500]})[
        0
    ]


def forget_view(person: Person, view: str) -> None:
    """Remove a view of one's own. Raises SavedView.DoesNotExist."""
    SavedView.objects.get(pk=view, person=person).delete()


def _say_filed(row: Ticket) -> str:
    queue = f"In the queue {row.queue.name}" if row.queue else "In no queue"
    return f"{queue}; tags: {', '.join(row.tags) or 'none'}."


def _check_class(cost_class: str) -> None:
    if cost_class not in COST_CLASSES:
        raise Trouble(f"there is no cost class {cost_class!r}", f"Choose one of {', '.join(COST_CLASSES)}.")


def _locked(scope: Scope, ticket: str) -> Ticket:
    return seen(Ticket, scope).select_for_update(of=("self",)).get(pk=ticket)


def _touch(ticket: Ticket, now: datetime) -> None:
    ticket.touched_at = ticket.touched_at or now
    ticket.changed_at = now
