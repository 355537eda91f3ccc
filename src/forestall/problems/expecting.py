"""What live problems are expected to cost in 30 days, written down, and later held against what came.

The page of prevention shows both, so that its order can be believed or not.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from forestall.findings.gate import every
from forestall.problems.models import Expectation, Fix, Occurrence, Problem
from forestall.tickets.models import Effort, Ticket

EVERY = timedelta(days=30)
LOOK_BACK = timedelta(days=90)
EFFORT_LEAST = timedelta(minutes=15)  # a time, where nobody ran a timer
MOST = 500  # of a round
TICKETS_MOST = 200


def expect_and_score(*, now: datetime) -> tuple[int, int]:
    """New expectations and those whose time is over; how many of each. Safe to repeat."""
    scored = 0
    for row in every(Expectation).filter(came_times=None, until__lte=now).order_by("until")[:MOST]:
        _score(row, now)
        scored += 1
    running = every(Expectation).filter(until__gt=now).values("problem")
    due = every(Problem).filter(status__in=("proposed", "open")).exclude(pk__in=running)
    made = sum(_expect(problem, now) for problem in due.order_by("pk")[:MOST])
    return made, scored


def spent_on(tickets: Iterable[str], *, since: datetime, until: datetime) -> timedelta:
    """The effort on tickets in a time; what runs counts up to its end."""
    rows = every(Effort).filter(ticket__in=tickets, started_at__gte=since, started_at__lt=until)
    return sum(((one.ended_at or until) - one.started_at for one in rows), timedelta())


def _expect(problem: Problem, now: datetime) -> bool:
    since = now - LOOK_BACK
    onsets = every(Occurrence).filter(problem=problem, episode=True, at__gt=since)
    times = onsets.count()
    if not times:
        return False
    seen_for = min(LOOK_BACK, max(now - min(onsets.values_list("at", flat=True)), EVERY))
    spent = max(spent_on(_tickets(problem), since=since, until=now), EFFORT_LEAST * times)
    share = EVERY / seen_for
    Expectation.objects.create(
        client_id=problem.client_id,
        problem=problem,
        at=now,
        until=now + EVERY,
        times=round(times * share, 2),
        effort_s=int(spent.total_seconds() * share),
    )
    return True


def _score(row: Expectation, now: datetime) -> None:
    came = (
        every(Occurrence)
        .filter(problem=row.problem_id, episode=True, at__gt=row.at, at__lte=row.until)
        .count()
    )
    spent = spent_on(_tickets(row.problem), since=row.at, until=row.until)
    row.came_times = came
    row.came_effort_s = int(max(spent, EFFORT_LEAST * came).total_seconds())
    half = row.at + (row.until - row.at) / 2
    row.fixed = every(Fix).filter(problem=row.problem_id, done_at__gt=row.at, done_at__lt=half).exists()
    row.save(update_fields=["came_times", "came_effort_s", "fixed"])


def _tickets(problem: Problem) -> list[str]:
    found = set(every(Ticket).filter(occurrence__problem=problem).values_list("pk", flat=True)[:TICKETS_MOST])
    of_findings = every(Ticket).filter(alerts__findings__occurrence__problem=problem)
    return sorted(found | set(of_findings.values_list("pk", flat=True)[:TICKETS_MOST]))
