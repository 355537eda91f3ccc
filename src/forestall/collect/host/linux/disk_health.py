"""Health of disks where it can be read: SMART by smartctl, software RAID by /proc/mdstat, dead NVMe."""

import json
import re
from typing import Any

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="disk_health",
    title="Disk health",
    about="1 for a healthy disk or array, 0 for one that says it fails or is degraded.",
    source="smartctl(8) --json and its exit status, md(4), sysfs-class-nvme",
    limits="A disk that cannot be asked, or sleeps, is absent, which is not the same as healthy.",
    produces=("disk.healthy",),
)
DISKS_MAX = 64
ANY_STATUS = range(256)  # bits that tell of the disk: a failing one is no failure of the command


def look(view: View) -> Reading:
    """Only what answered."""
    health: dict[str, bool] = {}
    for device in _smart(["smartctl", "--scan", "--json"]).get("devices", [])[:DISKS_MAX]:
        name, kind = str(device.get("name", "")), str(device.get("type", "auto"))
        answer = _smart(
            ["smartctl", "--json", "--health", "--nocheck=standby", f"--device={kind}", "--", name]
        )
        passed = answer.get("smart_status", {}).get("passed")
        if isinstance(passed, bool):
            item = name if kind in {"auto", "scsi", "ata", "sat", "nvme"} else f"{name} {kind}"
            health[item] = passed
    for state in view.root.glob("sys/class/nvme/nvme*/state"):
        if state.read_text().strip() == "dead":
            health[f"/dev/{state.parent.name}"] = False
    mdstat = view.root / "proc/mdstat"
    if mdstat.exists():
        health |= arrays(mdstat.read_text())
    return Reading([view.sample("disk.healthy", float(good), name) for name, good in sorted(health.items())])


def arrays(mdstat: str) -> dict[str, bool]:
    """Whether each software array of /proc/mdstat is whole. Arrays without redundancy say nothing."""
    found: dict[str, bool] = {}
    for block in re.split(r"\n(?=md\S+ : )", mdstat):
        head = re.match(r"(md\S+) : (\S+)", block)
        if not head:
            continue
        members = re.search(r"\[([U_]+)\]", block)
        if head[2] == "inactive" or "(F)" in block.partition("\n")[0]:
            found[head[1]] = False
        elif members:
            found[head[1]] = "_" not in members[1]
    return found


def _smart(command: list[str]) -> dict[str, Any]:
    try:
        answer = json.loads(run(command, statuses=ANY_STATUS))
    except (NotHere, OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
