"""Retention: each client's own terms, applied to the telemetry."""

from forestall.estate.queries import list_clients
from forestall.estate.tenancy import system_scope
from forestall.kernel.config import Limits
from forestall.kernel.ids import to_number
from forestall.telemetry import retention
from forestall.telemetry.client import Store


def keep(store: Store, limits: Limits, *, now_ms: int) -> None:
    """Remove what is older than its client's term."""
    default = retention.Keep(limits.keep_logs_days, limits.keep_samples_days)
    own = {
        to_number(client.pk): retention.Keep(
            client.keep_logs_days or default.logs_days, client.keep_samples_days or default.samples_days
        )
        for client in list_clients(system_scope("retention"), limit=100_000)
        if client.keep_logs_days or client.keep_samples_days
    }
    retention.apply(store, own, default=default, now_ms=now_ms)
