"""Reading samples: which series there are, their latest values, and charts downsampled to pixels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from forestall.kernel.decimals import BITS
from forestall.telemetry.client import QUERY_S, Store
from forestall.telemetry.schema import DATABASE
from forestall.telemetry.scope import Clients, sql_of

PIXELS_MAX = 4000
SERIES_MAX = 2000
RECENT_MS = 24 * 3_600_000
ASSETS_MAX = 1000
METRICS_MAX = 20
AHEAD_MS = 3_600_000  # clocks a little ahead are seen; one that is far ahead does not stay the latest
GAP_FACTOR = 3  # points further apart than so many usual distances have a gap between them
# What is not a number (a device's NaN) has no place in a chart.
_SPAN = (
    "at >= fromUnixTimestamp64Milli({from:Int64}) AND at < fromUnixTimestamp64Milli({to:Int64})"
    f" AND (digits != {BITS} OR isFinite(value))"
)


@dataclass(frozen=True, slots=True)
class SeriesName:
    """A series of an asset, when it last had a sample, and that value."""

    metric: str
    item: str
    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """A chart's points: time in ms, and of each bucket the lowest, mean, highest and last value. A gap is a
    point without values (None)."""

    at_ms: list[int]
    low: list[float | None]
    mean: list[float | None]
    high: list[float | None]
    last: list[float | None]


def list_series(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    from_ms: int,
    to_ms: int,
    metric: str | None = None,
    timeout_s: float = QUERY_S,
) -> list[SeriesName]:
    """The series of an asset that have a sample in from_ms ≤ at < to_ms, with their latest value of it."""
    condition = " AND metric = {metric:String}" if metric else ""
    rows = store.select(
        "SELECT metric, item, toUnixTimestamp64Milli(max(at)), argMax(value, at)"
        f" FROM {DATABASE}.samples WHERE {sql_of(clients)} AND asset = {int(asset)} AND {_SPAN}{condition}"
        f" GROUP BY metric, item ORDER BY metric, item LIMIT {SERIES_MAX}",
        {"from": from_ms, "to": to_ms, **({"metric": metric} if metric else {})},
        timeout_s=timeout_s,
    )
    return [SeriesName(str(row[0]), str(row[1]), int(row[2]), float(row[3])) for row in rows]


def latest(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    now_ms: int,
    metric: str | None = None,
    within_ms: int = RECENT_MS,
    timeout_s: float = QUERY_S,
) -> list[SeriesName]:
    """The series of an asset that had a sample within `within_ms`, with their latest values."""
    span = {"from_ms": now_ms - within_ms, "to_ms": now_ms + AHEAD_MS}
    return list_series(store, clients, asset=asset, metric=metric, timeout_s=timeout_s, **span)


def latest_of_assets(
    store: Store,
    clients: Clients,
    *,
    assets: Collection[int],
    metrics: Collection[str],
    now_ms: int,
    within_ms: int = RECENT_MS,
    timeout_s: float = QUERY_S,
) -> dict[int, list[SeriesName]]:
    """The latest values of some metrics of many assets, by asset; for lists. At most ASSETS_MAX assets."""
    numbers = sorted({int(asset) for asset in assets})[:ASSETS_MAX]
    if not numbers or not metrics:
        return {}
    names = {f"m{place}": metric for place, metric in enumerate(sorted(set(metrics))[:METRICS_MAX])}
    rows = store.select(
        "SELECT asset, metric, item, toUnixTimestamp64Milli(max(at)), argMax(value, at)"
        f" FROM {DATABASE}.samples WHERE {sql_of(clients)} AND {_SPAN}"
        f" AND asset IN ({', '.join(map(str, numbers))})"
        f" AND metric IN ({', '.join('{' + name + ':String}' for name in names)})"
        " GROUP BY asset, metric, item ORDER BY asset, metric, item",
        {"from": now_ms - within_ms, "to": now_ms + AHEAD_MS, **names},
        timeout_s=timeout_s,
    )
    found: dict[int, list[SeriesName]] = {}
    for asset, *row in rows:
        name = SeriesName(str(row[0]), str(row[1]), int(row[2]), float(row[3]))
        found.setdefault(int(asset), []).append(name)
    return found


def read_series(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    metric: str,
    item: str,
    from_ms: int,
    to_ms: int,
    pixels: int = 800,
    timeout_s: float = QUERY_S,
) -> Series:
    """A series between two instants in at most `pixels` points."""
    width_ms = max(1, (to_ms - from_ms) // max(1, min(pixels, PIXELS_MAX)))
    rows = store.select(
        "SELECT intDiv(toUnixTimestamp64Milli(at) - {from:Int64}, {width:Int64}) AS bucket,"
        " toUnixTimestamp64Milli(max(at)), min(value), avg(value), max(value), argMax(value, at)"
        f" FROM {DATABASE}.samples WHERE {sql_of(clients)} AND asset = {int(asset)}"
        " AND metric = {metric:String} AND item = {item:String}"
        f" AND {_SPAN} GROUP BY bucket ORDER BY bucket LIMIT {PIXELS_MAX + 1}",
        {"from": from_ms, "to": to_ms, "width": width_ms, "metric": metric, "item": item},
        timeout_s=timeout_s,
    )
    return _with_gaps([(int(row[1]), [float(value) for value in row[2:6]]) for row in rows])


def _with_gaps(points: list[tuple[int, list[float]]]) -> Series:
    """The points as columns, with an empty point where the series was silent."""
    series = Series([], [], [], [], [])
    usual_ms = median(after[0] - before[0] for before, after in pairwise(points)) if len(points) > 2 else 0
    previous_ms: int | None = None
    for at_ms, values in points:
        if usual_ms and previous_ms is not None and at_ms - previous_ms > GAP_FACTOR * usual_ms:
            _add(series, previous_ms + round(usual_ms), [None] * 4)
        _add(series, at_ms, values)
        previous_ms = at_ms
    return series


def _add(series: Series, at_ms: int, values: Sequence[float | None]) -> None:
    series.at_ms.append(at_ms)
    for column, value in zip((series.low, series.mean, series.high, series.last), values, strict=True):
        column.append(value)
