"""The API of configurations: snapshots (versions of a text), differences, changes."""

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Field, Router, Schema
from ninja.params.functions import Query

from forestall.configs import queries
from forestall.kernel.cursors import Page, cut
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, after_time, cursor_of, limit_of, one

router = Router(tags=["configurations"])
READ = May("configs:read")


class SnapshotOut(Schema):
    """A configuration as it was from `captured_at`, last confirmed at `seen_at`."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    kind: str
    title: str
    number: int
    captured_at: datetime
    seen_at: datetime


class SnapshotText(SnapshotOut):
    """A configuration with its text; secrets were masked where it was captured."""

    text: str


class RowOut(Schema):
    """A line of a difference: `kind` is "=", "+", "-" or "…" (lines left out; it goes on under `heading`)."""

    kind: str
    old: int | None
    new: int | None
    text: str
    heading: str = ""


class ChangeOut(Schema):
    """A difference between two captures: it happened after `after_at` and before `at`."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    kind: str
    title: str
    before: str = Field(validation_alias="before_id")
    after: str = Field(validation_alias="after_id")
    after_at: datetime
    at: datetime
    signed_in: list[str]
    added: int
    removed: int
    summary: str


class ChangeDetails(ChangeOut):
    """A change, line by line."""

    rows: list[RowOut]


class RefusalOut(Schema):
    """A capture that was refused or cut short."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    kind: str
    problem: str
    at: datetime


@router.get("/snapshots", auth=READ, response=Listed[SnapshotOut])
def list_snapshots(
    request: HttpRequest,
    asset: str = "",
    kind: str = "",
    latest: bool = False,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Versions of configurations, newest first; with `latest` and `asset` the newest of each kind."""
    if latest:
        return Page(queries.latest_versions(seen_by(request), asset=asset), None)
    rows = queries.list_versions(
        seen_by(request), asset=asset, kind=kind, after=after_time(cursor), limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.captured_at, row.pk))


@router.get("/snapshots/refused", auth=READ, response=Listed[RefusalOut])
def list_refused(request: HttpRequest, asset: str = "") -> dict[str, Any]:
    """Captures that were refused or cut short (at most 500)."""
    return {"items": queries.list_refusals(seen_by(request), asset=asset), "next": None}


@router.get("/snapshots/{snapshot}", auth=READ, response=SnapshotText)
def get_snapshot(request: HttpRequest, snapshot: str) -> Any:
    """A version with its text."""
    row: Any = one(request, queries.find_version, snapshot)
    row.text = queries.read_text(seen_by(request), snapshot)
    return row


@router.get("/snapshots/{snapshot}/difference", auth=READ, response=list[RowOut])
def compare(request: HttpRequest, snapshot: str, with_: str = Query("", alias="with")) -> Any:
    """What is different from another version, of any asset (`with`; else the one before)."""
    found = queries.compare(seen_by(request), snapshot, other=with_)
    if found is None:
        raise Http404
    return found.rows


@router.get("/changes", auth=READ, response=Listed[ChangeOut])
def list_changes(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    before: datetime | None = None,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Changes, newest first; `before` leaves out those at or after an instant."""
    rows = queries.list_changes(
        seen_by(request),
        client=client,
        asset=asset,
        before=before,
        after=after_time(cursor),
        limit=limit + 1,
    )
    return cut(rows, limit, lambda row: (row.at, row.pk))


@router.get("/changes/{change}", auth=READ, response=ChangeDetails)
def get_change(request: HttpRequest, change: str) -> Any:
    """A change, line by line."""
    row: Any = one(request, queries.find_change, change)
    row.rows = queries.difference(seen_by(request), row)
    return row
