"""Puts together what was seen of one device at several addresses and by several means. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from forestall.collect.answers import cut
from forestall.kernel.observations import LINKS_MAX, SIGHTINGS_MAX, Link, Sighting

NAMES_MAX, PORTS_MAX, SERVICES_MAX, BY_MAX, ADDRESSES_MAX, MACS_MAX = 8, 64, 16, 16, 64, 256
TEXTS_MAX_CHARS = 2_000_000  # of one sweep: it must fit into a batch on the wire


@dataclass(slots=True)
class Seen:
    """A device in the making."""

    address: str
    mac: str = ""
    names: list[str] = field(default_factory=list)
    vendor: str = ""
    ports: list[int] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    description: str = ""
    object_id: str = ""
    by: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    macs: list[str] = field(default_factory=list)
    forwards: bool = False

    def add(self, by: str, *, names: Iterable[str] = (), services: Iterable[str] = ()) -> None:
        """It was seen by this too."""
        if by not in self.by:
            self.by.append(by)
        self.names += [name for name in names if name and name not in self.names]
        self.services += [one for one in services if one and one not in self.services]

    def join(self, other: "Seen") -> None:
        """The other one is this device, at another address."""
        for by in other.by:
            self.add(by, names=other.names, services=other.services)
        self.mac, self.vendor = self.mac or other.mac, self.vendor or other.vendor
        self.ports += [port for port in other.ports if port not in self.ports]
        self.addresses += [one for one in other.addresses if one not in self.addresses]
        self.macs += [one for one in other.macs if one not in self.macs]
        self.description = self.description or other.description
        self.object_id = self.object_id or other.object_id
        self.forwards = self.forwards or other.forwards

    def sighting(self, at_ms: int) -> Sighting:
        """As it goes on the wire, everything cut to its limits."""
        return Sighting(
            at_ms=at_ms,
            address=self.address,
            mac=self.mac,
            names=[cut(name, 128) for name in self.names[:NAMES_MAX]],
            vendor=cut(self.vendor, 128),
            ports=sorted(self.ports)[:PORTS_MAX],
            services=[cut(one, 128) for one in self.services[:SERVICES_MAX]],
            description=cut(self.description, 512),
            object_id=cut(self.object_id, 128),
            by=self.by[:BY_MAX],
            addresses=self.addresses[:ADDRESSES_MAX],
            macs=self.macs[:MACS_MAX],
            forwards=self.forwards,
        )


def join_devices(seen: Iterable[Seen]) -> list[Seen]:
    """One for each device: addresses that one device says are its own are that device."""
    rows = sorted(seen, key=lambda one: (-len(one.addresses), not one.description, one.address))
    owner: dict[str, Seen] = {}
    found: list[Seen] = []
    for one in rows:
        keeper = owner.get(one.address)
        if keeper is not None:
            keeper.join(one)
            continue
        found.append(one)
        if one.address not in one.addresses:
            one.addresses.insert(0, one.address)
        for address in one.addresses:
            owner.setdefault(address, one)
    return found


def bounded(
    sightings: Sequence[Sighting], links: Sequence[Link]
) -> tuple[list[Sighting], list[Link], dict[str, int]]:
    """As much as one sweep may bring, and what was left out, by what it was. LLDP and CDP go first."""
    room = TEXTS_MAX_CHARS
    kept: list[Sighting] = []
    for sighting in sightings[:SIGHTINGS_MAX]:
        room -= 200 + len(sighting.description) + 20 * (len(sighting.addresses) + len(sighting.macs))
        room -= sum(len(text) for text in (*sighting.names, *sighting.services))
        if room < 0:
            break
        kept.append(sighting)
    rank = {"lldp": 0, "cdp": 1, "route": 2, "fdb": 3, "arp": 4}
    wires = sorted(links, key=lambda one: rank.get(one.protocol, 9))[:LINKS_MAX]
    left = {"sightings": len(sightings) - len(kept), "links": len(links) - len(wires)}
    return kept, wires, {what: count for what, count in left.items() if count}
