"""Whether this Mac's disk is encrypted by FileVault."""

import re

from forestall.collect.platforms.macos import FILEVAULT
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="encryption",
    title="FileVault",
    about="1 when FileVault is on, 0 when it is off or not yet complete.",
    source="fdesetup(8) status",
    produces=("disk.encrypted",),
)


def look(view: View) -> Reading:
    """Raises NotHere when it does not say."""
    answer = view.run(FILEVAULT).decode(errors="replace")
    found = re.search(r"FileVault is (On|Off)", answer)
    if not found:
        raise NotHere(f"FileVault does not say how it is: {answer.strip()[:100]}")
    busy = re.search(r"(Encryption|Decryption) in progress: Percent completed = [\d.]+", answer)
    value = float(found[1] == "On" and not busy)
    line = f"FileVault {found[1].lower()}" + (f", {busy[1].lower()} in progress" if busy else "")
    return Reading(
        [view.sample("disk.encrypted", value, "/")],
        snapshots=[view.snapshot("encryption", "FileVault", [line], names=True)],
    )
