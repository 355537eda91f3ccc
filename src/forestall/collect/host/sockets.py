"""What listens on the network, what is mounted, what is filtered."""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="sockets",
    title="Listening ports, mounts, firewall",
    about="Which programs listen where, which file systems are mounted how, the rules of the packet filter.",
    source="proc_net(5) through psutil, proc_mounts(5), nft(8), iptables-save(8)",
    limits="Names of other users' programs and the firewall's rules need root. Addresses that fail2ban and "
    "the like put into the packet filter for a while are left out, as are ports that programs get from the "
    "system's own range for themselves (UDP, and TCP on loopback). A port that opens is told when a second "
    "look still sees it, so that a program which runs for seconds is no change.",
)
EPHEMERAL = (32_768, 60_999)  # where the kernel's setting cannot be read
_NOT_CONFIGURED = (
    "squashfs overlay tmpfs devtmpfs ramfs autofs nsfs proc sysfs tracefs cgroup cgroup2 devpts "
    "mqueue hugetlbfs debugfs securityfs pstore bpf configfs fusectl binfmt_misc efivarfs rpc_pipefs "
    "fuse.lxcfs fuse.portal fuse.gvfsd-fuse fuse.snapfuse"
)
NOT_CONFIGURED = frozenset(_NOT_CONFIGURED.split())


def look(view: View) -> Reading:
    """Three snapshots, the firewall's where it can be read."""
    snapshots = [
        view.snapshot("ports", "Listening ports", _that_stay(view, _listening(view.root)), names=True),
        view.snapshot("mounts", "Mounts", sorted(set(_mounts()))),
    ]
    rules = _firewall()
    if rules is not None:
        snapshots.append(view.snapshot("firewall", "Firewall", rules))
    return Reading(snapshots=snapshots)


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
        fleeting = datagram or ipaddress.ip_address(entry.laddr.ip).is_loopback
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
        return EPHEMERAL


def _mounts() -> Iterator[str]:
    for part in psutil.disk_partitions(all=True):
        if part.fstype not in NOT_CONFIGURED and "/overlay2/" not in part.mountpoint:
            yield f"{part.mountpoint} {part.device} {part.fstype} {','.join(sorted(part.opts.split(',')))}"


def _firewall() -> list[str] | None:
    """The rules by nft, else by iptables; [] when there are none, None when they cannot be read."""
    answers = []
    for command, stable in (
        (["nft", "--stateless", "list", "ruleset"], stable_nft),
        (["iptables-save"], stable_iptables),
        (["ip6tables-save"], stable_iptables),
    ):
        try:
            rules = stable(run(command).splitlines())
        except (NotHere, OSError):
            continue
        answers.append(rules)
        if rules and command[0] == "nft":
            break
    return [line for rules in answers for line in rules] if answers else None


def stable_nft(lines: Iterable[str]) -> list[str]:
    """Without the elements of sets that fill themselves."""
    text = "\n".join(line.rstrip() for line in lines)
    fleeting = (
        r"(?s)(\tset \S+ \{\n(?:(?!\n\t\}).)*?(?:flags [^\n]*(?:dynamic|timeout)[^\n]*)(?:(?!\n\t\}).)*?)"
    )
    text = re.sub(fleeting + r"\n\t\telements = \{.*?\}(?=\n)", r"\1", text)
    return [line for line in text.splitlines() if line[:1] != "#"]


def stable_iptables(lines: Iterable[str]) -> list[str]:
    """Without comments (they bear the time), counters and fail2ban's addresses."""
    kept = []
    for line in lines:
        if line[:1] == "#" or re.match(r"-A f2b-\S+ -s ", line):
            continue
        kept.append(line.split("[")[0].rstrip() if line[:1] == ":" else line.rstrip())
    return kept


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else "?"
    except psutil.Error:
        return "?"
