"""A seeded world: client businesses whose machines behave, and whose faults are known.

The simulation feeds it to production code on a virtual clock; `up --demo` feeds it to a running
installation. Nothing here knows how Forestall judges: it only says what would be observed, and which fault
was injected when.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from forestall.kernel.observations import Observations, Outcome, Sample

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_S = 86_400
COMPANIES = (
    "Alder Dental", "Birch & Rowe LLP", "Cobalt Logistics", "Dunmore Clinic", "Easton Foods",
    "Fairway Motors", "Granite Schools", "Harbor Credit Union", "Ironwood Labs", "Juniper Hotels",
    "Kestrel Printing", "Larch Energy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How faults come at one business: from each other `space_ms` to four times that, lasting `least_ms` to
    `most_ms`, the first within `first_ms`."""

    first_ms: int
    least_ms: int
    most_ms: int
    space_ms: int


SIMULATED = Rhythm(2 * HOUR_MS, 40 * MINUTE_MS, 90 * MINUTE_MS, 2 * HOUR_MS)
DEMONSTRATED = Rhythm(6 * MINUTE_MS, 4 * MINUTE_MS, 14 * MINUTE_MS, 12 * MINUTE_MS)


class Fault(StrEnum):
    """What can go wrong in this world."""

    DISK_FULL = "disk_full"
    SERVICE_FAILED = "service_failed"
    HOST_OFF = "host_off"
    WEBSITE_DOWN = "website_down"
    CERTIFICATE_ENDS = "certificate_ends"


@dataclass(slots=True)
class Thing:
    """An asset of the world. `asset` is its identifier once it stands in the estate."""

    name: str
    kind: str
    behind: "Thing | None" = None
    asset: str = ""
    probe: str = ""  # "http https://…" when it is asked from outside
    load: float = 0.3
    disk: float = 0.5


@dataclass(slots=True)
class Business:
    """A client of the world."""

    name: str
    things: list[Thing] = field(default_factory=list)
    client: str = ""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault: what, where, from when until when (ms)."""

    fault: Fault
    business: int
    thing: int
    from_ms: int
    to_ms: int


def make_businesses(rng: random.Random, count: int) -> list[Business]:
    """Businesses with a firewall, servers, what runs on them, and a website with its certificate."""
    businesses = []
    for number in range(count):
        name = COMPANIES[number % len(COMPANIES)]
        if number >= len(COMPANIES):
            name = f"{name} {number // len(COMPANIES) + 1}"
        host = "".join(letter for letter in name.lower() if letter.isalnum())
        firewall = Thing("fw-1", "firewall", probe="icmp fw-1")
        things = [firewall]
        for server in ("srv-files", "srv-app"):
            machine = Thing(server, "server", behind=firewall, probe=f"icmp {server}")
            machine.load, machine.disk = rng.uniform(0.1, 0.45), rng.uniform(0.3, 0.7)
            things.append(machine)
            for service in range(rng.randint(1, 3)):
                label = f"{server}-service-{service + 1}"
                things.append(Thing(label, "service", behind=machine, probe=f"tcp {label}:443"))
        things.append(Thing(f"www.{host}.example", "website", probe=f"http https://www.{host}.example"))
        businesses.append(Business(name, things))
    return businesses


def plan_faults(
    rng: random.Random,
    businesses: Sequence[Business],
    *,
    from_ms: int,
    to_ms: int,
    rhythm: Rhythm = SIMULATED,
    repeat: bool = False,
) -> list[Injected]:
    """Faults spread over the time, at most one at a time per business; all are over before `to_ms`.

    Without `repeat` a machine has each fault once: the same cause again would be an occurrence, not a fault
    of its own.
    """
    planned = []
    for index, business in enumerate(businesses):
        at = from_ms + rng.randrange(rhythm.first_ms)
        used: set[tuple[Fault, int]] = set()
        while at + rhythm.most_ms + rhythm.space_ms < to_ms:
            fault, thing = _choose(rng, business)
            if repeat or (fault, thing) not in used:
                used.add((fault, thing))
                lasts_ms = rng.randrange(rhythm.least_ms, rhythm.most_ms)
                planned.append(Injected(fault, index, thing, at, at + lasts_ms))
            at += rhythm.most_ms + rng.randrange(rhythm.space_ms, 4 * rhythm.space_ms)
    return planned


def hours_needed(rhythm: Rhythm = SIMULATED) -> int:
    """How many hours it takes so that every business has a fault for certain, and recovers from it."""
    return math.ceil((rhythm.first_ms + rhythm.most_ms + rhythm.space_ms) / HOUR_MS)


def _choose(rng: random.Random, business: Business) -> tuple[Fault, int]:
    fault = rng.choice(list(Fault))
    kind = "website" if fault in (Fault.WEBSITE_DOWN, Fault.CERTIFICATE_ENDS) else "server"
    return fault, rng.choice([place for place, thing in enumerate(business.things) if thing.kind == kind])


class World:
    """What is observed at an instant."""

    def __init__(
        self, rng: random.Random, businesses: Sequence[Business], faults: Sequence[Injected]
    ) -> None:
        self._rng = rng
        self.businesses = businesses
        self.faults = faults

    def at(self, at_ms: int) -> Iterator[tuple[Business, Observations]]:
        """All observations of one minute, by asset. A machine that is off gives none."""
        live: dict[int, list[Injected]] = {}
        for fault in self.faults:
            if fault.from_ms <= at_ms < fault.to_ms:
                live.setdefault(fault.business, []).append(fault)
        for index, business in enumerate(self.businesses):
            wrong = {(fault.fault, fault.thing) for fault in live.get(index, ())}
            off = {place for fault, place in wrong if fault is Fault.HOST_OFF}
            for place, thing in enumerate(business.things):
                unreachable = self._hangs_on(business, thing, off)
                if thing.kind == "server" and place not in off and not unreachable:
                    yield business, self._server(thing, place, at_ms, wrong)
                if thing.probe:
                    yield business, self._asked(thing, place, at_ms, wrong, down=unreachable)

    @staticmethod
    def _hangs_on(business: Business, thing: Thing, off: set[int]) -> bool:
        above = thing.behind
        while above is not None:
            if business.things.index(above) in off:
                return True
            above = above.behind
        return False

    def _server(self, thing: Thing, place: int, at_ms: int, wrong: set[tuple[Fault, int]]) -> Observations:
        noise = self._rng.gauss
        day = math.sin(at_ms / 1000 % DAY_S / DAY_S * 2 * math.pi)
        busy = min(0.99, max(0.01, thing.load + 0.12 * day + noise(0, 0.03)))
        disk = 0.985 if (Fault.DISK_FULL, place) in wrong else thing.disk + 0.01 * day + noise(0, 0.001)
        failed = float((Fault.SERVICE_FAILED, place) in wrong)
        values = (
            ("cpu.used_ratio", "", busy),
            ("load.per_core", "", busy * 1.2),
            ("memory.used_ratio", "", min(0.9, 0.4 + thing.load / 2 + noise(0, 0.01))),
            ("swap.used_ratio", "", 0.02),
            ("disk.used_ratio", "/", disk),
            ("disk.free_bytes", "/", (1 - disk) * 500e9),
            ("disk.size_bytes", "/", 500e9),
            ("inodes.used_ratio", "/", 0.11),
            ("service.failed", "nightly-export.service", failed),
            ("services.failed_count", "", failed),
            ("time.offset_ms", "", noise(0, 3)),
            ("uptime_s", "", at_ms / 1000 % (40 * DAY_S) + 3600),
        )
        return Observations(thing.asset, samples=[Sample(at_ms, *value) for value in values])

    def _asked(
        self, thing: Thing, place: int, at_ms: int, wrong: set[tuple[Fault, int]], *, down: bool
    ) -> Observations:
        kind, target = thing.probe.split(" ", 1)
        took_ms = max(0.5, self._rng.gauss(24, 5))
        down = down or (Fault.WEBSITE_DOWN, place) in wrong or (Fault.HOST_OFF, place) in wrong
        samples = []
        if kind == "http" and not down:
            days_left = 3.0 if (Fault.CERTIFICATE_ENDS, place) in wrong else 71.0
            samples.append(Sample(at_ms, "certificate.days_left", target.removeprefix("https://"), days_left))
        outcome = Outcome(
            at_ms=at_ms,
            probe=f"{thing.asset}/{kind}",
            kind=kind,
            target=target,
            ok=not down,
            reason=f"no answer from {target} within 5 s"
            if down
            else f"{target} answered in {took_ms:.0f} ms",
            took_ms=5000.0 if down else took_ms,
            answer="" if down else "200 OK",
            samples=samples,
        )
        return Observations(thing.asset, outcomes=[outcome])
