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

    `raw` is the line as received when the other fields do not say all of it, else "";
    `attrs` is a JSON object or "".
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

    def __len__(self) -> int:
        return len(self.at_ms)
