"""The API of telemetry: series for charts, log search."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from ninja.params.functions import Query

from forestall.estate.queries import find_asset, find_client
from forestall.estate.tenancy import Scope
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.cursors import CURSOR_MAX_CHARS
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import from_number, to_number
from forestall.telemetry import read, search
from forestall.telemetry.scope import Clients
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, found
from forestall.web.telemetry import clients_of_scope, store

router = Router(tags=["telemetry"])
READ = May("telemetry:read")
SPAN = timedelta(hours=24)
SPAN_MAX = timedelta(days=3660)


class SeriesOut(Schema):
    """A series of an asset with its latest value."""

    metric: str
    item: str
    at: datetime
    value: float


class PointsOut(Schema):
    """A chart's points in columns; a gap is a point whose values are null."""

    at: list[datetime]
    low: list[float | None]
    mean: list[float | None]
    high: list[float | None]
    last: list[float | None]


class LineOut(Schema):
    """A log line; severity and facility as in RFC 5424."""

    client: str
    asset: str
    at: datetime
    received_at: datetime
    severity: int
    facility: int
    source: str
    host: str
    message: str
    raw: str
    attrs: str


class BucketOut(Schema):
    """How many lines of a severity there are from `at` on."""

    at: datetime
    severity: int
    count: int


def _span(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    end = until or timezone.now()
    start = since or end - SPAN
    if not start < end or end - start > SPAN_MAX:
        raise Trouble("`since` lies before `until`, by at most ten years", "Correct the times.")
    return to_ms(start), to_ms(end)


def _asset(scope: Scope, identifier: str) -> int:
    return to_number(found(find_asset(scope, identifier)).pk)


def _clients(scope: Scope, client: str) -> Clients:
    """Those that the reader sees, or the one that they ask for. Raises Http404."""
    return clients_of_scope(scope.narrowed(found(find_client(scope, client)).pk) if client else scope)


@router.get("/assets/{asset}/series", auth=READ, response=Listed[SeriesOut])
def list_series(
    request: HttpRequest, asset: str, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Any]:
    """The series of an asset that had a value in a span of time (else in the last day)."""
    scope = seen_by(request)
    number = _asset(scope, asset)
    from_ms_, to_ms_ = _span(since, until)
    names = read.list_series(store(), clients_of_scope(scope), asset=number, from_ms=from_ms_, to_ms=to_ms_)
    items = [
        {"metric": one.metric, "item": one.item, "at": from_ms(one.at_ms), "value": one.value}
        for one in names
    ]
    return {"items": items, "next": None}


@router.get("/series", auth=READ, response=PointsOut)
def read_series(
    request: HttpRequest,
    asset: str,
    metric: str,
    item: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    pixels: int = Query(800, ge=1, le=read.PIXELS_MAX),
) -> dict[str, Any]:
    """A series between two instants (else the last day) in at most `pixels` points."""
    scope = seen_by(request)
    number = _asset(scope, asset)
    from_ms_, to_ms_ = _span(since, until)
    series = read.read_series(
        store(),
        clients_of_scope(scope),
        asset=number,
        metric=metric,
        item=item,
        from_ms=from_ms_,
        to_ms=to_ms_,
        pixels=pixels,
    )
    return {
        "at": [from_ms(at) for at in series.at_ms],
        "low": series.low,
        "mean": series.mean,
        "high": series.high,
        "last": series.last,
    }


@router.get("/logs", auth=READ, response=Listed[LineOut])
def search_logs(
    request: HttpRequest,
    q: str = Query("", description="The search language of the console."),
    client: str = "",
    asset: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str = Query("", max_length=CURSOR_MAX_CHARS),
    limit: int = Query(100, ge=1, le=search.LINES_MAX),
) -> dict[str, Any]:
    """Log lines that match, newest first, of a span of time (else of the last day)."""
    scope = seen_by(request)
    clients = _clients(scope, client)
    number = _asset(scope, asset) if asset else None
    from_ms_, to_ms_ = _span(since, until)
    page = search.search_logs(
        store(),
        q,
        clients=clients,
        asset=number,
        from_ms=from_ms_,
        to_ms=to_ms_,
        limit=limit,
        before=cursor or None,
    )
    return {"items": [_line(line) for line in page.lines], "next": page.next}


@router.get("/logs/histogram", auth=READ, response=list[BucketOut])
def histogram(
    request: HttpRequest,
    q: str = "",
    client: str = "",
    asset: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    buckets: int = Query(60, ge=1, le=search.BUCKETS_MAX),
) -> list[dict[str, Any]]:
    """How many lines match over time, by severity; only where there are any."""
    scope = seen_by(request)
    clients = _clients(scope, client)
    number = _asset(scope, asset) if asset else None
    from_ms_, to_ms_ = _span(since, until)
    rows = search.histogram(
        store(), q, clients=clients, asset=number, from_ms=from_ms_, to_ms=to_ms_, buckets=buckets
    )
    return [{"at": from_ms(at), "severity": severity, "count": count} for at, severity, count in rows]


def _line(line: search.Line) -> dict[str, Any]:
    names = ("severity", "facility", "source", "host", "message", "raw", "attrs")
    return {name: getattr(line, name) for name in names} | {
        "client": from_number(line.client),
        "asset": from_number(line.asset),
        "at": from_ms(line.at_ms),
        "received_at": from_ms(line.received_at_ms),
    }
