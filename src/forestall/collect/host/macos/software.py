"""What is installed on this Mac: applications and packages."""

import json
from typing import Any

from forestall.collect.platforms.macos import APPLICATIONS, PACKAGES, PACKAGES_S
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 6 * 3600
SPEC = Spec(
    name="software",
    title="Applications and packages",
    about="Applications with their version and where they came from; packages that are not Apple's.",
    source="system_profiler(8) SPApplicationsDataType, pkgutil(1) --pkgs",
    limits="Apple's own applications are left out: they change with the system's updates.",
)


def look(view: View) -> Reading:
    """One snapshot. Raises ValueError when the answer is no JSON."""
    lines = read_applications(view.run(APPLICATIONS, timeout_s=PACKAGES_S))
    try:
        names = view.run(PACKAGES).decode(errors="replace").split()
    except (NotHere, OSError):
        names = []
    lines += [f"package {name}" for name in names if not name.startswith("com.apple.")]
    return Reading(snapshots=[view.snapshot("packages", "Packages", sorted(set(lines)), names=True)])


def read_applications(output: bytes) -> list[str]:
    """`Firefox 132.0 (identified_developer)`, sorted."""
    try:
        found = json.loads(output).get("SPApplicationsDataType") or []
    except (ValueError, AttributeError):
        said = " ".join(output[:200].decode(errors="replace").split())
        raise ValueError(f"system_profiler answers no JSON: {said}") from None
    return sorted(_say(row) for row in found if isinstance(row, dict) and row.get("obtained_from") != "apple")


def _say(row: dict[str, Any]) -> str:
    version = str(row.get("version") or "").strip()
    return " ".join(
        filter(None, (str(row.get("_name")), version, f"({row.get('obtained_from', 'unknown')})"))
    )
