"""The API of problems: what recurs, who is suspected, what was done about it and whether it held."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.kernel.cursors import Page
from forestall.problems import actions, queries
from forestall.problems.models import Fix, Problem
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, limit_of, one

router = Router(tags=["problems"])
READ, WRITE = May("tickets:read"), May("tickets:write")


class ProblemOut(Schema):
    """The cause behind recurring tickets. `status`: proposed, open, on_watch, proven or dismissed."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str | None = Field(validation_alias="asset_id")
    fingerprint: str = Field(validation_alias="key")
    title: str
    status: str
    why: str
    opened_at: datetime
    changed_at: datetime
    closed_at: datetime | None
    reopened: int
    root_cause: str
    workaround: str
    known_error: bool


class SuspectOut(Schema):
    """A suspect: a change (`id` is its identifier) or a saturated resource, with its share of all odds."""

    id: str
    kind: str
    asset: str
    title: str
    share: float
    evidence: list[str]


class FixOut(Schema):
    """What was done, and the watch on it."""

    id: str
    change: str | None = Field(validation_alias="change_id")
    what: str
    by: str
    done_at: datetime
    watch_until: datetime
    because: str
    state: str
    proven_at: datetime | None
    came_back_at: datetime | None


class ProblemWhole(Schema):
    """A problem with its tickets, effort (s), suspects of the last onset, and fixes."""

    problem: ProblemOut
    times: int
    tickets: list[str]
    effort_s: int
    suspects: list[SuspectOut]
    fixes: list[FixOut]


class ProblemIn(Schema):
    """Opened from a ticket; "" takes the ticket's title."""

    ticket: str
    title: str = ""


class FixIn(Schema):
    """A change that the system saw, or what was done and when."""

    change: str = ""
    what: str = ""
    done_at: datetime | None = None


@router.get("/problems", auth=READ, response=Listed[ProblemOut])
def list_problems(
    request: HttpRequest,
    status: str = "",
    client: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Problem]:
    """Problems, the last changed first; `status` "live" for those that are not decided."""
    return queries.list_problems(
        seen_by(request), status=status, client=client, after=cursor or None, most=limit
    )


@router.get("/problems/{problem}", auth=READ, response=ProblemWhole)
def get_problem(request: HttpRequest, problem: str) -> dict[str, Any]:
    """One problem."""
    row = one(request, queries.find_problem, problem)
    page = queries.page_of(seen_by(request), row, now=timezone.now())
    return {
        "problem": row,
        "times": page.times,
        "tickets": [ticket.pk for ticket in page.tickets],
        "effort_s": int(page.spent.total_seconds()),
        "suspects": page.suspects.ranked if page.suspects else [],
        "fixes": page.fixes,
    }


@router.post("/problems", auth=WRITE, response={201: ProblemOut})
def open_problem(request: HttpRequest, given: ProblemIn) -> tuple[int, Problem]:
    """Open the problem behind a ticket; the one that is there already when its trouble has one."""
    now = timezone.now()
    made = actions.open_problem(seen_by(request), ticket=given.ticket, title=given.title, now=now)
    return 201, made


@router.post("/problems/{problem}/fixes", auth=WRITE, response={201: FixOut})
def fix_problem(request: HttpRequest, problem: str, given: FixIn) -> tuple[int, Fix]:
    """Name the fix and begin the watch."""
    fix = actions.fix_problem(
        seen_by(request),
        one(request, queries.find_problem, problem).pk,
        what=given.what,
        change=given.change,
        done_at=given.done_at,
        now=timezone.now(),
    )
    return 201, fix
