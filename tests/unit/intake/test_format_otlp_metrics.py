"""OTLP metrics: what each kind of metric becomes, and what is refused."""

import json
import math

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from forestall.intake.formats.otlp_metrics import read_json_body, read_protobuf
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
