"""Room and inodes of file systems, traffic of disks."""

import os

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import Spec

EVERY_S = 10
SPEC = Spec(
    name="disks",
    title="Disks",
    about="Used room and inodes of every real file system, traffic and busy time of every disk.",
    source="statvfs(3), proc_diskstats(5) through psutil",
    limits="Read-only images (squashfs, iso9660) and file systems in memory are left out.",
    produces=(
        "disk.used_ratio",
        "disk.free_bytes",
        "disk.size_bytes",
        "inodes.used_ratio",
        "disk.busy_ratio",
    ),
)
NOT_REAL = frozenset(
    ("squashfs", "iso9660", "overlay", "tmpfs", "devtmpfs", "ramfs", "autofs", "proc", "sysfs", "nsfs")
    + ("fuse.lxcfs", "9p")
)
MOUNTS_MAX = 200


def look(view: View) -> Reading:
    """A file system that does not answer is left out; its absence is what is judged."""
    samples: list[Sample] = []
    seen: set[str] = set()
    for part in psutil.disk_partitions(all=True)[:MOUNTS_MAX]:
        whole_root = part.mountpoint == "/"  # a container's root is an overlay, and it does fill up
        if (part.fstype in NOT_REAL and not whole_root) or (part.device in seen and not whole_root):
            continue
        if (
            not part.device.startswith("/")
            and not whole_root
            and part.fstype not in ("zfs", "nfs", "nfs4", "cifs")
        ):
            continue
        try:
            room = os.statvfs(part.mountpoint)
        except OSError:
            continue
        size = room.f_blocks * room.f_frsize
        if not size:
            continue
        seen.add(part.device)
        reachable = (
            room.f_blocks - room.f_bfree + room.f_bavail
        )  # as df(1): what root keeps for itself is not free
        samples += [
            view.sample(
                "disk.used_ratio", (room.f_blocks - room.f_bfree) / max(1, reachable), part.mountpoint
            ),
            view.sample("disk.free_bytes", room.f_bavail * room.f_frsize, part.mountpoint),
            view.sample("disk.size_bytes", size, part.mountpoint),
        ]
        if room.f_files:
            samples.append(view.sample("inodes.used_ratio", 1 - room.f_ffree / room.f_files, part.mountpoint))
    for device, counters in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if device.startswith(("loop", "ram", "zram")):
            continue
        for metric, value, scale in (
            ("disk.read_bytes_per_s", counters.read_bytes, 1.0),
            ("disk.write_bytes_per_s", counters.write_bytes, 1.0),
            ("disk.busy_ratio", getattr(counters, "busy_time", 0), 0.001),
        ):
            rate = view.rate(f"{metric}/{device}", value)
            if rate is not None:
                samples.append(view.sample(metric, min(rate * scale, 1.0) if scale != 1.0 else rate, device))
    return Reading(samples)
