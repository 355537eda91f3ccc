"""The durable queue: real files, a real `kill -9`, a disk that is full, a sync that fails."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from forestall.intake.queue import START, Position, QueueBroken, QueueFull, QueueReader, QueueWriter
from forestall.intake.segments import HEAD, MAGIC, SYNC, list_segments, read_mark, segment_path
from forestall.kernel.errors import Trouble

NO_SYNC: Callable[[int], None] = lambda descriptor: None  # noqa: E731


def read_all(directory: Path, after: Position = START, *, max_bytes: int = 1 << 20) -> list[bytes]:
    """Every frame behind a position."""
    reader, frames = QueueReader(directory), []
    while part := reader.read(after, max_bytes=max_bytes):
        frames += [frame for _, frame in part]
        after = part[-1][0]
    return frames


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[QueueWriter]:
    writer = QueueWriter(tmp_path / "q", max_bytes=1 << 24, segment_bytes=1000)
    yield writer
    writer.close()


def test_what_is_appended_is_read_in_order(tmp_path: Path, writer: QueueWriter) -> None:
    frames = [bytes([65 + k % 26]) * (1 + k * 7) for k in range(60)]
    for future in [writer.append(frame) for frame in frames]:
        future.result(10)
    assert read_all(tmp_path / "q") == frames
    assert read_all(tmp_path / "q", max_bytes=1) == frames
    writer.append(b"more").result(10)
    assert len(list_segments(tmp_path / "q")) > 1


def test_positions_resume_and_trim_frees(tmp_path: Path, writer: QueueWriter) -> None:
    reader = QueueReader(tmp_path / "q")
    for k in range(40):
        writer.append(bytes([k]) * 100).result(10)
    part = reader.read(START, max_bytes=500)
    after = part[-1][0]
    rest = read_all(tmp_path / "q", after)
    assert [frame for _, frame in part] + rest == [bytes([k]) * 100 for k in range(40)]
    before = reader.size_bytes()
    assert reader.trim(reader.end()) >= 3
    assert reader.size_bytes() < before
    assert reader.read(reader.end(), max_bytes=100) == []
    writer.append(b"after the trim").result(10)
    assert read_all(tmp_path / "q", after)[-1] == b"after the trim"


def test_a_reader_sees_nothing_before_it_is_synced(tmp_path: Path) -> None:
    gate, reached = threading.Event(), threading.Event()
    calls = []

    def slow(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:  # 1: the new segment itself, 2: the first group
            reached.set()
            gate.wait(10)
        os.fsync(descriptor)

    writer = QueueWriter(tmp_path, max_bytes=1 << 20, fsync=slow)
    future = writer.append(b"not yet")
    assert reached.wait(10)
    assert QueueReader(tmp_path).read(START, max_bytes=100) == []
    assert not future.done()
    gate.set()
    future.result(10)
    assert read_all(tmp_path) == [b"not yet"]
    writer.close()


def test_many_appends_share_a_sync(tmp_path: Path) -> None:
    gate, syncs = threading.Event(), []

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        gate.wait(10)

    writer = QueueWriter(tmp_path, max_bytes=1 << 20, fsync=counted)
    futures = [writer.append(b"x%d" % k) for k in range(200)]
    gate.set()
    for future in futures:
        future.result(10)
    assert len(syncs) <= 3
    writer.close()
    assert len(read_all(tmp_path)) == 200


def test_a_failed_sync_breaks_the_writer_for_good(tmp_path: Path) -> None:
    told: list[QueueBroken] = []
    failing = threading.Event()

    def fsync(descriptor: int) -> None:
        if failing.is_set():
            raise OSError(errno.EIO, "Input/output error")

    writer = QueueWriter(tmp_path, max_bytes=1 << 20, fsync=fsync, on_broken=told.append)
    writer.append(b"good").result(10)
    failing.set()
    with pytest.raises(QueueBroken):
        writer.append(b"lost").result(10)
    failing.clear()
    with pytest.raises(QueueBroken):
        writer.append(b"also refused").result(10)
    assert read_all(tmp_path) == [b"good"]
    writer.close()
    assert len(told) == 1


def test_a_queue_that_holds_its_maximum_refuses_until_it_is_trimmed(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, max_bytes=5000, segment_bytes=1000, fsync=NO_SYNC)
    taken = 0
    with pytest.raises(QueueFull, match="as much as it may"):
        while True:
            writer.append(b"a" * 200).result(10)
            taken += 1
    reader = QueueReader(tmp_path)
    assert len(read_all(tmp_path)) == taken
    assert reader.size_bytes() <= 5000
    reader.trim(reader.end())
    deadline = threading.Event()
    for _ in range(100):
        try:
            writer.append(b"room again").result(10)
            break
        except QueueFull:
            deadline.wait(0.05)
    assert read_all(tmp_path)[-1] == b"room again"
    writer.close()


def test_a_full_queue_of_one_segment_has_room_again_when_it_was_read(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path / "q", max_bytes=20_000, segment_bytes=1 << 20, fsync=NO_SYNC)

    def fill() -> int:
        for count in range(100):
            try:
                writer.append(b"x" * 1000).result(60)
            except QueueFull:
                return count
        raise AssertionError("it is never full")

    assert fill() > 10
    reader, deadline = QueueReader(tmp_path / "q"), time.monotonic() + 60
    read = reader.read(START, max_bytes=1 << 20)[-1][0]
    while fill() < 2:
        assert time.monotonic() < deadline
        reader.trim(read)
    writer.close()


def test_one_writer_owns_a_directory(tmp_path: Path, writer: QueueWriter) -> None:
    with pytest.raises(Trouble, match="written by another process"):
        QueueWriter(tmp_path / "q", max_bytes=1000)


@pytest.mark.parametrize("torn", [b"\x00" * 50, SYNC + b"\x05", b"garbage", SYNC * 30])
def test_a_torn_tail_is_cut(tmp_path: Path, torn: bytes) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    writer.append(b"kept").result(10)
    writer.close()
    (number,) = list_segments(tmp_path)
    with segment_path(tmp_path, number).open("ab") as file:
        file.write(torn)
    assert read_all(tmp_path) == [b"kept"]
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    writer.append(b"new").result(10)
    writer.close()
    reader = QueueReader(tmp_path)
    assert [frame for _, frame in reader.read(START, max_bytes=100)] == [b"kept"]
    assert read_all(tmp_path) == [b"kept", b"new"]
    assert reader.damaged_count == 0


def test_a_mark_that_is_too_low_after_a_power_cut_is_raised(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    writer.append(b"acknowledged").result(10)
    writer.close()
    (tmp_path / "durable").write_bytes(b"")
    assert read_all(tmp_path) == []
    QueueWriter(tmp_path, max_bytes=1 << 20).close()
    assert read_all(tmp_path) == [b"acknowledged"]


@pytest.mark.parametrize("again", [False, True])
def test_a_damaged_frame_is_skipped_and_counted(tmp_path: Path, again: bool) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    for k in range(5):
        writer.append(bytes([65 + k]) * 100).result(10)
    writer.close()
    (number,) = list_segments(tmp_path)
    at = len(MAGIC) + 2 * (HEAD.size + 100) + 30
    with segment_path(tmp_path, number).open("r+b") as file:
        file.seek(at)
        file.write(b"!")
    if again:  # a writer that opens the directory keeps what comes after the damage
        QueueWriter(tmp_path, max_bytes=1 << 20).close()
    reader = QueueReader(tmp_path)
    for most in (1, 150, 1 << 20):
        after, got = START, []
        while part := reader.read(after, max_bytes=most):
            got += [frame[:1] for _, frame in part]
            after = part[-1][0]
        assert got == [b"A", b"B", b"D", b"E"]
    assert reader.damaged_count == 1
    assert str(116) in str(reader.damages[0])


def test_a_wholly_damaged_end_of_a_segment_leads_to_the_next(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 20, segment_bytes=300)
    for k in range(6):
        writer.append(bytes([65 + k]) * 100).result(10)
    writer.close()
    first = segment_path(tmp_path, list_segments(tmp_path)[0])
    data = first.read_bytes()
    first.write_bytes(data[: len(MAGIC) + 116] + b"\xff" * (len(data) - len(MAGIC) - 116))
    reader = QueueReader(tmp_path)
    after, got = START, b""
    while part := reader.read(after, max_bytes=1 << 20):
        got += b"".join(frame[:1] for _, frame in part)
        after = part[-1][0]
    assert got == b"ADEF"
    assert reader.damaged_count == 1


def test_a_payload_that_imitates_frames_is_one_payload(tmp_path: Path) -> None:
    fake = (SYNC + (100).to_bytes(4, "little") + b"\x00" * 8) * 2000
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    writer.append(fake).result(10)
    writer.append(b"next").result(10)
    writer.close()
    assert read_all(tmp_path, max_bytes=64) == [fake, b"next"]


def test_reading_while_it_is_written(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 24, segment_bytes=500)
    got: list[int] = []

    def follow() -> None:
        reader, after = QueueReader(tmp_path), START
        while len(got) < 2000:
            part = reader.read(after, max_bytes=300)
            if part:
                got.extend(int(frame) for _, frame in part)
                after = part[-1][0]
                reader.trim(after)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    for first in range(0, 2000, 7):
        for future in [writer.append(b"%d" % n) for n in range(first, min(first + 7, 2000))]:
            future.result(10)
    follower.join(20)
    writer.close()
    assert got == list(range(2000))


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from forestall.intake.queue import QueueWriter
writer = QueueWriter(Path(sys.argv[1]), max_bytes=1 << 30, segment_bytes=1 << 15)
first, k = int(sys.argv[2]), 0
while True:
    waiting = [(n, writer.append(b"%d " % n + b"x" * (n % 700))) for n in range(first + k, first + k + 20)]
    k += 20
    for n, future in waiting:
        future.result(10)
        sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for turn in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path), str(turn * 1_000_000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        acknowledged += [int(process.stdout.readline()) for _ in range(150 + 37 * turn)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        process.stdout.close()
    QueueWriter(tmp_path, max_bytes=1 << 30).close()
    found = [int(frame.split(b" ")[0]) for frame in read_all(tmp_path)]
    assert found == sorted(set(found))
    assert set(acknowledged) <= set(found)


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from forestall.intake.queue import QueueFull, QueueWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
writer = QueueWriter(Path(sys.argv[1]), max_bytes=1 << 30)
taken = 0
while True:
    try:
        writer.append(b"y" * 3000).result(10)
        taken += 1
    except QueueFull as error:
        assert "is full" in str(error)
        break
writer.append(b"small").result(10)
print(taken)
"""


def test_a_full_disk_refuses_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    taken = int(result.stdout)
    assert taken == 6
    assert read_all(tmp_path) == [b"y" * 3000] * taken + [b"small"]
    assert read_mark(tmp_path).offset == segment_path(tmp_path, list_segments(tmp_path)[0]).stat().st_size


async def test_appending_from_coroutines(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    await asyncio.gather(*(writer.append_async(b"%d" % k) for k in range(50)))
    assert sorted(map(int, read_all(tmp_path))) == list(range(50))
    with pytest.raises(ValueError, match="a frame has"):
        await writer.append_async(b"")
    writer.close()


class QueueLife(RuleBasedStateMachine):
    """Write, tear, reopen, read, trim in any order: what was acknowledged is read once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        self.path = Path(self.home.name)
        self.written: list[bytes] = []
        self.read: list[bytes] = []
        self.after = START
        self.writer = self.open()
        self.reader = QueueReader(self.path)

    def open(self) -> QueueWriter:
        return QueueWriter(self.path, max_bytes=1 << 24, segment_bytes=400, fsync=NO_SYNC)

    @rule(frames=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8))
    def append(self, frames: list[bytes]) -> None:
        for future in [self.writer.append(frame) for frame in frames]:
            future.result(10)
        self.written += frames

    @rule(most=st.integers(1, 2000))
    def read_some(self, most: int) -> None:
        part = self.reader.read(self.after, max_bytes=most)
        if part:
            self.read += [frame for _, frame in part]
            assert part[-1][0] > self.after
            self.after = part[-1][0]
        else:
            assert len(self.read) == len(self.written)

    @rule(torn=st.binary(max_size=60))
    def crash(self, torn: bytes) -> None:
        self.writer.close()
        if segments := list_segments(self.path):
            with segment_path(self.path, segments[-1]).open("ab") as file:
                file.write(torn)
        self.writer = self.open()

    @rule()
    def trim(self) -> None:
        self.reader.trim(self.after)

    @rule()
    def restart_reader(self) -> None:
        self.reader = QueueReader(self.path)

    @invariant()
    def in_order_and_whole(self) -> None:
        assert self.read == self.written[: len(self.read)]

    def teardown(self) -> None:
        self.writer.close()
        while part := self.reader.read(self.after, max_bytes=1000):
            self.read += [frame for _, frame in part]
            self.after = part[-1][0]
        assert self.read == self.written
        self.home.cleanup()


TestQueueLife = QueueLife.TestCase
TestQueueLife.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
