"""Whether something protects this Windows against malware: Defender, or another that is registered."""

from typing import Any

from forestall.collect.platforms.decoding import as_number, as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 900
SPEC = Spec(
    name="antivirus",
    title="Protection against malware",
    about="1 when neither Defender nor another product protects in real time; age of Defender's signatures.",
    source="Get-MpComputerStatus, MSFT_MpComputerStatus; AntiVirusProduct of SecurityCenter2",
    limits="Servers do not register other products: there, Defender in passive mode counts as protected by "
    "another one.",
    produces=("antivirus.off", "antivirus.signatures_days"),
)
NEVER = 65_535  # AntivirusSignatureAge when there never were any
ON = 0x1000  # of productState


def look(view: View) -> Reading:
    """Raises NotHere when nothing can be known, OSError."""
    defender = _asked(view, "defender")
    others = [row for row in _asked(view, "antivirus") if not _is_defender(row)]
    active = [as_text(row.get("Name")) for row in others if int(as_number(row.get("State")) or 0) & ON]
    if not defender and not others:
        raise NotHere("this Windows does not say what protects it")
    reading, lines = Reading(), [f"{name} on" for name in active]
    protects = bool(active)
    for row in defender[:1]:
        mode = as_text(row.get("Mode"))
        works = bool(as_state(row.get("Antivirus")) and as_state(row.get("RealTime")))
        passive = mode.lower().startswith(("passive", "sxs", "edr"))
        protects = protects or works or passive
        days = as_number(row.get("Days"))
        if works and days is not None:
            reading.samples.append(view.sample("antivirus.signatures_days", min(days, NEVER)))
        lines.append(f"Defender {'on' if works else 'passive' if passive else 'OFF'}")
        lines.append(f"Defender tamper protection {'on' if as_state(row.get('Tamper')) else 'off'}")
    reading.samples.append(view.sample("antivirus.off", float(not protects)))
    reading.snapshots.append(view.snapshot("antivirus", "Protection", sorted(lines), names=True))
    return reading


def _asked(view: View, question: str) -> list[dict[str, Any]]:
    try:
        return ask(view, question)
    except NotHere:
        return []


def _is_defender(row: dict[str, Any]) -> bool:
    return "defender" in as_text(row.get("Name")).lower()
