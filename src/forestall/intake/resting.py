"""How the store side of the pump is brought to rest for a moment, by another process, for a backup.

The store side holds `resting` while it works and lets go of it when somebody asks: whoever wants it at rest
takes `asking` first (so the store side, which looks there before every range, cannot win over and over),
then waits for `resting`. Both are locks of the kernel: they end with the process that holds them.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from forestall.kernel.errors import Trouble

ASKING = "asking"
RESTING = "resting"
POLL_S = 0.02


class Turn:
    """The store side's part. Used by one thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._asking = _open(directory / ASKING)
        self._resting = _open(directory / RESTING)
        self._has = False

    def begin(self, stopping: threading.Event) -> bool:
        """Take the turn; False when told to stop meanwhile."""
        while not self._has:
            if not self.is_asked() and _try_lock(self._resting):
                self._has = True
            elif stopping.wait(POLL_S):
                return False
        return True

    def is_asked(self) -> bool:
        """Whether somebody wants the store side at rest."""
        if not _try_lock(self._asking):
            return True
        fcntl.flock(self._asking, fcntl.LOCK_UN)
        return False

    def end(self) -> None:
        """Let go. What was written is in the cursors by now."""
        if self._has:
            fcntl.flock(self._resting, fcntl.LOCK_UN)
            self._has = False

    def close(self) -> None:
        """Let go for good. Idempotent."""
        self._has = False
        for descriptor in (self._asking, self._resting):
            if descriptor >= 0:
                os.close(descriptor)
        self._asking = self._resting = -1


@contextlib.contextmanager
def at_rest(directory: Path, *, wait_s: float) -> Iterator[None]:
    """Inside, nothing goes from the queues to the store, and the store side's cursor says exactly what the
    store has. Raises Trouble when it does not come to rest within `wait_s`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    asking, resting = _open(directory / ASKING), _open(directory / RESTING)
    deadline = time.monotonic() + wait_s
    try:
        for descriptor in (asking, resting):
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise Trouble(
                        f"the store side of the intake did not come to rest within {wait_s:.0f} s",
                        "Another backup runs, or the store does not answer: see forestall doctor.",
                    )
                time.sleep(POLL_S)
        yield
    finally:
        os.close(resting)
        os.close(asking)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
