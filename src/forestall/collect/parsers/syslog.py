"""Syslog in columns: many messages in one buffer become arrays, without a Python object per message.

The plain forms of RFC 5424 and RFC 3164 are read with numpy: where the k-th space of each message lies is
looked up in one sorted index of all spaces, and each field is cut from the buffer by its bounds. Whatever is
not plain goes to `syslog_line.read_line`, which defines the result for both. Pure.

Source: RFC 5424, RFC 3164. Figures: benchmarks/syslog_parse.py.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forestall.collect.parsers.syslog_line import (
    HOST_MAX_BYTES,
    SOURCE_MAX_BYTES,
    TAG_MAX_BYTES,
    Line,
    read_line,
)
from forestall.collect.parsers.syslog_time import (
    EARLY_MAX_MS,
    LATE_MAX_MS,
    Bytes,
    Flags,
    Ints,
    bsd_columns,
    iso_columns,
)

BUFFER_MAX_BYTES = 1 << 30
PID_DIGITS_MAX = 10

_PAD = b"\0" * 64  # so that looking a few bytes ahead never leaves the buffer
_SPACE, _COLON, _OPEN, _CLOSE, _DASH = b" :[]-"


@dataclass(frozen=True, slots=True)
class SyslogColumns:
    """Messages in columns of one length; the meaning is that of kernel.columns.LogColumns."""

    at_ms: Ints
    severity: npt.NDArray[np.uint8]
    facility: npt.NDArray[np.uint8]
    source: pa.Array
    host: pa.Array
    message: pa.Array
    raw: pa.Array
    attrs: pa.Array

    def __len__(self) -> int:
        return len(self.at_ms)


def parse_syslog(
    buffer: bytes, offsets: Ints, *, received_at_ms: Ints, zone_ms: Ints | None = None
) -> SyslogColumns:
    """Message i is `buffer[offsets[i]:offsets[i + 1]]` (n + 1 offsets, ascending); one row each, in order.

    `received_at_ms` (n); `zone_ms` (n): how far each sender's clock is ahead of UTC when it tells no zone
    (default 0). Raises ValueError for a buffer of more than BUFFER_MAX_BYTES.
    """
    count = len(offsets) - 1
    if len(buffer) > BUFFER_MAX_BYTES:
        raise ValueError(f"a buffer has at most {BUFFER_MAX_BYTES} bytes, this one {len(buffer)}")
    zones = np.zeros(count, np.int64) if zone_ms is None else zone_ms
    if count == 0:
        return _columns_of_lines([])
    cuts = read_plain(buffer, offsets, received_at_ms=received_at_ms, zone_ms=zones)
    at_ms = np.where(cuts.timeless, received_at_ms, cuts.at_ms)
    odd = np.flatnonzero(~cuts.plain)
    lines = [
        read_line(
            buffer[int(offsets[row]) : int(offsets[row + 1])], int(received_at_ms[row]), int(zones[row])
        )
        for row in odd
    ]
    if len(lines) == count:
        return _columns_of_lines(lines)
    return _merged(cuts.columns(at_ms), odd, lines)


def parse_syslog_lines(lines: list[bytes], received_at_ms: int, zone_ms: int = 0) -> SyslogColumns:
    """The same for messages in a list that were received together."""
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:]) if lines else None
    return parse_syslog(
        b"".join(lines),
        offsets,
        received_at_ms=np.full(len(lines), received_at_ms, np.int64),
        zone_ms=np.full(len(lines), zone_ms, np.int64),
    )


def read_plain(buffer: bytes, offsets: Ints, *, received_at_ms: Ints, zone_ms: Ints) -> "Cuts":
    """The bounds of the fields of the messages that are plain; `plain` tells which (n > 0)."""
    cuts = Cuts(buffer, offsets)
    cuts.read_5424()
    cuts.read_3164(received_at_ms, zone_ms)
    delta = cuts.at_ms - received_at_ms
    cuts.plain &= cuts.timeless | ((delta <= EARLY_MAX_MS) & (delta >= -LATE_MAX_MS))
    return cuts


class _Index:
    """Where some bytes lie, ascending, with an end mark; answers: which is the first at or after a place."""

    def __init__(self, places: npt.NDArray[np.intp], end: int) -> None:
        self.places = np.concatenate([places, np.full(8, end, np.intp)])

    def after(self, place: Ints) -> Ints:
        """The first at or after each place."""
        found = np.minimum(np.searchsorted(self.places, place), len(self.places) - 1)
        return np.asarray(self.places[found], np.int64)

    def any_between(self, start: Ints, end: Ints) -> Flags:
        """Whether there is one in start <= place < end."""
        return np.asarray(self.after(start) < end, np.bool_)


class Cuts:
    """The bounds of the fields in the buffer, row by row; only rows that stay `plain` are read from them."""

    def __init__(self, buffer: bytes, offsets: Ints) -> None:
        self.buffer = buffer + _PAD
        self.data: Bytes = np.frombuffer(self.buffer, np.uint8)
        self.start = offsets[:-1]
        self.end = offsets[1:]
        count, size = len(self.start), len(buffer)
        self.spaces = _Index(np.flatnonzero(self.data[:size] == _SPACE), size)
        self.at_ms = np.zeros(count, np.int64)
        self.timeless = np.zeros(count, np.bool_)
        # each field's bounds; an absent field is empty
        self.fields = {name: (self.start.copy(), self.start.copy()) for name in _FIELDS}
        self.body, pri, good = self._read_pri()
        self.severity = (pri & 7).astype(np.uint8)
        self.facility = (pri >> 3).astype(np.uint8)
        self.good = good & self._is_text() & self._ends_plain()
        self.modern = (self.data[self.body] == ord("1")) & (self.data[self.body + 1] == _SPACE)
        self.plain = np.zeros(count, np.bool_)

    def _read_pri(self) -> tuple[Ints, npt.NDArray[np.int16], Flags]:
        """Where the PRI ends, its value, and whether it is one and something follows."""
        data, start = self.data, self.start
        width = np.where(
            data[start + 2] == ord(">"), 2, np.where(data[start + 3] == ord(">"), 3, 4)
        )  # of "<nnn"
        value = np.zeros(len(start), np.int16)
        good = (data[start] == ord("<")) & (data[start + width] == ord(">"))
        for place in (1, 2, 3):
            inside = place < width
            digit = data[start + place].astype(np.int16) - 48
            good &= ~inside | ((digit >= 0) & (digit <= 9))
            value = np.where(inside, value * 10 + digit, value).astype(np.int16)
        body = start + width + 1
        good &= (value >= 0) & (value <= 191) & (body < self.end)
        return np.where(good, body, start), np.where(good, value, 0).astype(np.int16), good

    def _is_text(self) -> Flags:
        """Whether a row is certainly valid UTF-8."""
        high = np.flatnonzero(self.data >= 0x80)
        if not len(high):
            return np.ones(len(self.start), np.bool_)
        has_high = _Index(high, len(self.data)).any_between(self.start, self.end)
        try:
            self.buffer.decode()
        except UnicodeDecodeError:
            return ~has_high
        return np.asarray((self.data[self.start] & 0xC0) != 0x80) & ~self._cut_inside(has_high)

    def _cut_inside(self, has_high: Flags) -> Flags:
        """Rows that end within a character: the next byte continues one."""
        return np.asarray(has_high & ((self.data[self.end] & 0xC0) == 0x80), np.bool_)

    def _ends_plain(self) -> Flags:
        last = self.data[np.maximum(self.end - 1, 0)]
        return np.asarray(
            (self.end > self.start) & (last != ord("\n")) & (last != ord("\r")) & (last != 0), np.bool_
        )

    def _set(self, name: str, rows: Ints, start: Ints, end: Ints) -> None:
        self.fields[name][0][rows] = start
        self.fields[name][1][rows] = end

    def read_5424(self) -> None:
        """VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP "-" [SP MSG]."""
        rows = np.flatnonzero(self.good & self.modern)
        if not len(rows):
            return
        data, end = self.data, self.end[rows]
        first = np.searchsorted(self.spaces.places, self.body[rows])
        places = self.spaces.places
        space = [np.asarray(places[np.minimum(first + k, len(places) - 1)], np.int64) for k in range(6)]
        good = space[5] + 1 < end
        for left, right in pairwise(space):
            good &= right > left + 1
        tail = space[5] + 1
        bare = tail + 1 == end
        good &= (data[tail] == _DASH) & (bare | (data[tail + 1] == _SPACE))
        message = np.minimum(tail + 2, end)
        good &= data[message] != 0xEF  # perhaps a byte order mark
        message = message + ((message < end) & (data[message] == _SPACE))  # a space of the sender's own
        rows, message, end, *ends = _keep(good, rows, message, end, *space)
        bounds = [(left + 1, right) for left, right in pairwise(ends)]
        empty = [(data[left] == _DASH) & (right == left + 1) for left, right in bounds]
        timeless = empty[0]
        at_ms, timed = iso_columns(data, *bounds[0])
        good = timed | timeless
        good &= bounds[1][1] - bounds[1][0] <= HOST_MAX_BYTES
        good &= bounds[2][1] - bounds[2][0] <= SOURCE_MAX_BYTES
        unsafe = (data < 32) | (data == ord('"')) | (data == ord("\\")) | (data >= 127)
        good &= ~_Index(np.flatnonzero(unsafe), len(data)).any_between(bounds[3][0], bounds[4][1])
        self.plain[rows] = good
        self.at_ms[rows] = at_ms
        self.timeless[rows] = timeless
        for name, (left, right), none in zip(
            ("host", "source", "pid", "msgid"), bounds[1:], empty[1:], strict=True
        ):
            self._set(name, rows, left, np.where(none, left, right))
        self._set("message", rows, message, end)

    def read_3164(self, received_at_ms: Ints, zone_ms: Ints) -> None:
        """TIMESTAMP SP HOSTNAME SP TAG["[" digits "]"] ":" [SP CONTENT], the time as RFC 3164 or RFC 3339."""
        rows = np.flatnonzero(self.good & ~self.modern)
        if not len(rows):
            return
        data, end, body = self.data, self.end[rows], self.body[rows]
        after = self.spaces.after
        stamp_end = after(body)
        iso = (data[body] == ord("2")) & (data[body + 4] == _DASH)
        stamp_end = np.where(iso, stamp_end, body + 15)
        host = stamp_end + 1
        good = (host < end) & (data[np.minimum(stamp_end, end)] == _SPACE)
        rows, end, body, iso, stamp_end, host = _keep(good, rows, end, body, iso, stamp_end, host)
        host_end = after(host)
        tag = host_end + 1
        good = (host_end > host) & (tag < end) & (host_end - host <= HOST_MAX_BYTES)
        good &= data[host] != ord("%")
        good &= ~((host_end - host == 4) & (data[host] == ord("2")) & (data[host + 1] == ord("0")))
        marks = _Index(np.flatnonzero((data == _COLON) | (data == _OPEN)), len(data) - 1)
        tag_end = marks.after(host)
        good &= (tag_end > tag) & (tag_end < end) & (tag_end - tag <= TAG_MAX_BYTES)
        good &= (data[np.minimum(tag, end)] != ord("%")) & (after(tag) > tag_end)
        rows, end, body, iso, stamp_end, host, host_end, tag, tag_end = _keep(
            good, rows, end, body, iso, stamp_end, host, host_end, tag, tag_end
        )
        pid, pid_end, colon, numbered = self._read_pid(tag_end, end)
        good = numbered & (data[colon] == _COLON) & (colon < end)
        message = np.minimum(colon + 2, end)
        good &= (colon + 1 == end) | (data[colon + 1] == _SPACE)
        at_ms, timed = bsd_columns(data, body, received_at_ms[rows], zone_ms[rows])
        told = np.flatnonzero(iso)
        at_ms[told], timed[told] = iso_columns(data, body[told], stamp_end[told])
        self.plain[rows] = good & timed
        self.at_ms[rows] = at_ms
        self._set("host", rows, host, host_end)
        self._set("source", rows, tag, tag_end)
        self._set("pid", rows, pid, pid_end)
        self._set("message", rows, message, end)

    def _read_pid(self, tag_end: Ints, end: Ints) -> tuple[Ints, Ints, Ints, Flags]:
        """Bounds of the digits in `[…]` behind a tag (empty when there are none), where the colon must be,
        and whether that holds."""
        data = self.data
        bracket = data[tag_end] == _OPEN
        pid = np.where(bracket, tag_end + 1, tag_end)
        width = np.zeros(len(pid), np.int64)
        digits = bracket.copy()
        for place in range(PID_DIGITS_MAX + 1):
            digits &= (data[np.minimum(pid + place, len(data) - 1)] - np.uint8(48)) <= 9
            width += digits
        pid_end = pid + width
        closed = (width >= 1) & (width <= PID_DIGITS_MAX) & (data[np.minimum(pid_end, end)] == _CLOSE)
        colon = np.where(bracket, np.minimum(pid_end + 1, end), tag_end)
        return pid, pid_end, colon, ~bracket | (closed & (pid_end < end))

    def columns(self, at_ms: Ints) -> SyslogColumns:
        """The rows; those that are not plain are empty."""
        message = self._field("message")
        count = len(message)
        return SyslogColumns(
            at_ms,
            self.severity,
            self.facility,
            self._field("source"),
            self._field("host"),
            message,
            empty_strings(count),
            self._attrs(),
        )

    def _field(self, name: str) -> pa.Array:
        """The text between the bounds. The bounds alternate: what lies between two rows is a piece, too,
        which is left out again; so there is one copy, of the text alone."""
        start, end = self.fields[name]
        start = np.where(self.plain, start, self.start)
        end = np.where(self.plain, end, self.start)
        bounds = np.empty(2 * len(start) + 1, np.int32)
        bounds[0:-1:2] = start
        bounds[1::2] = end
        bounds[-1] = end[-1]
        pieces = pa.StringArray.from_buffers(2 * len(start), pa.py_buffer(bounds), pa.py_buffer(self.buffer))
        return pieces.take(pa.array(np.arange(0, 2 * len(start), 2, dtype=np.int32)))

    def _attrs(self) -> pa.Array:
        """`{"pid":"…","msgid":"…"}` of what there is, else ""."""
        plain, count = self.plain, len(self.start)
        has_pid = plain & (self.fields["pid"][1] > self.fields["pid"][0])
        has_id = plain & (self.fields["msgid"][1] > self.fields["msgid"][0])
        if not has_pid.any() and not has_id.any():
            return empty_strings(count)
        pid = self._field("pid")
        only = pc.binary_join_element_wise('{"pid":"', pid, '"}', "")
        attrs = pc.if_else(pa.array(has_pid), only, "")
        if has_id.any():
            head = pc.if_else(pa.array(has_pid), pc.binary_join_element_wise('{"pid":"', pid, '",', ""), "{")
            both = pc.binary_join_element_wise(head, '"msgid":"', self._field("msgid"), '"}', "")
            attrs = pc.if_else(pa.array(has_id), both, attrs)
        return attrs


_FIELDS = ("source", "host", "message", "pid", "msgid")


def empty_strings(count: int) -> pa.Array:
    """`count` times ""."""
    return pa.StringArray.from_buffers(count, pa.py_buffer(np.zeros(count + 1, np.int32)), pa.py_buffer(b""))


def _keep(good: Flags, *columns: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The columns, where `good`."""
    return list(columns) if good.all() else [column[good] for column in columns]


def _columns_of_lines(lines: list[Line]) -> SyslogColumns:
    text = [pa.array([line[place] for line in lines], pa.string()) for place in range(3, 8)]
    return SyslogColumns(
        np.array([line.at_ms for line in lines], np.int64),
        np.array([line.severity for line in lines], np.uint8),
        np.array([line.facility for line in lines], np.uint8),
        *text,
    )


def _merged(columns: SyslogColumns, odd: npt.NDArray[np.intp], lines: list[Line]) -> SyslogColumns:
    """The columns, with these lines at the rows `odd`."""
    if not lines:
        return columns
    count = len(columns)
    patch = _columns_of_lines(lines)
    at_ms, severity, facility = columns.at_ms.copy(), columns.severity.copy(), columns.facility.copy()
    at_ms[odd], severity[odd], facility[odd] = patch.at_ms, patch.severity, patch.facility
    order = np.arange(count, dtype=np.int64)
    order[odd] = count + np.arange(len(lines))
    chosen = pa.array(order)
    text = [
        pa.concat_arrays([getattr(columns, name), getattr(patch, name)]).take(chosen)
        for name in ("source", "host", "message", "raw", "attrs")
    ]
    return SyslogColumns(at_ms, severity, facility, *text)
