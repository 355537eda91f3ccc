"""The API of tickets: list, open, work on them."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.kernel.cursors import Page
from forestall.tickets import actions, queries, working
from forestall.tickets.opening import Opening
from forestall.tickets.opening import open_ticket as open_ticket_of
from forestall.web.api.auth import May, actor, seen_by
from forestall.web.api.configs import ChangeOut
from forestall.web.api.findings import FindingOut
from forestall.web.api.paging import Listed, cursor_of, limit_of

router = Router(tags=["tickets"])
READ, WRITE = May("tickets:read"), May("tickets:write")


class TicketIn(Schema):
    """A new ticket; priority 1 (now) to 4 (whenever)."""

    client: str
    title: str
    text: str = ""
    asset: str | None = None
    priority: int = 3
    impact: int | None = Field(None, examples=[2])
    urgency: int | None = Field(None, examples=[2])
    reporter: str | None = None
    came_by: str = "hand"
    tags: list[str] = []
    checklist: list[str] = []


class TicketChange(Schema):
    """What is left out stays; `assignee` "" gives it to nobody. `text` goes with the status."""

    status: str | None = Field(None, examples=["in_progress"])
    text: str = ""
    priority: int | None = Field(None, examples=[2])
    assignee: str | None = None
    title: str | None = Field(None, examples=["The till is dark"])


class TicketMergeIn(Schema):
    """The ticket that it is the same as."""

    into: str


class TicketOut(Schema):
    """A ticket."""

    id: str
    number: int
    client: str = Field(validation_alias="client_id")
    asset: str | None = Field(validation_alias="asset_id")
    title: str
    status: str
    priority: int
    assignee: str | None = Field(validation_alias="assignee_id")
    reporter: str | None = Field(validation_alias="reporter_id")
    came_by: str
    impact: int | None
    urgency: int | None
    tags: list[str]
    occurrences: int
    first_due_at: datetime | None
    first_done_at: datetime | None
    solve_due_at: datetime | None
    solved_at: datetime | None
    merged_into: str | None = Field(validation_alias="merged_into_id")
    opened_at: datetime
    changed_at: datetime
    closed_at: datetime | None


class EntryOut(Schema):
    """A line of a ticket's timeline."""

    id: str
    at: datetime
    actor: str
    kind: str
    visibility: str
    direction: str
    text: str


class NoteIn(Schema):
    """A line for the timeline."""

    text: str


class ReplyIn(Schema):
    """An answer to the client; `status` is set with it, when given."""

    text: str
    status: str = ""


class EffortIn(Schema):
    """Time that was spent without a timer, up to now."""

    minutes: int
    cost_class: str = "remote"
    note: str = ""


class EffortOut(Schema):
    """Time that a person spends on a ticket; `ended_at` null: still running."""

    id: str
    ticket: str = Field(validation_alias="ticket_id")
    person: str = Field(validation_alias="person_id")
    started_at: datetime
    ended_at: datetime | None
    cost_class: str
    note: str


class BeforeOut(Schema):
    """What was changed or restarted before the ticket that nobody of ours accounts for: `text` is a sentence,
    "" for nothing; `changes` are identifiers, oldest first."""

    text: str
    changes: list[str]


class TicketDetails(TicketOut):
    """A ticket with its findings, the changes before it and its timeline (oldest first)."""

    alerts: list[str]
    findings: list[FindingOut]
    evidence: list[str]
    changes: list[ChangeOut]
    before: BeforeOut
    timeline: list[EntryOut]
    effort: list[EffortOut]
    spent_s: float


@router.get("/tickets", auth=READ, response=Listed[TicketOut])
def list_tickets(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    status: str = "",
    assignee: str = "",
    unassigned: bool = False,
    closed: bool = False,
    q: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Tickets, the most urgent first; with `closed` also those that are closed."""
    return queries.list_tickets(
        seen_by(request),
        open_only=not closed,
        client=client,
        asset=asset,
        statuses=[one for one in status.split(",") if one],
        assignee=assignee,
        unassigned=unassigned,
        words=q,
        after=cursor or None,
        most=limit,
    )


@router.post("/tickets", auth=WRITE, response={201: TicketOut})
def open_ticket(request: HttpRequest, body: TicketIn) -> tuple[int, Any]:
    """Open a ticket."""
    return 201, open_ticket_of(seen_by(request), Opening(**body.model_dump()), now=timezone.now())


@router.get("/tickets/{ticket}", auth=READ, response=TicketDetails)
def get_ticket(request: HttpRequest, ticket: str) -> dict[str, Any]:
    """A ticket with all that belongs to it."""
    page = queries.page_of(seen_by(request), ticket, now=timezone.now())
    names = [str(field.validation_alias or name) for name, field in TicketOut.model_fields.items()]
    return {name: getattr(page.ticket, name) for name in names} | {
        "alerts": [alert.pk for alert in page.alerts],
        "findings": page.findings,
        "evidence": [one.pk for one in page.evidence],
        "changes": page.changes,
        "before": {"text": page.before.text, "changes": [one.pk for one in page.before.changes]},
        "timeline": page.timeline,
        "effort": page.effort,
        "spent_s": page.spent.total_seconds(),
    }


@router.patch("/tickets/{ticket}", auth=WRITE, response=TicketOut)
def change_ticket(request: HttpRequest, ticket: str, body: TicketChange) -> Any:
    """Change status, priority or assignee."""
    scope, now = seen_by(request), timezone.now()
    row = queries.get(scope, ticket)
    with transaction.atomic():
        if body.title is not None:
            row = actions.rename(scope, ticket, title=body.title, now=now)
        if body.priority is not None:
            row = actions.set_priority(scope, ticket, priority=body.priority, now=now)
        if body.assignee is not None:
            row = actions.assign(scope, ticket, person=body.assignee or None, now=now)
        if body.status is not None:
            row = actions.set_status(scope, ticket, status=body.status, text=body.text, now=now)
    return row


@router.post("/tickets/{ticket}/merge", auth=WRITE, response=TicketOut)
def merge(request: HttpRequest, ticket: str, body: TicketMergeIn) -> Any:
    """The ticket is the same as another of its client: it is closed. Answers the other, with its effort."""
    return working.merge(seen_by(request), ticket, into=body.into, now=timezone.now())


@router.post("/tickets/{ticket}/notes", auth=WRITE, response={201: EntryOut})
def note(request: HttpRequest, ticket: str, body: NoteIn) -> tuple[int, Any]:
    """Write a line on the timeline."""
    return 201, working.note(seen_by(request), ticket, text=body.text, now=timezone.now())


@router.post("/tickets/{ticket}/replies", auth=WRITE, response={201: EntryOut})
def reply(request: HttpRequest, ticket: str, body: ReplyIn) -> tuple[int, Any]:
    """Answer the client; it leaves as mail."""
    now = timezone.now()
    return 201, working.reply(seen_by(request), ticket, text=body.text, status=body.status, now=now)


@router.post("/tickets/{ticket}/effort", auth=WRITE, response={201: EffortOut})
def log_effort(request: HttpRequest, ticket: str, body: EffortIn) -> tuple[int, Any]:
    """Write down time that was spent without a timer."""
    person, given = actor(request), body.model_dump()
    return 201, working.log_effort(seen_by(request), ticket, person=person, **given, now=timezone.now())


@router.post("/tickets/{ticket}/timer", auth=WRITE, response=EffortOut)
def start_timer(request: HttpRequest, ticket: str) -> Any:
    """Work on this ticket from now on; a timer of yours on another ticket stops."""
    return actions.start_timer(seen_by(request), ticket, person=actor(request), now=timezone.now())


@router.delete("/tickets/{ticket}/timer", auth=WRITE, response={204: None})
def stop_timer(request: HttpRequest, ticket: str) -> tuple[int, None]:
    """Stop your timer, if it runs on this ticket."""
    row = queries.get(seen_by(request), ticket)
    running = queries.running_timer(seen_by(request), actor(request))
    if running is not None and running.ticket_id == row.pk:
        actions.stop_timer(seen_by(request), person=actor(request), now=timezone.now())
    return 204, None
