"""A throw-away MariaDB for what a dump holds: its own data directory, its own socket, nothing on the network,
as a user that is not root. The dump is loaded, every table is checked, all of it is dumped again, and what
the plan knows of the data is asked.
"""

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from forestall.collect.backups import canary_row, invariants
from forestall.collect.backups.adapter import Beside, CannotProve, Ended, Progress, Repository
from forestall.collect.backups.background import Going, in_background
from forestall.collect.backups.dumps import Stopped, Unsound
from forestall.collect.backups.postgres import SOCKET_MAX_CHARS, give, runs_as, said_of
from forestall.kernel.backups import CheckSeen
from forestall.kernel.plugins import Setting

START_WITHIN_S = 600.0
LINE_MAX_BYTES = 1 << 30
LOOK_EVERY = 10_000
DATABASES_MAX = 200
ASK_WITHIN_S = 600
READER = "forestall_reader"
OWN = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
SETTINGS = (
    Setting("run_as", "User of the throw-away server", default="mysql",
            help="Not root; only used where the agent itself is root"),
    Setting("programs", "Directory of MariaDB's server", default="",
            help="/usr/sbin; empty: it is looked for"),
    Setting("invariants", "What must hold", "lines", default=[],
            help="SELECT count(*) FROM orders -> least 1000; SELECT max(at) FROM orders -> age 26h"),
    Setting("database", "Database", default="", help="The one that must be in it, and is asked"),
)  # fmt: skip
DEFINERS_MAX = 100
_DEFINERS = " union ".join(
    f"select definer from information_schema.{table}"  # noqa: S608 - names of our own
    for table in ("views", "routines", "triggers", "events")
)
_SECTION = re.compile(rb"^-- Current Database: `((?:[^`]|``)+)`\s*$")


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    repository: Repository
    socket: Path
    user: str | None

    async def run(
        self,
        program: str,
        *words: str,
        user: str = "root",
        out_to: Path | None = None,
        in_from: Path | None = None,
    ) -> Ended:
        """A client's program, connected to this server, to its end. No file of options is read."""
        place = ["--no-defaults", f"--socket={self.socket}", f"--user={user}"]
        command = [program, *place, *words]
        return await self.repository.run(command, user=self.user, out_to=out_to, in_from=in_from)

    async def ask(self, sql: str, database: str = "", *, user: str = "root") -> Ended:
        """One statement; its fields by tabs, no names of columns."""
        words = ["--batch", "--skip-column-names", "--raw", "--execute", sql]
        if user != "root":
            limit = f"set session tx_read_only=1, session max_statement_time={ASK_WITHIN_S}"
            words.append(f"--init-command={limit}")
        return await self.run("mariadb", *words, *([f"--database={database}"] if database else []), user=user)

    async def databases(self) -> list[str]:
        """Without the server's own. Raises CannotProve when it does not even tell these."""
        ended = await self.ask("show databases")
        if ended.code != 0:
            raise CannotProve(f"the server does not list its databases: {said_of(ended)}")
        names = ended.out.decode("utf-8", "replace").splitlines()
        return [one for one in names if one and one not in OWN][:DATABASES_MAX]


@contextlib.asynccontextmanager
async def serving(repository: Repository) -> AsyncIterator[Server]:
    """An empty server, until the block ends. Raises CannotProve when there is none here, or it does not
    start."""
    user = runs_as(repository)
    program = _server_program(str(repository.settings["programs"]))
    data = repository.scratch / "cluster"
    socket = await in_background(lambda _: _folders(repository, data, user))
    install = shutil.which("mariadb-install-db", path=_path_of(program)) or "mariadb-install-db"
    made = await repository.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
         "--skip-test-db", "--skip-name-resolve", f"--basedir={_base_of(program)}"],
        user=user,
    )  # fmt: skip
    if made.code != 0:
        raise CannotProve(f"no server can be made here: {said_of(made)}")
    nothing = data.parent / "nothing"
    command = [
        program, "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking",
        f"--pid-file={data / 'server.pid'}", "--skip-log-bin", f"--secure-file-priv={nothing}",
        f"--plugin-dir={nothing}", "--local-infile=0", "--default-time-zone=+00:00", "--event-scheduler=OFF",
        "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=OFF",
        "--max-allowed-packet=1G", "--lc-messages=en_US", f"--tmpdir={data.parent / 'tmp'}",
    ]  # fmt: skip
    server = Server(repository, socket, user)
    try:
        async with repository.run.beside(command, cwd=data, user=user) as beside:
            await _started(server, beside)
            yield server
    finally:
        if not socket.is_relative_to(repository.scratch):
            await in_background(lambda _: shutil.rmtree(socket.parent, ignore_errors=True))


def _server_program(given: str) -> str:
    """Raises CannotProve."""
    folders = [given] if given else ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin", "/usr/libexec"]
    for folder in folders:
        path = Path(folder) / "mariadbd"
        if path.is_absolute() and path.exists():
            return str(path)
    where = f"in {given}: mend `programs` in the plan" if given else "here: install mariadb-server"
    raise CannotProve(
        f"MariaDB's server (mariadbd) is needed to run what was dumped, and there is none {where}"
    )


def _path_of(program: str) -> str:
    base = _base_of(program)
    return os.pathsep.join(str(base / one) for one in ("bin", "sbin", "scripts"))


def _base_of(program: str) -> Path:
    return Path(program).parent.parent


def _folders(repository: Repository, data: Path, user: str | None) -> Path:
    """Where its socket will be (a name of one may not be long)."""
    home = repository.scratch / "mariadb"
    socket = home / "s"
    if len(str(socket)) > SOCKET_MAX_CHARS:
        home = Path(tempfile.mkdtemp(prefix="forestall-", dir="/tmp"))
        socket = home / "s"
    for path in (home, data, data.parent / "nothing", data.parent / "tmp"):
        path.mkdir(mode=0o700, exist_ok=True)
        give(path, user)
    return socket


async def _started(server: Server, beside: Beside) -> None:
    """Until it answers. Raises CannotProve."""
    pause_s = 0.05
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            if not beside.running():
                said = beside.said().decode("utf-8", "replace")[-1_500:].strip()
                raise CannotProve(f"a fresh server does not start here: {said}")
            if server.socket.exists() and (await server.ask("select 1")).code == 0:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.5)


def guarded(dump: Path, into: Path, *, going: Going) -> list[str]:
    """The dump as the throw-away server may have it: without the server's own databases (whose accounts and
    plugins are another machine's); the databases that it names. Raises Unsound, Stopped, OSError."""
    names: dict[str, None] = {}
    skipping, number = False, 0
    with dump.open("rb") as file, into.open("wb") as out:
        while line := file.readline(LINE_MAX_BYTES):
            number += 1
            if number % LOOK_EVERY == 0 and not going():
                raise Stopped
            if found := _SECTION.match(line):
                name = found[1].replace(b"``", b"`").decode("utf-8", "replace")
                skipping = name in OWN
                if not skipping:
                    names[name] = None
            if not skipping:
                out.write(line)
    if len(names) > DATABASES_MAX:
        raise Unsound(f"it has {len(names)} databases, and {DATABASES_MAX} are the most")
    return list(names)


async def load(server: Server, dump: Path, database: str) -> CheckSeen:
    """All of it, into `database` ("" when the dump makes its own); no command of the client's is obeyed."""
    words = ["--binary-mode", "--sandbox", "--batch", "--max-allowed-packet=1G"]
    ended = await server.run(
        "mariadb", *words, *([f"--database={database}"] if database else []), in_from=dump
    )
    ok = ended.code == 0
    return CheckSeen("load", ok, "all of it was loaded" if ok else said_of(ended)[:2048], ended.took_ms)


async def own_definers(server: Server) -> None:
    """Makes the accounts whose rights views and routines ask for: they stayed on the other server, and a view
    cannot be read without them. Raises CannotProve."""
    asked = await server.ask(_DEFINERS)
    if asked.code != 0:
        raise CannotProve(f"the server does not tell who owns its views: {said_of(asked)}")
    for line in asked.out.decode("utf-8", "replace").splitlines()[:DEFINERS_MAX]:
        name, _, host = line.rpartition("@")
        account = f"{_quoted(name)}@{_quoted(host)}" if name else ""
        if not account or name in {"root", "mariadb.sys"}:
            continue
        made = await server.ask(f"create user if not exists {account}; grant all on *.* to {account}")
        if made.code != 0:
            raise CannotProve(f"the account {line} of a view cannot be made: {said_of(made)}")


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def structure(server: Server, tell: Progress) -> list[CheckSeen]:
    """Every table checked, and every row read by a dump."""
    tell("checking every table", 0, 0)
    checked = await server.run("mariadb-check", "--all-databases", "--extended", "--silent")
    wrong = checked.out.decode("utf-8", "replace").strip()
    ok = checked.code == 0 and not wrong
    said = "every table and index is sound" if ok else (wrong or said_of(checked))
    checks = [CheckSeen("mariadb-check", ok, said[:2048], checked.took_ms)]
    tell("dumping everything", 0, 0)
    dump = await server.run(
        "mariadb-dump", "--all-databases", "--routines", "--events", out_to=Path(os.devnull)
    )
    said = "every row of every database was read" if dump.code == 0 else said_of(dump)
    return [*checks, CheckSeen("full dump", dump.code == 0, said[:2048], dump.took_ms)]


async def questions(server: Server, tell: Progress, databases: Sequence[str]) -> list[CheckSeen]:
    """The plan's database, its invariants, its canary row."""
    settings = server.repository.settings
    wanted = str(settings.get("database") or "")
    if wanted and wanted not in databases:
        there = ", ".join(databases) or "none"
        said = f"there is no database {wanted} in it, but {there}: the wrong one was saved"
        return [CheckSeen("database", False, said[:2048])]
    if not databases:
        return [CheckSeen("database", False, "there is no database in it")]
    home = wanted or databases[0]
    lines = list(settings.get("invariants") or ())[: invariants.LINES_MAX]
    checks: list[CheckSeen] = []
    if lines:
        made = await server.ask(f"create user {READER}@localhost; grant select on *.* to {READER}@localhost")
        if made.code != 0:
            return [CheckSeen("invariants", False, f"they cannot be asked: {said_of(made)}")]
    for number, line in enumerate(lines):
        tell("asking what must hold", number, len(lines))
        checks.append(await _invariant(server, line, home, number + 1))
    if not lines:
        said = "the plan has no invariants: that the service runs is all that is known of its content"
        checks.append(CheckSeen("invariants", True, said))
    row = await server.ask(canary_row.MARIADB_READ, home)
    checks.append(canary_row.judged(row.code, row.out.decode("utf-8", "replace"), said_of(row)))
    return checks


async def _invariant(server: Server, line: str, home: str, number: int) -> CheckSeen:
    name = f"invariant {number}"
    try:
        one = invariants.parse(line)
    except ValueError as error:
        return CheckSeen(name, False, str(error)[:2048])
    ended = await server.ask(one.sql, one.database or home, user=READER)
    if ended.code != 0:
        return CheckSeen(name, False, f"{one.sql[:300]}: {said_of(ended)}"[:2048], ended.took_ms)
    answer = ended.out.decode("utf-8", "replace").partition("\n")[0].partition("\t")[0]
    ok, said = invariants.hold(one, answer, now_ms=server.repository.now_ms())
    return CheckSeen(name, ok, said[:2048], ended.took_ms)
