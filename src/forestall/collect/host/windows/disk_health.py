"""Health of disks and of Storage Spaces as Windows says."""

from typing import Any

from forestall.collect.platforms.decoding import as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="disk_health",
    title="Disk health",
    about="1 for a healthy disk, 0 for one that says it fails or is degraded.",
    source="MSFT_PhysicalDisk, MSFT_VirtualDisk: HealthStatus",
    limits="A disk behind a RAID controller answers as its controller lets it; unknown is absent.",
    produces=("disk.healthy",),
)
HEALTH = {"0": 1.0, "healthy": 1.0, "1": 0.0, "warning": 0.0, "2": 0.0, "unhealthy": 0.0}


def look(view: View) -> Reading:
    """Raises as `ask`."""
    reading = Reading()
    for row in ask(view, "disks"):
        value = HEALTH.get(as_text(row.get("Health")).lower())
        if value is not None:
            reading.samples.append(view.sample("disk.healthy", value, _name(row)))
    try:
        spaces = ask(view, "virtual-disks")
    except NotHere:
        spaces = []
    for row in spaces:
        value = HEALTH.get(as_text(row.get("Health")).lower())
        if value is not None:
            reading.samples.append(view.sample("disk.healthy", value, f"space {as_text(row.get('Name'))}"))
    return reading


def _name(row: dict[str, Any]) -> str:
    return f"{as_text(row.get('Name'))} {as_text(row.get('Serial'))}".strip() or "disk"
