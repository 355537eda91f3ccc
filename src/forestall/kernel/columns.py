"""Decoded observations in columns: what the intake hands to telemetry and to the judge.

All arrays of one object have the same length. Clients and assets are the numbers of their identifiers
(`kernel.ids.to_number`), times are milliseconds since 1970 UTC.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Numbers. `metric` and `item` are pyarrow string arrays (or dictionaries of strings)."""

    client: U64
    asset: U64
    metric: pa.Array
    item: pa.Array
    at_ms: I64
    value: F64

    def __len__(self) -> int:
        return len(self.at_ms)


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Log lines. `source`, `host`, `message`, `raw`, `attrs` are pyarrow string arrays.

    `attrs` is a JSON object or "". How the line was written as it was received is in `form` and `rest`
    (None: 0 for all rows), and in `raw` what they do not say: collect.parsers.syslog_original.
    """

    client: U64
    asset: U64
    at_ms: I64
    received_at_ms: I64
    severity: U8
    facility: U8
    source: pa.Array
    host: pa.Array
    message: pa.Array
    raw: pa.Array
    attrs: pa.Array
    form: I32 | None = None
    rest: U32 | None = None

    def __len__(self) -> int:
        return len(self.at_ms)
