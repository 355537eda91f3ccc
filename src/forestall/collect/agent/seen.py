"""What was seen and is not on disk yet: bounded, the oldest give way. Safe for several threads."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from forestall.kernel.backups import BackupReport, ProgressReport
from forestall.kernel.observations import LogRecord, Outcome, Sample, Snapshot

SAMPLES_MAX = 200_000
LOGS_MAX = 100_000
SNAPSHOTS_MAX = 500
OUTCOMES_MAX = 50_000
BACKUPS_MAX = 20_000
TEXTS_MAX_CHARS = 64 << 20  # of the configurations that outcomes carry

Row = TypeVar("Row")


@dataclass(slots=True)
class Heap:
    """Observations in the order in which they came, and the looks' memory up to them."""

    samples: list[Sample] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    backups: list[tuple[str, BackupReport]] = field(default_factory=list)
    samples_of: list[tuple[str, Sample]] = field(default_factory=list)  # of other assets than its machine

    @property
    def outcomes_by_asset(self) -> dict[str, list[Outcome]]:
        """Outcomes of each asset."""
        return _by_asset(self.outcomes)

    @property
    def backups_by_asset(self) -> dict[str, list[BackupReport]]:
        """Reports of backups of each asset."""
        return _by_asset(self.backups)

    @property
    def samples_by_asset(self) -> dict[str, list[Sample]]:
        """Numbers of each asset that is not the machine itself."""
        return _by_asset(self.samples_of)


class Seen:
    """The heap that grows while the one before is written to disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap = Heap()
        self.log_chars = 0

    def add(
        self,
        *,
        samples: Sequence[Sample] = (),
        logs: Sequence[LogRecord] = (),
        snapshots: Sequence[Snapshot] = (),
        outcomes: Sequence[tuple[str, Outcome]] = (),
        backups: Sequence[tuple[str, BackupReport]] = (),
        samples_of: Sequence[tuple[str, Sample]] = (),
        memory: dict[str, Any] | None = None,
    ) -> int:
        """Add to the heap; how many of the oldest had to give way."""
        with self._lock:
            self._heap.samples += samples
            self._heap.logs += logs
            self._heap.snapshots += snapshots
            self._heap.outcomes += outcomes
            self._heap.samples_of += samples_of
            for placed in backups:
                self._add_backup(*placed)
            if memory is not None:
                self._heap.memory = memory
            self.log_chars += sum(len(one.message) for one in logs)
            return self._trim()

    def take(self) -> Heap:
        """All of it; the heap is empty then."""
        with self._lock:
            heap, self._heap = self._heap, Heap(memory=self._heap.memory)
            self.log_chars = 0
            return heap

    def put_back(self, heap: Heap) -> int:
        """What could not be written comes before what was seen since; how many had to give way."""
        with self._lock:
            since = self._heap
            self._heap = Heap(
                heap.samples + since.samples,
                heap.logs + since.logs,
                heap.snapshots + since.snapshots,
                heap.outcomes + since.outcomes,
                since.memory,
                heap.backups + since.backups,
                heap.samples_of + since.samples_of,
            )
            self.log_chars += sum(len(one.message) for one in heap.logs)
            return self._trim()

    def _add_backup(self, asset: str, report: BackupReport) -> None:
        """Of how far a proof is only the newest word is worth sending."""
        backups = self._heap.backups
        if isinstance(report, ProgressReport) and backups:
            before = backups[-1][1]
            if isinstance(before, ProgressReport) and before.proof == report.proof:
                backups.pop()
        backups.append((asset, report))

    def _trim(self) -> int:
        heap = self._heap
        lost = 0
        for rows, most in (
            (heap.samples, SAMPLES_MAX),
            (heap.logs, LOGS_MAX),
            (heap.snapshots, SNAPSHOTS_MAX),
            (heap.outcomes, OUTCOMES_MAX),
            (heap.backups, BACKUPS_MAX),
            (heap.samples_of, BACKUPS_MAX),
        ):
            over = max(0, len(rows) - most)
            del rows[:over]
            lost += over
        return lost + self._trim_texts()

    def _trim_texts(self) -> int:
        """The oldest outcomes give up the configurations that they carry when these are too much."""
        outcomes = self._heap.outcomes
        carrying = [place for place, (_, outcome) in enumerate(outcomes) if outcome.snapshots]
        used, lost = 0, 0
        for place in reversed(carrying):
            asset, outcome = outcomes[place]
            used += sum(len(one.text) for one in outcome.snapshots)
            if used > TEXTS_MAX_CHARS:
                lost += len(outcome.snapshots)
                outcomes[place] = asset, msgspec.structs.replace(outcome, snapshots=[])
        return lost


def _by_asset(placed: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for asset, row in placed:
        found.setdefault(asset, []).append(row)
    return found
