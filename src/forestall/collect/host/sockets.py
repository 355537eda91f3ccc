"""What listens on the network, and what filters it."""

import socket

import psutil

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="sockets",
    title="Listening ports, mounts, firewall",
    about="Which programs listen where, which file systems are mounted how, the rules of the packet filter.",
    source="proc_net(5) through psutil, proc_mounts(5), nft(8), iptables-save(8)",
    limits="Names of other users' programs and the firewall's rules need root.",
)
EPHEMERAL = 32_768  # ports above come and go; a long-lived UDP client is no service


def look(view: View) -> Reading:
    """Three snapshots, the firewall's where it can be read."""
    rows: set[str] = set()
    for entry in psutil.net_connections("inet"):
        listens = entry.status == psutil.CONN_LISTEN or (entry.type == socket.SOCK_DGRAM and not entry.raddr)
        if not listens or not entry.laddr:
            continue
        kind = "udp" if entry.type == socket.SOCK_DGRAM else "tcp"
        if kind == "udp" and entry.laddr.port >= EPHEMERAL:
            continue
        rows.add(f"{kind} {entry.laddr.ip}:{entry.laddr.port} {_name(entry.pid)}")
    snapshots = [view.snapshot("ports", "Listening ports", sorted(rows))]
    mounts = sorted(
        f"{part.mountpoint} {part.device} {part.fstype} {','.join(sorted(part.opts.split(',')))}"
        for part in psutil.disk_partitions(all=False)
    )
    snapshots.append(view.snapshot("mounts", "Mounts", mounts))
    for command in (["nft", "--stateless", "list", "ruleset"], ["iptables-save"]):
        try:
            lines = run(command).splitlines()
        except (NotHere, OSError):
            continue
        # comments bear the time, counters change with every packet
        kept = [
            line.split("[")[0].rstrip() if line[:1] == ":" else line.rstrip()
            for line in lines
            if line[:1] != "#"
        ]
        snapshots.append(view.snapshot("firewall", "Firewall", kept))
        break
    return Reading(snapshots=snapshots)


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else "?"
    except psutil.Error:
        return "?"
