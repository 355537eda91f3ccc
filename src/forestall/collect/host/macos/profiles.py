"""Who manages this Mac: enrolment and configuration profiles."""

import re
from typing import Any

from forestall.collect.platforms.decoding import as_list
from forestall.collect.platforms.macos import ENROLMENT, PROFILES, read_plist
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="profiles",
    title="Management",
    about="Whether the Mac is enrolled in a device management, and which profiles it has.",
    source="profiles(1)",
    limits="What the profiles say is not captured: it may hold secrets. Only root sees those of the machine.",
)


def look(view: View) -> Reading:
    """One snapshot. Raises ValueError when the answer is no property list."""
    said = view.run(ENROLMENT).decode(errors="replace")
    lines = [
        f"{title}: {found[1]}"
        for title in ("Enrolled via DEP", "MDM enrollment", "MDM server")
        if (found := re.search(rf"(?m)^\s*{title}: (.+?)\s*$", said))
    ]
    try:
        output = view.run(PROFILES)
    except (NotHere, OSError):
        output = b""
    if output.strip():
        lines += sorted(_names(read_plist(output, of="profiles")))
    return Reading(snapshots=[view.snapshot("profiles", "Management", lines)])


def _names(found: Any) -> set[str]:
    """Names and identifiers by scope (`_computerlevel`, or a user's name)."""
    rows = found.items() if isinstance(found, dict) else ()
    return {
        f"{scope.strip('_')}: {one.get('ProfileDisplayName', '?')} ({one.get('ProfileIdentifier', '?')})"
        for scope, profiles in rows
        for one in as_list(profiles)
        if isinstance(one, dict)
    }
