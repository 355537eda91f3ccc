"""Retention: each client's own terms and holds, applied to the telemetry, and to what is kept of backups;
and the months of economics, reckoned anew at the same times."""

from forestall.agreements.calendar import month_of
from forestall.backups.retention import keep_backups
from forestall.economics.actions import reckon
from forestall.estate.queries import list_clients
from forestall.estate.tenancy import system_scope
from forestall.keeping.queries import list_holds
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.config import Limits
from forestall.kernel.ids import to_number
from forestall.telemetry import retention
from forestall.telemetry.client import Store

ALL = 100_000


def keep(store: Store, limits: Limits, *, now_ms: int) -> dict[str, int]:
    """Remove what is older than its client's term and not held; how many rows went, by table."""
    scope = system_scope("retention")
    default = retention.Keep(limits.keep_logs_days, limits.keep_samples_days)
    own = {
        to_number(client.pk): retention.Keep(
            client.keep_logs_days or default.logs_days, client.keep_samples_days or default.samples_days
        )
        for client in list_clients(scope, limit=ALL)
        if client.keep_logs_days or client.keep_samples_days
    }
    holds = [
        retention.Held(
            to_number(row.client_id),
            to_number(row.asset_id) if row.asset_id else 0,
            to_ms(row.from_at) if row.from_at else 0,
            to_ms(row.to_at) if row.to_at else retention.ALWAYS_MS,
        )
        for row in list_holds(scope, now=from_ms(now_ms), limit=ALL)
    ]
    gone = retention.apply(store, own, default=default, now_ms=now_ms, holds=holds)
    held = {row.client_id for row in list_holds(scope, now=from_ms(now_ms), limit=ALL)}
    month = month_of(from_ms(now_ms).date())
    reckon(scope, [month.before, month], now=from_ms(now_ms))
    backups = keep_backups(now=from_ms(now_ms), held=held)
    return gone | {f"backup {what}": count for what, count in backups.items()}
