"""Remote write: what is read, what is refused, and that the compiled walker agrees with the library."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.intake.formats import labels
from forestall.intake.formats.labels import ITEM_MAX_CHARS, KnownSeries, SeriesName, name_series, spell_item
from forestall.intake.formats.remote_write import (
    WriteRequest,
    known_series,
    name_block,
    read,
    split_labels,
    walk,
    walk_slowly,
)
from forestall.intake.pushed import ROWS_MAX, decode_pushed, encode_pushed

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def body_of(*series):
    """(labels, samples) pairs as a body; samples are (value, ms)."""
    request = WriteRequest()
    for names, samples in series:
        one = request.timeseries.add()
        for name, value in names.items() if isinstance(names, dict) else names:
            one.labels.add(
                name=name if isinstance(name, bytes) else name.encode(),
                value=value if isinstance(value, bytes) else value.encode(),
            )
        for value, at_ms in samples:
            one.samples.add(value=value, timestamp=at_ms)
    return request.SerializeToString()


def rows(reading):
    """The samples as (host, metric, item, ms, value)."""
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


CPU = {"__name__": "node_cpu_seconds_total", "cpu": "0", "instance": "srv1:9100", "job": "node"}


def test_samples_keep_name_host_labels_time_and_value():
    reading = read(body_of((CPU, [(1.5, 1000), (2.5, 2000)])), known_series(), received_at_ms=0)
    item = '{cpu="0",instance=":9100",job="node"}'
    assert rows(reading) == [
        ("srv1", "node_cpu_seconds_total", item, 1000, 1.5),
        ("srv1", "node_cpu_seconds_total", item, 2000, 2.5),
    ]
    assert reading.refused_count == 0


def test_zero_time_and_zero_value_are_numbers():
    assert rows(read(body_of(({"__name__": "up"}, [(0.0, 0)])), known_series(), received_at_ms=0)) == [
        ("", "up", "", 0, 0.0)
    ]


@pytest.mark.parametrize(
    ("given_labels", "host", "item"),
    [
        ({"instance": "srv1:9100"}, "srv1", '{instance=":9100"}'),
        ({"instance": "srv1"}, "srv1", ""),
        ({"instance": "[2001:db8::1]:9100"}, "2001:db8::1", '{instance=":9100"}'),
        ({"instance": "2001:db8::1"}, "2001:db8::1", ""),
        ({"instance": "https://www.example.com:8443/x"}, "www.example.com",
         '{instance="https://www.example.com:8443/x"}'),
        ({"host": "a", "node": "b"}, "a", '{node="b"}'),
        ({"instance": "srv1:1", "host": "b"}, "srv1", '{host="b",instance=":1"}'),
        ({"hostname": "h"}, "h", ""),
        ({"job": "x"}, "", '{job="x"}'),
        ({"job": 'a"b\\c\nd', "empty": ""}, "", '{job="a\\"b\\\\c\\nd"}'),
    ],
)  # fmt: skip
def test_the_host_comes_from_the_labels_and_the_item_keeps_the_rest(given_labels, host, item):
    pairs = [(name.encode(), value.encode()) for name, value in {"__name__": "m", **given_labels}.items()]
    assert name_series(pairs) == SeriesName(host, "m", item)


def test_items_that_are_too_long_stay_different():
    one, other = (spell_item({"path": "x" * 400 + end}) for end in "ab")
    assert len(one) == len(other) == ITEM_MAX_CHARS
    assert one != other


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"job": "x"}, "no metric name"),
        ([("__name__", "m"), ("a", "1"), ("a", "2")], "twice"),
        ([("__name__", "m"), ("a", b"\xff")], "not UTF-8"),
        ([("__name__", "m"), ("", "x")], "no name"),
        ({"__name__": "m" * 200}, "longer than"),
        ([("__name__", "m")] + [(f"l{k}", "x") for k in range(200)], "more than"),
    ],
)
def test_a_series_that_cannot_be_named_is_refused_and_the_rest_is_taken(names, why):
    body = body_of((CPU, [(1, 1)]), (names, [(2, 1), (2, 2)]), (CPU, [(3, 3)]))
    known = known_series()
    for _ in range(2):
        reading = read(body, known, received_at_ms=0)
        assert [row[4] for row in rows(reading)] == [1, 3]
        assert reading.refused_count == 2
        assert reading.refused[0].place == 1
        assert why in reading.refused[0].reason


def test_stale_markers_are_left_out_and_not_numbers_are_counted():
    samples = [(1.0, 1), (STALE, 2), (math.nan, 3), (math.inf, 4), (2.0, 5), (1.0, -1), (1.0, 1 << 60)]
    reading = read(body_of((CPU, samples)), known_series(), received_at_ms=0)
    assert [row[3] for row in rows(reading)] == [1, 5]
    assert (reading.not_numbers, reading.refused_count) == (2, 2)
    assert [refused.reason.split(" (")[1] for refused in reading.refused] == ["2 times, first here)"]


def test_native_histograms_are_counted_and_exemplars_and_metadata_skipped():
    body = body_of((CPU, [(1, 1)]))
    inner = body[2 + (body[1] >= 0x80) :]
    more = inner + b"\x1a\x02\x12\x00" + b"\x22\x00"
    whole = b"\x0a" + bytes([len(more) & 0x7F | 0x80, len(more) >> 7]) + more + b"\x1a\x02\x08\x01"
    assert walk(whole) is not None
    reading = read(whole, known_series(), received_at_ms=0)
    assert len(rows(reading)) == 1
    assert reading.refused_count == 1
    assert "native histograms" in reading.refused[0].reason


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05\x0a", b"hello world", b"\xff" * 20])
def test_what_is_no_write_request_says_what_to_send(body):
    with pytest.raises(ValueError, match=r"send remote write 1\.0"):
        read(body, known_series(), received_at_ms=0)


def test_an_empty_body_has_no_samples():
    assert len(read(b"", known_series(), received_at_ms=0).pushed.samples) == 0


def test_too_many_samples_are_refused_as_a_whole():
    with pytest.raises(ValueError, match="max_samples_per_send"):
        read(b"\x0a\x00" * (ROWS_MAX + 1), known_series(), received_at_ms=0)
    many = b"\x12\x00" * (ROWS_MAX + 1)
    length = len(many)
    head = bytes([0x0A, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    with pytest.raises(ValueError, match="max_samples_per_send"):
        read(head + many, known_series(), received_at_ms=0)


def test_what_encoders_write_never_needs_the_slow_way():
    assert walk(body_of((CPU, [(1, 1)]), (CPU, []), ({}, [(1, 1)]))) is not None


def test_label_sets_are_remembered_and_the_memory_is_bounded():
    known = KnownSeries(name_block, blocks_max=50)
    for turn in range(20):
        series = [({**CPU, "cpu": str(turn * 30 + k)}, [(float(k), k)]) for k in range(40)]
        reading = read(body_of(*series), known, received_at_ms=0)
        assert [row[2] for row in rows(reading)] == [
            f'{{cpu="{turn * 30 + k}",instance=":9100",job="node"}}' for k in range(40)
        ]
        assert len(known) <= 50


def test_a_body_with_more_series_than_are_remembered_is_read():
    known = KnownSeries(name_block, blocks_max=10)
    reading = read(
        body_of(*(({**CPU, "cpu": str(k)}, [(1.0, k)]) for k in range(300))), known, received_at_ms=0
    )
    assert [row[2] for row in rows(reading)] == [
        f'{{cpu="{k}",instance=":9100",job="node"}}' for k in range(300)
    ]


def test_different_labels_with_equal_hashes_stay_apart():
    """The bytes decide, not the hash."""
    known = known_series()
    read(body_of((CPU, [(1, 1)])), known, received_at_ms=0)
    known._hashes[:] = 0
    body = np.frombuffer(body_of(({**CPU, "cpu": "9"}, [(1, 1)])), np.uint8)
    found = walk(body.tobytes())
    codes, hashed = np.zeros(1, np.int32), np.zeros(1, np.uint64)
    seed = np.uint64(known._seed)
    labels._look_up(
        found.buffer, found.starts, found.ends, seed, known._slots, known._hashes, known._starts,
        known._sizes, known._arena, codes, hashed,
    )  # fmt: skip
    assert codes[0] == -1


LABEL = st.tuples(
    st.sampled_from(["__name__", "instance", "job", "host", "a", "b", ""]),
    st.one_of(st.text(max_size=12), st.sampled_from(["srv:1", "x"])),
)
SAMPLE = st.tuples(
    st.one_of(st.floats(), st.sampled_from([0.0, STALE, 1.0])), st.integers(-(1 << 63), (1 << 63) - 1)
)
SERIES = st.tuples(st.lists(LABEL, max_size=6), st.lists(SAMPLE, max_size=4))


@given(st.lists(SERIES, max_size=6))
@settings(max_examples=100, deadline=None)
def test_the_walker_finds_what_the_library_finds(series):
    body = body_of(*series)
    fast, slow = walk(body), walk_slowly(body)
    assert fast is not None
    same(fast, slow)


@given(st.lists(SERIES, max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bodies_are_read_as_the_library_does_or_left_to_it(series, data):
    body = bytearray(body_of(*series))
    for _ in range(data.draw(st.integers(0, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))])
    fast = walk(body)
    try:
        slow = walk_slowly(body)
    except ValueError:
        slow = None  # damaged within a label: told when the labels are read
    if fast is not None and slow is not None:
        same(fast, slow)
    try:
        reading = read(body, known_series(), received_at_ms=0)
    except ValueError:
        return
    decode_pushed(encode_pushed(reading.pushed))


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(body):
    try:
        read(body, known_series(), received_at_ms=0)
    except ValueError:
        pass


def same(fast, slow):
    """The two walks found the same."""

    def of(found):
        blocks = [
            split_labels(found.buffer[a:b].tobytes())
            for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)
        ]
        return (
            blocks,
            found.counts.tolist(),
            found.at_ms.tolist(),
            found.value.view(np.uint64).tolist(),
            found.left_out.tolist(),
            found.where.tolist(),
        )

    assert of(fast) == of(slow)
