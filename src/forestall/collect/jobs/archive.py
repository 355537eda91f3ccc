"""Archives in a directory: tar (plain, gzip, zstd, xz, bzip2) and zip, one file a run."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePath

from forestall.collect.backups import files
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
from forestall.collect.backups.dumps import ENTRIES_MAX, Stopped, Unsound, quick_archive_problem
from forestall.collect.backups.files import Found
from forestall.collect.backups.tars import unpack
from forestall.kernel.backups import CheckSeen, CopySeen, RepositoryReport, RunReport
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="archive",
    title="Archives (tar, zip)",
    about="Reads archives to their end, unpacks one beside the original and compares.",
    source="POSIX.1 ustar and pax; PKWARE APPNOTE; GNU tar manual: Return Codes",
    settings=(files.PATTERN, files.LEAST, *FILE_SETTINGS),
    limits="tar and zip. 7z and rar are not read. An encrypted zip is only listed.",
    produces=("run", "look", "check", "read", "drill", "elsewhere"),
)
_OPTIONS = (
    "-f --file -C --directory --exclude -X --exclude-from -T --files-from -g --listed-incremental -b "
    "--transform -I --use-compress-program --owner --group --mode --mtime -V --label -N --newer"
)
_VALUED = frozenset(_OPTIONS.split())
_WRONG = re.compile(
    r"^(?:tar|/\S*/tar|bsdtar|zip)\b.*(?:Cannot|No such file|Permission denied|error|warning|changed as we|"
    r"Exiting with failure)", re.M,
)  # fmt: skip


def sources_of(command: Sequence[str]) -> list[str]:
    """What tar or zip packs, as it stands there; with -C as tar sees it."""
    words = _words(command)
    plain, values = split_options(words, _VALUED)
    if _is_zip(command):
        return plain[1:]
    if plain and re.fullmatch(r"[A-Za-z]*[cru][A-Za-z]*", plain[0]):  # the old way: tar czf FILE …
        plain = plain[2 if "f" in plain[0] else 1 :]
    elif words and re.match(r"-[A-Za-z]*f$", words[0]) and not values.get("-f"):
        plain = plain[1:]
    folder = (values.get("-C") or values.get("--directory") or [""])[-1]
    return [str(PurePath(folder) / one) for one in plain]


def excludes_of(command: Sequence[str]) -> list[str]:
    """--exclude and the lines of -X. Raises OSError."""
    _, values = split_options(_words(command), _VALUED)
    found = list(values.get("--exclude", []))
    listed = [*values.get("-X", []), *values.get("--exclude-from", [])]
    return [*found, *(line for path in listed for line in lines_of(path))]


def version_command(command: Sequence[str]) -> list[str]:
    """As the command runs it."""
    return [program_of(command, ("tar", "zip", "bsdtar", "gtar")) or "tar", "--version"]


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """GNU tar: 0 done, 1 some files changed while they were read, 2 an error. zip: 0 done, 18 a file could
    not be read, 12 nothing to do. A pipe ends with its last command's code: what was said counts too."""
    wrong = [line.strip()[:300] for line in output.splitlines() if _WRONG.search(line)]
    more = f": {'; '.join(dict.fromkeys(wrong[:3]))}" if wrong else ""
    name = "zip" if _is_zip(command) else "tar"
    if code == 0 and wrong:
        return RunRead("warning", f"the job ended with 0, but {name} said{more}", version=version)
    if code == 0:
        return RunRead("success", f"{name} ended with 0", version=version)
    if (name, code) in {("tar", 1), ("zip", 18)}:
        return RunRead(
            "warning", f"{name} ended with {code}: files are missing or changed{more}", version=version
        )
    return RunRead("failed", f"{name} ended with {code}{more}", version=version)


def found(repository: Repository) -> list[Found]:
    """All archives, the oldest first. Raises CannotProve."""
    return files.find(files.place_of(repository), str(repository.settings["pattern"]))


async def look(repository: Repository) -> RepositoryReport:
    """Each archive by its size, and by its end where it is not packed."""
    least = int(repository.settings["least_bytes"])

    def problem(copy: Found) -> str:
        return files.size_problem(copy, least) or quick_archive_problem(copy.path)

    return await files.look_files(repository, "archive", lambda _: found(repository), problem=problem)


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """All by size; the newest one read to its end, entry by entry."""
    copies = await in_background(lambda _: found(repository))
    if not copies:
        raise CannotProve("there is no archive: nothing can be checked")
    least = int(repository.settings["least_bytes"])
    small = [f"{one.key}: {said}" for one in copies if (said := files.size_problem(one, least))]
    said = "; ".join(small[:5]) if small else f"all {len(copies)} archives have at least {least} bytes"
    newest = copies[-1]
    seen = await files.examined(newest.path, tell)
    format_said = seen.problem or f"{seen.entries} entries, read to the end ({seen.inner_size} bytes)"
    if seen.inside not in {"tar", "zip"} and not seen.problem:
        format_said = f"inside it is {seen.inside}, no tar or zip"
    ok = not seen.problem and seen.inside in {"tar", "zip"}
    return [
        CheckSeen("sizes", not small, said[:2048]),
        CheckSeen("format", ok, f"{newest.key}: {format_said}"[:2048]),
    ]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """Whole archives, by their names."""
    copies = await in_background(lambda _: found(repository))
    return await files.read_back(
        repository, [(one.key, one.path) for one in copies], part=part, of=of, tell=tell
    )


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """Unpacked into the directory, and never beside it."""
    one = files.chosen(await in_background(lambda _: found(repository)), copy.key)
    tell("unpacking", 0, one.size)
    try:
        entries = await in_background(lambda going: _unpacked(one.path, into, going))
    except Unsound as error:
        return Restored(into, checks=[CheckSeen("restore", False, f"{one.key}: {error}"[:2048])])
    except OSError as error:
        raise CannotProve(f"{one.key} cannot be restored: {error.strerror or error}") from error
    return Restored(
        into, checks=[CheckSeen("restore", True, f"{entries} entries of {one.key} were unpacked")]
    )


def run_of_copy(copy: CopySeen) -> RunReport:
    """An archive stands for the run that wrote it."""
    return files.run_of_copy(copy, "archive")


def _words(command: Sequence[str]) -> list[str]:
    program = program_of(command, ("tar", "zip", "bsdtar", "gtar"))
    return list(command[command.index(program) + 1 :]) if program else []


def _is_zip(command: Sequence[str]) -> bool:
    return bool(program_of(command, ("zip",))) and not program_of(command, ("tar", "bsdtar", "gtar"))


def _unpacked(path: Path, into: Path, going: Going) -> int:
    """Raises Unsound, Stopped, OSError."""
    with path.open("rb") as file:
        head = file.read(4)
    if not head.startswith(b"PK"):
        return unpack(path, into, going=going)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.infolist()
            if len(names) > ENTRIES_MAX:
                raise Unsound(f"it has more than {ENTRIES_MAX} entries")
            for one in names:
                if not going():
                    raise Stopped
                if one.flag_bits & 1:
                    raise Unsound(f"{one.filename} is encrypted: it can only be listed")
                archive.extract(one, into)  # takes ".." and roots out of names
            return len(names)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError) as error:
        raise Unsound(f"the zip is damaged: {error}") from error
