"""What macOS starts when somebody signs in: login items and background items."""

import re

from forestall.collect.platforms.macos import LOGIN_ITEMS
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 900
SPEC = Spec(
    name="startup",
    title="Started at sign-in",
    about="Login items and background items with their kind and whether they are allowed.",
    source="sfltool(1) dumpbtm, since macOS 13",
    limits="Only root may ask; nothing before macOS 13.",
)
_FIELD = re.compile(r"^\s*(UUID|Name|Developer Name|Type|Disposition|Identifier|URL):\s*(.*?)\s*$")


def look(view: View) -> Reading:
    """One snapshot. Raises NotHere without sfltool, OSError when it is refused."""
    lines = read_items(view.run(LOGIN_ITEMS).decode(errors="replace"))
    return Reading(snapshots=[view.snapshot("startup", "Started at sign-in", lines)])


def read_items(answer: str) -> list[str]:
    """`Dropbox (login item) enabled, allowed: com.getdropbox.dropbox`, sorted. Apple's own are left out."""
    items: list[dict[str, str]] = []
    for line in answer.splitlines():
        found = _FIELD.match(line)
        if not found:
            continue
        name, value = found[1], found[2]
        if name == "UUID":
            items.append({})
        elif items:
            items[-1].setdefault(name, value)
    return sorted({_say(item) for item in items if _counts(item)})


def _counts(item: dict[str, str]) -> bool:
    identifier = item.get("Identifier", "")
    return bool(identifier) and ".com.apple." not in f".{identifier}" and "(null)" not in identifier


def _say(item: dict[str, str]) -> str:
    kind = item.get("Type", "").partition(" (")[0]
    state = re.sub(r"\s*\(0x.*", "", item.get("Disposition", "")).strip("[]").lower()
    state = ", ".join(word.strip() for word in state.split(",") if "notified" not in word and word.strip())
    name = item.get("Name", "")
    named = name if name not in {"", "(null)"} else item.get("Developer Name", "?")
    return f"{named} ({kind}) {state}: {item['Identifier']}"
