"""Columns as a block of ClickHouse's Native format: what an insert costs least in. Pure.

Source: ClickHouse documentation, "Native" format and data type serialisation (LowCardinality version 1: a
dictionary with additional keys, then the indexes).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.kernel.columns import I64, U8, U64
from forestall.kernel.compiled import compiled
from forestall.kernel.shapes import U32

Bytes = bytes | memoryview
Column = tuple[str, str, Bytes]  # name, type, content

_LENGTH_MAX_BYTES = 5
_KEYS_VERSION = (1).to_bytes(8, "little")
_HAS_ADDITIONAL_KEYS = 1 << 9
_INDEX_TYPES = ((1 << 8, np.uint8), (1 << 16, np.uint16), (1 << 32, np.uint32))


def block(columns: Sequence[Column], rows: int) -> bytes:
    """One block of `rows` rows."""
    parts: list[Bytes] = [_length(len(columns)), _length(rows)]
    for name, kind, content in columns:
        parts += [_text(name.encode()), _text(kind.encode()), content]
    return b"".join(parts)


def fixed(values: npt.NDArray[Any]) -> memoryview:
    """Numbers of a type of fixed width, little-endian."""
    return np.ascontiguousarray(values).view(np.uint8).data


def array_u32(values: U32, ends: U64) -> bytes:
    """`Array(UInt32)`: row i has the values up to `ends[i]` (exclusive)."""
    return b"".join((fixed(ends), fixed(values)))


def strings(column: pa.Array) -> memoryview:
    """`String`: a column of text without nulls."""
    data, bounds = content(plain(column))
    out = np.empty(int(bounds[-1] - bounds[0]) + _LENGTH_MAX_BYTES * len(column), np.uint8)
    return fixed(out[: _put_strings(data, bounds, out)])


def content(column: pa.StringArray) -> tuple[U8, I64]:
    """The bytes of a text column, and the bounds of its rows in them (one more than rows)."""
    bounds = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
    data = column.buffers()[2]
    return np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), bounds.astype(np.int64)


def low_cardinality(column: pa.DictionaryArray) -> bytes:
    """`LowCardinality(String)`."""
    keys = column.dictionary.to_pylist()
    kind, number = next(
        (kind, number) for number, (most, kind) in enumerate(_INDEX_TYPES) if len(keys) <= most
    )
    codes = column.indices.to_numpy(zero_copy_only=False).astype(kind)
    return b"".join(
        (
            _KEYS_VERSION,
            (_HAS_ADDITIONAL_KEYS | number).to_bytes(8, "little"),
            len(keys).to_bytes(8, "little"),
            *(_text((key or "").encode()) for key in keys),
            len(codes).to_bytes(8, "little"),
            codes.tobytes(),
        )
    )


def dictionary(column: pa.Array) -> pa.DictionaryArray:
    """The column as a dictionary of its distinct texts."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()


def plain(column: pa.Array) -> pa.StringArray:
    """The column as text, row by row."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _text(value: bytes) -> bytes:
    return _length(len(value)) + value


def _length(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


@compiled
def _put_strings(data: Any, bounds: Any, out: Any) -> int:
    at = 0
    for row in range(len(bounds) - 1):
        start, end = bounds[row], bounds[row + 1]
        length = end - start
        while length >= 128:
            out[at] = (length & 127) | 128
            at += 1
            length >>= 7
        out[at] = length
        at += 1
        for place in range(start, end):
            out[at] = data[place]
            at += 1
    return at
