"""Files below a directory in one fixed order, whatever made it: a source and its restore walk in step.

The order is that of the path's parts as bytes: a directory, all that is in it, then its next neighbour. Only
the names of the directories between the top and the present one are held in memory.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

CANARY_DIR = b".forestall-canary"
DEPTH_MAX = 512
_PSEUDO = (
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devfs devpts devtmpfs efivarfs fusectl hugetlbfs "
    "mqueue nsfs proc pstore rpc_pipefs securityfs selinuxfs sysfs tracefs"
)
PSEUDO = frozenset(_PSEUDO.split())

# file, link, directory, special (device, socket, pipe), unreadable, not hashed (no time was left)
FileKind = Literal["f", "l", "d", "s", "u", "n"]


class Found(NamedTuple):
    """A path; `stat` None when it could not be read, `problem` says why."""

    path: bytes
    kind: FileKind
    stat: os.stat_result | None
    problem: str = ""


def walk(top: bytes, *, skip: Callable[[bytes], bool] = lambda path: False) -> Iterator[Found]:
    """`top` and all below it, without following links. What `skip` names, and canaries' directories, are left
    out; a directory that cannot be read comes as "u"."""
    first = _look(top)
    yield first
    if first.kind != "d":
        return
    waiting = [_names(top)]
    places = [top]
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
            places.pop()
            continue
        if isinstance(name, OSError):
            yield Found(places[-1], "u", None, name.strerror or str(name))
            continue
        path = places[-1].rstrip(b"/") + b"/" + name
        if name == CANARY_DIR or skip(path):
            continue
        found = _look(path)
        if found.kind == "d" and len(waiting) >= DEPTH_MAX:
            found = Found(path, "u", None, f"more than {DEPTH_MAX} directories deep")
        yield found
        if found.kind == "d":
            waiting.append(_names(path))
            places.append(path)


def order(path: bytes) -> list[bytes]:
    """The key by which paths stand in the order of `walk`."""
    return path.rstrip(b"/").split(b"/")


def tops(sources: Sequence[str]) -> list[bytes]:
    """The sources as absolute paths in order, each once, none that lies in another one."""
    found: list[bytes] = []
    for one in sorted((os.fsencode(Path(source).absolute()) for source in sources), key=order):
        parts = order(one)
        if not any(parts[: len(order(above))] == order(above) for above in found):
            found.append(one)
    return found


def pseudo_mounts() -> frozenset[bytes]:
    """Where the system shows itself as files, which nobody backs up."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return frozenset()
    return frozenset(os.fsencode(one.mountpoint) for one in mounts if one.fstype in PSEUDO)


def _look(path: bytes) -> Found:
    try:
        facts = os.lstat(path)
    except OSError as error:
        return Found(path, "u", None, error.strerror or str(error))
    if stat.S_ISREG(facts.st_mode):
        return Found(path, "f", facts)
    if stat.S_ISDIR(facts.st_mode):
        return Found(path, "d", facts)
    return Found(path, "l" if stat.S_ISLNK(facts.st_mode) else "s", facts)


def _names(path: bytes) -> Iterator[bytes | OSError]:
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208 - names are bytes
    except OSError as error:
        return iter([error])
    return iter(names)


def size_below(top: Path) -> int:
    """Bytes that the files below a directory take on disk."""
    used = 0
    for found in walk(os.fsencode(top)):
        if found.stat is not None:
            used += getattr(found.stat, "st_blocks", 0) * 512 or found.stat.st_size
    return used
