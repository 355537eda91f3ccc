"""What Windows starts when somebody signs in: Run and RunOnce keys."""

import re

from forestall.collect.platforms.decoding import as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 120
SPEC = Spec(
    name="startup",
    title="Started at sign-in",
    about="Run and RunOnce of the machine (64 and 32 bit) and of every user whose profile is loaded.",
    source="Run and RunOnce Registry Keys (Win32 Setup API)",
    limits="Profiles that are not loaded are not seen; Startup folders and Winlogon are not looked at.",
)


def look(view: View) -> Reading:
    """One snapshot. Raises as `ask`."""
    lines = set()
    for row in ask(view, "startup"):
        key = re.sub(r"(?i)^Registry::", "", as_text(row.get("Key"))).replace("HKEY_USERS", "HKU")
        key = re.sub(r"(?i)\\Software\\(WOW6432Node\\)?Microsoft\\Windows\\CurrentVersion", _short, key)
        lines.add(f"{key} {as_text(row.get('Name')) or '(default)'} = {as_text(row.get('Command'))}")
    return Reading(snapshots=[view.snapshot("startup", "Started at sign-in", sorted(lines))])


def _short(found: re.Match[str]) -> str:
    return "[32 bit]" if found[1] else ""
