"""What this Windows is: version, domain, make and model."""

from forestall.collect.platforms.decoding import as_number, as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 3600
SPEC = Spec(
    name="system",
    title="System",
    about="Edition, version, domain or workgroup, maker, model, serial number, firmware, memory.",
    source="Win32_OperatingSystem, Win32_ComputerSystem, Win32_BIOS",
)


def look(view: View) -> Reading:
    """One snapshot. Raises as `ask`."""
    rows = ask(view, "system")
    if not rows:
        raise NotHere("this Windows does not say what it is")
    row = rows[0]
    member = "domain" if as_state(row.get("PartOfDomain")) else "workgroup"
    lines = [
        f"system: {as_text(row.get('Caption'))} {as_text(row.get('Version'))}",
        f"{member}: {as_text(row.get('Domain'))}",
        f"machine: {as_text(row.get('Maker'))} {as_text(row.get('Model'))}",
        f"serial: {as_text(row.get('Serial'))}",
        f"firmware: {as_text(row.get('Firmware'))}",
        f"memory: {round((as_number(row.get('Memory')) or 0) / 2**30)} GiB",
    ]
    return Reading(snapshots=[view.snapshot("system", "System", lines, names=True)])
