"""Dumps of MariaDB (and MySQL) in a directory: mariadb-dump's and mysqldump's files, plain or compressed.

A dump proves itself in four steps: its ends are those of a dump, it is whole, all of it is read back, and a
throw-away MariaDB runs on what was loaded from it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from forestall.collect.backups import canary_row, files, mariadb
from forestall.collect.backups.adapter import CannotProve, Progress, Repository, Restored, RunRead
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.dumps import Examined, Unsound, quick_problem, unpacked, versions_problem
from forestall.collect.backups.files import Found
from forestall.collect.backups.headings import heading_of, wrong_database
from forestall.collect.backups.plain_sql import RowSought
from forestall.collect.backups.postgres import said_of
from forestall.kernel.backups import Canary, CheckSeen, CopySeen, RepositoryReport, RunReport
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="mariadb_dump",
    title="MariaDB or MySQL dump",
    about="Reads mariadb-dump's and mysqldump's files to their end, loads them into a throw-away MariaDB and "
    "asks what must hold.",
    source="MariaDB documentation: mariadb-dump, mariadb client, mariadb-check; client/mysqldump.cc (exit "
    "codes)",
    settings=(
        files.PATTERN, files.LEAST,
        Setting("tables", "Tables that must be in it", "lines", default=[], help="orders"),
        *mariadb.SETTINGS,
    ),
    limits="Only SQL in one file. Accounts and what else lies in the server's own databases is read to its "
    "end, and not loaded. A dump of MySQL 8 that MariaDB does not understand fails its drill, and says so.",
    produces=("run", "look", "check", "read", "drill", "service", "elsewhere"),
)  # fmt: skip
OWN_COMPARISON = True
SQL, SAFE = "dump.sql", "load.sql"
# What its exit code means. Source: MariaDB, client/mysqldump.cc, EX_USAGE and those below it.
_CODES = {
    1: "its options are wrong", 2: "the server refused something, or was lost",
    3: "the data is not consistent", 4: "no memory", 5: "the file cannot be written",
    6: "a table cannot be dumped",
}  # fmt: skip
_WRONG = re.compile(
    r"(?:mariadb-dump|mysqldump)(?:\.exe)?: (?:\[?error|got error|couldn't|cannot|.{0,20}(?:errno|unknown))|"
    r"error \d{4}",
    re.I,
)
_SPACES_ONLY = re.compile(r"PROCESS privilege.* when trying to dump tablespaces", re.I)


def plant(command: Sequence[str], *, plan: str, run: str, at_ms: int) -> Canary | None:
    """The canary row, by the connection of this dump. Raises OSError, ValueError."""
    return canary_row.plant_row("mariadb", command, plan=plan, run=run, at_ms=at_ms)


def excludes_of(command: Sequence[str]) -> list[str]:
    """The tables that a dump leaves out."""
    return canary_row.left_out("mariadb", command)


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """0 done, else an error by its number; a pipe ends with its last command's code, so errors are looked for
    in what was said too."""
    lines = [line.strip()[:300] for line in output.splitlines() if _WRONG.search(line)]
    wrong = [line for line in lines if not _SPACES_ONLY.search(line)]
    said = "; ".join((wrong or lines)[:3])
    if code == 0 and wrong:
        return RunRead("failed", f"the job ended with 0, but the dump said: {said}", version=version)
    if code == 0:
        more = f", without tablespaces (--no-tablespaces takes the message away): {said}" if lines else ""
        return RunRead("success", f"the dump ended with 0{more}", version=version)
    meaning = _CODES.get(code, "no code of mariadb-dump's own")
    return RunRead(
        "failed", f"the job ended with {code} ({meaning}){f': {said}' if said else ''}", version=version
    )


def found(repository: Repository) -> list[Found]:
    """All dumps, the oldest first. Raises CannotProve."""
    return files.find(files.place_of(repository), str(repository.settings["pattern"]))


async def look(repository: Repository) -> RepositoryReport:
    """Each dump by its size and its first and last bytes; of which database the newest is, who made it."""
    least = int(repository.settings["least_bytes"])
    wanted = str(repository.settings["database"])

    def problem(copy: Found) -> str:
        return (
            files.size_problem(copy, least)
            or quick_problem(copy.path, "mariadb")
            or wrong_database(copy.path, wanted)
        )

    return await files.look_files(
        repository, "mariadb_dump", lambda _: found(repository), problem=problem, headed=True
    )


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """All dumps by size; the newest read to its end: whole, versions, database, tables."""
    copies = await in_background(lambda _: found(repository))
    if not copies:
        raise CannotProve("there is no dump: nothing can be checked")
    least = int(repository.settings["least_bytes"])
    small = [f"{one.key}: {said}" for one in copies if (said := files.size_problem(one, least))]
    said = "; ".join(small[:5]) if small else f"all {len(copies)} dumps have at least {least} bytes"
    newest = copies[-1]
    seen = await files.examined(newest.path, tell, wanted=tuple(_words(repository)))
    return [CheckSeen("sizes", not small, said[:2048]), *_of_content(repository, newest.key, seen)]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """Whole dumps, by their names."""
    copies = await in_background(lambda _: found(repository))
    return await files.read_back(
        repository, [(one.key, one.path) for one in copies], part=part, of=of, tell=tell
    )


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """Unpacked into the directory; its contents, and the canary row in it."""
    one = files.chosen(await in_background(lambda _: found(repository)), copy.key)
    tell("unpacking", 0, one.size)
    sought = RowSought()
    try:
        await in_background(lambda going: _unpack(one, into / SQL, sought, going))
    except Unsound as error:
        return Restored(into, checks=[CheckSeen("format", False, f"{one.key}: {error}")], compared=True)
    except OSError as error:
        raise CannotProve(f"{one.key} cannot be restored: {error.strerror or error}") from error
    seen = await files.examined(into / SQL, tell, wanted=tuple(_words(repository)))
    checks = _of_content(repository, one.key, seen)
    if sought.at_ms is not None:
        said = f"the canary row that was planted at {sought.at_ms} is in it"
        checks.append(CheckSeen("canary row", True, said))
    return Restored(into, checks=checks, compared=True, canary_at_ms=sought.at_ms)


async def serve(repository: Repository, restored: Restored, *, tell: Progress) -> list[CheckSeen]:
    """Load it into a fresh server, then everything that a server shows of itself."""
    if any(not check.ok for check in restored.checks):
        return [CheckSeen("service", False, "what was restored is not sound: no server was started on it")]
    safe = restored.root / SAFE
    try:
        named = await in_background(lambda going: mariadb.guarded(restored.root / SQL, safe, going=going))
    except Unsound as error:
        return [CheckSeen("load", False, str(error)[:2048])]
    own = ""
    if not named:  # a dump of one database does not make it
        heading = await in_background(lambda _: heading_of(restored.root / SQL))
        own = str(repository.settings["database"]) or heading.database or "restored"
    tell("making a server", 0, 0)
    async with mariadb.serving(repository) as server:
        if own:
            quoted = own.replace("`", "``")
            made = await server.ask(f"create database `{quoted}` character set utf8mb4")
            if made.code != 0:
                raise CannotProve(f"no database can be made: {said_of(made)}")
        tell("loading the dump", 0, 0)
        loaded = await mariadb.load(server, safe, own)
        if not loaded.ok:
            return [loaded]
        await mariadb.own_definers(server)
        checks = [loaded, *await mariadb.structure(server, tell)]
        return [*checks, *await mariadb.questions(server, tell, await server.databases())]


def run_of_copy(copy: CopySeen) -> RunReport:
    """A dump stands for the run that wrote it."""
    return files.run_of_copy(copy, "mariadb_dump")


def _unpack(one: Found, into: Path, sought: RowSought, going: Going) -> None:
    """Raises Unsound, Stopped, OSError."""
    with one.path.open("rb") as file, into.open("wb") as out:
        for part in unpacked(file, going=going):
            out.write(part)
            sought.take(part)
    sought.end()
    if not into.stat().st_size:
        raise Unsound("it is empty: whatever wrote it said nothing")


def _words(repository: Repository) -> dict[str, str]:
    """What a table looks like in a dump → the table."""
    tables = [str(one) for one in repository.settings["tables"]]
    return {f"CREATE TABLE `{name.rpartition('.')[2]}` (": name for name in tables}


def _of_content(repository: Repository, key: str, seen: Examined) -> list[CheckSeen]:
    if seen.problem:
        return [CheckSeen("format", False, f"{key}: {seen.problem}"[:2048])]
    if seen.inside != "mariadb":
        return [CheckSeen("format", False, f"{key} is no dump of MariaDB: inside it is {seen.inside}")]
    said = f"{key}: {seen.inner_size} bytes of SQL, from the first line to the last"
    if seen.packed != "plain":
        said += f"; the {seen.packed} stream of {seen.size} bytes is whole"
    checks = [CheckSeen("format", True, said)]
    if seen.server and seen.tool:
        old = versions_problem(seen)
        said = f"a dump tool of {seen.tool} dumped a server of version {seen.server}"
        checks.append(CheckSeen("versions", not old, f"{key}: {old}" if old else said))
    wanted = str(repository.settings["database"])
    if wanted and seen.databases:
        ok, there = wanted in seen.databases, ", ".join(seen.databases)
        said = f"it is of database {there}{'' if ok else f', and {wanted} was to be saved'}"
        checks.append(CheckSeen("database", ok, f"{key}: {said}"[:2048]))
    words = _words(repository)
    missing = [name for word, name in words.items() if word in seen.missing]
    if words:
        said = f"all {len(words)} are in it"
        if missing:
            named = ", ".join(missing)
            said = (
                f"{key}: {named} of {len(words)} tables that must be in it are missing: is it the right one?"
            )
        checks.append(CheckSeen("tables", not missing, said[:2048]))
    return checks
