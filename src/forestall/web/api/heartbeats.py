"""The API of heartbeats: jobs that ping when they end."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.estate import queries
from forestall.intake import heartbeats
from forestall.intake.heartbeat_models import Heartbeat
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.kernel.errors import Trouble
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, limit_of, one

router = Router(tags=["heartbeats"])
READ, WRITE = May("estate:read"), May("estate:write")


class HeartbeatIn(Schema):
    """A new heartbeat: it pings every `period_s`, and may be `grace_s` late."""

    asset: str
    name: str = Field(examples=["nightly backup"])
    period_s: int = 86_400
    grace_s: int = 3_600


class HeartbeatOut(Schema):
    """A heartbeat. `state`: waiting (never heard), in_time, running, late, failed."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    name: str
    period_s: int
    grace_s: int
    state: str
    pinged_at: datetime | None
    ok_at: datetime | None
    failed_at: datetime | None
    began_at: datetime | None
    lasted_ms: int | None

    @staticmethod
    def resolve_state(row: Heartbeat) -> str:
        """How it stands now."""
        return heartbeats.state_of(row, timezone.now())


class HeartbeatMade(HeartbeatOut):
    """A heartbeat that was just made. Whoever knows `ping_url` can ping; the console shows it again."""

    ping_url: str

    @staticmethod
    def resolve_ping_url(row: Heartbeat) -> str:
        """Where it pings."""
        return heartbeats.address_of(row, settings.CONFIG.url)


@router.get("/heartbeats", auth=READ, response=Listed[HeartbeatOut])
def list_heartbeats(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Heartbeats, the oldest first."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = heartbeats.list_heartbeats(
        seen_by(request), client=client, asset=asset, after=after, limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.pk,))


@router.post("/heartbeats", auth=WRITE, response={201: HeartbeatMade})
def add_heartbeat(request: HttpRequest, body: HeartbeatIn) -> tuple[int, Heartbeat]:
    """Add a heartbeat."""
    asset = queries.find_asset(seen_by(request), body.asset)
    if asset is None:
        raise Trouble("there is no such asset", "Choose one that you see.")
    given = body.model_dump(exclude={"asset"})
    return 201, heartbeats.add_heartbeat(seen_by(request), asset=asset, **given)


@router.get("/heartbeats/{heartbeat}", auth=READ, response=HeartbeatOut)
def get_heartbeat(request: HttpRequest, heartbeat: str) -> Heartbeat:
    """A heartbeat."""
    return one(request, heartbeats.find_heartbeat, heartbeat)


@router.delete("/heartbeats/{heartbeat}", auth=WRITE, response={204: None})
def remove_heartbeat(request: HttpRequest, heartbeat: str) -> tuple[int, None]:
    """Remove a heartbeat: its address opens nothing any more."""
    heartbeats.remove_heartbeat(seen_by(request), one(request, heartbeats.find_heartbeat, heartbeat))
    return 204, None
