"""Syslog in columns: many messages in one buffer become arrays, without a Python object per message.

What is plainly RFC 5424 or RFC 3164 is read by `syslog_scan` in one compiled pass. Whatever is not plain goes
to `syslog_line.read_line`, which defines the result for both. Pure.

Source: RFC 5424, RFC 3164. Figures: benchmarks/syslog_parse.py.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.collect.parsers.syslog_line import Line, read_line
from forestall.collect.parsers.syslog_original import PREFIX
from forestall.collect.parsers.syslog_scan import (
    HOST,
    HOST_END,
    I32,
    I64,
    MESSAGE,
    MSGID,
    MSGID_END,
    PAD_BYTES,
    PID,
    PID_END,
    SOURCE,
    SOURCE_END,
    U8,
    U32,
    gather,
    intern,
    scan,
)
from forestall.collect.parsers.syslog_time import Flags, Ints

BUFFER_MAX_BYTES = 1 << 30


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
    form: I32
    rest: U32

    def __len__(self) -> int:
        return len(self.at_ms)


@dataclass(slots=True)
class _Odd:
    """The rows that are not plain, read one by one. `rows` is ascending."""

    rows: npt.NDArray[np.intp]
    lines: list[Line]
    forms: list[int]

    def __init__(
        self, buffer: bytes, offsets: Ints, plain: Flags, received_at_ms: Ints, zone_ms: Ints
    ) -> None:
        self.rows = np.flatnonzero(~plain)
        self.lines, self.forms = [], []
        for row in self.rows.tolist():
            given = buffer[int(offsets[row]) : int(offsets[row + 1])].removesuffix(b"\n")
            line = read_line(given, int(received_at_ms[row]), int(zone_ms[row]))
            line, form = _with_prefix(line, given)
            self.lines.append(line)
            self.forms.append(form)


def parse_syslog(
    buffer: bytes, offsets: Ints, *, received_at_ms: Ints, zone_ms: Ints | None = None
) -> SyslogColumns:
    """Message i is `buffer[offsets[i]:offsets[i + 1]]` (n + 1 offsets, ascending), without the newline that
    may end it; one row each, in order.

    `received_at_ms` (n); `zone_ms` (n): how far each sender's clock is ahead of UTC when it tells no zone
    (default 0). Raises ValueError for a buffer of more than BUFFER_MAX_BYTES.
    """
    count = len(offsets) - 1
    if len(buffer) > BUFFER_MAX_BYTES:
        raise ValueError(f"a buffer has at most {BUFFER_MAX_BYTES} bytes, this one {len(buffer)}")
    zones = np.zeros(count, np.int64) if zone_ms is None else zone_ms
    data = np.frombuffer(buffer + bytes(PAD_BYTES), np.uint8)
    plain, at_ms, pri, form, rest, bounds, rows_end = scan(data, offsets, received_at_ms, zones)
    odd = _Odd(buffer, offsets, plain, received_at_ms, zones)
    severity, facility = pri & np.uint8(7), pri >> np.uint8(3)
    at_ms[odd.rows] = [line.at_ms for line in odd.lines]
    severity[odd.rows] = [line.severity for line in odd.lines]
    facility[odd.rows] = [line.facility for line in odd.lines]
    form[odd.rows] = odd.forms
    nothing = np.zeros(count, np.int32)
    rows_start = offsets[:-1].astype(np.int32)
    # a time that is not believed stays to be read in what stands before the message
    raw_end = np.where(plain & (form == PREFIX), bounds[MESSAGE], rows_start)

    def names(start: I32, end: I32, values: list[str]) -> pa.DictionaryArray:
        codes, firsts = intern(data, start, end, nothing, nothing, chosen=plain)
        return _coded(codes, _texts(data, start, end, firsts), odd, values)

    source = names(bounds[SOURCE], bounds[SOURCE_END], [line.source for line in odd.lines])
    host = names(bounds[HOST], bounds[HOST_END], [line.host for line in odd.lines])
    pid, pid_end, msgid, msgid_end = bounds[[PID, PID_END, MSGID, MSGID_END]]
    codes, firsts = intern(data, pid, pid_end, msgid, msgid_end, chosen=plain)
    told = zip(_texts(data, pid, pid_end, firsts), _texts(data, msgid, msgid_end, firsts), strict=True)
    attrs = _coded(codes, [_attrs(*pair) for pair in told], odd, [line.attrs for line in odd.lines])
    return SyslogColumns(
        at_ms, severity, facility, source, host,
        _pieces(data, bounds[MESSAGE], rows_end, odd, [line.message for line in odd.lines]),
        _pieces(data, rows_start, raw_end, odd, [line.raw for line in odd.lines]),
        attrs, form, rest,
    )  # fmt: skip


def _pieces(data: U8, start: I32, end: I32, odd: _Odd, texts: list[str]) -> pa.StringArray:
    """What lies between the bounds, of the plain rows; `texts` of the odd ones."""
    if not texts and (start == end).all():
        return empty_strings(len(start))
    start, end = start.copy(), end.copy()
    if texts:
        spelled = [text.encode() for text in texts]
        ends = len(data) + np.cumsum([len(text) for text in spelled])
        data = np.concatenate([data, np.frombuffer(b"".join(spelled), np.uint8)])
        end[odd.rows] = ends
        start[odd.rows] = ends - [len(text) for text in spelled]
    text, at = gather(data, start, end)
    return pa.StringArray.from_buffers(len(start), pa.py_buffer(at), pa.py_buffer(text))


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


def empty_strings(count: int) -> pa.Array:
    """`count` times ""."""
    return pa.StringArray.from_buffers(count, pa.py_buffer(np.zeros(count + 1, np.int32)), pa.py_buffer(b""))


def _with_prefix(line: Line, given: bytes) -> tuple[Line, int]:
    """The line with what stands before its message as `raw`, where that says all of what was received."""
    try:
        text = given.decode()
    except UnicodeDecodeError:
        return line, 0
    if not text.endswith(line.message):
        return (line if line.raw else line._replace(raw=text)), 0
    return line._replace(raw=text[: len(text) - len(line.message)]), PREFIX


def _texts(data: U8, start: I32, end: I32, rows: I64) -> list[str]:
    return [bytes(data[start[row] : end[row]]).decode() for row in rows.tolist()]


def _coded(codes: I32, names: list[str], odd: _Odd, values: list[str]) -> pa.DictionaryArray:
    """A dictionary column: `codes` of the plain rows into `names`, `values` of the odd ones."""
    place = {name: code for code, name in enumerate(names)}
    for row, value in zip(odd.rows.tolist(), values, strict=True):
        codes[row] = place.setdefault(value, len(place))
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(place), pa.string()))


def _attrs(pid: str, msgid: str) -> str:
    """As `read_line` has it: `{"pid":"…","msgid":"…"}` of what there is, else ""."""
    told = [f'"{name}":"{value}"' for name, value in (("pid", pid), ("msgid", msgid)) if value]
    return "{" + ",".join(told) + "}" if told else ""
