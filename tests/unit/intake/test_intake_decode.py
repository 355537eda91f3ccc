"""Decoding and routing: columns with the right client and asset; bad input becomes a rejection."""

import json
import math
from itertools import pairwise

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_frames import (
    ACME,
    AGENT,
    FOREIGN,
    NOW_MS,
    OTHER,
    SERVER,
    SWITCH,
    batch_frame,
    make_directory,
    syslog_frame,
)

from forestall.intake.decode import Decoded, DecodeState, decode, weigh
from forestall.intake.envelope import Envelope, decode_envelope, encode_envelope, pack_lines, unpack_lines
from forestall.intake.segments import Position
from forestall.kernel.errors import Rejected
from forestall.kernel.ids import to_number
from forestall.kernel.observations import BATCH_MAX_BYTES, LogRecord, Observations, Outcome, Sample, Snapshot

DIRECTORY = make_directory()


def decoded(*frames: bytes, state: DecodeState | None = None) -> Decoded:
    return decode(
        [(Position(1, k), frame) for k, frame in enumerate(frames)], DIRECTORY, state or DecodeState()
    )


def test_syslog_is_routed_by_sender_and_by_host_name_within_its_client() -> None:
    lines = [
        b"<13>Nov 23 10:00:00 %s app: m" % host
        for host in (b"unknown", b"switch-1", b"MAIL", b"srv1", b"10.0.0.6")
    ]
    result = decoded(
        syslog_frame(lines), syslog_frame(lines[:2], "10.1.0.5"), syslog_frame(lines[:1], "2001:db8::5")
    )
    assert result.logs.asset.tolist() == [
        to_number(asset) for asset in (SERVER, SWITCH, SERVER, SERVER, SWITCH, FOREIGN, FOREIGN, SERVER)
    ]
    assert result.logs.client.tolist() == [to_number(ACME)] * 5 + [to_number(OTHER)] * 2 + [to_number(ACME)]
    assert result.logs.message.to_pylist() == ["m"] * 8
    assert result.rejected == []


def test_the_clients_zone_is_tried_for_times_without_one() -> None:
    result = decoded(
        syslog_frame([b"<13>Nov 23 05:00:00 h a: m"]), syslog_frame([b"<13>Nov 23 10:00:00 h a: m"])
    )
    assert result.logs.at_ms.tolist() == [NOW_MS - 30_000] * 2


def test_unknown_senders_wait_in_quarantine_with_what_to_do() -> None:
    frames = syslog_frame([b"a", b"b"], "10.7.7.7"), syslog_frame([b"c"], "10.9.9.9")
    result = decoded(*frames)
    assert len(result.logs) == 0 and result.rejected == []
    first, second = result.strays
    assert (first.door, first.sender, first.count, first.example, first.client) == (
        "syslog",
        "10.7.7.7",
        2,
        "a",
        "",
    )
    assert first.frame == frames[0] and first.position == Position(1, 0)
    assert "give that address to an asset" in first.reason
    assert "2 clients" in second.reason
    assert result.strangers == frozenset()


def test_what_went_into_quarantine_stays_there_when_it_is_decoded_again() -> None:
    frames = [(Position(1, k), syslog_frame([b"m"], "10.0.0.6")) for k in range(3)]
    held = {("", "10.0.0.6"): [(Position(1, 0), Position(1, 1))]}
    result = decode(frames, DIRECTORY, DecodeState(), held)
    assert len(result.logs) == 1 and result.strays == [] and result.rejected == []


def test_a_frame_that_is_fed_again_is_taken_once() -> None:
    envelope = decode_envelope(syslog_frame([b"m"]))
    first, second = (encode_envelope(msgspec.structs.replace(envelope, again=n)) for n in (7, 8))
    result = decoded(first, second, first)
    assert len(result.logs) == 2 and result.repeated_count == 1
    assert len(decoded(first, second, state=result.state).logs) == 0


def test_a_batch_becomes_columns() -> None:
    outcome = Outcome(
        NOW_MS, "p1", "tcp", "10.0.0.6:22", False, "refused", 3.5, "answer", [Sample(NOW_MS, "x", "", 1.0)]
    )
    result = decoded(
        batch_frame(
            1,
            Observations(
                samples=[Sample(NOW_MS - 5, "load.per_core", "", 0.5), Sample(NOW_MS + 10**9, "a", "b", 2.0)],
                logs=[LogRecord(NOW_MS, 3, "cron", "failed", 9, {"unit": "x"})],
                snapshots=[Snapshot(NOW_MS, "packages", "bash 5")],
            ),
            Observations(asset=SWITCH, outcomes=[outcome]),
        )
    )
    samples, logs = result.samples, result.logs
    assert samples.metric.to_pylist() == ["load.per_core", "a", "x", "probe.up", "probe.took_ms"]
    assert samples.item.to_pylist() == ["", "b", "", "tcp 10.0.0.6:22", "tcp 10.0.0.6:22"]
    assert samples.value.tolist() == [0.5, 2.0, 1.0, 0.0, 3.5]
    assert samples.at_ms.tolist() == [NOW_MS - 5, *[NOW_MS] * 4]
    assert samples.asset.tolist() == [to_number(SERVER)] * 2 + [to_number(SWITCH)] * 3
    assert logs.source.to_pylist() == ["cron", "probe"]
    assert logs.severity.tolist() == [3, 4]
    assert logs.message.to_pylist() == ["failed", "refused"]
    assert json.loads(logs.attrs[1].as_py()) == {"kind": "tcp", "target": "10.0.0.6:22", "answer": "answer"}
    (snapshot,) = result.snapshots
    assert (snapshot.client, snapshot.asset, snapshot.snapshot.text) == (ACME, SERVER, "bash 5")
    (placed,) = result.outcomes
    assert (placed.asset, placed.asset_number, placed.outcome) == (SWITCH, to_number(SWITCH), outcome)
    assert result.last_seen == {AGENT: NOW_MS}
    assert result.state.last_batch == {AGENT: 1}


def test_a_batch_that_comes_twice_is_taken_once() -> None:
    one = Observations(samples=[Sample(NOW_MS, "a", "", 1.0)])
    result = decoded(batch_frame(4, one), batch_frame(5, one), batch_frame(5, one))
    assert (len(result.samples), result.repeated_count, result.rejected) == (2, 1, [])
    again = decoded(batch_frame(5, one), batch_frame(6, one), state=result.state)
    assert (len(again.samples), again.repeated_count) == (1, 1)
    backwards = decoded(batch_frame(1, one), state=again.state)
    assert "batch 1 came after 6" in backwards.rejected[0].reason


def test_an_asset_of_another_client_does_not_exist() -> None:
    one = Observations(asset=FOREIGN, samples=[Sample(NOW_MS, "a", "", 1.0)])
    result = decoded(batch_frame(1, one))
    assert len(result.samples) == 0
    assert result.rejected[0].client == ACME
    assert result.strangers == {FOREIGN}
    stranger = decoded(batch_frame(1, one, collector=SWITCH), batch_frame(2, one, client=OTHER))
    assert [r.reason[:14] for r in stranger.rejected] == ["the collector "] * 2
    assert stranger.strangers == {SWITCH, AGENT}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"rubbish", "not compressed with zstd"),
        (zstandard.compress(b"rubbish"), "not a batch"),
        (zstandard.compress(bytes(BATCH_MAX_BYTES + 1)), "at most"),
    ],
)
def test_a_bad_batch_is_rejected_and_the_rest_goes_on(body: bytes, reason: str) -> None:
    bad = encode_envelope(Envelope("observations", NOW_MS, ACME, AGENT, "", body))
    result = decoded(bad, b"\xff not an envelope", syslog_frame([b"<13>fine"]))
    assert [reason in result.rejected[0].reason, result.rejected[1].door] == [True, "queue"]
    assert len(result.logs) == 1
    assert weigh(bad) <= BATCH_MAX_BYTES


def test_a_bomb_without_its_size_is_stopped_at_the_limit() -> None:
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = packer.compress(bytes(100 << 20)) + packer.flush()
    result = decoded(encode_envelope(Envelope("observations", NOW_MS, ACME, AGENT, "", bomb)))
    assert len(result.rejected) == 1


def test_samples_that_are_no_numbers_are_rejected() -> None:
    rows = [Sample(NOW_MS, "a", "", value) for value in (math.nan, 1.0, math.inf)]
    result = decoded(batch_frame(1, Observations(samples=rows)))
    assert result.samples.value.tolist() == [1.0]
    assert result.rejected[0].count == 2


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(
        st.binary(max_size=40) | st.lists(st.binary(max_size=50), max_size=5).map(syslog_frame), max_size=6
    )
)
def test_any_frames_are_records_or_rejections(frames: list[bytes]) -> None:
    result = decoded(*frames)
    lines = 0
    for frame in frames:
        try:
            lines += len(unpack_lines(decode_envelope(frame).body)[0]) - 1
        except ValueError:
            lines += 1
    assert len(result.logs) + sum(one.count for one in result.rejected) == lines


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_lines_are_unpacked_as_they_were_packed(lines: list[bytes]) -> None:
    offsets, buffer = unpack_lines(pack_lines(lines))
    assert [bytes(buffer[a:b]) for a, b in pairwise(offsets.tolist())] == lines


def test_the_directory_answers_for_one_client_only() -> None:
    place = DIRECTORY.place_of_peer("10.0.0.5")
    assert not isinstance(place, Rejected)
    assert DIRECTORY.place(FOREIGN, client=ACME) is None
    assert DIRECTORY.place_of_host("srv1.acme.example.", place).asset == SERVER
    assert DIRECTORY.zone_ms(ACME, NOW_MS) == -5 * 3_600_000
    assert DIRECTORY.zone_ms(OTHER, NOW_MS) == 0


def test_configurations_that_an_outcome_carries_are_its_assets() -> None:
    shot = Snapshot(at_ms=NOW_MS, kind="running", text="vlan 20\n")
    outcome = Outcome(
        at_ms=NOW_MS,
        probe="p",
        kind="device",
        target="10.0.0.6",
        ok=True,
        reason="",
        took_ms=1,
        snapshots=[shot],
    )
    found = decoded(batch_frame(1, Observations(asset=SWITCH, outcomes=[outcome])))
    assert [(one.asset, one.collector, one.snapshot) for one in found.snapshots] == [(SWITCH, AGENT, shot)]
    assert found.outcomes[0].outcome.snapshots == []
