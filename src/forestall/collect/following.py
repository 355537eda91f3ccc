"""Files that grow, read on across restarts and rotation: nothing lost, nothing twice.

A file is known by device, inode and a digest of its first bytes. A rotated file is read to its end, and is
followed until nobody has written to it for a while (a daemon writes on to the renamed file until it is told
to reopen); so are whole generations that came and went unseen, also of a file that was never seen itself.
After copytruncate the rest is found in the copy, by its first bytes. A line without its end waits for it.
No clock of its own; source: logrotate(8).
"""

import gzip
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import IO, Any

LINE_MAX_BYTES = 65_536
HEAD_BYTES = 1024
FIRST_BYTES = 64 << 10
QUIET_S = 30.0
PLACES_MAX = 12
MISSED_MAX = 3
SIBLINGS_MAX = 500
MTIME_COARSE_NS = 20_000_000  # a file's time may be a tick of the kernel older than the clock
_ROTATED = re.compile(r"[.-]\d[\dTZ:._-]*?(\.gz)?")

Place = dict[str, Any]  # device, inode, offset, head (bytes), digest, mtime_ns: as kept in JSON


@dataclass(slots=True)
class Followed:
    """New lines without their ends, where to read on (oldest file first), whether more is there already."""

    lines: list[bytes] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    more: bool = False
    used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Sibling:
    """A file beside the followed one that may have been it."""

    path: Path
    device: int
    inode: int
    mtime_ns: int
    rotated: bool  # its name says so


def follow(
    path: Path,
    places: Sequence[Place],
    *,
    from_start: bool,
    most_bytes: int,
    most_lines: int,
    now_s: float,
    since_ns: int | None = None,
) -> Followed:
    """What was added to a file since `places` (none: it was never read; then `from_start` says whether all
    of it is new, and with `since_ns`, when it was looked for last, what was rotated away since is new, too).
    `most_bytes` is at least LINE_MAX_BYTES. Raises PermissionError."""
    result = Followed()
    if not places and from_start and since_ns is not None:
        places = _unseen(path, since_ns)
    try:
        file: IO[bytes] | None = path.open("rb")
    except FileNotFoundError:
        file = None
    state = os.fstat(file.fileno()) if file else None
    try:
        chain = _chain(path, list(places), file, state, from_start)
        for number, place in enumerate(chain):
            if result.used_bytes >= most_bytes or len(result.lines) >= most_lines:
                result.places += chain[number:]
                result.more = True
                break
            left = (max(LINE_MAX_BYTES, most_bytes - result.used_bytes), most_lines - len(result.lines))
            if file and state and number == len(chain) - 1 and _is_at(place, state):
                if place["offset"] != state.st_size or place["mtime_ns"] != state.st_mtime_ns:
                    place = _take(result, file, place, left, final=False, mtime_ns=state.st_mtime_ns)
                result.places.append(place)
            else:
                _take_rotated(result, path, place, left, now_s)
    finally:
        if file:
            file.close()
    result.places = result.places[-PLACES_MAX:]
    return result


def _chain(
    path: Path, places: list[Place], file: IO[bytes] | None, state: os.stat_result | None, from_start: bool
) -> list[Place]:
    """The files to be read, oldest first; the last is the one that has the name now, if there is one."""
    if file is None or state is None:
        return places
    if not places:
        start = 0
        if not from_start and state.st_size > FIRST_BYTES:
            file.seek(state.st_size - FIRST_BYTES)
            file.readline(LINE_MAX_BYTES)
            start = file.tell()
        return [_begin(state.st_dev, state.st_ino) | {"offset": start}]
    last = places[-1]
    if _is_at(last, state) and _is_continued(file, last, state.st_size, state.st_mtime_ns):
        return places
    located = _locate(path, last)
    between: list[Place] = []
    if located is not None:
        known = {(place["device"], place["inode"]) for place in places} | {(state.st_dev, state.st_ino)}
        between = [
            _begin(sibling.device, sibling.inode)
            for sibling in sorted(_siblings(path), key=lambda one: one.mtime_ns)
            if sibling.rotated
            and sibling.mtime_ns > located.mtime_ns
            and sibling.path != located.path
            and (sibling.device, sibling.inode) not in known
        ]
    if _is_at(last, state):  # copytruncate: the rest is in a copy, or gone
        places[-1] = last | {"inode": located.inode, "device": located.device} if located else {}
    return [*filter(None, places), *between, _begin(state.st_dev, state.st_ino)]


def _unseen(path: Path, since_ns: int) -> list[Place]:
    """The generations of a file, oldest first, that were made and rotated away since it was looked for."""
    after_ns = since_ns - MTIME_COARSE_NS
    new = [one for one in _siblings(path) if one.rotated and one.mtime_ns >= after_ns]
    return [_begin(one.device, one.inode) for one in sorted(new, key=lambda one: one.mtime_ns)]


def original(path: Path, name: str) -> str | None:
    """The name before a rotation (`app.log` of `app.log.1.gz`) when it is one that `name` matches."""
    for at in range(1, len(path.name)):
        if _ROTATED.fullmatch(path.name[at:]) and fnmatchcase(path.name[:at], name):
            return path.name[:at]
    return None


def _begin(device: int, inode: int) -> Place:
    digest = hashlib.sha256(b"").hexdigest()
    return {"device": device, "inode": inode, "offset": 0, "head": 0, "digest": digest, "mtime_ns": -1}


def _is_at(place: Place, state: os.stat_result) -> bool:
    return bool(place["inode"] == state.st_ino and place["device"] == state.st_dev)


def _is_continued(file: IO[bytes], place: Place, size: int | None, mtime_ns: int = -2) -> bool:
    """Whether a file is still the one that was read: it has not shrunk and begins the same."""
    if size is not None and size < place["offset"]:
        return False
    if size == place["offset"] and mtime_ns == place["mtime_ns"]:
        return True
    file.seek(0)
    return bool(hashlib.sha256(file.read(place["head"])).hexdigest() == place["digest"])


def _siblings(path: Path) -> list[_Sibling]:
    """Files beside it whose names begin as its own."""
    found = []
    for candidate in sorted(path.parent.glob(f"{escape(path.stem)}*"))[:SIBLINGS_MAX]:
        if candidate == path or not candidate.is_file():
            continue
        try:
            state = candidate.stat()
        except OSError:
            continue
        rotated = candidate.name.startswith(path.name) and bool(
            _ROTATED.fullmatch(candidate.name[len(path.name) :])
        )
        found.append(_Sibling(candidate, state.st_dev, state.st_ino, state.st_mtime_ns, rotated))
    return found


def _locate(path: Path, place: Place) -> _Sibling | None:
    """Where the file that was read is now: by its inode, else by its first bytes (copied or compressed)."""
    siblings = _siblings(path)
    same = [one for one in siblings if one.inode == place["inode"] and one.device == place["device"]]
    alike = [one for one in siblings if one.rotated] if place["head"] else []
    for sibling in (*same, *sorted(alike, key=lambda one: -one.mtime_ns)):
        try:
            with closing(_open(sibling.path)) as file:
                size = None if sibling.path.suffix == ".gz" else sibling.path.stat().st_size
                if _is_continued(file, place, size):
                    return sibling
        except (OSError, EOFError):
            continue
    return None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _take_rotated(result: Followed, path: Path, place: Place, left: tuple[int, int], now_s: float) -> None:
    """Read on in a file that has another name now; it is kept until it is quiet and read to its end."""
    where = _locate(path, place)
    if where is None:  # being renamed at this moment, or removed: then what was not read of it is gone
        missed = place.get("missed", 0) + 1
        if missed <= MISSED_MAX:
            result.places.append(place | {"missed": missed})
        return
    dead = (
        where.path.suffix == ".gz" or where.inode != place["inode"] or now_s - where.mtime_ns / 1e9 > QUIET_S
    )
    before = result.used_bytes
    with closing(_open(where.path)) as file:
        place = _take(result, file, place, left, final=dead, mtime_ns=where.mtime_ns)
    read_all = result.used_bytes - before < left[0] and not result.more
    if not (dead and read_all):
        result.places.append(place)


def _take(
    result: Followed, file: IO[bytes], place: Place, left: tuple[int, int], *, final: bool, mtime_ns: int
) -> Place:
    """Add whole lines from a place on; the place after them. `final`: a last line needs no end."""
    most_bytes, most_lines = left
    file.seek(place["offset"])
    data = file.read(most_bytes)
    full = len(data) == most_bytes
    end = data.rfind(b"\n") + 1
    if not end and full:
        end = len(data) // LINE_MAX_BYTES * LINE_MAX_BYTES
    if final and not full:
        end = len(data)
    parts = data[:end].split(b"\n", most_lines)
    if len(parts) > most_lines and parts[-1]:
        end -= len(parts.pop())
        result.more = True
    result.lines += [piece for line in parts for piece in _pieces(line.strip(b"\0\r"))]
    result.used_bytes += end
    result.more = result.more or (full and bool(end))
    offset = place["offset"] + end
    file.seek(0)
    head = file.read(min(HEAD_BYTES, offset))
    place = {name: value for name, value in place.items() if name != "missed"}
    return place | {
        "offset": offset,
        "head": len(head),
        "digest": hashlib.sha256(head).hexdigest(),
        "mtime_ns": mtime_ns if not full else -1,
    }


def _pieces(line: bytes) -> list[bytes]:
    """A line that is too long is cut up; an empty one is none."""
    if not line.strip():
        return []
    return [line[at : at + LINE_MAX_BYTES] for at in range(0, len(line), LINE_MAX_BYTES)]
