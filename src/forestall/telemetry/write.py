"""Writing columns. An insert carries a token: the same batch sent again is taken once."""

import pyarrow as pa

from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.telemetry.client import Store

_TIME = pa.timestamp("ms", "UTC")


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
            "at": pa.array(columns.at_ms).cast(_TIME),
            "received_at": pa.array(columns.received_at_ms).cast(_TIME),
            "severity": pa.array(columns.severity),
            "facility": pa.array(columns.facility),
            "source": columns.source,
            "host": columns.host,
            "message": columns.message,
            "raw": columns.raw,
            "attrs": columns.attrs,
        },
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
            "at": pa.array(columns.at_ms).cast(_TIME),
            "value": pa.array(columns.value),
        },
        token,
    )


def _insert(store: Store, table: str, columns: dict[str, pa.Array], token: str) -> None:
    batch = pa.table(columns).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for part in batch.to_batches():
            writer.write_batch(part)
    store.insert(table, list(columns), sink.getvalue().to_pybytes(), token=token)
