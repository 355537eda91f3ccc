"""Which series of an asset left their usual course in a time, and when: asked in one query, of the samples.

A series' usual course is the range between its 1% and 99% quantile before; it is left where a sample lies
further outside than LEAST of that range. What rises or falls all the time has no usual course.
"""

from dataclasses import dataclass

from forestall.telemetry.client import QUERY_S, Store
from forestall.telemetry.schema import DATABASE
from forestall.telemetry.scope import Clients, sql_of

SAMPLES_LEAST = 20  # before, to know a usual course
LEAST = 3.0  # ranges outside
STEADY = 0.05  # of its size counts as the range of a series that never varied
SERIES_MOST = 100


@dataclass(frozen=True, slots=True)
class Left:
    """A series that left its course at `at_ms`, by `size` of its usual range at most."""

    metric: str
    item: str
    at_ms: int
    size: float


def left_their_course(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    from_ms: int,
    at_ms: int,
    to_ms: int,
    timeout_s: float = QUERY_S,
) -> list[Left]:
    """Series that were usual in from_ms ≤ at < at_ms and were not in at_ms ≤ at < to_ms, the first first.

    Raises as Store.select.
    """
    rows = store.select(
        "WITH usual AS (SELECT metric, item, quantileExact(0.01)(value) AS low, quantileExact(0.99)(value)"
        " AS high, argMin(value, at) AS first, argMax(value, at) AS last,"
        f" greatest(high - low, {STEADY} * greatest(abs(low), abs(high)), 1e-9) AS range"
        f" FROM {DATABASE}.samples WHERE {sql_of(clients)} AND asset = {int(asset)} AND isFinite(value)"
        " AND at >= fromUnixTimestamp64Milli({from:Int64}) AND at < fromUnixTimestamp64Milli({at:Int64})"
        f" GROUP BY metric, item HAVING count() >= {SAMPLES_LEAST}"
        " AND NOT (low < high AND ((first <= low AND last >= high) OR (first >= high AND last <= low))))"
        " SELECT metric, item, toUnixTimestamp64Milli(min(at)) AS since,"
        " max(greatest(low - value, value - high) / range) AS size"
        f" FROM {DATABASE}.samples INNER JOIN usual USING (metric, item)"
        f" WHERE {sql_of(clients)} AND asset = {int(asset)} AND isFinite(value)"
        " AND at >= fromUnixTimestamp64Milli({at:Int64}) AND at < fromUnixTimestamp64Milli({to:Int64})"
        f" AND greatest(low - value, value - high) > {LEAST} * range"
        f" GROUP BY metric, item ORDER BY since, metric, item LIMIT {SERIES_MOST}",
        {"from": from_ms, "at": at_ms, "to": to_ms},
        timeout_s=timeout_s,
    )
    return [Left(str(row[0]), str(row[1]), int(row[2]), float(row[3])) for row in rows]
