"""The agent's spool: batches wait on disk until the server has them; bounded, the oldest give way.

One file a batch, named by its number: written, fsynced, renamed into place. The number is never used again,
also after a crash: it is the greatest that was ever seen plus one.
"""

import os
from pathlib import Path

from forestall.kernel.observations import Batch, Observations, encode_batch

BYTES_MAX = 512 << 20
DIGITS = 16
SUFFIX = ".batch"


class Spool:
    """Batches in a directory, oldest first. Not for use by two processes at once."""

    def __init__(self, directory: Path, *, bytes_max: int = BYTES_MAX) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._bytes_max = bytes_max
        for left in directory.glob(".new.*"):
            left.unlink()
        self._sizes = {int(path.stem): path.stat().st_size for path in directory.glob(f"*{SUFFIX}")}
        counter = directory / "last"
        kept = int(counter.read_text() or 0) if counter.exists() else 0
        self._last = max([kept, *self._sizes])
        self._dropped = 0
        self.dropped_total = 0

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """What waits."""
        return sum(self._sizes.values())

    def put(self, observations: list[Observations], *, at_ms: int) -> int:
        """Make observations durable as the next batch; its number. Raises OSError when the disk is full
        even after everything older was given up, ValueError for a batch that is too large."""
        number = self._last + 1
        batch = Batch(number=number, sent_at_ms=at_ms, observations=observations, dropped=self._dropped)
        data = encode_batch(batch)
        while self._sizes and self.size_bytes + len(data) > self._bytes_max:
            self._drop_oldest()
        while True:
            try:
                self._write(number, data)
                break
            except OSError:
                if not self._sizes:
                    raise
                self._drop_oldest()
        self._last, self._dropped = number, 0
        self._sizes[number] = len(data)
        return number

    def first(self) -> tuple[int, bytes] | None:
        """The oldest batch: its number and bytes."""
        while self._sizes:
            number = min(self._sizes)
            try:
                return number, self._path(number).read_bytes()
            except OSError:
                self._sizes.pop(number)
        return None

    def done(self, number: int) -> None:
        """The server has it. The number is remembered before the file goes, so it is never used again."""
        if len(self._sizes) == 1:
            counter = self._directory / "last"
            temporary = counter.with_name(".new.last")
            temporary.write_text(str(self._last))
            temporary.replace(counter)
        self._path(number).unlink(missing_ok=True)
        self._sizes.pop(number, None)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:0{DIGITS}}{SUFFIX}"

    def _write(self, number: int, data: bytes) -> None:
        temporary = self._directory / f".new.{number}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(number))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _drop_oldest(self) -> None:
        number = min(self._sizes)
        self.done(number)
        self._dropped += 1
        self.dropped_total += 1
