"""The agent's spool: batches wait on disk until the server has them; bounded, the oldest give way.

One file a batch, `<number>-<rows>.batch`: written, fsynced, renamed, directory fsynced. Inside: magic, CRC,
lengths, the agent's memory (where its logs are to be read on), and the body as it is sent. The memory
becomes durable together with what was read, so that nothing is read twice or left out after a crash.
A number is never used again: numbers are reserved ahead in a file of their own, and where that file is gone
they go on from the clock.
"""

import os
import struct
import threading
from collections import deque
from pathlib import Path

import crc32c
import zstandard

from forestall.kernel.durable import make_directory, sync_directory
from forestall.kernel.observations import BATCH_MAX_BYTES, Batch, Observations, encode_batch

BYTES_MAX = 512 << 20
FILES_MAX = 50_000
RESERVE = 1_000
DIGITS = 16
SUFFIX = ".batch"
NUMBERS, MEMORY = "last", "memory"
LEVEL = 3
_HEAD = struct.Struct("<4sIII")  # magic, CRC-32C of all that follows, bytes of memory, bytes of body
_MAGIC = b"FSP1"


class Spool:
    """Batches in a directory, oldest first. Safe for several threads, not for two processes."""

    def __init__(self, directory: Path, *, now_ms: int, bytes_max: int = BYTES_MAX) -> None:
        make_directory(directory)
        self._directory = directory
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        for left in directory.glob(".new.*"):
            left.unlink(missing_ok=True)
        found = sorted(filter(None, map(_read_name, directory.glob(f"*{SUFFIX}"))))
        self._waiting = deque((number, rows, path, path.stat().st_size) for number, rows, path in found)
        self._size = sum(size for *_, size in self._waiting)
        self._reserved = self._read_reserved()
        self._last = max([self._reserved or now_ms, *(number for number, *_ in self._waiting)])
        self._dropped = 0
        self.dropped_total = 0
        self.memory = self._read_memory()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size_bytes(self) -> int:
        """What waits."""
        return self._size

    def put(self, observations: list[Observations], *, at_ms: int, memory: bytes | None = None) -> int:
        """Make observations durable as the next batch, with the agent's memory after them; its number.

        Raises OSError when the disk is full even after everything older was given up, ValueError for a
        batch that is too large.
        """
        with self._lock:
            number = self._last + 1
            self._reserve(number)
            while True:
                body = self._body(number, observations, at_ms)
                size = _HEAD.size + len(memory or b"") + len(body)
                if self._waiting and (self._size + size > self._bytes_max or len(self._waiting) >= FILES_MAX):
                    self._drop_oldest()
                    continue
                path = self._directory / f"{number:0{DIGITS}}-{count_rows(observations)}{SUFFIX}"
                try:
                    self._write(path, _framed(memory or b"", body))
                    break
                except OSError:
                    if not self._waiting:
                        raise
                    self._drop_oldest()
            if memory is not None:
                self._write(self._directory / MEMORY, _framed(memory, str(number).encode()))
                self.memory = memory
            self._last, self._dropped = number, 0
            self._waiting.append((number, count_rows(observations), path, size))
            self._size += size
            return number

    def first(self) -> tuple[int, bytes] | None:
        """The oldest batch: its number and its body, compressed. A damaged one counts as dropped."""
        with self._lock:
            while self._waiting:
                number, _, path, _ = self._waiting[0]
                try:
                    return number, _unframed(path.read_bytes())[1]
                except (OSError, ValueError):
                    self._drop_oldest()
            return None

    def done(self, number: int) -> None:
        """The server has it (nothing happens when it gave way meanwhile)."""
        with self._lock:
            if self._waiting and self._waiting[0][0] == number:
                _, _, path, size = self._waiting.popleft()
                self._size -= size
                path.unlink(missing_ok=True)

    def lose(self, rows: int) -> None:
        """Count what was given up before it could be spooled."""
        with self._lock:
            self._dropped += rows
            self.dropped_total += rows

    def _body(self, number: int, observations: list[Observations], at_ms: int) -> bytes:
        data = encode_batch(Batch(number, at_ms, observations, self._dropped))
        if len(data) > BATCH_MAX_BYTES:
            raise ValueError(f"a batch has at most {BATCH_MAX_BYTES} bytes, this one {len(data)}")
        return zstandard.ZstdCompressor(level=LEVEL).compress(data)

    def _drop_oldest(self) -> None:
        _, rows, path, size = self._waiting.popleft()
        self._size -= size
        self._dropped += rows
        self.dropped_total += rows
        path.unlink(missing_ok=True)

    def _reserve(self, number: int) -> None:
        if self._reserved is None or number > self._reserved:
            upto = number + RESERVE
            self._write(self._directory / NUMBERS, str(upto).encode())
            self._reserved = upto

    def _read_reserved(self) -> int | None:
        try:
            return int((self._directory / NUMBERS).read_text())
        except (OSError, ValueError):
            return None

    def _read_memory(self) -> bytes:
        """The newest memory: of its own file, or of a batch that was written after it."""
        newest, memory = 0, b""
        try:
            memory, number = _unframed((self._directory / MEMORY).read_bytes())
            newest = int(number)
        except (OSError, ValueError):
            pass
        for number_there, _, path, _ in reversed(self._waiting):
            if number_there <= newest:
                break
            try:
                found = _unframed(path.read_bytes())[0]
            except (OSError, ValueError):
                continue
            if found:
                return found
        return memory

    def _write(self, path: Path, data: bytes) -> None:
        """All of it or nothing, durably."""
        temporary = self._directory / f".new.{path.name}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_directory(self._directory)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def count_rows(observations: list[Observations]) -> int:
    """How many things were observed."""
    return sum(
        len(part.samples) + len(part.logs) + len(part.snapshots) + len(part.outcomes) for part in observations
    )


def _read_name(path: Path) -> tuple[int, int, Path] | None:
    number, _, rows = path.stem.partition("-")
    return (int(number), int(rows), path) if number.isdecimal() and rows.isdecimal() else None


def _framed(memory: bytes, body: bytes) -> bytes:
    tail = struct.pack("<II", len(memory), len(body)) + memory + body
    return _MAGIC + struct.pack("<I", crc32c.crc32c(tail)) + tail


def _unframed(data: bytes) -> tuple[bytes, bytes]:
    """Memory and body. Raises ValueError for a damaged file."""
    if len(data) < _HEAD.size:
        raise ValueError("the file is too short")
    magic, checksum, memory_bytes, body_bytes = _HEAD.unpack_from(data)
    if (
        magic != _MAGIC
        or len(data) != _HEAD.size + memory_bytes + body_bytes
        or checksum != crc32c.crc32c(data[8:])
    ):
        raise ValueError("the file is damaged")
    start = _HEAD.size
    return data[start : start + memory_bytes], data[start + memory_bytes :]
