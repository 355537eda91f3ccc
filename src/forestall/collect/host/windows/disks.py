"""Room on the fixed volumes of Windows."""

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="disks",
    title="Disks",
    about="Used room of every fixed volume.",
    source="GetDiskFreeSpaceEx through psutil",
    limits="Network drives, optical and removable disks are left out, as are volumes without a letter.",
    produces=("disk.used_ratio", "disk.free_bytes", "disk.size_bytes"),
)
VOLUMES_MAX = 50


def look(view: View) -> Reading:
    """A volume that does not answer is absent."""
    reading = Reading()
    for part in psutil.disk_partitions(all=False)[:VOLUMES_MAX]:
        if "fixed" not in part.opts.split(","):
            continue
        try:
            room = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue
        if not room.total:
            continue
        item = part.mountpoint.rstrip("\\")
        reading.samples += [
            view.sample("disk.used_ratio", 1 - room.free / room.total, item),
            view.sample("disk.free_bytes", room.free, item),
            view.sample("disk.size_bytes", room.total, item),
        ]
    return reading
