"""Logs: a search with a histogram and the most frequent values, live when asked to be, and its lines to take
away."""

from dataclasses import dataclass

import msgspec
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import queries as estate
from forestall.estate.models import Asset
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.ids import from_number, to_number
from forestall.telemetry.client import StoreRefused, StoreUnavailable
from forestall.telemetry.search import LINES_MAX, Line, SearchError, facets, histogram, search_logs
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, seen_or_404
from forestall.web.telemetry import clients_of_scope, store

SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
BARS = 60
LINES = 200
EXPORT_LINES_MAX = 50_000
NO_ANSWER = "The store does not answer now. Nothing is lost: what comes in waits in the queue."


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: from the address of the page."""

    query: str
    span: str
    asset: Asset | None
    from_ms: int
    to_ms: int

    def where(self, request: Asked) -> dict[str, object]:
        """As the functions of telemetry.search take it."""
        return {
            "clients": clients_of_scope(request.scope),
            "asset": to_number(self.asset.pk) if self.asset else None,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
        }


def read_search(request: Asked) -> Search:
    """Raises Http404 for an asset that the reader does not see."""
    given = request.GET
    span = given.get("span", "1h")
    span = span if span in SPANS else "1h"
    to_ms_ = to_ms(timezone.now()) + 60_000
    asset = (
        seen_or_404(lambda: estate.find_asset(request.scope, given["asset"])) if given.get("asset") else None
    )
    return Search(given.get("q", ""), span, asset, to_ms_ - SPANS[span] * 1000, to_ms_)


@needs("telemetry:read")
def logs(request: Asked) -> HttpResponse:
    """Search in the logs, with a histogram and the most frequent values."""
    asked = read_search(request)
    query, where = asked.query, asked.where(request)
    context: dict[str, object] = {
        "nav": "logs",
        "q": query,
        "span": asked.span,
        "spans": list(SPANS),
        "asset": asked.asset,
        "from_ms": asked.from_ms,
        "live": request.GET.get("live") == "1",
        "export_most": EXPORT_LINES_MAX,
    }
    try:
        page = search_logs(store(), query, limit=LINES, before=request.GET.get("before") or None, **where)  # type: ignore[arg-type]
        bars = histogram(store(), query, buckets=BARS, **where)  # type: ignore[arg-type]
        context |= {
            "lines": _named(request, page.lines),
            "next": page.next,
            "bars": _bars(bars, asked.from_ms, asked.to_ms),
            "total": sum(count for _, _, count in bars),
            "facets": facets(store(), query, **where),  # type: ignore[arg-type]
        }
    except SearchError as error:
        context |= {
            "error": error.message,
            "before_error": query[: error.position],
            "at_error": query[error.position :],
        }
    except (StoreUnavailable, StoreRefused):
        messages.error(request, NO_ANSWER)
    return render(request, "console/logs.html", context)


@needs("telemetry:read")
def logs_export(request: Asked) -> HttpResponse:
    """The lines that match, newest first, as JSON lines; at most EXPORT_LINES_MAX."""
    asked = read_search(request)
    where = asked.where(request)
    rows: list[bytes] = []
    cursor: str | None = None
    try:
        while len(rows) < EXPORT_LINES_MAX:
            page = search_logs(store(), asked.query, limit=LINES_MAX, before=cursor, **where)  # type: ignore[arg-type]
            rows += [_exported(line, name) for line, _, name in _named(request, page.lines)]
            cursor = page.next
            if cursor is None:
                break
    except SearchError as error:
        messages.error(request, error.message)
        return redirect("logs")
    except (StoreUnavailable, StoreRefused):
        messages.error(request, NO_ANSWER)
        return redirect("logs")
    answer = HttpResponse(b"".join(rows[:EXPORT_LINES_MAX]), content_type="application/x-ndjson")
    answer["Content-Disposition"] = 'attachment; filename="logs.jsonl"'
    return answer


def _exported(line: Line, name: str) -> bytes:
    told = {
        "at": from_ms(line.at_ms).isoformat(timespec="milliseconds"),
        "asset": name,
        "host": line.host,
        "source": line.source,
        "severity": line.severity,
        "facility": line.facility,
        "message": line.message,
        "raw": line.raw,
        "attrs": msgspec.Raw(line.attrs.encode() if line.attrs else b"{}"),
    }
    return msgspec.json.encode(told) + b"\n"


def _named(request: Asked, lines: list[Line]) -> list[tuple[Line, str, str]]:
    """Lines with their asset's identifier and name."""
    wanted = {from_number(line.asset) for line in lines}
    names = {asset.pk: asset.name for asset in estate.assets_by_id(request.scope, wanted)}
    rows = []
    for line in lines:
        identifier = from_number(line.asset)
        rows.append((line, identifier, names.get(identifier, "")))
    return rows


def _bars(found: list[tuple[int, int, int]], from_ms: int, to_ms_: int) -> list[dict[str, object]]:
    """The histogram as rectangles in a drawing of 600 × 60."""
    totals: dict[int, list[int]] = {}
    for start, severity, count in found:
        bar = totals.setdefault(start, [0, 0, 0])
        bar[0 if severity <= 3 else 1 if severity == 4 else 2] += count
    most = max((sum(bar) for bar in totals.values()), default=1)
    width = 600 / BARS
    bars = []
    for start, bar in totals.items():
        x = round((start - from_ms) / (to_ms_ - from_ms) * 600, 1)
        floor = 60.0
        for count, tone in zip(bar, ("h-bad", "h-warn", ""), strict=True):
            if count:
                height = max(1.0, round(56 * count / most, 1))
                floor -= height
                bars.append(
                    {"x": x, "y": round(floor, 1), "w": round(width - 1, 1), "h": height, "tone": tone}
                )
    return bars
