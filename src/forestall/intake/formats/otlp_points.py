"""OTLP metrics in the protobuf wire format, walked by compiled loops: a row for every number, in buffers.

What is walked: gauges, sums and histograms as encoders write them. A body with anything else (summaries,
exponential histograms, exemplars, points without a value, what is not finite or not valid) is odd as a whole,
and `otlp_metrics` asks the library for all of it.

Which series a row belongs to is a block of bytes: what its name is made of (`BLOCK_HEAD`, then the metric's
name, then the point's attributes as they stand in the body). Blocks repeat from body to body, so that text is
made only of new ones (`formats.labels.KnownSeries`).
"""

import struct
from typing import Any

import numpy as np

from forestall.intake.formats.otlp_walk import is_utf8
from forestall.intake.formats.wire import load_8, read_length, read_varint
from forestall.kernel.columns import F64, I64, U8, U64
from forestall.kernel.compiled import compiled

DONE, ODD, TOO_MANY, NO_ROOM = 0, 1, 2, 3
PLAIN, COUNT, SUM, MIN, MAX, BUCKET = range(6)
SUFFIXES = ("", "_count", "_sum", "_min", "_max", "_bucket")
NAME_MAX_BYTES = 120
EXACT_MAX = 1 << 53  # whole numbers that a double says exactly
# origin (which resource it is, by number), part, whether it is a delta, length of the name, upper bound
BLOCK_HEAD = struct.Struct("<IBBHd")

_HEAD = BLOCK_HEAD.size
_DELTA = np.uint64(1)
_NOT_FINITE = np.uint64(0x7FF)
_EXACT = np.uint64(EXACT_MAX)
_INFINITE = np.uint64(0x7FF0000000000000)


@compiled
def find_origins(body: U8, spans: I64) -> tuple[int, int]:
    """Where each ResourceMetrics and the Resource in it are: rows of (begin, end, begin, end). (status, how
    many)."""
    at, stop, count = 0, len(body), 0
    while at < stop:
        tag = body[at]
        begin, end = read_length(body, at + 1, stop)
        if end < 0 or tag != 0x0A or count >= len(spans):
            return ODD, count
        spans[count, 0], spans[count, 1], spans[count, 2], spans[count, 3] = begin, end, 0, 0
        at, found = end, False
        while begin < end:
            tag = body[begin]
            inner, inner_end = read_length(body, begin + 1, end)
            if inner_end < 0:
                return ODD, count
            if tag == 0x0A:
                if found:
                    return ODD, count
                found = True
                spans[count, 2], spans[count, 3] = inner, inner_end
            elif tag == 0x1A:
                if not is_utf8(body, inner, inner_end):
                    return ODD, count
            elif tag != 0x12:
                return ODD, count
            begin = inner_end
        count += 1
    return DONE, count


@compiled
def find_points(
    body: U8, spans: I64, origins: I64, scopes: I64,
    starts: I64, ends: I64, at_ns: U64, value: F64, bits: U64, blocks: U8,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Fills the arrays: (status, how many rows, how many bytes of blocks, how many scopes). `scopes`: where
    each InstrumentationScope is; the caller makes sure that they are ones. `bits` are those of `value`."""
    rows, used, told, places = 0, 0, 0, np.zeros(5, np.int64)
    for k in range(len(spans)):
        at, stop = spans[k, 0], spans[k, 1]
        while at < stop:
            tag = body[at]
            inner, inner_end = read_length(body, at + 1, stop)
            at = inner_end
            if tag != 0x12:
                continue
            found = False
            while inner < inner_end:
                tag = body[inner]
                begin, end = read_length(body, inner + 1, inner_end)
                if end < 0:
                    return ODD, rows, used, told
                if tag == 0x0A:
                    if found or told >= len(scopes):
                        return ODD, rows, used, told
                    found = True
                    scopes[told, 0], scopes[told, 1] = begin, end
                    told += 1
                elif tag == 0x12:
                    status, rows, used = _metric(
                        body, begin, end, origins[k], rows, used,
                        places, starts, ends, at_ns, value, bits, blocks,
                    )  # fmt: skip
                    if status != DONE:
                        return status, rows, used, told
                elif tag != 0x1A or not is_utf8(body, begin, end):
                    return ODD, rows, used, told
                inner = end
    return DONE, rows, used, told


@compiled
def _metric(
    body: U8, at: int, stop: int, origin: int, rows: int, used: int,
    places: I64, starts: I64, ends: I64, at_ns: U64, value: F64, bits: U64, blocks: U8,
) -> tuple[int, int, int]:  # fmt: skip
    """All points of one Metric: (status, rows, bytes of blocks)."""
    name, name_end, data, data_end, kind = 0, 0, 0, 0, 0
    while at < stop:
        tag = body[at]
        begin, end = read_length(body, at + 1, stop)
        if end < 0:
            return ODD, rows, used
        if tag == 0x0A:
            name, name_end = begin, end
        elif tag == 0x2A or tag == 0x3A or tag == 0x4A:
            if kind:
                return ODD, rows, used
            kind, data, data_end = int(tag), begin, end
        elif (tag != 0x12 and tag != 0x1A) or not is_utf8(body, begin, end):
            return ODD, rows, used
        at = end
    if not kind or not 0 < name_end - name <= NAME_MAX_BYTES or not is_utf8(body, name, name_end):
        return ODD, rows, used
    delta = np.uint64(0)
    for reading in range(2):  # what the numbers mean stands behind them
        at = data
        while at < data_end:
            tag = body[at]
            if tag == 0x0A:
                begin, end = read_length(body, at + 1, data_end)
                if end < 0:
                    return ODD, rows, used
                if reading:
                    status, rows, used = _point(
                        body, begin, end, kind == 0x4A, delta == _DELTA, origin, name, name_end, rows, used,
                        places, starts, ends, at_ns, value, bits, blocks,
                    )  # fmt: skip
                    if status != DONE:
                        return status, rows, used
                at = end
            elif (tag == 0x10 and kind != 0x2A) or (tag == 0x18 and kind == 0x3A):
                said, at = read_varint(body, at + 1, data_end)
                if at < 0:
                    return ODD, rows, used
                if tag == 0x10:
                    delta = said
            else:
                return ODD, rows, used
    return DONE, rows, used


@compiled
def _point(
    body: U8, at: int, stop: int, histogram: bool, delta: bool, origin: int, name: int, name_end: int,
    rows: int, used: int, told: I64, starts: I64, ends: I64, at_ns: U64, value: F64, bits: U64, blocks: U8,
) -> tuple[int, int, int]:  # fmt: skip
    """One data point. `told[k]`: where the eight bytes of COUNT, SUM, MIN, MAX are (PLAIN: of the number)."""
    told[:] = 0
    whole, time = False, np.uint64(0)
    attrs, attrs_end, counts, counts_end, bounds, bounds_end = 0, 0, 0, 0, 0, 0
    attribute = 0x4A if histogram else 0x3A
    while at < stop:
        tag = body[at]
        if tag & 7 == 1:
            if stop - at < 9:
                return ODD, rows, used
            if tag == 0x19:
                time = load_8(body, at + 1)
            elif histogram:
                if tag == 0x21:
                    told[COUNT] = at + 1
                elif tag == 0x29:
                    told[SUM] = at + 1
                elif tag == 0x59:
                    told[MIN] = at + 1
                elif tag == 0x61:
                    told[MAX] = at + 1
                elif tag != 0x11:
                    return ODD, rows, used
            elif tag == 0x21 or tag == 0x31:
                if told[PLAIN]:
                    return ODD, rows, used
                told[PLAIN], whole = at + 1, tag == 0x31
            elif tag != 0x11:
                return ODD, rows, used
            at += 9
        elif tag == (0x50 if histogram else 0x40):
            flags, at = read_varint(body, at + 1, stop)
            if at < 0 or flags & np.uint64(1):
                return ODD, rows, used
        else:
            begin, end = read_length(body, at + 1, stop)
            if end < 0:
                return ODD, rows, used
            if tag == attribute:
                if attrs_end and at != attrs_end:
                    return ODD, rows, used
                if not attrs_end:
                    attrs = at
                attrs_end = end
            elif histogram and tag == 0x32 and not counts_end:
                counts, counts_end = begin, end
            elif histogram and tag == 0x3A and not bounds_end:
                bounds, bounds_end = begin, end
            else:
                return ODD, rows, used
            at = end
    buckets = (counts_end - counts) // 8
    if (
        (counts_end - counts) & 7
        or (bounds_end - bounds) & 7
        or (buckets and buckets != (bounds_end - bounds) // 8 + 1)
    ):
        return ODD, rows, used
    if rows + buckets + 5 > len(starts):
        return TOO_MANY, rows, used
    size = _HEAD + (name_end - name) + (attrs_end - attrs)
    if used + (buckets + 5) * size > len(blocks):
        return NO_ROOM, rows, used
    first = rows
    for part in range(5):
        number = np.uint64(0)
        if told[part]:
            number = load_8(body, told[part])
        elif part != (COUNT if histogram else PLAIN):
            continue
        elif not histogram:
            return ODD, rows, used  # a point without a value
        if part == COUNT:
            if number > _EXACT:
                return ODD, rows, used
            value[rows] = np.float64(number)
        elif part == PLAIN and whole:
            value[rows] = np.float64(np.int64(number))
        elif (number >> np.uint64(52)) & _NOT_FINITE == _NOT_FINITE:
            return ODD, rows, used
        else:
            bits[rows] = number
        starts[rows] = used
        used = _block(body, origin, part, delta, np.uint64(0), name, name_end, attrs, attrs_end, blocks, used)
        ends[rows] = used
        rows += 1
    below = np.uint64(0)
    for k in range(buckets):
        number = load_8(body, counts + 8 * k)
        if number > _EXACT or below + number > _EXACT:
            return ODD, rows, used
        below += number
        bound = _INFINITE if k == buckets - 1 else load_8(body, bounds + 8 * k)
        value[rows], starts[rows] = np.float64(below), used
        used = _block(body, origin, BUCKET, delta, bound, name, name_end, attrs, attrs_end, blocks, used)
        ends[rows] = used
        rows += 1
    for row in range(first, rows):
        at_ns[row] = time
    return DONE, rows, used


@compiled
def _block(
    body: U8, origin: int, part: int, delta: bool, bound: Any, name: int, name_end: int, attrs: int,
    attrs_end: int, blocks: U8, to: int,
) -> int:  # fmt: skip
    """One block (as BLOCK_HEAD says), and where the next one begins."""
    length = name_end - name
    for k in range(4):
        blocks[to + k] = (origin >> (8 * k)) & 0xFF
    blocks[to + 4] = part
    blocks[to + 5] = 1 if delta else 0
    blocks[to + 6] = length & 0xFF
    blocks[to + 7] = length >> 8
    for k in range(8):
        blocks[to + 8 + k] = np.uint8((bound >> np.uint64(8 * k)) & np.uint64(0xFF))
    to += _HEAD
    for k in range(name, name_end):
        blocks[to] = body[k]
        to += 1
    for k in range(attrs, attrs_end):
        blocks[to] = body[k]
        to += 1
    return to
