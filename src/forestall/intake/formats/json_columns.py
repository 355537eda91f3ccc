"""Many JSON objects in one body become columns of log lines, without a Python object per record.

Three compiled steps: `json_scan` finds the values, `json_choose` their roles, `json_write` puts messages and
attributes together; here each different key, host, source and severity is looked at once. Whatever is odd
goes to `json_record.read_record`, which defines the result for both. Pure.

Used by `jsonlines` and `elasticsearch`. Figures: benchmarks/jsonlines_parse.py.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.collect.parsers.syslog import empty_strings
from forestall.intake.formats.fields import (
    ATTR_NAME_MAX_BYTES,
    DEFAULT_FACILITY,
    DEFAULT_SEVERITY,
    ROLES,
    Names,
    Role,
    read_facility,
    read_host,
    read_severity,
)
from forestall.intake.formats.json_choose import LISTED, ODD_KEY, choose_all
from forestall.intake.formats.json_record import RECORD_MAX_BYTES, Record, read_record
from forestall.intake.formats.json_scan import KEYS_MAX, PAD, SLOTS, scan_records
from forestall.intake.formats.json_write import write_all
from forestall.intake.pushed import PushedLogs, no_logs
from forestall.kernel.columns import I64, U8

TEXTS_MAX = 16_384  # different hosts, sources, … in one body; records with others are odd
ATTRS_RATIO_MAX = 4  # attributes may be so many times larger than the body, and ATTRS_FREE_BYTES
ATTRS_FREE_BYTES = 1 << 20
CHUNK_MAX_BYTES = 4 << 20  # so much is read at once: what that takes is many times as large
PLAIN_MIN = 8  # fewer records are not worth the setting up

Bools = npt.NDArray[np.bool_]
I32 = npt.NDArray[np.int32]

_CODED = pa.dictionary(pa.int32(), pa.string())
_SEED = np.uint64(secrets.randbits(64))


@dataclass(frozen=True, slots=True)
class JsonColumns:
    """Records that were taken, in order. `refused` says why of each other record, by its number."""

    logs: PushedLogs
    refused: dict[int, str]


def read_json_records(
    body: bytes, starts: I64, ends: I64, names: Names, *, received_at_ms: int, plain_min: int = PLAIN_MIN
) -> JsonColumns:
    """Record k is `body[starts[k]:ends[k]]`, with a line break or nothing behind it; ascending.

    `plain_min`: from how many records on columns are tried. Raises ValueError when the attributes are far
    larger than the body itself.
    """
    parts: list[JsonColumns] = []
    refused: dict[int, str] = {}
    first = 0
    while first < len(starts):
        begin = int(starts[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + CHUNK_MAX_BYTES)))
        stop = int(ends[last - 1])
        part = _read_chunk(
            body[begin:stop], starts[first:last] - begin, ends[first:last] - begin, names, received_at_ms,
            plain_min,
        )  # fmt: skip
        refused |= {first + place: reason for place, reason in part.refused.items()}
        parts.append(part)
        first = last
    return JsonColumns(_join([part.logs for part in parts]), refused)


def _read_chunk(
    body: bytes, starts: I64, ends: I64, names: Names, received_at_ms: int, plain_min: int
) -> JsonColumns:
    if len(starts) < plain_min:
        return _rows_alone(body, starts, ends, names, received_at_ms)
    columns = _Columns(body, starts, ends, names, received_at_ms)
    odd = np.flatnonzero(columns.odd)
    if not len(odd):
        return JsonColumns(columns.logs(), {})
    records, refused = _read_rows(body, starts[odd], ends[odd], names, received_at_ms)
    logs = columns.logs_with(odd, records)
    return JsonColumns(logs, {int(odd[place]): reason for place, reason in refused.items()})


def _rows_alone(body: bytes, starts: I64, ends: I64, names: Names, received_at_ms: int) -> JsonColumns:
    records, refused = _read_rows(body, starts, ends, names, received_at_ms)
    return JsonColumns(logs_of([record for record in records if record is not None]), refused)


def _read_rows(
    body: bytes, starts: I64, ends: I64, names: Names, received_at_ms: int
) -> tuple[list[Record | None], dict[int, str]]:
    records: list[Record | None] = []
    refused: dict[int, str] = {}
    for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        try:
            # one byte more than allowed is enough to be refused
            records.append(
                read_record(body[start : min(end, start + RECORD_MAX_BYTES + 1)], names, received_at_ms)
            )
        except ValueError as error:
            records.append(None)
            refused[place] = str(error)
    return records, refused


def logs_of(records: list[Record]) -> PushedLogs:
    """Records as columns."""
    if not records:
        return no_logs()
    text = [pa.array([record[place] for record in records], pa.string()) for place in range(3, 8)]
    return PushedLogs(
        np.array([record.at_ms for record in records], np.int64),
        np.array([record.severity for record in records], np.uint8),
        np.array([record.facility for record in records], np.uint8),
        text[0].dictionary_encode(), text[1].dictionary_encode(), *text[2:],
    )  # fmt: skip


def _join(parts: list[PushedLogs]) -> PushedLogs:
    """One after the other."""
    kept = [part for part in parts if len(part)]
    if len(kept) < 2:
        return kept[0] if kept else no_logs()
    return PushedLogs(
        *(
            np.concatenate([getattr(part, name) for part in kept])
            for name in ("at_ms", "severity", "facility")
        ),
        *(
            pa.chunked_array([getattr(part, name).cast(_CODED) for part in kept])
            .unify_dictionaries()
            .combine_chunks()
            for name in ("host", "source")
        ),
        *(pa.concat_arrays([getattr(part, name) for part in kept]) for name in ("message", "raw", "attrs")),
    )


class _Columns:
    """All records; of those that are `odd` the columns say nothing."""

    def __init__(self, body: bytes, starts: I64, ends: I64, names: Names, received_at_ms: int) -> None:
        self.count = len(starts)
        self.starts, self.ends = starts, ends
        self.data: U8 = np.frombuffer(body + PAD, np.uint8)
        self.odd = np.empty(self.count, np.bool_)
        self.keys = np.zeros((KEYS_MAX + 1, 4), np.int64)
        most_leaves = int(np.count_nonzero(self.data == ord(","))) + self.count
        self.leaves = np.empty((most_leaves, 4), np.int32)
        self.firsts = np.empty(self.count + 1, np.int32)
        slots = np.full(SLOTS, -1, np.int32)
        _, key_count = scan_records(
            self.data, starts, ends, RECORD_MAX_BYTES, _SEED, slots, self.keys, self.leaves, self.firsts,
            self.odd,
        )  # fmt: skip
        self._note_bad_text(body)
        self.key_names = self._name_keys(key_count)
        self._choose(names, received_at_ms)
        self._understand()
        self._write()

    def _note_bad_text(self, body: bytes) -> None:
        """Records with bytes beyond ASCII are odd when not all of the body is UTF-8."""
        try:
            body.decode()
        except UnicodeDecodeError:
            high = np.flatnonzero(self.data >= 0x80)
            self.odd |= np.searchsorted(high, self.starts) < np.searchsorted(high, self.ends)

    def _name_keys(self, count: int) -> list[str | None]:
        """The full name of each key, None for one that makes a record odd."""
        found: list[str | None] = []
        for parent, start, end, _ in self.keys[:count].tolist():
            above = found[parent] if parent >= 0 else ""
            name = None
            if above is not None and end - start <= ATTR_NAME_MAX_BYTES:
                own = self.data[start:end].tobytes().decode("utf-8", "replace")
                name = f"{above}.{own}" if parent >= 0 else own
            found.append(name if name is not None and len(name.encode()) <= ATTR_NAME_MAX_BYTES else None)
        return found

    def _choose(self, names: Names, received_at_ms: int) -> None:
        numbers: dict[str, int] = {}
        roles = np.full(len(self.key_names), ODD_KEY, np.uint8)
        ranks = np.zeros(len(self.key_names), np.int32)
        self.name_of = np.zeros(len(self.key_names), np.int32)
        for key, name in enumerate(self.key_names):
            if name is not None:
                self.name_of[key] = numbers.setdefault(name, len(numbers))
                roles[key], ranks[key] = names.roles.get(name, (Role.ATTR, 0))
        self.names = list(numbers)
        spelled = [msgspec.json.encode(name) + b":" for name in self.names]
        self.spans = np.cumsum([0, *map(len, spelled)], dtype=np.int64)
        self.texts = np.frombuffer(b"".join(spelled) + PAD, np.uint8)
        slot_count = 1 << (4 * min(self.count, TEXTS_MAX) - 1).bit_length()
        self.listed = np.empty((len(LISTED), min(self.count, TEXTS_MAX)), np.int32)
        self.listed_counts = np.zeros(len(LISTED), np.int64)
        self.chosen = np.full((self.count, ROLES), -1, np.int32)
        self.codes = np.full((len(LISTED), self.count), -1, np.int32)
        self.at_ms = np.empty(self.count, np.int64)
        self.sizes = choose_all(
            self.data, self.starts, self.ends, self.leaves, self.firsts, self.name_of, roles, ranks,
            (self.spans[1:] - self.spans[:-1])[self.name_of] if numbers else self.spans,
            np.full(len(numbers) + 1, -1, np.int64), _SEED,
            np.full((len(LISTED), slot_count), -1, np.int32), self.listed, self.listed_counts,
            received_at_ms, self.chosen, self.codes, self.at_ms, self.odd,
        )  # fmt: skip

    def _texts(self, place: int) -> list[tuple[str, str]]:
        """Name and text of the different leaves of one of LISTED."""
        found = []
        for leaf in self.listed[place, : self.listed_counts[place]].tolist():
            key, start, end, written = self.leaves[leaf].tolist()
            text = self.data[start:end].tobytes()
            name = self.names[self.name_of[key]]
            found.append(
                (
                    name,
                    msgspec.json.decode(b'"' + text + b'"') if written else text.decode("utf-8", "replace"),
                )
            )
        return found

    def _understand(self) -> None:
        """Hosts, sources, severities and facilities, from their different texts."""
        host, source, severity, facility = (self._texts(place) for place in range(len(LISTED)))
        self.hosts = _Coded([read_host(name, text) for name, text in host], self.codes[0])
        self.sources = _Coded([text.strip() for _, text in source], self.codes[1])
        levels = [read_severity(name, text) for name, text in severity]
        numbers = [read_facility(text) for _, text in facility]
        level, number = self.codes[2], self.codes[3]
        # the last row is for records that say nothing: code -1
        table = np.array([*(pair or (-1, -1) for pair in levels), (-1, -1)], np.int16)
        told = np.array([*(-1 if one is None else one for one in numbers), -1], np.int16)
        self.chosen[table[level, 0] < 0, Role.SEVERITY] = -1
        self.chosen[told[number] < 0, Role.FACILITY] = -1
        self.severity = np.where(table[level, 0] < 0, DEFAULT_SEVERITY, table[level, 0]).astype(np.uint8)
        both = np.where(told[number] < 0, table[level, 1], told[number])
        self.facility = np.where(both < 0, DEFAULT_FACILITY, both).astype(np.uint8)

    def _write(self) -> None:
        message_bytes, attr_bytes = self.sizes
        if attr_bytes > ATTRS_RATIO_MAX * len(self.data) + ATTRS_FREE_BYTES:
            raise ValueError(
                "the names of the nested fields are far longer than their values: send smaller batches, or "
                "less deeply nested records"
            )
        self.messages = np.empty(message_bytes, np.uint8)
        self.attrs = np.empty(attr_bytes, np.uint8)
        self.message_ends, self.attr_ends = (np.empty(self.count + 1, np.int32) for _ in range(2))
        write_all(
            self.data, self.starts, self.ends, self.leaves, self.firsts, self.name_of, self.texts, self.spans,
            self.chosen, self.odd, self.messages, self.message_ends, self.attrs, self.attr_ends,
            np.empty(min(len(self.data), RECORD_MAX_BYTES), np.uint8),
        )  # fmt: skip

    def logs(self) -> PushedLogs:
        """The columns."""
        return PushedLogs(
            self.at_ms, self.severity, self.facility, self.hosts.array(), self.sources.array(),
            _strings(self.message_ends, self.messages), empty_strings(self.count),
            _strings(self.attr_ends, self.attrs),
        )  # fmt: skip

    def logs_with(self, odd: npt.NDArray[np.intp], records: list[Record | None]) -> PushedLogs:
        """The columns with these records in the odd places; where there is None there will be no row."""
        kept = np.ones(self.count, np.bool_)
        order = np.arange(self.count, dtype=np.int64)
        fresh: list[Record] = []
        for row, record in zip(odd.tolist(), records, strict=True):
            if record is None:
                kept[row] = False
                continue
            order[row] = self.count + len(fresh)
            fresh.append(record)
            self.at_ms[row], self.severity[row], self.facility[row] = record[:3]
            self.hosts.set(row, record.host)
            self.sources.set(row, record.source)
        patch = logs_of(fresh)
        chosen = pa.array(order[kept])
        whole = self.logs()
        text = [
            pa.concat_arrays([getattr(whole, name), getattr(patch, name)]).take(chosen)
            for name in ("message", "raw", "attrs")
        ]
        rows = pa.array(np.flatnonzero(kept))
        return PushedLogs(
            self.at_ms[kept], self.severity[kept], self.facility[kept], whole.host.take(rows),
            whole.source.take(rows), *text,
        )  # fmt: skip


class _Coded:
    """Texts by code, one code a row."""

    def __init__(self, texts: list[str], codes: I32) -> None:
        """`codes` point into `texts`; -1 stands for no text."""
        self._numbers: dict[str, int] = {"": 0}
        moved = [self._numbers.setdefault(text, len(self._numbers)) for text in texts]
        self._codes = np.array([*moved, 0], np.int32)[codes]

    def set(self, row: int, text: str) -> None:
        """Another text at a row."""
        self._codes[row] = self._numbers.setdefault(text, len(self._numbers))

    def array(self) -> pa.DictionaryArray:
        """The rows."""
        count = len(self._numbers)
        small: Any = np.int8 if count <= 128 else np.int16 if count <= 32_768 else np.int32
        return pa.DictionaryArray.from_arrays(
            pa.array(self._codes.astype(small)), pa.array(list(self._numbers), pa.string())
        )


def _strings(ends: I32, text: U8) -> pa.Array:
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))
