"""The canary of a database: one row a plan in the table forestall_canary, planted before a run of the dump.

Planted by the dump's own connection (the options of the job's command, its environment, its files of
passwords), found again in a dump or in the service that runs on it.
"""

import re
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from forestall.collect.backups.commands import split_options
from forestall.kernel.backups import Canary, CheckSeen

TABLE = "forestall_canary"
PLANT_WITHIN_S = 60.0
NONCE = re.compile(r"[0-9a-f]{64}")
Database = Literal["postgres", "mariadb"]
_MAKE = (
    f"create table if not exists {TABLE} (plan varchar(32) primary key, run varchar(64) not null, "
    "nonce varchar(64) not null, at_ms bigint not null);"
)
POSTGRES_READ = f"select nonce, at_ms from public.{TABLE} order by at_ms desc limit 1"  # noqa: S608
MARIADB_READ = f"select nonce, at_ms from {TABLE} order by at_ms desc limit 1"  # noqa: S608
# The options of pg_dump and mariadb-dump that say where and as whom to connect.
_POSTGRES = frozenset({"-h", "--host", "-p", "--port", "-U", "--username", "-d", "--dbname"})
_POSTGRES_VALUED = _POSTGRES | {
    "-f", "--file", "-F", "--format", "-j", "--jobs", "-n", "--schema", "-N", "--exclude-schema", "-t",
    "--table", "-T", "--exclude-table", "-Z", "--compress", "-E", "--encoding", "-S", "--superuser",
    "--role", "--exclude-table-data", "--section", "--snapshot", "--lock-wait-timeout", "-e", "--extension",
}  # fmt: skip
_POSTGRES_LEAVING = frozenset(
    {
        "-N",
        "--exclude-schema",
        "-T",
        "--exclude-table",
        "--exclude-table-data",
        "-t",
        "--table",
        "-n",
        "--schema",
    }
)
_MARIADB_LEAVING = frozenset({"--ignore-table", "--ignore-table-data", "--ignore-database", "-w", "--where"})
_NO_DATA = {"postgres": ("-s", "--schema-only"), "mariadb": ("-d", "--no-data")}
_MARIADB = frozenset({"-h", "--host", "-P", "--port", "-u", "--user", "-S", "--socket",
                      "--defaults-file", "--defaults-extra-file", "--defaults-group-suffix"})  # fmt: skip
_MARIADB_VALUED = _MARIADB | {"-r", "--result-file", "--ignore-table", "--ignore-table-data",
                             "--ignore-database", "-w", "--where", "--tables"}  # fmt: skip


def statements(plan: str, run: str, nonce: str, at_ms: int) -> str:
    """Makes the table when there is none, and the plan's row anew. Raises ValueError for what is no
    identifier."""
    if not (plan.isalnum() and run.isalnum() and NONCE.fullmatch(nonce)):
        raise ValueError(f"{plan!r} or {run!r} is no identifier")
    return (  # all of it is checked
        f"{_MAKE} begin; delete from {TABLE} where plan = '{plan}'; insert into {TABLE} "  # noqa: S608
        f"(plan, run, nonce, at_ms) values ('{plan}', '{run}', '{nonce}', {at_ms:d}); commit;"
    )


def plant_row(
    database: Database, command: Sequence[str], *, plan: str, run: str, at_ms: int
) -> Canary | None:
    """The row, in the database that this dump command reads; None when the command is none, or reads more
    than one. Raises OSError, ValueError with what the client said."""
    client = client_of(database, command)
    if client is None:
        return None
    nonce = secrets.token_hex(32)
    try:
        ended = subprocess.run(
            client, input=statements(plan, run, nonce, at_ms).encode(), capture_output=True,
            timeout=PLANT_WITHIN_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError(f"{client[0]} did not answer within {PLANT_WITHIN_S:.0f} s") from None
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ValueError(f"{PurePath(client[0]).name} ended with {ended.returncode}: {said}")
    return Canary(nonce, at_ms, f"{database}:{TABLE}")


def client_of(database: Database, command: Sequence[str]) -> list[str] | None:
    """The client's command that connects as a dump command does; None when that is not to be seen."""
    names = {"postgres": ("pg_dump",), "mariadb": ("mariadb-dump", "mysqldump")}[database]
    at = next((at for at, one in enumerate(command) if PurePath(one).name in names), None)
    if at is None:
        return None
    valued = _POSTGRES_VALUED if database == "postgres" else _MARIADB_VALUED
    connecting = _POSTGRES if database == "postgres" else _MARIADB
    words = list(command[at + 1 :])
    plain, values = split_options(words, valued)
    folder = str(PurePath(command[at]).parent)
    prefix = "" if folder == "." else f"{folder}/"
    given: list[str] = []
    for name, found in values.items():
        if name in connecting:
            given += [f"{name}={found[-1]}"] if name.startswith("--") else [name, found[-1]]
    if database == "postgres":
        if len(plain) > 1:
            return None
        return [
            f"{prefix}psql",
            "-Xqw",
            "-v",
            "ON_ERROR_STOP=1",
            *given,
            *(["-d", plain[0]] if plain else []),
        ]
    if {"--all-databases", "-A", "--databases", "-B"} & {*words} or not plain:
        return None
    files = [one for one in given if one.startswith("--defaults")]  # must come first
    rest = [one for one in given if one not in files]
    return [f"{prefix}{'mariadb' if 'mariadb-dump' in PurePath(command[at]).name else 'mysql'}", *files, *rest, "--batch", plain[0]]  # fmt: skip  # noqa: E501


def left_out(database: Database, command: Sequence[str]) -> list[str]:
    """What a dump command leaves out: tables, schemas, databases; with their option, as they stand there."""
    names = {"postgres": ("pg_dump",), "mariadb": ("mariadb-dump", "mysqldump")}[database]
    at = next((at for at, one in enumerate(command) if PurePath(one).name in names), None)
    if at is None:
        return []
    _, values = split_options(
        command[at + 1 :], _POSTGRES_VALUED if database == "postgres" else _MARIADB_VALUED
    )
    leaving = _POSTGRES_LEAVING if database == "postgres" else _MARIADB_LEAVING
    found = [f"{name} {one}" for name, ones in values.items() if name in leaving for one in ones]
    return found + [one for one in command[at + 1 :] if one in _NO_DATA[database]]


def judged(code: int, answer: str, said: str) -> CheckSeen:
    """What a read of the row came to. That none was ever planted is no failure, and is said."""
    nonce, _, at = answer.strip().partition("\n")[0].replace("\t", "|").partition("|")
    if code == 0 and NONCE.fullmatch(nonce) and at.isdecimal():
        return CheckSeen("canary row", True, f"the canary row that was planted at {at} came back")
    if code == 0 or "does not exist" in said or "doesn't exist" in said:
        return CheckSeen(
            "canary row", True,
            f"there is no row in {TABLE}: how old the data is cannot be seen in it; run the job as "
            "`forestall agent job PLAN -- COMMAND`",
        )  # fmt: skip
    return CheckSeen("canary row", False, f"the canary row cannot be read: {said}"[:2048])


def at_ms_of(check: CheckSeen) -> int | None:
    """When the canary was planted that a check found."""
    found = re.search(r"planted at (\d+)", check.said)
    return int(found[1]) if found else None
