"""What an alert means for tickets, decided. Pure: value snapshots in, one decision with its reason out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from forestall.judge.values import State

REOPEN_WITHIN = timedelta(minutes=15)  # what returns this soon after its ticket closed is the same work
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed")
PRIORITIES = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketNow:
    """A ticket as it stands. `linked`: it was opened for, or counted on, the very alert in question."""

    id: str
    cause_key: str
    status: str
    priority: int
    touched: bool
    closed_at: datetime | None
    linked: bool = False


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A new ticket."""

    priority: int
    why: str


@dataclass(frozen=True, slots=True)
class CountOn:
    """One more occurrence on a ticket; `reopen`: it was resolved or closed, and is open again."""

    ticket: str
    reopen: bool
    priority: int
    why: str


@dataclass(frozen=True, slots=True)
class CloseByItself:
    """Nobody had touched it, and it is over."""

    why: str


@dataclass(frozen=True, slots=True)
class NoteRecovery:
    """It recovered; the ticket stays as it is, because of `why`."""

    why: str


def decide_for_alert(
    *, cause_key: str, severity: State, tickets: Sequence[TicketNow], now: datetime
) -> OpenTicket | CountOn:
    """Which ticket an occurrence of an alert belongs to: an open one of the same alert or cause, one that was
    closed a short while ago, else a new one."""
    priority = priority_of(severity)
    ours = [ticket for ticket in tickets if ticket.linked or ticket.cause_key == cause_key]
    still_open = [ticket for ticket in ours if ticket.closed_at is None]
    if still_open:
        ticket = min(still_open, key=lambda t: (not t.linked, t.id))
        back = ticket.status == "resolved"
        why = "it came back after it was resolved" if back else "the same cause again"
        return CountOn(ticket.id, back, min(priority, ticket.priority), why)
    recent = [t for t in ours if t.closed_at is not None and now - t.closed_at <= REOPEN_WITHIN]
    if recent:
        ticket = max(recent, key=lambda t: (t.closed_at or now, t.id))
        return CountOn(
            ticket.id, True, min(priority, ticket.priority), "it came back soon after the ticket was closed"
        )
    return OpenTicket(priority, "the first open ticket of this cause")


def decide_recovery(
    ticket: TicketNow, *, others_wrong: int, acknowledged: bool
) -> CloseByItself | NoteRecovery:
    """What the recovery of an alert does to its ticket."""
    if ticket.closed_at is not None:
        return NoteRecovery("the ticket is closed already")
    if others_wrong:
        return NoteRecovery(f"{others_wrong} more on this ticket still wrong")
    if ticket.touched or acknowledged:
        return NoteRecovery("somebody is on it and decides whether it is done")
    return CloseByItself("it recovered before anybody touched it")


def priority_of(severity: State) -> int:
    """1 (now) for what breaks, 2 for the rest."""
    return 1 if severity is State.BREAKING else 2


def priority_from(*, impact: int, urgency: int) -> int:
    """1 (now) to 4 (whenever), from impact (1 the whole client to 3 one person) and urgency (1 nobody can
    work to 3 it can wait)."""
    return max(1, min(4, impact + urgency - 1))
