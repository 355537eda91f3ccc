"""Backups of Forestall by itself: when one is due, in a process of its own, and the oldest let go.

The watch starts `python -m forestall.processes.archiving` (so that hours of packing hold up nobody) and says
that the job ran; that it did not is a finding.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from forestall.kernel.config import Backup as Terms
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble
from forestall.processes.setup import Installation, installation

if TYPE_CHECKING:
    from forestall.keeping.backup import Backup

JOB = "backup"
ACTOR = "forestall:backup"
LOOK_EVERY_S = 5.0
RETRY_S = 900.0
NICE = 10
PATTERN = "forestall-*.tar.zst"
NOTE = "backup.json"

log = logging.getLogger("backup")


class Note(Struct, frozen=True):
    """What became of the last backup, and when one last succeeded (s since 1970, 0 never)."""

    at: float
    error: str = ""
    file: str = ""
    size_bytes: int = 0
    succeeded_at: float = 0.0


def expected_ms(terms: Terms) -> int:
    """The interval of the expected job: the rule waits for three of them, and a quarter late is late."""
    return terms.every_hours * 3_600_000 * 5 // 12


def read_note(data: DataDir) -> Note | None:
    """What became of the last backup; None when there was none."""
    try:
        return Note(**json.loads((data.run / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def make_backup(found: Installation, target: Path | None, *, days: int | None, actor: str) -> "Backup":
    """Back up a running installation, and note what became of it. Raises Trouble."""
    from django.utils import timezone

    from forestall.keeping.backup import back_up, target_of
    from forestall.telemetry.client import Store

    now, before = timezone.now(), read_note(found.data)
    succeeded_at = before.succeeded_at if before else 0.0
    store = Store("127.0.0.1", found.config.port("store"), password=found.data.key("store").hex())
    try:
        file = target_of(found.data, target, now)
        made = back_up(found.data, store, file, days=days, actor=actor, now=now)
    except Trouble as trouble:
        _note(found.data, Note(now.timestamp(), error=str(trouble)[:500], succeeded_at=succeeded_at))
        raise
    _note(found.data, Note(now.timestamp(), "", str(made.path), made.size_bytes, now.timestamp()))
    return made


def list_archives(directory: Path) -> list[Path]:
    """The archives in a directory, oldest first (their names sort by time)."""
    return sorted(path for path in directory.glob(PATTERN) if path.is_file())


class Archiving:
    """The watch's part: a thread that looks whether a backup is due. `did` is told when one was made."""

    def __init__(self, found: Installation, did: Callable[[float], None]) -> None:
        self._found = found
        self._did = did
        self._terms = found.config.backup

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; nothing when no directory is set."""
        if not self._terms.directory:
            return
        last_s = self._last_s()
        if last_s:
            self._did(last_s)
        due_s = last_s + self._terms.every_hours * 3600
        while not stop.wait(LOOK_EVERY_S):
            if time.time() < due_s:
                continue
            if self._make(stop):
                due_s = time.time() + self._terms.every_hours * 3600
                self._did(time.time())
            else:
                due_s = time.time() + RETRY_S

    def _last_s(self) -> float:
        archives = list_archives(Path(self._terms.directory))
        return archives[-1].stat().st_mtime if archives else 0.0

    def _make(self, stop: threading.Event) -> bool:
        command = [sys.executable, "-m", "forestall.processes.archiving"]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            while process.poll() is None:
                if stop.wait(0.5):
                    process.send_signal(signal.SIGTERM)
            said = process.stderr.read().strip()[-500:] if process.stderr else ""
        if process.returncode and not stop.is_set():
            log.warning("the backup was not made: %s", said)
        return process.returncode == 0


def main() -> int:
    """One backup as the settings have it; its exit status."""
    os.nice(NICE)
    try:
        found = installation()
        terms = found.config.backup
        directory = Path(terms.directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        days = None if terms.telemetry_days < 0 else terms.telemetry_days
        make_backup(found, directory, days=days, actor=ACTOR)
        for path in list_archives(directory)[: -terms.keep]:
            path.unlink(missing_ok=True)
    except (Trouble, OSError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    return 0


def _note(data: DataDir, note: Note) -> None:
    fresh = data.run / f".{NOTE}.new"
    try:
        fresh.write_text(json.dumps({field: getattr(note, field) for field in Note.__struct_fields__}))
        fresh.replace(data.run / NOTE)
    except OSError as error:
        log.warning("%s cannot be written: %s", NOTE, error)


if __name__ == "__main__":
    sys.exit(main())
