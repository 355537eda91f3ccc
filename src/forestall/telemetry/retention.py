"""How long telemetry is kept: whole partitions (days of logs, months of samples, UTC) are dropped when no
client needs them, else a client's own part.

A term counts whole partitions, so that what is kept is never less than promised and a partition is written
anew at most once for each different term. A mutation names the partition that it rewrites, and a run makes at
most `rewrites_max` of them, the oldest first: the rest waits for the next run. What is held (`Held`) stays,
whatever its term.
"""

import time
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from forestall.telemetry.client import Store
from forestall.telemetry.schema import DATABASE

DAY_MS = 86_400_000
TABLES = ("logs", "samples")
MUTATION_MAX_S = 60.0
REWRITES_MAX = 31
HOLDS_MAX = 1000
ALWAYS_MS = 1 << 62  # later than anything
POLL_S = 0.2
QUERY_S = 60.0


class Keep(NamedTuple):
    """Days for which a client's logs and samples are kept."""

    logs_days: int
    samples_days: int


class Held(NamedTuple):
    """Telemetry that stays: of a client, or of one asset (0: all of them), from_ms ≤ at < to_ms."""

    client: int
    asset: int
    from_ms: int
    to_ms: int


def apply(
    store: Store,
    keep: Mapping[int, Keep],
    *,
    default: Keep,
    now_ms: int,
    holds: Sequence[Held] = (),
    wait_s: float = MUTATION_MAX_S,
    rewrites_max: int = REWRITES_MAX,
) -> dict[str, int]:
    """Remove what is older than its client's term (`default` for clients that are not named) and not held;
    how many rows went, by table.

    Waits until it is gone, at most `wait_s`; the store goes on with it afterwards. Raises StoreUnavailable,
    StoreRefused.
    """
    removed = {}
    for place, table in enumerate(TABLES):
        terms = {client: _start(table, now_ms - kept[place] * DAY_MS) for client, kept in keep.items()}
        usual = _start(table, now_ms - default[place] * DAY_MS)
        removed[table] = _remove(
            store, table, terms, usual, _widened(holds), wait_s=wait_s, rewrites_max=rewrites_max
        )
    return removed


def _remove(
    store: Store,
    table: str,
    terms: Mapping[int, int],
    usual: int,
    holds: Sequence[Held],
    *,
    wait_s: float,
    rewrites_max: int,
) -> int:
    """`terms`, `usual`: before which instant (ms, the start of a partition) a client's rows go."""
    if _is_rewriting(store, table):
        return 0  # what an earlier call began is not done yet
    # the shortest term stands by itself, so that what comes after it is not even looked at
    shortest = max([usual, *terms.values()])
    expired = (
        f"at < fromUnixTimestamp64Milli({int(shortest)})"
        f" AND at < fromUnixTimestamp64Milli({_term(terms, usual)}){_not_held(holds)}"
    )
    found = store.select(
        f"SELECT _partition_id, toUnixTimestamp64Milli(min(at)), count() FROM {DATABASE}.{table}"
        f" WHERE {expired} GROUP BY _partition_id ORDER BY 2",
        timeout_s=QUERY_S,
    )
    removed = rewrites = 0
    longest = min([usual, *terms.values()])
    for identifier, oldest_ms, count in found:
        partition, start_ms = str(int(identifier)), _start(table, int(oldest_ms))
        end_ms = start_ms + _width(table, start_ms)
        if end_ms <= longest and not any(one.from_ms < end_ms and start_ms < one.to_ms for one in holds):
            store.command(f"ALTER TABLE {DATABASE}.{table} DROP PARTITION ID '{partition}'")
        elif rewrites < rewrites_max:
            rewrites += 1
            store.command(
                f"ALTER TABLE {DATABASE}.{table} DELETE IN PARTITION ID '{partition}' WHERE {expired}"
                " SETTINGS mutations_sync = 0"
            )
        else:
            continue
        removed += int(count)
    deadline = time.monotonic() + wait_s
    while rewrites and _is_rewriting(store, table) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return removed


def _widened(holds: Sequence[Held]) -> Sequence[Held]:
    """At most HOLDS_MAX holds: of more, whole clients are held instead."""
    if len(holds) <= HOLDS_MAX:
        return holds
    return [Held(client, 0, 0, ALWAYS_MS) for client in sorted({one.client for one in holds})]


def _not_held(holds: Sequence[Held]) -> str:
    """A condition that leaves out what is held."""
    whole = sorted(
        {one.client for one in holds if not one.asset and one.from_ms <= 0 and one.to_ms >= ALWAYS_MS}
    )
    parts = [f"client IN ({', '.join(str(int(client)) for client in whole)})"] if whole else []
    for one in holds:
        if one.client in whole:
            continue
        asset = f" AND asset = {int(one.asset)}" if one.asset else ""
        span = f" AND at >= fromUnixTimestamp64Milli({max(0, int(one.from_ms))})" if one.from_ms > 0 else ""
        if one.to_ms < ALWAYS_MS:
            span += f" AND at < fromUnixTimestamp64Milli({int(one.to_ms)})"
        parts.append(f"(client = {int(one.client)}{asset}{span})")
    return f" AND NOT ({' OR '.join(parts)})" if parts else ""


def _start(table: str, at_ms: int) -> int:
    """Where the partition of an instant begins."""
    day_ms = max(0, at_ms // DAY_MS * DAY_MS)
    return day_ms if table == "logs" else day_ms - (_date(day_ms).day - 1) * DAY_MS


def _width(table: str, start_ms: int) -> int:
    """How long a partition is."""
    day = _date(start_ms)
    return DAY_MS if table == "logs" else monthrange(day.year, day.month)[1] * DAY_MS


def _date(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _term(terms: Mapping[int, int], usual: int) -> str:
    """An expression of the instant before which a row's client lets go of it."""
    if not terms:
        return f"toInt64({int(usual)})"
    clients = ", ".join(f"toUInt64({int(client)})" for client in terms)
    instants = ", ".join(f"toInt64({int(at_ms)})" for at_ms in terms.values())
    return f"transform(client, [{clients}], [{instants}], toInt64({int(usual)}))"


def _is_rewriting(store: Store, table: str) -> bool:
    return bool(
        store.select(
            "SELECT 1 FROM system.mutations WHERE database = {database:String} AND table = {table:String}"
            " AND NOT is_done LIMIT 1",
            {"database": DATABASE, "table": table},
        )
    )
