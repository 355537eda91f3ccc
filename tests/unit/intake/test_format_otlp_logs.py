"""OTLP logs: what a record becomes, and that the compiled walker agrees with the library."""

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from forestall.intake.formats import otlp_logs
from forestall.intake.formats.otlp_logs import read_json_body, read_protobuf, read_slowly
from forestall.intake.formats.otlp_values import ATTRS_MAX_BYTES, MESSAGE_MAX_CHARS
from forestall.intake.pushed import ROWS_MAX, decode_pushed, encode_pushed

MS = 1_800_000_000_123
RECEIVED_MS = 1_800_000_009_000


def put(box, value):
    """A Python value into an AnyValue."""
    match value:
        case None:
            pass
        case bool():
            box.bool_value = value
        case int():
            box.int_value = value
        case float():
            box.double_value = value
        case str():
            box.string_value = value
        case bytes():
            box.bytes_value = value
        case list():
            box.array_value.SetInParent()
            for inner in value:
                put(box.array_value.values.add(), inner)
        case dict():
            box.kvlist_value.SetInParent()
            for key, inner in value.items():
                put(box.kvlist_value.values.add(key=key).value, inner)


def request_of(*groups):
    """(resource attributes, scope name, records) groups; a record is a dict of fields."""
    request = ExportLogsServiceRequest()
    for resource, scope, records in groups:
        one = request.resource_logs.add()
        for key, value in resource.items():
            put(one.resource.attributes.add(key=key).value, value)
        logs = one.scope_logs.add()
        logs.scope.name = scope
        for fields in records:
            record = logs.log_records.add()
            for name, value in fields.items():
                if name == "body":
                    put(record.body, value)
                    record.body.SetInParent()
                elif name == "attributes":
                    for key, inner in value:
                        put(record.attributes.add(key=key).value, inner)
                else:
                    setattr(record, name, value)
    return request


def rows(reading):
    """(host, source, ms, severity, message, attrs as a dict) of each line."""
    logs = decode_pushed(encode_pushed(reading.pushed)).logs
    logs.message.validate(full=True)
    logs.attrs.validate(full=True)
    return [
        (host, source, at_ms, severity, message, json.loads(attrs) if attrs else {})
        for host, source, at_ms, severity, message, attrs in zip(
            logs.host.to_pylist(),
            logs.source.to_pylist(),
            logs.at_ms.tolist(),
            logs.severity.tolist(),
            logs.message.to_pylist(),
            logs.attrs.to_pylist(),
            strict=True,
        )
    ]


def texts(reading):
    """Everything as it is kept, byte for byte."""
    logs = reading.pushed.logs
    return list(
        zip(
            *(
                column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()
                for column in (getattr(logs, name) for name in type(logs).__slots__)
            ),
            strict=True,
        )
    )


def read(request):
    """Both ways; they must agree."""
    body = request.SerializeToString()
    fast = read_protobuf(body, received_at_ms=RECEIVED_MS)
    assert texts(fast) == texts(read_slowly(body, received_at_ms=RECEIVED_MS))
    return rows(fast)


PLAIN = {
    "time_unix_nano": MS * 1_000_000 + 999,
    "severity_number": 9,
    "severity_text": "INFO",
    "body": "order 17 paid",
    "attributes": [("user", "u1"), ("tries", 3), ("ok", True), ("ms", 1.25)],
    "trace_id": bytes(range(16)),
    "span_id": bytes(range(8)),
}
RESOURCE = {"host.name": "srv1", "service.name": "shop", "service.version": "4.2"}


def test_a_record_keeps_all_that_it_says():
    assert read(request_of((RESOURCE, "shop.orders", [PLAIN]))) == [
        (
            "srv1",
            "shop",
            MS,
            6,
            "order 17 paid",
            {
                "service.version": "4.2",
                "otel.scope.name": "shop.orders",
                "user": "u1",
                "tries": "3",
                "ok": "true",
                "ms": "1.25",
                "trace_id": "000102030405060708090a0b0c0d0e0f",
                "span_id": "0001020304050607",
            },
        )
    ]


def test_plain_records_are_read_without_the_library():
    body = request_of((RESOURCE, "scope", [PLAIN, {}, {**PLAIN, "event_name": "paid"}])).SerializeToString()
    reading = otlp_logs._Fast(body, *otlp_logs._find(body), received_at_ms=0)
    reading.reading()
    assert reading.odd.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("number", "text", "severity"),
    [(0, "", 6), (0, "ERROR", 3), (0, "odd", 6), (1, "", 7), (9, "", 6), (10, "", 5), (13, "", 4),
     (17, "", 3), (18, "", 2), (19, "", 1), (21, "", 0), (24, "", 0), (25, "WARN", 4), (-1, "", 6)],
)  # fmt: skip
def test_severities_become_those_of_syslog(number, text, severity):
    assert read(request_of(({}, "", [{"severity_number": number, "severity_text": text}])))[0][3] == severity


def test_the_time_is_the_record_s_else_when_it_was_observed_else_when_it_came():
    records = [
        {"time_unix_nano": 5_000_000, "observed_time_unix_nano": 7_000_000},
        {"observed_time_unix_nano": 7_999_999},
        {},
    ]
    assert [row[2] for row in read(request_of(({}, "", records)))] == [5, 7, RECEIVED_MS]


@pytest.mark.parametrize(
    ("body", "message"),
    [("text", "text"), (None, ""), (3, "3"), (2.5, "2.5"), (False, "false"), (b"\x00\xff", "AP8="),
     ([1, "a"], '[1,"a"]'), ({"a": {"b": [None]}}, '{"a":{"b":[null]}}'), ("", ""), (math.nan, "NaN")],
)  # fmt: skip
def test_bodies_become_text(body, message):
    assert read(request_of(({}, "", [{"body": body}])))[0][4] == message


def test_an_event_without_a_body_is_called_by_its_name():
    row = read(request_of(({}, "", [{"event_name": "device.crash"}])))[0]
    assert row[4:] == ("device.crash", {"event.name": "device.crash"})


def test_the_source_is_the_service_else_the_scope():
    groups = [({"service.name": "a"}, "b", [{}]), ({"service.name": "unknown_service:python"}, "b", [{}]),
              ({}, "b", [{}]), ({}, "", [{}])]  # fmt: skip
    assert [row[1] for row in read(request_of(*groups))] == ["a", "b", "b", ""]


def test_doubled_names_are_told_once():
    record = {"attributes": [("a", "1"), ("a", "2"), ("service.version", "5"), ("trace_id", "x")],
              "trace_id": b"\x01" * 16}  # fmt: skip
    assert read(request_of((RESOURCE, "", [record])))[0][5] == {
        "service.version": "5", "a": "2", "trace_id": "01" * 16,
    }  # fmt: skip


def test_what_is_too_long_is_cut_and_the_row_says_so():
    many = [(f"k{k}", "x" * 500) for k in range(60)]
    row = read(request_of(({}, "", [{"body": "y" * (MESSAGE_MAX_CHARS + 5), "attributes": many}])))[0]
    assert len(row[4]) == MESSAGE_MAX_CHARS
    assert row[5]["attributes_left_out"] == str(60 - len(row[5]) + 1 + 1)
    assert len(msgspec.json.encode(row[5])) <= ATTRS_MAX_BYTES


def test_a_long_resource_is_cut_once_for_all_records():
    row = read(request_of(({f"k{k}": "x" * 100 for k in range(100)}, "", [{}])))[0]
    assert "attributes_left_out" in row[5]


def test_a_record_that_is_damaged_is_refused_and_the_rest_is_taken():
    body = request_of(({}, "", [{"body": "one"}, {"body": "two!"}, {"body": "three"}])).SerializeToString()
    reading = read_protobuf(body.replace(b"two!", b"tw\xff!"), received_at_ms=0)
    assert [row[4] for row in rows(reading)] == ["one", "three"]
    assert (reading.refused_count, reading.refused[0].place) == (1, 1)


@pytest.mark.parametrize("body", [b"\x0a", b"hello world", b"\xff" * 9])
def test_what_is_no_request_says_so(body):
    with pytest.raises(ValueError, match="ExportLogsServiceRequest"):
        read_protobuf(body, received_at_ms=0)


def test_too_many_records_are_refused_as_a_whole():
    inner = b"\x12\x00" * (ROWS_MAX + 1)

    def field(tag, content):
        return bytes([tag]) + bytes(
            [len(content) & 0x7F | 0x80, len(content) >> 7 & 0x7F | 0x80, len(content) >> 14]
        ) + content  # fmt: skip

    with pytest.raises(ValueError, match="lower the batch size"):
        read_protobuf(field(0x0A, field(0x12, inner)), received_at_ms=0)


def test_a_long_resource_on_many_records_does_not_use_up_the_memory():
    resource = {f"k{k}": "x" * 190 for k in range(10)}
    body = request_of((resource, "", [{}] * 100_000)).SerializeToString()
    with pytest.raises(ValueError, match="smaller batches"):
        read_protobuf(body, received_at_ms=0)


TEXT = st.one_of(st.text(max_size=20), st.sampled_from(['"', "\\", "\n\x00\x1f\x7f", "é\u2028😀", "a" * 30]))
NUMBERS = st.one_of(
    st.floats(allow_nan=True),
    st.decimals(-1_000_000, 1_000_000, places=3).map(float),
    st.decimals(-1, 1, places=6).map(float),
    st.integers(-(10**9), 10**9).map(float),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    NUMBERS,
    TEXT,
    st.binary(max_size=10),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
NAMES = st.one_of(TEXT, st.sampled_from(["a", "b", "trace_id", "service.version", "event.name"]))
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "time_unix_nano": st.integers(0, (1 << 64) - 1),
        "observed_time_unix_nano": st.integers(0, (1 << 64) - 1),
        "severity_number": st.integers(-5, 40),
        "severity_text": TEXT,
        "body": VALUES,
        "attributes": st.lists(st.tuples(NAMES, VALUES), max_size=5),
        "trace_id": st.sampled_from([bytes(16), bytes(range(16)), b"abc", b""]),
        "span_id": st.sampled_from([bytes(8), bytes(range(8)), b"abc", b""]),
        "event_name": TEXT,
        "flags": st.integers(0, (1 << 32) - 1),
        "dropped_attributes_count": st.integers(0, (1 << 32) - 1),
    },
)
GROUPS = st.lists(
    st.tuples(st.dictionaries(NAMES, VALUES, max_size=3), TEXT, st.lists(RECORDS, max_size=4)), max_size=3
)


@given(GROUPS)
@settings(max_examples=60, deadline=None)
def test_the_walker_finds_what_the_library_finds(groups):
    read(request_of(*groups))


@given(NUMBERS)
@settings(max_examples=200, deadline=None)
def test_decimals_are_spelled_as_json_spells_them(number):
    row = read(request_of(({}, "", [{"attributes": [("n", number)]}])))[0]
    if math.isfinite(number):
        assert float(row[5]["n"]) == number


@given(GROUPS, st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bodies_are_read_as_the_library_does_or_refused(groups, data):
    body = bytearray(request_of(*groups).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body)
    try:
        fast = read_protobuf(body, received_at_ms=RECEIVED_MS)
    except ValueError:
        return
    rows(fast)
    try:
        slow = read_slowly(body, received_at_ms=RECEIVED_MS)
    except ValueError:
        return  # the library refuses all of it, we only the record that is damaged
    if not fast.refused_count:
        assert texts(fast) == texts(slow)


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(body):
    for reader in (read_protobuf, read_json_body):
        try:
            rows(reader(body, received_at_ms=0))
        except ValueError:
            pass


def test_json_says_the_same():
    body = {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [
                        {"key": key, "value": {"stringValue": text}} for key, text in RESOURCE.items()
                    ]
                },
                "scopeLogs": [
                    {
                        "scope": {"name": "shop.orders", "version": "1"},
                        "logRecords": [
                            {
                                "timeUnixNano": str(PLAIN["time_unix_nano"]),
                                "severityNumber": 9,
                                "severityText": "INFO",
                                "body": {"stringValue": "order 17 paid"},
                                "attributes": [
                                    {"key": "user", "value": {"stringValue": "u1"}},
                                    {"key": "tries", "value": {"intValue": "3"}},
                                    {"key": "ok", "value": {"boolValue": True}},
                                    {"key": "ms", "value": {"doubleValue": 1.25}},
                                ],
                                "traceId": bytes(range(16)).hex().upper(),
                                "spanId": bytes(range(8)).hex(),
                                "unknown": 1,
                            }
                        ],
                    }
                ],
            }
        ]
    }
    reading = read_json_body(json.dumps(body).encode(), received_at_ms=0)
    assert rows(reading) == read(request_of((RESOURCE, "shop.orders", [PLAIN])))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "JSON"),
        (b'{"resourceLogs": 3}', r"\$\.resourceLogs"),
        (
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 5000,
            "deep",
        ),
        (b'{"resourceLogs":[{"resource":{"attributes":[{"value":{"intValue":"x"}}]}}]}', "whole number"),
    ],
)
def test_mistakes_in_json_name_their_place(body, where):
    with pytest.raises(ValueError, match=where):
        read_json_body(body, received_at_ms=0)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"timeUnixNano": "x"}, "not a whole number"),
        ({"timeUnixNano": -5}, "before 1970"),
        ({"timeUnixNano": "9" * 30}, "64 bits"),
        ({"body": {"bytesValue": "%"}}, "base64"),
        ({"body": {"doubleValue": "x"}}, "not a number"),
    ],
)
def test_a_record_in_json_that_cannot_be_read_is_refused_and_the_rest_is_taken(record, reason):
    good = {"body": {"stringValue": "good"}}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [good, record, good]}]}]}
    reading = read_json_body(json.dumps(body).encode(), received_at_ms=0)
    assert [row[4] for row in rows(reading)] == ["good", "good"]
    assert (reading.refused_count, reading.refused[0].place) == (1, 1)
    assert reason in reading.refused[0].reason
