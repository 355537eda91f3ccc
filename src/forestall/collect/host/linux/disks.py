"""Room and inodes of file systems."""

import os
import threading
from typing import Any

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import Spec

EVERY_S = 10
SPEC = Spec(
    name="disks",
    title="Disks",
    about="Used room and inodes of every real file system.",
    source="statvfs(3)",
    limits="Read-only images (squashfs, iso9660) and file systems in memory are left out; a network file "
    "system that does not answer within 3 s is absent.",
    produces=(
        "disk.used_ratio",
        "disk.free_bytes",
        "disk.size_bytes",
        "inodes.used_ratio",
    ),
)
_NOT_REAL = "squashfs iso9660 udf erofs overlay tmpfs devtmpfs ramfs autofs nsfs fuse.lxcfs 9p proc sysfs"
NOT_REAL = frozenset(_NOT_REAL.split())
FAR = frozenset(("nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.sshfs", "fuse.glusterfs"))
MOUNTS_MAX = 200
FAR_ANSWER_S = 3.0


def look(view: View) -> Reading:
    """A file system that does not answer is left out; its absence is what is judged."""
    samples: list[Sample] = []
    seen: set[str] = set()
    for part in psutil.disk_partitions(all=True):
        # a container's root is an overlay, and it does fill up
        real = part.fstype not in NOT_REAL and (part.device[:1] == "/" or part.fstype in FAR | {"zfs"})
        if not (real or part.mountpoint == "/") or part.device in seen or len(seen) >= MOUNTS_MAX:
            continue
        room = _far_room(view, part.mountpoint) if part.fstype in FAR else _room(part.mountpoint)
        if room is None or not room.f_blocks:
            continue
        seen.add(part.device)
        samples += _filled(view, part.mountpoint, room)
    return Reading(samples)


def _filled(view: View, mount: str, room: os.statvfs_result) -> list[Sample]:
    used = room.f_blocks - room.f_bfree
    samples = [
        # as df(1): what root keeps for itself is not free
        view.sample("disk.used_ratio", used / max(1, used + room.f_bavail), mount),
        view.sample("disk.free_bytes", room.f_bavail * room.f_frsize, mount),
        view.sample("disk.size_bytes", room.f_blocks * room.f_frsize, mount),
    ]
    if room.f_files:
        samples.append(view.sample("inodes.used_ratio", 1 - room.f_ffree / room.f_files, mount))
    return samples


def _room(mount: str) -> os.statvfs_result | None:
    try:
        return os.statvfs(mount)
    except OSError:
        return None


def _far_room(view: View, mount: str) -> os.statvfs_result | None:
    """Asked in a thread of its own, which hangs as long as its server is away; never two for one mount."""
    asking: dict[str, tuple[threading.Thread, list[Any]]] = view.memory.setdefault("asking", {})
    thread, answer = asking.get(mount, (None, []))
    if thread is None or not thread.is_alive():
        answer = []
        thread = threading.Thread(target=lambda: answer.append(_room(mount)), daemon=True)
        asking[mount] = (thread, answer)
        thread.start()
    thread.join(FAR_ANSWER_S)
    return answer[0] if answer else None
