"""restic: snapshots in a repository on a disk, behind SFTP or HTTP, or in a cloud's store.

Every call has --no-lock and --no-cache: nothing is written to the repository, not even a lock. A snapshot is
named by its identifier, never `latest`, which a snapshot dated in the future would win.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

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
from forestall.collect.backups.programs import version_of
from forestall.collect.backups.restic_words import (
    errors_of,
    excludes_of,
    read_run,
    sources_of,
    version_command,
)
from forestall.collect.backups.sources import mount_of, room_of
from forestall.collect.backups.walking import size_below
from forestall.kernel.backups import (
    COPIES_MAX,
    CheckSeen,
    CopySeen,
    LockSeen,
    RepositoryReport,
    RunReport,
)
from forestall.kernel.plugins import Setting, Spec

__all__ = ["excludes_of", "read_run", "sources_of", "version_command"]

SECRETS = {
    "password": "RESTIC_PASSWORD",
    "user": "RESTIC_REST_USERNAME",
    "user_password": "RESTIC_REST_PASSWORD",
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "b2_account_id": "B2_ACCOUNT_ID",
    "b2_account_key": "B2_ACCOUNT_KEY",
    "azure_account_name": "AZURE_ACCOUNT_NAME",
    "azure_account_key": "AZURE_ACCOUNT_KEY",
}
SPEC = Spec(
    name="restic",
    title="restic",
    about="Looks into a restic repository, checks it, reads it back in slices, restores by identifier.",
    source="restic documentation: Scripting (exit codes, JSON output), Working with repositories (check)",
    settings=(
        *FILE_SETTINGS,
        Setting("host", "Only snapshots of this host", help="Empty: of all hosts"),
        Setting("tags", "Only snapshots with these tags", help="Separated by commas; empty: all"),
        *(
            Setting(name, name.replace("_", " ").capitalize(), "secret", default="", help=f"As {variable}")
            for name, variable in SECRETS.items()
        ),
    ),
    limits="Repositories in a directory, behind sftp:, rest:, s3:, b2:, azure:, gs: or swift:. Not rclone:, "
    "whose names can run programs. Sizes of snapshots before restic 0.17 are asked for the newest few only.",
    produces=("run", "look", "check", "read", "drill", "elsewhere"),
)
PART_MAX = 256  # restic divides packs by the first byte of their name
SIZED_MAX = 3  # snapshots a look asks the size of
KNOWN_MAX = 2_000
LOCKS_READ_MAX = 10
LIST_MAX_BYTES = 64 << 20
_PLACE = re.compile(
    r"(?:/|[A-Za-z]:[\\/])\S.*"
    r"|sftp:(?://)?(?:[\w.][\w.-]*@)?(?:[\w.][\w.-]*|\[[0-9a-fA-F:]+\])(?::\d+)?[:/].+"
    r"|(?:rest:https?://|s3:|b2:|azure:|gs:|swift:)[^\s-].*"
)
_ID = re.compile(r"[0-9a-f]{8,64}")
_UNLOADED = re.compile(r"^.*(?:could not|failed to) load (?:snapshot )?([0-9a-f]{8,64}).*$", re.M)
# What restic 0.14 to 0.18 say, and what kind of reason that is.
_REASONS: tuple[tuple[Why, re.Pattern[str]], ...] = (
    ("key", re.compile(r"wrong password|no key found|an empty password", re.I)),
    ("locked", re.compile(r"already locked|unable to create lock|no matching ID|no snapshot found|"
                          r"failed to load snapshot.*no such file", re.I)),
    ("damaged", re.compile(r"is damaged|ciphertext verification failed|invalid data returned|hash mismatch|"
                           r"unable to decode|unexpected EOF|invalid magic", re.I)),
    ("away", re.compile(r"unable to open config|unable to open repository|does not exist|no such file or dir|"
                        r"connection|no such host|timeout|i/o error|network|permission denied|server resp",
                        re.I)),
)  # fmt: skip
_known: dict[tuple[str, str], tuple[int, int]] = {}  # files and bytes of a snapshot, which never change
_identities: dict[tuple[str, str], dict[str, str]] = {}  # by place and oldest snapshot

# the repository


async def look(repository: Repository) -> RepositoryReport:
    """Snapshots, locks, room."""
    at_ms = repository.now_ms()
    version = await version_of(repository.run, "restic", "version")
    blank = RepositoryReport(plan="", at_ms=at_ms, opened=False, tool="restic", version=version)
    room = await in_background(lambda _: _room(repository.place))
    try:
        snapshots = await _snapshots(repository)
        copies = await _copies(repository, snapshots[-COPIES_MAX:])
        locks = await _locks(repository)
        settings = await _settings(repository, copies)
    except CannotProve as reason:
        return msgspec.structs.replace(blank, why=reason.why, reason=str(reason)[:2048], **room)
    return msgspec.structs.replace(
        blank, opened=True, copies=copies, copies_total=len(snapshots), locks=locks, settings=settings, **room
    )


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """`restic check`: the index, every snapshot's trees, and whether every pack is there."""
    tell("checking the structure", 0, 0)
    return [await _check(repository, "structure", "index, packs, snapshots and trees fit together")]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """`restic check --read-data-subset=n/t`: the packs whose name's first byte is n modulo t."""
    of = min(of, PART_MAX)
    part = (part - 1) % of + 1
    tell(f"reading part {part} of {of}", 0, 0)
    said = f"every pack of part {part} of {of} was read and is what its hash says"
    return [await _check(repository, "data read", said, f"--read-data-subset={part}/{of}")]


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """`restic restore ID`: paths lie below `into` as at the source."""
    if not _ID.fullmatch(copy.key):
        raise CannotProve(f"{copy.key!r} is no identifier of a snapshot: look into the repository again")
    tell("restoring", 0, copy.size or 0)
    ended = await _run(repository, "restore", copy.key, "--target", str(into))
    if ended.code == 0:
        said = f"restic restored snapshot {copy.key[:8]}"
    else:
        reason = _failed(ended)
        if reason.why in {"away", "key", "locked"} and not await asyncio.to_thread(os.listdir, into):
            raise reason
        said = f"restic ended with {ended.code}: {'; '.join(errors_of(_text(ended)))}"
    return Restored(into, checks=[CheckSeen("restore", ended.code == 0, said[:2048], ended.took_ms)])


def run_of_copy(copy: CopySeen) -> RunReport | None:
    """A snapshot stands for a run that ended about when it was made."""
    return RunReport(
        plan="", run=copy.key, at_ms=copy.at_ms, by="repository", said="unknown", copy=copy.key,
        tool="restic", ended_ms=copy.at_ms, files=copy.files, size=copy.size, added=copy.added,
        reason=f"snapshot {copy.key[:8]} is in the repository",
    )  # fmt: skip


async def _check(repository: Repository, name: str, well: str, *more: str) -> CheckSeen:
    before = await _indexes(repository)
    ended = await _run(repository, "check", *more)
    if ended.code == 0:
        return CheckSeen(name, True, well, ended.took_ms)
    reason = _failed(ended)
    errors = errors_of(_text(ended))
    if reason.why in {"away", "key", "locked"} and len(errors) <= 1:
        raise reason
    after = await _indexes(repository)
    if before is not None and after is not None and before - after:
        raise CannotProve(
            "the repository was pruned while it was read, so nothing can be said: this is tried again",
            why="locked",
        )
    return CheckSeen(name, False, f"restic check found errors: {'; '.join(errors)}"[:2048], ended.took_ms)


async def _indexes(repository: Repository) -> set[str] | None:
    """The names of the index files: a backup adds to them, only a prune takes some away. None: not known."""
    here = Path(repository.place) / "index"
    if await in_background(lambda _: here.is_absolute() and here.is_dir()):
        return await in_background(lambda _: {path.name for path in here.iterdir()})
    ended = await _run(repository, "list", "index")
    return set(ended.out.decode("utf-8", "replace").split()) if ended.code == 0 else None


async def _snapshots(repository: Repository) -> list[dict[str, Any]]:
    """As restic gives them, the oldest first."""
    words = ["snapshots", "--json"]
    if host := repository.settings.get("host"):
        words += ["--host", host]
    if tags := repository.settings.get("tags"):
        words += ["--tag", tags]
    ended = await _run(repository, *words)
    found = _read_json(ended, "snapshots")
    known = [one for one in found or [] if isinstance(one, dict) and _ID.fullmatch(str(one.get("id", "")))]
    damaged = [
        await in_background(lambda _, one=one: _damaged(repository.place, one[1], one[0]))  # type: ignore[misc]
        for one in _UNLOADED.finditer(ended.err.decode("utf-8", "replace"))
    ]
    return sorted([*known, *damaged], key=lambda one: _time_ms(one.get("time")))


def _damaged(place: str, key: str, said: str) -> dict[str, Any]:
    """A snapshot that restic only mentions on its standard error, and ends with 0: when it was made is not
    known but by its file."""
    paths = list((Path(place) / "snapshots").glob(f"{key}*")) if Path(place).is_absolute() else []
    time = datetime.fromtimestamp(paths[0].stat().st_mtime, UTC).isoformat() if paths else ""
    return {"id": paths[0].name if paths else key, "time": time, "problem": said[:2048]}


async def _copies(repository: Repository, snapshots: Sequence[dict[str, Any]]) -> list[CopySeen]:
    """The newest last, as CopySeen: with sizes where the snapshot has a summary, or they were asked for."""
    copies, asked = [], 0
    for one in reversed(snapshots):
        key = str(one["id"])
        summary = one.get("summary")
        files = size = added = None
        if isinstance(summary, dict):
            files, size = summary.get("total_files_processed"), summary.get("total_bytes_processed")
            added = summary.get("data_added_packed", summary.get("data_added"))
        elif "problem" not in one and ((repository.place, key) in _known or asked < SIZED_MAX):
            asked += (repository.place, key) not in _known
            files, size = await _size(repository, key)
        copies.append(
            CopySeen(
                key=key, at_ms=_time_ms(one.get("time")), host=str(one.get("hostname", ""))[:128],
                paths=[str(path)[:1024] for path in one.get("paths") or []][:64],
                files=files, size=size, added=added,
                problem=one.get("problem") or ("it holds no file" if files == 0 else ""),
            )
        )  # fmt: skip
    return copies[::-1]


async def _size(repository: Repository, key: str) -> tuple[int | None, int | None]:
    """Files and bytes that a restore would bring. restic counts directories too before 0.17, so files are
    counted by listing."""
    if known := _known.get((repository.place, key)):
        return known
    count = [0, 0]

    def line(data: bytes) -> None:
        try:
            said = json.loads(data)
        except ValueError:
            return
        if isinstance(said, dict) and said.get("type") == "file":
            count[0] += 1
            count[1] += int(said.get("size") or 0)

    ended = await _run(repository, "ls", "--json", key, line=line, most=1 << 16)
    if ended.code != 0:
        return None, None
    _known[repository.place, key] = (count[0], count[1])
    while len(_known) > KNOWN_MAX:
        del _known[next(iter(_known))]
    return count[0], count[1]


async def _locks(repository: Repository) -> list[LockSeen]:
    here = Path(repository.place) / "locks"
    if await in_background(lambda _: here.is_absolute() and here.is_dir() and not any(here.iterdir())):
        return []
    ended = await _run(repository, "list", "locks")
    if ended.code != 0:
        raise _failed(ended)
    keys = [key for key in ended.out.decode("utf-8", "replace").split() if _ID.fullmatch(key)]
    locks = []
    for key in keys[:LOCKS_READ_MAX]:
        try:
            said = await _json(repository, "cat", "lock", key)
        except CannotProve:  # it may be gone by now
            continue
        who = f"{said.get('username', '')}@{said.get('hostname', '')}, process {said.get('pid', '?')}"
        locks.append(LockSeen(key, _time_ms(said.get("time")), who[:128], bool(said.get("exclusive"))))
    return locks


async def _settings(repository: Repository, copies: Sequence[CopySeen]) -> dict[str, str]:
    """Which repository this is: another one at the same place is another one, and has other snapshots."""
    key = (repository.place, copies[0].key if copies else "")
    if copies and key in _identities:
        return _identities[key]
    try:
        said = await _json(repository, "cat", "config")
    except CannotProve:
        return {}
    _identities[key] = {"id": str(said.get("id", "")), "version": str(said.get("version", ""))}
    while len(_identities) > KNOWN_MAX:
        del _identities[next(iter(_identities))]
    return _identities[key]


def _room(place: str) -> dict[str, Any]:
    """Of a repository that is a directory here."""
    path = Path(place)
    if not path.is_absolute() or not path.is_dir():
        return {}
    free, room = room_of(path)
    return {"free": free, "room": room, "mount": mount_of(path), "used": size_below(path)}


async def _json(repository: Repository, *words: str) -> Any:
    return _read_json(await _run(repository, *words), words[0])


def _read_json(ended: Ended, what: str) -> Any:
    if ended.code != 0:
        raise _failed(ended)
    try:
        return json.loads(ended.out)
    except ValueError as error:
        raise CannotProve(f"restic {what} answered no JSON: {error}") from error


async def _run(
    repository: Repository,
    *words: str,
    line: Callable[[bytes], None] | None = None,
    most: int = LIST_MAX_BYTES,
) -> Ended:
    place = repository.place.strip()
    if not _PLACE.fullmatch(place):
        raise CannotProve(
            f"{place!r} is no place of a restic repository that is opened here: write an absolute path, or "
            "sftp:, rest:, s3:, b2:, azure:, gs: or swift:"
        )
    env = {SECRETS[name]: value for name, value in repository.secrets.items() if name in SECRETS and value}
    if "RESTIC_PASSWORD" not in env:
        raise CannotProve("the plan has no password of its repository: give it in the plan", why="key")
    env |= {"RESTIC_REPOSITORY": place, "RESTIC_PROGRESS_FPS": "0.5"}
    command = ["restic", "--no-lock", "--no-cache", *words]
    ended = await repository.run(command, env=env, line=line, most=most)
    if ended.timed_out:
        raise CannotProve(f"restic {words[0]} did not end in time ({ended.took_ms // 1000} s)", why="away")
    return ended


def _failed(ended: Ended) -> CannotProve:
    """Why restic did not do it, as an exception that is not raised yet."""
    text = _text(ended)
    why: Why = {10: "away", 11: "locked", 12: "key"}.get(ended.code, "tool")  # type: ignore[assignment]
    if why == "tool":
        why = next((kind for kind, words in _REASONS if words.search(text)), "tool")
    return CannotProve(
        f"restic ended with {ended.code}: {'; '.join(errors_of(text)) or 'it said nothing'}", why=why
    )


def _text(ended: Ended) -> str:
    return (ended.err + b"\n" + ended.out[-(64 << 10) :]).decode("utf-8", "replace")


def _time_ms(text: object) -> int:
    try:
        return max(0, round(datetime.fromisoformat(str(text)).timestamp() * 1000))
    except ValueError:
        return 0
