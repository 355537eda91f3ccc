"""Recorded devices played over UDP, polled through the probe, judged by the packs: a switch, a UPS, a
printer, a router. The recordings (snmpsim's format) are made up with figures as such devices show them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from forestall.collect.asking import Keeper, ask_once
from forestall.collect.masking import Masker
from forestall.collect.reach import anywhere
from forestall.collect.remembering import Memory
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import JudgedAsset
from forestall.kernel.columns import SampleColumns
from forestall.kernel.ids import from_number
from forestall.kernel.observations import Outcome
from snmp_agents import Player, answering

RECORDINGS = Path(__file__).parent.parent / "recordings" / "snmp"
START = 1_790_000_000_000
MINUTE = 60_000
OCTETS_IN, OCTETS_OUT = "1.3.6.1.2.1.31.1.1.1.6.", "1.3.6.1.2.1.31.1.1.1.10."
OPER, ADMIN, ERRORS = "1.3.6.1.2.1.2.2.1.8.", "1.3.6.1.2.1.2.2.1.7.", "1.3.6.1.2.1.2.2.1.14."
UP_TIME, ENGINE = "1.3.6.1.2.1.1.3.0", "1.3.6.1.6.3.10.2.1.3.0"


class Site:
    """A played device, polled by a clock of our own."""

    def __init__(self, name: str, memory: Memory | None = None) -> None:
        self.player = Player(RECORDINGS / f"{name}.snmprec")
        self.now = START
        self.keeper = Keeper(memory or Memory(), Masker(b"k" * 32))

    def wait(self, minutes: float, **more: int) -> None:
        """Let time pass, for the device too."""
        self.now += round(minutes * MINUTE)
        ticks = int(self.player.values[UP_TIME][1]) + round(minutes * 6_000)
        self.player.change({UP_TIME: ticks % (1 << 32)})

    async def poll(self, port: int, **settings: str) -> Outcome:
        return await ask_once(
            "snmp", f"127.0.0.1:{port}", settings, anywhere(), credential={"community": "public"},
            now_ms=lambda: self.now, keeper=self.keeper,
        )  # fmt: skip


def values(outcome: Outcome) -> dict[tuple[str, str], float]:
    assert outcome.ok, outcome.reason
    own = f"snmp {outcome.target}"
    return {(one.metric, "" if one.item == own else one.item): one.value for one in outcome.samples}


def judged(kind: str, outcomes: Sequence[Outcome]) -> Mapping[str, str]:
    """Rule and item → the reason of the worst state that it came to."""
    judge = Judge(load_packs(builtin_packs()))
    judge.set_estate(
        (JudgedAsset(id=from_number(5), number=5, client="client", name="device", kind=kind),), now_ms=START
    )
    found: dict[str, str] = {}
    for outcome in outcomes:
        samples = outcome.samples
        columns = SampleColumns(
            client=np.ones(len(samples), np.uint64),
            asset=np.full(len(samples), 5, np.uint64),
            metric=pa.array([one.metric for one in samples], pa.string()),
            item=pa.array([one.item for one in samples], pa.string()),
            at_ms=np.array([one.at_ms for one in samples], np.int64),
            value=np.array([one.value for one in samples], np.float64),
        )
        for one in judge.observe(columns, received_at_ms=outcome.at_ms):
            found[f"{one.rule} {one.item}"] = f"{one.to}: {one.reason}"
    return found


async def test_a_switch() -> None:
    site = Site("switch")
    with answering(site.player.answer) as port:
        first = await site.poll(port)
        told = values(first)
        assert told["device.cpu_used_ratio", "processor 1"] == 0.14
        assert told["device.memory_used_ratio", "Processor"] == 0.3
        assert ("device.memory_used_ratio", "I/O") not in told
        assert told["device.temperature_celsius", "SW#1, Sensor#1, GREEN"] == 34
        assert told["device.fan_failed", "Switch#1, Fan#1"] == 0
        assert told["interface.up", "Gi1/0/25 (uplink to core)"] == 1
        assert ("interface.up", "Gi1/0/26 (uplink spare)") not in told  # never seen up
        assert ("interface.up", "Gi1/0/24 (old desk)") not in told  # switched off
        assert not any(item == "Lo0" for _, item in told)
        assert not any(metric == "interface.in_bytes_per_s" for metric, _ in told)  # no rate at first
        [inventory] = first.snapshots
        assert "model: WS-C2960X-24TS-L" in inventory.text and "serial: FOC1234X5YZ" in inventory.text
        assert "os version: 15.2(7)E8" in inventory.text and "location: Office, rack 1" in inventory.text
        assert "interface  Gi1/0/25 (uplink to core)  alias: uplink to core  type: ethernet  mac: 00:1b" in (
            inventory.text
        )

        site.wait(1)
        moved = {f"{OCTETS_IN}10125": 98765432109876 + 60 * 62_500_000, f"{ERRORS}10125": 12 + 600}
        site.player.change(moved)
        told = values(second := await site.poll(port))
        assert told["interface.in_bytes_per_s", "Gi1/0/25 (uplink to core)"] == 62_500_000
        assert told["interface.used_ratio", "Gi1/0/25 (uplink to core)"] == 0.5
        assert told["interface.errors_per_s", "Gi1/0/25 (uplink to core)"] == 10
        assert told["interface.out_bytes_per_s", "Gi1/0/1"] == 0
        assert not second.snapshots

        outcomes = [first, second]
        site.player.change({f"{OPER}10125": 2, f"{OPER}10101": 2})
        for _ in range(3):
            site.wait(1)
            outcomes.append(await site.poll(port))
        told = values(outcomes[-1])
        assert told["interface.up", "Gi1/0/25 (uplink to core)"] == 0
        site.player.change({f"{ADMIN}10125": 2})
        site.wait(1)
        assert ("interface.up", "Gi1/0/25 (uplink to core)") not in values(await site.poll(port))
    found = judged("switch", outcomes)
    assert found.keys() == {"interface-down Gi1/0/25 (uplink to core)"}  # and not the desk's port
    assert "the interface Gi1/0/25 (uplink to core) is down" in next(iter(found.values()))


async def test_what_was_down_is_still_known_after_a_restart_of_the_collector(tmp_path: Path) -> None:
    site = Site("switch", Memory(tmp_path / "memory"))
    with answering(site.player.answer) as port:
        await site.poll(port)
        site.player.change({f"{OPER}10125": 2})
        site.wait(1)
        assert values(await site.poll(port))["interface.up", "Gi1/0/25 (uplink to core)"] == 0
        site.keeper = Keeper(Memory(tmp_path / "memory"), site.keeper.masker)
        anew = await asyncio.to_thread(
            lambda: asyncio.run(site.poll(port))
        )  # a loop of its own knows nothing
        assert values(anew)["interface.up", "Gi1/0/25 (uplink to core)"] == 0


async def test_a_device_that_numbers_its_interfaces_anew_keeps_their_rates() -> None:
    site = Site("router")
    with answering(site.player.answer) as port:
        await site.poll(port)
        swapped = {}
        for oid, (kind, value) in list(site.player.values.items()):
            for one, other in ((".501", ".502"), (".502", ".501")):
                if oid.startswith(("1.3.6.1.2.1.2.2.", "1.3.6.1.2.1.31.")) and oid.endswith(one):
                    swapped[oid.removesuffix(one) + other] = (kind, value)
        site.player.values |= swapped
        site.wait(1)
        told = values(await site.poll(port))
    assert told["interface.in_bytes_per_s", "xe-0/0/0 (WAN transit A)"] == 0
    assert told["interface.in_bytes_per_s", "xe-0/0/1 (uplink to sw-core)"] == 0


async def test_a_ups() -> None:
    site, card = Site("ups"), "1.3.6.1.4.1.318.1.1.1."
    with answering(site.player.answer) as port:
        outcomes = [await site.poll(port)]
        told = values(outcomes[0])
        assert told["ups.charge_ratio", ""] == 1 and told["ups.load_ratio", ""] == 0.38
        assert told["ups.runtime_s", ""] == 2_580 and told["ups.on_battery", ""] == 0
        assert told["ups.battery_bad", ""] == 0 and told["ups.temperature_celsius", ""] == 27
        assert "serial: AS1234567890" in outcomes[0].snapshots[0].text
        site.player.change({f"{card}4.1.1.0": 3, f"{card}2.2.1.0": 18, f"{card}2.2.4.0": 2})
        for _ in range(4):
            site.wait(1)
            outcomes.append(await site.poll(port))
    found = judged("ups", outcomes)
    assert {name.split()[0] for name in found} == {"on-battery", "battery-low", "battery-bad"}


async def test_a_printer() -> None:
    site = Site("printer")
    with answering(site.player.answer) as port:
        outcomes = [await site.poll(port)]
        told = values(outcomes[0])
        assert told["printer.supply_ratio", "Black Cartridge HP W2030A"] == 0.61
        assert (
            told["printer.supply_ratio", "Toner Collection Unit"] == 0.85
        )  # what is filled is used up when full
        assert ("printer.supply_ratio", "Magenta Cartridge HP W2033A") not in told  # it does not know
        assert told["printer.paper_out", ""] == 0 and told["printer.pages_count", ""] == 48213
        site.player.change({"1.3.6.1.2.1.25.3.5.1.2.1": b"\x44"})  # no paper, jammed
        for _ in range(38):
            site.wait(10)
            outcomes.append(await site.poll(port))
    found = judged("printer", outcomes)
    assert {name.split()[0] for name in found} == {"supply-low", "paper-out", "printer-stopped"}
    assert any("Cyan Cartridge" in name for name in found)


async def test_a_router_with_neighbours_whose_uptime_wraps() -> None:
    site, state = Site("router"), "1.3.6.1.2.1.15.3.1.2."
    with answering(site.player.answer) as port:
        outcomes = [await site.poll(port)]
        told = values(outcomes[0])
        assert told["bgp.neighbour_up", "198.51.100.1 (AS 64500)"] == 1
        assert ("bgp.neighbour_up", "192.0.2.77 (AS 64502)") not in told  # stopped by somebody
        assert told["device.cpu_used_ratio", "Routing Engine 0"] == 0.09
        assert told["device.power_failed", "Power Supply 1"] == 1
        site.wait(10)  # over 497 days
        outcomes.append(await site.poll(port))
        told = values(outcomes[-1])
        assert told["device.restarted", ""] == 0 and told["device.uptime_s", ""] > 42_949_000
        site.player.change({f"{state}203.0.113.9": 3})
        for _ in range(3):
            site.wait(1)
            outcomes.append(await site.poll(port))
        site.player.change({UP_TIME: 4_000, ENGINE: 40})
        site.now += 2 * MINUTE
        outcomes.append(await site.poll(port))
        assert values(outcomes[-1])["device.restarted", ""] == 1
        assert outcomes[-1].snapshots  # looks at everything anew
    found = judged("router", outcomes)
    assert {name.split()[0] for name in found} == {
        "neighbour-lost",
        "power-supply-failed",
        "device-restarted",
    }


async def test_what_is_no_number_is_left_out_and_told() -> None:
    site = Site("switch")
    site.player.values["1.3.6.1.4.1.9.9.13.1.3.1.3.1006"] = ("octets", "warm")
    site.player.change({"1.3.6.1.4.1.9.9.109.1.1.1.1.8.1": 255})
    with answering(site.player.answer) as port:
        outcome = await site.poll(port)
    assert "2 are no numbers that make sense" in outcome.reason
    assert "'warm'" in outcome.reason
    assert "device.cpu_used_ratio" not in {one.metric for one in outcome.samples}


async def test_items_that_nobody_wants_are_left_out() -> None:
    site = Site("switch")
    with answering(site.player.answer) as port:
        told = values(await site.poll(port, leave_out="Gi1/0/?\nVl*"))
    names = {item for metric, item in told if metric == "interface.up"}
    assert "Gi1/0/10" in names and "Gi1/0/1" not in names and "Vl1" not in names
