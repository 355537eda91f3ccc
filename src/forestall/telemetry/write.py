"""Writing columns. An insert carries a token: the same batch sent again is taken once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.kernel.columns import I64, LogColumns, SampleColumns
from forestall.kernel.decimals import split
from forestall.kernel.grouping import group
from forestall.kernel.shapes import UNSHAPED, encode, scan
from forestall.telemetry import native
from forestall.telemetry.client import Store
from forestall.telemetry.vocabulary import Vocabulary

DAY_MS = 86_400_000
# The store's days reach from 1970 to 2149; an instant outside (a device without a clock) is moved to the end.
LAST_MS = 65_000 * DAY_MS
# A day is a part of its own on disk. What spans more days is inserted in pieces.
DAYS_MAX = 90
# When a line was received is kept only when it came so much later (or earlier) than its time.
LATE_MS = 60_000

_TIME = "DateTime64(3, 'UTC')"


def insert_logs(store: Store, columns: LogColumns, *, token: str, vocabulary: Vocabulary) -> None:
    """Insert log lines. Raises StoreUnavailable (send it again), StoreRefused."""
    for name, rows in _pieces(columns.at_ms, token):
        piece = columns if rows is None else _taken(columns, rows)
        block = _log_block(piece, vocabulary)
        store.insert("logs", [column[0] for column in block], native.block(block, len(piece)), token=name)


def insert_samples(store: Store, columns: SampleColumns, *, token: str) -> None:
    """Insert samples. Raises StoreUnavailable (send it again), StoreRefused."""
    for name, rows in _pieces(columns.at_ms, token):
        block = _sample_block(columns, rows)
        count = len(columns) if rows is None else len(rows)
        store.insert("samples", [column[0] for column in block], native.block(block, count), token=name)


def _pieces(at_ms: I64, token: str) -> list[tuple[str, npt.NDArray[np.intp] | None]]:
    """Which rows go together, with their tokens: all (None), or those of every DAYS_MAX days. How it is cut
    depends on nothing but the rows: the same rows with the same token are always the same inserts."""
    if not len(at_ms):
        return []
    day = np.clip(at_ms, 0, LAST_MS) // DAY_MS
    if day.max() - day.min() < DAYS_MAX:
        return [(token, None)]
    days = np.unique(day)
    if len(days) <= DAYS_MAX:
        return [(token, None)]
    cut: list[tuple[str, npt.NDArray[np.intp] | None]] = []
    for number, begin in enumerate(range(0, len(days), DAYS_MAX)):
        span = days[begin : begin + DAYS_MAX]
        cut.append((f"{token}#{number}", np.flatnonzero((day >= span[0]) & (day <= span[-1]))))
    return cut


def _taken(columns: LogColumns, rows: npt.NDArray[np.intp]) -> LogColumns:
    """Some rows."""
    return LogColumns(
        **{
            name: column.take(pa.array(rows)) if isinstance(column, pa.Array) else column[rows]
            for name in LogColumns.__slots__
            if (column := getattr(columns, name)) is not None
        }
    )


def _log_block(columns: LogColumns, vocabulary: Vocabulary) -> list[native.Column]:
    message = native.plain(columns.message)
    data, ends = native.content(message)
    source, host = native.dictionary(columns.source), native.dictionary(columns.host)
    start, end = ends[:-1], ends[1:]
    scanned = scan(data, start, end)
    place = vocabulary.know(columns.client, data, start, end, scanned=scanned, source=source, host=host)
    texts, text_at = vocabulary.texts()
    coded = encode(data, start, end, scanned=scanned, place=place, texts=texts, text_at=text_at)
    at_ms = np.clip(columns.at_ms, 0, LAST_MS)
    late = np.abs(columns.received_at_ms - columns.at_ms) >= LATE_MS
    late_s = np.where(late, np.clip(columns.received_at_ms, 0, LAST_MS) // 1000, 0)
    return [
        ("client", "UInt64", native.fixed(columns.client)),
        ("asset", "UInt64", native.fixed(columns.asset)),
        ("at", _TIME, native.fixed(at_ms)),
        ("late_at", "DateTime('UTC')", native.fixed(np.minimum(late_s, (1 << 32) - 1).astype(np.uint32))),
        ("severity", "UInt8", native.fixed(columns.severity)),
        ("facility", "UInt8", native.fixed(columns.facility)),
        ("source", "LowCardinality(String)", native.low_cardinality(source)),
        ("host", "LowCardinality(String)", native.low_cardinality(host)),
        ("shape", "UInt64", native.fixed(np.where(coded.whole, np.uint64(UNSHAPED), scanned.numbers))),
        ("numbers", "String", native.fixed(coded.numbers)),
        ("words", "String", native.fixed(coded.words)),
        ("addresses", "Array(UInt32)", native.array_u32(coded.addresses, coded.addresses_end)),
        ("raw", "String", native.strings(columns.raw)),
        ("attrs", "LowCardinality(String)", native.low_cardinality(native.dictionary(columns.attrs))),
        ("form", "Int32", native.fixed(_or_zeros(columns.form, len(columns), np.int32))),
        ("rest", "UInt32", native.fixed(_or_zeros(columns.rest, len(columns), np.uint32))),
    ]


def _or_zeros(column: npt.NDArray[Any] | None, count: int, kind: type[Any]) -> npt.NDArray[Any]:
    return np.zeros(count, kind) if column is None else column


def _sample_block(columns: SampleColumns, rows: npt.NDArray[np.intp] | None) -> list[native.Column]:
    def part(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return column if rows is None else column[rows]

    metric, item = (
        coded if rows is None else coded.take(pa.array(rows))
        for coded in (native.dictionary(columns.metric), native.dictionary(columns.item))
    )
    asset, value = part(columns.asset), np.ascontiguousarray(part(columns.value), np.float64)
    series = group(asset)[1]
    for name in (metric, item):
        if len(name.dictionary) > 1:
            series = group(series * len(name.dictionary) + name.indices.to_numpy(zero_copy_only=False))[1]
    whole, digits = split(value, code=series, groups=int(series.max()) + 1)
    return [
        ("client", "UInt64", native.fixed(part(columns.client))),
        ("asset", "UInt64", native.fixed(asset)),
        ("metric", "LowCardinality(String)", native.low_cardinality(metric)),
        ("item", "LowCardinality(String)", native.low_cardinality(item)),
        ("at", _TIME, native.fixed(part(np.clip(columns.at_ms, 0, LAST_MS)))),
        ("whole", "Int64", native.fixed(whole)),
        ("digits", "UInt8", native.fixed(digits)),
    ]
