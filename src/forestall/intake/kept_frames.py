"""The files in which frames of strangers wait: two generations a stranger, the newer one is appended to.

How much of a file counts is said by the database, so a crash between the two leaves nothing half: what is
behind that is overwritten the next time.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import zstandard

from forestall.intake.segments import FRAME_MAX_BYTES
from forestall.kernel.durable import make_directory, sync_directory

_LENGTH = struct.Struct("<I")


def pack_frame(frame: bytes) -> bytes:
    """A frame as it lies in a file: length (u32, little-endian), zstd."""
    packed = zstandard.compress(frame, 3)
    return _LENGTH.pack(len(packed)) + packed


class KeptFrames:
    """A directory of files. Used by one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, name: str, generation: int, *, at: int, packed: Sequence[bytes]) -> int:
        """Write frames (`pack_frame`) behind the first `at` bytes; returns where they end. Durable then.
        Raises OSError."""
        body = b"".join(packed)
        make_directory(self._directory)
        path = self._path(name, generation)
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, at)
            view, offset = memoryview(body), at
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            sync_directory(self._directory)
        return at + len(body)

    def read(self, name: str, generation: int, *, until: int) -> Iterator[bytes]:
        """The frames in the first `until` bytes; what is damaged ends it. Raises OSError other than that the
        file is gone."""
        if not until:
            return
        try:
            file = self._path(name, generation).open("rb")
        except FileNotFoundError:
            return
        with file:
            left = until
            while left >= _LENGTH.size:
                head = file.read(_LENGTH.size)
                if len(head) < _LENGTH.size:
                    return
                (length,) = _LENGTH.unpack(head)
                packed = file.read(min(length, left))
                left -= _LENGTH.size + length
                if left < 0 or len(packed) < length:
                    return
                try:
                    yield zstandard.ZstdDecompressor().decompress(packed, max_output_size=FRAME_MAX_BYTES)
                except zstandard.ZstdError:
                    return

    def forget(self, name: str, upto: int) -> None:
        """Delete the generations up to `upto` (the two that there can be)."""
        for generation in (upto - 1, upto):
            self._path(name, generation).unlink(missing_ok=True)

    def sweep(self, names: set[str]) -> int:
        """Delete the files of strangers that are not among `names`; returns how many."""
        gone = 0
        for path in self._directory.glob("*.kept") if self._directory.exists() else ():
            if path.name.partition(".")[0] not in names:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def _path(self, name: str, generation: int) -> Path:
        return self._directory / f"{name}.{generation}.kept"
