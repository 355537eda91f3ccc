"""Copies that are files in a directory (dumps, archives): which there are, what is wrong with the newest, and
reading them back in slices with their hashes remembered from the first reading.
"""

import fnmatch
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from forestall.collect.backups.adapter import CannotProve, Progress, Repository
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.dumps import Examined, Stopped, examine
from forestall.collect.backups.headings import heading_of
from forestall.collect.backups.sources import mount_of, room_of
from forestall.kernel.backups import COPIES_MAX, CheckSeen, CopySeen, RepositoryReport, RunReport
from forestall.kernel.plugins import Setting

FOUND_MAX = 50_000
REMEMBERED_MAX = 500_000
NAMED_MAX = 5
LEAST_BYTES = 64
READ_BYTES = 1 << 20
UNFINISHED = (".tmp", ".part", ".partial", ".new", ".incomplete", "~")
PATTERN = Setting(
    "pattern",
    "Which files",
    default="*",
    help="Of the directory: shop-*.dump, daily/*.sql.gz; * is all of it",
)
LEAST = Setting(
    "least_bytes", "Bytes that a copy has at least", "whole", default=LEAST_BYTES, least=1,
    help="A smaller one cannot be what it should be: 20 bytes are a gzip of nothing",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A copy: a file, or a directory that is one copy. `key` is its path below the place."""

    key: str
    path: Path
    at_ms: int
    size: int
    is_directory: bool = False


class Remembered(msgspec.Struct, array_like=True):
    """What a file was when it was first read."""

    size: int
    mtime_ns: int
    sha256: str


def place_of(repository: Repository) -> Path:
    """The directory. Raises CannotProve."""
    place = Path(repository.place.strip().removeprefix("file://"))
    if not place.is_absolute() or "\0" in str(place):
        raise CannotProve(f"{repository.place!r} is no directory: write an absolute path into the plan")
    try:
        if not place.is_dir():
            raise CannotProve(f"there is no directory {place}: mount it, or mend the plan", why="away")
        os.listdir(place)  # noqa: PTH208 - whether it can be listed at all
    except OSError as error:
        raise CannotProve(
            f"the directory {place} cannot be read: {error.strerror or error}", why="away"
        ) from error
    return place


def find(
    place: Path,
    pattern: str,
    *,
    is_copy: Callable[[Path], bool] = lambda path: path.is_file(),
    sized: bool = True,
) -> list[Found]:
    """The copies below the place, the oldest first; a file that is being written is none. `sized` False: what
    lies in a directory is not added up. Raises CannotProve."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise CannotProve(f"the pattern {pattern!r} must stay below the directory: mend the plan")
    found: list[Found] = []
    try:
        for path in place.glob(pattern):
            if path.is_symlink() or path.name.startswith(".") or path.name.endswith(UNFINISHED):
                continue
            if not is_copy(path):
                continue
            if len(found) >= FOUND_MAX:
                raise CannotProve(f"more than {FOUND_MAX} files are {pattern!r}: narrow the pattern")
            found.append(_found(place, path, sized))
    except (OSError, ValueError, NotImplementedError) as error:
        raise CannotProve(f"{place} cannot be listed by {pattern!r}: {error}", why="away") from error
    return sorted(found, key=lambda one: (one.at_ms, one.key))


def _found(place: Path, path: Path, sized: bool) -> Found:
    facts = path.stat()
    key = str(path.relative_to(place))
    if not path.is_dir():
        return Found(key, path, facts.st_mtime_ns // 1_000_000, facts.st_size)
    if not sized:
        return Found(key, path, facts.st_mtime_ns // 1_000_000, 0, True)
    files = [one.lstat() for one in path.rglob("*") if one.is_file()]
    newest = max((one.st_mtime_ns for one in files), default=facts.st_mtime_ns)
    return Found(key, path, newest // 1_000_000, sum(one.st_size for one in files), True)


def size_problem(copy: Found, least: int) -> str:
    """What the size alone gives away."""
    if copy.size == 0:
        return "it is empty: 0 bytes"
    return f"it has only {copy.size} bytes, and {least} are the least" if copy.size < least else ""


async def look_files(
    repository: Repository,
    tool: str,
    found: Callable[[Path], Sequence[Found]],
    *,
    problem: Callable[[Found], str],
    version: str = "",
    headed: bool = False,
) -> RepositoryReport:
    """A look: every copy by its size, and `problem` of the newest ones (what is quick to see). `headed`: the
    newest says what it is of and who made it, as dumps do."""
    at_ms = repository.now_ms()
    blank = RepositoryReport(plan="", at_ms=at_ms, opened=False, tool=tool, version=version)
    try:
        place = await in_background(lambda _: place_of(repository))
        copies = await in_background(lambda _: list(found(place)))
        seen = await in_background(lambda _: [_seen(one, problem) for one in copies[-COPIES_MAX:]])
        heading = await in_background(lambda _: heading_of(copies[-1].path) if headed and copies else None)
    except CannotProve as reason:
        return msgspec.structs.replace(blank, why=reason.why, reason=str(reason)[:2048])
    free, room = room_of(place)
    return msgspec.structs.replace(
        blank, opened=True, copies=seen, copies_total=len(copies), free=free, room=room,
        mount=mount_of(place), used=sum(one.size for one in copies),
        settings=heading.settings() if heading is not None else {},
    )  # fmt: skip


def _seen(copy: Found, problem: Callable[[Found], str]) -> CopySeen:
    return CopySeen(
        key=copy.key[-160:], at_ms=max(0, copy.at_ms), size=copy.size, added=copy.size,
        problem=problem(copy)[:2048],
    )  # fmt: skip


def run_of_copy(copy: CopySeen, tool: str) -> RunReport:
    """A file stands for the run that wrote it."""
    return RunReport(
        plan="", run=f"{copy.key[-140:]}@{copy.at_ms}", at_ms=copy.at_ms, by="repository", copy=copy.key,
        tool=tool, said="failed" if copy.problem else "unknown", ended_ms=copy.at_ms, size=copy.size,
        files=copy.files, added=copy.added,
        reason=f"{copy.key} is there, and {copy.problem}" if copy.problem else f"{copy.key} is there",
    )  # fmt: skip


def chosen(found: Iterable[Found], key: str) -> Found:
    """The copy of this key. Raises CannotProve."""
    for one in found:
        if one.key[-160:] == key:
            return one
    raise CannotProve(f"{key} is not there any more: it was removed since the last look")


def part_of(key: str, of: int) -> int:
    """Which part (from 1) of `of` a path belongs to: always the same."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]) % of + 1


async def examined(path: Path, tell: Progress, *, wanted: tuple[str, ...] = ()) -> Examined:
    """`dumps.examine` behind everything else. Raises CannotProve when it cannot be read."""

    def work(going: Going) -> Examined:
        return examine(
            path,
            going=going,
            told=lambda done, total: tell(f"reading {path.name}", done, total),
            wanted=wanted,
        )

    try:
        return await in_background(work)
    except OSError as error:
        raise CannotProve(f"{path} cannot be read: {error.strerror or error}", why="away") from error


async def read_back(
    repository: Repository,
    files: Sequence[tuple[str, Path]],
    *,
    part: int,
    of: int,
    tell: Progress,
    streams: bool = True,
) -> list[CheckSeen]:
    """Every file of a part, read whole: what it is inside (`streams`), and whether its hash is the one that
    it had when it was first read, if nothing says that it was written since."""
    part = (part - 1) % of + 1
    mine = [(key, path) for key, path in files if part_of(key, of) == part]
    memory = Memory(repository.keep, f"{part}-of-{of}")
    at_ms = repository.now_ms()
    try:
        read = await in_background(lambda going: _read(mine, memory, tell, streams, going))
    except OSError as error:
        raise CannotProve(f"part {part} of {of} cannot be read: {error}", why="away") from error
    took_ms = max(0, repository.now_ms() - at_ms)
    said = f"{read.files} files ({read.size} bytes) of part {part} of {of} were read to their end"
    if not mine:
        said = f"no file of {len(files)} falls into part {part} of {of}"
    if read.broken:
        said = f"{len(read.broken)} of {read.files} files of part {part} of {of}: {_named(read.broken)}"
    known = (
        f"{read.same} files have the hash that they had when they were first read, {read.fresh} were read "
        "for the first time"
    )
    if read.rotten:
        known = (
            f"{len(read.rotten)} files changed without being written: {_named(read.rotten)}; "
            "the disk or what lies between does not keep what it is given"
        )
    return [
        CheckSeen("data read", not read.broken, said[:2048], took_ms),
        CheckSeen("hashes", not read.rotten, known[:2048]),
    ]


def _named(problems: Sequence[str]) -> str:
    more = f" and {len(problems) - NAMED_MAX} more" if len(problems) > NAMED_MAX else ""
    return "; ".join(problems[:NAMED_MAX]) + more


@dataclass(slots=True)
class _Read:
    broken: list[str]
    rotten: list[str]
    files: int = 0
    size: int = 0
    same: int = 0
    fresh: int = 0


def _read(
    files: Sequence[tuple[str, Path]], memory: "Memory", tell: Progress, streams: bool, going: Going
) -> _Read:
    read, total = _Read([], []), len(files)
    before, now = memory.read(), {}
    for number, (key, path) in enumerate(files):
        tell("reading back", number, total)
        facts = path.stat()
        if streams:
            seen = examine(path, going=going)
            digest, size = seen.sha256, seen.size
            if seen.problem:
                read.broken.append(f"{key}: {seen.problem}")
        else:
            digest, size = hash_of(path, going)
        read.files += 1
        read.size += size
        known = before.get(key)
        fresh = Remembered(facts.st_size, facts.st_mtime_ns, digest)
        if known is None or (known.size, known.mtime_ns) != (fresh.size, fresh.mtime_ns):
            read.fresh += 1
            now[key] = fresh
            continue
        now[key] = known  # what it was at first stays the measure
        if known.sha256 == digest:
            read.same += 1
        else:
            read.rotten.append(f"{key} (size and time are the same, its hash is not)")
    memory.write(now)
    return read


def hash_of(path: Path, going: Going) -> tuple[str, int]:
    """SHA-256 and size of a file. Raises Stopped, OSError."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            if not going():
                raise Stopped
            found.update(data)
            size += len(data)
    return found.hexdigest(), size


class Memory:
    """The hashes of one part, in a file of the plan on this machine; what cannot be kept is read anew."""

    def __init__(self, keep: Path | None, name: str) -> None:
        self._path = keep / f"{name}.hashes" if keep is not None else None

    def read(self) -> dict[str, Remembered]:
        """Empty when there is none, or it is damaged: then this reading is the first."""
        try:
            data = self._path.read_bytes() if self._path else b""
            return msgspec.msgpack.decode(data, type=dict[str, Remembered]) if data else {}
        except (OSError, msgspec.MsgspecError):
            return {}

    def write(self, known: Mapping[str, Remembered]) -> None:
        """Raises OSError."""
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        some: dict[str, Any] = dict(list(known.items())[:REMEMBERED_MAX])
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.msgpack.encode(some))
        temporary.replace(self._path)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of these patterns."""
    return any(fnmatch.fnmatchcase(name, one) for one in patterns)
