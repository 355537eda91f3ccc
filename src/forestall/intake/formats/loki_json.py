"""Loki's push as JSON, at the speed of C: where each line, its time and its labels are. Pure.

Reads what senders really write and gives up (None) at anything else, which `loki` then reads by msgspec: that
defines the result.
"""

import secrets

import msgspec
import numpy as np
import pyarrow as pa

from forestall.intake.formats.json_scan import PAD, PLAIN, byte, scan_string
from forestall.intake.formats.json_write import copy, put_unescaped
from forestall.intake.formats.loki_wire import number_sets
from forestall.intake.formats.wire import load_8
from forestall.intake.pushed import ROWS_MAX
from forestall.kernel.columns import I64
from forestall.kernel.compiled import compiled

SAFE_DIGITS = 18  # of a time in ns that surely fits into 64 bits; until the year 2286 it has 19

_ODD = -1
_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = (np.uint8(one) for one in b'":,{}[]')
_STREAM, _AT_NS, _WRITTEN, _LINE, _LINE_END, _META, _META_END = range(7)
_SEED = np.uint64(secrets.randbits(64))
_STREAM_KEY = np.uint64(int.from_bytes(b'stream"', "little"))
_VALUES_KEY = np.uint64(int.from_bytes(b'values"', "little"))
_STREAMS_KEY = np.uint64(int.from_bytes(b"streams", "little"))
_SEVEN_BYTES = np.uint64((1 << 56) - 1)

Labels = dict[str, str]


def walk_json(body: bytes) -> tuple[I64, I64, pa.Array, list[Labels]] | None:
    """(time in ns, number of the set of labels, text) of each line and the sets; None for what is odd."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    data = np.frombuffer(body + PAD, np.uint8)
    most = min(ROWS_MAX, len(body) // 4) + 1
    streams = np.empty((most, 2), np.int64)
    rows = np.empty((most, 7), np.int64)
    stream_count, count = _walk_push(data, len(body), streams, rows)
    if count < 0 or count > ROWS_MAX:
        return None
    rows = rows[:count]
    which = np.empty(count, np.int64)
    listed = np.empty(count, np.int64)
    slots = np.full(1 << (2 * count + 1).bit_length(), -1, np.int32)
    different = number_sets(data, rows, _SEED, slots, listed, which)
    bounds = zip(streams[:stream_count, 0].tolist(), streams[:stream_count, 1].tolist(), strict=True)
    labels: list[Labels] = [msgspec.json.decode(body[start:end]) if end else {} for start, end in bounds]
    first = rows[listed[:different]]
    sets = [
        labels[place] | msgspec.json.decode(body[start:end]) if start >= 0 else labels[place]
        for place, start, end in zip(
            *(first[:, k].tolist() for k in (_STREAM, _META, _META_END)), strict=True
        )
    ]
    ends = np.zeros(count + 1, np.int32)
    text = np.empty(int((rows[:, _LINE_END] - rows[:, _LINE]).sum()), np.uint8)
    _write_lines(data, rows, ends, text)
    line = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text))
    return rows[:, _AT_NS].copy(), which, line, sets


@compiled
def _skip(data, at):  # type: ignore[no-untyped-def]
    """The first byte from `at` on that is no blank and no line break."""
    while byte(data, at) == 32 or byte(data, at) == 10 or byte(data, at) == 13 or byte(data, at) == 9:
        at += 1
    return at


@compiled
def _skip_mark(data, at, mark):  # type: ignore[no-untyped-def]
    """Behind a mark and the blanks around it, or -1 when something else stands there."""
    at = _skip(data, at)
    return _skip(data, at + 1) if byte(data, at) == mark else _ODD


@compiled
def _scan_labels(data, at):  # type: ignore[no-untyped-def]
    """Where an object of texts ends that begins at `at`, or -1."""
    at = _skip_mark(data, at, _OPEN)
    if at < 0 or byte(data, at) == _CLOSE:
        return at + 1 if at >= 0 else at
    while True:
        for part in range(2):
            if byte(data, at) != _QUOTE:
                return _ODD
            at, _ = scan_string(data, at + 1)
            if at < 0:
                return _ODD
            if part == 0:
                at = _skip_mark(data, at + 1, _COLON)
                if at < 0:
                    return _ODD
        at = _skip(data, at + 1)
        if byte(data, at) == _CLOSE:
            return at + 1
        at = _skip_mark(data, at, _COMMA)
        if at < 0:
            return _ODD


@compiled
def _walk_value(data, at, stream, row):  # type: ignore[no-untyped-def]
    """One line with its time: where it ends, or -1."""
    at = _skip_mark(data, at, _OPEN_LIST)
    if at < 0 or byte(data, at) != _QUOTE:
        return _ODD
    at += 1
    value, start = np.int64(0), at
    while 48 <= byte(data, at) <= 57 and at < start + 19:
        if at - start == SAFE_DIGITS and value > 900_000_000_000_000_000:
            return _ODD  # would be beyond 64 bits
        value = value * 10 + np.int64(byte(data, at)) - 48
        at += 1
    if at == start or byte(data, at) != _QUOTE:
        return _ODD
    at = _skip_mark(data, at + 1, _COMMA)
    if at < 0 or byte(data, at) != _QUOTE:
        return _ODD
    stop, written = scan_string(data, at + 1)
    if stop < 0:
        return _ODD
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = stream, value, written, at + 1, stop, -1, -1
    at = _skip(data, stop + 1)
    if byte(data, at) == _COMMA:
        begin = _skip(data, at + 1)
        at = _scan_labels(data, begin)
        if at < 0:
            return _ODD
        if at - begin > 2:
            row[5], row[6] = begin, at
        at = _skip(data, at)
    return at + 1 if byte(data, at) == _CLOSE_LIST else _ODD


@compiled
def _walk_values(data, at, stream, rows, count):  # type: ignore[no-untyped-def]
    """The lines of one stream: (where they end, or -1; how many rows there are then)."""
    at = _skip_mark(data, at, _OPEN_LIST)
    if at < 0:
        return _ODD, count
    if byte(data, at) == _CLOSE_LIST:
        return at + 1, count
    while True:
        if count >= len(rows):
            return _ODD, count
        at = _walk_value(data, at, stream, rows[count])
        if at < 0:
            return _ODD, count
        count += 1
        at = _skip(data, at)
        if byte(data, at) == _CLOSE_LIST:
            return at + 1, count
        at = _skip_mark(data, at, _COMMA)
        if at < 0:
            return _ODD, count


@compiled
def _walk_stream(data, at, stream, streams, rows, count):  # type: ignore[no-untyped-def]
    """One stream, its parts in any order: (where it ends, or -1; how many rows there are then)."""
    at = _skip_mark(data, at, _OPEN)
    if at < 0:
        return _ODD, count
    streams[stream, 0], streams[stream, 1] = 0, 0
    labelled, valued = False, False
    while True:
        if byte(data, at) != _QUOTE:
            return _ODD, count
        key = load_8(data, at + 1) & _SEVEN_BYTES
        at = _skip_mark(data, at + 8, _COLON)
        if at < 0:
            return _ODD, count
        if key == _STREAM_KEY and not labelled:
            labelled = True
            stop = _scan_labels(data, at)
            streams[stream, 0], streams[stream, 1] = at, stop
            at = stop
        elif key == _VALUES_KEY and not valued:
            valued = True
            at, count = _walk_values(data, at, stream, rows, count)
        else:
            return _ODD, count
        if at < 0:
            return _ODD, count
        at = _skip(data, at)
        if byte(data, at) == _CLOSE:
            return at + 1, count
        at = _skip_mark(data, at, _COMMA)
        if at < 0:
            return _ODD, count


@compiled
def _walk_push(data, size, streams, rows):  # type: ignore[no-untyped-def]
    """All streams: (how many, how many rows or -1 when it is odd)."""
    at = _skip_mark(data, 0, _OPEN)
    if at < 0 or byte(data, at) != _QUOTE or load_8(data, at + 1) & _SEVEN_BYTES != _STREAMS_KEY:
        return 0, _ODD
    if byte(data, at + 8) != _QUOTE:
        return 0, _ODD
    at = _skip_mark(data, at + 9, _COLON)
    if at >= 0:
        at = _skip_mark(data, at, _OPEN_LIST)
    if at < 0:
        return 0, _ODD
    stream, count = 0, 0
    while True:
        if stream >= len(streams):
            return 0, _ODD
        at, count = _walk_stream(data, at, stream, streams, rows, count)
        if at < 0:
            return 0, _ODD
        stream += 1
        at = _skip(data, at)
        if byte(data, at) == _CLOSE_LIST:
            break
        at = _skip_mark(data, at, _COMMA)
        if at < 0:
            return 0, _ODD
    at = _skip_mark(data, at + 1, _CLOSE)
    return (stream, count) if at == size else (0, _ODD)


@compiled
def _write_lines(data, rows, ends, text):  # type: ignore[no-untyped-def]
    """The texts of the lines, one behind the other, with `ends` (n + 1) from 0 on."""
    to = 0
    for row in range(len(rows)):
        start, stop = rows[row, 3], rows[row, 4]
        if rows[row, 2] == PLAIN:
            to = copy(text, to, data, start, stop)
        else:
            to = put_unescaped(text, to, data, start, stop)
        ends[row + 1] = to
