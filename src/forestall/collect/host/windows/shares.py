"""What Windows shares with the network, and with whom."""

from forestall.collect.platforms.decoding import as_list, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="shares",
    title="Shares",
    about="Shared folders with their path and who may do what; administrative shares are left out.",
    source="Get-SmbShare, Get-SmbShareAccess",
)
KINDS = {"0": "allow", "1": "deny"}
RIGHTS = {"0": "full", "1": "change", "2": "read", "3": "custom"}


def look(view: View) -> Reading:
    """One snapshot. Raises as `ask`."""
    lines = []
    for row in ask(view, "shares"):
        name = as_text(row.get("Name"))
        lines.append(f"{name} {as_text(row.get('Path'))}")
        for access in as_list(row.get("Access")):
            who, kind, right = (["", "", *as_text(access).rsplit(" ", 2)])[-3:]
            lines.append(f"{name} {KINDS.get(kind, kind.lower())} {who} {RIGHTS.get(right, right.lower())}")
    return Reading(snapshots=[view.snapshot("shares", "Shares", sorted(lines), names=True)])
