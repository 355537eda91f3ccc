"""The application firewall of macOS."""

import re

from forestall.collect.platforms.macos import FIREWALL_BLOCKS, FIREWALL_STATE, FIREWALL_STEALTH
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="firewall",
    title="Firewall",
    about="1 when the application firewall is off.",
    source="socketfilterfw --getglobalstate",
    limits="The packet filter pf is not looked at.",
    produces=("firewall.off",),
)


def look(view: View) -> Reading:
    """Raises NotHere when it does not say."""
    answer = view.run(FIREWALL_STATE).decode(errors="replace")
    state = re.search(r"State = (\d)", answer)
    if not state:
        raise NotHere(f"the firewall does not say how it is: {answer.strip()[:100]}")
    lines = [f"state {state[1]}"]
    for name, command in (("block all", FIREWALL_BLOCKS), ("stealth mode", FIREWALL_STEALTH)):
        try:
            said = view.run(command).decode(errors="replace").lower()
        except (NotHere, OSError):
            continue
        on = re.search(r"(?<!not )\b(enabled|is on)\b", said) and "disabled" not in said
        lines.append(f"{name} {'on' if on else 'off'}")
    return Reading(
        [view.sample("firewall.off", float(state[1] == "0"), "application firewall")],
        snapshots=[view.snapshot("firewall", "Firewall", lines, names=True)],
    )
