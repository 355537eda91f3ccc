"""The durable queue of mail: a file for each message that was acknowledged and is not yet taken in.

Not the queue of observations: a mail may have 35 MB where a frame has 8, there are few of them, and each is
read once, by one reader. See docs/decisions/0022-mail.md.
"""

from pathlib import Path

import msgspec

from forestall.intake.values import QueueFull
from forestall.kernel.durable import make_directory, sync_directory, write_durably
from forestall.kernel.ids import new_id
from forestall.kernel.room import free_bytes
from forestall.mail.blobs import Blobs
from forestall.mail.values import Arrived

WAITING_MAX = 10_000
WAITING_MAX_BYTES = 4 << 30
SUFFIX = ".json"


class Spool:
    """Messages wait in `waiting`, in the order of their names; what cannot be taken in at all is moved to
    `aside`, where it stays. Many writers, one reader."""

    def __init__(
        self,
        root: Path,
        *,
        reserve_bytes: int = 0,
        most: int = WAITING_MAX,
        most_bytes: int = WAITING_MAX_BYTES,
    ) -> None:
        self.blobs = Blobs(root / "blobs")
        self._waiting = root / "waiting"
        self._aside = root / "aside"
        self._reserve_bytes = reserve_bytes
        self._most, self._most_bytes = most, most_bytes
        for directory in (self._waiting, self._aside):
            make_directory(directory)

    def keep(self, data: bytes, **said: object) -> str:
        """Its name, when it is durable; `said` are the other fields of Arrived. Raises QueueFull."""
        count, size = self.load()
        if count >= self._most or size + len(data) > self._most_bytes:
            raise QueueFull(f"{count} mails wait to be taken in")
        if free_bytes(self._waiting) - len(data) < self._reserve_bytes:
            raise QueueFull("the disk is full")
        try:
            digest = self.blobs.keep(data)
            arrived = msgspec.convert({**said, "digest": digest, "size": len(data)}, Arrived)
            name = f"{new_id()}-{len(data)}"
            fresh = self._waiting / f".{name}"
            write_durably(fresh, msgspec.json.encode(arrived))
            fresh.replace(self._waiting / (name + SUFFIX))
            sync_directory(self._waiting)
        except OSError as error:
            raise QueueFull(f"a mail cannot be written: {error.strerror}") from error
        return name

    def load(self) -> tuple[int, int]:
        """How many wait, and how many bytes they have."""
        sizes = [int(name.rpartition("-")[2]) for name in self._names()]
        return len(sizes), sum(sizes)

    def names(self, *, most: int) -> list[str]:
        """What waits, the oldest first."""
        return sorted(self._names())[:most]

    def read(self, name: str) -> Arrived:
        """What is said of a message that waits. Raises OSError, msgspec.MsgspecError."""
        return msgspec.json.decode((self._waiting / (name + SUFFIX)).read_bytes(), type=Arrived)

    def done(self, name: str) -> None:
        """It was taken in, durably."""
        (self._waiting / (name + SUFFIX)).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """It could not be taken in, by a mistake of ours: it is kept for inspection and the rest goes on."""
        (self._waiting / (name + SUFFIX)).replace(self._aside / (name + SUFFIX))
        sync_directory(self._aside)

    def _names(self) -> list[str]:
        """`identifier-size` of each that waits."""
        return [path.stem for path in self._waiting.glob(f"[!.]*-*{SUFFIX}")]

    def aside(self) -> int:
        """How many were set aside."""
        return sum(1 for _ in self._aside.glob(f"*{SUFFIX}"))
