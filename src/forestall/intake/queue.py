"""The durable queue: the only thing between a device and its acknowledgement.

One process writes a queue directory (`QueueWriter`, held by a lock), any process reads it (`QueueReader`).
Frames are appended from many threads and coroutines; one thread writes all that wait, syncs once, and only
then resolves their futures (group commit: a sync costs about 4 ms, whatever it carries).

**A reader sees only what is synced.** A frame that was written but not synced may vanish in a power cut; had
it been read, a cursor would point behind the end, and the telemetry's token of that range might later stand
for other data, which would then be dropped as a repetition. So the writer publishes a mark after each sync
and readers stop there. The mark itself needs no sync: it is written after the data that it covers, so on the
disk it can only lie too low, and the writer that opens the directory raises it to the last valid frame.
"""

import asyncio
import errno
import fcntl
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from forestall.intake.segments import (
    FRAME_MAX_BYTES,
    HEAD,
    MAGIC,
    MARK,
    START,
    Damage,
    Position,
    find_frame,
    frame_head,
    length_at,
    list_segments,
    read_mark,
    segment_path,
    size_of,
    walk,
    write_mark,
)
from forestall.intake.values import QueueBroken, QueueFull
from forestall.kernel.durable import make_directory, sync_directory
from forestall.kernel.errors import Trouble
from forestall.kernel.room import free_bytes
from forestall.kernel.words import say_bytes

__all__ = ["START", "Damage", "Position", "QueueBroken", "QueueFull", "QueueReader", "QueueWriter"]

PENDING_MAX_BYTES = 64 << 20
GROUP_MAX_BYTES = 16 << 20
MEASURE_EVERY_S = 0.25
DAMAGES_KEPT_MAX = 1000
OPEN_PART = 4  # a full queue begins a new segment when the one that is written is more than this part of it

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Waiting = tuple[bytes, "Future[None]"]


class QueueWriter:
    """The one writer of a queue directory.

    It refuses when the disk has less than `reserve_bytes` left: that is for findings and messages about it.
    `refused_at` (time.monotonic) is when it last refused a frame because the disk has no room.
    `fsync` is handed in so that a test can make it fail. `on_broken` is called once, from the writing thread,
    when the writer is broken for good; the process must exit then.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        segment_bytes: int = 64 << 20,
        reserve_bytes: int = 0,
        fsync: Callable[[int], None] = os.fsync,
        on_broken: Callable[[QueueBroken], None] | None = None,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._fsync = fsync
        self._on_broken = on_broken
        self._lock = _lock(directory)
        self._mark = -1
        self._file = -1
        try:
            self._mark = os.open(directory / MARK, os.O_RDWR | os.O_CREAT, 0o600)
            self._position = Position(self._recover(), 0)  # where the next frame goes
        except OSError as error:
            os.close(self._lock)
            raise Trouble(
                f"the queue {directory} cannot be written: {error.strerror}", "Check that disk."
            ) from error
        self._size = size_of(directory)
        self._measured_at = time.monotonic()
        self._free = free_bytes(directory)
        self._looked_at = time.monotonic()
        self.refused_at = -math.inf
        self._condition = threading.Condition()
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._turn_over = False
        self._broken: QueueBroken | None = None
        self._thread = threading.Thread(target=self._run, name=f"queue {directory.name}", daemon=True)
        self._thread.start()

    @property
    def size_bytes(self) -> int:
        """What the segments take, and what waits to be written."""
        return self._size + self._waiting_bytes

    def append(self, frame: bytes) -> "Future[None]":
        """Hand over a frame; the future's result comes after the sync.

        Raises QueueFull (also through the future, when the disk is full), QueueBroken, ValueError for a
        frame that is empty or larger than FRAME_MAX_BYTES.
        """
        if not 0 < len(frame) <= FRAME_MAX_BYTES:
            raise ValueError(f"a frame has 1 to {FRAME_MAX_BYTES} bytes, not {len(frame)}")
        future: Future[None] = Future()
        cost = HEAD.size + len(frame)
        with self._condition:
            if self._broken:
                raise self._broken
            if self._closing:
                raise QueueFull("the queue is closing")
            if self._waiting_bytes + cost > PENDING_MAX_BYTES:
                raise QueueFull("the disk is too slow for what comes in")
            self._require_room(cost)
            if self.size_bytes + cost + len(MAGIC) > self._max_bytes:
                self._measure()
                if self.size_bytes + cost + len(MAGIC) > self._max_bytes:
                    self._make_way()
                    raise QueueFull(f"the queue holds {say_bytes(self._size)}, as much as it may")
            self._waiting.append((frame, future))
            self._waiting_bytes += cost
            self._condition.notify()
        return future

    async def append_async(self, frame: bytes) -> None:
        """Return when the frame is on the disk. Raises as `append`."""
        await asyncio.wrap_future(self.append(frame))

    def close(self) -> None:
        """Write and sync what waits, then let go of the directory. Idempotent."""
        with self._condition:
            if self._closing:
                return
            self._closing = True
            self._condition.notify()
        self._thread.join()
        for descriptor in (self._file, self._mark, self._lock):
            if descriptor >= 0:
                os.close(descriptor)

    def _require_room(self, cost: int) -> None:
        """Raises QueueFull when the disk's reserve would be touched. Looked at every MEASURE_EVERY_S."""
        if not self._reserve_bytes:
            return
        if time.monotonic() - self._looked_at >= MEASURE_EVERY_S:
            self._looked_at = time.monotonic()
            self._free = free_bytes(self._directory)
        if self._free - self._waiting_bytes - cost < self._reserve_bytes:
            self.refused_at = time.monotonic()
            raise QueueFull(
                f"the disk of {self._directory} is full: {say_bytes(self._free)} are left, and"
                f" {say_bytes(self._reserve_bytes)} stay free for findings and messages"
            )

    def _make_way(self) -> None:
        """When the segment that is written is much of what fills the queue, begin the next one: the segment
        that is written is never trimmed."""
        if self._position.offset * OPEN_PART > self._max_bytes:
            self._turn_over = True
            self._condition.notify()

    def _measure(self) -> None:
        """Look what the readers have trimmed; not more often than MEASURE_EVERY_S."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURE_EVERY_S:
            self._measured_at = now
            self._size = size_of(self._directory)

    def _recover(self) -> int:
        """Cut the torn tail of the last segment, publish the mark. Returns the number of that segment."""
        segments = list_segments(self._directory)
        mark = read_mark(self._directory)
        if not segments:
            # No number twice, also when somebody emptied the directory and a reader still has its cursor.
            number = max(mark.segment, int(time.time()))
            write_mark(self._mark, Position(number, 0))
            return number
        last = segments[-1]
        path = segment_path(self._directory, last)
        data = memoryview(path.read_bytes())
        end = len(MAGIC)
        for step in walk(data[len(MAGIC) :], segment=last, base=len(MAGIC)):
            if not isinstance(step, Damage):
                end = step[0]
        if mark.segment == last:  # what was acknowledged is not cut away, even when it is damaged
            end = max(end, mark.offset)
        end = min(end, len(data))
        descriptor = os.open(path, os.O_RDWR)
        try:
            if end < len(data):
                os.ftruncate(descriptor, end)
            self._fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(self._directory)
        write_mark(self._mark, Position(last, end))
        return max(last, mark.segment)

    def _run(self) -> None:
        """The writing thread: take what waits, write, sync, answer."""
        while True:
            with self._condition:
                while not (self._waiting or self._closing or self._turn_over):
                    self._condition.wait()
                if not self._waiting and not self._turn_over:
                    return
                turn_over, self._turn_over = self._turn_over, False
                group, cost = self._take()
            group = [item for item in group if item[1].set_running_or_notify_cancel()]
            try:
                if turn_over:
                    self._open_segment()
                    write_mark(self._mark, self._position)
                gained = self._commit([frame for frame, _ in group])
                failure: QueueFull | QueueBroken | None = None
            except QueueFull as error:
                failure, gained = error, 0
                self.refused_at = time.monotonic()
            except Exception as error:
                failure, gained = QueueBroken(f"the queue {self._directory} cannot be written: {error}"), 0
            with self._condition:
                self._waiting_bytes -= cost
                self._size += gained
                self._free -= gained
                if isinstance(failure, QueueBroken):
                    self._broken = failure
            for _, future in group:
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
            if isinstance(failure, QueueBroken):
                self._fail_rest(failure)
                return

    def _take(self) -> tuple[list[Waiting], int]:
        """As many waiting frames as make one group, and their bytes."""
        cost = count = 0
        while count < len(self._waiting) and cost < GROUP_MAX_BYTES:
            cost += HEAD.size + len(self._waiting[count][0])
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group, cost

    def _fail_rest(self, failure: QueueBroken) -> None:
        with self._condition:
            rest, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for _, future in rest:
            if future.set_running_or_notify_cancel():
                future.set_exception(failure)
        if self._on_broken:
            self._on_broken(failure)

    def _commit(self, frames: list[bytes]) -> int:
        """Write the frames, sync, publish the mark; returns the bytes written.

        Raises QueueFull (nothing of the frames stays), OSError (broken).
        """
        if not frames:
            return 0
        gained = 0
        if self._file < 0 or self._position.offset >= self._segment_bytes:
            self._open_segment()
            gained = len(MAGIC)
        position = self._position
        offset = position.offset
        parts: list[bytes] = []
        for frame in frames:
            parts += (frame_head(position.segment, offset, frame), frame)
            offset += HEAD.size + len(frame)
        try:
            _write_all(self._file, b"".join(parts))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            os.ftruncate(self._file, position.offset)
            os.lseek(self._file, position.offset, os.SEEK_SET)
            raise QueueFull(f"the disk of {self._directory} is full: {error.strerror}") from error
        self._fsync(self._file)
        self._position = Position(position.segment, offset)
        write_mark(self._mark, self._position)
        return gained + offset - position.offset

    def _open_segment(self) -> None:
        """Start the next segment. Raises QueueFull (no new segment exists), OSError (broken)."""
        number = self._position.segment + 1
        path = segment_path(self._directory, number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise QueueFull(f"the disk of {self._directory} is full: {error.strerror}") from error
        try:
            _write_all(descriptor, MAGIC)
        except OSError as error:
            os.close(descriptor)
            path.unlink()
            if error.errno not in _NO_ROOM:
                raise
            raise QueueFull(f"the disk of {self._directory} is full: {error.strerror}") from error
        self._fsync(descriptor)
        sync_directory(self._directory)
        if self._file >= 0:
            os.close(self._file)
        self._file = descriptor
        self._position = Position(number, len(MAGIC))


class QueueReader:
    """Reads a queue directory, in any process, up to the mark. Holds no lock and no open file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._damages: dict[tuple[int, int], Damage] = {}
        self.damaged_count = 0

    def read(self, after: Position, *, max_bytes: int) -> list[tuple[Position, bytes]]:
        """The frames behind `after`, each with the position of its end; about `max_bytes` of them, but at
        least one when there is one. Empty when there is none.

        Damaged stretches are skipped: `damaged_count` and `damages` tell.
        """
        mark = read_mark(self._directory)
        for number in list_segments(self._directory) if mark > after else ():
            if number < after.segment or number > mark.segment:
                continue
            offset = max(after.offset, len(MAGIC)) if number == after.segment else len(MAGIC)
            frames = self._read_segment(number, offset, mark, max_bytes)
            if frames:
                return frames
        return []

    def end(self) -> Position:
        """The end of the last frame that can be read."""
        return read_mark(self._directory)

    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return size_of(self._directory)

    @property
    def damages(self) -> list[Damage]:
        """The damaged stretches met so far (the last DAMAGES_KEPT_MAX)."""
        return list(self._damages.values())

    def trim(self, upto: Position) -> int:
        """Unlink the segments that lie wholly before `upto`; returns how many. The caller has made its own
        cursor durable first. The segment that is being written always stays."""
        mark = read_mark(self._directory)
        gone = 0
        for number in list_segments(self._directory):
            path = segment_path(self._directory, number)
            done = number < upto.segment or (
                number == upto.segment < mark.segment and upto.offset >= path.stat().st_size
            )
            if done:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def _read_segment(
        self, number: int, offset: int, mark: Position, max_bytes: int
    ) -> list[tuple[Position, bytes]]:
        try:
            file = segment_path(self._directory, number).open("rb")
        except FileNotFoundError:  # trimmed since it was listed
            return []
        with file:
            limit = mark.offset if number == mark.segment else os.fstat(file.fileno()).st_size
            left = limit - offset
            if left <= 0:
                return []
            file.seek(offset)
            data = file.read(min(left, max(max_bytes, HEAD.size)))
            frames = self._frames(memoryview(data), number, offset)
            if frames or len(data) == left:
                return frames or self._skip(memoryview(data), number, offset)
            # The first frame is longer than max_bytes, or damaged.
            length = length_at(memoryview(data), 0, segment=number, base=offset)
            wanted = left if length is None else min(left, max(HEAD.size + length, len(data)))
            data += file.read(wanted - len(data))
            frames = self._frames(memoryview(data), number, offset)
            if frames or wanted == left:
                return frames or self._skip(memoryview(data), number, offset)
            data += file.read(left - wanted)
            return self._frames(memoryview(data), number, offset) or self._skip(
                memoryview(data), number, offset
            )

    def _skip(self, data: memoryview, number: int, offset: int) -> list[tuple[Position, bytes]]:
        """`data` reaches to the end of what may be read and has no complete frame: the rest is damaged,
        unless a damaged head says that its frame goes on behind the end."""
        self._note(Damage(number, offset, len(data)))
        found = find_frame(data, 1, segment=number, base=offset)
        return [] if found is None else self._frames(data[found:], number, offset + found)

    def _frames(self, data: memoryview, number: int, offset: int) -> list[tuple[Position, bytes]]:
        frames: list[tuple[Position, bytes]] = []
        for step in walk(data, segment=number, base=offset):
            if isinstance(step, Damage):
                self._note(step)
            else:
                frames.append((Position(number, step[0]), bytes(step[1])))
        return frames

    def _note(self, damage: Damage) -> None:
        key = (damage.segment, damage.offset)
        if key in self._damages:
            return
        self.damaged_count += 1
        self._damages[key] = damage
        if len(self._damages) > DAMAGES_KEPT_MAX:
            del self._damages[next(iter(self._damages))]


def near_the_end(directory: Path, *, most: int) -> Position:
    """`most` bytes before the end, or the beginning; it may lie inside a frame, which is then skipped."""
    left = most
    for number in reversed(list_segments(directory)):
        size = segment_path(directory, number).stat().st_size
        if size >= left:
            return Position(number, size - left)
        left -= size
    return START


def _lock(directory: Path) -> int:
    """Own the directory. Raises Trouble when another process does, or it cannot be made."""
    try:
        make_directory(directory)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Trouble(
            f"the queue {directory} cannot be written: {error.strerror}", "Make room, or mend its rights."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Trouble(
            f"the queue {directory} is written by another process", "Stop it, or use another data directory."
        ) from error
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
