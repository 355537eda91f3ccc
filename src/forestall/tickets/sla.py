"""The clocks of a ticket's service level, kept with what happens on it: `following.write_entry` calls
`settle` with every line, so that whoever writes one cannot forget them. Who has the ticket plays no part."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from forestall.findings.gate import every
from forestall.tickets import clock as clocks
from forestall.tickets.clock import Calendar, Clock
from forestall.tickets.models import ServiceLevel, Ticket

PAUSES = frozenset({"waiting"})
OVER = frozenset({"resolved", "closed"})
TOUCH_ANSWERS = frozenset({"alert", "recurring", "hand", "phone"})  # nobody waits for a reply in writing
FIELDS = (
    "service_level", "first_due_at", "first_done_at", "first_left_s", "solve_due_at", "solved_at",
    "solve_left_s", "paused_at", "look_at",
)  # fmt: skip
NOTHING_SOON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Promised:
    """The two clocks of a ticket."""

    first: Clock
    solve: Clock


def level_for(client: str) -> ServiceLevel | None:
    """The client's own service level, else the provider's default."""
    rows = {row.client_id: row for row in every(ServiceLevel).filter(client=client, retired_at=None)}
    return rows.get(client) or ServiceLevel.objects.filter(client=None, retired_at=None).first()


def calendar_of(level: ServiceLevel) -> Calendar:
    """When we work for who has this service level."""
    hours = tuple(tuple((int(begin), int(end)) for begin, end in day) for day in level.hours)
    return Calendar(level.timezone, hours, level.country, level.subdivision)


def settle(ticket: Ticket, kind: str, now: datetime) -> None:
    """Bring the clocks to what the ticket is now, after an entry of this kind, and save their fields."""
    if kind == "clock":
        return
    if kind == "opened":
        level = level_for(ticket.client_id)
        if level is None:
            return
        ticket.service_level = level
        calendar = calendar_of(level)
        clocks_of = Promised(*(clocks.start(calendar, budget, now) for budget in _budgets(ticket)))
    elif ticket.service_level is None:
        return
    else:
        calendar = calendar_of(ticket.service_level)
        clocks_of = promised(ticket)
    first, solve = clocks_of.first, clocks_of.solve
    answered = kind == "reply" or (ticket.touched_at is not None and ticket.came_by in TOUCH_ANSWERS)
    if answered or ticket.status in OVER:
        first = clocks.finish(calendar, first, now)
    if ticket.status in OVER:
        solve = clocks.finish(calendar, solve, now)
    elif ticket.status in PAUSES:
        first, solve = clocks.pause(calendar, first, now), clocks.pause(calendar, solve, now)
    else:
        first = first if first.done_at else clocks.resume(calendar, first, now)
        solve = clocks.resume(calendar, solve, now)
    ticket.paused_at = (ticket.paused_at or now) if ticket.status in PAUSES else None
    keep(ticket, Promised(first, solve), now)


def change_priority(ticket: Ticket, was: int, now: datetime) -> None:
    """Another priority has other budgets; what was used stays used. Saves the clocks' fields."""
    level = ticket.service_level
    if level is None or was == ticket.priority:
        return
    calendar = calendar_of(level)
    old, new = budgets_of(level, was), budgets_of(level, ticket.priority)
    had = _promised(ticket, old)
    first = clocks.promise(calendar, had.first, new[0], now)
    solve = clocks.promise(calendar, had.solve, new[1], now)
    keep(ticket, Promised(first, solve), now)


def promised(ticket: Ticket) -> Promised:
    """The clocks as the row has them."""
    return _promised(ticket, _budgets(ticket))


def keep(ticket: Ticket, given: Promised, now: datetime) -> None:
    """Write the clocks to the row, and when the rounds have to look at it next."""
    first, solve = given.first, given.solve
    ticket.first_due_at, ticket.first_done_at, ticket.first_left_s = first.due_at, first.done_at, first.left_s
    ticket.solve_due_at, ticket.solved_at, ticket.solve_left_s = solve.due_at, solve.done_at, solve.left_s
    ticket.look_at = now if first.runs or solve.runs else None  # the next round says when exactly
    ticket.save(update_fields=FIELDS)


def budgets_of(level: ServiceLevel, priority: int) -> tuple[int | None, int | None]:
    """Seconds of business time for the first response and the resolution, at a priority."""
    first, solve = level.targets.get(str(priority), [None, None])
    return first, solve


def _budgets(ticket: Ticket) -> tuple[int | None, int | None]:
    if ticket.service_level is None:
        return None, None
    return budgets_of(ticket.service_level, ticket.priority)


def _promised(ticket: Ticket, budgets: tuple[int | None, int | None]) -> Promised:
    return Promised(
        Clock(budgets[0], ticket.first_due_at, ticket.first_left_s, ticket.first_done_at),
        Clock(budgets[1], ticket.solve_due_at, ticket.solve_left_s, ticket.solved_at),
    )
