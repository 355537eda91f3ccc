"""Loki's push: JSON and protobuf mean the same, the walker finds what the library finds."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.intake.formats import Reading
from forestall.intake.formats.json_record import RECORD_MAX_BYTES
from forestall.intake.formats.loki import TIME_NAME, Table, read_json, read_protobuf, table_of_json
from forestall.intake.formats.loki_json import walk_json
from forestall.intake.formats.loki_labels import read_labels
from forestall.intake.formats.loki_wire import Entries, PushRequest, walk, walk_slowly
from forestall.intake.pushed import ROWS_MAX, decode_pushed, encode_pushed

NOW = 1_795_413_600_000  # 2026-11-23T06:00:00Z
NOW_NS = NOW * 1_000_000

Stream = tuple[dict[str, str], list[tuple[int, str, dict[str, str]]]]


def as_json(streams: list[Stream]) -> bytes:
    return json.dumps(
        {
            "streams": [
                {
                    "stream": labels,
                    "values": [
                        [str(at), line, more] if more else [str(at), line] for at, line, more in lines
                    ],
                }
                for labels, lines in streams
            ]
        }
    ).encode()


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def as_protobuf(streams: list[Stream]) -> bytes:
    push = PushRequest()
    for labels, lines in streams:
        stream = push.streams.add()
        stream.labels = (
            "{" + ", ".join(f"{name}={quoted(text)}" for name, text in labels.items()) + "}"
        ).encode()
        for at, line, more in lines:
            entry = stream.entries.add(line=line.encode())
            entry.time.seconds, entry.time.nanos = divmod(at, 10**9)
            for name, text in more.items():
                entry.metadata.add(name=name.encode(), value=text.encode())
    sent: bytes = push.SerializeToString()
    return sent


def rows(reading: Reading) -> list[tuple[Any, ...]]:
    logs = reading.pushed.logs
    assert decode_pushed(encode_pushed(reading.pushed)).logs.message.to_pylist() == logs.message.to_pylist()
    return list(
        zip(
            logs.at_ms.tolist(), logs.severity.tolist(), logs.facility.tolist(), logs.host.to_pylist(),
            logs.source.to_pylist(), logs.message.to_pylist(), logs.raw.to_pylist(), logs.attrs.to_pylist(),
            strict=True,
        )
    )  # fmt: skip


def test_labels_and_metadata_say_whose_and_what() -> None:
    streams: list[Stream] = [
        (
            {"job": "varlogs", "host": "web1", "level": "error", "env": "prod"},
            [(NOW_NS - 1_234_567, "first\n", {}), (NOW_NS, "second", {"trace_id": "abc", "level": "warn"})],
        )
    ]
    expected = [
        (NOW - 2, 3, 1, "web1", "varlogs", "first", "", '{"env":"prod"}'),
        (NOW, 4, 1, "web1", "varlogs", "second", "", '{"env":"prod","trace_id":"abc"}'),
    ]
    assert rows(read_json(as_json(streams), received_at_ms=NOW)) == expected
    assert rows(read_protobuf(as_protobuf(streams), received_at_ms=NOW)) == expected


def test_names_that_are_of_lines_in_other_formats_are_attributes_here() -> None:
    found = rows(
        read_json(as_json([({"message": "m", "time": "t"}, [(NOW_NS, "line", {})])]), received_at_ms=NOW)
    )
    assert found[0][5:] == ("line", "", '{"message":"m","time":"t"}')


def test_a_time_that_is_not_believed_is_kept() -> None:
    streams: list[Stream] = [
        ({"a": "b"}, [(10**18, "old", {}), (0, "none", {})]),
        ({}, [(10**18, "bare", {})]),
    ]
    for found in (
        rows(read_json(as_json(streams), received_at_ms=NOW)),
        rows(read_protobuf(as_protobuf(streams), received_at_ms=NOW)),
    ):
        assert [row[0] for row in found] == [NOW] * 3
        assert [row[7] for row in found] == [
            f'{{"{TIME_NAME}":"{10**18}","a":"b"}}', '{"a":"b"}', f'{{"{TIME_NAME}":"{10**18}"}}',
        ]  # fmt: skip


def test_bad_lines_are_named_and_the_others_taken() -> None:
    body = {
        "streams": [
            {
                "stream": {},
                "values": [[str(NOW_NS), "good"], ["soon", "bad"], [NOW_NS, "number"], ["", "bad"]],
            },
            {"labels": "nonsense", "entries": [{"ts": "2026-11-23T06:00:00Z", "line": "lost"}]},
            {"stream": {}, "values": [[str(NOW_NS), "x" * (RECORD_MAX_BYTES + 1)], [str(NOW_NS), "last"]]},
        ]
    }
    found = read_json(json.dumps(body).encode(), received_at_ms=NOW)
    assert [row[5] for row in rows(found)] == ["good", "number", "last"]
    assert found.refused_count == 4
    assert [one.place for one in found.refused] == [1, 3, 4, 5]
    assert "nanoseconds" in found.refused[0].reason
    assert "braces" in found.refused[2].reason
    assert "at most" in found.refused[3].reason


def test_json_of_old() -> None:
    body = {
        "streams": [
            {"labels": '{app="x",q="a\\"b"}', "entries": [{"ts": "2026-11-23T06:00:00.5Z", "line": "l"}]}
        ]
    }
    assert rows(read_json(json.dumps(body).encode(), received_at_ms=NOW)) == [
        (NOW + 500, 6, 1, "", "x", "l", "", '{"q":"a\\"b"}')
    ]


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    push = PushRequest()
    stream = push.streams.add(labels=b'{job="\xff"}')
    stream.entries.add(line=b"a\xc3").time.seconds = NOW // 1000
    stream.entries.add(line=b"\xa9b").time.seconds = NOW // 1000
    found = rows(read_protobuf(push.SerializeToString(), received_at_ms=NOW))
    assert [row[5] for row in found] == ["a\ufffd", "\ufffdb"]
    assert found[0][4] == "\ufffd"
    body = b'{"streams":[{"stream":{},"values":[["%d","\xff"]]}]}' % NOW_NS
    assert [row[5] for row in rows(read_json(body, received_at_ms=NOW))] == ["\ufffd"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"streams":1}',
        b'{"streams":[{"values":[["1"]]}]}',
        b'{"streams":' * 9999,
        b"\xff",
    ],
)
def test_bodies_that_are_no_push(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a push"):
        read_json(body, received_at_ms=NOW)


def test_too_many_lines() -> None:
    lines = [(NOW_NS, "", {})] * (ROWS_MAX + 1)
    for read, spell in ((read_json, as_json), (read_protobuf, as_protobuf)):
        with pytest.raises(ValueError, match="smaller batches"):
            read(spell([({}, lines)]), received_at_ms=NOW)


def test_what_takes_far_more_memory_than_its_length_is_refused() -> None:
    with pytest.raises(ValueError, match="braces"):
        read_json(b'{"streams":[' + b"{}," * 2_000_000 + b"{}]}", received_at_ms=NOW)
    with pytest.raises(ValueError, match="at most"):
        read_protobuf(b"\x0a\x00" * 1_000_000 + b"\x7a\x00" + b"\x0a\x00" * 2_000_000, received_at_ms=NOW)


def test_labels_as_text() -> None:
    assert read_labels('{a="1", b=`x"y`,c="\\x41\\u00e9\\n\\\\",}') == {"a": "1", "b": 'x"y', "c": "Aé\n\\"}
    assert read_labels("{}") == {}
    assert "character 2" in str(read_labels("{a}"))
    assert "braces" in str(read_labels("a=1"))
    assert "at most" in str(read_labels("{" * 100_000))
    assert read_labels('{a="\\ud800"}') == {"a": "\ufffd"}


NAME = st.sampled_from(["job", "host", "level", "a", "b_c", "service_name"])
STREAMS = st.lists(
    st.tuples(
        st.dictionaries(NAME, st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=3),
        st.lists(
            st.tuples(
                st.integers(0, NOW_NS * 2),
                st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
                st.dictionaries(
                    NAME, st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=2
                ),
            ),
            max_size=5,
        ),
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(STREAMS)
def test_both_spellings_mean_the_same(streams: list[Stream]) -> None:
    of_json = read_json(as_json(streams), received_at_ms=NOW)
    of_protobuf = read_protobuf(as_protobuf(streams), received_at_ms=NOW)
    assert rows(of_json) == rows(of_protobuf)
    assert of_json.refused == of_protobuf.refused == ()


def told(table: Table) -> list[tuple[Any, ...]]:
    return [
        (at, table.sets[number], line)
        for at, number, line in zip(
            table.at_ns.tolist(), table.which.tolist(), table.line.to_pylist(), strict=True
        )
    ]


JSON_TEXT = st.one_of(
    st.text(max_size=6), st.sampled_from(['"', "\\", "\n", "\u2028", "\U0001f600", "[{,", "x\r\n"])
)
JSON_STREAMS = st.lists(
    st.tuples(
        st.dictionaries(NAME, JSON_TEXT, max_size=3),
        st.lists(
            st.tuples(st.integers(0, 1 << 63), JSON_TEXT, st.dictionaries(NAME, JSON_TEXT, max_size=2)),
            max_size=5,
        ),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    JSON_STREAMS,
    st.sampled_from([None, (",", ":")]),
    st.sampled_from([None, 2]),
    st.booleans(),
    st.lists(
        st.tuples(
            st.integers(0, 500),
            st.integers(0, 3),
            st.one_of(
                st.binary(max_size=2),
                st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"}", b" ", b"\n", b"9"]),
            ),
        ),
        max_size=3,
    ),
)
def test_the_walker_of_json_finds_what_msgspec_finds(
    streams: list[Stream], separators: Any, indent: Any, ascii: bool, damages: list[tuple[int, int, bytes]]
) -> None:
    content = json.loads(as_json(streams))
    text = json.dumps(content, separators=separators, indent=indent, ensure_ascii=ascii)
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    for place, length, instead in damages:
        at = place % (len(body) + 1)
        body[at : at + length] = instead
    walked = walk_json(bytes(body))
    if walked is not None:
        assert told(Table(*walked, {})) == told(table_of_json(bytes(body)))


def test_plain_json_is_walked() -> None:
    streams: list[Stream] = [
        ({"a": "b"}, [(NOW_NS, 'é "q" \\', {"k": "v"}), (1, "", {})]),
        ({}, []),
        ({"c": ""}, []),
    ]
    for indent in (None, 1):
        text = json.dumps(json.loads(as_json(streams)), indent=indent)
        walked = walk_json(text.encode())
        assert walked is not None
        assert told(Table(*walked, {})) == [(NOW_NS, {"a": "b", "k": "v"}, 'é "q" \\'), (1, {"a": "b"}, "")]


def spelled(entries: Entries) -> list[tuple[Any, ...]]:
    return [
        (at, entries.sets[number], line)
        for at, number, line in zip(
            entries.at_ns.tolist(), entries.which.tolist(), entries.line.to_pylist(), strict=True
        )
    ]


@settings(max_examples=200, deadline=None)
@given(
    STREAMS, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 2), st.binary(max_size=2)), max_size=3)
)
def test_the_walker_finds_what_the_library_finds(
    streams: list[Stream], damages: list[tuple[int, int, bytes]]
) -> None:
    body = bytearray(as_protobuf(streams))
    for place, length, instead in damages:
        at = place % (len(body) + 1)
        body[at : at + length] = instead
    found = walk(bytes(body))
    if not damages:
        assert found is not None
    if found is not None:
        assert spelled(found) == spelled(walk_slowly(bytes(body)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (read_json, read_protobuf):
        try:
            found = read(body, received_at_ms=NOW)
        except ValueError:
            continue
        assert len(rows(found)) >= 0
