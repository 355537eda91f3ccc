"""Directories that rsync keeps: snapshots side by side with hard links between them, or one plain mirror.

There is no format: a copy is a directory tree. Whether it is whole is known by the canary and the manifest
that travel in it; whether it stays so by the hashes of a first reading.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath

import msgspec

from forestall.collect.backups import canary, files
from forestall.collect.backups.adapter import (
    FILE_SETTINGS,
    CannotProve,
    Progress,
    Repository,
    Restored,
    RunRead,
)
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.commands import lines_of, program_of, split_options
from forestall.collect.backups.dumps import Stopped
from forestall.collect.backups.files import Found
from forestall.collect.backups.walking import walk
from forestall.kernel.backups import CheckSeen, CopySeen, RepositoryReport, RunReport, Said
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="rsync",
    title="rsync",
    about="Looks into snapshot directories and mirrors that rsync keeps, reads them back, restores a copy.",
    source="rsync(1): --link-dest, EXIT VALUES, --stats",
    settings=(
        *FILE_SETTINGS,
        Setting("snapshots", "Snapshot directories", default="",
                help="A pattern such as daily.* or 20*; empty: the directory is one mirror"),
        Setting("least_files", "Files that a copy has at least", "whole", default=1, least=0),
    ),
    limits="A mirror holds one state: a deletion at the source is a deletion of the copy. A directory on "
    "this machine or mounted here; a module of an rsync daemon cannot be looked into.",
    produces=("run", "look", "check", "read", "drill", "elsewhere"),
)  # fmt: skip
COUNTED_MAX = 3  # the newest copies, whose files a look counts
ENTRIES_MAX = 20_000_000
CANARY_DEPTH_MAX = 4
# rsync(1), EXIT VALUES. 24 is what a busy source leads to, and still some files are not there.
MEANINGS: dict[int, tuple[Said, str]] = {
    23: ("warning", "some files were not transferred"),
    24: ("warning", "some files vanished before they were transferred"),
    25: ("warning", "deletions were stopped at --max-delete"),
    10: ("failed", "the connection failed"), 11: ("failed", "a file could not be read or written"),
    12: ("failed", "the stream broke off: the other side ended, or its disk is full"),
    20: ("failed", "it was ended by a signal"), 30: ("failed", "it waited too long for data"),
    35: ("failed", "it waited too long for the daemon"),
}  # fmt: skip
_OPTIONS = (
    "-e --rsh -f --filter --exclude --exclude-from --include --include-from --files-from --link-dest "
    "--compare-dest --copy-dest --backup-dir --suffix --max-size --min-size --bwlimit --timeout "
    "--log-file --password-file --port --rsync-path --temp-dir -T --partial-dir --chmod --chown "
    "--usermap --groupmap --out-format --contimeout --max-delete --block-size -B --info --debug "
    "--modify-window"
)
_VALUED = frozenset(_OPTIONS.split())
_NUMBERS = {
    "files": re.compile(r"Number of files: ([\d,.]+)"),
    "size": re.compile(r"Total file size: ([\d,.]+) bytes"),
    "added": re.compile(r"Total transferred file size: ([\d,.]+) bytes"),
    "files_new": re.compile(r"Number of created files: ([\d,.]+)"),
    "files_removed": re.compile(r"Number of deleted files: ([\d,.]+)"),
}
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)(?:[T_ -]*(\d\d)[:h-]?(\d\d)(?:[:m-]?(\d\d))?)?")
_ERROR = re.compile(r"rsync(?: error)?:|IO error|rsync: |vanished:|failed: ", re.I)


def sources_of(command: Sequence[str]) -> list[str]:
    """All but the last of what is no option, as far as it lies here."""
    plain = _plain(command)
    return [one for one in plain[:-1] if not re.match(r"[^/]*:", one)]


def excludes_of(command: Sequence[str]) -> list[str]:
    """--exclude and the lines of --exclude-from. Raises OSError."""
    _, values = split_options(_words(command), _VALUED)
    found = list(values.get("--exclude", []))
    return [*found, *(line for path in values.get("--exclude-from", []) for line in lines_of(path))]


def version_command(command: Sequence[str]) -> list[str]:
    """As the command runs it."""
    return [program_of(command, ("rsync",)) or "rsync", "--version"]


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """0 done; 23, 24 and 25 are warnings; else an error."""
    wrong = [line.strip()[:300] for line in output.splitlines() if _ERROR.search(line)]
    more = f": {'; '.join(dict.fromkeys(wrong[:3]))}" if wrong else ""
    numbers = {
        name: int(re.sub(r"[,.]", "", match[1]))
        for name, words in _NUMBERS.items() if (match := words.search(output))
    }  # fmt: skip
    name = PurePath(plain[-1]).name if (plain := _plain(command)) else ""
    copy = name if _DATE.search(name) else ""  # a dated snapshot is known by its name, else by its time
    if code == 0:
        return RunRead("success", "rsync ended with 0", copy, version=version, **numbers)
    said, meaning = MEANINGS.get(code, ("failed", "an error"))
    how = f"rsync was ended by signal {-code}" if code < 0 else f"rsync ended with {code}, {meaning}"
    return RunRead(said, how + more, copy, version=version, **numbers)


def found(repository: Repository) -> list[Found]:
    """The snapshots, or the mirror's present state; the oldest first. Raises CannotProve."""
    place = files.place_of(repository)
    pattern = str(repository.settings["snapshots"])
    if pattern:
        copies = files.find(place, pattern, is_copy=lambda path: path.is_dir(), sized=False)
        return sorted((_dated(one) for one in copies), key=lambda one: (one.at_ms, one.key))
    state = _dated(Found("mirror", place, place.stat().st_mtime_ns // 1_000_000, 0, True))
    return [Found(f"mirror@{state.at_ms}", place, state.at_ms, 0, True)]


async def look(repository: Repository) -> RepositoryReport:
    """Each copy; the newest ones with their files and bytes."""
    least = int(repository.settings["least_files"])
    copies: list[CopySeen] = []

    def counted(_: Path) -> list[Found]:
        all_copies = found(repository)
        for one in all_copies:
            count, size = _count(one.path) if one in all_copies[-COUNTED_MAX:] else (None, None)
            few = count is not None and count < max(1, least)
            said = f"it has {count} files, and {max(1, least)} are the least" if few else ""
            copies.append(CopySeen(key=one.key[-160:], at_ms=one.at_ms, files=count, size=size, problem=said))
        return all_copies

    seen = await files.look_files(repository, "rsync", counted, problem=lambda _: "")
    if not seen.opened:
        return seen
    return msgspec.structs.replace(seen, copies=copies[-len(seen.copies) :], used=None)


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """Every copy has something in it; the newest can be walked to its last directory, and has enough."""
    copies = await in_background(lambda _: found(repository))
    if not copies:
        raise CannotProve("there is no snapshot directory: mend the pattern, or see why there is none")
    empty = await in_background(lambda _: [one.key for one in copies if not any(one.path.iterdir())])
    said = f"{len(empty)} of {len(copies)} are empty: {', '.join(empty[:5])}" if empty else (
        f"none of {len(copies)} is empty"
    )  # fmt: skip
    tell("walking through the newest copy", 0, 0)
    newest = copies[-1]
    unread, count = await in_background(lambda going: _walked(newest.path, going))
    least = int(repository.settings["least_files"])
    walked = f"{newest.key}: {count} files can be reached, {least} are the least"
    if unread:
        walked = f"{newest.key}: {len(unread)} directories cannot be read: {', '.join(unread[:5])}"
    return [
        CheckSeen("not empty", not empty, said[:2048]),
        CheckSeen("tree", not unread and count >= least, walked[:2048]),
    ]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """Every file once, however many copies it is linked into: by its path in the oldest one."""
    copies = await in_background(lambda _: found(repository))
    all_files = await in_background(lambda going: list(_once(copies, going)))
    return await files.read_back(repository, all_files, part=part, of=of, tell=tell, streams=False)


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """A copy of the tree."""
    one = files.chosen(await in_background(lambda _: found(repository)), copy.key)
    tell("copying", 0, copy.size or 0)
    try:
        await in_background(lambda _: shutil.copytree(one.path, into, symlinks=True, dirs_exist_ok=True))
    except shutil.Error as error:
        few = "; ".join(f"{path}: {why}" for path, _, why in error.args[0][:5])
        said = f"{len(error.args[0])} files cannot be read back: {few}"
        return Restored(into, checks=[CheckSeen("restore", False, said[:2048])])
    except OSError as error:
        raise CannotProve(f"{one.key} cannot be restored: {error.strerror or error}") from error
    return Restored(into, checks=[CheckSeen("restore", True, f"{one.key} was copied")])


def run_of_copy(copy: CopySeen) -> RunReport:
    """A snapshot, or a new state of the mirror, stands for a run."""
    return files.run_of_copy(copy, "rsync")


def _words(command: Sequence[str]) -> list[str]:
    program = program_of(command, ("rsync",))
    return list(command[command.index(program) + 1 :]) if program else []


def _plain(command: Sequence[str]) -> list[str]:
    return split_options(_words(command), _VALUED)[0]


def _dated(one: Found) -> Found:
    """By the canary in it, else the date in its name, else the directory's time (which rsync may set to the
    source's)."""
    if (at_ms := _canary_ms(one.path)) is not None:
        return Found(one.key, one.path, at_ms, one.size, True)
    if match := _DATE.search(one.key):
        numbers = [int(part) if part else 0 for part in match.groups()]
        try:
            local = datetime(*numbers[:6]).astimezone(UTC)  # type: ignore[arg-type]
            return Found(one.key, one.path, round(local.timestamp() * 1000), one.size, True)
        except ValueError:
            return one
    return one


def _canary_ms(top: Path) -> int | None:
    """When the newest canary that lies not deep below was planted."""
    newest: int | None = None
    waiting = [(top, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            planted = canary.read(folder / canary.DIRECTORY / canary.FILE)
            newest = max(newest or 0, planted.canary.at_ms)
            continue
        except (OSError, canary.Torn):
            pass  # none here, or none that is whole: a drill says so
        if depth < CANARY_DEPTH_MAX:
            try:
                with os.scandir(folder) as entries:
                    below = [Path(one.path) for one in entries if one.is_dir(follow_symlinks=False)]
            except OSError:
                continue
            waiting += [(path, depth + 1) for path in below[:50]]
    return newest


def _count(top: Path) -> tuple[int, int]:
    count = size = 0
    for one in walk(os.fsencode(top)):
        if one.kind == "f" and one.stat is not None:
            count += 1
            size += one.stat.st_size
    return count, size


def _walked(top: Path, going: Going) -> tuple[list[str], int]:
    unread, count = [], 0
    for one in walk(os.fsencode(top)):
        if not going():
            raise Stopped
        count += one.kind == "f"
        if one.kind == "u":
            unread.append(os.fsdecode(one.path))
    return unread, count


def _once(copies: Sequence[Found], going: Going) -> Iterator[tuple[str, Path]]:
    known: set[tuple[int, int]] = set()
    for copy in copies:
        mirror = copy.key.startswith("mirror@")
        for one in walk(os.fsencode(copy.path)):
            if not going() or len(known) > ENTRIES_MAX:
                raise Stopped
            if one.kind != "f" or one.stat is None or (one.stat.st_dev, one.stat.st_ino) in known:
                continue
            known.add((one.stat.st_dev, one.stat.st_ino))
            path = Path(os.fsdecode(one.path))
            key = str(path.relative_to(copy.path))
            yield key if mirror else f"{one.stat.st_dev}:{one.stat.st_ino}/{key}", path
