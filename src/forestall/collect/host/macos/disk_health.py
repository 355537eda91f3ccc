"""Health of this Mac's disks as they say (SMART)."""

from forestall.collect.platforms.decoding import as_list
from forestall.collect.platforms.macos import DISKS, disk_info, read_plist
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="disk_health",
    title="Disk health",
    about="1 for a disk whose SMART status is verified, 0 for one that says it fails.",
    source="diskutil(8) info -plist: SMARTStatus",
    limits="Most disks in USB cases do not say.",
    produces=("disk.healthy",),
)
HEALTH = {"verified": 1.0, "failing": 0.0}
DISKS_MAX = 32


def look(view: View) -> Reading:
    """Only what answered. Raises ValueError when the answer is no property list."""
    reading = Reading()
    listed = read_plist(view.run(DISKS), of="disks")
    names = as_list(listed.get("WholeDisks")) if isinstance(listed, dict) else []
    for name in names[:DISKS_MAX]:
        told = read_plist(view.run(disk_info(str(name))), of=str(name))
        value = HEALTH.get(str(told.get("SMARTStatus")).lower()) if isinstance(told, dict) else None
        if value is not None:
            reading.samples.append(
                view.sample("disk.healthy", value, f"{name} {told.get('MediaName', '')}".strip())
            )
    return reading
