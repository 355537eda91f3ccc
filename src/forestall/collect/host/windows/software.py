"""What is installed on Windows, by the registry's uninstall keys."""

from forestall.collect.platforms.decoding import as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 900
SPEC = Spec(
    name="software",
    title="Programs",
    about="Installed programs with version and publisher: 64 bit, 32 bit, and of the agent's own user.",
    source="Uninstall Registry Key (Windows Installer); 32 bit below WOW6432Node",
    limits="Programs that other users installed for themselves alone, and apps of the Store, are not seen.",
)


def look(view: View) -> Reading:
    """One snapshot. Raises as `ask`."""
    lines = set()
    for row in ask(view, "software"):
        name = as_text(row.get("Name"))
        if not name or as_state(row.get("System")) or as_text(row.get("Parent")):
            continue
        version, publisher = as_text(row.get("Version")), as_text(row.get("Publisher"))
        bits = {"32": " [32 bit]", "user": " [user]"}.get(as_text(row.get("Where")), "")
        lines.add(" ".join(filter(None, (name, version, f"({publisher})" if publisher else ""))) + bits)
    return Reading(snapshots=[view.snapshot("packages", "Packages", sorted(lines), names=True)])
