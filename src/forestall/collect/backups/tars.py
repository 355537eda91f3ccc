"""Unpacks tars, packed in any way that `dumps` reads, into a directory and never beside it."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from forestall.collect.backups.background import Going
from forestall.collect.backups.dumps import ENTRIES_MAX, Stopped, Unsound, unpacked


class _Stream(io.RawIOBase):
    """What an iterator gives, as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: "memoryview[int]") -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._parts, b"")
        count = min(len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def unpack(path: Path, into: Path, *, going: Going) -> int:
    """How many entries. Links that lead out, devices and names that climb are refused. Raises Unsound for
    these and for a tar that is cut short, Stopped, OSError."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = 0
    with path.open("rb") as file:
        stream = io.BufferedReader(_Stream(unpacked(file, going=going)), 1 << 20)
        try:
            with tarfile.open(fileobj=stream, mode="r|", format=tarfile.PAX_FORMAT) as archive:
                for member in archive:
                    if not going():
                        raise Stopped
                    entries += 1
                    if entries > ENTRIES_MAX:
                        raise Unsound(f"it has more than {ENTRIES_MAX} entries")
                    if member.ischr() or member.isblk() or member.isfifo():
                        continue  # no content
                    archive.extract(member, into, filter="tar")
        except tarfile.FilterError as error:
            raise Unsound(f"it was not unpacked: {error}") from error
        except tarfile.TarError as error:
            raise Unsound(f"the tar is damaged after {entries} entries: {error}") from error
        while stream.read(1 << 20):
            pass  # what is behind its end belongs to the stream, whose own end is checked
    return entries
