"""Whether the disks below an installation do what they are told: a few bytes written, synced and read back,
again and again. Runs in the guard; the watch reads what came of it and makes a finding of it.

A disk that fails does not always fail where somebody looks: only a write that is synced says so. A disk that
hangs holds up whoever asks it, so the trial has a thread of its own. A disk that is full is told elsewhere.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from forestall.kernel.datadir import DataDir
from forestall.kernel.words import say_duration

TRY_EVERY_S = 5.0
HANGS_AFTER_S = 20.0  # a sync on a busy disk takes seconds
TRIAL = ".trial"
TRIAL_BYTES = 4096
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def places_of(data: DataDir) -> dict[str, Path]:
    """What an installation writes to, each of which may be a disk of its own."""
    return {"the data": data.run, "the queue": data.queue, "the telemetry": data.telemetry}


class DiskTrial:
    """Tries each of `places` (name → directory) in turn. `clock` is in seconds and never goes backwards."""

    def __init__(
        self,
        places: Mapping[str, Path],
        *,
        attempt: Callable[[Path], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = dict(places)
        self._attempt = attempt or try_disk
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: dict[str, str] = {}
        self._trying: tuple[str, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk trial", daemon=True)

    def start(self) -> None:
        """Try until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """No further trial; one that hangs is not waited for."""
        self._stop.set()

    def troubles(self) -> dict[str, str]:
        """Why each place that fails now fails, by its name."""
        with self._lock:
            found, trying = dict(self._failing), self._trying
        if trying and (hangs_s := self._clock() - trying[1]) > HANGS_AFTER_S:
            place, since = self._places[trying[0]], say_duration(hangs_s)
            found[trying[0]] = f"{place} has not answered a write of a few bytes for {since}"
        return found

    def round(self) -> None:
        """Try each place once."""
        for name, place in self._places.items():
            with self._lock:
                self._trying = (name, self._clock())
            reason = self._attempt(place)
            with self._lock:
                self._trying = None
                self._failing.pop(name, None)
                if reason:
                    self._failing[name] = reason

    def _run(self) -> None:
        while not self._stop.is_set():
            self.round()
            self._stop.wait(TRY_EVERY_S)


def try_disk(place: Path) -> str:
    """Write, sync and read back a few bytes in a directory; why that failed, "" when it did not."""
    path, said = place / TRIAL, os.urandom(TRIAL_BYTES)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, said)
            os.fsync(descriptor)
            if hasattr(os, "posix_fadvise"):  # read from the disk, not from memory
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            read = os.pread(descriptor, TRIAL_BYTES + 1, 0) if hasattr(os, "pread") else said
        finally:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
    except OSError as error:
        if error.errno in _NO_ROOM:
            return ""
        return f"a few bytes could not be written to {place}: {error.strerror}"
    return "" if read == said else f"{place} gave back other bytes than were written"
