"""Quarantine: nothing is kept twice or lost through crashes, one click lets go of it, tenants stay apart."""

from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.estate.models import Asset, Client
from forestall.estate.tenancy import NOBODY
from forestall.intake.decode import DecodeState
from forestall.intake.envelope import Envelope, Only, decode_envelope, encode_envelope, pack_lines
from forestall.intake.feed import Feed, Pace
from forestall.intake.feeding_again import Appends
from forestall.intake.models import Stranger
from forestall.intake.poison import list_set_aside, order_replay, throw_away
from forestall.intake.pushed import Pushed, PushedLogs, encode_pushed, no_samples
from forestall.intake.quarantine import Quarantine, Room
from forestall.intake.queries import (
    count_strangers,
    find_stranger,
    list_strangers,
    load_directory,
    sum_quarantine,
)
from forestall.intake.queue import START as BEGIN
from forestall.intake.queue import Position, QueueReader, QueueWriter
from forestall.intake.ranges import Range
from forestall.intake.strangers import assign_stranger, heed_stranger, ignore_stranger, make_asset_of
from forestall.journal.models import Entry
from forestall.kernel.clock import SystemClock, to_ms
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db
AT_MS = to_ms(START)


class Side:
    """One side of a pump: decodes what is new in the queue, remembers where it is."""

    def __init__(self, stage: "Stage", side: Only = "") -> None:
        self.stage = stage
        self.side = side
        self.at, self.state = BEGIN, DecodeState()
        self.messages: list[str] = []

    def go(self) -> "Side":
        frames = self.stage.reader.read(self.at, max_bytes=1 << 26)
        if frames:
            part = Range("watch", self.at, frames[-1][0], frames, False)
            decoded, bad = self.stage.feed.decode(part, self.state, side=self.side)
            assert not bad and not decoded.rejected
            self.messages += decoded.logs.message.to_pylist()
            self.at, self.state = frames[-1][0], decoded.state
        return self


class Stage:
    """A queue, its quarantine, and what both sides share."""

    def __init__(self, root: Path, **room: int) -> None:
        self.root = root
        self.writer = QueueWriter(root / "queue" / "watch", max_bytes=1 << 28)
        self.reader = QueueReader(root / "queue" / "watch")
        self.clock = SystemClock()
        self.room = Room(**room)
        self.restart()

    def restart(self, queue: Appends | None = None) -> None:
        """As after a crash: nothing in memory."""
        self.quarantine = Quarantine(
            self.root / "quarantine",
            queue or self.writer,
            poison=self.root / "queue" / "poison",
            room=self.room,
        )
        self.feed = Feed(
            self.root / "queue",
            load_directory=lambda: load_directory(EVERYTHING, self.clock),
            clock=self.clock,
            pace=Pace(),
            quarantine=self.quarantine,
        )

    def put(self, *frames: bytes) -> None:
        for future in [self.writer.append(frame) for frame in frames]:
            future.result(10)

    def release(self, passed: Position = BEGIN) -> None:
        now = self.feed.renewed(self.feed.now_ms())
        self.quarantine.release(now, self.feed.renewed, passed={"watch": passed})

    def files(self) -> int:
        return sum(path.stat().st_size for path in (self.root / "quarantine").glob("*"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.writer.close()


def line(text: str, peer: str = "10.7.7.7") -> bytes:
    body = pack_lines([b"<13>Mar  2 08:00:00 host app: " + text.encode()])
    return encode_envelope(Envelope("syslog", AT_MS, "", "", peer, body, "udp"))


def pushed(client: Client, host: str, *messages: str, peer: str = "198.51.100.1") -> bytes:
    count = len(messages)
    none = pa.array([""] * count, pa.string())
    logs = PushedLogs(
        np.full(count, AT_MS), np.full(count, 6, np.uint8), np.full(count, 1, np.uint8),
        pa.array([host] * count, pa.string()), none, pa.array(messages, pa.string()), none, none,
    )  # fmt: skip
    body = encode_pushed(Pushed(logs, no_samples()))
    return encode_envelope(Envelope("pushed", AT_MS, client.pk, "", peer, body, transport="loki"))


def only() -> Stranger:
    (row,) = list_strangers(EVERYTHING)
    return row


def test_an_unknown_sender_waits_visibly_and_is_kept_once(stage: Stage) -> None:
    stage.put(line("one"), line("two"))
    Side(stage).go()
    Side(stage).go()  # the other side decodes the same
    stage.restart()
    Side(stage).go()  # and after a crash once more
    row = only()
    assert (row.door, row.sender, row.client, row.records, row.kept_records, row.state) == (
        "syslog", "10.7.7.7", None, 2, 2, "waiting",
    )  # fmt: skip
    assert "two" in row.example and "give that address to an asset" in row.reason
    assert row.first_at == row.last_at == START and row.kept_bytes == stage.files() > 0
    assert count_strangers(EVERYTHING) == 1


def test_one_click_makes_what_waited_searchable_exactly_once_on_both_sides(stage: Stage) -> None:
    asset = make_asset()
    stage.put(line("one"), line("two"))
    judge, store = Side(stage).go(), Side(stage)  # the store is down meanwhile
    assign_stranger(EVERYTHING, only(), asset)
    stage.put(line("three"))
    stage.release()
    assert judge.go().messages == store.go().messages == ["three", "one", "two"]
    asset.refresh_from_db()
    assert asset.addresses == ["10.7.7.7"]
    assert list_strangers(EVERYTHING) == [] and stage.files() == 0
    (done,) = list_strangers(EVERYTHING, state="done")
    assert (done.fed_records, done.kept_records, done.asset) == (2, 0, asset)
    assert Entry.objects.filter(kind="intake.sender_released", subject=asset.pk).count() == 1
    stage.restart()
    late = Side(stage).go()  # a side that begins anew sees the same
    assert late.messages == ["three", "one", "two"]
    stage.release(passed=judge.at)
    assert Stranger.objects.count() == 0


class Dies(Exception):
    """The process ends."""


class Dying:
    """A queue whose process ends when so many frames are durable."""

    def __init__(self, queue: QueueWriter, frames: int) -> None:
        self._queue, self._left = queue, frames

    def append(self, frame: bytes) -> "Future[None]":
        if not self._left:
            raise Dies
        self._left -= 1
        future = self._queue.append(frame)
        future.result(10)
        return future


@pytest.mark.parametrize("frames", [0, 3, 5])
def test_a_crash_while_feeding_repeats_nothing(stage: Stage, frames: int) -> None:
    asset = make_asset()
    for k in range(5):
        stage.put(line(f"m{k}"))
    stage.put(line("another", "10.7.7.8"))
    side = Side(stage).go()
    for row in list_strangers(EVERYTHING):
        assign_stranger(EVERYTHING, row, asset)
    stage.restart(Dying(stage.writer, frames))
    with pytest.raises(Dies):
        stage.release()
    side.go()
    stage.restart()
    stage.release()
    assert sorted(side.go().messages) == ["another", *(f"m{k}" for k in range(5))]
    assert sorted(Side(stage).go().messages) == sorted(side.messages)
    assert list_strangers(EVERYTHING) == [] and stage.files() == 0


def test_a_sender_that_somebody_made_known_otherwise_is_let_go_too(stage: Stage) -> None:
    acme = make_client()
    stage.put(pushed(acme, "web-1", "a", "b"))
    side = Side(stage).go()
    assert only().client == acme
    make_asset(acme, "Web-1")
    stage.release()
    assert side.go().messages == ["a", "b"]


def test_an_asset_can_be_made_of_a_stranger(stage: Stage) -> None:
    acme, other = make_client(), make_client()
    stage.put(pushed(acme, "web-1", "a"), line("b"))
    side = Side(stage).go()
    named, unnamed = (Stranger.objects.get(sender=sender) for sender in ("web-1", "10.7.7.7"))
    with pytest.raises(Trouble, match="another client"):
        make_asset_of(EVERYTHING, named, client=other.pk, name="", kind="server")
    assert make_asset_of(EVERYTHING, named, client=acme.pk, name="", kind="server").addresses == ["web-1"]
    made = make_asset_of(EVERYTHING, unnamed, client=other.pk, name="Firewall", kind="firewall")
    assert (made.client, made.addresses) == (other, ["10.7.7.7"])
    stage.release()
    assert sorted(side.go().messages) == ["a", "b"]


def test_an_address_of_another_client_is_not_assigned(stage: Stage) -> None:
    make_asset(addresses=["10.7.7.7"])
    make_asset(addresses=["10.7.7.7"])
    stage.put(line("whose?"))
    Side(stage).go()
    row = only()
    assert "2 clients" in row.reason
    with pytest.raises(Trouble, match="another client's asset"):
        assign_stranger(EVERYTHING, row, make_asset())
    assert only().state == "waiting"


def test_an_ignored_sender_is_counted_and_not_kept(stage: Stage) -> None:
    stage.put(line("one"))
    side = Side(stage).go()
    ignore_stranger(EVERYTHING, only())
    stage.release()
    stage.put(line("two"), line("three"))
    side.go()
    row = only()
    assert (row.state, row.records, row.kept_records, row.dropped_records) == ("ignored", 3, 0, 3)
    assert stage.files() == 0
    heed_stranger(EVERYTHING, row)
    stage.put(line("four"))
    side.go()
    assert only().kept_records == 1
    assert sum_quarantine(EVERYTHING) == {
        ("syslog", "waiting"): 1, ("syslog", "dropped"): 3, ("syslog", "fed"): 0
    }  # fmt: skip


def test_what_one_sender_may_keep_is_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, sender_bytes=4_000)
    side = Side(stage)
    for k in range(60):
        stage.put(line(f"m{k} " + "".join(chr(33 + (k * j) % 90) for j in range(200))))
        side.go()
    row = only()
    assert row.kept_bytes == stage.files() <= 4_000
    assert row.records == 60 == row.kept_records + row.dropped_records and row.kept_records >= 5
    asset = make_asset()
    assign_stranger(EVERYTHING, row, asset)
    stage.release()
    numbers = [int(message.split()[0][1:]) for message in side.go().messages]
    assert numbers[-1] == 59 and len(numbers) == row.kept_records
    assert all(b == a + 1 for a, b in pairwise(numbers))
    stage.writer.close()


def test_senders_beyond_the_maximum_make_the_oldest_go_counted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, senders=3)
    side = Side(stage)
    for k in range(8):
        stage.put(line("x", f"10.7.7.{k}"))
        side.go()
    rows = {row.sender: row for row in list_strangers(EVERYTHING)}
    assert len(rows) == 4 and rows["(others)"].dropped_records == 5
    assert sum(row.records for row in rows.values()) == 8
    assert len(list((tmp_path / "quarantine").iterdir())) == 3
    with pytest.raises(Trouble, match="many senders"):
        assign_stranger(EVERYTHING, rows["(others)"], make_asset())
    stage.writer.close()


def test_a_sender_that_was_known_in_between_loses_nothing(stage: Stage) -> None:
    asset = make_asset()
    stage.put(line("one"))
    judge, store = Side(stage).go(), Side(stage)
    assign_stranger(EVERYTHING, only(), asset)
    stage.release()
    stage.put(line("two"))
    judge.go()
    Asset.objects.filter(pk=asset.pk).update(addresses=[])
    stage.feed.renewed(stage.feed.now_ms())
    stage.put(line("three"))
    judge.go()
    Asset.objects.filter(pk=asset.pk).update(addresses=["10.7.7.7"])
    stage.feed.renewed(stage.feed.now_ms() + 1)
    row = Stranger.objects.get()
    assert row.state == "waiting" and row.kept_records == 1
    assert store.go().messages == judge.messages == ["one", "two"]
    assign_stranger(EVERYTHING, row, asset)
    stage.release()
    assert store.go().messages == judge.go().messages == ["one", "two", "three"]


def test_strangers_are_seen_by_whom_they_concern(stage: Stage) -> None:
    acme, other = make_client(), make_client()
    stage.put(pushed(acme, "web-1", "a"), line("b"))
    Side(stage).go()
    of_acme = Stranger.objects.get(client=acme)
    assert list_strangers(scope_for(acme)) == [of_acme]
    assert list_strangers(scope_for(other)) == list_strangers(NOBODY) == []
    assert find_stranger(scope_for(other), of_acme.pk) is None
    assert find_stranger(scope_for(acme, other), Stranger.objects.get(client=None).pk) is None
    with pytest.raises(Trouble):
        ignore_stranger(scope_for(other), of_acme)


def test_a_deleted_client_leaves_no_frames_behind(stage: Stage) -> None:
    acme = make_client()
    stage.put(pushed(acme, "web-1", "a"))
    Side(stage).go()
    assert stage.files() > 0
    acme.delete()
    stage.restart()
    stage.release()
    assert stage.files() == 0


def test_what_was_set_aside_is_replayed_once_for_the_side_that_did_not_take_it(stage: Stage) -> None:
    make_asset(addresses=["10.0.0.5"])
    frames = [line("a", "10.0.0.5"), line("b", "10.0.0.5")]
    part = Range(
        "watch", BEGIN, Position(1, 1), [(Position(1, k), one) for k, one in enumerate(frames)], False
    )
    stage.feed.set_aside(part, frames, "the judge: a mistake", side="judge")
    stage.feed.set_aside(part, frames[:1], "it could not be decoded")
    poison = stage.root / "queue" / "poison"
    both, judged = sorted(list_set_aside(poison), key=lambda one: one.about.side)
    assert (both.about.frames, judged.about.frames, judged.about.reason) == (1, 2, "the judge: a mistake")
    stage.release()
    assert stage.reader.read(BEGIN, max_bytes=1 << 20) == []
    order_replay(poison, judged.name)
    stage.restart(Dying(stage.writer, 1))
    with pytest.raises(Dies):
        stage.release()
    stage.restart()
    stage.release()
    judge, store = Side(stage, "judge").go(), Side(stage, "store").go()
    assert (judge.messages, store.messages) == (["a", "b"], [])
    order_replay(poison, both.name)
    stage.release()
    assert (judge.go().messages, store.go().messages) == (["a", "b", "a"], ["a"])
    assert list_set_aside(poison) == [] and list(poison.iterdir()) == []


def test_names_of_what_was_set_aside_stay_inside(stage: Stage) -> None:
    poison = stage.root / "queue" / "poison"
    poison.mkdir()
    (stage.root / "queue" / "x.frames").write_bytes(b"")
    for name in ("../x", "..", "", "a/b", "x" * 200, "nothing"):
        with pytest.raises(Trouble):
            order_replay(poison, name)
    with pytest.raises(Trouble):
        throw_away(poison, "../x")
    assert (stage.root / "queue" / "x.frames").exists()


def test_who_is_known_at_the_address_of_a_stranger_loses_nothing(stage: Stage) -> None:
    """Behind one address: a sender with a certificate and one without, tokens with an asset and without."""
    acme = make_client()
    named = make_asset(acme, "edge", addresses=["edge.acme.example"])

    def proved(text: str, name: str) -> bytes:
        envelope = decode_envelope(line(text, "192.0.2.1"))
        return encode_envelope(msgspec.structs.replace(envelope, transport="tls", names=(name,)))

    def bound(text: str) -> bytes:
        envelope = decode_envelope(pushed(acme, "", text, peer="192.0.2.1"))
        return encode_envelope(msgspec.structs.replace(envelope, asset=named.pk))

    for k in range(2):
        stage.put(
            line(f"plain {k}", "192.0.2.1"), proved(f"proved {k}", "edge.acme.example"),
            pushed(acme, "", f"unbound {k}", peer="192.0.2.1"), bound(f"bound {k}"),
            proved(f"other {k}", "other.example"),
        )  # fmt: skip
    judge = Side(stage).go()
    known = ["bound 0", "bound 1", "proved 0", "proved 1"]
    assert sorted(judge.messages) == known
    assert {row.sender for row in list_strangers(EVERYTHING)} == {"192.0.2.1", "other.example"}
    assert sorted(Side(stage).go().messages) == known  # the other side, decoding for itself
    other = Stranger.objects.get(sender="other.example")
    assign_stranger(EVERYTHING, other, named)
    stage.release()
    assert sorted(judge.go().messages) == sorted([*known, "other 0", "other 1"])
