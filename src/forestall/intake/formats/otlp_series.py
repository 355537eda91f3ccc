"""Which series the points of OTLP bodies belong to: what `otlp_points` walked becomes columns.

Resources and series are remembered from body to body. Bounded: what is full is emptied and fills again; the
number of a resource is never given twice, so that an old block cannot mean a new resource.
"""

import math
from threading import Lock

import numpy as np
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from forestall.intake.formats.labels import KnownSeries, SeriesName, spell_item
from forestall.intake.formats.otlp_points import (
    BLOCK_HEAD,
    BUCKET,
    DONE,
    NO_ROOM,
    PLAIN,
    SUFFIXES,
    find_origins,
    find_points,
)
from forestall.intake.formats.otlp_values import HOST_MAX_CHARS, plain_pairs, text_of
from forestall.intake.pushed import ROWS_MAX, PushedSamples
from forestall.kernel.columns import I64, U8

WHICH = ("service.name", "service.namespace", "service.instance.id")  # tell series of one host apart
DELTA = {"temporality": "delta"}
ORIGINS_MAX = 4_096  # resources of a body, and those that are remembered
SCOPES_MAX = 4_096
REMEMBERED_MAX_BYTES = 16 << 20
BLOCKS_FIRST_BYTES = 1 << 20
BLOCKS_MAX_BYTES = 64 << 20
ITEM_LE = "le"

Origin = tuple[str, dict[str, str]]


class KnownPoints:
    """What resources, scopes and series were met. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._series = KnownSeries(self._name)
        self._numbers: dict[bytes, int] = {}
        self._origins: dict[int, Origin] = {}
        self._scopes: set[bytes] = set()
        self._bytes = 0
        self._next = 0

    def read(self, body: bytes, *, received_at_ms: int) -> PushedSamples | None:
        """The samples of a body; None when it has something that only the library understands."""
        buffer = np.frombuffer(body, np.uint8)
        spans = np.empty((ORIGINS_MAX, 4), np.int64)
        status, count = find_origins(buffer, spans)
        if status != DONE:
            return None
        with self._lock:
            return self._read(body, buffer, spans[:count], received_at_ms)

    def _read(self, body: bytes, buffer: U8, spans: I64, received_at_ms: int) -> PushedSamples | None:
        if self._bytes > REMEMBERED_MAX_BYTES or len(self._numbers) > ORIGINS_MAX:
            self._numbers, self._origins, self._scopes, self._bytes = {}, {}, set(), 0
        try:
            origins = np.array([self._origin(body[row[2] : row[3]]) for row in spans.tolist()], np.int64)
        except (DecodeError, ValueError):
            return None
        rows = min(ROWS_MAX, len(body) // 8 + 8)  # a number has eight bytes
        starts, ends, scopes = (
            np.empty(rows, np.int64),
            np.empty(rows, np.int64),
            np.empty((SCOPES_MAX, 2), np.int64),
        )
        at_ns, value = np.empty(rows, np.uint64), np.empty(rows, np.float64)
        size, status = max(BLOCKS_FIRST_BYTES, 2 * len(body)), NO_ROOM
        while status == NO_ROOM and size <= BLOCKS_MAX_BYTES:
            blocks = np.empty(size, np.uint8)
            status, count, used, told = find_points(
                buffer, spans, origins, scopes, starts, ends, at_ns, value, value.view(np.uint64), blocks
            )
            size *= 4
        if status != DONE or not all(self._is_scope(body[a:b]) for a, b in scopes[:told].tolist()):
            return None
        columns, unnamed = self._series.columns(
            blocks[:used], starts[:count], ends[:count], np.ones(count, np.int64)
        )
        if unnamed:
            return None
        host, metric, item = columns
        at_ms = (at_ns[:count] // np.uint64(1_000_000)).astype(np.int64)
        at_ms[at_ms == 0] = received_at_ms
        return PushedSamples(host=host, metric=metric, item=item, at_ms=at_ms, value=value[:count].copy())

    def _origin(self, resource: bytes) -> int:
        """The number of a resource. Raises DecodeError, ValueError."""
        number = self._numbers.get(resource)
        if number is None:
            if self._next >= 1 << 32:
                raise ValueError("there are no more numbers for resources")
            told = {
                key: text_of(value) for key, value in plain_pairs(Resource.FromString(resource).attributes)
            }
            which = {key: told[key] for key in WHICH if told.get(key)}
            number = self._next
            self._origins[number] = told.get("host.name", "")[:HOST_MAX_CHARS], which
            self._numbers[resource] = number
            self._next += 1
            self._bytes += len(resource)
        return number

    def _is_scope(self, scope: bytes) -> bool:
        if scope not in self._scopes:
            try:
                InstrumentationScope.FromString(scope)
            except DecodeError:
                return False
            self._scopes.add(scope)
            self._bytes += len(scope)
        return True

    def _name(self, block: bytes) -> SeriesName:
        """What a block means. Raises ValueError."""
        number, part, delta, length, bound = BLOCK_HEAD.unpack_from(block)
        name_end = BLOCK_HEAD.size + length
        host, which = self._origins[number]
        kind: type[Message] = NumberDataPoint if part == PLAIN else HistogramDataPoint
        try:
            point = kind.FromString(block[name_end:])
        except DecodeError as error:
            raise ValueError(str(error)) from error
        labels = {key: text_of(value) for key, value in plain_pairs(point.attributes)} | which
        if delta:
            labels |= DELTA
        if part == BUCKET:
            labels[ITEM_LE] = spell_bound(bound)
        name = block[BLOCK_HEAD.size : name_end].decode()
        return SeriesName(host, name + SUFFIXES[part], spell_item(labels))


def spell_bound(bound: float) -> str:
    """The upper bound of a bucket, as Prometheus says it."""
    return "+Inf" if bound == math.inf else f"{bound:.15g}"
