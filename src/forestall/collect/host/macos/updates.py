"""Updates of macOS that wait."""

import re

from forestall.collect.platforms.macos import UPDATES, UPDATES_S
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 6 * 3600
SPEC = Spec(
    name="updates",
    title="Pending updates",
    about="How many updates wait, and how many of these are for security.",
    source="softwareupdate(8) --list --no-scan",
    limits="As fresh as the machine's own last search. Updates of the system count as security updates: "
    "Apple puts its mends into them.",
    produces=("updates.pending_count", "updates.security_count"),
)
_UPDATE = re.compile(r"(?m)^\s*\* (?:Label: )?(.+?)\s*$")


def look(view: View) -> Reading:
    """Counts of now."""
    waiting, security = count(view.run(UPDATES, timeout_s=UPDATES_S).decode(errors="replace"))
    return Reading(
        [view.sample("updates.pending_count", waiting), view.sample("updates.security_count", security)]
    )


def count(answer: str) -> tuple[int, int]:
    """Updates, and those for security, of a list (since macOS 10.15, and the older form without Label)."""
    names = _UPDATE.findall(answer)
    return len(names), sum(
        bool(re.search(r"(?i)security|macos|mac os|safari|xprotect", name)) for name in names
    )
