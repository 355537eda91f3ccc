"""What listens on the network."""

import ipaddress
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="ports",
    title="Listening ports",
    about="Which programs listen where.",
    source="proc_net(5), GetExtendedTcpTable, proc_pidfdinfo through psutil",
    limits="Names of other users' programs need root, on a Mac the ports too. Ports that programs get from "
    "the system's own range for themselves are left out (UDP, and TCP on loopback; on Windows all TCP, where "
    "the system's own services take others after each start). A port that opens is told when a second look "
    "still sees it, so that a program which runs for seconds is no change.",
)
EPHEMERAL_LINUX = (32_768, 60_999)  # where the kernel's setting cannot be read
EPHEMERAL = (49_152, 65_535)  # RFC 6335, section 6; Windows since 2008, macOS


def look(view: View) -> Reading:
    """One snapshot. Raises psutil.AccessDenied where only root may know."""
    lines = _that_stay(view, _listening(view.root))
    return Reading(snapshots=[view.snapshot("ports", "Listening ports", lines, names=True)])


def _that_stay(view: View, seen: Iterable[str]) -> list[str]:
    """What was seen by the look before as well; the first look takes everything."""
    now = set(seen)
    before = view.memory.get("ports", now)
    view.memory["ports"] = now
    return sorted(now & before)


def _listening(root: Path) -> Iterator[str]:
    """`tcp 0.0.0.0:22 sshd`: who listens where, without ports that nobody chose."""
    lowest, highest = _ephemeral(root)
    for entry in psutil.net_connections("inet"):
        datagram = entry.type == socket.SOCK_DGRAM
        listens = entry.status == psutil.CONN_LISTEN or (datagram and not entry.raddr)
        if not listens or not entry.laddr:
            continue
        fleeting = datagram or sys.platform == "win32" or ipaddress.ip_address(entry.laddr.ip).is_loopback
        if fleeting and lowest <= entry.laddr.port <= highest:
            continue
        host = f"[{entry.laddr.ip}]" if ":" in entry.laddr.ip else entry.laddr.ip
        yield f"{'udp' if datagram else 'tcp'} {host}:{entry.laddr.port} {_name(entry.pid)}"


def _ephemeral(root: Path) -> tuple[int, int]:
    """The ports that the system gives to who asks for any (ip(7), ip_local_port_range)."""
    try:
        lowest, highest = (root / "proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(lowest), int(highest)
    except (OSError, ValueError):
        return EPHEMERAL_LINUX if sys.platform == "linux" else EPHEMERAL


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else "?"
    except psutil.Error:
        return "?"
