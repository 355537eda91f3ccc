"""Loki's push: streams of lines with labels, as JSON or as protobuf (after snappy).

Labels and structured metadata say host, source and severity as `fields` knows them, the rest becomes
attributes; each different set of them is looked at once. Pure.

Source: Grafana Loki, "HTTP API", "Ingest logs"; pkg/push/push.proto (numbers of the fields). The JSON of
Loki before 0.4 (`labels`, `entries`) is read too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from forestall.collect.parsers.syslog import empty_strings
from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.fields import EARLY_MAX_MS, LATE_MAX_MS, Names, Role, names_with, read_time
from forestall.intake.formats.json_record import RECORD_MAX_BYTES, assemble
from forestall.intake.formats.loki_json import walk_json
from forestall.intake.formats.loki_labels import read_labels
from forestall.intake.formats.loki_wire import Entries, read_entries
from forestall.intake.pushed import ROWS_MAX, Pushed, PushedLogs, no_samples
from forestall.kernel.columns import I64

LABELS_MAX = 256  # of one line, with its metadata
BRACES_MAX = 2_000_000  # in a JSON body: what each opens takes memory
REMEMBERED_MAX_CHARS = 1024  # larger sets are looked at each time
TIME_NAME = "entry.timestamp"  # the attribute for a time that is not believed

_NAMES = Names(
    {name: told for name, told in names_with().roles.items() if told[0] not in (Role.MESSAGE, Role.TIME)}
)


class _Value(Struct, array_like=True, gc=False):
    at_ns: str | int
    line: str
    metadata: dict[str, Any] | None = None


class _OldEntry(Struct, gc=False):
    ts: str
    line: str = ""


class _Stream(Struct):
    stream: dict[str, Any] = {}
    values: list[_Value] = []
    labels: str = ""
    entries: list[_OldEntry] = []


class _Push(Struct):
    streams: list[_Stream]


_decode = msgspec.json.Decoder(_Push).decode


@dataclass(frozen=True, slots=True)
class Table:
    """Lines by columns. `which` is the number of each line's set of labels; a set that is a text says why its
    lines are not taken. `at_ns` is 0 where no time was told; `bad` says why of single lines."""

    at_ns: I64
    which: I64
    line: pa.Array
    sets: Sequence[dict[str, str] | str]
    bad: dict[int, str]


def read_json(body: bytes, *, received_at_ms: int) -> Reading:
    """The lines of a JSON body. Raises ValueError when it is no push, or has more than ROWS_MAX lines."""
    walked = walk_json(body)
    return _reading(Table(*walked, {}) if walked else table_of_json(body), received_at_ms)


def table_of_json(body: bytes) -> Table:
    """By msgspec, an object a line: the definition of what `walk_json` finds. Raises like read_json."""
    if body.count(b"[") + body.count(b"{") > BRACES_MAX:
        raise ValueError(f"one push has at most {BRACES_MAX} braces: send smaller batches")
    try:
        try:
            push = _decode(body)
        except UnicodeDecodeError:
            push = _decode(body.decode("utf-8", "replace"))
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a push of streams: {error}") from error
    except RecursionError:
        raise ValueError("not a push of streams: it is nested too deeply") from None
    return _table_of(push)


def read_protobuf(body: bytes, *, received_at_ms: int) -> Reading:
    """The lines of a protobuf body, unpacked. Raises ValueError like read_json."""
    entries = read_entries(body)
    return _reading(_table_of_entries(entries), received_at_ms)


def _table_of(push: _Push) -> Table:
    sets: list[dict[str, str] | str] = []
    times: list[str | int] = []
    lines: list[str] = []
    which: list[int] = []
    for stream in push.streams:
        labels = read_labels(stream.labels) if stream.labels else _texts(stream.stream)
        plain = len(sets)
        sets.append(labels)
        times += [value.at_ns for value in stream.values]
        lines += [value.line for value in stream.values]
        metadata = [value.metadata for value in stream.values]
        if any(metadata):
            for own in metadata:
                which.append(len(sets) if own else plain)
                if own:
                    sets.append(labels | _texts(own) if isinstance(labels, dict) else labels)
        else:
            which += [plain] * len(stream.values)
        times += [_old_time_ns(entry.ts) for entry in stream.entries]
        lines += [entry.line for entry in stream.entries]
        which += [plain] * len(stream.entries)
        if len(lines) > ROWS_MAX:
            raise ValueError(f"one push has at most {ROWS_MAX} lines: send smaller batches")
    at_ns, bad = _times_ns(times)
    return Table(at_ns, np.array(which, np.int64), pa.array(lines, pa.string()), sets, bad)


def _texts(given: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else str(value) for name, value in given.items()}


def _old_time_ns(text: str) -> str:
    at_ms = read_time(text)
    return text if at_ms is None else f"{at_ms}000000"


def _times_ns(times: list[str | int]) -> tuple[I64, dict[int, str]]:
    """Times that are told as text, and what is wrong with those that are none."""
    try:
        if int not in set(map(type, times)):
            told: I64 = pa.array(times, pa.string()).cast(pa.int64()).to_numpy()
            return told, {}
    except pa.ArrowInvalid:
        pass
    at_ns, bad = np.zeros(len(times), np.int64), {}
    for row, at in enumerate(times):
        text = str(at)
        if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 1 << 63:
            at_ns[row] = int(text)
        else:
            bad[row] = f"the time {text[:40]!r} is not in nanoseconds since 1970, as a text of digits"
    return at_ns, bad


def _table_of_entries(entries: Entries) -> Table:
    sets: list[dict[str, str] | str] = []
    for labels, metadata in entries.sets:
        found = read_labels(labels)
        sets.append(found | metadata if isinstance(found, dict) else found)
    return Table(entries.at_ns, entries.which, entries.line, sets, {})


def _reading(table: Table, received_at_ms: int) -> Reading:
    """What is taken of the lines, and why the others are not."""
    bad = dict(table.bad)
    long = np.flatnonzero(np.asarray(pc.binary_length(table.line)) > RECORD_MAX_BYTES)
    bad |= {int(row): f"a line has at most {RECORD_MAX_BYTES} bytes" for row in long}
    spelled = [_describe(one) for one in table.sets]
    refused_sets = np.array([isinstance(one, str) for one in spelled], np.bool_)
    if refused_sets.any():
        bad |= {int(row): str(spelled[table.which[row]]) for row in np.flatnonzero(refused_sets[table.which])}
    kept = np.ones(len(table.which), np.bool_)
    kept[list(bad)] = False
    logs = _columns(table, spelled, np.flatnonzero(kept), received_at_ms)
    told = tuple(Refused(row, bad[row]) for row in sorted(bad)[:REFUSED_MAX])
    return Reading(Pushed(logs, no_samples()), told, len(bad))


@dataclass(frozen=True, slots=True)
class _Spelled:
    """What a set of labels says of its lines. `whole` is all of it when something was cut, else ""."""

    host: str
    source: str
    severity: int
    facility: int
    attrs: str
    whole: str


def _describe(labels: dict[str, str] | str) -> _Spelled | str:
    if isinstance(labels, str):
        return labels
    if len(labels) > LABELS_MAX:
        return f"a line has at most {LABELS_MAX} labels with its metadata"
    pairs = tuple(labels.items())
    if sum(len(name) + len(text) for name, text in pairs) > REMEMBERED_MAX_CHARS:
        return _spell.__wrapped__(pairs)
    return _spell(pairs)


@lru_cache(maxsize=4096)
def _spell(labels: tuple[tuple[str, str], ...]) -> _Spelled:
    pairs = {name: text for name, text in labels if text}
    record = assemble(pairs, _NAMES, 0, msgspec.json.encode(pairs))
    return _Spelled(record.host, record.source, record.severity, record.facility, record.attrs, record.raw)


def _columns(table: Table, spelled: list[Any], rows: I64, received_at_ms: int) -> PushedLogs:
    which, at_ns = table.which[rows], table.at_ns[rows]
    at_ms = at_ns // 1_000_000
    believed = (at_ms >= received_at_ms - LATE_MAX_MS) & (at_ms <= received_at_ms + EARLY_MAX_MS)
    usable = [one if isinstance(one, _Spelled) else _NOTHING for one in spelled] or [_NOTHING]
    line = pc.utf8_rtrim(table.line.take(pa.array(rows)), characters="\r\n")
    codes = pa.array(which.astype(np.int32))
    attrs: Any = pa.array([one.attrs for one in usable], pa.string()).take(codes)
    odd = np.flatnonzero(~believed & (at_ns > 0))
    if len(odd):
        attrs = _with_times(attrs, odd, at_ns)
    raw = empty_strings(len(rows))
    if any(one.whole for one in usable):
        raw = pa.array(
            [
                f"{usable[number].whole} {text}" if usable[number].whole else ""
                for number, text in zip(which.tolist(), line.to_pylist(), strict=True)
            ],
            pa.string(),
        )
    return PushedLogs(
        np.where(believed, at_ms, received_at_ms).astype(np.int64),
        np.array([one.severity for one in usable], np.uint8)[which],
        np.array([one.facility for one in usable], np.uint8)[which],
        pa.array([one.host for one in usable], pa.string()).take(codes).dictionary_encode(),
        pa.array([one.source for one in usable], pa.string()).take(codes).dictionary_encode(),
        line, raw, attrs,
    )  # fmt: skip


_NOTHING = _Spelled("", "", 6, 1, "", "")


def _with_times(attrs: pa.Array, rows: I64, at_ns: I64) -> pa.Array:
    """The attributes, with the times of these rows among them."""
    texts = attrs.to_pylist()
    for row in rows.tolist():
        texts[row] = f'{{"{TIME_NAME}":"{at_ns[row]}"' + (f",{texts[row][1:]}" if texts[row] else "}")
    return pa.array(texts, pa.string())
