"""What is mounted, what is filtered."""

import re
from collections.abc import Iterable, Iterator

import psutil

from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="sockets",
    title="Mounts, firewall",
    about="Which file systems are mounted how, the rules of the packet filter.",
    source="proc_mounts(5), nft(8), iptables-save(8)",
    limits="The firewall's rules need root. Addresses that fail2ban and the like put into the packet filter "
    "for a while are left out.",
)
_NOT_CONFIGURED = (
    "squashfs overlay tmpfs devtmpfs ramfs autofs nsfs proc sysfs tracefs cgroup cgroup2 devpts "
    "mqueue hugetlbfs debugfs securityfs pstore bpf configfs fusectl binfmt_misc efivarfs rpc_pipefs "
    "fuse.lxcfs fuse.portal fuse.gvfsd-fuse fuse.snapfuse"
)
NOT_CONFIGURED = frozenset(_NOT_CONFIGURED.split())


def look(view: View) -> Reading:
    """Two snapshots, the firewall's where it can be read."""
    snapshots = [view.snapshot("mounts", "Mounts", sorted(set(_mounts())))]
    rules = _firewall()
    if rules is not None:
        snapshots.append(view.snapshot("firewall", "Firewall", rules))
    return Reading(snapshots=snapshots)


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
