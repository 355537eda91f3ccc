"""`forestall doctor`: is this installation in spec, and what to do if not. Works with nothing running."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from msgspec import Struct

from forestall.keeping.keys import PUBLIC
from forestall.kernel.signs import read_sign
from forestall.kernel.words import say_bytes, say_duration
from forestall.processes.archiving import read_note
from forestall.processes.role import ROLES
from forestall.processes.setup import Installation

ROOM_WANTED = 0.10  # of the disk
SIGN_LATE_S = 15.0
CLOCK_WRONG_S = 300.0
BACKUP_WANTED_H = 24
# Who signs in, whether row-level security leaves them out, how many tables it is forced on.
BOUND_BY_WALLS = """
    SELECT rolname, rolsuper OR rolbypassrls, (SELECT count(*) FROM pg_class WHERE relforcerowsecurity)
    FROM pg_roles WHERE rolname = current_user
"""
UNSEALED = "SELECT count(*) FROM backups_proof WHERE seq IS NULL AND NOT skipped AND (level >= 4 OR NOT ok)"


class Check(Struct, frozen=True):
    """One thing that was looked at. `remedy` is what to do when it is not ok."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(found: Installation) -> list[Check]:
    """Everything that can be looked at from outside."""
    if not found.data.root.is_dir():
        return [
            Check("data directory", False, f"{found.data.root} is not there", "Start once with: forestall up")
        ]
    return [*_room(found), *_database(found), *_roles(found), *_secrets(found), *_backups(found)]


def _room(found: Installation) -> Iterator[Check]:
    usage = shutil.disk_usage(found.data.root)
    yield Check(
        "room on the disk",
        usage.free > usage.total * ROOM_WANTED,
        f"{say_bytes(usage.free)} free of {say_bytes(usage.total)} at {found.data.root}",
        "Make room, or keep logs for fewer days (limits.keep_logs_days in forestall.toml).",
    )
    waiting = sum(file.stat().st_size for file in found.data.queue.rglob("*") if file.is_file())
    most = found.config.limits.queue_max_bytes
    yield Check(
        "durable queue",
        waiting < most / 2,
        f"{say_bytes(waiting)} on disk, {say_bytes(most)} allowed",
        "The store cannot keep up or is stopped: look at the role store.",
    )


def _database(found: Installation) -> Iterator[Check]:
    if found.config.database_url:
        yield from _postgres(found.config.database_url)
        return
    if not found.data.database.exists():
        yield Check("database", False, "there is none yet", "Start once with: forestall up")
        return
    try:
        with sqlite3.connect(f"file:{found.data.database}?mode=ro", uri=True) as connection:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        answer = str(error)
    yield Check(
        "database", answer == "ok", answer, "Stop Forestall and restore the data directory from its backup."
    )
    try:
        with sqlite3.connect(f"file:{found.data.database}?mode=ro", uri=True) as connection:
            waiting = int(connection.execute(UNSEALED).fetchone()[0])
    except sqlite3.Error:
        return  # it was never started since there are backup plans
    yield Check(
        "proofs of backups",
        not waiting,
        f"{waiting} wait to be sealed" if waiting else "all are sealed",
        "Their bundles cannot be written: make room at evidence/ in the data directory.",
    )


def _postgres(url: str) -> Iterator[Check]:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute(BOUND_BY_WALLS).fetchone()
    except psycopg.Error as error:
        yield Check("database", False, str(error).strip(), "Check DATABASE_URL and that PostgreSQL runs.")
        return
    role, passes, walled = row or ("", True, 0)
    yield Check(
        "database", walled > 0, f"PostgreSQL answers, {walled} tables", "Start once with: forestall up"
    )
    yield Check(
        "walls between clients",
        not passes,
        f"row-level security {'does not bind' if passes else 'binds'} the role {role}",
        "Sign in with a role of its own that owns the database and is no superuser.",
    )


def _roles(found: Installation) -> Iterator[Check]:
    now = time.time()
    for role in (*ROLES, "agent"):
        sign = read_sign(found.data.run, role)
        if sign is None:
            yield Check(f"role {role}", False, "no sign of life", "Start it with: forestall up")
            continue
        age_s = sign.age_s(now)
        yield Check(
            f"role {role}",
            age_s < SIGN_LATE_S,
            f"process {sign.pid}, last sign of life {say_duration(age_s)} ago",
            "It is stopped or wedged: start Forestall again, and keep what it said.",
        )
        if sign.at > now + CLOCK_WRONG_S:
            yield Check(
                "clock", False, "a sign of life lies in the future", "Set this machine's clock right."
            )
    guard = read_sign(found.data.run, "guard")
    if guard is not None:
        for subject, text in guard.numbers.get("troubles", {}).items():
            yield Check(f"guard: {subject}", False, str(text), "See the role that it names.")
    channel = found.config.guard.webhook or found.config.guard.mail_to
    yield Check(
        "guard's own channel",
        bool(channel),
        "set" if channel else "not set: nobody is told when Forestall itself stops",
        "Set webhook or mail_to under [guard] in forestall.toml.",
    )


def _secrets(found: Installation) -> Iterator[Check]:
    open_files = [
        file.name for file in found.data.secret.iterdir() if file.is_file() and file.stat().st_mode & 0o077
    ]
    yield Check(
        "secret keys",
        not open_files,
        "readable by their owner alone" if not open_files else f"others can read {', '.join(open_files)}",
        f"Run: chmod 600 {found.data.secret}/*",
    )


def _backups(found: Installation) -> Iterator[Check]:
    terms, note, now = found.config.backup, read_note(found.data), time.time()
    late_s = (terms.every_hours if terms.directory else BACKUP_WANTED_H) * 3600 * 1.25
    age_s = now - note.succeeded_at if note and note.succeeded_at else None
    said = "Forestall was never backed up" if age_s is None else f"made {say_duration(age_s)} ago"
    if note and note.error:
        said += f"; the last attempt failed: {note.error}"
    yield Check(
        "backup of Forestall",
        age_s is not None and age_s < late_s and not (note and note.error),
        said if terms.directory else f"{said}; none is made by itself",
        "Run: forestall backup; set backup.directory in forestall.toml so that it happens by itself.",
    )
    sealed = (found.data.root / PUBLIC).exists()
    yield Check(
        "recovery key",
        sealed,
        "the keys in backups are sealed" if sealed else "backups hold this installation's keys as they are",
        "Run: forestall recovery-key, and keep what it prints off this machine.",
    )
    if terms.directory:
        usage = shutil.disk_usage(_there(Path(terms.directory)))
        wanted = 2 * (note.size_bytes if note else 0)
        yield Check(
            "room for backups",
            usage.free > wanted,
            f"{say_bytes(usage.free)} free at {terms.directory}",
            "Make room there, keep fewer (backup.keep) or less telemetry (backup.telemetry_days).",
        )


def _there(path: Path) -> Path:
    """The path, or what is there of it."""
    while not path.exists():
        path = path.parent
    return path
