"""The protobuf wire format, as far as compiled walkers need it.

Source: https://protobuf.dev/programming-guides/encoding/. A walker takes only what encoders really write
(each field as its schema says, no groups, no unknown fields); anything else it calls odd, and the protobuf
library reads the body instead.
"""

from typing import Any

import numpy as np

from forestall.kernel.columns import U8
from forestall.kernel.compiled import compiled

BAD = -1  # a position: the bytes end early, or a number is too long
VARINT_MAX_BYTES = 10


@compiled
def read_varint(body: U8, at: int, end: int) -> tuple[Any, int]:
    """A varint of body[at:end] as (uint64, where it ends); (0, BAD) when it does not end. The bits beyond
    64 are lost, as in the library."""
    value = np.uint64(0)
    shift = np.uint64(0)
    stop = min(end, at + VARINT_MAX_BYTES)
    while at < stop:
        byte = body[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += np.uint64(7)
    return np.uint64(0), BAD


@compiled
def read_length(body: U8, at: int, end: int) -> tuple[int, Any]:
    """The length of a field and where the field begins: (begin, end), or (0, BAD) when it does not fit."""
    if at < end and body[at] < 0x80:
        begin = at + 1
        stop = begin + np.int64(body[at])
        return (begin, stop) if stop <= end else (0, BAD)
    value, begin = read_varint(body, at, end)
    if begin == BAD or value > np.uint64(end - begin):
        return 0, BAD
    return begin, begin + np.int64(value)


@compiled
def load_8(body: U8, at: int) -> Any:
    """Eight bytes, little-endian; the caller makes sure that they are there. Unsigned indices spare the
    question whether one is negative, so that the compiler makes one load of it."""
    k = np.uint64(at)
    return (
        np.uint64(body[k])
        | np.uint64(body[k + np.uint64(1)]) << np.uint64(8)
        | np.uint64(body[k + np.uint64(2)]) << np.uint64(16)
        | np.uint64(body[k + np.uint64(3)]) << np.uint64(24)
        | np.uint64(body[k + np.uint64(4)]) << np.uint64(32)
        | np.uint64(body[k + np.uint64(5)]) << np.uint64(40)
        | np.uint64(body[k + np.uint64(6)]) << np.uint64(48)
        | np.uint64(body[k + np.uint64(7)]) << np.uint64(56)
    )


@compiled
def load_less(body: U8, at: int, count: int) -> Any:
    """Fewer than eight bytes, little-endian."""
    value = np.uint64(0)
    for k in range(count):
        value |= np.uint64(body[at + k]) << np.uint64(8 * k)
    return value


@compiled
def hash_bytes(body: U8, at: int, end: int, seed: Any) -> Any:
    """A 64-bit hash for tables. Not a cryptographic one: whoever uses it compares the bytes too, and looks
    at a bounded number of places."""
    h = seed ^ (np.uint64(end - at) * np.uint64(0x9E3779B97F4A7C15))
    while at + 8 <= end:
        h = (h ^ load_8(body, at)) * np.uint64(0xD6E8FEB86659FD93)
        h ^= h >> np.uint64(32)
        at += 8
    h = (h ^ load_less(body, at, end - at)) * np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@compiled
def same_bytes(left: U8, at: int, right: U8, other: int, count: int) -> bool:
    """Whether left[at : at + count] == right[other : other + count]."""
    k = 0
    while k + 8 <= count:
        if load_8(left, at + k) != load_8(right, other + k):
            return False
        k += 8
    while k < count:
        if left[at + k] != right[other + k]:
            return False
        k += 1
    return True
