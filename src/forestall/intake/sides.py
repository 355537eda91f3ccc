"""The two sides of the pump, a thread each. See `intake.pump` for what they promise."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from forestall.intake.cursors import BEGINNING, Checkpoint, QueuePlace, read_checkpoint, write_checkpoint
from forestall.intake.decode import Decoded, PlacedSnapshot
from forestall.intake.feed import Feed
from forestall.intake.queue import START, Position, QueueReader
from forestall.intake.ranges import Range, list_queues, read_exactly, read_range
from forestall.intake.resting import Turn
from forestall.intake.values import Rejection, TryAgain

HANDED_MAX = 4  # decoded ranges that wait for the store side; more, and it reads for itself

log = logging.getLogger(__name__)


class JudgeSide(Protocol):
    """What judges. All times in ms."""

    def restore(self, state: bytes) -> None:
        """Go back to a saved state; called once, before anything else, if there is one."""
        ...

    def snapshots(self, snapshots: Sequence[PlacedSnapshot]) -> None:
        """Store captured configurations. The same ones may come again after a crash."""
        ...

    def step(self, decoded: Decoded) -> None:
        """Judge. When it raises, it is called again with the same: it must know how far it came."""
        ...

    def tick(self, now_ms: int) -> None:
        """Time passes. While a backlog is worked off, `now_ms` is when the last of it was received, so that
        what still waits in a queue does not look silent."""
        ...

    def save(self) -> bytes:
        """The state as of the last step."""
        ...


class StoreSide(Protocol):
    """What keeps logs and samples."""

    def write(self, decoded: Decoded, token: str) -> None:
        """Write all of it; what came with the same token before is not written twice. Raises TryAgain when
        the store is down, Refused when it will never take this."""
        ...


@dataclass(frozen=True, slots=True)
class _Handed:
    """A range that the judge side has decoded."""

    part: Range
    decoded: Decoded


class Handing:
    """Where the judge side leaves what it has decoded, and both sides leave how far they are."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self.judged: dict[str, QueuePlace] = {}
        self.judged_durable: dict[str, Position] = {}
        self.stored: dict[str, QueuePlace] = {}
        self.stored_durable: dict[str, Position] = {}
        self._handed: deque[_Handed] = deque(maxlen=HANDED_MAX)

    def give(self, part: Range, decoded: Decoded) -> None:
        """The judge side has done a range."""
        with self.news:
            if not decoded.sided:
                self._handed.append(_Handed(part, decoded))
            self.judged[part.queue] = QueuePlace(*part.end, state=decoded.state)
            self.news.notify_all()

    def passed(self) -> dict[str, Position]:
        """Up to where both sides are for good; START where one of them has not begun."""
        judged, stored = dict(self.judged_durable), dict(self.stored_durable)
        return {queue: min(judged.get(queue, START), stored.get(queue, START)) for queue in judged | stored}

    def take(self, queue: str, at: Position) -> _Handed | None:
        """What starts exactly where the store side is."""
        with self.news:
            for one in list(self._handed):
                if one.part.queue == queue and one.part.start < at:
                    self._handed.remove(one)
                elif one.part.queue == queue and one.part.start == at:
                    self._handed.remove(one)
                    return one
        return None


class JudgeRun:
    """Reads every queue in turn, decodes, judges, keeps time, saves."""

    def __init__(
        self,
        feed: Feed,
        side: JudgeSide,
        handing: Handing,
        *,
        path: Path,
        reject: Callable[[Sequence[Rejection]], object],
    ) -> None:
        self._feed = feed
        self._side = side
        self._handing = handing
        self._path = path
        self._reject = reject
        self._readers: dict[str, QueueReader] = {}
        self._behind: dict[str, int] = {}  # queue → when its last frame was received, where there is more
        self._ticked_at_ms = 0
        self._saved_at_ms = feed.now_ms()
        self._dirty = False
        self.repeated_count = 0

    @property
    def damaged_count(self) -> int:
        """Damaged stretches that were skipped."""
        return sum(reader.damaged_count for reader in list(self._readers.values()))

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        kept = read_checkpoint(self._path)
        if kept:
            self._side.restore(kept.state)
            self._handing.judged = dict(kept.places)
            self._handing.judged_durable = {queue: place.at for queue, place in kept.places.items()}

    def run(self) -> None:
        """Until the feed stops. Raises Stopped, and what is wrong with the judge's state or the disk."""
        while not self._feed.stopping.is_set():
            for queue in list_queues(self._feed.root):
                self._step(queue)
            self._tell_rejections()
            self._feed.release(self._handing.passed())
            self._keep_time()
            if (
                self._dirty
                and abs(self._feed.now_ms() - self._saved_at_ms) >= self._feed.pace.checkpoint_every_ms
            ):
                self.save()
            if not self._behind:
                self._feed.stopping.wait(self._feed.pace.poll_s)

    def save(self) -> None:
        """Make places and state durable as one, then let go of what both sides have passed."""
        handing = self._handing
        places = dict(handing.judged)
        write_checkpoint(self._path, Checkpoint(places, self._side.save()))
        self._saved_at_ms = self._feed.now_ms()
        self._dirty = False
        handing.judged_durable = {queue: place.at for queue, place in places.items()}
        for queue, at in handing.passed().items():
            self._feed.reader(queue).trim(at)

    def _step(self, queue: str) -> None:
        reader = self._readers.setdefault(queue, self._feed.reader(queue))
        place = self._handing.judged.get(queue, BEGINNING)
        damaged = reader.damaged_count
        part = read_range(reader, queue, place.at, read_bytes=self._feed.pace.read_bytes)
        if reader.damaged_count > damaged:
            for damage in reader.damages[damaged - reader.damaged_count :]:
                self._feed.tell(Rejection("queue", queue, str(damage), self._feed.now_ms()))
        if part is None:
            self._behind.pop(queue, None)
            return
        decoded, bad = self._feed.decode(part, place.state, side="judge")
        if bad:
            self._feed.set_aside(part, bad, "it could not be decoded")
        if decoded.snapshots:
            self._feed.attempt(
                lambda: self._side.snapshots(decoded.snapshots), part, "the configurations", side="judge"
            )
        self._feed.attempt(lambda: self._side.step(decoded), part, "the judge", side="judge")
        now_ms = self._feed.now_ms()
        for one in decoded.rejected:
            self._feed.tell(replace(one, at_ms=one.at_ms or now_ms))
        self.repeated_count += decoded.repeated_count
        self._handing.give(part, decoded)
        self._dirty = True
        if part.full:
            self._behind[queue] = decoded.received_at_ms or now_ms
        else:
            self._behind.pop(queue, None)

    def _keep_time(self) -> None:
        now_ms = self._feed.now_ms()
        if self._behind:  # never backwards: what waited in quarantine is fed with its old times
            now_ms = min(now_ms, max(self._ticked_at_ms, min(self._behind.values())))
        if abs(now_ms - self._ticked_at_ms) < self._feed.pace.tick_every_ms:
            return
        self._ticked_at_ms = now_ms
        self._dirty = True
        try:
            self._side.tick(now_ms)
        except TryAgain as error:
            log.warning("the tick must wait: %s", error)

    def _tell_rejections(self) -> None:
        waiting = self._feed.told()
        if not waiting:
            return
        try:
            self._reject(waiting)
        except Exception as error:
            log.warning("%d rejections cannot be written now: %s", len(waiting), error)
            self._feed.tell_again(waiting)


class StoreRun:
    """Writes ranges to the store: those that the judge side has decoded, or its own when it is behind."""

    def __init__(self, feed: Feed, side: StoreSide, handing: Handing, *, path: Path) -> None:
        self._feed = feed
        self._side = side
        self._handing = handing
        self._path = path
        self._turn = Turn(path.parent)
        self._dirty = False
        self._stuck: dict[str, tuple[Position, int]] = {}  # queue → where the judge side is, since when

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        kept = read_checkpoint(self._path)
        if kept:
            self._handing.stored = dict(kept.places)
            self._handing.stored_durable = {queue: place.at for queue, place in kept.places.items()}

    def run(self) -> None:
        """Until the feed stops. Raises Stopped, and OSError when the checkpoint cannot be written."""
        try:
            while self._turn.begin(self._feed.stopping):
                moved = [self._step(queue) for queue in list_queues(self._feed.root)]
                if not any(moved):
                    if self._dirty:
                        self.save()
                    with self._handing.news:
                        if not self._feed.stopping.is_set():
                            self._handing.news.wait(self._feed.pace.poll_s)
                if self._turn.is_asked():
                    if self._dirty:
                        self.save()
                    self._turn.end()
                if self._feed.stopping.is_set():
                    if self._dirty:
                        self.save()
                    return
        finally:
            self._turn.close()

    def save(self) -> None:
        """Make the places durable."""
        write_checkpoint(self._path, Checkpoint(self._handing.stored))
        self._handing.stored_durable = {queue: place.at for queue, place in self._handing.stored.items()}
        self._dirty = False

    def _step(self, queue: str) -> bool:
        """Write the next range; whether there was one."""
        place = self._handing.stored.get(queue, BEGINNING)
        part: Range | None
        if place.until is not None:
            part, decoded = read_exactly(self._feed.reader(queue), queue, place.at, place.until), None
        elif handed := self._handing.take(queue, place.at):
            part, decoded = handed.part, handed.decoded
        elif self._must_read(queue, place):
            part = read_range(
                self._feed.reader(queue), queue, place.at, read_bytes=self._feed.pace.read_bytes
            )
            decoded = None
        else:
            return False
        if part is None:
            return False
        if decoded is None:
            # the judge side sets aside what cannot be decoded
            decoded, _ = self._feed.decode(part, place.state, side="store")
        if len(decoded.logs) or len(decoded.samples):
            self._handing.stored[queue] = QueuePlace(*place.at, state=place.state, intended=part.end)
            self.save()
            taken = decoded
            self._feed.attempt(lambda: self._side.write(taken, part.token), part, "the store", side="store")
        self._handing.stored[queue] = QueuePlace(*part.end, state=decoded.state)
        self._dirty = True
        return True

    def _must_read(self, queue: str, place: QueuePlace) -> bool:
        """Whether the judge side is ahead, or does not move although there is something."""
        judged = self._handing.judged.get(queue, BEGINNING).at
        if judged > place.at:
            return True
        if self._feed.reader(queue).end() <= judged:
            self._stuck.pop(queue, None)
            return False
        now_ms = self._feed.now_ms()
        at, since_ms = self._stuck.get(queue, (judged, now_ms))
        if at != judged:
            since_ms = now_ms
        self._stuck[queue] = (judged, since_ms)
        return abs(now_ms - since_ms) >= self._feed.pace.judge_stuck_ms
