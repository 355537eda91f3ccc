"""Health of disks where it can be read: SMART by smartctl, software RAID by /proc/mdstat."""

import json
import re

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.observations import Sample
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="disk_health",
    title="Disk health",
    about="1 for a healthy disk or array, 0 for one that says it fails or is degraded.",
    source="smartctl(8) --json, md(4)",
    limits="A disk that cannot be asked is absent, which is not the same as healthy.",
    produces=("disk.healthy",),
)
DISKS_MAX = 64


def look(view: View) -> Reading:
    """Only what answered."""
    samples: list[Sample] = []
    try:
        found = json.loads(run(["smartctl", "--scan", "--json"])).get("devices", [])
    except (NotHere, OSError, ValueError):
        found = []
    for device in found[:DISKS_MAX]:
        try:
            answer = json.loads(run(["smartctl", "--json", "--health", device["name"]]))
        except (NotHere, OSError, ValueError):
            continue
        passed = answer.get("smart_status", {}).get("passed")
        if isinstance(passed, bool):
            samples.append(view.sample("disk.healthy", float(passed), device["name"]))
    mdstat = view.root / "proc/mdstat"
    if mdstat.exists():
        for name, state in re.findall(r"(?m)^(md\w+) : .*\n.*\[([U_]+)\]", mdstat.read_text()):
            samples.append(view.sample("disk.healthy", float("_" not in state), name))
    return Reading(samples)
