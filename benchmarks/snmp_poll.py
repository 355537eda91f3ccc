"""CPU seconds to poll 10,000 interfaces: 200 switches of 50 ports by SNMP v2c.

The switches are played by processes of their own, whose CPU is not counted. Every poll goes through the
probe: requests, decoding, rates, samples. `--devices`, `--ports` for other sizes. Prints JSON.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import selectors
import socket
import statistics
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from forestall.collect.asking import ask_once, forgetful
from forestall.collect.reach import anywhere
from snmp_agents import Tree

PLAYERS = 2
POLLS = 5
CONCURRENT = 50


def switch(ports: int) -> Tree:
    """A switch with that many ports, all up, with 64-bit counters."""
    old, new = "1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1."
    values: dict[str, tuple[str, int | str | bytes]] = {
        "1.3.6.1.2.1.1.1.0": ("octets", "A switch of the benchmark"),
        "1.3.6.1.2.1.1.2.0": ("oid", "1.3.6.1.4.1.9.1.1208"),
        "1.3.6.1.2.1.1.3.0": ("ticks", 123_456_789),
        "1.3.6.1.2.1.1.5.0": ("octets", "switch"),
        "1.3.6.1.4.1.9.9.109.1.1.1.1.8.1": ("gauge", 14),
    }
    for n in range(1, ports + 1):
        octets = 987_654_321_000 + n * 1_000_003
        row: dict[str, tuple[str, int | str | bytes]] = {
            f"{old}2.{n}": ("octets", f"GigabitEthernet1/0/{n}"), f"{old}3.{n}": ("integer", 6),
            f"{old}4.{n}": ("integer", 1500), f"{old}6.{n}": ("octets", n.to_bytes(6, "big")),
            f"{old}7.{n}": ("integer", 1), f"{old}8.{n}": ("integer", 1), f"{old}13.{n}": ("counter", n),
            f"{old}14.{n}": ("counter", n), f"{old}19.{n}": ("counter", n), f"{old}20.{n}": ("counter", n),
            f"{new}1.{n}": ("octets", f"Gi1/0/{n}"), f"{new}6.{n}": ("counter64", octets),
            f"{new}10.{n}": ("counter64", octets), f"{new}15.{n}": ("gauge", 1000),
            f"{new}18.{n}": ("octets", f"desk {n}"), f"{new}19.{n}": ("ticks", 0),
        }  # fmt: skip
        values |= row
    return Tree(values)


def play(devices: int, ports: int, told: "multiprocessing.Queue[list[int]]", stop: Event) -> None:
    """One process that answers for some of the switches, each at a port of its own."""
    tree, ready = switch(ports), selectors.DefaultSelector()
    found: list[int] = []
    for _ in range(devices):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        found.append(int(one.getsockname()[1]))
        ready.register(one, selectors.EVENT_READ)
    told.put(found)
    while not stop.is_set():
        for key, _ in ready.select(0.2):
            assert isinstance(key.fileobj, socket.socket)
            data, sender = key.fileobj.recvfrom(65_535)
            key.fileobj.sendto(tree.answer(data), sender)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(ports: list[int]) -> tuple[list[float], list[float], int]:
    """CPU and wall seconds of every round of polls but the first, and the samples of one."""
    keeper, reach, slots = forgetful(), anywhere(), asyncio.Semaphore(CONCURRENT)

    async def poll(port: int) -> int:
        async with slots:
            outcome = await ask_once(
                "snmp", f"127.0.0.1:{port}", {}, reach, credential={"community": "public"}, keeper=keeper,
                timeout_s=30,
            )  # fmt: skip
        assert outcome.ok, outcome.reason
        return len(outcome.samples)

    spent, took, samples = [], [], 0
    for _ in range(POLLS + 1):
        cpu, wall = cpu_s(), time.perf_counter()
        samples = sum(await asyncio.gather(*(poll(port) for port in ports)))
        spent.append(cpu_s() - cpu)
        took.append(time.perf_counter() - wall)
    return spent, took, samples


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--ports", type=int, default=50)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    told, stop = context.Queue(), context.Event()
    share = -(-given.devices // PLAYERS)
    players = [context.Process(target=play, args=(share, given.ports, told, stop)) for _ in range(PLAYERS)]
    for one in players:
        one.start()
    try:
        ports = [port for _ in players for port in told.get(timeout=60)]
        spent, took, samples = asyncio.run(measure(ports))
    finally:
        stop.set()
        for one in players:
            one.join(10)
    interfaces = len(ports) * given.ports
    print(json.dumps({
        "interfaces": interfaces,
        "samples": samples,
        "first_cpu_s_per_10000": round(spent[0] * 10_000 / interfaces, 2),
        "cpu_s_per_10000_median": round(statistics.median(spent[1:]) * 10_000 / interfaces, 2),
        "wall_s_median": round(statistics.median(took[1:]), 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
