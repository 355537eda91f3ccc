"""Repositories that are directories of files, for calling an adapter directly: in a place that a server of
another user can pass through."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from contract.backup_site import wall_ms
from forestall.collect.backups.adapter import Repository
from forestall.collect.backups.programs import Programs
from forestall.kernel.backups import CheckSeen


@contextmanager
def open_folder() -> Iterator[Path]:
    """A directory for a while, which others may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="forestall-backup-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def repository(tool: ModuleType, place: Path, home: Path, **settings: Any) -> Repository:
    """A fresh work's: its own scratch, and what the plan keeps."""
    scratch = Path(tempfile.mkdtemp(prefix="work-", dir=home))
    scratch.chmod(0o711)
    return Repository(
        place=str(place), sources=[], settings=tool.SPEC.read(settings), secrets={}, scratch=scratch,
        run=Programs(scratch, timeout_s=60), now_ms=wall_ms, keep=home / "keep",
    )  # fmt: skip


def into(repository: Repository) -> Path:
    """Where a drill restores to."""
    path = repository.scratch / "restored"
    path.mkdir(mode=0o700)
    return path


def tell(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def failed(checks: Sequence[CheckSeen]) -> list[str]:
    """Names of the checks that did not pass."""
    return [check.name for check in checks if not check.ok]


def said(checks: Sequence[CheckSeen]) -> str:
    """All that was said."""
    return "\n".join(f"{check.name} {check.ok}: {check.said}" for check in checks)


def is_root() -> bool:
    """Whether servers run as another user here."""
    return os.geteuid() == 0
