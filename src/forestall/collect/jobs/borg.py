"""borg, and borgmatic, whose runs are runs of borg: archives in a repository here or behind SSH.

A repository that is a directory is opened as a shadow (`backups.borg_store`), one behind SSH with
--bypass-lock: neither is written to. An archive is found by its identifier; its name only tells borg.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from forestall.collect.backups import borg_store
from forestall.collect.backups.adapter import (
    FILE_SETTINGS,
    CannotProve,
    Ended,
    Progress,
    Repository,
    Restored,
    Why,
)
from forestall.collect.backups.background import in_background
from forestall.collect.backups.borg_words import (
    SAID_LINES,
    errors_of,
    excludes_of,
    read_run,
    sources_of,
    version_command,
)
from forestall.collect.backups.programs import version_of
from forestall.collect.backups.sources import mount_of, room_of
from forestall.collect.backups.walking import size_below
from forestall.kernel.backups import (
    COPIES_MAX,
    LOCKS_MAX,
    CheckSeen,
    CopySeen,
    LockSeen,
    RepositoryReport,
    RunReport,
)
from forestall.kernel.plugins import Setting, Spec

__all__ = ["excludes_of", "read_run", "sources_of", "version_command"]

SPEC = Spec(
    name="borg",
    title="borg and borgmatic",
    about="Looks into a borg repository, checks it, reads it back in slices, restores by identifier.",
    source="borg documentation: Return codes, JSON output, Internals (repository, index)",
    settings=(
        *FILE_SETTINGS,
        Setting("prefix", "Only archives whose name begins so", help="Empty: all of the repository"),
        Setting(
            "host_keys", "The repository's host keys", "lines", default=[],
            help="Lines of known_hosts; empty: those that this machine knows",
        ),
        Setting("password", "Passphrase", "secret", default="", help="Of the repository's key"),
        Setting("key", "Key file", "secret", default="", help="As `borg key export` writes it"),
        Setting("ssh_key", "SSH key", "secret", default="", help="Opens a repository behind SSH"),
    ),
    limits="borg 1.x. Behind SSH a check reads the archives' file lists, and a slice whole archives (by "
    "their identifier modulo the slices); a directory is checked as a whole and read by segments.",
    produces=("run", "look", "check", "read", "drill", "elsewhere"),
)  # fmt: skip
SIZED_MAX = 2  # archives a look lists the files of
REMOTE_CHECKED_MAX = 10
KNOWN_MAX = 2_000
LIST_MAX_BYTES = 64 << 20
_SSH = re.compile(r"(?:ssh://)?(?:[\w.][\w.-]*@)?(?:[\w.][\w.-]*|\[[0-9a-fA-F:]+\])(?::\d+)?[:/][\w./~@+ -]+")
_ID = re.compile(r"[0-9a-f]{64}")
_REASONS: tuple[tuple[Why, re.Pattern[str]], ...] = (
    ("key", re.compile(r"passphrase|No key file|key .*not found", re.I)),
    ("damaged", re.compile(r"integrity error|is not a valid repository|Inconsistency|checksum mismatch|"
                           r"has no manifest|Unsupported manifest|unexpected object", re.I)),
    ("locked", re.compile(r"Failed to create/acquire the lock", re.I)),
    ("away", re.compile(r"does not exist|connection closed|could not resolve|connection refused|timed out|"
                        r"no route|permission denied|host key verification|is not accessible", re.I)),
)  # fmt: skip
_known: dict[str, tuple[int, int]] = {}  # files and bytes of an archive, which never change


@dataclass(frozen=True, slots=True)
class _Opened:
    """What borg is told to open; `real` is the directory of which it is a shadow."""

    place: str
    real: Path | None


async def look(repository: Repository) -> RepositoryReport:
    """Archives, locks, room."""
    version = await version_of(repository.run, "borg", "--version")
    blank = RepositoryReport(
        plan="", at_ms=repository.now_ms(), opened=False, tool="borg", version=version
    )  # fmt: skip
    try:
        opened = await _open(repository)
        archives = await _archives(repository, opened)
        copies = await _copies(repository, opened, archives[-COPIES_MAX:])
    except CannotProve as reason:
        more = await in_background(lambda _: _here(repository.place))
        return msgspec.structs.replace(blank, why=reason.why, reason=str(reason)[:2048], **more)
    more = await in_background(lambda _: _here(repository.place))
    return msgspec.structs.replace(blank, opened=True, copies=copies, copies_total=len(archives), **more)


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """A directory: `borg check --archives-only` on its shadow, and every segment that the index speaks of is
    there. Behind SSH, where borg's check would write: the file lists of the newest archives."""
    opened = await _open(repository)
    if opened.real is None:
        return await _check_lists(repository, opened, tell)
    real = opened.real
    tell("checking the archives", 0, 0)
    ended = await _run(repository, "check", "--archives-only", opened.place)
    said = "every archive's file list is whole, and the index has every chunk of it"
    checks = [await _verdict(repository, opened, ended, "archives", said)]
    tell("checking the segments", 0, 0)
    index = await in_background(lambda _: borg_store.check_index(real))
    said = f"all {index.segments} segments of {index.entries} entries are there"
    if index.errors_total:
        said = f"{index.errors_total} errors: {'; '.join(index.errors)}"
    return [*checks, CheckSeen("segments", not index.errors_total, said[:2048])]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """A directory: its segments by number, each entry against its checksum. Behind SSH: the archives by
    identifier, each read as a restore would read it, and thrown away."""
    part = (part - 1) % of + 1
    opened = await _open(repository)
    if opened.real is None:
        return await _read_archives(repository, opened, part, of, tell=tell)
    real, at_ms = opened.real, repository.now_ms()
    before = borg_store.segments(real).keys()

    def told(done: int, total: int) -> None:
        tell(f"reading part {part} of {of}", done, total)

    read = await in_background(lambda going: borg_store.read_segments(real, part, of, tell=told, going=going))
    took_ms = max(0, repository.now_ms() - at_ms)
    if read.errors_total and before - borg_store.segments(real).keys():
        raise _changed()
    said = (
        f"{read.entries} entries of {read.segments} segments ({read.size} bytes) of part {part} of {of} were "
        "read and are what their checksums say"
    )
    if read.errors_total:
        said = f"{read.errors_total} errors in part {part} of {of}: {'; '.join(read.errors)}"
    return [CheckSeen("data read", not read.errors_total, said[:2048], took_ms)]


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """`borg extract`, of the archive that has this identifier."""
    opened = await _open(repository)
    archives = await _archives(repository, opened)
    name = next((str(one["name"]) for one in archives if one["id"] == copy.key), None)
    if name is None:
        raise CannotProve(f"there is no archive {copy.key[:16]}… any more: it was pruned since the last look")
    tell("restoring", 0, copy.size or 0)
    ended = await _run(repository, "extract", "--numeric-ids", f"{opened.place}::{name}", cwd=into)
    said = f"borg restored archive {name} ({copy.key[:8]})"
    return Restored(into, checks=[await _verdict(repository, opened, ended, "restore", said)])


def run_of_copy(copy: CopySeen) -> RunReport | None:
    """An archive stands for a run; a checkpoint for one that was interrupted."""
    return RunReport(
        plan="", run=copy.key, at_ms=copy.at_ms, by="repository", copy=copy.key, tool="borg",
        said="failed" if copy.problem.startswith("a checkpoint") else "unknown", ended_ms=copy.at_ms,
        files=copy.files, size=copy.size,
        reason=copy.problem or f"archive {copy.key[:8]} is in the repository",
    )  # fmt: skip


async def _check_lists(repository: Repository, opened: _Opened, tell: Progress) -> list[CheckSeen]:
    archives = await _archives(repository, opened)
    newest = archives[-REMOTE_CHECKED_MAX:]
    for number, one in enumerate(newest):
        tell("reading the archives' file lists", number, len(newest))
        ended = await _run(repository, "list", "--short", f"{opened.place}::{one['name']}", most=1 << 10)
        if ended.code != 0:
            return [await _verdict(repository, opened, ended, "archives", "")]
    said = (
        f"the file lists of the newest {len(newest)} of {len(archives)} archives are whole; whether every "
        "chunk is there cannot be asked over SSH without writing to the repository"
    )
    return [CheckSeen("archives", True, said)]


async def _read_archives(
    repository: Repository, opened: _Opened, part: int, of: int, *, tell: Progress
) -> list[CheckSeen]:
    archives = await _archives(repository, opened)
    chosen = [one for one in archives if int(one["id"][:15], 16) % of == part - 1]
    for number, one in enumerate(chosen):
        tell(f"reading part {part} of {of}", number, len(chosen))
        ended = await _run(repository, "extract", "--dry-run", f"{opened.place}::{one['name']}")
        if ended.code != 0:
            return [await _verdict(repository, opened, ended, "data read", "")]
    said = f"all data of {len(chosen)} of {len(archives)} archives (part {part} of {of}) was read"
    return [CheckSeen("data read", True, said)]


async def _verdict(repository: Repository, opened: _Opened, ended: Ended, name: str, well: str) -> CheckSeen:
    """What a command's exit code means. Raises CannotProve when it did not get to work."""
    if ended.code == 0:
        return CheckSeen(name, True, well, ended.took_ms)
    reason = _failed(ended)
    if reason.why in {"away", "key", "locked"}:
        raise reason
    if opened.real and borg_store.lost(Path(opened.place)):
        raise _changed()
    return CheckSeen(name, False, str(reason)[:2048], ended.took_ms)


def _changed() -> CannotProve:
    return CannotProve(
        "the repository was compacted while it was read, so nothing can be said: this is tried again",
        why="locked",
    )


async def _archives(repository: Repository, opened: _Opened) -> list[dict[str, Any]]:
    """As borg gives them, the oldest first; checkpoints too."""
    words = ["list", "--json", "--consider-checkpoints", "--format", "{hostname}{command_line}{end}"]
    if prefix := repository.settings.get("prefix"):
        words += ["--glob-archives", re.sub(r"([*?\[])", r"[\1]", prefix) + "*"]
    ended = await _run(repository, *words, opened.place)
    if ended.code != 0:
        raise _failed(ended)
    try:
        found = json.loads(ended.out)["archives"]
        known = [one for one in found if _ID.fullmatch(str(one["id"])) and one["name"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CannotProve(f"borg list answered in a way that is not known: {error}") from error
    return sorted(known, key=lambda one: _time_ms(one.get("start")))


async def _copies(
    repository: Repository, opened: _Opened, archives: Sequence[dict[str, Any]]
) -> list[CopySeen]:
    copies, asked = [], 0
    for one in reversed(archives):
        key, name = str(one["id"]), str(one["name"])
        files = size = None
        if key in _known or asked < SIZED_MAX:
            asked += key not in _known
            files, size = await _size(repository, opened, one)
        problem = "it holds no file" if files == 0 else ""
        if re.search(r"\.checkpoint(\.\d+)?$", name):
            problem = "a checkpoint: the run that made it was interrupted"
        copies.append(
            CopySeen(
                key=key, at_ms=_time_ms(one.get("start")), host=str(one.get("hostname", ""))[:128],
                paths=[path[:1024] for path in sources_of(one.get("command_line") or [])][:64],
                files=files, size=size, problem=problem,
            )
        )  # fmt: skip
    return copies[::-1]


async def _size(
    repository: Repository, opened: _Opened, archive: dict[str, Any]
) -> tuple[int | None, int | None]:
    """Files and bytes of an archive, by its file list."""
    key = str(archive["id"])
    if key in _known:
        return _known[key]
    count = [0, 0]

    def line(data: bytes) -> None:
        kind, _, size = data.partition(b" ")
        if kind == b"-" and size.isdigit():
            count[0] += 1
            count[1] += int(size)

    ended = await _run(
        repository, "list", "--format", "{type} {size}{NL}", f"{opened.place}::{archive['name']}",
        line=line, most=1 << 16,
    )  # fmt: skip
    if ended.code != 0:
        return None, None
    _known[key] = (count[0], count[1])
    while len(_known) > KNOWN_MAX:
        del _known[next(iter(_known))]
    return _known[key]


def _here(place: str) -> dict[str, Any]:
    """What can be seen of a repository that is a directory here: locks, room, settings."""
    path = Path(place)
    if not path.is_absolute() or not path.is_dir():
        return {}
    free, room = room_of(path)
    seen: dict[str, Any] = {"free": free, "room": room, "mount": mount_of(path), "used": size_below(path)}
    try:
        config = borg_store.read_config(path)
    except (borg_store.NoRepository, OSError):
        return seen
    names = ("id", "append_only", "storage_quota", "version")
    return {
        **seen,
        "locks": _locks(path),
        "settings": {name: config[name] for name in names if name in config},
    }


def _locks(path: Path) -> list[LockSeen]:
    """`lock.exclusive` is a directory with a file for who holds it; `lock.roster` names shared holders."""
    locks = []
    for exclusive in path.glob("lock.exclusive/*"):
        at_ms = round(exclusive.stat().st_mtime * 1000)
        locks.append(LockSeen(exclusive.name[:160], at_ms, exclusive.name[:128], exclusive=True))
    roster = path / "lock.roster"
    try:
        shared = json.loads(roster.read_text())["shared"]
        at_ms = round(roster.stat().st_mtime * 1000)
        for host, process, thread in shared:
            name = f"{host}.{process}-{thread}"
            locks.append(LockSeen(name[:160], at_ms, name[:128]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or it is being written
    return locks[:LOCKS_MAX]


async def _open(repository: Repository) -> _Opened:
    """A shadow of a directory, made once for this work. Raises CannotProve."""
    place = repository.place.strip().removeprefix("file://")
    real = Path(place)
    if not real.is_absolute():
        if not _SSH.fullmatch(place):
            raise CannotProve(
                f"{place!r} is no place of a borg repository: write an absolute path, or ssh://user@host:port/path"
            )
        return _Opened(place, None)
    into = repository.scratch / "repository"
    if into.exists():
        return _Opened(str(into), real)
    try:
        await in_background(lambda _: borg_store.shadow(real, into))
    except borg_store.NoRepository as error:
        away = not (real / "config").exists()
        raise CannotProve(str(error), why="away" if away else "damaged") from error
    except OSError as error:
        raise CannotProve(
            f"the repository {real} cannot be read: {error.strerror or error}", why="away"
        ) from error
    return _Opened(str(into), real)


async def _run(
    repository: Repository,
    *words: str,
    line: Callable[[bytes], None] | None = None,
    most: int = LIST_MAX_BYTES,
    cwd: Path | None = None,
) -> Ended:
    base = repository.scratch / "borg"
    await in_background(lambda _: base.mkdir(mode=0o700, exist_ok=True))
    env = {
        "BORG_BASE_DIR": str(base),
        "BORG_PASSPHRASE": repository.secrets.get("password", ""),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_HOSTNAME_IS_UNIQUE": "no",  # never break a lock, also not one of this host
        "BORG_EXIT_CODES": "legacy",
        "TZ": "UTC",
    }
    if key := repository.secrets.get("key"):
        env["BORG_KEY_FILE"] = str(_secret_file(base / "key", key))
    if "://" in repository.place or not Path(repository.place).is_absolute():
        env["BORG_RSH"] = _ssh(repository, base)
    ended = await repository.run(
        ["borg", "--bypass-lock", *words], env=env, line=line, most=most, cwd=cwd
    )  # fmt: skip
    if ended.timed_out:
        raise CannotProve(f"borg {words[0]} did not end in time ({ended.took_ms // 1000} s)", why="away")
    return ended


def _ssh(repository: Repository, base: Path) -> str:
    """How borg calls SSH: nothing is asked, and only hosts that are known are spoken to."""
    words = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=30"]
    if known := repository.settings.get("host_keys"):
        words += ["-o", f"UserKnownHostsFile={_secret_file(base / 'known_hosts', chr(10).join(known))}"]
    if key := repository.secrets.get("ssh_key"):
        words += ["-i", str(_secret_file(base / "ssh_key", key)), "-o", "IdentitiesOnly=yes"]
    return " ".join(words)


def _secret_file(path: Path, text: str) -> Path:
    """A file that only we can read; scratch is emptied after the work."""
    path.touch(mode=0o600)
    path.write_text(text.rstrip("\n") + "\n")
    return path


def _failed(ended: Ended) -> CannotProve:
    """Why borg did not do it, as an exception that is not raised yet."""
    text = (ended.err + b"\n" + ended.out[-(64 << 10) :]).decode("utf-8", "replace")
    why: Why = next((kind for kind, words in _REASONS if words.search(text)), "tool")
    said = "; ".join(errors_of(text)[:SAID_LINES]) or "it said nothing"
    return CannotProve(f"borg ended with {ended.code}: {said}", why=why)


def _time_ms(text: object) -> int:
    """borg 1.x writes local times without a zone; it was told that here is UTC."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return 0
    return max(0, round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000))
