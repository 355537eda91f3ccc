"""OTLP logs in the protobuf wire format, walked by compiled loops: rows for plain records, in buffers.

A record is plain when it is what encoders write and its attributes are texts, whole numbers, yes/no or short
decimals under different names. All others are marked, and `otlp_logs` asks the library for them.
"""

from typing import Any

import numpy as np

from forestall.intake.formats.otlp_values import (
    ATTRS_MAX_BYTES,
    EVENT,
    MESSAGE_MAX_CHARS,
    SEVERITIES,
    SPAN,
    TRACE,
)
from forestall.intake.formats.wire import (
    hash_bytes,
    load_8,
    load_less,
    read_length,
    read_varint,
)
from forestall.kernel.columns import I64, U8, U64
from forestall.kernel.compiled import compiled

DONE, ODD, TOO_MANY, NO_ROOM = 0, 1, 2, 3
KEYS_MAX = 64
DECIMALS_MAX = 6

_SEED = np.uint64(0x9E3779B97F4A7C15)
_HIGH_BITS = np.uint64(0x8080808080808080)
_SYSLOG = np.array(SEVERITIES, np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_SHORT = np.zeros(32, np.uint8)  # the letter after the backslash, where JSON has a short escape
for _code, _letter in ((8, b"b"), (9, b"t"), (10, b"n"), (12, b"f"), (13, b"r")):
    _SHORT[_code] = _letter[0]
_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_TRACE_KEY = np.frombuffer(f'"{TRACE}":"'.encode(), np.uint8)
_SPAN_KEY = np.frombuffer(f'"{SPAN}":"'.encode(), np.uint8)
_EVENT_KEY = np.frombuffer(f'"{EVENT}":"'.encode(), np.uint8)


def hash_key(key: bytes) -> np.uint64:
    """The hash by which a record's keys are compared with those of its origin."""
    return np.uint64(hash_bytes(np.frombuffer(key, np.uint8), 0, len(key), _SEED))


@compiled
def find_records(
    body: U8, starts: I64, ends: I64, origin: I64, resources: I64, scopes: I64
) -> tuple[int, int, int]:
    """Where the log records are, and of which origin: (status, how many records, how many origins).

    `resources` and `scopes` (one row an origin: begin, end) are where an origin's resource and scope are.
    """
    at, stop = 0, len(body)
    records, origins = 0, 0
    while at < stop:
        tag = body[at]
        begin, end = read_length(body, at + 1, stop)
        if end < 0 or tag != 0x0A:
            return ODD, records, origins
        at = end
        first, resource, resource_end = origins, -1, -1
        while begin < end:
            tag = body[begin]
            inner, inner_end = read_length(body, begin + 1, end)
            if inner_end < 0:
                return ODD, records, origins
            if tag == 0x0A and resource < 0:
                resource, resource_end = inner, inner_end
            elif tag == 0x12:
                if origins >= len(scopes):
                    return TOO_MANY, records, origins
                status, records = _find_in_scope(
                    body, inner, inner_end, records, origins, starts, ends, origin, scopes
                )
                if status != DONE:
                    return status, records, origins
                origins += 1
            elif tag != 0x1A:
                return ODD, records, origins
            begin = inner_end
        for k in range(first, origins):
            resources[k, 0], resources[k, 1] = max(resource, 0), max(resource_end, 0)
    return DONE, records, origins


@compiled
def _find_in_scope(
    body: U8, at: int, end: int, records: int, own: int, starts: I64, ends: I64, origin: I64, scopes: I64
) -> tuple[int, int]:
    """The records of one ScopeLogs: (status, how many records there are by now)."""
    scopes[own, 0], scopes[own, 1] = -1, -1
    while at < end:
        tag = body[at]
        inner, inner_end = read_length(body, at + 1, end)
        if inner_end < 0:
            return ODD, records
        if tag == 0x0A and scopes[own, 0] < 0:
            scopes[own, 0], scopes[own, 1] = inner, inner_end
        elif tag == 0x12:
            if records >= len(starts):
                return TOO_MANY, records
            starts[records], ends[records], origin[records] = inner, inner_end, own
            records += 1
        elif tag != 0x1A:
            return ODD, records
        at = inner_end
    if scopes[own, 0] < 0:
        scopes[own, 0], scopes[own, 1] = 0, 0
    return DONE, records


@compiled
def read_records(
    body: U8,
    first: int,
    starts: I64,
    ends: I64,
    origin: I64,
    fixed: U8,
    fixed_ends: I64,
    hashes: U64,
    hash_ends: I64,
    received_at_ms: int,
    at_ms: I64,
    severity: U8,
    odd: U8,
    message: U8,
    message_ends: Any,
    attrs: U8,
    attrs_ends: Any,
) -> int:
    """Rows from `first` on, until all are read or `attrs` has no room; the first that was not read.

    `fixed` holds for every origin the beginning of its attributes' JSON (`{"a":"b"`), `hashes` its keys.
    `message_ends` and `attrs_ends` are offsets as Arrow has them, from 0; a row that is `odd` has no texts.
    """
    keys = np.empty(KEYS_MAX, np.uint64)
    for row in range(first, len(starts)):
        own = origin[row]
        fixed_at = fixed_ends[own]
        room = fixed_ends[own + 1] - fixed_at
        at = np.int64(attrs_ends[row])
        if len(attrs) - at < 2 * ATTRS_MAX_BYTES + room:
            return row
        message_ends[row + 1] = message_ends[row]
        attrs_ends[row + 1] = attrs_ends[row]
        odd[row] = 1
        count = hash_ends[own + 1] - hash_ends[own]
        if count >= KEYS_MAX:
            continue
        keys[:count] = hashes[hash_ends[own] : hash_ends[own + 1]]
        attrs[at : at + room] = fixed[fixed_at : fixed_at + room]
        text, text_end, end, time = _read_record(
            body, starts[row], ends[row], row, attrs, at + room, at, keys, count, severity
        )
        if end < 0:
            continue
        begin = np.int64(message_ends[row])
        message[begin : begin + text_end - text] = body[text:text_end]
        message_ends[row + 1] = begin + text_end - text
        if end > at:
            attrs[end] = 0x7D
            end += 1
        attrs_ends[row + 1] = end
        at_ms[row] = time if time >= 0 else received_at_ms
        odd[row] = 0
    return len(starts)


@compiled
def _read_record(
    body: U8, at: int, end: int, row: int, out: U8, to: int, open_at: int, keys: U64, count: int, severity: U8
) -> tuple[int, int, int, Any]:
    """One record: where its message is in the body, where its attributes end in `out`, when it was (ms).

    The attributes end at -1 when the record is odd, at `open_at` when there are none; the time is -1 when
    the record has none.
    """
    time, observed, number = np.uint64(0), np.uint64(0), np.uint64(0)
    text, text_end = 0, 0
    event, event_end, trace, span = 0, 0, 0, 0
    bodies, named = 0, False
    most = open_at + ATTRS_MAX_BYTES
    while at < end:
        tag = body[at]
        if tag == 0x09 or tag == 0x59:
            if end - at < 9:
                return 0, 0, -1, 0
            if tag == 0x09:
                time = load_8(body, at + 1)
            else:
                observed = load_8(body, at + 1)
            at += 9
            continue
        if tag == 0x10 or tag == 0x38:
            value, at = read_varint(body, at + 1, end)
            if at < 0:
                return 0, 0, -1, 0
            if tag == 0x10:
                number = value
            continue
        if tag == 0x45:
            at += 5
            if at > end:
                return 0, 0, -1, 0
            continue
        inner, inner_end = read_length(body, at + 1, end)
        if inner_end < 0:
            return 0, 0, -1, 0
        if tag == 0x32:
            to, count = _write_attribute(body, inner, inner_end, out, to, open_at, keys, count, most)
            if to < 0:
                return 0, 0, -1, 0
        elif tag == 0x2A:
            bodies += 1
            if inner_end > inner:
                text, text_end = read_length(body, inner + 1, inner_end)
                if body[inner] != 0x0A or text_end != inner_end or bodies > 1:
                    return 0, 0, -1, 0
        elif tag == 0x1A:
            named = named or inner_end > inner
            if not is_utf8(body, inner, inner_end):
                return 0, 0, -1, 0
        elif tag == 0x4A and inner_end - inner == 16:
            trace = inner
        elif tag == 0x52 and inner_end - inner == 8:
            span = inner
        elif tag == 0x62:
            event, event_end = inner, inner_end
        elif not ((tag == 0x4A or tag == 0x52) and inner_end == inner and trace == 0 and span == 0):
            return 0, 0, -1, 0
        at = inner_end
    if (number == np.uint64(0) and named) or number >= np.uint64(len(_SYSLOG)):
        return 0, 0, -1, 0
    if text_end - text > MESSAGE_MAX_CHARS or not is_utf8(body, text, text_end):
        return 0, 0, -1, 0
    if event_end > event:
        if text_end == text or not is_utf8(body, event, event_end):
            return 0, 0, -1, 0
        to = _write_comma(out, to, open_at)
        to = _write_bytes(_EVENT_KEY, 0, len(_EVENT_KEY), out, to)
        to = _write_text(body, event, event_end, out, to, most)
        if to < 0:
            return 0, 0, -1, 0
        out[to] = 0x22
        to += 1
    if trace > 0 and (load_8(body, trace) | load_8(body, trace + 8)) != np.uint64(0):
        to = _write_hex(body, trace, 16, out, _write_bytes(_TRACE_KEY, 0, len(_TRACE_KEY), out,
                        _write_comma(out, to, open_at)))  # fmt: skip
    if span > 0 and load_8(body, span) != np.uint64(0):
        to = _write_hex(body, span, 8, out, _write_bytes(_SPAN_KEY, 0, len(_SPAN_KEY), out,
                        _write_comma(out, to, open_at)))  # fmt: skip
    if to >= most:
        return 0, 0, -1, 0
    severity[row] = _SYSLOG[np.int64(number)]
    chosen = time if time != np.uint64(0) else observed
    when = np.int64(chosen // np.uint64(1_000_000)) if chosen != np.uint64(0) else -1
    return text, text_end, to, when


@compiled
def _write_attribute(
    body: U8, at: int, end: int, out: U8, to: int, open_at: int, keys: U64, count: int, most: int
) -> tuple[int, int]:
    """A KeyValue as `,"key":"value"`: (where it ends or -1, how many keys there are)."""
    if at >= end or body[at] != 0x0A:
        return -1, count
    key, key_end = read_length(body, at + 1, end)
    if key_end < 0 or key_end >= end or body[key_end] != 0x12 or count >= KEYS_MAX:
        return -1, count
    value, value_end = read_length(body, key_end + 1, end)
    if value_end != end or not is_utf8(body, key, key_end):
        return -1, count
    mark = hash_bytes(body, key, key_end, _SEED)
    for k in range(count):
        if keys[k] == mark:
            return -1, count
    keys[count] = mark
    to = _write_comma(out, to, open_at)
    out[to] = 0x22
    to = _write_text(body, key, key_end, out, to + 1, most)
    if to < 0:
        return -1, count
    out[to], out[to + 1], out[to + 2] = 0x22, 0x3A, 0x22
    to = _write_value(body, value, value_end, out, to + 3, most)
    if to < 0:
        return -1, count
    out[to] = 0x22
    return to + 1, count + 1


@compiled
def _write_value(body: U8, at: int, end: int, out: U8, to: int, most: int) -> Any:
    """An AnyValue as text; where it ends, or -1."""
    if at >= end:
        return to
    tag = body[at]
    if tag == 0x0A:
        text, text_end = read_length(body, at + 1, end)
        if text_end != end or not is_utf8(body, text, text_end):
            return -1
        return _write_text(body, text, text_end, out, to, most)
    if tag == 0x10 or tag == 0x18:
        value, after = read_varint(body, at + 1, end)
        if after != end:
            return -1
        if tag == 0x18:
            return _write_whole(np.int64(value), out, to)
        word = _TRUE if value != np.uint64(0) else _FALSE
        return _write_bytes(word, 0, len(word), out, to)
    if tag == 0x21 and end - at == 9:
        return _write_decimal(load_8(body, at + 1), out, to)
    return -1


@compiled
def _write_comma(out: U8, to: int, open_at: int) -> int:
    """What stands before a pair: `{` before the first, else `,`."""
    out[to] = 0x7B if to == open_at else 0x2C
    return to + 1


@compiled
def _write_bytes(what: U8, at: int, end: int, out: U8, to: int) -> int:
    for k in range(at, end):
        out[to] = what[k]
        to += 1
    return to


@compiled
def _write_text(body: U8, at: int, end: int, out: U8, to: int, most: int) -> int:
    """Text with the escapes of JSON; -1 when it does not end before `most`."""
    if to + (end - at) >= most:
        return -1
    while at < end:
        letter = body[at]
        at += 1
        if letter >= 0x20 and letter != 0x22 and letter != 0x5C:
            out[to] = letter
            to += 1
            continue
        if to + 6 >= most:
            return -1
        out[to] = 0x5C
        if letter == 0x22 or letter == 0x5C:
            out[to + 1] = letter
            to += 2
        elif _SHORT[letter] != 0:
            out[to + 1] = _SHORT[letter]
            to += 2
        else:
            out[to + 1], out[to + 2], out[to + 3] = 0x75, 0x30, 0x30
            out[to + 4], out[to + 5] = _HEX[letter >> 4], _HEX[letter & 15]
            to += 6
        if to + (end - at) >= most:
            return -1
    return to


@compiled
def _write_hex(body: U8, at: int, count: int, out: U8, to: int) -> int:
    """Bytes in hexadecimal digits, and the quotation mark after them."""
    for k in range(count):
        out[to], out[to + 1] = _HEX[body[at + k] >> 4], _HEX[body[at + k] & 15]
        to += 2
    out[to] = 0x22
    return to + 1


@compiled
def _write_whole(value: Any, out: U8, to: int) -> Any:
    """A signed number in digits."""
    left = np.uint64(value)
    if value < 0:
        out[to] = 0x2D
        to += 1
        left = ~left + np.uint64(1)
    digits = 1
    rest = left // np.uint64(10)
    while rest != np.uint64(0):
        digits += 1
        rest //= np.uint64(10)
    for k in range(digits - 1, -1, -1):
        out[to + k] = np.uint8(0x30) + np.uint8(left % np.uint64(10))
        left //= np.uint64(10)
    return to + digits


@compiled
def _write_decimal(bits: Any, out: U8, to: int) -> Any:
    """A double that is a short decimal, in the shortest digits that mean it; -1 for any other."""
    box = np.empty(1, np.uint64)
    box[0] = bits
    value = box.view(np.float64)[0]
    if not (1e-3 <= abs(value) < 1e9):
        return -1
    scale = 1.0
    for decimals in range(DECIMALS_MAX + 1):
        whole = np.rint(value * scale)
        if whole / scale == value and abs(whole) < 1e15:
            if value < 0:
                out[to] = 0x2D
                to += 1
            number = np.int64(abs(whole))
            unit = np.int64(scale)
            to = _write_whole(number // unit, out, to)
            out[to] = 0x2E
            to += 1
            if decimals == 0:
                out[to] = 0x30
                return to + 1
            part = number % unit
            for k in range(decimals - 1, -1, -1):
                out[to + k] = np.uint8(0x30) + np.uint8(part % 10)
                part //= 10
            return to + decimals
        scale *= 10.0
    return -1


@compiled
def is_utf8(body: U8, at: int, end: int) -> bool:
    """Whether the bytes are UTF-8. Source: RFC 3629 section 4."""
    while at < end:
        while at + 8 <= end and load_8(body, at) & _HIGH_BITS == np.uint64(0):
            at += 8
        if at >= end:
            return True
        if end - at < 8 and load_less(body, at, end - at) & _HIGH_BITS == np.uint64(0):
            return True
        lead = body[at]
        if lead < 0x80:
            at += 1
            continue
        if 0xC2 <= lead <= 0xDF:
            more, low, high = 1, 0x80, 0xBF
        elif 0xE0 <= lead <= 0xEF:
            more, low, high = 2, 0xA0 if lead == 0xE0 else 0x80, 0x9F if lead == 0xED else 0xBF
        elif 0xF0 <= lead <= 0xF4:
            more, low, high = 3, 0x90 if lead == 0xF0 else 0x80, 0x8F if lead == 0xF4 else 0xBF
        else:
            return False
        if end - at <= more or not low <= body[at + 1] <= high:
            return False
        for k in range(2, more + 1):
            if body[at + k] & 0xC0 != 0x80:
                return False
        at += more + 1
    return True
