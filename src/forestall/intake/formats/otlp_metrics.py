"""OTLP metrics: a body of protobuf or JSON becomes samples. Pure.

Bodies of gauges, sums and histograms are walked by compiled loops (`otlp_points`, `otlp_series`); what these
do not understand is read by the protobuf library here (`read_slowly`), which says what the result is.

Gauges and sums keep their names. A histogram `d` becomes `d_count`, `d_sum`, `d_min`, `d_max` and `d_bucket`
with the upper bound in the item (`le="0.5"`, cumulative, as Prometheus has it); a summary becomes `d_count`,
`d_sum` and `d` with the quantile in the item. Of an exponential histogram the buckets are not kept.

Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.labels import METRIC_MAX_CHARS, spell_item
from forestall.intake.formats.otlp_series import DELTA, ITEM_LE, WHICH, KnownPoints, spell_bound
from forestall.intake.formats.otlp_values import HOST_MAX_CHARS, plain_of, text_of
from forestall.intake.pushed import ROWS_MAX, Pushed, PushedSamples, no_logs

DELTA_KIND = 1
NO_VALUE = 1  # the bit of a point's flags that says "this series ended"
SUFFIX_CHARS = len("_bucket")

# metric's suffix, what the item says beside the attributes, value
Part = tuple[str, dict[str, str], float]


@dataclass(frozen=True, slots=True)
class MetricReading(Reading):
    """`not_numbers`: values that are NaN or infinite; they are counted, but nobody made a mistake."""

    not_numbers: int = 0


class TooManySamples(Exception):
    """A body has more than ROWS_MAX samples."""


_known = KnownPoints()


def read_protobuf(body: bytes, *, received_at_ms: int) -> MetricReading:
    """The samples of an ExportMetricsServiceRequest. Raises ValueError when it is none, or has too much."""
    samples = _known.read(body, received_at_ms=received_at_ms)
    if samples is not None:
        return MetricReading(Pushed(no_logs(), samples))
    return read_slowly(body, received_at_ms=received_at_ms)


def read_slowly(body: bytes, *, received_at_ms: int) -> MetricReading:
    """The same by the protobuf library: the definition of what `read_protobuf` finds."""
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"this is no OTLP ExportMetricsServiceRequest: {error}") from error
    return _read(request, received_at_ms)


def read_json_body(body: bytes, *, received_at_ms: int) -> MetricReading:
    """The same in JSON. Raises ValueError that names the place of the first mistake."""
    request = ExportMetricsServiceRequest()
    try:
        json_format.Parse(body, request, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is no OTLP in JSON: {error}") from error
    return _read(request, received_at_ms)


def _read(request: Any, received_at_ms: int) -> MetricReading:
    rows = _Rows(received_at_ms)
    try:
        _take_all(request, rows)
    except TooManySamples:
        raise ValueError(
            f"a body has at most {ROWS_MAX} samples (every bucket is one): send smaller batches"
        ) from None
    return rows.reading()


def _take_all(request: Any, rows: "_Rows") -> None:
    for resource_metrics in request.resource_metrics:
        told = {pair.key: text_of(plain_of(pair.value)) for pair in resource_metrics.resource.attributes}
        host = told.get("host.name", "")[:HOST_MAX_CHARS]
        which = {key: told[key] for key in WHICH if told.get(key)}
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                rows.take(metric, host, which)


@dataclass(slots=True)
class _Rows:
    """Samples, row by row."""

    received_at_ms: int
    host: list[str] = field(default_factory=list)
    metric: list[str] = field(default_factory=list)
    item: list[str] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    not_numbers: int = 0
    points: int = 0

    def take(self, metric: Any, host: str, which: dict[str, str]) -> None:
        """All points of a metric."""
        kind = metric.WhichOneof("data")
        if kind is None:
            self.refuse(1, "a metric has no data")
            return
        data = getattr(metric, kind)
        points = len(data.data_points)
        if not metric.name or len(metric.name) > METRIC_MAX_CHARS - SUFFIX_CHARS:
            self.refuse(points, f"a metric's name has 1 to {METRIC_MAX_CHARS - SUFFIX_CHARS} characters")
            return
        if getattr(data, "aggregation_temporality", 0) == DELTA_KIND:
            which = {**which, **DELTA}
        for point in data.data_points:
            if not point.flags & NO_VALUE:
                try:
                    self._take_point(metric.name, kind, point, host=host, which=which)
                except ValueError as error:
                    self.refuse(1, f"{metric.name[:60]}: {error}")
                    continue
            self.points += 1

    def _take_point(self, name: str, kind: str, point: Any, *, host: str, which: dict[str, str]) -> None:
        labels = {pair.key: text_of(plain_of(pair.value)) for pair in point.attributes} | which
        at_ms = point.time_unix_nano // 1_000_000 or self.received_at_ms
        plain = spell_item(labels)
        for suffix, more, value in _PARTS[kind](point):
            if not math.isfinite(value):
                self.not_numbers += 1
                continue
            if len(self.value) >= ROWS_MAX:
                raise TooManySamples
            self.host.append(host)
            self.metric.append(name + suffix)
            self.item.append(spell_item(labels | more) if more else plain)
            self.at_ms.append(at_ms)
            self.value.append(value)

    def refuse(self, count: int, reason: str) -> None:
        """The next points are not taken."""
        if len(self.refused) < REFUSED_MAX:
            self.refused.append(Refused(self.points, reason))
        self.points += count
        self.refused_count += count

    def reading(self) -> MetricReading:
        """All of it."""
        samples = PushedSamples(
            host=pa.array(self.host, pa.string()).dictionary_encode(),
            metric=pa.array(self.metric, pa.string()).dictionary_encode(),
            item=pa.array(self.item, pa.string()).dictionary_encode(),
            at_ms=np.array(self.at_ms, np.int64),
            value=np.array(self.value, np.float64),
        )
        return MetricReading(
            Pushed(no_logs(), samples), tuple(self.refused), self.refused_count, self.not_numbers
        )


def _number(point: Any) -> Iterator[Part]:
    kind = point.WhichOneof("value")
    if kind is None:
        raise ValueError("a point has no value")
    yield "", {}, float(getattr(point, kind))


def _totals(point: Any) -> Iterator[Part]:
    yield "_count", {}, float(point.count)
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield f"_{name}", {}, getattr(point, name)


def _histogram(point: Any) -> Iterator[Part]:
    counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
    if counts and len(counts) != len(bounds) + 1:
        raise ValueError(f"a histogram has {len(counts)} buckets and {len(bounds)} bounds")
    yield from _totals(point)
    below = 0
    for count, bound in zip(counts, [*bounds, math.inf], strict=False):
        below += count
        yield "_bucket", {ITEM_LE: spell_bound(bound)}, float(below)


def _summary(point: Any) -> Iterator[Part]:
    yield "_count", {}, float(point.count)
    yield "_sum", {}, point.sum
    for one in point.quantile_values:
        yield "", {"quantile": f"{one.quantile:.15g}"}, one.value


_PARTS: dict[str, Callable[[Any], Iterator[Part]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _totals,
    "summary": _summary,
}
