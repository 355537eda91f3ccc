"""The page of one collector: what it asks for its site, how it is, what it could not keep."""

from collections import Counter
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from forestall import __version__
from forestall.estate import queries
from forestall.estate.models import Collector
from forestall.estate.tenancy import Scope
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.ids import to_number
from forestall.telemetry import read
from forestall.telemetry.client import StoreRefused, StoreUnavailable
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, seen_or_404
from forestall.web.telemetry import clients_of_scope, store

PROBES_SHOWN = 200
OWN = ("agent.spool_bytes", "agent.dropped_count", "agent.cpu_used_ratio", "agent.memory_bytes")


@needs("estate:read")
def collector_page(request: Asked, collector: str) -> HttpResponse:
    """One collector: its site and ranges, its probes, when it was heard, its spool, what it dropped."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: queries.find_collector(scope, collector))
    numbers, trouble = _numbers(scope, row, now)
    probes = queries.probes_of_collector(scope, row.pk, limit=PROBES_SHOWN + 1)
    context = {
        "nav": "collectors",
        "collector": row,
        "numbers": numbers,
        "trouble": trouble,
        "probes": probes[:PROBES_SHOWN],
        "more": len(probes) > PROBES_SHOWN,
        "kinds": sorted(Counter(one.kind for one in probes).items()),
        "outdated": bool(row.version) and row.version != __version__,
        "ours": __version__,
        "url": settings.CONFIG.url,
    }
    return render(request, "console/collector.html", context)


def _numbers(scope: Scope, row: Collector, now: datetime) -> tuple[dict[str, Any], str]:
    """Its own last numbers by name (`spool_bytes`, …, `at`); why there are none without the store."""
    try:
        known = read.latest_of_assets(
            store(),
            clients_of_scope(scope),
            assets=[to_number(row.asset_id)],
            metrics=OWN,
            now_ms=to_ms(now),
        )
    except (StoreRefused, StoreUnavailable) as error:
        return {}, f"Its numbers cannot be read now: {error}"
    own = known.get(to_number(row.asset_id), [])
    numbers: dict[str, Any] = {one.metric.partition(".")[2]: one.value for one in own}
    if own:
        numbers["at"] = from_ms(max(one.at_ms for one in own))
    return numbers, ""
