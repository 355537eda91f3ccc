"""Pushed records: routed by host inside the token's client, the rest waits; parts fit into frames."""

import numpy as np
import pyarrow as pa
import pytest
from intake_frames import (
    ACME,
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
from forestall.intake.envelope import Envelope, decode_envelope, encode_envelope
from forestall.intake.parting import part_pushed
from forestall.intake.pushed import (
    Pushed,
    PushedLogs,
    PushedOutcome,
    PushedSamples,
    decode_pushed,
    encode_pushed,
    no_logs,
    no_samples,
)
from forestall.intake.segments import Position
from forestall.intake.unpacking import Unusable
from forestall.kernel.ids import to_number
from forestall.kernel.observations import LogRecord, Observations, Outcome, Sample

DIRECTORY = make_directory()


def logs_of(*hosts: str, at_ms: int = NOW_MS, coded: bool = False) -> PushedLogs:
    count = len(hosts)
    words = pa.array(hosts, pa.string())
    text = pa.array([f"message {k}" for k in range(count)], pa.string())
    none = pa.array([""] * count, pa.string())
    return PushedLogs(
        np.full(count, at_ms),
        np.full(count, 6, np.uint8),
        np.full(count, 1, np.uint8),
        words.dictionary_encode() if coded else words,
        none.dictionary_encode() if coded else none,
        text,
        none,
        none,
    )


def samples_of(*hosts: str, coded: bool = False) -> PushedSamples:
    words = pa.array(hosts, pa.string())
    names = pa.array([f"m{k}" for k in range(len(hosts))], pa.string())
    items = pa.array([""] * len(hosts), pa.string())
    if coded:
        words, names, items = words.dictionary_encode(), names.dictionary_encode(), items.dictionary_encode()
    return PushedSamples(
        words, names, items, np.full(len(hosts), NOW_MS), np.arange(len(hosts), dtype=np.float64)
    )


def frame(
    pushed: Pushed,
    *,
    client: str = ACME,
    asset: str = "",
    peer: str = "198.51.100.7",
    door: str = "json_lines",
) -> bytes:
    return encode_envelope(
        Envelope("pushed", NOW_MS, client, "", peer, encode_pushed(pushed), transport=door, asset=asset)
    )


def decoded(*frames: bytes) -> Decoded:
    return decode([(Position(1, k), one) for k, one in enumerate(frames)], DIRECTORY, DecodeState())


@pytest.mark.parametrize("coded", [False, True])
def test_hosts_are_routed_inside_the_tokens_client(coded: bool) -> None:
    hosts = ["srv1.acme.example", "SWITCH-1", "10.0.0.6", "mail", "srv1"]
    pushed = Pushed(logs_of(*hosts, coded=coded), samples_of(*hosts, coded=coded))
    result = decoded(frame(pushed), frame(Pushed(logs_of("srv1"), no_samples()), client=OTHER))
    wanted = [to_number(asset) for asset in (SERVER, SWITCH, SWITCH, SERVER, SERVER)]
    assert result.logs.asset.tolist() == [*wanted, to_number(FOREIGN)]
    assert result.logs.client.tolist() == [to_number(ACME)] * 5 + [to_number(OTHER)]
    assert result.logs.host.to_pylist()[:5] == hosts
    assert result.samples.asset.tolist() == wanted
    assert result.samples.metric.to_pylist() == [f"m{k}" for k in range(5)]
    assert result.strays == [] and result.rejected == []


def test_what_names_no_known_host_is_about_the_tokens_asset() -> None:
    result = decoded(frame(Pushed(logs_of("unheard-of", "", "switch-1"), no_samples()), asset=SERVER))
    assert result.logs.asset.tolist() == [to_number(asset) for asset in (SERVER, SERVER, SWITCH)]


def test_who_names_no_host_is_known_by_address_within_the_tokens_client_only() -> None:
    pushed = Pushed(logs_of(""), no_samples())
    assert decoded(frame(pushed, peer="10.0.0.6")).logs.asset.tolist() == [to_number(SWITCH)]
    foreign = decoded(frame(pushed, peer="10.1.0.5"))
    assert len(foreign.logs) == 0
    assert [(stray.client, stray.sender) for stray in foreign.strays] == [(ACME, "10.1.0.5")]


def test_unknown_hosts_wait_each_for_itself_and_come_back_whole() -> None:
    hosts = ["new-a", "switch-1", "new-b", "new-a"]
    pushed = Pushed(
        logs_of(*hosts),
        samples_of("new-a", "switch-1"),
        (PushedOutcome(Outcome(NOW_MS, "p", "ping", "t", False, "late", 1.0), host="new-b"),),
    )
    result = decoded(frame(pushed))
    assert result.logs.message.to_pylist() == ["message 1"] and len(result.samples) == 1
    first, second = result.strays
    assert (first.sender, first.client, first.count, first.example) == ("new-a", ACME, 3, "message 0")
    assert (second.sender, second.count) == ("new-b", 2)
    again = decode_pushed(decode_envelope(first.frame).body)
    assert again.logs.message.to_pylist() == ["message 0", "message 3"] and len(again.samples) == 1


def test_more_unknown_hosts_than_are_kept_apart_are_counted() -> None:
    result = decoded(frame(Pushed(logs_of(*(f"h{k}" for k in range(250))), no_samples())))
    assert len(result.strays) == 101
    assert sum(stray.count for stray in result.strays) == 250
    assert (result.strays[-1].sender, result.strays[-1].count, result.strays[-1].frame) == (
        "(others)",
        150,
        b"",
    )


def test_a_listener_without_tokens_knows_its_sender_by_address() -> None:
    pushed = Pushed(logs_of("", "switch-1", "who"), no_samples())
    known = decoded(frame(pushed, client="", peer="10.0.0.5", door="traps"))
    assert known.logs.asset.tolist() == [to_number(asset) for asset in (SERVER, SWITCH, SERVER)]
    unknown = decoded(frame(pushed, client="", peer="10.7.7.7", door="traps"))
    assert {(s.door, s.client, s.sender) for s in unknown.strays} == {("traps", "", "10.7.7.7")}
    assert sum(s.count for s in unknown.strays) == 3


def test_a_host_that_a_listener_names_is_known_or_waits() -> None:
    pushed = Pushed(no_logs(), samples_of("switch-1", "who", ""))
    known = decoded(frame(pushed, client="", peer="10.0.0.5", door="zabbix"))
    assert known.samples.asset.tolist() == [to_number(SWITCH), to_number(SERVER)]
    assert [(s.door, s.client, s.sender, s.count) for s in known.strays] == [("zabbix", ACME, "who", 1)]
    again = decoded(known.strays[0].frame)
    assert [(s.door, s.client, s.sender, s.count) for s in again.strays] == [("zabbix", ACME, "who", 1)]


def test_times_in_the_future_are_the_time_of_receiving() -> None:
    late = decoded(frame(Pushed(logs_of("switch-1", at_ms=NOW_MS + 5 * 60_000 + 1), no_samples())))
    assert late.logs.at_ms.tolist() == [NOW_MS]


def test_outcomes_become_outcomes_samples_and_a_line() -> None:
    outcome = Outcome(NOW_MS, "p", "heartbeat", "nightly", False, "exit status 1", 12.0)
    pushed = Pushed(
        no_logs(),
        no_samples(),
        (PushedOutcome(outcome, asset=SWITCH), PushedOutcome(outcome, asset=FOREIGN), PushedOutcome(outcome)),
    )
    result = decoded(frame(pushed, asset=SERVER))
    assert [placed.asset for placed in result.outcomes] == [SWITCH, SERVER]
    assert result.samples.metric.to_pylist() == ["probe.up", "probe.took_ms"] * 2
    assert result.logs.message.to_pylist() == ["exit status 1"] * 2
    assert "is no asset of this client" in result.rejected[0].reason and result.strangers == {FOREIGN}


def test_dictionaries_and_strings_of_several_frames_are_joined() -> None:
    batch = batch_frame(1, Observations(samples=[Sample(NOW_MS, "own", "x", 1.0)]))
    coded = frame(Pushed(no_logs(), samples_of("switch-1", "switch-1", coded=True)))
    plain = frame(Pushed(no_logs(), samples_of("switch-1")))
    assert decoded(batch, coded, plain).samples.metric.to_pylist() == ["own", "m0", "m1", "m0"]


def test_a_damaged_body_is_refused_and_the_rest_goes_on() -> None:
    bad = encode_envelope(Envelope("pushed", NOW_MS, ACME, "", "1.2.3.4", b"rubbish", transport="otlp"))
    result = decoded(bad, frame(Pushed(logs_of("switch-1"), no_samples())))
    assert [one.door for one in result.rejected] == ["otlp"] and len(result.logs) == 1
    assert weigh(bad) == 7


def test_a_large_body_is_parted_and_nothing_is_lost() -> None:
    hosts = [f"h{k}" for k in range(1000)]
    pushed = Pushed(logs_of(*hosts, coded=True), samples_of(*hosts, coded=True))
    parts = [decode_pushed(body) for body in part_pushed(pushed, most=16_000)]
    assert len(parts) > 4
    assert [host for part in parts for host in part.logs.host.to_pylist()] == hosts
    assert [name for part in parts for name in part.samples.metric.to_pylist()] == [
        f"m{k}" for k in range(1000)
    ]


def test_a_record_that_fits_into_no_frame_is_refused() -> None:
    with pytest.raises(Unusable, match="one record is larger"):
        part_pushed(Pushed(logs_of("x" * 10_000), no_samples()), most=5_000)


def test_logs_of_several_kinds_of_frames_are_joined_whatever_their_texts_are() -> None:
    batch = batch_frame(1, Observations(logs=[LogRecord(NOW_MS, 6, "own", "first")]))
    frames = [
        batch,
        frame(Pushed(logs_of("switch-1", "mail", coded=True), no_samples())),
        frame(Pushed(logs_of("switch-1"), no_samples())),
        syslog_frame([b"<13>Nov 23 10:00:00 switch-1 app: last"]),
    ]
    result = decoded(*frames)
    assert sorted(result.logs.message.to_pylist()) == ["first", "last", "message 0", "message 0", "message 1"]
    by_message = dict(zip(result.logs.message.to_pylist(), result.logs.source.to_pylist(), strict=True))
    assert (by_message["first"], by_message["last"]) == ("own", "app")
