"""Whether the volumes of this Windows are encrypted by BitLocker. Recovery passwords are never asked for."""

from typing import Any

from forestall.collect.platforms.decoding import as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 1800
SPEC = Spec(
    name="encryption",
    title="BitLocker",
    about="1 for a fixed volume whose protection is on, 0 for one that is off or suspended.",
    source="Win32_EncryptableVolume: ProtectionStatus, ConversionStatus, VolumeType",
    limits="Removable volumes are left out. A volume that is locked or unknown is absent.",
    produces=("disk.encrypted",),
)
REMOVABLE = "2"
PROTECTION = {"0": "off", "1": "on", "2": "unknown"}
CONVERSION = {
    "0": "decrypted", "1": "encrypted", "2": "being encrypted", "3": "being decrypted",
    "4": "encryption paused", "5": "decryption paused",
}  # fmt: skip


def look(view: View) -> Reading:
    """Raises as `ask`; NotHere where no volume can be encrypted."""
    rows = [row for row in ask(view, "encryption") if as_text(row.get("Drive"))]
    fixed = [row for row in rows if as_text(row.get("Type")) != REMOVABLE]
    if not fixed:
        raise NotHere("no volume of this machine can be encrypted")
    reading = Reading()
    for row in fixed:
        state = PROTECTION.get(as_text(row.get("Protection")), "unknown")
        if state != "unknown":
            reading.samples.append(view.sample("disk.encrypted", float(state == "on"), as_text(row["Drive"])))
    lines = sorted(map(_say, fixed))
    reading.snapshots.append(view.snapshot("encryption", "BitLocker", lines, names=True))
    return reading


def _say(row: dict[str, Any]) -> str:
    protection = PROTECTION.get(as_text(row.get("Protection")), "unknown")
    conversion = CONVERSION.get(as_text(row.get("Conversion")), "unknown")
    return f"{as_text(row.get('Drive'))} protection {protection}, {conversion}"
