"""Drives the queues: frames are read, decoded once, and given to two sides that never wait for each other.

The **judge** side may never be held up by the store; the **store** side may stall for as long as the store is
down, the queue grows on the disk meanwhile. In step, the store side takes what the judge side has decoded;
behind, it reads and decodes for itself from its own place. Each side has its place on the disk:

- judge: places and the judge's own state are one file, written every 10 s. After a crash both
  go back together, and the same observations give the same transitions again.
- store: the range that is about to be written is in the file before it is written. After a crash the same
  range is written with the same token, which the store recognises.

Segments that both sides have passed, durably, are unlinked.

Wiring (processes/watch.py):

    pump = Pump(data.queue, judge=judge_side, store=store_side, load_directory=lambda: load_directory(…),
                clock=SystemClock(), reject=record_rejections, on_failure=exit_at_once)
    pump.start(); …; pump.stop()

`judge` and `store` are the protocols in `intake.sides`. Every method of a side is called from that side's
own thread (so close old database connections there), `load_directory` from both (one at a time), `reject`
from the judge's. TryAgain from any of them: the same call again, with growing pauses, as long as it takes.
Refused, or another exception four times over: the frames are set aside under `queue/poison/`, a rejected row
says so, and the rest goes on. An exception of `tick` or `save` ends the pump (`on_failure`): the process
exits and goes on from its checkpoints.

`cover` (`intake.covering.Covering.cover`) masks secrets in what was decoded, before either side has it.
`quarantine` (`intake.quarantine.Quarantine`) keeps what is about nobody who is known; without one that is
refused.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forestall.intake.cursors import BEGINNING, QueuePlace
from forestall.intake.decoded import Decoded
from forestall.intake.envelope import decode_envelope
from forestall.intake.feed import Feed, Keeps, Pace, Stopped
from forestall.intake.queue import QueueReader
from forestall.intake.ranges import list_queues
from forestall.intake.route import Directory
from forestall.intake.sides import Handing, JudgeRun, JudgeSide, StoreRun, StoreSide
from forestall.intake.values import Rejection
from forestall.kernel.clock import Clock
from forestall.kernel.durable import make_directory

__all__ = ["Gauges", "JudgeSide", "Pace", "Pump", "StoreSide"]

STOP_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gauges:
    """How the intake itself is doing. Ages: how long ago the oldest frame that a side has not taken was
    received, 0 when there is none. Counts are since the start."""

    queue_bytes: int
    judge_age_s: float
    store_age_s: float
    rejected_count: int
    repeated_count: int
    poisoned_count: int
    damaged_count: int
    directory_size: int


class Pump:
    """Two threads, one for each side. `failed` holds what ended one of them unexpectedly; `on_failure` is
    told at once, from that thread, and the process should then exit."""

    def __init__(
        self,
        root: Path,
        *,
        judge: JudgeSide,
        store: StoreSide,
        load_directory: Callable[[], Directory],
        clock: Clock,
        reject: Callable[[Sequence[Rejection]], object],
        on_failure: Callable[[BaseException], None] | None = None,
        pace: Pace = Pace(),
        quarantine: Keeps | None = None,
        cover: Callable[[Decoded], Decoded] | None = None,
    ) -> None:
        cursors = root / "cursors"
        make_directory(cursors)
        self._root = root
        self._on_failure = on_failure
        self._feed = Feed(
            root, load_directory=load_directory, clock=clock, pace=pace, quarantine=quarantine, cover=cover
        )
        self._handing = Handing()
        self._judge = JudgeRun(self._feed, judge, self._handing, path=cursors / "judge", reject=reject)
        self._store = StoreRun(self._feed, store, self._handing, path=cursors / "store")
        self._threads = [
            threading.Thread(target=self._guarded, args=(side,), name=name, daemon=True)
            for side, name in ((self._judge, "judge side"), (self._store, "store side"))
        ]
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Read the checkpoints and begin."""
        self._judge.restore()
        self._store.restore()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End both sides after what they are at, and save."""
        self._end()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def tell(self, rejection: Rejection) -> None:
        """Keep what a listener could not use with what decoding refuses. From any thread."""
        self._feed.tell(rejection)

    def gauges(self) -> Gauges:
        """How it is doing now; reads the queue directories."""
        now_ms = self._feed.now_ms()
        readers = {name: QueueReader(self._root / name) for name in list_queues(self._root)}
        return Gauges(
            sum(reader.size_bytes() for reader in readers.values()),
            _oldest_age_s(readers, self._handing.judged, now_ms),
            _oldest_age_s(readers, self._handing.stored, now_ms),
            self._feed.rejected_count,
            self._judge.repeated_count,
            self._feed.poison.count,
            self._judge.damaged_count,
            self._feed.directory_size,
        )

    def _end(self) -> None:
        self._feed.stopping.set()
        with self._handing.news:
            self._handing.news.notify_all()

    def _guarded(self, side: JudgeRun | StoreRun) -> None:
        try:
            side.run()
            side.save()
        except Stopped:
            log.info("stopped while waiting; going on from the last checkpoint next time")
        except BaseException as error:
            log.critical("%s ended", threading.current_thread().name, exc_info=error)
            self.failed = error
            self._end()
            if self._on_failure:
                self._on_failure(error)


def _oldest_age_s(readers: Mapping[str, QueueReader], places: Mapping[str, QueuePlace], now_ms: int) -> float:
    """How long ago the oldest frame behind the places was received."""
    ages = [0.0]
    for queue, reader in readers.items():
        for _, frame in reader.read(places.get(queue, BEGINNING).at, max_bytes=1)[:1]:
            try:
                ages.append((now_ms - decode_envelope(frame).received_at_ms) / 1000)
            except ValueError:
                continue
    return max(ages)
