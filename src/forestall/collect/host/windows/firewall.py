"""The profiles of the Windows firewall."""

from forestall.collect.platforms.decoding import as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="firewall",
    title="Firewall",
    about="1 for a profile (Domain, Private, Public) that is off; what each does where no rule fits.",
    source="Get-NetFirewallProfile -PolicyStore ActiveStore, MSFT_NetFirewallProfile",
    limits="Single rules are not captured. Another maker's firewall is not known.",
    produces=("firewall.off",),
)
ACTIONS = {"0": "default", "2": "allow", "4": "block", "notconfigured": "default"}


def look(view: View) -> Reading:
    """Raises as `ask`."""
    reading, lines = Reading(), []
    for row in ask(view, "firewall"):
        name, on = as_text(row.get("Name")), as_state(row.get("Enabled"))
        if on is not None:
            reading.samples.append(view.sample("firewall.off", float(not on), name))
        inbound, outbound = (_action(as_text(row.get(way))) for way in ("Inbound", "Outbound"))
        state = {True: "on", False: "OFF", None: "not configured"}[on]
        lines.append(f"{name} {state}, inbound {inbound}, outbound {outbound}")
    reading.snapshots.append(view.snapshot("firewall", "Firewall", sorted(lines), names=True))
    return reading


def _action(word: str) -> str:
    return ACTIONS.get(word.lower(), word.lower())
