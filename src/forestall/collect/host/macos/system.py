"""What this Mac is: version, model, serial number."""

import json
from typing import Any

from forestall.collect.platforms.macos import SYSTEM
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 3600
SPEC = Spec(
    name="system",
    title="System",
    about="Version of macOS, model, serial number, memory, whether its integrity is protected.",
    source="system_profiler(8) SPHardwareDataType, SPSoftwareDataType",
)
FIELDS = (
    ("system", "os_version"),
    ("integrity", "system_integrity"),
    ("model", "machine_name"),
    ("model number", "machine_model"),
    ("serial", "serial_number"),
    ("memory", "physical_memory"),
)


def look(view: View) -> Reading:
    """One snapshot. Raises ValueError when the answer is no JSON."""
    output = view.run(SYSTEM)
    try:
        found: dict[str, Any] = json.loads(output)
        rows = [row for kind in ("SPSoftwareDataType", "SPHardwareDataType") for row in found.get(kind, [])]
    except (ValueError, AttributeError):
        said = " ".join(output[:200].decode(errors="replace").split())
        raise ValueError(f"system_profiler answers no JSON: {said}") from None
    told = {key: value for row in rows for key, value in row.items()}
    lines = [f"{title}: {told[key]}" for title, key in FIELDS if told.get(key)]
    return Reading(snapshots=[view.snapshot("system", "System", lines, names=True)])
