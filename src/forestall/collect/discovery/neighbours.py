"""The neighbour table of this machine, its own addresses and its gateways: what it knows without asking.

Linux by netlink (rtnetlink(7), RTM_GETNEIGH) and /proc/net/route; elsewhere the table is not read.
"""

import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

NEIGHBOURS_MAX = 10_000
READ_BYTES = 65_536
READ_S = 2.0
_RTM_NEWNEIGH, _RTM_GETNEIGH, _NLMSG_DONE, _NLMSG_ERROR = 28, 30, 3, 2
_NLM_F_DUMP = 0x301  # with NLM_F_REQUEST
_NDA_DST, _NDA_LLADDR = 1, 2
_DEAD = 0x20 | 0x01 | 0x40  # failed, incomplete, no neighbour at all
_ROUTE_UP, _ROUTE_GATEWAY = 1, 2


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An address on the same wire as this machine's interface `port`."""

    address: str
    mac: str
    port: str


def say_mac(raw: bytes) -> str:
    """`00:1b:54:aa:bb:cc`; "" for what is no MAC of one device."""
    return raw.hex(":") if len(raw) == 6 and any(raw) and not raw[0] & 1 else ""


def read_neighbours() -> list[Neighbour]:
    """The neighbour table, IPv4 and IPv6. Empty where there is none to read."""
    if not sys.platform.startswith("linux"):
        return []
    found: list[Neighbour] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(READ_S)
        sock.bind((0, 0))
        sock.send(struct.pack("=IHHIIB3xiHBB", 28, _RTM_GETNEIGH, _NLM_F_DUMP, 1, 0, 0, 0, 0, 0, 0))
        while len(found) < NEIGHBOURS_MAX:
            data = sock.recv(READ_BYTES)
            if not _take(data, found):
                return found
    return found


def own_addresses() -> dict[str, tuple[str, str]]:
    """This machine's own addresses: address → interface and its MAC. Loopback and link-local are left out."""
    found = {}
    for name, rows in psutil.net_if_addrs().items():
        mac = next(
            (row.address.lower().replace("-", ":") for row in rows if row.family == psutil.AF_LINK), ""
        )
        for row in rows:
            if row.family in (socket.AF_INET, socket.AF_INET6):
                address = row.address.partition("%")[0]
                if not address.startswith(("127.", "fe80:", "169.254.")) and address != "::1":
                    found[address] = (name, mac)
    return found


def read_gateways(table: Path = Path("/proc/net/route")) -> list[tuple[str, str]]:
    """Gateways of IPv4 routes that are up, the default one first: address and interface."""
    try:
        lines = table.read_text().splitlines()[1:1_000]
    except OSError:
        return []
    found: dict[str, tuple[int, str]] = {}
    for fields in (line.split() for line in lines):
        if len(fields) < 8 or not int(fields[3], 16) & _ROUTE_GATEWAY or not int(fields[3], 16) & _ROUTE_UP:
            continue
        address = socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
        rank = 0 if fields[1] == fields[7] == "00000000" else 1
        found[address] = min(found.get(address, (2, "")), (rank, fields[0]))
    return [(address, port) for address, (_, port) in sorted(found.items(), key=lambda one: one[1])]


def _take(data: bytes, found: list[Neighbour]) -> bool:
    """Whether more is to come."""
    place = 0
    while place + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, place)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
            return False
        if kind == _RTM_NEWNEIGH:
            family, index, state = struct.unpack_from("=B3xiH", data, place + 16)
            if not state & _DEAD and (one := _read(data[place + 28 : place + length], family, index)):
                found.append(one)
        place += (length + 3) & ~3
    return True


def _read(attributes: bytes, family: int, index: int) -> Neighbour | None:
    address = mac = ""
    place = 0
    while place + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, place)
        if length < 4:
            break
        value = attributes[place + 4 : place + length]
        if kind == _NDA_DST and len(value) in (4, 16):
            address = socket.inet_ntop(family, value)
        elif kind == _NDA_LLADDR:
            mac = say_mac(value)
        place += (length + 3) & ~3
    try:
        port = socket.if_indextoname(index)
    except OSError:
        port = str(index)
    return Neighbour(address, mac, port) if address and mac else None
