"""A throw-away PostgreSQL on restored data: its own data directory, its own socket, nothing on the network,
as a user that is not root. What it must show is asked of it, and then it is stopped.

A server starts and answers with a flipped bit in it: so checksums, amcheck and a full dump come first, and
what the plan knows of the data (invariants, the canary row) after them.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from forestall.collect.backups import canary_row, invariants
from forestall.collect.backups.adapter import Beside, CannotProve, Ended, Progress, Repository
from forestall.collect.backups.background import in_background
from forestall.kernel.backups import CheckSeen
from forestall.kernel.plugins import Setting

HOMES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt", "/usr/pgsql")
PORT = 54_329  # only a part of a socket's name, in a directory of our own
SOCKET_MAX_CHARS = 100
START_WITHIN_S = 3_600.0
DATABASES_MAX = 200
SAID_CHARS = 1_500
READER = "forestall_reader"
READING = "-c statement_timeout=600000 -c default_transaction_read_only=on"
SETTINGS = (
    Setting("run_as", "User of the throw-away server", default="postgres",
            help="Not root; only used where the agent itself is root"),
    Setting("superuser", "Superuser of the database", default="postgres",
            help="Of a base backup: as the server was made"),
    Setting("programs", "Directory of PostgreSQL's programs", default="",
            help="/usr/lib/postgresql/15/bin; empty: the version that fits is looked for"),
    Setting("invariants", "What must hold", "lines", default=[],
            help="SELECT count(*) FROM orders -> least 1000; SELECT max(at) FROM orders -> age 26h"),
    Setting("database", "Database", default="", help="The one that must be in it, and is asked"),
)  # fmt: skip


def runs_as(repository: Repository) -> str | None:
    """Whom the server runs as; None: whoever we are. Raises CannotProve for root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    name = str(repository.settings["run_as"])
    if name == "root":
        raise CannotProve("PostgreSQL refuses root: name another user in run_as")
    return name


def give(path: Path, user: str | None) -> None:
    """A tree to the user that the server runs as. Raises CannotProve, OSError."""
    if user is None:
        return
    import pwd  # not on Windows

    try:
        who = pwd.getpwnam(user)
    except KeyError:
        raise CannotProve(f"there is no user {user!r} on this machine: make it, or name another") from None
    os.lchown(path, who.pw_uid, who.pw_gid)
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.lchown(Path(folder) / name, who.pw_uid, who.pw_gid)


def programs_of(given: str, *, major: int | None = None, least: int = 0) -> Path:
    """The directory of PostgreSQL's programs: of exactly this version, or the oldest that is new enough.
    Raises CannotProve."""
    if given:
        if not Path(given).is_absolute() or not (Path(given) / "postgres").exists():
            raise CannotProve(f"there is no PostgreSQL in {given}: mend `programs` in the plan")
        return Path(given)
    found: dict[int, Path] = {}
    for home in HOMES:
        for program in sorted(Path(home).glob("*/bin/postgres")):
            digits = "".join(letter for letter in program.parent.parent.name if letter.isdecimal())
            if digits:
                found.setdefault(int(digits), program.parent)
    fitting = [one for one in sorted(found) if (one == major if major is not None else one >= least)]
    if fitting:
        return found[fitting[0]]
    wanted = f"version {major}" if major is not None else f"version {least} or newer" if least else "it"
    there = ", ".join(map(str, sorted(found))) or "none"
    raise CannotProve(
        f"PostgreSQL is needed as {wanted} to run what was restored, and here is {there}: install "
        f"postgresql-{major or least or 'server'}, or name the directory of its programs in the plan"
    )


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    repository: Repository
    programs: Path
    data: Path
    socket: Path
    user: str | None
    superuser: str

    def command(self, program: str, *words: str, user: str = "") -> list[str]:
        """A client's, connected to this server."""
        place = ["-h", str(self.socket), "-p", str(PORT), "-U", user or self.superuser]
        return [str(self.programs / program), *place, *words]

    async def run(self, program: str, *words: str, user: str = "", out_to: Path | None = None) -> Ended:
        """A client's program, to its end; without a password it asks nobody."""
        return await self.repository.run(
            self.command(program, *words, user=user), user=self.user, out_to=out_to,
            env={"PGOPTIONS": READING} if user else {},
        )  # fmt: skip

    async def ask(self, sql: str, database: str, *, user: str = "") -> Ended:
        """One statement, its fields by |."""
        return await self.run("psql", "-XAtwq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql, user=user)

    async def databases(self) -> list[str]:
        """Raises CannotProve when the server does not even tell these."""
        ended = await self.ask(
            "select datname from pg_database where datallowconn and not datistemplate order by 1 limit 200",
            "postgres",
        )
        if ended.code != 0:
            raise CannotProve(f"the restored server does not list its databases: {said_of(ended)}")
        return [line for line in ended.out.decode("utf-8", "replace").splitlines() if line][:DATABASES_MAX]


@contextlib.asynccontextmanager
async def serving(
    repository: Repository, programs: Path, data: Path, *, options: Sequence[str] = ()
) -> AsyncIterator[Server]:
    """The server on a data directory, until the block ends. Raises StartFailed when it does not start."""
    user = runs_as(repository)
    socket, own = await in_background(lambda _: _folders(repository, data, user))
    words = {
        "listen_addresses": "", "unix_socket_directories": str(socket), "port": str(PORT),
        "unix_socket_permissions": "0700", "config_file": str(own / "postgresql.conf"),
        "hba_file": str(own / "pg_hba.conf"), "ident_file": str(own / "pg_ident.conf"), "fsync": "off",
        "archive_mode": "off", "hot_standby": "off", "ssl": "off", "shared_preload_libraries": "",
        "local_preload_libraries": "", "session_preload_libraries": "", "external_pid_file": "",
        "autovacuum": "off", "max_connections": "20", "shared_buffers": "32MB", "logging_collector": "off",
        "log_destination": "stderr", "primary_conninfo": "", "archive_cleanup_command": "",
        "recovery_end_command": "", "restore_command": "", "lc_messages": "C",
    }  # fmt: skip
    arguments = [word for name, value in words.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), *arguments, *options]
    server = Server(repository, programs, data, socket, user, str(repository.settings["superuser"]))
    try:
        async with repository.run.beside(command, cwd=data, user=user) as beside:
            await _started(server, beside)
            try:
                yield server
            finally:
                await _stopped(server)
    finally:
        if socket.parent != own.parent:
            await in_background(lambda _: shutil.rmtree(socket, ignore_errors=True))


class StartFailed(Exception):
    """The server did not start on what was restored: the text is the end of what it said."""


def _folders(repository: Repository, data: Path, user: str | None) -> tuple[Path, Path]:
    """For its socket (a name of one may not be long), and for a configuration that is ours."""
    own = repository.scratch / "server"
    own.mkdir(mode=0o700, exist_ok=True)
    socket = own / "s"
    if len(str(socket)) > SOCKET_MAX_CHARS:
        socket = Path(tempfile.mkdtemp(prefix="forestall-", dir="/tmp"))
    socket.mkdir(mode=0o700, exist_ok=True)
    (own / "postgresql.conf").write_text("")
    (own / "pg_ident.conf").write_text("")
    (own / "pg_hba.conf").write_text("local all all trust\n")
    for path in (own, socket, data):
        give(path, user)
    data.chmod(0o700)
    return socket, own


async def _started(server: Server, beside: Beside) -> None:
    """Until it answers; recovery takes its time. Raises StartFailed."""
    pause_s = 0.05
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            if not beside.running():
                raise StartFailed(beside.said().decode("utf-8", "replace")[-SAID_CHARS:].strip())
            if (server.socket / f".s.PGSQL.{PORT}").exists():
                ended = await server.ask("select 1", "postgres")
                if ended.code == 0:
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.5)


async def _stopped(server: Server) -> None:
    """Cleanly, so that its checksums can be checked; what does not stop is ended by whoever started it."""
    await server.repository.run(
        [str(server.programs / "pg_ctl"), "-D", str(server.data), "-m", "fast", "-w", "-t", "600", "stop"],
        user=server.user,
    )


async def checksums(repository: Repository, programs: Path, data: Path) -> CheckSeen:
    """Every page of a server that was stopped. A cluster without them says so, and has passed nothing."""
    ended = await repository.run(
        [str(programs / "pg_checksums"), "--check", "-D", str(data)], user=runs_as(repository)
    )
    text = said_of(ended)
    if ended.code == 0:
        blocks = next((line for line in ended.out.decode().splitlines() if line.startswith("Blocks")), "")
        return CheckSeen("pg_checksums", True, f"every page has its checksum ({blocks})", ended.took_ms)
    if "not enabled" in text:
        said = (
            "the cluster has no data checksums, so a page that changed by itself is seen only where an index "
            "or an invariant disagrees with it: turn them on at the source (pg_checksums --enable)"
        )
        return CheckSeen("pg_checksums", True, said, ended.took_ms)
    return CheckSeen("pg_checksums", False, text, ended.took_ms)


async def structure(server: Server, tell: Progress) -> list[CheckSeen]:
    """Tables and indexes against each other (amcheck), and every row read by a dump of all."""
    tell("checking tables and indexes", 0, 0)
    amcheck = await server.run(
        "pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--no-strict-names"
    )
    if amcheck.code == 0:
        said = "tables and indexes agree, and every row is in its indexes"
    else:
        said = said_of(amcheck)
    checks = [CheckSeen("pg_amcheck", amcheck.code == 0, said[:2048], amcheck.took_ms)]
    tell("dumping everything", 0, 0)
    dump = await server.run("pg_dumpall", "--no-sync", "-f", os.devnull)
    said = "every row of every database was read" if dump.code == 0 else said_of(dump)
    return [*checks, CheckSeen("full dump", dump.code == 0, said[:2048], dump.took_ms)]


async def questions(server: Server, tell: Progress, databases: Sequence[str]) -> list[CheckSeen]:
    """The plan's database, its invariants, its canary row."""
    settings = server.repository.settings
    wanted = str(settings.get("database") or "")
    checks: list[CheckSeen] = []
    if wanted and wanted not in databases:
        there = ", ".join(databases) or "none"
        said = f"there is no database {wanted} in it, but {there}: the wrong one was saved"
        checks.append(CheckSeen("database", False, said[:2048]))
        return checks
    home = wanted or next((one for one in databases if one != "postgres"), "postgres")
    lines = list(settings.get("invariants") or ())[: invariants.LINES_MAX]
    if lines:
        made = await server.ask(
            f"create role {READER} login nosuperuser nocreatedb nocreaterole; "
            f"grant pg_read_all_data to {READER}", home,
        )  # fmt: skip
        if made.code != 0:
            return [*checks, CheckSeen("invariants", False, f"they cannot be asked: {said_of(made)}")]
    for number, line in enumerate(lines):
        tell("asking what must hold", number, len(lines))
        checks.append(await _invariant(server, line, home, number + 1))
    if not lines:
        said = "the plan has no invariants: that the service runs is all that is known of its content"
        checks.append(CheckSeen("invariants", True, said))
    row = await server.ask(canary_row.POSTGRES_READ, home)
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
    answer = ended.out.decode("utf-8", "replace").partition("\n")[0].partition("|")[0]
    ok, said = invariants.hold(one, answer, now_ms=server.repository.now_ms())
    return CheckSeen(name, ok, said[:2048], ended.took_ms)


def said_of(ended: Ended) -> str:
    """The end of what a program said that failed."""
    text = (ended.err + b"\n" + ended.out).decode("utf-8", "replace").strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = "; ".join(lines[:4] + lines[-4:] if len(lines) > 8 else lines)
    return f"it ended with {ended.code}: {said or 'and said nothing'}"[:SAID_CHARS]
