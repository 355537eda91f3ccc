"""What both sides of the pump share: decoding against a fresh directory, trying again, setting aside."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from forestall.intake.decode import Decoded, DecodeState, Stray, decode
from forestall.intake.decoded import Held
from forestall.intake.envelope import Only
from forestall.intake.poison import About, Poison
from forestall.intake.queue import QueueReader
from forestall.intake.ranges import READ_BYTES, Range
from forestall.intake.route import Directory
from forestall.intake.segments import Position
from forestall.intake.values import REASON_MAX_CHARS, Refused, Rejection, TryAgain
from forestall.kernel.clock import Clock, to_ms

DIRECTORY_EVERY_MS = 10_000
MISTAKES_MAX = 4
REJECTIONS_MAX = 10_000
RELEASE_EVERY_MS = 2_000

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the pump looks, and how patient it is.

    `read_bytes`: how much of a queue is decoded at once. `judge_stuck_ms`: after that the store side does not
    wait for the judge side's decoding any more.
    """

    poll_s: float = 0.4
    tick_every_ms: int = 1_000
    checkpoint_every_ms: int = 10_000
    judge_stuck_ms: int = 2_000
    backoff_first_s: float = 0.25
    backoff_max_s: float = 15.0
    read_bytes: int = READ_BYTES


class Keeps(Protocol):
    """Where strays wait (`intake.quarantine.Quarantine`). Called from both sides."""

    def held(self, queue: str) -> Held:
        """What waits, or waited until both sides had passed it."""
        ...

    def keep(self, queue: str, strays: Sequence[Stray]) -> None:
        """Keep what was not kept before; durable when this returns. Raises TryAgain."""
        ...

    def release(
        self, directory: Directory, renewed: Callable[[int], Directory], *, passed: Mapping[str, Position]
    ) -> None:
        """Feed what waits of senders that are known now. Raises TryAgain."""
        ...


class Stopped(Exception):
    """The pump was told to stop while it was trying again."""


class Feed:
    """Shared by two threads."""

    def __init__(
        self,
        root: Path,
        *,
        load_directory: Callable[[], Directory],
        clock: Clock,
        pace: Pace,
        quarantine: Keeps | None = None,
        cover: Callable[[Decoded], Decoded] | None = None,
    ) -> None:
        self.root = root
        self._cover = cover
        self.quarantine = quarantine
        self.pace = pace
        self.poison = Poison(root / "poison")
        self.stopping = threading.Event()
        self._clock = clock
        self._load_directory = load_directory
        self._directory: Directory | None = None
        self._tried_at_ms = 0
        self._lock = threading.Lock()
        self._rejections: deque[Rejection] = deque(maxlen=REJECTIONS_MAX)
        self.rejected_count = 0
        self._released_at_ms = 0

    def now_ms(self) -> int:
        """The time."""
        return to_ms(self._clock.now())

    def reader(self, queue: str) -> QueueReader:
        """A reader of a queue directory."""
        return QueueReader(self.root / queue)

    def again(self, what: Callable[[], Result], name: str) -> Result:
        """Call until it does not raise TryAgain. Raises Stopped, and what else it raises."""
        pause = self.pace.backoff_first_s
        while True:
            try:
                return what()
            except TryAgain as error:
                log.warning("%s must wait %.2g s: %s", name, pause, error)
                if self.stopping.wait(pause):
                    raise Stopped from error
                pause = min(pause * 2, self.pace.backoff_max_s)

    def attempt(self, what: Callable[[], None], part: Range, name: str, *, side: Only) -> None:
        """Hand a range to a consumer. TryAgain: as long as it takes. Refused, or MISTAKES_MAX other errors:
        the range is set aside. Raises Stopped."""
        mistakes = 0

        def once() -> None:
            nonlocal mistakes
            try:
                what()
            except (TryAgain, Refused):
                raise
            except Exception as error:
                mistakes += 1
                log.exception("%s failed on %s (%d)", name, part.token, mistakes)
                if mistakes >= MISTAKES_MAX:
                    raise Refused(f"{type(error).__name__}: {error}") from error
                raise TryAgain(str(error)) from error

        try:
            self.again(once, name)
        except Refused as error:
            self.set_aside(part, [frame for _, frame in part.frames], f"{name}: {error}", side=side)

    def tell(self, rejection: Rejection) -> None:
        """Note what was refused, to be written by the judge side."""
        self.rejected_count += rejection.count
        self._rejections.append(rejection)

    def told(self) -> list[Rejection]:
        """What was noted since the last time."""
        return [self._rejections.popleft() for _ in range(len(self._rejections))]

    def tell_again(self, rejections: list[Rejection]) -> None:
        """Put back what could not be written; of more than REJECTIONS_MAX the oldest go."""
        self._rejections.extendleft(reversed(rejections[-(REJECTIONS_MAX - len(self._rejections)) :]))

    @property
    def directory_size(self) -> int:
        """How many assets are known."""
        return len(self._directory) if self._directory else 0

    def directory(self) -> Directory:
        """The directory, renewed every DIRECTORY_EVERY_MS. While it cannot be read the last one stays."""
        with self._lock:
            now_ms = self.now_ms()
            if self._directory is None:
                self._directory = self.again(self._load, "the directory")
            elif abs(now_ms - self._tried_at_ms) >= DIRECTORY_EVERY_MS:
                try:
                    self._directory = self._load()
                except TryAgain as error:
                    log.warning("the directory stays as it is: %s", error)
            return self._directory

    def renewed(self, received_at_ms: int) -> Directory:
        """A directory that was read after `received_at_ms`."""
        with self._lock:
            if self._directory is None or self._directory.loaded_at_ms <= received_at_ms:
                self._directory = self.again(self._load, "the directory")
            return self._directory

    def _load(self) -> Directory:
        """Raises TryAgain whatever went wrong: without the directory nothing can be routed."""
        self._tried_at_ms = self.now_ms()
        try:
            return self._load_directory()
        except Exception as error:
            raise TryAgain(f"{type(error).__name__}: {error}") from error

    def decode(self, part: Range, state: DecodeState, *, side: Only = "") -> tuple[Decoded, list[bytes]]:
        """The range, decoded for a side, and the frames on which our decoding failed; what is about nobody
        who is known waits in quarantine. Raises Stopped."""
        quarantine = self.quarantine
        held = self.again(lambda: quarantine.held(part.queue), "the quarantine") if quarantine else {}
        directory = self.directory()
        decoded, bad = self._decode_around(part, directory, state, held, side=side)
        if decoded.strangers and directory.loaded_at_ms <= decoded.received_at_ms:
            # Enrolled or added since the directory was read? What was acknowledged is not refused for that.
            renewed = self.renewed(decoded.received_at_ms)
            decoded, bad = self._decode_around(part, renewed, state, held, side=side)
        self._keep(part, decoded)
        return decoded, bad

    def _decode_around(
        self, part: Range, directory: Directory, state: DecodeState, held: Held, *, side: Only
    ) -> tuple[Decoded, list[bytes]]:
        """Decode and cover; when that fails, leave out the frames that fail alone."""

        def take(frames: Sequence[tuple[Position, bytes]]) -> Decoded:
            decoded = decode(frames, directory, state, held, side)
            return self._cover(decoded) if self._cover else decoded

        try:
            return take(part.frames), []
        except Exception:
            log.exception("decoding %s failed; looking for the frame", part.token)
        good, bad = [], []
        for item in part.frames:
            try:
                take([item])
            except Exception:
                bad.append(item[1])
            else:
                good.append(item)
        try:
            return take(good), bad
        except Exception:  # they fail together alone: none is lost, and the rest of the queue goes on
            log.exception("decoding %s fails although no frame does alone", part.token)
        return take([]), [frame for _, frame in part.frames]

    def _keep(self, part: Range, decoded: Decoded) -> None:
        """Strays into quarantine; where there is none they are refused."""
        strays, quarantine = decoded.strays, self.quarantine
        if not strays:
            return
        if quarantine is None:
            decoded.rejected.extend(
                Rejection(s.door, s.sender, s.reason, s.received_at_ms, s.example.encode(), s.client, s.count)
                for s in strays
            )
            return
        try:
            self.again(lambda: quarantine.keep(part.queue, strays), "the quarantine")
        except Stopped:
            raise
        except Exception as error:
            log.exception("the quarantine failed on %s", part.token)
            frames = [stray.frame for stray in strays if stray.frame]
            self.set_aside(part, frames, f"the quarantine: {type(error).__name__}: {error}")

    def release(self, passed: Mapping[str, Position]) -> None:
        """Let go of what waits in quarantine and need not any more; not more often than RELEASE_EVERY_MS."""
        now_ms = self.now_ms()
        if self.quarantine is None or abs(now_ms - self._released_at_ms) < RELEASE_EVERY_MS:
            return
        self._released_at_ms = now_ms
        try:
            self.quarantine.release(self.directory(), self.renewed, passed=passed)
        except TryAgain as error:
            log.warning("what waits in quarantine must wait longer: %s", error)

    def set_aside(self, part: Range, frames: list[bytes], said: str, *, side: Only = "") -> None:
        """Keep frames that we cannot process, and tell. `side`: which side alone could not."""
        about = About(part.queue, side, said[:REASON_MAX_CHARS], self.now_ms(), len(frames))
        path = self.poison.set_aside(part.token, frames, about)
        where = f"; kept in queue/poison/{path.name}" if path else ""
        reason = f"a mistake of this server: {said}"[: REASON_MAX_CHARS - len(where)] + where
        log.error("%s: %d frames set aside: %s", part.token, len(frames), said)
        first = frames[0] if frames else b""
        self.tell(Rejection("queue", part.queue, reason, self.now_ms(), first, count=len(frames)))
