"""A body that is sent again after a lost answer is taken once; what happened again is taken again."""

import asyncio
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from forestall.intake.counts import ACCEPTED, REPEATED, WAITING
from forestall.intake.doors import Desk, DoorRequest
from forestall.intake.envelope import Envelope, decode_envelope, encode_envelope
from forestall.intake.gate import Admitted, take
from forestall.intake.pushed import Pushed, PushedLogs, PushedSamples, no_logs, no_samples
from forestall.intake.queue import QueueWriter
from forestall.intake.repeats import Repeats, key_of, last_pushes, part_key, says_when
from forestall.intake.values import QueueFull
from forestall.kernel.clock import SystemClock

NOW_MS = 1_790_000_000_000
ADMITTED = Admitted("0000000000001", "", "token-1", "pusher", NOW_MS)


def lines(*at_ms: int) -> Pushed:
    texts = pa.array([f"line {number}" for number in range(len(at_ms))])
    codes = np.zeros(len(at_ms), np.uint8)
    times = np.array(at_ms, np.int64)
    return Pushed(PushedLogs(times, codes, codes, texts, texts, texts, texts, texts), no_samples())


def samples(*at_ms: int) -> Pushed:
    texts = pa.array(["cpu"] * len(at_ms))
    times = np.array(at_ms, np.int64)
    return Pushed(no_logs(), PushedSamples(texts, texts, texts, times, np.ones(len(at_ms))))


def request(body: bytes = b"body", **headers: str) -> DoorRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return DoorRequest("POST", "/insert/jsonline", {}, named, body, "192.0.2.7")


class Disk:
    """Makes durable what it is told to; `fails` (frames from 1) are refused, `waits` holds everything up."""

    def __init__(self) -> None:
        self.frames: list[Envelope] = []
        self.fails: set[int] = set()
        self.waits = asyncio.Event()
        self.waits.set()
        self._number = 0

    async def append_async(self, frame: bytes) -> None:
        self._number += 1
        number = self._number
        await self.waits.wait()
        if number in self.fails:
            raise QueueFull("no room")
        self.frames.append(decode_envelope(frame))


def desk_on(disk: Disk) -> Desk:
    async def ask(function: object, /, *args: object, **kwargs: object) -> None:
        raise AssertionError("nothing is asked")

    return Desk(disk, SystemClock(), ask, lambda rejection: None)


async def push(desk: Desk, pushed: Pushed, given: DoorRequest, admitted: Admitted = ADMITTED) -> None:
    await take(pushed, admitted=admitted, request=given, desk=desk, door="jsonlines")


@pytest.mark.parametrize(
    ("pushed", "says"),
    [
        (lines(NOW_MS - 5_001, NOW_MS - 1_000), True),
        (lines(NOW_MS - 5_000, NOW_MS - 1_000), False),  # whole seconds: it may have happened twice
        (lines(NOW_MS - 5_001, NOW_MS), False),  # one has no time of its own
        (samples(NOW_MS - 5_000), True),  # the same series, time and value is the same sample
        (samples(NOW_MS), False),
    ],
)
def test_a_copy_is_told_by_times_of_its_own(pushed: Pushed, says: bool) -> None:
    assert says_when(pushed, received_at_ms=NOW_MS) is says


async def test_a_body_that_comes_again_is_taken_once() -> None:
    disk = Disk()
    desk, pushed = desk_on(disk), lines(NOW_MS - 5_001)
    for _ in range(3):
        await push(desk, pushed, request())
    assert len(disk.frames) == 1
    assert desk.counts.by_door()["jsonlines"] == {WAITING: 0, ACCEPTED: 1, REPEATED: 2}
    await push(desk, pushed, request(b"another"))
    await push(desk, pushed, request(), Admitted("0000000000001", "", "token-2", "other", NOW_MS))
    assert len(disk.frames) == 3


async def test_what_may_have_happened_twice_is_taken_twice_unless_the_sender_gives_a_key() -> None:
    disk = Disk()
    desk, pushed = desk_on(disk), lines(NOW_MS)
    for _ in range(2):
        await push(desk, pushed, request())
    assert len(disk.frames) == 2
    for _ in range(2):
        await push(desk, pushed, request(idempotency_key="7"))
    await push(desk, pushed, request(idempotency_key="8"))
    assert len(disk.frames) == 4


async def test_a_copy_waits_for_what_becomes_of_the_first_whose_sender_gave_up() -> None:
    disk = Disk()
    desk, pushed = desk_on(disk), lines(NOW_MS - 5_001)
    disk.waits.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(push(desk, pushed, request()), 0.01)
    again = asyncio.create_task(push(desk, pushed, request()))
    await asyncio.sleep(0)
    disk.waits.set()
    await asyncio.wait_for(again, 60)
    assert len(disk.frames) == 1


async def test_a_first_that_found_no_room_makes_no_copy() -> None:
    disk = Disk()
    desk, pushed = desk_on(disk), lines(NOW_MS - 5_001)
    disk.fails = {1}
    with pytest.raises(QueueFull):
        await push(desk, pushed, request())
    await push(desk, pushed, request())
    assert len(disk.frames) == 1
    assert desk.counts.by_door()["jsonlines"][ACCEPTED] == 1


async def test_of_a_body_in_parts_only_the_missing_ones_are_made_durable() -> None:
    disk = Disk()
    desk = desk_on(disk)
    many = 300_000  # more than a frame has
    pushed = samples(*range(NOW_MS - many - 1, NOW_MS - 1))
    disk.fails = {2}
    with pytest.raises(QueueFull):
        await push(desk, pushed, request())
    assert len(disk.frames) == 1
    await push(desk, pushed, request())
    assert [one.push[-2:] for one in disk.frames] == [b"\x00\x00", b"\x01\x00"]


def test_the_same_packed_again_is_the_same() -> None:
    first, second = gzip.compress(b"body", mtime=1), gzip.compress(b"body", mtime=2)
    assert first != second
    assert key_of(first, "token") == key_of(second, "token")
    assert key_of(b"body", "to", "ken") != key_of(b"body", "token")


def test_a_process_that_was_killed_knows_what_its_queue_ends_with(tmp_path: Path) -> None:
    key = key_of(b"body", "token")
    writer = QueueWriter(tmp_path / "web", max_bytes=1 << 24)
    for push in (part_key(key, 0), b"", part_key(key, 2)):
        frame = encode_envelope(Envelope("pushed", NOW_MS, "", "", "", b"x", push=push))
        writer.append(frame).result(60)
    writer.append(b"no envelope").result(60)
    writer.close()
    again = Repeats(last_pushes(tmp_path / "web"))
    assert again.missing(key, 3) == [1]
    assert again.missing(b"", 2) == [0, 1]
