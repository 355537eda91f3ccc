"""Room on this Mac. The volumes of an APFS container share its room, so a container counts once."""

import os
import re

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="disks",
    title="Disks",
    about="Used room of every APFS container and of other local volumes.",
    source="statvfs(3); Apple File System Reference, space sharing",
    limits="Disk images, network volumes and Time Machine's snapshots are left out.",
    produces=("disk.used_ratio", "disk.free_bytes", "disk.size_bytes"),
)
REAL = frozenset(("apfs", "hfs", "exfat", "msdos"))
VOLUMES_MAX = 50


def look(view: View) -> Reading:
    """A volume that does not answer is absent."""
    reading = Reading()
    parts = [
        (part.device, part.mountpoint, part.fstype, part.opts) for part in psutil.disk_partitions(all=True)
    ]
    for mount in containers(parts)[:VOLUMES_MAX]:
        try:
            room = os.statvfs(mount)
        except OSError:
            continue
        if not room.f_blocks:
            continue
        reading.samples += [
            view.sample("disk.used_ratio", 1 - room.f_bavail / room.f_blocks, mount),
            view.sample("disk.free_bytes", room.f_bavail * room.f_frsize, mount),
            view.sample("disk.size_bytes", room.f_blocks * room.f_frsize, mount),
        ]
    return reading


def containers(parts: list[tuple[str, str, str, str]]) -> list[str]:
    """Of (device, mount, type, options) the mount that stands for each container: the shortest one."""
    found: dict[str, str] = {}
    for device, mount, kind, options in parts:
        if kind not in REAL or not device.startswith("/dev/disk") or mount.startswith("/private/var/folders"):
            continue
        if (
            {"nobrowse", "dontbrowse"} & set(options.split(","))
            and mount != "/"
            and not mount.startswith("/System/Volumes/Data")
        ):
            continue
        container = re.sub(r"(/dev/disk\d+).*", r"\1", device) if kind == "apfs" else device
        if container not in found or len(mount) < len(found[container]):
            found[container] = mount
    return sorted(found.values())
