"""The business data in a backup: a copy of the running database as of one instant, and its way back.

SQLite by its online backup, PostgreSQL by `pg_dump` of an exported snapshot. What the journal is as of the
same instant is read from the copy itself (SQLite) or inside the snapshot's transaction (PostgreSQL).
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from pysqlite3 import dbapi2 as sqlite3

from forestall.estate.tenancy import INSTALLATION, SETTING
from forestall.journal import merkle
from forestall.journal.actions import installation_signer
from forestall.keeping.archive import POSTGRES, SQLITE, JournalState
from forestall.keeping.checking import root_of
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble

DUMP_MAX_S = 6 * 3600
Ask = Callable[[str], list[Any]]


def copy_database(data: DataDir, target: Path) -> tuple[Path, JournalState]:
    """Copy the database into the directory `target`; the file, and the journal in it. Raises Trouble."""
    if connection.vendor == "postgresql":
        return _dump_postgres(target)
    path = target / SQLITE
    try:
        with sqlite3.connect(f"file:{data.database}?mode=ro", uri=True, timeout=60) as source:
            copy = sqlite3.connect(path)
            source.backup(copy)  # one read transaction: writers go on meanwhile
            copy.execute("PRAGMA journal_mode=DELETE")
            state = journal_state(lambda sql: copy.execute(sql).fetchall())
            copy.close()
        source.close()
    except sqlite3.Error as error:
        raise Trouble(f"the database cannot be copied: {error}", "Look with forestall doctor.") from error
    return path, state


def journal_state(ask: Ask) -> JournalState:
    """The journal's size, root and last checkpoint, from its tables."""

    def fetch(level: int, index: int) -> bytes:
        sql = (
            f"SELECT leaf_hash FROM journal_entry WHERE seq = {index}"  # noqa: S608 - whole numbers
            if level == 0
            else f'SELECT hash FROM journal_node WHERE level = {level} AND "index" = {index}'  # noqa: S608
        )
        return bytes(ask(sql)[0][0])

    sizes = ask("SELECT size FROM journal_head")
    size = int(sizes[0][0]) if sizes else 0
    notes = ask("SELECT note FROM journal_checkpoint ORDER BY size DESC LIMIT 1")
    return JournalState(
        size=size,
        root=merkle.root_hash(size, fetch).hex(),
        checkpoint=str(notes[0][0]) if notes else "",
        public_key=installation_signer().public_key.hex(),
    )


def require_empty_postgres() -> None:
    """Raises Trouble when the database of DATABASE_URL has tables already."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    if tables:
        raise Trouble(
            f"the database of DATABASE_URL has {len(tables)} tables already",
            "Make an empty database and name it in DATABASE_URL.",
        )


def restore_postgres(dump: Path, wanted: JournalState) -> None:
    """Load a dump into the empty database of DATABASE_URL, and check the journal in it. Raises Trouble."""
    _run(
        ["pg_restore", "--exit-on-error", "--no-owner", "--single-transaction", "--dbname"],
        [str(dump)],
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, body, leaf_hash FROM journal_entry ORDER BY seq")
        size, root = root_of(cursor)
    if (size, root.hex()) != (wanted.size, wanted.root):
        raise Trouble(
            "the journal in the backup is not the one of its manifest", "It was altered: take another backup."
        )


def _dump_postgres(target: Path) -> tuple[Path, JournalState]:
    path = target / POSTGRES
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def ask(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        snapshot = str(ask("SELECT pg_export_snapshot()")[0][0])
        state = journal_state(ask)
        command = ["pg_dump", "--format=custom", "--no-owner", "--enable-row-security"]
        _run([*command, f"--snapshot={snapshot}", "--dbname"], [f"--file={path}"])
    return path, state


def _run(command: list[str], more: list[str]) -> None:
    """A program of PostgreSQL; the password travels in its environment, never on the command line."""
    program = _program(command[0])
    where = connection.settings_dict
    environment = os.environ | {
        "PGHOST": str(where["HOST"] or ""),
        "PGPORT": str(where["PORT"] or ""),
        "PGUSER": str(where["USER"] or ""),
        "PGPASSWORD": str(where["PASSWORD"] or ""),
        "PGOPTIONS": f"-c {SETTING}={INSTALLATION}",  # rows of all clients, through the walls
    }
    environment = {name: value for name, value in environment.items() if value or not name.startswith("PG")}
    try:
        done = subprocess.run(
            [program, *command[1:], str(where["NAME"]), *more],
            check=False,
            capture_output=True,
            text=True,
            timeout=DUMP_MAX_S,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"{command[0]} took longer than {DUMP_MAX_S} s", "Look at the database.") from error
    if done.returncode:
        raise Trouble(
            f"{command[0]} failed: {done.stderr.strip()[-500:]}", "Its version must be the server's."
        )


def _program(name: str) -> str:
    """Where a program of PostgreSQL is: of the newest version that is installed."""
    newest = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parent.parent.name)
    )
    found = str(newest[-1]) if newest else shutil.which(name)
    if not found:
        raise Trouble(f"{name} is not installed", "Install the PostgreSQL client programs.")
    return found
