"""Backup of a running installation into one file. See docs/decisions/0008-backup.md for why in this order:

1. The store side of the intake rests. Queues, cursors and the store's parts are linked: together they are
   exactly what was acknowledged, each line once. Links take milliseconds; then everything goes on.
2. The business database, which is then later than the judge's place in the queue: as after a crash, the judge
   reads on from there and comes to the same transitions again, which are applied once.
3. The evidence files: a row of evidence is written after its file, so every row in the copy has its file.
4. Settings and keys.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from forestall import __version__
from forestall.intake.ranges import list_queues
from forestall.intake.resting import at_rest
from forestall.intake.segments import MARK, list_segments, read_mark, segment_path
from forestall.journal.actions import append, sign_checkpoint
from forestall.keeping.archive import KEYS, KEYS_SEALED, SQLITE, Manifest, Writer, written
from forestall.keeping.business import copy_database
from forestall.keeping.frozen import Frozen, freeze, shadow
from forestall.keeping.keys import read_public, seal_keys
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble
from forestall.telemetry.client import Store

SUFFIX = ".tar.zst"
NAME = "forestall-%Y%m%dT%H%M%SZ" + SUFFIX
REST_WAIT_S = 60.0
STAGE = "backup-"
# In the data directory, but not in a backup: what is of this machine, of this moment, or taken on its own.
LEFT_OUT = frozenset(
    {
        *("run", "agent", "telemetry", "queue", "quarantine", "secret", "evidence", "mail", "backups"),
        "lost+found",
        *("forestall.db", "forestall.db-wal", "forestall.db-shm", "ballast", ".restoring"),
    }
)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    path: Path
    size_bytes: int
    manifest: Manifest


def target_of(data: DataDir, given: Path | None, now: datetime) -> Path:
    """The file to write: `given` may be a directory. Raises Trouble when it is there already."""
    target = given or data.root / "backups"
    if given is None or target.is_dir() or not target.name.endswith(SUFFIX):
        target = target / now.astimezone(UTC).strftime(NAME)
    if target.exists():
        raise Trouble(f"{target} is there already", "Choose another name; a backup is never overwritten.")
    return target.absolute()


def back_up(
    data: DataDir, store: Store, target: Path, *, days: int | None, actor: str, now: datetime
) -> Backup:
    """Back up into the file `target`. `days` of telemetry: None for all, 0 for none.

    Raises Trouble; then nothing stays behind. A backup that was made stands in the journal.
    """
    sign_checkpoint(at=now)  # so that the copy holds one that covers all but its last moments
    with _alone(data), written(target) as file, _stage(data, target) as (links, copies):
        writer = Writer(file)
        with shadow(data.telemetry) as name:
            queue, frozen = _take_flow(data, store, links, name, days=days)
            database, journal = copy_database(data, copies)
            writer.add_file(database.name, database)
            database.unlink()
            _add_queue(writer, queue)
            _add_tree(writer, "evidence", data.evidence)
            for folder in ("blobs", "aside"):  # what rows of the database name is written before they are
                _add_tree(writer, f"mail/{folder}", data.mail / folder)
            for table in frozen:
                for part in table.parts:
                    _add_tree(writer, f"telemetry/{table.table}/{part.name}", part)
        sealed = _add_keys(writer, data)
        for entry in sorted(data.root.iterdir()):
            if entry.name in LEFT_OUT or entry.name.startswith(".") or target.is_relative_to(entry):
                continue
            if entry.is_dir():
                _add_tree(writer, entry.name, entry)
            elif entry.is_file():
                writer.add_file(entry.name, entry)
        manifest = writer.close(
            Manifest(
                version=__version__,
                made_at=now.isoformat(),
                database="sqlite" if database.name == SQLITE else "postgresql",
                journal=journal,
                telemetry_days=days,
                tables=[table.state() for table in frozen],
                keys_sealed=sealed,
            )
        )
    made = Backup(target, target.stat().st_size, manifest)
    append(
        "installation.backed_up",
        actor=actor,
        subject=target.name[:64],
        at=now,
        body={
            "file": target.name,
            "size_bytes": made.size_bytes,
            "parts": len(manifest.parts),
            "journal_size": journal.size,
            "journal_root": journal.root,
            "telemetry_days": days,
            "rows": {table.name: table.rows for table in manifest.tables},
            "keys_sealed": sealed,
        },
    )
    return made


class Taken(msgspec.Struct, frozen=True):
    """A file of the queue: its name in the archive, where it is linked, how much of it counts."""

    name: str
    path: Path
    size: int


def _take_flow(
    data: DataDir, store: Store, links: Path, name: str, *, days: int | None
) -> tuple[list[Taken], list[Frozen]]:
    """Link queues, cursors and telemetry as of one instant. Without telemetry nothing needs to rest."""
    if days == 0:
        return [*_link_queue(data.queue, links), *_link_quarantine(data, links), *_link_mail(data, links)], []
    with at_rest(data.queue / "cursors", wait_s=REST_WAIT_S):
        queue = [*_link_queue(data.queue, links), *_link_quarantine(data, links), *_link_mail(data, links)]
        return queue, freeze(store, data.telemetry, name, days=days)


def _link_queue(root: Path, links: Path) -> list[Taken]:
    """Hard links of everything in the queue.

    Segments before cursors, because what a cursor has passed may be unlinked; and once more after them, so
    that no cursor stands behind the end of what was taken.
    """
    segments: dict[tuple[str, int], Path] = {}

    def link_segments() -> None:
        for queue in list_queues(root):
            for number in list_segments(root / queue):
                place = links / queue / segment_path(root / queue, number).name
                if (queue, number) not in segments and _link(segment_path(root / queue, number), place):
                    segments[(queue, number)] = place

    link_segments()
    taken = [
        Taken(f"queue/{folder}/{path.name}", links / folder / path.name, path.stat().st_size)
        for folder in ("cursors", "poison")
        for path in sorted((root / folder).glob("*"))
        if path.is_file() and path.suffix in ("", ".frames") and not path.name.startswith(".")
        if path.name not in ("asking", "resting")
        if _link(path, links / folder / path.name)
    ]
    link_segments()
    for queue in list_queues(root):
        mark = read_mark(root / queue)
        mark_copy = links / queue / MARK
        mark_copy.parent.mkdir(parents=True, exist_ok=True)
        mark_copy.write_bytes((root / queue / MARK).read_bytes())
        taken.append(Taken(f"queue/{queue}/{MARK}", mark_copy, mark_copy.stat().st_size))
        for (owner, number), path in segments.items():
            if owner == queue and number <= mark.segment:
                size = mark.offset if number == mark.segment else path.stat().st_size
                taken.append(Taken(f"queue/{queue}/{path.name}", path, size))
    return taken


def _link_quarantine(data: DataDir, links: Path) -> list[Taken]:
    """Hard links of what waits in quarantine; how much of a file counts is said by the database, later."""
    taken = []
    for path in sorted(data.quarantine.glob("*")):
        place = links / "quarantine" / path.name
        if path.is_file() and _link(path, place):
            taken.append(Taken(f"quarantine/{path.name}", place, place.stat().st_size))
    return taken


def _link(path: Path, place: Path) -> bool:
    """Whether it was still there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, place)
    except FileNotFoundError:
        return False
    return True


def _add_queue(writer: Writer, taken: list[Taken]) -> None:
    for one in taken:
        writer.add_file(one.name, one.path, size=one.size)


def _link_mail(data: DataDir, links: Path) -> list[Taken]:
    """Mails that wait: linked before the database is copied, so that one that is taken in meanwhile is in one
    of both; in both it is known by its digest."""
    return [
        Taken(f"mail/waiting/{path.name}", links / "mail" / path.name, path.stat().st_size)
        for path in sorted((data.mail / "waiting").glob("*"))
        if not path.name.startswith(".") and _link(path, links / "mail" / path.name)
    ]


def _add_tree(writer: Writer, name: str, folder: Path) -> None:
    """All files below a folder; temporary ones (with a dot) are left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            if path.name.endswith(SUFFIX):
                continue  # a backup does not hold backups
            writer.add_file(f"{name}/{path.relative_to(folder).as_posix()}", path)


def _add_keys(writer: Writer, data: DataDir) -> bool:
    """The keys: sealed when there is a recovery key, else as they are; whether they were sealed."""
    secret = {path.name: path.read_bytes() for path in sorted(data.secret.iterdir()) if path.is_file()}
    secret = {name: value for name, value in secret.items() if not name.startswith(".")}
    public = read_public(data.root)
    if public is None:
        for name, value in secret.items():
            writer.add_bytes(f"{KEYS}/{name}", value)
        return False
    writer.add_bytes(KEYS_SEALED, seal_keys(secret, public))
    return True


@contextmanager
def _alone(data: DataDir) -> Iterator[None]:
    """One backup at a time. Raises Trouble."""
    data.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data.run / "backup.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble("a backup is being made already", "Wait until it is done.") from None
        for left in list(data.queue.glob(f"{STAGE}*/")):  # of a backup that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def _stage(data: DataDir, target: Path) -> Iterator[tuple[Path, Path]]:
    """Two directories for the time of a backup: for hard links (on the queue's disk), for copies (the
    target's)."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=STAGE, dir=data.queue) as links,
        tempfile.TemporaryDirectory(prefix=f".{STAGE}", dir=target.parent) as copies,
    ):
        yield Path(links), Path(copies)
