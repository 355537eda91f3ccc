"""The API of keeping: holds against retention, the deletion of a client and its certificate."""

from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.estate.queries import find_client
from forestall.estate.tenancy import Scope
from forestall.keeping import actions, queries
from forestall.keeping.certificate import certificate
from forestall.keeping.models import Deletion, Hold
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import found

router = Router(tags=["keeping"])
READ, WRITE = May("alerts:read"), May("alerts:write")
OWNER_READ, OWNER = May("installation:read"), May("installation:write")


class HoldIn(Schema):
    """Keep retention away from a client's telemetry, or from an asset's, of a span of time. `until`: when
    the hold ends by itself."""

    client: str
    reason: str = Field(examples=["Case 12: keep everything around the outage"])
    asset: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    until: datetime | None = None


class HoldOut(Schema):
    """A hold; `released_at` null: it was not released."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str | None = Field(validation_alias="asset_id")
    from_at: datetime | None
    to_at: datetime | None
    reason: str
    made_by: str
    made_at: datetime
    until: datetime | None
    released_at: datetime | None
    released_by: str


class DeletionIn(Schema):
    """`confirm` is the client's name, typed out."""

    confirm: str


class DeletionOut(Schema):
    """An ordered deletion; `done_at` null: it is not carried out yet, `error` says why."""

    client: str
    ordered_by: str
    ordered_at: datetime | None
    error: str
    done_at: datetime | None


@router.get("/holds", auth=READ, response=list[HoldOut])
def list_holds(request: HttpRequest, client: str = "") -> list[Hold]:
    """Holds, the newest first, also released ones."""
    return list(queries.list_holds(seen_by(request), client=client, limit=queries.PAGE_MAX))


@router.post("/holds", auth=WRITE, response={201: HoldOut})
def make_hold(request: HttpRequest, body: HoldIn) -> tuple[int, Hold]:
    """Hold telemetry against retention."""
    return 201, actions.hold(seen_by(request), **body.model_dump(), now=timezone.now())


@router.get("/holds/{hold}", auth=READ, response=HoldOut)
def get_hold(request: HttpRequest, hold: str) -> Hold:
    """A hold."""
    return found(queries.find_hold(seen_by(request), hold))


@router.delete("/holds/{hold}", auth=WRITE, response={204: None})
def release_hold(request: HttpRequest, hold: str) -> tuple[int, None]:
    """Release a hold: retention may go on."""
    actions.release_hold(seen_by(request), hold, now=timezone.now())
    return 204, None


@router.post("/clients/{client}/deletion", auth=OWNER, response={202: DeletionOut})
def order_deletion(request: HttpRequest, client: str, body: DeletionIn) -> tuple[int, Deletion]:
    """Delete a client and everything of it, for good. It is carried out within minutes."""
    row = found(find_client(seen_by(request), client))
    ordered = actions.order_deletion(seen_by(request), row.pk, confirm=body.confirm, now=timezone.now())
    return 202, ordered


@router.get("/clients/{client}/deletion", auth=OWNER_READ, response=DeletionOut)
def get_deletion(request: HttpRequest, client: str) -> Deletion:
    """How far the deletion of a client is; `ordered_at` null: none was ordered."""
    return _deletion(seen_by(request), client)


@router.get("/clients/{client}/deletion/certificate", auth=OWNER_READ, response=dict[str, Any])
def get_certificate(request: HttpRequest, client: str) -> dict[str, Any]:
    """The certificate of a deletion, with its proof from the journal."""
    scope = seen_by(request)
    archives = Path(settings.CONFIG.backup.directory or settings.DATA.root / "backups")
    return certificate(scope, _deletion(scope, client).client, archives=archives, now=timezone.now())


def _deletion(scope: Scope, client: str) -> Deletion:
    """The deletion of a client, or one that was not ordered for a client that is there."""
    known = queries.find_deletion(scope, client)
    return known or Deletion(client=found(find_client(scope, client)).pk)
