"""A borg repository that is a directory, without ever writing to it.

borg itself writes when it only looks: `check` renews the repository's nonce and configuration, any command
rebuilds a missing index. So it is shown a shadow: a directory with links to every segment and copies of the
small files; what it writes, locks or removes there, the repository does not feel. And its segments are read
back here, entry by entry, in slices that borg does not offer. Source: borg 1.2, Internals, Data structures.
"""

import configparser
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SEGMENT_MAGIC = b"BORG_SEG"
INDEX_MAGIC = b"BORG_IDX"
COPIED_MAX_BYTES = (
    1 << 20
)  # larger files (the index) are linked: borg replaces them, and never writes into them
SEGMENTS_MAX = 1_000_000
ENTRY_MAX_BYTES = 64 << 20
ERRORS_MAX = 5
READ_BYTES = 1 << 20
_ENTRY = struct.Struct("<IIB")  # CRC-32 of all behind it, size with this header, tag
_INDEX = struct.Struct("<8siibb")  # magic, entries, buckets, bytes of a key, bytes of a value
_BUCKET = struct.Struct("<32xII")  # of a segment's number and the place in it
_PUT, _DELETE, _COMMIT = 0, 1, 2
_NO_SEGMENT = 0xFFFFFFFE  # from here on: empty and deleted buckets


class NoRepository(ValueError):
    """What lies there is no borg repository that can be opened: the text says why."""


@dataclass(slots=True)
class Read:
    """What reading segments came to. `errors` are the first, `errors_total` all."""

    segments: int = 0
    entries: int = 0
    size: int = 0
    errors_total: int = 0
    errors: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something is damaged."""
        self.errors_total += 1
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(text)


def read_config(repository: Path) -> dict[str, str]:
    """The repository's own settings, without its key. Raises NoRepository, OSError."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((repository / "config").read_text())
        found = dict(parser["repository"])
    except FileNotFoundError:
        raise NoRepository(f"there is no borg repository at {repository}") from None
    except (KeyError, UnicodeDecodeError, configparser.Error) as error:
        raise NoRepository(
            f"the configuration of the repository {repository} cannot be read: {error}"
        ) from error
    found.pop("key", None)
    return found


def segments(repository: Path) -> dict[int, Path]:
    """The segments by number, in order. Raises OSError, NoRepository."""
    found: dict[int, Path] = {}
    for folder in (repository / "data").iterdir():
        if folder.name.isdecimal():
            found |= {int(path.name): path for path in folder.iterdir() if path.name.isdecimal()}
    if len(found) > SEGMENTS_MAX:
        raise NoRepository(f"{repository} has more than {SEGMENTS_MAX} segments")
    return dict(sorted(found.items()))


def transaction(repository: Path) -> int | None:
    """The number of the last whole transaction: the segment that it ended with; None when it has no index."""
    numbers = [path.name.removeprefix("index.") for path in repository.glob("index.*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=None)


def shadow(repository: Path, into: Path) -> Path:
    """A repository at `into` that reads like this one. Raises NoRepository, OSError."""
    read_config(repository)
    into.mkdir(mode=0o700)
    for path in repository.iterdir():
        if path.is_file() and not path.name.startswith("lock"):
            if path.stat().st_size <= COPIED_MAX_BYTES:
                shutil.copyfile(path, into / path.name)
            else:
                (into / path.name).symlink_to(path.absolute())
    for path in segments(repository).values():
        folder = into / "data" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path.absolute())
    return into


def lost(repository: Path) -> bool:
    """Whether segments of a shadow are gone since it was made: the repository was compacted."""
    return any(not path.exists() for path in segments(repository).values())


def read_segments(
    repository: Path,
    part: int,
    of: int,
    *,
    tell: Callable[[int, int], None] = lambda done, total: None,
    going: Callable[[], bool] = lambda: True,
) -> Read:
    """Every entry of the segments whose number is `part` - 1 modulo `of`, held against its CRC-32; what is
    beyond the last whole transaction is being written, or was left by a killed run. Raises OSError."""
    last = transaction(repository)
    chosen = {
        number: path
        for number, path in segments(repository).items()
        if number % of == part - 1 and (last is None or number <= last)
    }
    total = sum(path.stat().st_size for path in chosen.values())
    done = Read()
    for path in chosen.values():
        if not going():
            raise InterruptedError("told to stop")
        done.segments += 1
        try:
            with path.open("rb") as file:
                _read_segment(file, path, done)
        except OSError as error:
            done.note(f"segment {path.name} cannot be read: {error.strerror or error}")
        tell(done.size, total)
    return done


def _read_segment(file: IO[bytes], path: Path, done: Read) -> None:
    size = path.stat().st_size
    if file.read(len(SEGMENT_MAGIC)) != SEGMENT_MAGIC:
        done.note(f"segment {path.name} does not begin as one")
        return
    at = len(SEGMENT_MAGIC)
    while at < size:
        header = file.read(_ENTRY.size)
        if len(header) < _ENTRY.size:
            done.note(f"segment {path.name} is cut short at byte {at} of {size}")
            break
        checksum, length, tag = _ENTRY.unpack(header)
        if not _ENTRY.size <= length <= min(ENTRY_MAX_BYTES, size - at) or tag > _COMMIT + 1:
            done.note(f"segment {path.name} is damaged at byte {at}: an entry of {length} bytes, kind {tag}")
            break
        found = zlib.crc32(header[4:])
        rest = length - _ENTRY.size
        while rest and (data := file.read(min(rest, READ_BYTES))):
            found = zlib.crc32(data, found)
            rest -= len(data)
        if found != checksum:
            done.note(f"segment {path.name}: the entry at byte {at} is not what its checksum says")
        at += length
        done.entries += 1
    done.size += at


def check_index(repository: Path) -> Read:
    """Whether every segment that the index speaks of is there and long enough. Raises OSError."""
    done = Read()
    last = transaction(repository)
    if last is None:
        done.note("the repository has no index: a run was interrupted, or its files were removed")
        return done
    with (repository / f"index.{last}").open("rb") as file:
        magic, entries, buckets, key, value = _INDEX.unpack(file.read(_INDEX.size).ljust(_INDEX.size, b"\0"))
        if magic != INDEX_MAGIC or (key, value) != (32, 8):
            done.note(f"the index {last} is damaged, or of a version of borg that is not known here")
            return done
        furthest: dict[int, int] = {}
        found = 0
        for _ in range(0, buckets, 4096):
            data = file.read(4096 * _BUCKET.size)
            for segment, place in _BUCKET.iter_unpack(data[: len(data) // _BUCKET.size * _BUCKET.size]):
                if segment < _NO_SEGMENT:
                    found += 1
                    if place > furthest.get(segment, -1):
                        furthest[segment] = place
    done.entries = found
    if found != entries:
        done.note(f"the index says {entries} entries and has {found}")
    there = segments(repository)
    for segment, place in sorted(furthest.items()):
        done.segments += 1
        if segment not in there:
            done.note(f"segment {segment} is missing")
        elif there[segment].stat().st_size <= place:
            done.note(f"segment {segment} is cut short")
    return done
