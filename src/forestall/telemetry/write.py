"""Writing columns. An insert carries a token: the same batch sent again is taken once."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.telemetry.client import Store

_TIME = pa.timestamp("ms", "UTC")
DAY_MS = 86_400_000
# The store's days reach from 1970 to 2149; an instant outside (a device without a clock) is moved to the end.
LAST_MS = 65_000 * DAY_MS
# A day is a part of its own on disk. What spans more days is inserted in pieces.
DAYS_MAX = 90


def insert_logs(store: Store, columns: LogColumns, *, token: str) -> None:
    """Insert log lines. Raises StoreUnavailable (send it again), StoreRefused."""
    if not len(columns):
        return
    _insert(
        store,
        "logs",
        {
            "client": pa.array(columns.client),
            "asset": pa.array(columns.asset),
            "at": _times(columns.at_ms),
            "received_at": _times(columns.received_at_ms),
            "severity": pa.array(columns.severity),
            "facility": pa.array(columns.facility),
            "source": columns.source,
            "host": columns.host,
            "message": columns.message,
            "raw": columns.raw,
            "attrs": columns.attrs,
        },
        columns.at_ms,
        token,
    )


def insert_samples(store: Store, columns: SampleColumns, *, token: str) -> None:
    """Insert samples. Raises StoreUnavailable (send it again), StoreRefused."""
    if not len(columns):
        return
    _insert(
        store,
        "samples",
        {
            "client": pa.array(columns.client),
            "asset": pa.array(columns.asset),
            "metric": columns.metric,
            "item": columns.item,
            "at": _times(columns.at_ms),
            "value": pa.array(columns.value),
        },
        columns.at_ms,
        token,
    )


def _times(at_ms: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(np.clip(at_ms, 0, LAST_MS)).cast(_TIME)


def _insert(
    store: Store, table: str, columns: dict[str, pa.Array], at_ms: npt.NDArray[np.int64], token: str
) -> None:
    """Insert as one block, or as one for every DAYS_MAX days. How it is cut depends on nothing but the rows:
    the same rows with the same token are always the same inserts."""
    whole = pa.table(columns).combine_chunks()
    day = np.clip(at_ms, 0, LAST_MS) // DAY_MS
    days = np.unique(day)
    if len(days) <= DAYS_MAX:
        store.insert(table, list(columns), _stream(whole), token=token)
        return
    for number, start in enumerate(range(0, len(days), DAYS_MAX)):
        span = days[start : start + DAYS_MAX]
        piece = whole.filter(pa.array((day >= span[0]) & (day <= span[-1])))
        store.insert(table, list(columns), _stream(piece), token=f"{token}#{number}")


def _stream(rows: pa.Table) -> bytes:
    """An Arrow stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for batch in rows.combine_chunks().to_batches():
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
