"""Loki's push as protobuf, unpacked: where each line, its time and its labels are. Pure.

A compiled walker reads what encoders really write; all else is read by the protobuf library, which defines
the result. Source: Grafana Loki, pkg/push/push.proto.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from forestall.intake.formats.wire import BAD, hash_bytes, read_length, read_varint, same_bytes
from forestall.intake.pushed import ROWS_MAX
from forestall.kernel.columns import I64, U8
from forestall.kernel.compiled import compiled

SLOW_MAX_BYTES = 4 << 20  # for the library, which makes many times as much of empty messages
NS_MAX = 1 << 62
PROBES_MAX = 32

_DONE, _ODD, _TOO_MANY = 0, 1, 2
_STREAM, _SECONDS, _NANOS, _LINE, _LINE_END, _META, _META_END = range(7)
_SEED = np.uint64(secrets.randbits(64))

Set = tuple[str, dict[str, str]]  # the labels as text, the structured metadata


@dataclass(frozen=True, slots=True)
class Entries:
    """Lines by columns: time in ns (0 when it told none), the number of its set, the text."""

    at_ns: I64
    which: I64
    line: pa.Array
    sets: list[Set]


def _make_messages() -> tuple[Any, Any]:
    """PushRequest and Entry. Texts are bytes here, so that one bad text does not refuse a body."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="forestall_loki.proto", syntax="proto3")
    repeated = {"streams", "entries", "metadata"}
    messages: dict[str, tuple[tuple[str, int, int, str], ...]] = {
        "Time": (("seconds", 1, field.TYPE_INT64, ""), ("nanos", 2, field.TYPE_INT32, "")),
        "Label": (("name", 1, field.TYPE_BYTES, ""), ("value", 2, field.TYPE_BYTES, "")),
        "Entry": (
            ("time", 1, field.TYPE_MESSAGE, "Time"),
            ("line", 2, field.TYPE_BYTES, ""),
            ("metadata", 3, field.TYPE_MESSAGE, "Label"),
        ),
        "Stream": (("labels", 1, field.TYPE_BYTES, ""), ("entries", 2, field.TYPE_MESSAGE, "Entry")),
        "PushRequest": (("streams", 1, field.TYPE_MESSAGE, "Stream"),),
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for label, number, kind, inner in fields:
            message.field.add(
                name=label,
                number=number,
                type=kind,
                type_name=f".{inner}" if inner else None,
                label=field.LABEL_REPEATED if label in repeated else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in ("PushRequest", "Entry")
    )


PushRequest, _Entry = _make_messages()


def read_entries(body: bytes) -> Entries:
    """All lines of a body. Raises ValueError when it is no PushRequest, or has more than ROWS_MAX lines."""
    return walk(body) or walk_slowly(body)


def walk_slowly(body: bytes) -> Entries:
    """By the protobuf library. Raises ValueError like read_entries, and for more than SLOW_MAX_BYTES."""
    if len(body) > SLOW_MAX_BYTES:
        raise ValueError(
            f"not a plain PushRequest of Loki, or a damaged one: it has at most {SLOW_MAX_BYTES} bytes then"
        )
    try:
        push = PushRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"not a PushRequest of Loki: {error}") from error
    if sum(len(stream.entries) for stream in push.streams) > ROWS_MAX:
        raise ValueError(_too_many())
    at_ns: list[int] = []
    which: list[int] = []
    lines: list[str] = []
    numbers: dict[tuple[int, bytes], int] = {}
    sets: list[Set] = []
    for place, stream in enumerate(push.streams):
        labels = _text(stream.labels)
        for entry in stream.entries:
            own = _Entry(metadata=entry.metadata).SerializeToString()
            number = numbers.setdefault((place, own), len(sets))
            if number == len(sets):
                sets.append((labels, _metadata(entry.metadata)))
            at_ns.append(_ns(entry.time.seconds, entry.time.nanos))
            which.append(number)
            lines.append(_text(entry.line))
    return Entries(np.array(at_ns, np.int64), np.array(which, np.int64), pa.array(lines, pa.string()), sets)


def walk(body: bytes) -> Entries | None:
    """In one pass, or None when it has something that only the library understands."""
    data = np.frombuffer(body, np.uint8)
    most = min(ROWS_MAX, len(body) // 2) + 1
    streams = np.empty((most, 2), np.int64)
    rows = np.empty((most, 7), np.int64)
    status, stream_count, count = _walk(data, streams, rows)
    if status == _TOO_MANY or count > ROWS_MAX:
        raise ValueError(_too_many())
    if status == _ODD:
        return None
    rows = rows[:count]
    which = np.empty(count, np.int64)
    slots = np.full(1 << (2 * count + 1).bit_length(), -1, np.int32)
    listed = np.empty(count, np.int64)
    different = number_sets(data, rows, _SEED, slots, listed, which)
    sets = []
    bounds = zip(streams[:stream_count, 0].tolist(), streams[:stream_count, 1].tolist(), strict=True)
    labels = [_text(body[start:end]) for start, end in bounds]
    first = rows[listed[:different]]
    for place, start, end in zip(*(first[:, k].tolist() for k in (_STREAM, _META, _META_END)), strict=True):
        try:
            own = _metadata(_Entry.FromString(body[start:end]).metadata) if start >= 0 else {}
        except DecodeError:
            return None
        sets.append((labels[place], own))
    seconds, nanos = rows[:, _SECONDS], rows[:, _NANOS]
    sane = (seconds >= 0) & (seconds < NS_MAX // 10**9) & (nanos >= 0) & (nanos < 10**9)
    at_ns = np.where(sane, seconds * 10**9 + nanos, 0)
    return Entries(at_ns, which, _lines(data, rows), sets)


def _ns(seconds: int, nanos: int) -> int:
    sane = 0 <= seconds < NS_MAX // 10**9 and 0 <= nanos < 10**9
    return seconds * 10**9 + nanos if sane else 0


def _metadata(pairs: Iterable[Any]) -> dict[str, str]:
    return {_text(pair.name): _text(pair.value) for pair in pairs}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _too_many() -> str:
    return f"one push has at most {ROWS_MAX} lines: send smaller batches"


def _lines(data: U8, rows: I64) -> pa.Array:
    """The texts; bytes that are no UTF-8 are replaced."""
    ends = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(rows[:, _LINE_END] - rows[:, _LINE], out=ends[1:])
    text = np.empty(int(ends[-1]), np.uint8)
    _copy_lines(data, rows, ends, text)
    begins = ends[:-1][np.diff(ends) > 0]
    try:
        text.tobytes().decode()
        sound = not ((text[begins] & 0xC0) == 0x80).any()
    except UnicodeDecodeError:
        sound = False
    if not sound:
        bounds = zip(rows[:, _LINE].tolist(), rows[:, _LINE_END].tolist(), strict=True)
        return pa.array([_text(data[start:end].tobytes()) for start, end in bounds], pa.string())
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(ends), pa.py_buffer(text))


@compiled
def _copy_lines(data, rows, ends, text):  # type: ignore[no-untyped-def]
    """Each line to where it ends."""
    for row in range(len(rows)):
        start, to = np.uint64(rows[row, 3]), np.uint64(ends[row])
        for k in range(np.uint64(rows[row, 4] - rows[row, 3])):
            text[to + k] = data[start + k]


@compiled
def _walk(data, streams, rows):  # type: ignore[no-untyped-def]
    """PushRequest into `streams` (start and end of the labels) and `rows` (as _STREAM … _META_END say):
    (status, how many streams, how many rows)."""
    at, stream, count = 0, 0, 0
    end = len(data)
    while at < end:
        if data[at] != 0x0A:
            return _ODD, stream, count
        begin, stop = read_length(data, at + 1, end)
        if stop == BAD:
            return _ODD, stream, count
        if stream >= len(streams):
            return _TOO_MANY, stream, count
        streams[stream, 0], streams[stream, 1] = 0, 0
        status, count = _walk_stream(data, begin, stop, stream, streams, rows, count)
        if status != _DONE:
            return status, stream, count
        stream += 1
        at = stop
    return _DONE, stream, count


@compiled
def _walk_stream(data, at, end, stream, streams, rows, count):  # type: ignore[no-untyped-def]
    """StreamAdapter: labels, entries, hash. (status, how many rows there are then)."""
    labelled = False
    while at < end:
        tag = data[at]
        if tag == 0x18:
            _, at = read_varint(data, at + 1, end)
            if at == BAD:
                return _ODD, count
            continue
        begin, stop = read_length(data, at + 1, end)
        if stop == BAD:
            return _ODD, count
        if tag == 0x0A:
            if labelled:
                return _ODD, count
            labelled = True
            streams[stream, 0], streams[stream, 1] = begin, stop
        elif tag == 0x12:
            if count >= len(rows):
                return _TOO_MANY, count
            if not _walk_entry(data, begin, stop, stream, rows[count]):
                return _ODD, count
            count += 1
        else:
            return _ODD, count
        at = stop
    return _DONE, count


@compiled
def _walk_entry(data, at, end, stream, row):  # type: ignore[no-untyped-def]
    """EntryAdapter: time, line, metadata. Whether that is all."""
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = stream, 0, 0, at, at, -1, -1
    timed, lined = False, False
    while at < end:
        tag = data[at]
        begin, stop = read_length(data, at + 1, end)
        if stop == BAD:
            return False
        if tag == 0x0A and not timed:
            timed = True
            if not _walk_time(data, begin, stop, row):
                return False
        elif tag == 0x12 and not lined:
            lined = True
            row[3], row[4] = begin, stop
        elif tag == 0x1A and (row[5] < 0 or row[6] == at):
            if row[5] < 0:
                row[5] = at
            row[6] = stop
        else:
            return False
        at = stop
    return True


@compiled
def _walk_time(data, at, end, row):  # type: ignore[no-untyped-def]
    """Timestamp: seconds, nanos. Whether that is all."""
    while at < end:
        tag = data[at]
        if tag != 0x08 and tag != 0x10:
            return False
        value, at = read_varint(data, at + 1, end)
        if at == BAD:
            return False
        if tag == 0x08:
            row[1] = np.int64(value)
        elif value >= np.uint64(1 << 31):
            return False
        else:
            row[2] = np.int64(value)
    return True


@compiled
def number_sets(data, rows, seed, slots, listed, which):  # type: ignore[no-untyped-def]
    """Into `which` the number of each row's stream and metadata among the different ones, into `listed` a
    row of each. How many there are. (A set that finds no free place counts as a new one.)"""
    count = 0
    mask = np.uint64(len(slots) - 1)
    for row in range(len(rows)):
        stream, start, end = rows[row, 0], rows[row, 5], rows[row, 6]
        size = end - start
        hashed = np.uint64(stream) * np.uint64(0x9E3779B97F4A7C15)
        if size > 0:
            hashed ^= hash_bytes(data, start, end, seed)
        at = np.int64((hashed ^ (hashed >> np.uint64(32))) & mask)
        found = np.int64(-1)
        for _ in range(PROBES_MAX):
            number = slots[at]
            if number < 0:
                slots[at] = count
                break
            other = rows[listed[number]]
            if (
                other[0] == stream
                and other[6] - other[5] == size
                and (size == 0 or same_bytes(data, start, data, other[5], size))
            ):
                found = np.int64(number)
                break
            at = np.int64((np.uint64(at) + np.uint64(1)) & mask)
        if found < 0:
            listed[count] = row
            found = np.int64(count)
            count += 1
        which[row] = found
    return count
