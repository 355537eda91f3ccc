"""Traffic of disks."""

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import Spec

EVERY_S = 10
RATES = True
SPEC = Spec(
    name="disk_traffic",
    title="Traffic of disks",
    about="What every disk reads and writes, and how busy it is.",
    source="proc_diskstats(5), DISK_PERFORMANCE, IOBlockStorageDriver through psutil",
    limits="Windows does not say how busy a disk is.",
    produces=("disk.read_bytes_per_s", "disk.write_bytes_per_s", "disk.busy_ratio"),
)
NO_DISKS = ("loop", "ram", "zram", "dm-", "sr", "fd", "nbd")


def look(view: View) -> Reading:
    """Rates since the last look."""
    samples: list[Sample] = []
    whole = {path.name for path in (view.root / "sys/block").glob("*")}
    for device, counters in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if device.startswith(NO_DISKS) or (whole and device not in whole):  # partitions are in their disk
            continue
        for metric, value in (
            ("disk.read_bytes_per_s", counters.read_bytes),
            ("disk.write_bytes_per_s", counters.write_bytes),
        ):
            rate = view.rate(f"{metric}/{device}", value)
            if rate is not None:
                samples.append(view.sample(metric, rate, device))
        if not hasattr(counters, "busy_time"):
            continue
        busy = view.rate(f"busy/{device}", counters.busy_time)  # ms per second
        if busy is not None:
            samples.append(view.sample("disk.busy_ratio", min(busy / 1000, 1.0), device))
    return Reading(samples)
