"""OTLP logs: a body of protobuf or JSON becomes log lines. Pure.

Plain records are read by compiled loops (`otlp_walk`), all others by the protobuf library, with the same
result (`otlp_values`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from forestall.collect.parsers.syslog import empty_strings
from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.otlp_json import LogsRequest, read_json
from forestall.intake.formats.otlp_values import (
    EVENT,
    FACILITY,
    SPAN,
    TRACE,
    LogParts,
    LogRow,
    Origin,
    make_origin,
    make_row,
    plain_of,
    plain_pairs,
)
from forestall.intake.formats.otlp_walk import ODD, TOO_MANY, find_records, hash_key, read_records
from forestall.intake.pushed import ROWS_MAX, Pushed, PushedLogs, no_samples
from forestall.kernel.columns import I64, U8, U64

ORIGINS_MAX = 10_000
ATTRS_TOTAL_MAX_BYTES = 128 << 20
ATTRS_A_RECORD_BYTES = 160  # what is made room for at first


def read_protobuf(body: bytes, *, received_at_ms: int) -> Reading:
    """The lines of an ExportLogsServiceRequest. Raises ValueError when it is none, or has too much."""
    found = _find(body)
    if found is None:
        return read_slowly(body, received_at_ms=received_at_ms)
    return _Fast(body, *found, received_at_ms=received_at_ms).reading()


def read_slowly(body: bytes, *, received_at_ms: int) -> Reading:
    """The same by the protobuf library alone."""
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"this is no OTLP ExportLogsServiceRequest: {error}") from error
    gathered = _Gathered(received_at_ms)
    for resource_logs in request.resource_logs:
        resource = plain_pairs(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            gathered.begin(make_origin(resource, scope_logs.scope.name))
            for record in scope_logs.log_records:
                gathered.add(parts_of(record))
    return gathered.reading()


def read_json_body(body: bytes, *, received_at_ms: int) -> Reading:
    """The lines of an ExportLogsServiceRequest in JSON. Raises ValueError that names the place."""
    request = read_json(body, LogsRequest)
    gathered = _Gathered(received_at_ms)
    for resource_logs in request.resource_logs:
        resource = resource_logs.resource.pairs()
        for scope_logs in resource_logs.scope_logs:
            gathered.begin(make_origin(resource, scope_logs.scope.name))
            for record in scope_logs.log_records:
                try:
                    parts = record.parts()
                except ValueError as error:
                    gathered.refuse(str(error))
                else:
                    gathered.add(parts)
    return gathered.reading()


def parts_of(record: Any) -> LogParts:
    """The parts of a protobuf LogRecord."""
    return LogParts(
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity_number,
        record.severity_text,
        plain_of(record.body),
        plain_pairs(record.attributes),
        record.event_name,
        record.trace_id.hex(),
        record.span_id.hex(),
    )


@dataclass(slots=True)
class _Gathered:
    """Rows that are made one by one."""

    received_at_ms: int
    rows: list[LogRow] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    of: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def begin(self, origin: Origin) -> None:
        """What follows is from there."""
        self.origins.append(origin)

    def add(self, parts: LogParts) -> None:
        """One record. Raises ValueError for more than ROWS_MAX."""
        if len(self.rows) >= ROWS_MAX:
            raise ValueError(_too_many())
        self.rows.append(make_row(parts, self.origins[-1], received_at_ms=self.received_at_ms))
        self.of.append(len(self.origins) - 1)

    def refuse(self, reason: str) -> None:
        """The next record is not taken."""
        self.refused.append(Refused(len(self.rows) + len(self.refused), reason))

    def reading(self) -> Reading:
        """All of it."""
        at_ms, severity, message, attrs = zip(*self.rows, strict=True) if self.rows else ((), (), (), ())
        host, source = _name_origins(self.origins, np.array(self.of, np.int64))
        count = len(self.rows)
        logs = PushedLogs(
            at_ms=np.array(at_ms, np.int64),
            severity=np.array(severity, np.uint8),
            facility=np.full(count, FACILITY, np.uint8),
            host=host,
            source=source,
            message=pa.array(message, pa.string()),
            raw=empty_strings(count),
            attrs=pa.array(attrs, pa.string()),
        )
        return Reading(Pushed(logs, no_samples()), tuple(self.refused[:REFUSED_MAX]), len(self.refused))


def _find(body: bytes) -> tuple[I64, I64, I64, list[Origin]] | None:
    """Where the records begin and end, of which origin each is, and the origins; None for an odd body."""
    buffer = np.frombuffer(body, np.uint8)
    rows = min(ROWS_MAX, len(body) // 2 + 1)
    starts, ends, origin = np.empty((3, rows), np.int64)
    resources, scopes = np.empty((2, min(ORIGINS_MAX, rows), 2), np.int64)
    status, records, origins = find_records(buffer, starts, ends, origin, resources, scopes)
    if status == TOO_MANY:
        raise ValueError(_too_many())
    if status == ODD:
        return None
    told: dict[tuple[bytes, bytes], Origin] = {}
    named: list[Origin] = []
    for (a, b), (c, d) in zip(resources[:origins].tolist(), scopes[:origins].tolist(), strict=True):
        key = body[a:b], body[c:d]
        if key not in told:
            try:
                pairs = plain_pairs(Resource.FromString(key[0]).attributes)
                told[key] = make_origin(pairs, InstrumentationScope.FromString(key[1]).name)
            except DecodeError as error:
                raise ValueError(f"a resource or a scope cannot be read: {error}") from error
        named.append(told[key])
    return starts[:records], ends[:records], origin[:records], named


class _Fast:
    """One body, read by compiled loops."""

    def __init__(
        self, body: bytes, starts: I64, ends: I64, of: I64, origins: list[Origin], *, received_at_ms: int
    ) -> None:
        self._body, self._starts, self._ends = body, starts, ends
        self._of, self._origins, self._received_at_ms = of, origins, received_at_ms
        count = len(starts)
        self.at_ms: I64 = np.zeros(count, np.int64)
        self.severity: U8 = np.zeros(count, np.uint8)
        self.odd: U8 = np.zeros(count, np.uint8)

    def reading(self) -> Reading:
        """The lines of plain records, then those of the others in their places."""
        message, attrs = self._walk()
        refused: list[Refused] = []
        odd = np.flatnonzero(self.odd)
        if len(odd):
            message, attrs, refused = self._ask_library(odd, message, attrs)
        host, source = _name_origins(self._origins, self._of)
        columns = PushedLogs(
            at_ms=self.at_ms,
            severity=self.severity,
            facility=np.full(len(self._starts), FACILITY, np.uint8),
            host=host,
            source=source,
            message=message,
            raw=empty_strings(len(self._starts)),
            attrs=attrs,
        )
        if refused:
            columns = _without(columns, [one.place for one in refused])
        return Reading(Pushed(columns, no_samples()), tuple(refused[:REFUSED_MAX]), len(refused))

    def _walk(self) -> tuple[pa.Array, pa.Array]:
        """`message` and `attrs` of all plain records, "" for the others."""
        count = len(self._starts)
        fixed, fixed_ends, hashes, hash_ends = _fix_origins(self._origins)
        message = np.empty(len(self._body), np.uint8)
        attrs = np.empty(count * (ATTRS_A_RECORD_BYTES + 2) + (1 << 16), np.uint8)
        message_ends, attrs_ends = np.zeros((2, count + 1), np.int32)
        buffer, done = np.frombuffer(self._body, np.uint8), 0
        while True:
            done = read_records(
                buffer, done, self._starts, self._ends, self._of, fixed, fixed_ends, hashes, hash_ends,
                self._received_at_ms, self.at_ms, self.severity, self.odd, message, message_ends, attrs,
                attrs_ends,
            )  # fmt: skip
            if done == count:
                break
            if len(attrs) >= ATTRS_TOTAL_MAX_BYTES:
                raise ValueError("the attributes of a body are too long together: send smaller batches")
            larger = np.empty(min(2 * len(attrs), ATTRS_TOTAL_MAX_BYTES), np.uint8)
            larger[: attrs_ends[done]] = attrs[: attrs_ends[done]]
            attrs = larger
        return _strings(message, message_ends), _strings(attrs, attrs_ends)

    def _ask_library(
        self, odd: I64, message: pa.Array, attrs: pa.Array
    ) -> tuple[pa.Array, pa.Array, list[Refused]]:
        rows: list[LogRow] = []
        refused: list[Refused] = []
        for place in odd.tolist():
            row = LogRow(0, 0, "", "")
            try:
                record = LogRecord.FromString(self._body[self._starts[place] : self._ends[place]])
                row = make_row(
                    parts_of(record), self._origins[self._of[place]], received_at_ms=self._received_at_ms
                )
            except DecodeError as error:
                refused.append(Refused(place, f"this is no LogRecord: {error}"))
            rows.append(row)
            self.at_ms[place], self.severity[place] = row.at_ms, row.severity
        mask = pa.array(self.odd.astype(np.bool_))
        texts = pa.array([row.message for row in rows], pa.string())
        more = pa.array([row.attrs for row in rows], pa.string())
        return pc.replace_with_mask(message, mask, texts), pc.replace_with_mask(attrs, mask, more), refused


def _fix_origins(origins: Sequence[Origin]) -> tuple[U8, I64, U64, I64]:
    """The beginning of every origin's attributes in JSON, and the hashes of its keys; each with its ends."""
    texts = [msgspec.json.encode(one.attrs)[:-1] if one.attrs else b"" for one in origins]
    marks = [[hash_key(key.encode()) for key in (*one.attrs, TRACE, SPAN, EVENT)] for one in origins]
    return (
        np.frombuffer(b"".join(texts), np.uint8),
        np.cumsum([0, *map(len, texts)]).astype(np.int64),
        np.array([mark for own in marks for mark in own], np.uint64),
        np.cumsum([0, *map(len, marks)]).astype(np.int64),
    )


def _name_origins(origins: Sequence[Origin], of: I64) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """`host` and `source`, one row a record."""
    return (
        _coded([one.host for one in origins], of),
        _coded([one.source for one in origins], of),
    )


def _coded(texts: Iterable[str], of: I64) -> pa.DictionaryArray:
    codes: dict[str, int] = {}
    places = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(places[of] if len(of) else np.zeros(0, np.int32)), pa.array(list(codes), pa.string())
    )


def _strings(data: U8, ends: Any) -> pa.StringArray:
    return pa.StringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(data[: ends[-1]]), null_count=0
    )


def _without(columns: PushedLogs, places: Sequence[int]) -> PushedLogs:
    keep = np.ones(len(columns), np.bool_)
    keep[list(places)] = False
    return PushedLogs(
        *(
            value[keep] if isinstance(value, np.ndarray) else value.filter(pa.array(keep))
            for value in (getattr(columns, name) for name in PushedLogs.__slots__)
        )
    )


def _too_many() -> str:
    return f"a body has at most {ROWS_MAX} records: lower the batch size of the sender"
