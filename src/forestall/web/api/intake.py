"""The API of the intake: senders that nobody knows, and what was set aside by mistakes of ours."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Field, Router, Schema

from forestall.estate import queries
from forestall.estate.models import Asset
from forestall.intake import aside, poison, strangers
from forestall.intake import queries as intake
from forestall.intake.models import Stranger
from forestall.kernel.clock import from_ms
from forestall.kernel.cursors import Page, cut
from forestall.web.api import shapes
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, after_time, cursor_of, found, limit_of, one

router = Router(tags=["intake"])
READ, WRITE, REPLAY = May("installation:read"), May("estate:write"), May("installation:write")


class StrangerOut(Schema):
    """A sender that no asset is: an address, or with a client the name of a host. What it sends waits until
    somebody says whose it is. `state`: waiting, ignored, released or feeding (it is being taken in), done."""

    id: str
    client: str | None = Field(validation_alias="client_id")
    asset: str | None = Field(validation_alias="asset_id")
    door: str
    sender: str
    state: str
    reason: str
    example: str
    first_at: datetime
    last_at: datetime
    records: int
    kept_records: int
    kept_bytes: int
    dropped_records: int
    dropped_bytes: int
    fed_records: int


class Assignment(Schema):
    """Which asset the sender is."""

    asset: str


class NewAsset(Schema):
    """The asset to make of the sender; `client` may be left out where a token said whose it is."""

    client: str = ""
    name: str = ""
    kind: str = "other"


class SetAsideOut(Schema):
    """Frames that could not be processed by a mistake of Forestall. `missing_in`: where they are missing
    (`judging`, `search`, `both`); `replaying`: somebody asked for it."""

    name: str
    at: datetime
    reason: str
    missing_in: str
    frames: int
    size_bytes: int
    replaying: bool


class Named(Schema):
    """One of what was set aside."""

    name: str


@router.get("/strangers", auth=READ, response=Listed[StrangerOut])
def list_strangers(
    request: HttpRequest, state: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Senders that nobody knows, the latest first; those that are done only if `state` asks for them."""
    rows = intake.list_strangers(seen_by(request), state=state, after=after_time(cursor), limit=limit + 1)
    return cut(rows, limit, lambda row: (row.last_at, row.pk))


@router.get("/strangers/{stranger}", auth=READ, response=StrangerOut)
def get_stranger(request: HttpRequest, stranger: str) -> Stranger:
    """One of them."""
    return one(request, intake.find_stranger, stranger)


@router.post("/strangers/{stranger}/assign", auth=WRITE, response=StrangerOut)
def assign(request: HttpRequest, stranger: str, body: Assignment) -> Stranger:
    """The sender is this asset: what waits is taken in, and so is what comes."""
    row = one(request, intake.find_stranger, stranger)
    asset = found(queries.find_asset(seen_by(request), body.asset))
    strangers.assign_stranger(seen_by(request), row, asset)
    return one(request, intake.find_stranger, stranger)


@router.post("/strangers/{stranger}/make-asset", auth=WRITE, response={201: shapes.AssetOut})
def make_asset(request: HttpRequest, stranger: str, body: NewAsset) -> tuple[int, Asset]:
    """The sender becomes a new asset: what waits is taken in, and so is what comes."""
    row = one(request, intake.find_stranger, stranger)
    client = row.client_id or body.client
    made = strangers.make_asset_of(seen_by(request), row, client=client, name=body.name, kind=body.kind)
    return 201, found(queries.find_asset(seen_by(request), made.pk))


@router.post("/strangers/{stranger}/ignore", auth=WRITE, response=StrangerOut)
def ignore(request: HttpRequest, stranger: str) -> Stranger:
    """What waits is dropped, and what comes is counted and dropped."""
    strangers.ignore_stranger(seen_by(request), one(request, intake.find_stranger, stranger))
    return one(request, intake.find_stranger, stranger)


@router.post("/strangers/{stranger}/heed", auth=WRITE, response=StrangerOut)
def heed(request: HttpRequest, stranger: str) -> Stranger:
    """What an ignored sender sends is kept again."""
    strangers.heed_stranger(seen_by(request), one(request, intake.find_stranger, stranger))
    return one(request, intake.find_stranger, stranger)


@router.get("/set-aside", auth=READ, response=Listed[SetAsideOut])
def list_set_aside(request: HttpRequest) -> dict[str, Any]:
    """What was set aside, the latest first (at most 1,000); nothing for readers of some clients alone."""
    rows = poison.list_set_aside(settings.DATA.queue / "poison") if seen_by(request).everything else []
    return {"items": [_aside(row) for row in rows], "next": None}


@router.post("/set-aside/replay", auth=REPLAY, response={202: None})
def replay(request: HttpRequest, body: Named) -> tuple[int, None]:
    """Feed it to the queue again, for the part of Forestall that has not taken it."""
    aside.replay(seen_by(request), settings.DATA.queue / "poison", body.name)
    return 202, None


@router.post("/set-aside/throw-away", auth=REPLAY, response={204: None})
def throw_away(request: HttpRequest, body: Named) -> tuple[int, None]:
    """Delete it for good."""
    aside.throw_away(seen_by(request), settings.DATA.queue / "poison", body.name)
    return 204, None


def _aside(row: poison.SetAside) -> dict[str, Any]:
    return {
        "name": row.name,
        "at": from_ms(row.about.at_ms),
        "reason": row.about.reason,
        "missing_in": {"judge": "judging", "store": "search"}.get(row.about.side, "both"),
        "frames": row.about.frames,
        "size_bytes": row.size_bytes,
        "replaying": row.about.replay,
    }
