"""Stretches of a queue, small enough to decode in memory."""

from dataclasses import dataclass
from pathlib import Path

from forestall.intake.decode import weigh
from forestall.intake.queue import Position, QueueReader
from forestall.intake.segments import MARK

READ_BYTES = 48 << 20  # about 400,000 lines: large inserts are what merges cost least after
RANGE_MAX_BYTES = 64 << 20  # decompressed
QUEUES_MAX = 64


@dataclass(frozen=True, slots=True)
class Range:
    """The frames of one queue behind `start`, up to and with `end`. `full`: there is probably more."""

    queue: str
    start: Position
    end: Position
    frames: list[tuple[Position, bytes]]
    full: bool

    @property
    def token(self) -> str:
        """The same for the same range, different for every other."""
        return f"{self.queue}:{self.start}-{self.end}"


def list_queues(root: Path) -> list[str]:
    """The names of the queue directories (at most QUEUES_MAX)."""
    return sorted(path.parent.name for path in root.glob(f"*/{MARK}"))[:QUEUES_MAX]


def read_range(
    reader: QueueReader, queue: str, after: Position, *, read_bytes: int = READ_BYTES
) -> Range | None:
    """What comes next, as much as is decoded at once; None when there is nothing."""
    frames = reader.read(after, max_bytes=read_bytes)
    if not frames:
        return None
    size = sum(len(frame) for _, frame in frames)
    weight, taken = 0, 0
    for _, frame in frames:
        weight += weigh(frame)
        if taken and weight > RANGE_MAX_BYTES:
            break
        taken += 1
    full = taken < len(frames) or size > read_bytes // 2
    return Range(queue, after, frames[taken - 1][0], frames[:taken], full)


def read_exactly(reader: QueueReader, queue: str, after: Position, until: Position) -> Range:
    """The range that was intended before a crash; frames that are damaged since are missing in it."""
    frames: list[tuple[Position, bytes]] = []
    at = after
    while at < until:
        part = [frame for frame in reader.read(at, max_bytes=READ_BYTES) if frame[0] <= until]
        if not part:
            break
        frames += part
        at = part[-1][0]
    return Range(queue, after, until, frames, True)
