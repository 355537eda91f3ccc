"""What a device says by SNMP of itself and of its wires: system group, LLDP, CDP, forwarding and ARP tables,
which ports are bundled (LACP), which are blocked by spanning tree.

Sources: RFC 3418 (SNMPv2-MIB), RFC 4293 (IP-MIB), RFC 4188 (BRIDGE-MIB), RFC 4363 (Q-BRIDGE-MIB),
IEEE 802.1AB (LLDP-MIB), IEEE 802.1AX (IEEE8023-LAG-MIB), Cisco's CISCO-CDP-MIB. `read_device` asks; the
rest is pure.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from forestall.collect.discovery.knocking import shown
from forestall.collect.discovery.neighbours import say_mac
from forestall.collect.snmp.session import Column, Session, Value
from forestall.kernel.observations import Link

LINKS_A_DEVICE_MAX = 10_000
ADDRESSES_A_DEVICE_MAX = 64
MACS_A_DEVICE_MAX = 256

DESCRIPTION, OBJECT_ID, NAME = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.2.0", "1.3.6.1.2.1.1.5.0"
FORWARDING = "1.3.6.1.2.1.4.1.0"
CHASSIS_KIND, CHASSIS = "1.0.8802.1.1.2.1.3.1.0", "1.0.8802.1.1.2.1.3.2.0"
IF_DESCRIPTION, IF_MAC, IF_NAME = "1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.6", "1.3.6.1.2.1.31.1.1.1.1"
OWN_ADDRESS = "1.3.6.1.2.1.4.20.1.2"
ARP, ARP_ANY = "1.3.6.1.2.1.4.22.1.2", "1.3.6.1.2.1.4.35.1.4"
FDB, FDB_STATUS, FDB_VLAN = "1.3.6.1.2.1.17.4.3.1.2", "1.3.6.1.2.1.17.4.3.1.3", "1.3.6.1.2.1.17.7.1.2.2.1.2"
BRIDGE_PORT = "1.3.6.1.2.1.17.1.4.1.2"
TREE_STATE = "1.3.6.1.2.1.17.2.15.1.3"  # dot1dStpPortState, by bridge port
ATTACHED_TO = "1.2.840.10006.300.43.1.2.1.1.13"  # dot3adAggPortAttachedAggID, by ifIndex; 0: to none
_LOCAL, _REMOTE = "1.0.8802.1.1.2.1.3.7.1.", "1.0.8802.1.1.2.1.4.1.1."
LOCAL_KIND, LOCAL_ID, LOCAL_TEXT = f"{_LOCAL}2", f"{_LOCAL}3", f"{_LOCAL}4"
REMOTE_CHASSIS_KIND, REMOTE_CHASSIS = f"{_REMOTE}4", f"{_REMOTE}5"
REMOTE_KIND, REMOTE_ID, REMOTE_TEXT, REMOTE_NAME = f"{_REMOTE}6", f"{_REMOTE}7", f"{_REMOTE}8", f"{_REMOTE}9"
REMOTE_ADDRESS = "1.0.8802.1.1.2.1.4.2.1.3"
_CDP = "1.3.6.1.4.1.9.9.23.1.2.1.1."
CDP_ADDRESS, CDP_NAME, CDP_PORT = f"{_CDP}4", f"{_CDP}6", f"{_CDP}7"
SYSTEM = (DESCRIPTION, OBJECT_ID, NAME, FORWARDING, CHASSIS_KIND, CHASSIS)
COLUMNS = (
    IF_DESCRIPTION, IF_MAC, IF_NAME, OWN_ADDRESS, ARP, ARP_ANY, FDB, FDB_STATUS, FDB_VLAN, BRIDGE_PORT,
    LOCAL_KIND, LOCAL_ID, LOCAL_TEXT, REMOTE_CHASSIS_KIND, REMOTE_CHASSIS, REMOTE_KIND, REMOTE_ID,
    REMOTE_TEXT, REMOTE_NAME, REMOTE_ADDRESS, CDP_ADDRESS, CDP_NAME, CDP_PORT, TREE_STATE, ATTACHED_TO,
)  # fmt: skip
_MAC_CHASSIS, _MAC_PORT = 4, 3  # LldpChassisIdSubtype, LldpPortIdSubtype
_LEARNED = 3
_BLOCKING = 2

Tables = Mapping[str, Column]


@dataclass(slots=True)
class Told:
    """What one device said. `links` have its own address as `local`; `cut` counts what was left out."""

    description: str = ""
    object_id: str = ""
    name: str = ""
    forwards: bool = False
    addresses: list[str] = field(default_factory=list)
    macs: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    cut: int = 0


async def read_device(session: Session, address: str) -> Told:
    """Ask an open session for all of it. Raises what the session raises."""
    system = await session.get(SYSTEM)
    tables = await session.columns(COLUMNS) if system else {}
    return understand(address, system, tables)


def understand(address: str, system: Mapping[str, Value], tables: Tables) -> Told:
    """What the values mean. Rows that make no sense are left out and counted."""
    told = Told(
        description=text(system.get(DESCRIPTION))[:512],
        object_id=text(system.get(OBJECT_ID))[:128],
        name=text(system.get(NAME))[:128],
        forwards=system.get(FORWARDING) == 1,
    )
    ports = _port_names(tables)
    own = [one for one in tables.get(OWN_ADDRESS, {}) if _usual(one)]
    told.addresses = own[:ADDRESSES_A_DEVICE_MAX]
    macs = [mac(value) for value in tables.get(IF_MAC, {}).values()]
    if system.get(CHASSIS_KIND) == _MAC_CHASSIS:
        macs.insert(0, mac(system.get(CHASSIS)))
    told.macs = list(dict.fromkeys(one for one in macs if one))[:MACS_A_DEVICE_MAX]
    _lldp(told, address, tables, ports)
    _cdp(told, address, tables, ports)
    _forwarding(told, address, tables, ports)
    _arp(told, address, tables, ports)
    told.cut += max(0, len(told.links) - LINKS_A_DEVICE_MAX)
    del told.links[LINKS_A_DEVICE_MAX:]
    told.links = _bundled_and_blocked(told.links, tables, ports)
    return told


def text(value: Value) -> str:
    """A value as one line."""
    if isinstance(value, bytes):
        return " ".join(shown(value).split())
    return "" if value is None else " ".join(str(value)[:400].split())


def mac(value: Value) -> str:
    """A MAC; "" for what is none."""
    return say_mac(value) if isinstance(value, bytes) else ""


def _port_names(tables: Tables) -> dict[str, str]:
    """Names of interfaces, by ifIndex."""
    found = {index: text(value) for index, value in tables.get(IF_DESCRIPTION, {}).items()}
    found |= {index: name for index, value in tables.get(IF_NAME, {}).items() if (name := text(value))}
    return {index: name[:128] for index, name in found.items()}


def _lldp(told: Told, address: str, tables: Tables, ports: Mapping[str, str]) -> None:
    managed: dict[str, str] = {}
    for index in tables.get(REMOTE_ADDRESS, {}):
        parts = index.split(".")
        if len(parts) >= 9 and parts[3] == "1" and parts[4] == "4":
            managed.setdefault(".".join(parts[:3]), ".".join(parts[5:9]))
    local = _lldp_ports(tables, ports)
    for index, raw in tables.get(REMOTE_CHASSIS, {}).items():
        parts = index.split(".")
        if len(parts) != 3:
            told.cut += 1
            continue
        kind = tables.get(REMOTE_CHASSIS_KIND, {}).get(index)
        remote_kind = tables.get(REMOTE_KIND, {}).get(index)
        remote = tables.get(REMOTE_ID, {}).get(index)
        said = text(tables.get(REMOTE_TEXT, {}).get(index))
        port = said if remote_kind == _MAC_PORT and said else mac(remote) or text(remote) or said
        told.links.append(
            Link(
                protocol="lldp",
                local=address,
                port=local.get(parts[1]) or ports.get(parts[1], parts[1]),
                mac=mac(raw) if kind == _MAC_CHASSIS else "",
                address=_address(managed.get(index, "")),
                name=text(tables.get(REMOTE_NAME, {}).get(index))[:128],
                remote_port=port[:128],
            )
        )


def _lldp_ports(tables: Tables, ports: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for number, kind in tables.get(LOCAL_KIND, {}).items():
        said = text(tables.get(LOCAL_TEXT, {}).get(number))
        named = "" if kind == _MAC_PORT else text(tables.get(LOCAL_ID, {}).get(number))
        found[number] = (ports.get(number) or named or said or number)[:128]
    return found


def _cdp(told: Told, address: str, tables: Tables, ports: Mapping[str, str]) -> None:
    for index, raw in tables.get(CDP_NAME, {}).items():
        where = tables.get(CDP_ADDRESS, {}).get(index)
        place = str(ipaddress.IPv4Address(where)) if isinstance(where, bytes) and len(where) == 4 else ""
        number = index.split(".")[0]
        told.links.append(
            Link(
                protocol="cdp",
                local=address,
                port=ports.get(number, number)[:128],
                address=_address(place),
                name=text(raw)[:128],
                remote_port=text(tables.get(CDP_PORT, {}).get(index))[:128],
            )
        )


def _forwarding(told: Told, address: str, tables: Tables, ports: Mapping[str, str]) -> None:
    status = tables.get(FDB_STATUS, {})
    seen: set[tuple[str, str]] = set()
    rows = [(index, value) for index, value in tables.get(FDB, {}).items()]
    rows += [(index.partition(".")[2], value) for index, value in tables.get(FDB_VLAN, {}).items()]
    for index, value in rows:
        if status.get(index, _LEARNED) != _LEARNED or not value:
            continue
        where = _mac_of_index(index)
        if not where:
            told.cut += 1
            continue
        number = text(tables.get(BRIDGE_PORT, {}).get(text(value), value))
        key = (ports.get(number, number), where)
        if key not in seen and where not in told.macs:
            seen.add(key)
            told.links.append(Link(protocol="fdb", local=address, port=key[0][:128], mac=where))


def _arp(told: Told, address: str, tables: Tables, ports: Mapping[str, str]) -> None:
    rows = []
    for index, value in tables.get(ARP, {}).items():
        number, _, where = index.partition(".")
        rows.append((number, where, value))
    for index, value in tables.get(ARP_ANY, {}).items():
        parts = index.split(".")
        if len(parts) == 7 and parts[1:3] == ["1", "4"]:
            rows.append((parts[0], ".".join(parts[3:]), value))
        elif len(parts) == 19 and parts[1:3] == ["2", "16"]:
            rows.append((parts[0], _v6(parts[3:]), value))
    seen: set[tuple[str, str]] = set()
    for number, where, value in rows:
        if not value:
            continue  # asked for, and nobody answered
        found, hardware = _address(where), mac(value)
        if not found or not hardware:
            told.cut += 1
            continue
        if (number, found) in seen or hardware in told.macs:
            continue
        seen.add((number, found))
        port = ports.get(number, number)[:128]
        told.links.append(Link(protocol="arp", local=address, port=port, mac=hardware, address=found))


def _bundled_and_blocked(links: list[Link], tables: Tables, ports: Mapping[str, str]) -> list[Link]:
    """The links with the bundles of their ports, and whether spanning tree blocks these. A bundle is one port
    to spanning tree, so its parts are blocked with it."""
    bundle_of = {
        ports.get(number, number): ports[text(value)]
        for number, value in tables.get(ATTACHED_TO, {}).items()
        if text(value) in ports and text(value) != number
    }
    numbers = tables.get(BRIDGE_PORT, {})
    blocked = {
        ports.get(text(numbers.get(port, port)), port)
        for port, state in tables.get(TREE_STATE, {}).items()
        if state == _BLOCKING
    }
    if not bundle_of and not blocked:
        return links
    return [
        msgspec.structs.replace(
            link,
            bundle=bundle_of.get(link.port, ""),
            blocked=link.protocol in ("lldp", "cdp")
            and not blocked.isdisjoint({link.port, bundle_of.get(link.port, "")}),
        )
        for link in links
    ]


def _mac_of_index(index: str) -> str:
    try:
        return say_mac(bytes(int(part) for part in index.split(".")))
    except ValueError:
        return ""


def _v6(parts: list[str]) -> str:
    try:
        return str(ipaddress.IPv6Address(bytes(int(part) for part in parts)))
    except ValueError:
        return ""


def _address(where: str) -> str:
    """An address in its one spelling; "" for what is none of one machine."""
    return str(ipaddress.ip_address(where)) if _usual(where) else ""


def _usual(where: str) -> bool:
    try:
        found = ipaddress.ip_address(where)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified or found.is_multicast)
