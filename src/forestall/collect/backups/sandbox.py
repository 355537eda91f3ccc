"""Where copies are restored to: a directory of one work, bounded by bytes and by what the disk has left."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from forestall.collect.backups.adapter import CannotProve
from forestall.collect.backups.background import in_background
from forestall.collect.backups.sources import room_of
from forestall.collect.backups.walking import size_below

RESERVE_BYTES = 2 << 30
RESERVE_SHARE = 0.05  # of the disk: whichever is more stays free
SHARED = Path("/var/tmp")  # noqa: S108 - the name is checked to be ours
WATCH_S = 1.0
COUNT_SHARE = 5.0  # counting takes at most a fifth of the time
T = TypeVar("T")


def scratch_for(directory: Path) -> Path:
    """Where the works of an agent with this directory may leave things until they end: where a service that
    must not run as root can get at what was restored for it, which is not so below the agent's directory."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return directory / "scratch"
    return SHARED / f"forestall-{hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:16]}"


def make_scratch(scratch: Path) -> None:
    """Ours, and for nobody else to look into; others may pass through it. Raises OSError when somebody else
    has taken its name."""
    scratch.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        scratch.mkdir(mode=0o711)
    if not _is_ours(scratch):
        raise OSError(
            0, f"{scratch} belongs to somebody else: remove it, or name another ([backups] sandbox)"
        )
    scratch.chmod(0o711)


def clear_scratch(scratch: Path) -> None:
    """Nothing is left of it, when it is ours."""
    if _is_ours(scratch):
        remove(scratch)


def _is_ours(scratch: Path) -> bool:
    try:
        facts = scratch.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and (sys.platform == "win32" or facts.st_uid == os.geteuid())


class Sandbox:
    """A directory. `most`: bytes that may lie in it, 0 for what the disk allows."""

    def __init__(self, directory: Path, *, most: int = 0, reserve: int | None = None) -> None:
        self.directory = directory
        self._most = most
        self._reserve = reserve

    def make(self) -> None:
        """An empty directory; whoever made the sandbox removes it. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True)

    def fits(self, size: int) -> None:
        """Raises CannotProve when a copy of so many bytes has no room."""
        free, reserve = self._room()
        if self._most and size > self._most:
            raise CannotProve(
                f"the copy has {size} bytes, and a restore of this plan may take {self._most}: raise the "
                "plan's limit, or let a collector with more room watch it"
            )
        if free is not None and size > free - reserve:
            raise CannotProve(
                f"the copy has {size} bytes, and {self.directory.parent} has {free} free, of which {reserve} "
                "stay free: make room, or name another directory in agent.toml ([backups] sandbox)"
            )

    async def within(self, work: Awaitable[T], *, told: Callable[[int], None] = lambda size: None) -> T:
        """What `work` returns; it is ended when the sandbox outgrows its bounds (CannotProve). `told` is
        given the bytes that lie in it from time to time."""
        working = asyncio.ensure_future(work)
        watching = asyncio.create_task(self._watch(told))
        try:
            await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await _cancel(working)
                watching.result()
            return await working
        finally:
            await _cancel(working)
            await _cancel(watching)

    async def _watch(self, told: Callable[[int], None]) -> None:
        pause = WATCH_S
        next_count = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            free, reserve = self._room()
            if free is not None and free < reserve:
                raise CannotProve(
                    f"the restore was stopped: {self.directory.parent} has only {free} bytes left, and "
                    f"{reserve} must stay free; make room, or name another directory ([backups] sandbox)"
                )
            if time.monotonic() < next_count:
                continue
            begun = time.monotonic()
            size = await in_background(lambda _: size_below(self.directory))
            pause = max(WATCH_S, (time.monotonic() - begun) * COUNT_SHARE)
            next_count = time.monotonic() + pause
            told(size)
            if self._most and size > self._most:
                raise CannotProve(
                    f"the restore was stopped: it had taken {size} bytes, and may take {self._most}: raise "
                    "the plan's limit, or let a collector with more room watch it"
                )

    def _room(self) -> tuple[int | None, int]:
        free, total = room_of(self.directory if self.directory.exists() else self.directory.parent)
        reserve = self._reserve
        if reserve is None:
            reserve = max(RESERVE_BYTES, round((total or 0) * RESERVE_SHARE))
        return free, reserve


def remove(directory: Path) -> None:
    """All of it, also what was restored without the right to remove it."""

    def opened(function: Callable[..., Any], path: str, _: object) -> None:
        parent = Path(path).parent
        with contextlib.suppress(OSError):
            parent.chmod(parent.stat().st_mode | stat.S_IRWXU)
            Path(path).chmod(stat.S_IRWXU)
            function(path)

    if directory.is_symlink() or directory.is_file():
        directory.unlink(missing_ok=True)
        return
    for _ in range(2):  # a directory that could not be listed is opened by the first round
        if directory.exists():
            shutil.rmtree(directory, onerror=opened)


async def _cancel(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
