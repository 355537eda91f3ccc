"""A small client network of network namespaces: a router between two switches (bridges) with hosts behind
each, real lldpd on router and switches with its SNMP subagent, real snmpd with the forwarding table."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from e2e.machines import system

BRIDGE_MIB = Path(__file__).parent / "bridge_mib.py"
COMMUNITY = "reading-only"
OFFICE, STORE = "10.214.1.0/28", "10.214.2.0/28"
# name → (network namespace's ports: wire → address or bridge)
ADDRESSES = {
    "collector": "10.214.1.10", "desk": "10.214.1.11", "core": "10.214.1.2", "router": "10.214.1.1",
    "shelf": "10.214.2.2", "till": "10.214.2.11", "scale": "10.214.2.12",
}  # fmt: skip
WIRES = (  # device, port, device, port
    ("core", "p1", "router", "office"), ("core", "p2", "collector", "lan"), ("core", "p3", "desk", "lan"),
    ("shelf", "q1", "router", "store"), ("shelf", "q2", "till", "lan"), ("shelf", "q3", "scale", "lan"),
)  # fmt: skip
BRIDGES = {"core": ("p1", "p2", "p3"), "shelf": ("q1", "q2", "q3")}
SPEAKING = ("router", "core", "shelf")


class SmallNetwork:
    """The network; `near` is this machine's address towards the collector's namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = os.getpid() % 200 + 20
        self.near, self.far = f"10.215.{self.number}.1", f"10.215.{self.number}.2"
        self._processes: list[subprocess.Popen[bytes]] = []

    def space(self, name: str) -> str:
        return f"fs{os.getpid() % 100_000}-{name}"

    def inside(self, name: str, *command: str | Path) -> list[str]:
        """A command as it runs on that machine."""
        return ["ip", "netns", "exec", self.space(name), *map(str, command)]

    def build(self) -> None:
        """Namespaces, wires, addresses; then the daemons."""
        for program in ("lldpd", "snmpd"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed: tests/install_daemons.sh")
        for name in ADDRESSES:
            system("ip", "netns", "add", self.space(name))
            system("ip", "-n", self.space(name), "link", "set", "lo", "up")
        for first, here, second, there in WIRES:
            system(
                "ip", "link", "add", here, "netns", self.space(first), "type", "veth", "peer", "name", there,
                "netns", self.space(second),
            )  # fmt: skip
            for name, port in ((first, here), (second, there)):
                system("ip", "-n", self.space(name), "link", "set", port, "up")
        for name, ports in BRIDGES.items():
            space = self.space(name)
            system("ip", "-n", space, "link", "add", "br0", "type", "bridge")
            for port in ports:
                system("ip", "-n", space, "link", "set", port, "master", "br0")
            system("ip", "-n", space, "link", "set", "br0", "up")
        self._number_all()
        for name in SPEAKING:
            self._speak(name)

    def _number_all(self) -> None:
        for name, address in ADDRESSES.items():
            port = {"router": "office", "core": "br0", "shelf": "br0"}.get(name, "lan")
            system("ip", "-n", self.space(name), "address", "add", f"{address}/24", "dev", port)
            if name != "router":
                gateway = "10.214.1.1" if address.startswith("10.214.1.") else "10.214.2.1"
                system("ip", "-n", self.space(name), "route", "add", "default", "via", gateway)
        system("ip", "-n", self.space("router"), "address", "add", "10.214.2.1/24", "dev", "store")
        system(*self.inside("router", "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        near = f"fs{os.getpid() % 100_000}n{self.number}"
        collector = self.space("collector")
        system("ip", "link", "add", near, "type", "veth", "peer", "name", "out", "netns", collector)
        system("ip", "address", "add", f"{self.near}/30", "dev", near)
        system("ip", "link", "set", near, "up")
        system("ip", "-n", collector, "address", "add", f"{self.far}/30", "dev", "out")
        system("ip", "-n", collector, "link", "set", "out", "up")

    def _speak(self, name: str) -> None:
        """snmpd as the AgentX master, lldpd as its subagent (every second), each with a /run of its own."""
        home = self.folder / name
        home.mkdir()
        configuration = home / "snmpd.conf"
        configuration.write_text(
            f"rocommunity {COMMUNITY}\nsysName {name}\nmaster agentx\nagentXSocket unix:{home}/agentx\n"
            f"sysDescr {'Linux router' if name == 'router' else 'Linux bridge, eight ports'}\n"
            f"pass_persist .1.3.6.1.2.1.17 {sys.executable} {BRIDGE_MIB}\n"
        )
        snmpd = [
            "snmpd",
            "-f",
            "-Lf",
            home / "snmpd.log",
            "-C",
            "-c",
            configuration,
            "-p",
            home / "snmpd.pid",
        ]
        self._start(name, home, [*snmpd, "-x", f"unix:{home}/agentx", "udp:161"])
        deadline = time.monotonic() + 60
        while not (home / "agentx").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        hurry = "until lldpcli configure lldp tx-interval 1; do sleep 0.2; done"
        named = f"until lldpcli configure system hostname {name}; do sleep 0.2; done"
        before = f"(timeout 20 sh -c '{hurry}; {named}') &"
        self._start(name, home, ["lldpd", "-d", "-x", "-X", f"unix:{home}/agentx"], before=before)

    def _start(self, name: str, home: Path, command: list[str | Path], *, before: str = "") -> None:
        words = " ".join(map(str, command))
        (home / "hosts").write_text(f"127.0.0.1 localhost {name}\n")  # lldpd asks for its own name
        script = (
            f"mount --bind {home}/hosts /etc/hosts; hostname {name} && mount -t tmpfs none /run && "
            f"mkdir -p /run/lldpd; {before} exec {words}"
        )
        with (home / "output").open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    self.inside(name, "unshare", "--uts", "--mount", "sh", "-c", script),
                    stdout=output,
                    stderr=output,
                )
            )

    def cut_router(self) -> None:
        """The router is off."""
        for port in ("office", "store"):
            system("ip", "-n", self.space("router"), "link", "set", port, "down")

    def mend_router(self) -> None:
        """The router is on again."""
        for port in ("office", "store"):
            system("ip", "-n", self.space("router"), "link", "set", port, "up")

    def end(self) -> None:
        """All daemons and namespaces are gone."""
        for process in self._processes:
            process.kill()
            process.wait()
        for name in ADDRESSES:
            # lldpd has a child of its own: whatever still runs in a namespace of ours ends with it
            listed = subprocess.run(
                ["ip", "netns", "pids", self.space(name)], capture_output=True, text=True, check=False
            )
            for pid in listed.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", self.space(name)], check=False, capture_output=True)


@contextmanager
def small_network(folder: Path) -> Iterator[SmallNetwork]:
    """A network that is up; gone afterwards."""
    found = SmallNetwork(folder)
    try:
        found.build()
        yield found
    finally:
        found.end()
