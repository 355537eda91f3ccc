"""How a plan's sources are where they should be, seen right before a run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from forestall.collect.backups.taking import SourceCount
from forestall.collect.backups.walking import tops
from forestall.kernel.backups import SOURCES_MAX, SourceSeen


def see(sources: Sequence[str], *, counts: Mapping[str, SourceCount]) -> list[SourceSeen]:
    """Each source; `counts` are those of its manifest, by path. At most SOURCES_MAX."""
    mounts = _mounts()
    return [_see(Path(source).absolute(), counts, mounts) for source in sources[:SOURCES_MAX]]


def _see(path: Path, counts: Mapping[str, SourceCount], mounts: Mapping[Path, str]) -> SourceSeen:
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                next(entries, None)
        else:
            with path.open("rb"):
                pass
    except FileNotFoundError:
        return SourceSeen(str(path), False, problem=f"there is no {path}")
    except OSError as error:
        return SourceSeen(str(path), False, problem=f"{path} cannot be read: {error.strerror or error}")
    mount, where = _mount_of(path, mounts)
    count = _count_of(path, counts)
    link = (
        f"{path} is a link: tools keep the link, and nothing of what it points to"
        if path.is_symlink()
        else ""
    )
    return SourceSeen(
        str(path),
        True,
        mount=mount[:128],
        is_mount=where == path.resolve() or path.is_mount(),
        entries=count.entries if count else None,
        size=count.size if count else None,
        problem=link,
    )


def _count_of(path: Path, counts: Mapping[str, SourceCount]) -> SourceCount | None:
    """Of a source that was walked by itself; None when it lies in another one, or nobody walked."""
    return counts.get(os.fsdecode(top)) if (top := next(iter(tops([str(path)])), None)) else None


def mount_of(path: Path) -> str:
    """The device and the type of the file system that holds a path: `/dev/sdb1 ext4`."""
    return _mount_of(path, _mounts())[0]


def _mount_of(path: Path, mounts: Mapping[Path, str]) -> tuple[str, Path | None]:
    real = path.resolve()
    for place in (real, *real.parents):
        if place in mounts:
            return mounts[place], place
    return "", None


def _mounts() -> dict[Path, str]:
    """Later mounts hide earlier ones at the same place."""
    try:
        return {
            Path(one.mountpoint): f"{one.device} {one.fstype}" for one in psutil.disk_partitions(all=True)
        }
    except OSError:
        return {}


def room_of(path: Path) -> tuple[int | None, int | None]:
    """Free bytes (for us) and all bytes of the file system that holds a path; None when it cannot be seen."""
    try:
        usage = psutil.disk_usage(str(path))
    except OSError:
        return None, None
    return usage.free, usage.total
