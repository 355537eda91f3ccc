"""Prometheus remote write 1.0: an unpacked body becomes samples. Pure but for what it remembers of labels.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/ and the numbers of the fields in prompb's
remote.proto and types.proto. Native histograms are not read; exemplars and metadata are skipped.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.labels import KnownSeries, SeriesName, name_series
from forestall.intake.formats.wire import load_8, read_length, read_varint
from forestall.intake.pushed import ROWS_MAX, Pushed, PushedSamples, no_logs
from forestall.kernel.columns import F64, I64, U8, U64
from forestall.kernel.compiled import compiled

STALE = 0x7FF0000000000002  # the NaN that says "this series ended"; source: prometheus/model/value
TIME_MAX_MS = 1 << 47

_DONE, _ODD, _TOO_MANY = 0, 1, 2
_BAD_TIMES, _HISTOGRAMS, _NOT_NUMBERS = 0, 1, 2
_WHY = (
    "a sample is from before 1970 or after 6400",
    "native histograms are not read: let the sender send classic ones (scrape_classic_histograms)",
)


@dataclass(frozen=True, slots=True)
class SampleReading(Reading):
    """`not_numbers`: samples that are NaN or infinite. They are counted, but nobody made a mistake:
    Prometheus sends NaN for a quantile of nothing. Markers of ended series are not counted at all."""

    not_numbers: int = 0


def _make_messages() -> tuple[Any, Any]:
    """WriteRequest and TimeSeries. Texts are bytes here, so that one bad label does not refuse a body."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="forestall_remote_write.proto", syntax="proto3")
    messages: dict[str, Sequence[tuple[str, int, int, str]]] = {
        "Label": (("name", 1, field.TYPE_BYTES, ""), ("value", 2, field.TYPE_BYTES, "")),
        "Sample": (("value", 1, field.TYPE_DOUBLE, ""), ("timestamp", 2, field.TYPE_INT64, "")),
        "TimeSeries": (
            ("labels", 1, field.TYPE_MESSAGE, "Label"),
            ("samples", 2, field.TYPE_MESSAGE, "Sample"),
            ("histograms", 4, field.TYPE_BYTES, ""),
        ),
        "WriteRequest": (("timeseries", 1, field.TYPE_MESSAGE, "TimeSeries"),),
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for label, number, kind, inner in fields:
            message.field.add(
                name=label,
                number=number,
                type=kind,
                type_name=f".{inner}" if inner else None,
                label=field.LABEL_REPEATED if inner or label == "histograms" else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in ("WriteRequest", "TimeSeries")
    )


WriteRequest, _TimeSeries = _make_messages()


def split_labels(block: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The labels of a series, as the library reads them. Raises ValueError."""
    try:
        return [(label.name, label.value) for label in _TimeSeries.FromString(block).labels]
    except DecodeError as error:
        raise ValueError(
            f"this is no Prometheus WriteRequest ({error}): send remote write 1.0, protobuf in snappy"
        ) from error


def name_block(block: bytes) -> SeriesName:
    """What the labels of a series mean. Raises ValueError."""
    return name_series(split_labels(block))


def known_series() -> KnownSeries:
    """An empty memory of label sets, for `read`."""
    return KnownSeries(name_block)


@dataclass(frozen=True, slots=True)
class _Walk:
    """What a body holds: per series its labels in `buffer` and how many samples, per sample time and value.

    `left_out` counts samples by reason (places of _WHY, then _NOT_NUMBERS), `where` is the first series of
    each.
    """

    buffer: U8
    starts: I64
    ends: I64
    counts: I64
    at_ms: I64
    value: F64
    left_out: I64
    where: I64


class _Scratch(threading.local):
    """Room for the most rows that a body may have, for each thread that reads: fresh room for every body
    costs more than reading a small one. What is never used of it is never given by the system."""

    def __init__(self) -> None:
        self.numbers = np.empty((4, ROWS_MAX), np.int64)
        self.bits = np.empty(ROWS_MAX, np.uint64)


_scratch = _Scratch()


def read(body: bytes, known: KnownSeries, *, received_at_ms: int) -> SampleReading:
    """The samples of a body (after snappy). Raises ValueError when it is no WriteRequest or has too much.

    `received_at_ms` is there as in every format; a sample has its own time.
    """
    return _reading(walk(body) or walk_slowly(body), known)


def walk(body: bytes) -> _Walk | None:
    """The body in one pass, or None when it has something that only the library understands."""
    buffer = np.frombuffer(body, np.uint8)
    rows = min(ROWS_MAX, len(body) // 2 + 1)
    starts, ends, counts, at_ms = _scratch.numbers[:, :rows]
    bits = _scratch.bits[:rows]
    left_out, where = np.zeros(3, np.int64), np.zeros(3, np.int64)
    status, series, samples = _walk(buffer, starts, ends, counts, at_ms, bits, left_out, where)
    if status == _TOO_MANY:
        raise ValueError(_too_many())
    if status == _ODD:
        return None
    return _Walk(
        buffer,
        starts[:series].copy(),
        ends[:series].copy(),
        counts[:series].copy(),
        at_ms[:samples].copy(),
        bits[:samples].view(np.float64).copy(),
        left_out,
        where,
    )


def walk_slowly(body: bytes) -> _Walk:
    """The same by the protobuf library: the definition of what `walk` finds."""
    try:
        request = WriteRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(
            f"this is no Prometheus WriteRequest ({error}): send remote write 1.0, protobuf in snappy"
        ) from error
    blocks: list[bytes] = []
    counts: list[int] = []
    at_ms: list[int] = []
    values: list[float] = []
    left_out, where = np.zeros(3, np.int64), np.zeros(3, np.int64)

    def leave_out(reason: int, place: int, count: int = 1) -> None:
        if count and not left_out[reason]:
            where[reason] = place
        left_out[reason] += count

    for place, series in enumerate(request.timeseries):
        before = len(values)
        for sample in series.samples:
            if not np.isfinite(sample.value):
                if np.float64(sample.value).view(np.uint64) != STALE:
                    leave_out(_NOT_NUMBERS, place)
            elif not 0 <= sample.timestamp < TIME_MAX_MS:
                leave_out(_BAD_TIMES, place)
            else:
                at_ms.append(sample.timestamp)
                values.append(sample.value)
        leave_out(_HISTOGRAMS, place, len(series.histograms))
        blocks.append(_TimeSeries(labels=series.labels).SerializeToString())
        counts.append(len(values) - before)
        if max(len(values), len(blocks)) > ROWS_MAX:
            raise ValueError(_too_many())
    edges = np.cumsum([0, *map(len, blocks)]).astype(np.int64)
    return _Walk(
        np.frombuffer(b"".join(blocks), np.uint8),
        edges[:-1],
        edges[1:],
        np.array(counts, np.int64),
        np.array(at_ms, np.int64),
        np.array(values, np.float64),
        left_out,
        where,
    )


def _reading(found: _Walk, known: KnownSeries) -> SampleReading:
    (host, metric, item), unnamed = known.columns(found.buffer, found.starts, found.ends, found.counts)
    at_ms, value = found.at_ms, found.value
    refused = [Refused(place, reason) for place, reason in unnamed[:REFUSED_MAX]]
    count = int(found.left_out[: len(_WHY)].sum())
    if unnamed:
        named = np.ones(len(found.counts), np.bool_)
        named[[place for place, _ in unnamed]] = False
        count += int(found.counts[~named].sum())
        rows = np.repeat(named, found.counts)
        at_ms, value = at_ms[rows], value[rows]
    refused += [
        Refused(int(found.where[k]), f"{reason} ({found.left_out[k]} times, first here)")
        for k, reason in enumerate(_WHY)
        if found.left_out[k]
    ]
    samples = PushedSamples(host=host, metric=metric, item=item, at_ms=at_ms, value=value)
    not_numbers = int(found.left_out[_NOT_NUMBERS])
    return SampleReading(Pushed(no_logs(), samples), tuple(refused), count, not_numbers)


def _too_many() -> str:
    return f"a body has at most {ROWS_MAX} samples: lower max_samples_per_send in the sender's queue_config"


@compiled
def _walk(
    body: U8, starts: I64, ends: I64, counts: I64, at_ms: I64, bits: U64, left_out: I64, where: I64
) -> tuple[int, int, int]:
    """Fills the arrays; (status, how many series, how many samples)."""
    at, stop = 0, len(body)
    series, samples = 0, 0
    while at < stop:
        tag = body[at]
        begin, end = read_length(body, at + 1, stop)
        if end < 0 or (tag != 0x0A and tag != 0x1A):
            return _ODD, series, samples
        at = end
        if tag == 0x1A:  # metadata
            continue
        if series >= len(starts):
            return _TOO_MANY, series, samples
        starts[series] = begin
        before, labels_end = samples, begin
        while begin < end:
            tag = body[begin]
            field, field_end = read_length(body, begin + 1, end)
            if field_end < 0:
                return _ODD, series, samples
            if tag == 0x0A:  # a label
                if begin != labels_end:
                    return _ODD, series, samples
                labels_end = field_end
            elif tag == 0x12:
                if samples >= len(at_ms):
                    return _TOO_MANY, series, samples
                status = _sample(body, field, field_end, samples, at_ms, bits)
                if status == _ODD:
                    return _ODD, series, samples
                samples += _keep(bits[samples], at_ms[samples], series, left_out, where)
            elif tag == 0x22:  # a native histogram
                if left_out[_HISTOGRAMS] == 0:
                    where[_HISTOGRAMS] = series
                left_out[_HISTOGRAMS] += 1
            elif tag != 0x1A:  # an exemplar
                return _ODD, series, samples
            begin = field_end
        ends[series] = labels_end
        counts[series] = samples - before
        series += 1
    return _DONE, series, samples


@compiled
def _sample(body: U8, at: int, end: int, row: int, at_ms: I64, bits: U64) -> int:
    """One sample into its row; _DONE or _ODD."""
    at_ms[row] = 0
    bits[row] = np.uint64(0)
    while at < end:
        if body[at] == 0x09 and end - at >= 9:
            bits[row] = load_8(body, at + 1)
            at += 9
        elif body[at] == 0x10:
            value, at = read_varint(body, at + 1, end)
            if at < 0:
                return _ODD
            at_ms[row] = np.int64(value)
        else:
            return _ODD
    return _DONE


@compiled
def _keep(bits: Any, at_ms: Any, series: int, left_out: I64, where: I64) -> int:
    """1 for a sample that is kept, else 0 after counting it."""
    if (bits >> np.uint64(52)) & np.uint64(0x7FF) == np.uint64(0x7FF):
        reason = _NOT_NUMBERS
        if bits == np.uint64(STALE):
            return 0
    elif at_ms < 0 or at_ms >= TIME_MAX_MS:
        reason = _BAD_TIMES
    else:
        return 1
    if left_out[reason] == 0:
        where[reason] = series
    left_out[reason] += 1
    return 0
