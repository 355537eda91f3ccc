"""What could not be processed by a mistake of ours is set aside in files, to be looked at, and counted."""

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

FILES_MAX = 1_000
BYTES_MAX = 256 << 20


class Poison:
    """A directory of frames that were set aside: at most FILES_MAX files of BYTES_MAX together, beyond that
    only the count grows."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self.count = 0

    def set_aside(self, name: str, frames: Sequence[bytes]) -> Path | None:
        """Write the frames (a msgpack array); returns the file, or None when there is no room for it."""
        with self._lock:
            self.count += len(frames)
            path = self._directory / f"{name.replace(':', '-')}.frames"
            body = msgspec.msgpack.encode(list(frames))
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                sizes = [entry.stat().st_size for entry in self._directory.iterdir()]
                if len(sizes) >= FILES_MAX or sum(sizes) + len(body) > BYTES_MAX:
                    return None
                path.write_bytes(body)
            except OSError:  # the disk is full: the rejected row still tells
                return None
            return path
