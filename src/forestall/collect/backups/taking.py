"""Takes a manifest at the source before a run, and looks again after it at what moved meanwhile.

Only what changed since the manifest before is read (path, size, times and inode tell); the two are walked in
step. What changed is told in numbers: new, changed, removed, renamed, and how random the changed files look.
"""

import hashlib
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from forestall.collect.backups.manifest import Damaged, Entry, Head, Stat, Tail, Writer, read_entries
from forestall.collect.backups.walking import Found, order, pseudo_mounts, tops, walk

CHUNK_BYTES = 1 << 20
PROBLEMS_MAX = 20
NAMES_MAX = 100_000
SAMPLED_FILES_MAX = 200
SAMPLE_BYTES = 64 << 10
SAMPLE_LEAST_BYTES = 4 << 10  # below it a file's bytes say nothing about how random it is
MOVED_HASHED_MAX_BYTES = 2 << 30
MOVED_MAX = 100_000

Going = Callable[[], bool]  # False: end as soon as possible


@dataclass(slots=True)
class Changes:
    """What changed since the manifest before. `entropy`: bits per byte of a sample of new and changed files,
    None when there was nothing to sample."""

    new: int = 0
    changed: int = 0
    removed: int = 0
    renamed: int = 0
    entropy: float | None = None


@dataclass(slots=True)
class SourceCount:
    """Files and bytes below one source."""

    entries: int = 0
    size: int = 0


@dataclass(slots=True)
class Taken:
    """A manifest that was taken. `changes` None: there was none before. `problems` are the first of what
    could not be read, `unreadable` counts all."""

    tail: Tail
    at_ms: int
    sources: dict[str, SourceCount]
    changes: Changes | None
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    hashed: int = 0  # bytes that had to be read


class Moved(msgspec.Struct, frozen=True):
    """A file that is not as it was hashed before the run. `digest`, `size`: as it was after the run; empty
    when it was gone (`gone`), or was not read again."""

    digest: bytes = b""
    size: int = 0
    gone: bool = False


def take(
    sources: Sequence[str],
    *,
    full: Path,
    plain: Path | None,
    previous: Path | None,
    at_ms: int,
    skip: Callable[[bytes], bool] = lambda path: False,
    hashing: Going = lambda: True,
) -> Taken:
    """Walk the sources and write their manifest. When `hashing` says no the rest is not read any more: the
    manifest is then not whole, and the next one goes on from it. Raises OSError when it cannot be written."""
    found_tops = tops(sources)
    pseudo = pseudo_mounts()
    writer = Writer(Head(at_ms, found_tops), full=full, plain=plain)
    try:
        walker = _Taking(writer, previous, hashing)
        for top in found_tops:
            for found in walk(top, skip=lambda path: path in pseudo or skip(path)):
                walker.take(os.fsdecode(top), found)
        walker.rest()
        return Taken(
            writer.end(whole=walker.whole), at_ms, walker.sources, walker.changes(), walker.unreadable,
            walker.problems, walker.hashed,
        )  # fmt: skip
    except BaseException:
        writer.drop()
        raise


class _Taking:
    """The walk through source and manifest before, in step."""

    def __init__(self, writer: Writer, previous: Path | None, hashing: Going) -> None:
        self.writer, self.hashing = writer, hashing
        self.sources: dict[str, SourceCount] = {}
        self.problems: list[str] = []
        self.unreadable = self.hashed = 0
        self.whole = True
        self._had_before = previous is not None
        self._before = self._known(previous)
        self._next = next(self._before, None)
        self._new = self._changed = self._removed = 0
        self._gone: dict[bytes, bytes] = {}  # path → digest of what vanished
        self._came: dict[bytes, bytes] = {}
        self._bytes: Counter[int] = Counter()
        self._sampled = 0

    def _known(self, previous: Path | None) -> Iterator[tuple[Entry, Stat]]:
        """The manifest before; what cannot be read of it is hashed anew."""
        if previous is None:
            return
        try:
            for entry, state in read_entries(previous):
                if state is not None:
                    yield entry, state
        except (Damaged, OSError) as error:
            self._had_before = False
            self._problem(f"the manifest before cannot be read, every file is read again: {error}")

    def take(self, source: str, found: Found) -> None:
        """The next path of the source."""
        before = self._step(found.path)
        count = self.sources.setdefault(source, SourceCount())
        if found.stat is None:
            self.unreadable += 1
            self._problem(f"{os.fsdecode(found.path)}: {found.problem}")
            self.writer.add(Entry(found.path, "u", 0, found.problem.encode()), Stat(0, 0, 0, 0))
            return
        state = state_of(found.stat)
        if found.kind == "f":
            count.entries += 1
            count.size += state.size
            self.writer.add(self._file(found.path, state, before), state)
            return
        digest = b""
        if found.kind == "l":
            try:
                digest = os.readlink(found.path)  # noqa: PTH115 - names are bytes
            except OSError as error:
                digest = (error.strerror or str(error)).encode()
        self.writer.add(Entry(found.path, found.kind, 0, digest), state)

    def rest(self) -> None:
        """What the manifest before has beyond the end has vanished."""
        while self._next is not None:
            self._vanished(self._next[0])
            self._next = next(self._before, None)

    def changes(self) -> Changes | None:
        """In numbers, when there was a manifest before."""
        if not self._had_before:
            return None
        return Changes(self._new, self._changed, self._removed, self._renamed(), self._entropy())

    def _step(self, path: bytes) -> tuple[Entry, Stat] | None:
        """The manifest before at this path, None when it has nothing there."""
        key = order(path)
        while self._next is not None and order(self._next[0].path) < key:
            self._vanished(self._next[0])
            self._next = next(self._before, None)
        if self._next is None or self._next[0].path != path:
            return None
        before, self._next = self._next, next(self._before, None)
        return before

    def _file(self, path: bytes, state: Stat, before: tuple[Entry, Stat] | None) -> Entry:
        if before is not None and before[0].kind == "f" and before[1] == state:
            return before[0]
        if not self.hashing():
            self.whole = False
            return Entry(path, "n", state.size, b"")
        sample = state.size >= SAMPLE_LEAST_BYTES and self._sampled < SAMPLED_FILES_MAX and self._had_before
        try:
            digest, size, beginning = hash_file(path, sample=SAMPLE_BYTES if sample else 0)
        except OSError as error:
            self.unreadable += 1
            self._problem(f"{os.fsdecode(path)}: {error.strerror or error}")
            return Entry(path, "u", 0, (error.strerror or str(error)).encode())
        self.hashed += size
        if before is None or before[0].kind != "f":
            self._new += 1
            if len(self._came) < NAMES_MAX:
                self._came[path] = digest
        elif before[0].digest == digest:
            return Entry(path, "f", size, digest)  # touched, and the same
        else:
            self._changed += 1
        if beginning:
            self._sampled += 1
            self._bytes.update(beginning)
        return Entry(path, "f", size, digest)

    def _vanished(self, entry: Entry) -> None:
        if entry.kind not in "fn":
            return
        self._removed += 1
        if len(self._gone) < NAMES_MAX:
            self._gone[entry.path] = entry.digest

    def _renamed(self) -> int:
        """The same content under another name, or another name with a further ending at the same place."""
        came = Counter(self._came.values())
        ended: set[bytes] = set()
        for path in self._came:
            folder, slash, name = path.rpartition(b"/")
            while b"." in name:
                name = name.rpartition(b".")[0]
                ended.add(folder + slash + name)
        renamed = 0
        for path, digest in self._gone.items():
            if path in ended:
                renamed += 1
            elif digest and came[digest] > 0:
                came[digest] -= 1
                renamed += 1
        return renamed

    def _entropy(self) -> float | None:
        total = sum(self._bytes.values())
        if not total:
            return None
        return min(8.0, max(0.0, -sum(n / total * math.log2(n / total) for n in self._bytes.values())))

    def _problem(self, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)


def moved_since(
    full: Path, *, hashing: Going = lambda: True, most: int = MOVED_HASHED_MAX_BYTES
) -> dict[bytes, Moved]:
    """The files of a manifest that are not any more as they were hashed, each with what it is now; beyond
    `most` bytes in all they are not read. At most MOVED_MAX. Raises Damaged, OSError."""
    found: dict[bytes, Moved] = {}
    for entry, before in read_entries(full):
        if entry.kind not in "fn" or len(found) >= MOVED_MAX:
            continue
        try:
            now = os.lstat(entry.path)
            if stat.S_ISREG(now.st_mode) and state_of(now) == before and entry.size == now.st_size:
                continue
        except OSError:
            found[entry.path] = Moved(gone=True)
            continue
        if most < now.st_size or not hashing():
            found[entry.path] = Moved()
            continue
        try:
            digest, size, _ = hash_file(entry.path)
        except OSError:
            found[entry.path] = Moved()
            continue
        most -= size
        found[entry.path] = Moved(digest, size)
    return found


def state_of(facts: os.stat_result) -> Stat:
    """By what a file is known to be unchanged."""
    return Stat(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


def hash_file(
    path: bytes, *, sample: int = 0, going: Going = lambda: True, first: int | None = None
) -> tuple[bytes, int, bytes]:
    """SHA-256, bytes, and its first `sample` bytes. `first`: hash only so many. Raises OSError, also when it
    is no file any more, and InterruptedError when `going` says no."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is no file any more")
        digest, size, beginning = hashlib.sha256(), 0, b""
        while data := file.read(CHUNK_BYTES if first is None else min(CHUNK_BYTES, first - size)):
            if sample and not size:
                beginning = data[:sample]
            digest.update(data)
            size += len(data)
            if not going():
                raise InterruptedError("told to stop")
        return digest.digest(), size, beginning
