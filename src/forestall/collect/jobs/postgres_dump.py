"""Dumps of PostgreSQL in a directory: pg_dump's custom, directory and plain format, plain or compressed.

A dump proves itself in four steps: it is whole, its table of contents can be read, all of it can be read, and
a throw-away server runs on what was loaded from it.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from forestall.collect.backups import canary_row, files, postgres
from forestall.collect.backups.adapter import (
    CannotProve,
    Progress,
    Repository,
    Restored,
    RunRead,
)
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.dumps import (
    Examined,
    Unsound,
    quick_problem,
    unpacked,
    versions_problem,
)
from forestall.collect.backups.files import Found
from forestall.collect.backups.headings import wrong_database
from forestall.collect.backups.plain_sql import RowSought, guarded
from forestall.kernel.backups import Canary, CheckSeen, CopySeen, RepositoryReport, RunReport
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="postgres_dump",
    title="PostgreSQL dump",
    about="Reads pg_dump's files to their end, loads them into a throw-away server and asks what must hold.",
    source="PostgreSQL documentation: pg_dump, pg_restore, psql, pg_amcheck",
    settings=(
        files.PATTERN, files.LEAST,
        Setting("tables", "Tables that must be in it", "lines", default=[], help="public.orders"),
        *postgres.SETTINGS,
    ),
    limits="One database a file. What pg_dumpall wrote is read to its end, and not loaded. Roles of the "
    "source are not there in a throw-away server: owners and grants are not restored.",
    produces=("run", "look", "check", "read", "drill", "service", "elsewhere"),
)  # fmt: skip
OWN_COMPARISON = True
SQL, CUSTOM, FOLDER = "dump.sql", "dump.pgdmp", "dump.d"
TOC_MAX_BYTES = 64 << 20
NO_ROLE = re.compile(r'role "[^"]*" does not exist')
_DBNAME = re.compile(r"^;\s+dbname: (.+)$", re.M)
_SERVER = re.compile(r"^;\s+Dumped from database version: ([\d.]+)", re.M)
_TOOL = re.compile(r"^;\s+Dumped by pg_dump version: ([\d.]+)", re.M)
_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE DATA (\S+) (\S+) ", re.M)


def plant(command: Sequence[str], *, plan: str, run: str, at_ms: int) -> Canary | None:
    """The canary row, by the connection of this dump. Raises OSError, ValueError."""
    return canary_row.plant_row("postgres", command, plan=plan, run=run, at_ms=at_ms)


def excludes_of(command: Sequence[str]) -> list[str]:
    """The tables and schemas that a pg_dump leaves out."""
    return canary_row.left_out("postgres", command)


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """pg_dump: 0 done, else an error; a pipe ends with its last command's code, so errors are looked for in
    what was said too."""
    wrong = [line.strip()[:300] for line in output.splitlines() if re.search(r"pg_dump(?:all)?: (?:error|detail)|FATAL:", line)]  # fmt: skip  # noqa: E501
    said = "; ".join(wrong[:3])
    if code == 0 and not wrong:
        return RunRead("success", "pg_dump ended with 0", version=version)
    if code == 0:
        return RunRead("failed", f"the job ended with 0, but pg_dump said: {said}", version=version)
    return RunRead("failed", f"the job ended with {code}{f': {said}' if said else ''}", version=version)


def is_copy(path: Path) -> bool:
    """A file, or a dump in the directory format."""
    return path.is_file() or (path / "toc.dat").is_file()


def found(repository: Repository) -> list[Found]:
    """All dumps, the oldest first. Raises CannotProve."""
    return files.find(files.place_of(repository), str(repository.settings["pattern"]), is_copy=is_copy)


async def look(repository: Repository) -> RepositoryReport:
    """Each dump by its size and its first and last bytes; of which database the newest is, who made it."""
    least = int(repository.settings["least_bytes"])

    def problem(copy: Found) -> str:
        said = files.size_problem(copy, least) or (
            "" if copy.is_directory else quick_problem(copy.path, "postgres")
        )
        return said or wrong_database(copy.path, str(repository.settings["database"]))

    return await files.look_files(
        repository, "postgres_dump", lambda _: found(repository), problem=problem, headed=True
    )


async def check(repository: Repository, tell: Progress) -> list[CheckSeen]:
    """All dumps by size; of the newest, read to its end: contents, versions, database, tables."""
    copies = await in_background(lambda _: found(repository))
    if not copies:
        raise CannotProve("there is no dump: nothing can be checked")
    least = int(repository.settings["least_bytes"])
    small = [f"{one.key}: {said}" for one in copies if (said := files.size_problem(one, least))]
    said = "; ".join(small[:5]) if small else f"all {len(copies)} dumps have at least {least} bytes"
    checks = [CheckSeen("sizes", not small, said[:2048])]
    newest = copies[-1]
    tables = tuple(repository.settings["tables"])
    if newest.is_directory:
        return [*checks, *await _contents(repository, newest.path, newest.key)]
    seen = await files.examined(newest.path, tell, wanted=tuple(_copy_words(tables)))
    if seen.problem:
        return [*checks, CheckSeen("format", False, f"{newest.key}: {seen.problem}")]
    if seen.inside == "pgdmp":
        if seen.packed == "plain":
            return [*checks, *await _contents(repository, newest.path, newest.key)]
        said = f"{newest.key}: a whole {seen.packed} stream of {seen.inner_size} bytes; a drill reads it"
        return [*checks, CheckSeen("format", True, said)]
    if seen.inside != "postgres":
        said = f"{newest.key} is no dump of PostgreSQL: inside it is {seen.inside}"
        return [*checks, CheckSeen("format", False, said)]
    return [*checks, *_plain(repository, newest, seen)]


async def read_slice(repository: Repository, part: int, of: int, *, tell: Progress) -> list[CheckSeen]:
    """Whole dumps, by their names; those in the custom or directory format as pg_restore reads them."""
    copies = await in_background(lambda _: found(repository))
    single = [(one.key, one.path) for one in copies if not one.is_directory]
    inner = [
        (f"{one.key}/{path.name}", path)
        for one in copies if one.is_directory
        for path in sorted(one.path.iterdir()) if path.is_file() and path.name != "toc.dat"
    ]  # fmt: skip
    checks = await files.read_back(repository, [*single, *inner], part=part, of=of, tell=tell)
    mine = [path for key, path in single if files.part_of(key, of) == (part - 1) % of + 1]
    broken, read = [], 0
    for path in mine:
        if await in_background(lambda _, path=path: _is_custom(path)):  # type: ignore[misc]
            ended = await repository.run([_pg_restore(repository), "-f", "/dev/null", str(path)])
            read += 1
            if ended.code != 0:
                broken.append(f"{path.name}: {postgres.said_of(ended)}")
    if read:
        said = "; ".join(broken[:5]) or f"pg_restore read all data of {read} dumps"
        checks.append(CheckSeen("pg_restore", not broken, said[:2048]))
    return checks


async def restore(repository: Repository, copy: CopySeen, *, into: Path, tell: Progress) -> Restored:
    """Unpacked into the directory; its contents, and the canary row in it."""
    one = files.chosen(await in_background(lambda _: found(repository)), copy.key)
    tell("unpacking", 0, one.size)
    sought = RowSought()
    try:
        name = await in_background(lambda going: _unpack(one, into, sought, going))
    except Unsound as error:
        return Restored(into, checks=[CheckSeen("format", False, f"{one.key}: {error}")], compared=True)
    except OSError as error:
        raise CannotProve(f"{one.key} cannot be restored: {error.strerror or error}") from error
    if name == SQL:
        seen = await files.examined(
            into / SQL, tell, wanted=tuple(_copy_words(tuple(repository.settings["tables"])))
        )
        checks = _plain(repository, one, seen)
        if seen.problem or seen.inside != "postgres":
            said = seen.problem or f"inside it is {seen.inside}, no dump of PostgreSQL"
            checks = [CheckSeen("format", False, f"{one.key}: {said}")]
    else:
        checks = await _contents(repository, into / name, one.key)
        row = await repository.run(
            [_pg_restore(repository), "-t", canary_row.TABLE, "-a", "-f", "-", str(into / name)]
        )
        sought.take(row.out)
    sought.end()
    if sought.at_ms is not None:
        said = f"the canary row that was planted at {sought.at_ms} is in it"
        checks.append(CheckSeen("canary row", True, said))
    return Restored(into, checks=checks, compared=True, canary_at_ms=sought.at_ms)


async def serve(repository: Repository, restored: Restored, *, tell: Progress) -> list[CheckSeen]:
    """Load it into a fresh server, then everything that a server shows of itself."""
    if any(not check.ok for check in restored.checks):
        return [CheckSeen("service", False, "what was restored is not sound: no server was started on it")]
    programs = postgres.programs_of(str(repository.settings["programs"]))
    user = postgres.runs_as(repository)
    data = repository.scratch / "cluster"
    await in_background(lambda _: _own_folder(data, user))
    tell("making a server", 0, 0)
    made = await repository.run(
        [str(programs / "initdb"), "-D", str(data), "-U", str(repository.settings["superuser"]), "-Atrust",
         "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], user=user,
    )  # fmt: skip
    if made.code != 0:
        raise CannotProve(f"no server can be made here: {postgres.said_of(made)}")
    name = str(repository.settings["database"]) or "restored"
    await in_background(lambda _: postgres.give(restored.root, user))
    try:
        async with postgres.serving(repository, programs, data) as server:
            created = await server.run("createdb", "-T", "template0", name)
            if created.code != 0:
                raise CannotProve(f"no database can be made: {postgres.said_of(created)}")
            tell("loading the dump", 0, 0)
            loaded = await _load(server, restored.root, name)
            if not loaded.ok:
                return [loaded]
            checks = [loaded, *await postgres.structure(server, tell)]
            return [*checks, *await postgres.questions(server, tell, await server.databases())]
    except postgres.StartFailed as error:
        raise CannotProve(f"a fresh server does not start here: {error}") from error


def run_of_copy(copy: CopySeen) -> RunReport:
    """A dump stands for the run that wrote it."""
    return files.run_of_copy(copy, "postgres_dump")


async def _load(server: postgres.Server, root: Path, name: str) -> CheckSeen:
    if (sql := root / SQL).exists():
        safe = root / "load.sql"
        try:
            await in_background(lambda going: guarded(sql, safe, going=going))
        except Unsound as error:
            return CheckSeen("load", False, str(error)[:2048])
        await in_background(lambda _: postgres.give(safe, server.user))
        ended = await server.run("psql", "-Xqw", "-d", name, "-f", str(safe))
        said = ended.err.decode("utf-8", "replace")
        if "invalid command \\restrict" in said:
            raise CannotProve(
                "this psql cannot be kept from running commands that a dump names: update PostgreSQL's "
                "client (13.22, 14.19, 15.14, 16.10, 17.6 or newer)"
            )
        wrong = [line for line in said.splitlines() if "ERROR:" in line and not NO_ROLE.search(line)]
        ok = ended.code == 0 and not wrong
        text = "; ".join(line.strip() for line in wrong[:5]) or postgres.said_of(ended)
    else:
        path = next(root / one for one in (CUSTOM, FOLDER) if (root / one).exists())
        ended = await server.run("pg_restore", "--no-owner", "--no-privileges", "-d", name, str(path))
        ok, text = ended.code == 0, postgres.said_of(ended)
    return CheckSeen("load", ok, "all of it was loaded" if ok else text[:2048], ended.took_ms)


def _unpack(one: Found, into: Path, sought: RowSought, going: Going) -> str:
    """Raises Unsound, Stopped, OSError."""
    if one.is_directory:
        shutil.copytree(one.path, into / FOLDER)
        return FOLDER
    name, out = "", None
    try:
        with one.path.open("rb") as file:
            for part in unpacked(file, going=going):
                if out is None:
                    name = CUSTOM if part.startswith(b"PGDMP") else SQL
                    out = (into / name).open("wb")
                out.write(part)
                if name == SQL:
                    sought.take(part)
    finally:
        if out is not None:
            out.close()
    if out is None:
        raise Unsound("it is empty: whatever wrote it said nothing")
    return name


async def _contents(repository: Repository, path: Path, key: str) -> list[CheckSeen]:
    """What pg_restore says is in it."""
    ended = await repository.run([_pg_restore(repository), "--list", str(path)], most=TOC_MAX_BYTES)
    if ended.code != 0:
        return [CheckSeen("format", False, f"{key}: pg_restore cannot list it: {postgres.said_of(ended)}")]
    text = ended.out.decode("utf-8", "replace")
    tables = {f"{schema}.{name}" for schema, name in _TABLE.findall(text)}
    names = tuple(_DBNAME.findall(text))
    versions = [match[1] if (match := words.search(text)) else "" for words in (_SERVER, _TOOL)]
    seen = Examined("plain", "pgdmp", 0, 0, "", databases=names, server=versions[0], tool=versions[1])
    missing = [one for one in repository.settings["tables"] if one not in tables]
    said = f"{key}: a table of contents with {len(tables)} tables with data, of database {', '.join(names)}"
    checks = [CheckSeen("format", bool(tables), said if tables else f"{key}: it holds no table with data")]
    return [*checks, *_of_versions(repository, key, seen), *_of_tables(repository, key, missing)]


def _plain(repository: Repository, one: Found, seen: Examined) -> list[CheckSeen]:
    said = f"{one.key}: {seen.inner_size} bytes of SQL, from the first line to the last"
    if seen.packed != "plain":
        said += f"; the {seen.packed} stream of {seen.size} bytes is whole"
    words = _copy_words(tuple(repository.settings["tables"]))
    missing = [name for word, name in words.items() if word in seen.missing]
    checks = [CheckSeen("format", not seen.problem, seen.problem or said)]
    return [*checks, *_of_versions(repository, one.key, seen), *_of_tables(repository, one.key, missing)]


def _copy_words(tables: Sequence[str]) -> dict[str, str]:
    return {f"CREATE TABLE {name} (": name for name in tables}


def _of_versions(repository: Repository, key: str, seen: Examined) -> list[CheckSeen]:
    checks = []
    if seen.server and seen.tool:
        old = versions_problem(seen)
        said = f"pg_dump {seen.tool} dumped a server of version {seen.server}"
        checks.append(CheckSeen("versions", not old, f"{key}: {old}" if old else said))
    wanted = str(repository.settings["database"])
    if wanted and seen.databases:
        ok = wanted in seen.databases
        there = ", ".join(seen.databases)
        said = (
            f"it is of database {there}" if ok else f"it is of database {there}, and {wanted} was to be saved"
        )
        checks.append(CheckSeen("database", ok, f"{key}: {said}"))
    return checks


def _of_tables(repository: Repository, key: str, missing: Sequence[str]) -> list[CheckSeen]:
    wanted = list(repository.settings["tables"])
    if not wanted:
        return []
    said = (
        f"{', '.join(missing)} of {len(wanted)} tables that must be in it are missing: is it the right one?"
    )
    return [CheckSeen("tables", not missing, f"{key}: {said}" if missing else f"all {len(wanted)} are in it")]


def _is_custom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(5) == b"PGDMP"


def _pg_restore(repository: Repository) -> str:
    try:
        return str(postgres.programs_of(str(repository.settings["programs"])) / "pg_restore")
    except CannotProve:
        return "pg_restore"


def _own_folder(path: Path, user: str | None) -> None:
    path.mkdir(mode=0o700)
    postgres.give(path, user)
