"""What a device probably is, and on what that stands. Pure; a person decides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from forestall.kernel.words import say_list

# sysDescr, in small letters → kind and what it is called in words. The first that fits.
_SAYS: tuple[tuple[str, str, str], ...] = (
    (r"cisco adaptive security|fortigate|fortios|palo alto|pan-os|sonicwall|watchguard|pfsense|opnsense"
     r"|sophos|check point", "firewall", ""),
    (r"cisco ios.*(c9[23]|c2960|c3[567]\d\d|catalyst|c1000|ie-)|cisco nx-os|procurve|aruba.*switch"
     r"|arista|netgear.*(switch|gs\d)|edgeswitch|usw-|comware|powerconnect|exos"
     r"|dell.*networking", "switch", ""),
    (r"aironet|aruba.*ap-|unifi.*ap|uap-|access point|ruckus", "access_point", ""),
    (r"routeros|mikrotik|edgerouter|edgeos|vyos|cisco ios|junos|juniper", "router", ""),
    (r"laserjet|printer|jetdirect|lexmark|brother nc|kyocera|ricoh|xerox|epson|canon ir", "printer", ""),
    (r"\bups\b|apc web/snmp|eaton|smart-ups|riello|powerware", "ups", ""),
    (r"synology|qnap|netapp|truenas|freenas|diskstation|data domain", "storage", ""),
    (r"windows.*(server|version 6\.|build)|vmware esx|linux|freebsd|hardware:.*windows", "server", ""),
)  # fmt: skip
_PRINTER_PORTS = {515, 9100}
_MAKERS = {
    "printer": r"hewlett|lexmark|brother|kyocera|ricoh|xerox|epson|canon|zebra",
    "access_point": r"ruckus|aerohive",
    "storage": r"synology|qnap",
    "ups": r"american power|eaton",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind (estate.values.ASSET_KINDS), and why in words."""

    kind: str
    reason: str


def guess(
    *,
    description: str = "",
    vendor: str = "",
    ports: Sequence[int] = (),
    services: Sequence[str] = (),
    names: Sequence[str] = (),
    by: Sequence[str] = (),
    forwards: bool = False,
    switches: bool = False,
) -> Guess:
    """The most probable kind. `switches`: it told a forwarding table."""
    seen = _evidence(description, vendor=vendor, ports=ports, services=services, by=by)
    kind = _kind(description.lower(), vendor=vendor.lower(), ports=set(ports), services=services, names=names)
    if kind in ("", "server") and switches and not forwards:
        kind, seen = "switch", [*seen, "tells a forwarding table"]
    elif kind in ("", "server") and forwards and "snmp" in by:
        kind, seen = "router", [*seen, "forwards packets"]
    return Guess(kind or "other", "; ".join(seen)[:512])


def _kind(said: str, *, vendor: str, ports: set[int], services: Sequence[str], names: Sequence[str]) -> str:
    for pattern, kind, _ in _SAYS:
        if re.search(pattern, said):
            return kind
    if ports & _PRINTER_PORTS or any("ipp" in one or "printer" in one for one in services):
        return "printer"
    for kind, pattern in _MAKERS.items():
        if re.search(pattern, vendor):
            return kind
    if ports & {135, 3389, 445}:
        return (
            "server"
            if any(re.match(r"(?i)(srv|dc|server|sql|fs)", name) for name in names)
            else "workstation"
        )
    return "server" if 22 in ports else ""


def _evidence(
    description: str, *, vendor: str, ports: Sequence[int], services: Sequence[str], by: Sequence[str]
) -> list[str]:
    found = []
    if description:
        found.append(f"answers SNMP as {description[:80]}")
    if vendor:
        found.append(f"MAC is of {vendor[:60]}")
    if ports:
        found.append(f"{'ports' if len(ports) > 1 else 'port'} {say_list([str(port) for port in ports], 6)}")
    if services:
        found.append(f"says {services[0][:80]}")
    if not found:
        words = {"ping": "a ping", "neighbours": "the neighbour table", "dns": "DNS", "mdns": "mDNS"}
        found.append(f"known by {say_list([words.get(one, one) for one in by], 4)} alone")
    return found
