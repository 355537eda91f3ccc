"""The pump: two sides that do not wait for each other, and go on after a stop where they were."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from intake_frames import batch_frame, make_directory, syslog_frame

from forestall.intake.cursors import Checkpoint, QueuePlace, read_checkpoint, write_checkpoint
from forestall.intake.decode import Decoded, PlacedSnapshot
from forestall.intake.pump import Pace, Pump
from forestall.intake.queue import QueueReader, QueueWriter
from forestall.intake.route import Directory
from forestall.intake.values import Refused, Rejection, TryAgain
from forestall.kernel.clock import SystemClock
from forestall.kernel.observations import Observations, Sample, Snapshot

PAST_MS = 1_700_000_000_000


class Judge:
    """Counts messages; its state is what it has seen."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.kept: list[PlacedSnapshot] = []
        self.ticks: list[int] = []
        self.fail: Callable[[Decoded], None] = lambda decoded: None

    def restore(self, state: bytes) -> None:
        self.seen = msgspec.json.decode(state)

    def snapshots(self, snapshots: Sequence[PlacedSnapshot]) -> None:
        self.kept += snapshots

    def step(self, decoded: Decoded) -> None:
        self.fail(decoded)
        self.seen += decoded.logs.message.to_pylist()

    def tick(self, now_ms: int) -> None:
        self.ticks.append(now_ms)

    def save(self) -> bytes:
        return msgspec.json.encode(self.seen)


class Store:
    """Keeps what comes with a new token, as the real one does."""

    def __init__(self) -> None:
        self.rows: dict[str, list[str]] = {}
        self.tokens: list[str] = []
        self.down = threading.Event()
        self.fail: Callable[[Decoded], None] = lambda decoded: None

    def write(self, decoded: Decoded, token: str) -> None:
        self.tokens.append(token)
        if self.down.is_set():
            raise TryAgain("the store is down")
        self.fail(decoded)
        self.rows.setdefault(token, decoded.logs.message.to_pylist())

    @property
    def messages(self) -> list[str]:
        return [message for rows in self.rows.values() for message in rows]


class Stage:
    """A queue root with a writer, and the sides of a pump."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.writer = QueueWriter(root / "web", max_bytes=1 << 26, segment_bytes=2000)
        self.judge, self.store = Judge(), Store()
        self.rejected: list[Rejection] = []
        self.directories: list[Directory] = []
        self.load: Callable[[], Directory] = lambda: make_directory(int(time.time() * 1000))

    def put(self, *frames: bytes) -> None:
        for future in [self.writer.append(frame) for frame in frames]:
            future.result(10)

    @contextmanager
    def pump(self) -> Iterator[Pump]:
        pump = Pump(
            self.root,
            judge=self.judge,
            store=self.store,
            load_directory=self.load,
            clock=SystemClock(),
            reject=self.rejected.extend,
            pace=Pace(
                poll_s=0.02, judge_stuck_ms=100, backoff_first_s=0.02, backoff_max_s=0.05, read_bytes=6 << 20
            ),
        )
        pump.start()
        try:
            yield pump
        finally:
            pump.stop()
        assert pump.failed is None


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def line(text: str) -> bytes:
    return syslog_frame([f"<13>{text}".encode()], at_ms=PAST_MS)


def test_both_sides_get_everything_once_and_the_queue_is_trimmed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with stage.pump() as pump:
        for k in range(60):
            stage.put(line(f"m{k} " + "x" * 60))
        until(lambda: len(stage.store.messages) == 60 and len(stage.judge.seen) == 60)
        assert pump.gauges().judge_age_s == pump.gauges().store_age_s == 0
    assert stage.store.messages == stage.judge.seen == [f"m{k} " + "x" * 60 for k in range(60)]
    stage.put(line("after"))
    with stage.pump() as pump:
        until(lambda: "after" in stage.store.messages)
        assert pump.gauges().directory_size == 3
    with stage.pump():
        pass
    assert QueueReader(tmp_path / "web").size_bytes() < 3000
    assert stage.judge.seen.count("after") == stage.store.messages.count("after") == 1


def test_the_judge_goes_on_while_the_store_is_down(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.store.down.set()
    with stage.pump() as pump:
        for k in range(12):
            stage.put(line(f"m{k}"))
            until(lambda k=k: f"m{k}" in stage.judge.seen)
        assert stage.store.messages == []
        assert pump.gauges().store_age_s > 0
        stage.store.down.clear()
        until(lambda: len(stage.store.messages) == 12)
    assert stage.store.messages == [f"m{k}" for k in range(12)]
    assert len(set(stage.store.tokens)) == len(stage.store.rows)


def test_the_store_goes_on_while_the_judge_must_wait(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    blocked = threading.Event()

    def fail(decoded: Decoded) -> None:
        if blocked.is_set():
            raise TryAgain("the database is down")

    stage.judge.fail = fail
    blocked.set()
    with stage.pump():
        stage.put(line("a"))
        until(lambda: stage.store.messages == ["a"])
        assert stage.judge.seen == []
        blocked.clear()
        until(lambda: stage.judge.seen == ["a"])
        stage.put(line("b"))
        until(lambda: stage.store.messages == ["a", "b"] and stage.judge.seen == ["a", "b"])


def test_after_a_crash_the_same_range_is_written_with_the_same_token(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.store.down.set()
    stage.put(line("a"), line("b"))
    with stage.pump():
        until(lambda: len(stage.store.tokens) > 0)
    (token,) = set(stage.store.tokens)
    kept = read_checkpoint(tmp_path / "cursors" / "store")
    assert kept and kept.places["web"].intended
    stage.put(line("c"))
    stage.store.down.clear()
    stage.store.tokens.clear()
    with stage.pump():
        until(lambda: stage.store.messages == ["a", "b", "c"])
    assert stage.store.tokens[0] == token
    assert stage.store.rows[token] == ["a", "b"]


def test_the_judge_goes_back_with_its_state_after_a_crash(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.put(line("a"))
    with stage.pump():
        until(lambda: stage.judge.seen == ["a"])
    saved = (tmp_path / "cursors" / "judge").read_bytes()
    stage.put(line("b"))
    with stage.pump():
        until(lambda: stage.judge.seen == ["a", "b"])
    (tmp_path / "cursors" / "judge").write_bytes(saved)  # as if it was killed before its next checkpoint
    stage.judge = Judge()
    with stage.pump():
        until(lambda: stage.judge.seen == ["a", "b"])


def test_batches_that_come_twice_are_taken_once_by_both_sides_over_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    values: list[float] = []
    stage.judge.fail = lambda decoded: values.extend(decoded.samples.value.tolist())
    one, two = (
        batch_frame(n, Observations(samples=[Sample(PAST_MS, "a", "", float(n))]), at_ms=PAST_MS)
        for n in (1, 2)
    )
    stage.put(one, one)
    with stage.pump() as pump:
        until(lambda: values == [1.0])
        assert pump.gauges().repeated_count == 1
    stage.put(one, two)
    with stage.pump():
        until(lambda: values == [1.0, 2.0])


def test_a_collector_that_was_just_enrolled_is_not_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    loads: list[int] = []

    def load() -> Directory:
        loads.append(int(time.time() * 1000))
        return Directory([], [], loaded_at_ms=loads[-1]) if len(loads) == 1 else make_directory(loads[-1])

    stage.load = load
    with stage.pump():
        stage.put(line("unknown sender"))
        until(lambda: len(stage.rejected) == 1)
        at_ms = int(time.time() * 1000)
        stage.put(batch_frame(1, Observations(snapshots=[Snapshot(at_ms, "packages", "x")]), at_ms=at_ms))
        until(lambda: len(stage.judge.kept) == 1)
    assert len(stage.rejected) == 1


def test_what_the_store_refuses_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail(decoded: Decoded) -> None:
        if "bad" in decoded.logs.message.to_pylist():
            raise Refused("no such column")

    stage.store.fail = fail
    with stage.pump() as pump:
        stage.put(line("bad"))
        until(lambda: pump.gauges().poisoned_count == 1)
        stage.put(line("good"))
        until(lambda: stage.store.messages == ["good"])
        until(lambda: len(stage.rejected) == 1)
    (kept,) = (tmp_path / "poison").glob("*.frames")
    assert msgspec.msgpack.decode(kept.read_bytes()) == [line("bad")]
    assert "no such column" in stage.rejected[0].reason
    assert kept.name in stage.rejected[0].reason


def test_a_mistake_of_the_judge_sets_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail(decoded: Decoded) -> None:
        if "bad" in decoded.logs.message.to_pylist():
            raise ZeroDivisionError("oops")

    stage.judge.fail = fail
    with stage.pump():
        stage.put(line("bad"))
        until(lambda: len(stage.rejected) == 1)
        stage.put(line("good"))
        until(lambda: stage.judge.seen == ["good"])
        until(lambda: stage.store.messages == ["bad", "good"])


def test_an_undecodable_frame_is_a_rejection(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.put(b"rubbish", line("good"))
    with stage.pump():
        until(lambda: stage.judge.seen == ["good"] and len(stage.rejected) == 1)
    assert stage.rejected[0].at_ms > 0


def test_while_a_backlog_is_worked_off_time_is_that_of_the_backlog(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for k in range(5):
        stage.put(syslog_frame([b"<13>" + b"x" * 250_000] * 20, at_ms=PAST_MS + k * 2000))
    stage.writer.close()
    with stage.pump():
        until(lambda: len(stage.judge.seen) == 100)
        until(lambda: stage.judge.ticks[-1] > PAST_MS + 100_000)
    behind = [at_ms for at_ms in stage.judge.ticks if at_ms <= PAST_MS + 10_000]
    assert behind == sorted(behind)
    assert len(behind) >= 2


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "judge"
    write_checkpoint(path, Checkpoint({"web": QueuePlace(3, 4, intended=(3, 9))}, b"state"))
    kept = read_checkpoint(path)
    assert kept and kept.state == b"state"
    assert kept.places["web"].at == (3, 4) and kept.places["web"].until == (3, 9)
    path.write_bytes(path.read_bytes()[:-6] + b"xxxxxx")
    assert read_checkpoint(path) is None
    assert read_checkpoint(tmp_path / "none") is None
