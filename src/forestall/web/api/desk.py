"""The API of the desk's set-up: service levels, queues, templates, recurring tickets."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.tickets import desk_queries, setting_up
from forestall.tickets.setting_up import LevelTerms, RecurringTerms, TemplateTerms
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed

router = Router(tags=["desk"])
READ, WRITE, DESK = May("tickets:read"), May("tickets:write"), May("desk:write")


class QueueIn(Schema):
    """A queue of the provider; the smallest position stands first."""

    name: str
    position: int = 0


class QueueOut(QueueIn):
    """A queue."""

    id: str


class LevelIn(Schema):
    """What is promised. `hours`: seven lists, Monday first, of [begin, end] in minutes of the local day.
    `targets`: by priority ("1" to "4") [first response, resolution] in seconds of business time, or null."""

    name: str
    timezone: str = "UTC"
    hours: list[list[list[int]]] = Field(examples=[[[[480, 1020]]] * 5 + [[], []]])
    country: str = ""
    subdivision: str = ""
    targets: dict[str, list[int | None]] = Field(examples=[{"1": [1800, 14400]}])
    warn_percent: int = 75


class NewLevel(LevelIn):
    """`client` null: the provider's default."""

    client: str | None = None


class LevelOut(LevelIn):
    """A service level."""

    id: str
    client: str | None = Field(validation_alias="client_id")


class TemplateIn(Schema):
    """How tickets of a sort begin."""

    name: str
    title: str
    text: str = ""
    reply: str = ""
    impact: int = 3
    urgency: int = 3
    queue: str | None = None
    checklist: list[str] = []
    tags: list[str] = []


class NewTemplate(TemplateIn):
    """`client` null: for all clients."""

    client: str | None = None


class TemplateOut(TemplateIn):
    """A template."""

    id: str
    client: str | None = Field(validation_alias="client_id")
    queue: str | None = Field(validation_alias="queue_id")


class RecurringIn(Schema):
    """A ticket that is opened again and again: `every` is day, week or month."""

    ticket_template: str
    every: str
    next_at: datetime
    asset: str | None = None


class NewRecurring(RecurringIn):
    """Of which client."""

    client: str


class RecurringOut(Schema):
    """A recurring ticket; `made`: tickets so far."""

    id: str
    client: str = Field(validation_alias="client_id")
    ticket_template: str = Field(validation_alias="template_id")
    asset: str | None = Field(validation_alias="asset_id")
    every: str
    next_at: datetime
    made: int


@router.get("/queues", auth=READ, response=Listed[QueueOut])
def list_queues(request: HttpRequest) -> Any:
    """Queues, in order."""
    return {"items": desk_queries.list_queues(seen_by(request)), "next": None}


@router.post("/queues", auth=DESK, response={201: QueueOut})
def add_queue(request: HttpRequest, body: QueueIn) -> tuple[int, Any]:
    """Add a queue."""
    return 201, setting_up.keep_queue(seen_by(request), **body.model_dump(), now=timezone.now())


@router.put("/queues/{queue}", auth=DESK, response=QueueOut)
def change_queue(request: HttpRequest, queue: str, body: QueueIn) -> Any:
    """Rename a queue, or give it another place."""
    return setting_up.keep_queue(seen_by(request), **body.model_dump(), queue=queue, now=timezone.now())


@router.delete("/queues/{queue}", auth=DESK, response={204: None})
def retire_queue(request: HttpRequest, queue: str) -> tuple[int, None]:
    """Retire a queue that no open ticket lies in."""
    setting_up.retire_queue(seen_by(request), queue, now=timezone.now())
    return 204, None


@router.get("/service-levels", auth=READ, response=Listed[LevelOut])
def list_levels(request: HttpRequest) -> Any:
    """Service levels in force: the default first."""
    return {"items": desk_queries.list_levels(seen_by(request)), "next": None}


@router.post("/service-levels", auth=DESK, response={201: LevelOut})
def add_level(request: HttpRequest, body: NewLevel) -> tuple[int, Any]:
    """Add the service level of a client, or the default."""
    given = body.model_dump()
    client = given.pop("client") or ""
    scope, now = seen_by(request), timezone.now()
    return 201, setting_up.keep_level(scope, LevelTerms(**given), client=client, now=now)


@router.put("/service-levels/{service_level}", auth=DESK, response=LevelOut)
def change_level(request: HttpRequest, service_level: str, body: LevelIn) -> Any:
    """Other terms; tickets that are open follow from the next thing that happens on them."""
    terms = LevelTerms(**body.model_dump())
    return setting_up.keep_level(seen_by(request), terms, level=service_level, now=timezone.now())


@router.delete("/service-levels/{service_level}", auth=DESK, response={204: None})
def retire_level(request: HttpRequest, service_level: str) -> tuple[int, None]:
    """New tickets have it no more; those that have it keep it."""
    setting_up.retire_level(seen_by(request), service_level, now=timezone.now())
    return 204, None


@router.get("/ticket-templates", auth=READ, response=Listed[TemplateOut])
def list_templates(request: HttpRequest) -> Any:
    """Templates for all clients, and those of clients."""
    return {"items": list(desk_queries.list_templates(seen_by(request))), "next": None}


@router.post("/ticket-templates", auth=WRITE, response={201: TemplateOut})
def add_template(request: HttpRequest, body: NewTemplate) -> tuple[int, Any]:
    """Add a template."""
    given = body.model_dump()
    client = given.pop("client") or ""
    scope, now = seen_by(request), timezone.now()
    return 201, setting_up.keep_template(scope, TemplateTerms(**given), client=client, now=now)


@router.put("/ticket-templates/{ticket_template}", auth=WRITE, response=TemplateOut)
def change_template(request: HttpRequest, ticket_template: str, body: TemplateIn) -> Any:
    """Change a template; tickets that were opened from it stay as they are."""
    terms = TemplateTerms(**body.model_dump())
    return setting_up.keep_template(seen_by(request), terms, template=ticket_template, now=timezone.now())


@router.delete("/ticket-templates/{ticket_template}", auth=WRITE, response={204: None})
def retire_template(request: HttpRequest, ticket_template: str) -> tuple[int, None]:
    """Retire a template that no recurring ticket is opened from."""
    setting_up.retire_template(seen_by(request), ticket_template, now=timezone.now())
    return 204, None


@router.get("/recurring-tickets", auth=READ, response=Listed[RecurringOut])
def list_recurring(request: HttpRequest) -> Any:
    """Recurring tickets, the next first."""
    return {"items": desk_queries.list_recurring(seen_by(request)), "next": None}


@router.post("/recurring-tickets", auth=WRITE, response={201: RecurringOut})
def add_recurring(request: HttpRequest, body: NewRecurring) -> tuple[int, Any]:
    """Open a ticket again and again."""
    scope, now = seen_by(request), timezone.now()
    return 201, setting_up.keep_recurring(scope, _recurring(body), client=body.client, now=now)


@router.put("/recurring-tickets/{recurring}", auth=WRITE, response=RecurringOut)
def change_recurring(request: HttpRequest, recurring: str, body: RecurringIn) -> Any:
    """Another template, rhythm or time."""
    now = timezone.now()
    return setting_up.keep_recurring(seen_by(request), _recurring(body), recurring=recurring, now=now)


@router.delete("/recurring-tickets/{recurring}", auth=WRITE, response={204: None})
def end_recurring(request: HttpRequest, recurring: str) -> tuple[int, None]:
    """It opens no more tickets."""
    setting_up.end_recurring(seen_by(request), recurring, now=timezone.now())
    return 204, None


def _recurring(body: RecurringIn) -> RecurringTerms:
    return RecurringTerms(
        template=body.ticket_template, every=body.every, next_at=body.next_at, asset=body.asset
    )
