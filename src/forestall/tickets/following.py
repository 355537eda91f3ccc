"""Tickets follow alerts: every occurrence that was told has its place on one ticket, every recovery is noted.

The watch calls `follow_alerts` after every round. It converges: after a crash between an alert and its ticket
the next call makes up for it, and a second call changes nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q

from forestall.alerts.models import Alert
from forestall.findings.gate import every
from forestall.journal.actions import append
from forestall.judge.values import State
from forestall.tickets.decide import (
    CloseByItself,
    CountOn,
    OpenTicket,
    TicketNow,
    decide_for_alert,
    decide_recovery,
    priority_of,
)
from forestall.tickets.models import Entry, Link, Ticket
from forestall.tickets.search import index_words
from forestall.tickets.sla import change_priority, settle
from forestall.tickets.values import INTERNAL, KINDS

ACTOR = "forestall:tickets"
LOOK_BACK = timedelta(days=1)  # an alert that was told and is over by now still gets its ticket within this
MOST = 500
NUMBER_TRIES = 5


@dataclass(slots=True)
class Followed:
    """What a call did, as identifiers of tickets."""

    opened: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)


def follow_alerts(*, now: datetime) -> Followed:
    """Bring all tickets up to what the alerts say."""
    done = Followed()
    over = Q(alert__recovered_at__isnull=False) | Q(alert__occurrence__gt=F("occurrence"))
    for link in every(Link).filter(over, recovered_at=None).order_by("at", "pk")[:MOST]:
        _recover(link.pk, now, done)
    shifted = Q(alert__cause_key=F("ticket__cause_key")) & Q(alert__severity="out_of_spec")
    for link in (
        every(Link)
        .filter(recovered_at=None, ticket__closed_at=None)
        .exclude(shifted)
        .select_related("alert", "ticket")
        .order_by("at", "pk")[:MOST]
    ):
        _keep_up(link, now)
    placed = every(Link).filter(alert=OuterRef("pk"), occurrence=OuterRef("occurrence"))
    known = Q(told_at__isnull=False) | Q(acknowledged_at__isnull=False)
    recent = Q(recovered_at=None) | Q(recovered_at__gte=now - LOOK_BACK)
    for alert in (
        every(Alert).filter(known, recent).exclude(Exists(placed)).order_by("opened_at", "pk")[:MOST]
    ):
        open_for(alert, now=now, done=done)
    return done


def open_for(alert: Alert, *, now: datetime, done: Followed | None = None) -> Ticket:
    """The ticket of this occurrence of an alert: a new one, or one that it is counted on. Safe to repeat."""
    done = done if done is not None else Followed()
    for attempt in range(NUMBER_TRIES):
        try:
            with transaction.atomic():
                return _place(alert, now, done)
        except IntegrityError:  # another process took the number or the cause at the same moment
            if attempt == NUMBER_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _place(alert: Alert, now: datetime, done: Followed) -> Ticket:
    existing = every(Link).filter(alert=alert, occurrence=alert.occurrence).select_related("ticket").first()
    if existing is not None:
        return existing.ticket
    linked = set(every(Link).filter(alert=alert).values_list("ticket", flat=True))
    mine = Q(cause_key=alert.cause_key) | Q(pk__in=linked)
    tickets = list(
        every(Ticket).select_for_update().filter(mine, client=alert.client_id).order_by("-opened_at")[:20]
    )
    severity = State(alert.severity)
    decision = decide_for_alert(
        cause_key=alert.cause_key,
        severity=severity,
        tickets=[ticket_now(ticket, linked) for ticket in tickets],
        now=now,
    )
    if isinstance(decision, OpenTicket):
        ticket = _open(alert, decision, now)
        done.opened.append(ticket.pk)
    else:
        ticket = next(one for one in tickets if one.pk == decision.ticket)
        _count(ticket, alert, decision, now)
        done.counted.append(ticket.pk)
    Link.objects.create(
        client_id=alert.client_id, ticket=ticket, alert=alert, occurrence=alert.occurrence, at=now
    )
    return ticket


def next_number() -> int:
    """The number of the next ticket; a unique constraint decides between two processes."""
    highest: int | None = every(Ticket).aggregate(highest=Max("number"))["highest"]
    return (highest or 0) + 1


def ticket_now(ticket: Ticket, linked: set[str] | None = None) -> TicketNow:
    """The value snapshot of a ticket."""
    return TicketNow(
        id=ticket.pk,
        cause_key=ticket.cause_key,
        status=ticket.status,
        priority=ticket.priority,
        touched=ticket.touched_at is not None,
        closed_at=ticket.closed_at,
        linked=ticket.pk in (linked or set()),
    )


def write_entry(
    ticket: Ticket, kind: str, text: str, *, actor: str, now: datetime, message_id: str = ""
) -> Entry:
    """A line of the timeline; its kind says who reads it (`values.KINDS`)."""
    visibility, direction = KINDS.get(kind, (INTERNAL, ""))
    entry = Entry.objects.create(
        client_id=ticket.client_id,
        ticket=ticket,
        at=now,
        actor=actor[:160],
        kind=kind,
        text=text,
        visibility=visibility,
        direction=direction,
        message_id=message_id[:255],
    )
    index_words(ticket, text)
    settle(ticket, kind, now)
    return entry


def journal(kind: str, ticket: Ticket, *, actor: str, now: datetime, more: dict[str, Any]) -> None:
    """The journal's entry of something that was done to a ticket."""
    append(
        kind,
        client=ticket.client_id,
        subject=ticket.pk,
        actor=actor,
        at=now,
        body={
            "number": ticket.number,
            "status": ticket.status,
            "priority": ticket.priority,
            "title": ticket.title,
            **more,
        },
    )


def _open(alert: Alert, decision: OpenTicket, now: datetime) -> Ticket:
    ticket = Ticket.objects.create(
        number=next_number(),
        client_id=alert.client_id,
        asset_id=alert.asset_id,
        cause_key=alert.cause_key,
        title=alert.title,
        status="open",
        priority=decision.priority,
        came_by="alert",
        opened_at=now,
        changed_at=now,
    )
    write_entry(ticket, "opened", alert.reason, actor=ACTOR, now=now)
    journal("ticket.opened", ticket, actor=ACTOR, now=now, more={"alert": alert.pk, "why": decision.why})
    return ticket


def _count(ticket: Ticket, alert: Alert, decision: CountOn, now: datetime) -> None:
    ticket.occurrences += 1
    was, ticket.priority = ticket.priority, decision.priority
    ticket.changed_at = now
    if decision.reopen:
        ticket.status = "open"
        ticket.closed_at = None
    ticket.save()
    change_priority(ticket, was, now)
    text = f"Occurrence {ticket.occurrences}: {decision.why}.\n{alert.reason}"
    write_entry(ticket, "occurrence", text, actor=ACTOR, now=now)
    journal(
        "ticket.changed",
        ticket,
        actor=ACTOR,
        now=now,
        more={"alert": alert.pk, "occurrences": ticket.occurrences, "why": decision.why},
    )


def _recover(link_id: str, now: datetime, done: Followed) -> None:
    with transaction.atomic():
        link = every(Link).select_related("alert").select_for_update(of=("self",)).get(pk=link_id)
        if link.recovered_at is not None:
            return
        link.recovered_at = link.alert.recovered_at or now
        link.save(update_fields=["recovered_at"])
        ticket = every(Ticket).select_for_update().get(pk=link.ticket_id)
        decision = decide_recovery(
            ticket_now(ticket),
            others_wrong=every(Link).filter(ticket=ticket, recovered_at=None).count(),
            acknowledged=link.alert.acknowledged_at is not None,
        )
        ticket.changed_at = now
        if isinstance(decision, CloseByItself):
            ticket.status = "closed"
            ticket.closed_at = now
            done.closed.append(ticket.pk)
        else:
            done.noted.append(ticket.pk)
        ticket.save(update_fields=["status", "closed_at", "changed_at"])
        text = f"Recovered: {link.alert.title}. {_capital(decision.why)}."
        write_entry(ticket, "recovered", text, actor=ACTOR, now=now)
        kind = "ticket.closed" if isinstance(decision, CloseByItself) else "ticket.noted"
        journal(kind, ticket, actor=ACTOR, now=now, more={"alert": link.alert_id, "why": decision.why})


def _keep_up(link: Link, now: datetime) -> None:
    """The ticket follows its alert to a larger cause, and becomes more urgent when nobody has it yet."""
    ticket, alert = link.ticket, link.alert
    changes: list[str] = []
    if ticket.cause_key and ticket.cause_key != alert.cause_key:
        taken = every(Ticket).filter(cause_key=alert.cause_key, closed_at=None).exclude(pk=ticket.pk)
        others = every(Link).filter(ticket=ticket, recovered_at=None).exclude(pk=link.pk)
        if not taken.exists() and not others.exists():
            ticket.cause_key, ticket.asset_id, ticket.title = alert.cause_key, alert.asset_id, alert.title
            changes.append(f"A larger cause was found: {alert.title}.\n{alert.reason}")
    was = ticket.priority
    wanted = priority_of(State(alert.severity))
    if wanted < ticket.priority and ticket.touched_at is None:
        ticket.priority = wanted
        changes.append(f"It got worse: priority {wanted}.")
    if not changes:
        return
    with transaction.atomic():
        ticket.changed_at = now
        ticket.save(update_fields=["cause_key", "asset", "title", "priority", "changed_at"])
        change_priority(ticket, was, now)
        write_entry(ticket, "note", "\n".join(changes), actor=ACTOR, now=now)
        journal("ticket.changed", ticket, actor=ACTOR, now=now, more={"alert": alert.pk, "why": changes})


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
