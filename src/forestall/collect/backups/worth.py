"""What this machine holds that a backup plan should cover: volumes with data, and databases as far as they
can be listed without a password. Nothing is read of their contents."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from forestall.collect.backups.adapter import CannotProve
from forestall.collect.backups.background import in_background
from forestall.collect.backups.programs import Programs
from forestall.kernel.backups import UncoveredSeen, WorthReport

WORTH_FIRST_S = 20.0
WORTH_EVERY_S = 3_600.0
THINGS_MAX = 500
LEAST_BYTES = 100 << 20  # a smaller volume holds no client's data: /boot, an EFI partition
ASK_S = 20.0
MARIADB_HOMES = ("/var/lib/mysql", "/var/lib/mariadb")
MARIADB_OWN = frozenset({"mysql", "performance_schema", "sys", "lost+found"})
POSTGRES_SOCKETS = ("/var/run/postgresql", "/tmp")  # noqa: S108 - where servers put them
POSTGRES_LIST = (
    "select datname, pg_database_size(datname) from pg_database "
    "where datallowconn and not datistemplate and datname <> 'postgres' limit 200"
)
# File systems that hold data of their own; the rest is the kernel's, or another machine's.
OWN = frozenset({
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "ntfs", "ntfs3",
    "fuseblk", "refs", "apfs", "hfs", "ufs", "exfat",
})  # fmt: skip
NOT_DATA = ("/boot", "/snap/", "/var/lib/docker/", "/var/lib/containers/", "/System/Volumes/", "/run/")

log = logging.getLogger("agent")


async def find_worth(now_ms: int) -> WorthReport:
    """All that is found now."""
    things = await in_background(lambda _: [*volumes(), *mariadb_databases()])
    things += await postgres_databases()
    return WorthReport(at_ms=now_ms, things=things[:THINGS_MAX])


def volumes() -> list[UncoveredSeen]:
    """Mounted volumes with data of this machine, each device once, the shortest mount point first."""
    found: dict[str, UncoveredSeen] = {}
    for part in sorted(psutil.disk_partitions(all=False), key=lambda one: len(one.mountpoint)):
        kind = part.fstype.lower()
        options = part.opts.split(",")
        if kind not in OWN or part.device in found or part.mountpoint.startswith(NOT_DATA):
            continue
        if "ro" in options and "rw" not in options:
            continue
        try:
            used = psutil.disk_usage(part.mountpoint).used
        except OSError:
            continue
        if used >= LEAST_BYTES:
            found[part.device] = UncoveredSeen("volume", part.mountpoint[:1024], used, f"{kind}"[:128])
    return list(found.values())


def mariadb_databases() -> list[UncoveredSeen]:
    """Databases by their directories: the server keeps one for each."""
    for home in map(Path, MARIADB_HOMES):
        try:
            names = sorted(one.name for one in home.iterdir() if one.is_dir())
        except OSError:
            continue
        return [
            UncoveredSeen("database", f"mariadb/{name}"[:1024])
            for name in names
            if name not in MARIADB_OWN and not name.startswith(("#", "."))
        ]
    return []


async def postgres_databases() -> list[UncoveredSeen]:
    """Databases of every server whose socket lets its own system user in."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return []
    found: list[UncoveredSeen] = []
    for directory, port in _postgres_sockets():
        with tempfile.TemporaryDirectory() as scratch:
            run = Programs(Path(scratch), timeout_s=ASK_S)
            try:
                ended = await run(
                    ["psql", "-XAtwq", "-h", directory, "-p", port, "-U", "postgres", "-d", "postgres",
                     "-c", POSTGRES_LIST],
                    user="postgres",
                )  # fmt: skip
            except (CannotProve, OSError) as error:
                log.debug("databases of PostgreSQL cannot be listed: %s", error)
                continue
        if ended.code == 0:
            found += _listed(ended.out.decode(errors="replace"), port)
    return found


def _postgres_sockets() -> Iterator[tuple[str, str]]:
    for directory in POSTGRES_SOCKETS:
        try:
            names = sorted(one.name for one in Path(directory).iterdir())
        except OSError:
            continue
        for name in names:
            port = name.removeprefix(".s.PGSQL.")
            if port != name and port.isdecimal():
                yield directory, port


def _listed(text: str, port: str) -> Iterator[UncoveredSeen]:
    for line in text.splitlines():
        name, _, size = line.rpartition("|")
        if name and size.isdecimal():
            yield UncoveredSeen("database", f"postgresql/{name}"[:1024], int(size), f"port {port}")
