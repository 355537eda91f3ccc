"""OTLP metrics: what each kind of metric becomes, and what is refused."""

import json
import math

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from forestall.intake.formats.otlp_metrics import read_json_body, read_protobuf, read_slowly
from forestall.intake.formats.otlp_series import KnownPoints
from forestall.intake.pushed import decode_pushed, encode_pushed

MS = 1_800_000_000_000


def request_with(**resource):
    """A request with one resource, and the list that its metrics go into."""
    request = ExportMetricsServiceRequest()
    one = request.resource_metrics.add()
    for key, text in resource.items():
        one.resource.attributes.add(key=key.replace("_", ".")).value.string_value = text
    return request, one.scope_metrics.add().metrics


def point_of(points, **attributes):
    point = points.add(time_unix_nano=MS * 1_000_000)
    for key, text in attributes.items():
        point.attributes.add(key=key).value.string_value = text
    return point


def rows(reading):
    """(host, metric, item, ms, value)."""
    samples = decode_pushed(encode_pushed(reading.pushed)).samples
    return list(
        zip(
            samples.host.to_pylist(),
            samples.metric.to_pylist(),
            samples.item.to_pylist(),
            samples.at_ms.tolist(),
            samples.value.tolist(),
            strict=True,
        )
    )


def read(request):
    """Both spellings; they must agree."""
    reading = read_protobuf(request.SerializeToString(), received_at_ms=MS + 5)
    spelled = json_format.MessageToJson(request).encode()
    assert rows(read_json_body(spelled, received_at_ms=MS + 5)) == rows(reading)
    return reading


def test_gauges_and_sums_keep_their_names_and_attributes():
    request, metrics = request_with(host_name="srv1", service_name="shop")
    point_of(metrics.add(name="system.memory.usage").gauge.data_points, state="free").as_int = 17
    counter = metrics.add(name="orders").sum
    counter.aggregation_temporality, counter.is_monotonic = 2, True
    point_of(counter.data_points).as_double = 2.5
    delta = metrics.add(name="hits").sum
    delta.aggregation_temporality = 1
    delta.data_points.add().as_int = 3
    assert rows(read(request)) == [
        ("srv1", "system.memory.usage", '{service.name="shop",state="free"}', MS, 17.0),
        ("srv1", "orders", '{service.name="shop"}', MS, 2.5),
        ("srv1", "hits", '{service.name="shop",temporality="delta"}', MS + 5, 3.0),
    ]


def test_histograms_and_summaries_become_samples():
    request, metrics = request_with()
    point = point_of(metrics.add(name="d").histogram.data_points, path="/")
    point.count, point.sum, point.max = 6, 12.5, 9.0
    point.bucket_counts.extend([1, 2, 3])
    point.explicit_bounds.extend([0.5, 10])
    wide = point_of(metrics.add(name="e").exponential_histogram.data_points)
    wide.count, wide.sum = 3, 4.0
    summary = point_of(metrics.add(name="s").summary.data_points)
    summary.count, summary.sum = 2, 3.0
    summary.quantile_values.add(quantile=0.99, value=7.0)
    summary.quantile_values.add(quantile=1, value=math.nan)
    reading = read(request)
    assert [(metric, item, value) for _, metric, item, _, value in rows(reading)] == [
        ("d_count", '{path="/"}', 6.0),
        ("d_sum", '{path="/"}', 12.5),
        ("d_max", '{path="/"}', 9.0),
        ("d_bucket", '{le="0.5",path="/"}', 1.0),
        ("d_bucket", '{le="10",path="/"}', 3.0),
        ("d_bucket", '{le="+Inf",path="/"}', 6.0),
        ("e_count", "", 3.0),
        ("e_sum", "", 4.0),
        ("s_count", "", 2.0),
        ("s_sum", "", 3.0),
        ("s", '{quantile="0.99"}', 7.0),
    ]
    assert (reading.not_numbers, reading.refused_count) == (1, 0)


def test_what_cannot_be_used_is_refused_and_the_rest_is_taken():
    request, metrics = request_with()
    metrics.add(name="nothing")
    metrics.add(name="x" * 200).gauge.data_points.add().as_int = 1
    metrics.add(name="empty").gauge.data_points.add()
    odd = metrics.add(name="odd").histogram.data_points.add(count=1)
    odd.bucket_counts.extend([1, 2, 3])
    ended = metrics.add(name="ended").gauge.data_points.add(flags=1)
    ended.as_double = 0
    metrics.add(name="good").gauge.data_points.add().as_int = 1
    reading = read(request)
    assert [row[1] for row in rows(reading)] == ["good"]
    assert reading.refused_count == 4
    assert [one.place for one in reading.refused] == [0, 1, 2, 3]


def test_too_many_samples_are_refused_as_a_whole():
    request, metrics = request_with()
    points = metrics.add(name="d").histogram.data_points
    for _ in range(250):
        point = points.add()
        point.bucket_counts.extend([0] * 1001)
        point.explicit_bounds.extend(float(k) for k in range(1000))
    with pytest.raises(ValueError, match="samples"):
        read_protobuf(request.SerializeToString(), received_at_ms=0)


@pytest.mark.parametrize("body", [b"{", b'{"resourceMetrics": 3}', b"\xff", b"[" * 10_000])
def test_what_is_no_json_says_so(body):
    with pytest.raises(ValueError, match="no OTLP in JSON"):
        read_json_body(body, received_at_ms=0)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(body):
    for reader in (read_protobuf, read_json_body):
        try:
            rows(reader(body, received_at_ms=0))
        except ValueError:
            pass


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["resourceMetrics", "scopeMetrics", "metrics", "name", "gauge", "sum", "histogram", "dataPoints",
         "asInt", "asDouble", "attributes", "key", "value", "timeUnixNano", "bucketCounts", "explicitBounds"]
    ), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_any_json_is_read_or_refused(body):
    try:
        rows(read_json_body(json.dumps({"resourceMetrics": body}).encode(), received_at_ms=0))
    except ValueError:
        pass


TEXT = st.text(max_size=5)
NUMBER = st.floats() | st.integers(-5, 5).map(float)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(("a", "b", "le", "temporality", "")), TEXT | st.integers(0, 9), max_size=3
)
POINT = st.tuples(
    ATTRIBUTES,
    st.sampled_from((0, 1, MS * 1_000_000)),
    NUMBER | st.integers(-9, 1 << 60),
    st.sampled_from((0, 0, 0, 1)),
)
BUCKETS = st.tuples(
    st.lists(st.integers(0, 3) | st.just(1 << 60), max_size=3), st.lists(NUMBER, max_size=2), st.booleans()
)
METRIC = st.tuples(
    st.sampled_from(("gauge", "sum", "histogram", "summary", "exponential_histogram")),
    st.sampled_from(("m", "", "n" * 121, "n" * 130, "\u00e9" * 100)),
    st.lists(st.tuples(POINT, BUCKETS), max_size=3),
    st.sampled_from((0, 1, 2)),
)


def made(resources) -> bytes:
    request = ExportMetricsServiceRequest()
    for told, metrics in resources:
        resource = request.resource_metrics.add(schema_url="s")
        attributes(resource.resource.attributes, told)
        scope = resource.scope_metrics.add()
        scope.scope.name = "scope"
        for kind, name, points, temporality in metrics:
            metric = scope.metrics.add(name=name, unit="1", description="d")
            data = getattr(metric, kind)
            data.SetInParent()
            if kind in ("sum", "histogram"):
                data.aggregation_temporality = temporality
            for (keys, at_ns, value, flags), (counts, bounds, extremes) in points:
                point = data.data_points.add(time_unix_nano=at_ns, start_time_unix_nano=1, flags=flags)
                attributes(point.attributes, keys)
                if kind in ("gauge", "sum"):
                    if isinstance(value, int):
                        point.as_int = value
                    else:
                        point.as_double = value
                elif kind == "histogram":
                    point.count, point.sum = 7, float(value)
                    point.bucket_counts.extend(counts)
                    point.explicit_bounds.extend(bounds)
                    if extremes:
                        point.min, point.max = 1.0, 2.0
    return bytes(request.SerializeToString())


def attributes(into, told) -> None:
    for key, value in told.items():
        one = into.add(key=key).value
        if isinstance(value, int):
            one.int_value = value
        else:
            one.string_value = value


def told(read, body):
    """Everything that a reading says; None when the body is refused as a whole."""
    try:
        reading = read(body, received_at_ms=MS + 5)
    except ValueError:
        return None
    return rows(reading), reading.refused, reading.refused_count, reading.not_numbers


RESOURCES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(("host.name", "service.name", "x")), TEXT, max_size=2),
        st.lists(METRIC, max_size=3),
    ),
    max_size=3,
)


@given(RESOURCES, st.data())
@settings(max_examples=200, deadline=None)
def test_the_compiled_way_and_the_library_agree(resources, data):
    body = bytearray(made(resources))
    for _ in range(data.draw(st.integers(0, 2))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body)
    assert told(read_protobuf, body) == told(read_slowly, body)


def test_what_encoders_write_is_read_by_the_compiled_way():
    points = [(({"a": "x"}, MS * 1_000_000, 1.5, 0), ([1, 2], [0.5], True))]
    body = made(
        [({"host.name": "srv1"}, [(kind, "m", points, 2) for kind in ("gauge", "sum", "histogram")])] * 2
    )
    known = KnownPoints()
    for _ in range(2):
        samples = known.read(body, received_at_ms=MS)
        assert samples is not None and len(samples) == 2 * (1 + 1 + 6)
    assert known.read(made([({}, [("summary", "m", points, 0)])]), received_at_ms=MS) is None
