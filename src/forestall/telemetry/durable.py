"""What the store adds to chdb, so that an insert that was answered survives a power cut and is taken once.

ClickHouse syncs the files of a new part and the names of it (`fsync_after_insert`, `fsync_part_directory`),
but not the log of tokens by which it recognises an insert that comes again, nor the names of new tables; and
it writes a token into that log before it gives the part its name. So a power cut, or a kill between the two,
leaves a token without its part (the insert that comes again would be dropped: lost) or a part without its
token (the insert that comes again would be stored twice). Therefore:

1. before an insert begins, the highest number of a block of its table is noted, durably;
2. the insert is answered after the log of tokens is durable too;
3. before chdb opens the directory, for a noted insert: tokens without a part are forgotten, and parts without
   a token are removed. Neither was answered, so both come again.

One insert a table at a time. Source: ClickHouse's MergeTreeDeduplicationLog and MergeTreeSink; what is synced
when was read from a trace of its system calls (chdb of ClickHouse 26.9).
"""

import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NOTES = "inserting"
NOTE_BYTES = 512
TOKENS = "deduplication_logs"
ADDED, DROPPED = "1", "2"
REMOVED = "tmp_unacknowledged_"  # ClickHouse clears what begins with tmp_

_PART = re.compile(r"(?P<partition>[0-9A-Za-z-]+)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)(?:_\d+)?")
_TOKEN = re.compile(r"([12])\t([^\t]+)\t([^\t]+)")

log = logging.getLogger("store")


class Part(NamedTuple):
    """A part's name, read: its partition and the blocks that it holds."""

    partition: str
    first: int
    last: int
    level: int

    def holds(self, other: "Part") -> bool:
        """Whether the rows of another part are in this one."""
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


class Dangling(Exception):
    """A token was written whose part is not there: the process must end, and mend it at its next start."""


class Inserts:
    """Notes inserts into the tables of a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._synced: dict[Path, int] = {}

    @contextmanager
    def noted(self, table: str, place: Path) -> Iterator[None]:
        """Around an insert into a table whose files are in `place`: behind it the insert is durable and will
        be recognised. Raises OSError, Dangling."""
        with self._guard:
            lock = self._locks.setdefault(table, threading.Lock())
        with lock:
            after = max((part.last for _, part in list_parts(place)), default=0)
            self._note(table, {"place": str(place.relative_to(self._root)), "after": after})
            try:
                yield
            except Exception as error:
                if list_dangling(place, after):
                    raise Dangling(f"an insert into {table} broke off half done: {error}") from error
                raise
            for path in _token_files(place):
                _sync(path)

    def sync_tables(self) -> None:
        """Make the names and descriptions of tables durable, after a statement that changes them."""
        for path in _outside_of_parts(self._root):
            try:
                changed = path.stat().st_mtime_ns
                if self._synced.get(path) != changed:
                    _sync(path)
                    self._synced[path] = changed
            except FileNotFoundError:  # a file that was written and renamed meanwhile
                continue

    def _note(self, table: str, note: dict[str, str | int]) -> None:
        path = self._root / NOTES / table
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fresh = os.fstat(descriptor).st_size == 0
            os.pwrite(descriptor, json.dumps(note).encode().ljust(NOTE_BYTES), 0)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            _sync(path.parent)
            _sync(self._root)


def mend(root: Path) -> list[str]:
    """Put right what a cut or a kill left half done, before the directory is opened; what was done, in words.
    Raises OSError."""
    torn = [
        path for place in sorted(root.glob("store/*/*")) for path in _token_files(place) if _cut_torn(path)
    ]
    said = [f"the log of tokens {path.relative_to(root)} had lines that are none" for path in torn]
    for note in sorted(root.glob(f"{NOTES}/*")):
        try:
            noted = json.loads(note.read_bytes())
            place, after = root / str(noted["place"]), int(noted["after"])
        except (ValueError, KeyError, TypeError):
            continue  # torn: its insert had not begun
        if place.is_dir():
            said += _mend_table(note.name, place, after)
    return said


def _mend_table(table: str, place: Path, after: int) -> list[str]:
    said = []
    if dangling := list_dangling(place, after):
        _forget(place, dangling)
        said.append(f"{table}: {len(dangling)} tokens without their part are forgotten; they come again")
    logged = [part for part, _ in _logged(place)]
    for name, part in list_parts(place):
        if part.first > after and not any(part.holds(one) for one in logged):
            gone = place / f"{REMOVED}{name}"
            (place / name).rename(gone)
            _sync(place)
            shutil.rmtree(gone)
            said.append(f"{table}: the part {name}, which was not acknowledged, is removed; it comes again")
    return said


def list_parts(place: Path) -> list[tuple[str, Part]]:
    """The parts in a table's directory."""
    return [(entry.name, part) for entry in os.scandir(place) if (part := read_part(entry.name))]


def read_part(name: str) -> Part | None:
    """A part's name; None for anything else."""
    found = _PART.fullmatch(name)
    return Part(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


def list_dangling(place: Path, after: int) -> set[str]:
    """The names of parts behind a block that a token speaks of and that are not there."""
    there = [part for _, part in list_parts(place)]
    logged = [(part, name) for part, name in _logged(place) if part.first > after]
    return {name for part, name in logged if not any(one.holds(part) for one in there)}


def _logged(place: Path) -> list[tuple[Part, str]]:
    """The parts whose tokens are remembered."""
    names: dict[str, Part] = {}
    for path in _token_files(place):
        for line in path.read_text(errors="replace").splitlines():
            found = _TOKEN.fullmatch(line)
            part = read_part(found[2]) if found else None
            if not found or not part:
                continue
            if found[1] == ADDED:
                names[found[2]] = part
            else:
                names.pop(found[2], None)
    return [(part, name) for name, part in names.items()]


def _forget(place: Path, names: set[str]) -> None:
    for path in _token_files(place):
        lines = path.read_text(errors="replace").splitlines()
        kept = [line for line in lines if line.split("\t")[1] not in names]
        if kept != lines:
            _replace(path, kept)


def _cut_torn(path: Path) -> bool:
    """Leave out what is no whole line; whether there was any."""
    data = path.read_bytes()
    lines = data.decode(errors="replace").split("\n")
    kept = [line for line in lines if _TOKEN.fullmatch(line)]
    if len(kept) == len(lines) - 1 and lines[-1] == "":
        return False
    if not data:
        return False
    _replace(path, kept)
    return True


def _replace(path: Path, lines: list[str]) -> None:
    fresh = path.parent.parent / f"tmp_{path.name}"  # in the table's directory: every file beside it is a log
    fresh.write_text("".join(f"{line}\n" for line in lines))
    _sync(fresh)
    fresh.replace(path)
    _sync(path.parent)


def _token_files(place: Path) -> list[Path]:
    folder = place / TOKENS
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _outside_of_parts(root: Path) -> list[Path]:
    """Directories and files that say which tables there are, the inner ones first."""
    found = [path for path in root.glob("metadata/**/*") if not path.is_symlink()]
    for place in root.glob("store/*/*"):
        found += [path for path in place.iterdir() if path.is_file() or path.name in (TOKENS, "detached")]
        found += [*_token_files(place), place, place.parent]
    found += [path for path in root.glob("data/*") if path.is_dir()]
    found += [path for name in ("metadata", "data", "store") if (path := root / name).is_dir()]
    found += [path for path in root.iterdir() if path.is_file() and path.name != "status"]
    return [*dict.fromkeys(found), root, root.parent]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
