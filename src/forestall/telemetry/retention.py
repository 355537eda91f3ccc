"""How long telemetry is kept: whole days are dropped when no client needs them, else a client's own part."""

from collections.abc import Mapping
from dataclasses import dataclass

from forestall.telemetry.client import Store
from forestall.telemetry.schema import DATABASE

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Keep:
    """Days for which a client's logs and samples are kept."""

    logs_days: int
    samples_days: int


def apply(store: Store, keep: Mapping[int, Keep], *, default: Keep, now_ms: int) -> dict[str, int]:
    """Remove what is older than its client's term (`default` for clients that are not named); how many rows
    went, by table. Raises StoreUnavailable, StoreRefused."""
    removed = {}
    for table in ("logs", "samples"):
        days = {client: getattr(kept, f"{table}_days") for client, kept in keep.items()}
        usual = getattr(default, f"{table}_days")
        before = _count(store, table)
        _drop_days(store, table, now_ms - max([usual, *days.values()]) * DAY_MS)
        for client, kept_days in days.items():
            if kept_days < max([usual, *days.values()]):
                _delete(store, table, f"client = {int(client)}", now_ms - kept_days * DAY_MS)
        if usual < max([usual, *days.values()]):
            named = ", ".join(str(int(client)) for client in sorted(days)) or "0"
            _delete(store, table, f"client NOT IN ({named})", now_ms - usual * DAY_MS)
        removed[table] = before - _count(store, table)
    return removed


def _count(store: Store, table: str) -> int:
    return int(store.select(f"SELECT count() FROM {DATABASE}.{table}")[0][0])


def _drop_days(store: Store, table: str, before_ms: int) -> None:
    """Whole partitions (a day each) that lie before an instant."""
    rows = store.select(
        "SELECT DISTINCT partition, partition_id FROM system.parts WHERE database = {database:String}"
        " AND active AND table = {table:String}"
        " AND toDate(partition) < toDate(fromUnixTimestamp64Milli({before:Int64}, 'UTC'))",
        {"database": DATABASE, "table": table, "before": before_ms},
    )
    for _, partition in rows:
        store.command(f"ALTER TABLE {DATABASE}.{table} DROP PARTITION ID '{int(partition)}'")


def _delete(store: Store, table: str, whose: str, before_ms: int) -> None:
    condition = f"{whose} AND at < fromUnixTimestamp64Milli({int(before_ms)})"
    if store.select(f"SELECT 1 FROM {DATABASE}.{table} WHERE {condition} LIMIT 1"):
        store.command(f"ALTER TABLE {DATABASE}.{table} DELETE WHERE {condition} SETTINGS mutations_sync = 1")
