"""JSON records in columns are read as one by one: the fast way and the slow way give the same."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.intake.formats.fields import ATTRS_MAX_COUNT, names_with
from forestall.intake.formats.json_columns import JsonColumns, logs_of, read_json_records
from forestall.intake.formats.json_record import RECORD_MAX_BYTES, Record, read_record
from forestall.intake.formats.jsonlines import find_lines
from forestall.intake.pushed import Pushed, PushedLogs, decode_pushed, encode_pushed, no_samples

NOW = 1_795_413_600_000  # 2026-11-23T06:00:00Z
NAMES = names_with()


def rows_of(logs: PushedLogs) -> list[Record]:
    texts = [column.to_pylist() for column in (logs.host, logs.source, logs.message, logs.raw, logs.attrs)]
    numbers = [column.tolist() for column in (logs.at_ms, logs.severity, logs.facility)]
    return [Record(*row) for row in zip(*numbers, *texts, strict=True)]


def fast(body: bytes) -> JsonColumns:
    return read_json_records(body, *find_lines(body), NAMES, received_at_ms=NOW, plain_min=0)


def slow(body: bytes) -> tuple[list[Record], dict[int, str]]:
    records, refused = [], {}
    for place, (start, end) in enumerate(zip(*(bounds.tolist() for bounds in find_lines(body)), strict=True)):
        try:
            records.append(read_record(body[start:end], NAMES, NOW))
        except ValueError as error:
            refused[place] = str(error)
    return records, refused


def check(body: bytes) -> None:
    found = fast(body)
    records, refused = slow(body)
    assert rows_of(found.logs) == records
    assert found.refused == refused
    assert decode_pushed(encode_pushed(Pushed(found.logs, no_samples()))).logs.message.to_pylist() == [
        record.message for record in records
    ]


NAMES_USED = st.sampled_from(
    ["_msg", "message", "log", "_time", "@timestamp", "time", "host", "hostname", "name", "instance",
     "source", "app_name", "service", "level", "pri", "severity", "severity_number", "facility", "proc_id",
     "", "a.b", "a", "b", "ü", 'q"', "long" * 40]
)  # fmt: skip
TIMES = st.sampled_from(
    ["2026-11-23T06:00:00Z", "2026-11-23T05:59:59.123456789Z", "2026-11-23T07:00:00.5+01:00", "1795413600",
     "2026-11-23 06:00:00", "2026-02-30T06:00:00Z", "1795413600.25", "1795413600123", "1795413600123456",
     "1795413600123456789", "1999-01-01T00:00:00Z", "2026-11-23T06:00:60Z", "1795413600.", "-1", "0",
     "2026-11-23T06:00:00.Z", "2026-11-23T06:00:00+0100", "2026-11-23T06:00:00.1234567890Z", "1.7954136e9"]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    TIMES,
    st.sampled_from(["info", "WARN", "3", "190", "192", "9", "30", "kern", "local7", "srv01", "10.0.0.1:9100",
                     "[::1]:9100", "nginx", "line\n", "\r\n", 'a "quoted" \\ word', "\u2028<>&/", " x ",
                     "é" * 90,
                     "x" * 200]),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(), st.integers(0, 24)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES_USED, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES_USED, VALUES, max_size=6)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(OBJECTS, st.booleans(), st.sampled_from([None, (", ", ": "), (",", ":")])), max_size=5)
)
def test_objects_are_read_alike(objects: list[tuple[dict[str, Any], bool, Any]]) -> None:
    lines = [json.dumps(one, ensure_ascii=ascii, separators=how) for one, ascii, how in objects]
    check("\n".join(lines).encode("utf-8", "surrogatepass"))


SEED_LINES = [
    rb'{"_time":"2026-11-23T06:00:00.000Z","pri":190,"hostname":"ap7","app_name":"nginx",'
    rb'"proc_id":"11","_msg":"a \"b\" c"}',
    rb'{"@timestamp":"2026-11-23T05:00:00Z","host":{"name":"h"},"log":{"level":"warn"},"tags":["a","b"],'
    rb'"message":"m\u00e9\n"}',
    rb'{"a":{"b":[1,{"c":-1.5e+3}],"d":null},"level":"\ud83d\ude00","msg":"\u0041\/\b\f","a.b":true}',
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(SEED_LINES), min_size=1, max_size=4),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 3),
            st.one_of(
                st.binary(max_size=3), st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"\\u00", b" ", b"\n"])
            ),
        ),
        max_size=4,
    ),
)
def test_damaged_lines_are_read_alike(lines: list[bytes], damages: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(b"\n".join(lines))
    for place, length, bytes_instead in damages:
        at = place % len(body) if body else 0
        body[at : at + length] = bytes_instead
    check(bytes(body))


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_alike(body: bytes) -> None:
    check(body)


@pytest.mark.parametrize(
    "line",
    [
        b'{"_msg":"x","_msg":"y"}',
        b'{"a":1,"b":2,"a":3,"_msg":"x"}',
        b'{"a":{"b":1},"a.b":2}',
        b'{"a":[{"b":1},{"b":2},{"c":3}]}',
        b'{"host":["a","b"],"_msg":"x"}',
        b'{"_msg":"\xff\xfe"}',
        b'{"_msg":"half \\ud800 pair"}',
        b'{"a\\u0041":"x"}',
        b'{"_msg":"tab\tinside"}',
        b'{"n":NaN,"i":-Infinity,"big":' + b"9" * 5000 + b"}",
        b"{" + b",".join(b'"k%d":%d' % (k, k) for k in range(ATTRS_MAX_COUNT + 5)) + b"}",
        b'{"a":"' + b"x" * 20_000 + b'"}',
        b'{"' + b"n" * 200 + b'":1}',
        b'{"' + b"n" * 2000 + b'":1}',
        b'{"a":' * 21 + b"1" + b"}" * 21,
        b'{"a":' * 11 + b"1" + b"}" * 11,
        b'{"a":' * 20_000,
        b"[" * 100_000,
        b'{"_msg":"' + b"x" * RECORD_MAX_BYTES + b'"}',
        b'{"_msg":"' + b"x" * (RECORD_MAX_BYTES - 11) + b'"}',
        b'  {"_msg" : "x" , "a" : [ 1 , 2 ] , "o" : { } }  \r',
        b'{"_msg":"x"} {"_msg":"y"}',
        b'{"_msg":"x",}',
        b'{"a":01}',
        b'["_msg"]',
        b'"text"',
        b"7",
        b"{}",
        b'{"":"x","a":{"":"y"}}',
        b'{"log":"a first choice that a better one replaces","body":"and another","_msg":"x"}',
        b'{"instance":"db:9100","job":"node"}',
        b'{"level":"unheard","_msg":"x","facility":"moon"}',
    ],
)
def test_oddities_are_read_alike(line: bytes) -> None:
    check(b"\n".join([SEED_LINES[0], line, SEED_LINES[1], line]))


def test_more_different_names_than_the_table_holds() -> None:
    check(b"\n".join(b'{"_msg":"x","key%d":"v%d"}' % (k, k) for k in range(1500)))


def test_many_records_of_one_shape_stay_on_the_fast_way() -> None:
    body = b"\n".join([SEED_LINES[0]] * 500)
    found = fast(body)
    assert isinstance(found.logs.host, pa.DictionaryArray)
    assert rows_of(found.logs) == [slow(SEED_LINES[0])[0][0]] * 500


def test_a_long_body_is_read_in_parts() -> None:
    long = b'{"_msg":"%s","host":"h%d","k":"v"}'
    short = [long % (b"short", k) for k in range(300)]
    body = b"\n".join(short + [long % (b"x" * 200_000, k) if k % 7 else b'{"bad"' for k in range(60)])
    check(body)
    assert len(fast(body).refused) == 9


def test_no_record_is_no_row() -> None:
    assert len(fast(b"").logs) == 0
    assert len(fast(b"\n \r\n\t\n").logs) == 0
    assert rows_of(logs_of([])) == []


def test_attributes_far_larger_than_the_body_are_refused() -> None:
    nested = b'{"' + b"n" * 100 + b'":{' + b",".join(b'"%d":1' % k for k in range(100)) + b"}}"
    with pytest.raises(ValueError, match="smaller batches"):
        fast(b"\n".join([nested] * 4000))
