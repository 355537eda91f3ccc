"""How long telemetry is kept: whole days are dropped when no client needs them, else a client's own part.

A term counts whole days (UTC), so that what is kept is never less than promised and a day's part is written
anew at most once for a client.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from forestall.telemetry.client import Store
from forestall.telemetry.schema import DATABASE

DAY_MS = 86_400_000
TABLES = ("logs", "samples")
MUTATION_MAX_S = 60.0
POLL_S = 0.2
QUERY_S = 60.0


class Keep(NamedTuple):
    """Days for which a client's logs and samples are kept."""

    logs_days: int
    samples_days: int


def apply(
    store: Store,
    keep: Mapping[int, Keep],
    *,
    default: Keep,
    now_ms: int,
    wait_s: float = MUTATION_MAX_S,
) -> dict[str, int]:
    """Remove what is older than its client's term (`default` for clients that are not named); how many rows
    went, by table.

    Waits until it is gone, at most `wait_s`; the store goes on with it afterwards. Raises StoreUnavailable,
    StoreRefused.
    """
    removed = {}
    for place, table in enumerate(TABLES):
        terms = {client: _day(now_ms - kept[place] * DAY_MS) for client, kept in keep.items()}
        usual = _day(now_ms - default[place] * DAY_MS)
        removed[table] = _remove(store, table, terms, usual, wait_s)
    return removed


def _remove(store: Store, table: str, terms: Mapping[int, int], usual: int, wait_s: float) -> int:
    """`terms`, `usual`: before which instant (ms, the start of a day) a client's rows go."""
    if _is_rewriting(store, table):
        return 0  # what an earlier call began is not done yet
    # the shortest term stands by itself, so that days after it are not even looked at
    shortest = max([usual, *terms.values()])
    expired = (
        f"at < fromUnixTimestamp64Milli({int(shortest)})"
        f" AND at < fromUnixTimestamp64Milli({_term(terms, usual)})"
    )
    rows = store.select(f"SELECT count() FROM {DATABASE}.{table} WHERE {expired}", timeout_s=QUERY_S)
    count = int(rows[0][0])
    if not count:
        return 0
    for partition in _days_before(store, table, min([usual, *terms.values()])):
        store.command(f"ALTER TABLE {DATABASE}.{table} DROP PARTITION ID '{partition}'")
    if store.select(f"SELECT 1 FROM {DATABASE}.{table} WHERE {expired} LIMIT 1", timeout_s=QUERY_S):
        store.command(f"ALTER TABLE {DATABASE}.{table} DELETE WHERE {expired} SETTINGS mutations_sync = 0")
        deadline = time.monotonic() + wait_s
        while _is_rewriting(store, table) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    return count


def _day(at_ms: int) -> int:
    return max(0, at_ms // DAY_MS * DAY_MS)


def _term(terms: Mapping[int, int], usual: int) -> str:
    """An expression of the instant before which a row's client lets go of it."""
    if not terms:
        return f"toInt64({int(usual)})"
    clients = ", ".join(f"toUInt64({int(client)})" for client in terms)
    instants = ", ".join(f"toInt64({int(at_ms)})" for at_ms in terms.values())
    return f"transform(client, [{clients}], [{instants}], toInt64({int(usual)}))"


def _days_before(store: Store, table: str, before_ms: int) -> list[str]:
    """Partitions (a day each, by their ids) that lie before an instant."""
    rows = store.select(
        "SELECT DISTINCT partition_id FROM system.parts WHERE database = {database:String} AND active"
        " AND table = {table:String}"
        " AND toDate(partition) < toDate(fromUnixTimestamp64Milli({before:Int64}, 'UTC'))",
        {"database": DATABASE, "table": table, "before": before_ms},
    )
    return [str(int(row[0])) for row in rows]


def _is_rewriting(store: Store, table: str) -> bool:
    return bool(
        store.select(
            "SELECT 1 FROM system.mutations WHERE database = {database:String} AND table = {table:String}"
            " AND NOT is_done LIMIT 1",
            {"database": DATABASE, "table": table},
        )
    )
