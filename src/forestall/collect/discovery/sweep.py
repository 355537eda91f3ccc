"""One sweep of a site: who answers, what it says of itself, what it says of its wires. Gentle and bounded.

Nothing outside the swept ranges is ever sent a packet: every address is judged by the reach before it is
asked, and what a device or a name server says of addresses elsewhere is only noted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from forestall.collect.answers import NotAsked, Question
from forestall.collect.discovery.gathering import Seen, bounded, join_devices
from forestall.collect.discovery.knocking import knock
from forestall.collect.discovery.naming import hear_mdns, reverse, vendor_of
from forestall.collect.discovery.neighbours import own_addresses, read_gateways, read_neighbours
from forestall.collect.discovery.plan import Window, inside
from forestall.collect.discovery.tables import Told, read_device
from forestall.collect.probes.icmp import ping_of_this_loop
from forestall.collect.reach import Network, Reach
from forestall.collect.snmp.session import Nonsense, Refused, Session, Silent, TooMuch, Way
from forestall.kernel.observations import Link, Sighting, Sweep

PINGS_IN_FLIGHT = 64
PING_LOST_S = 1.0
MACHINES_AT_ONCE = 32
SNMP_AT_ONCE = 24
SNMP_TRY_S = 1.0
SHARE_OF_TIME = 0.85  # of the run: what is not done by then is left for the next sweep, and told

T = TypeVar("T")


@dataclass(slots=True)
class Wanted:
    """What a sweep does besides asking who answers."""

    ranges: Sequence[Network]
    rate_per_s: int = 100
    knock: bool = True
    mdns: bool = True
    dns: bool = True


@dataclass(slots=True)
class Found:
    """What was found so far."""

    seen: dict[str, Seen] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    pinged: int = 0
    spoke: int = 0

    def at(self, address: str, by: str) -> Seen:
        """The device at an address, which was seen by this."""
        one = self.seen.setdefault(address, Seen(address))
        one.add(by)
        return one

    def left(self, what: str, count: int) -> None:
        """So many were left out."""
        if count:
            self.cut[what] = self.cut.get(what, 0) + count


async def sweep(question: Question, reach: Reach, *, window: Window, wanted: Wanted) -> tuple[Sweep, Found]:
    """Ask the addresses of the window. Raises NotAsked when this process may not ping."""
    found = Found()
    deadline = asyncio.get_running_loop().time() + question.timeout_s * SHARE_OF_TIME

    def allowed(address: str) -> bool:
        return inside(address, wanted.ranges, reach)

    addresses = [address for address in window.addresses if allowed(address)]
    found.left("addresses that may not be asked", len(window.addresses) - len(addresses))
    question.doing(f"pinging {len(addresses)} addresses")
    await _ping_all(found, addresses, rate_per_s=wanted.rate_per_s, deadline=deadline)
    await asyncio.to_thread(_look_around, found, allowed)
    alive = sorted(found.seen)
    question.doing(f"asking {len(alive)} machines what they are")
    jobs: list[Awaitable[None]] = [_name_all(found, alive)] if wanted.dns else []
    if wanted.knock:
        jobs.append(_knock_all(found, alive))
    if question.credential:
        jobs.append(_ask_all(found, alive, question))
    own = [address for address in own_addresses() if allowed(address)]
    if wanted.mdns and own:
        jobs.append(_hear(found, own, allowed))
    await _until(deadline, jobs, found)
    _take_macs(found)
    await asyncio.to_thread(_name_vendors, found.seen.values())
    now_ms = question.now_ms()
    sightings: list[Sighting] = [one.sighting(now_ms) for one in join_devices(found.seen.values())]
    kept, links, left = bounded(sightings, found.links)
    for what, count in left.items():
        found.left(what, count)
    return Sweep(kept, links, found.pinged, window.whole and not found.cut, found.cut), found


async def _until(deadline: float, jobs: Iterable[Awaitable[None]], found: Found) -> None:
    """All of them, but no longer than that; what has not ended then is counted."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    if not tasks:
        return
    left_s = max(0.1, deadline - asyncio.get_running_loop().time())
    done, late = await asyncio.wait(tasks, timeout=left_s)
    found.left("questions that took too long", len(late))
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()


async def _ping_all(found: Found, addresses: Sequence[str], *, rate_per_s: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    ping = ping_of_this_loop()
    lanes = asyncio.Semaphore(PINGS_IN_FLIGHT)
    waiting: set[asyncio.Future[None]] = set()

    async def once(address: str) -> None:
        try:
            # never cancelled: gufo would stumble over the answer that comes late, and lose others' with it
            sent = asyncio.ensure_future(ping.ping(address))
            await asyncio.wait({sent}, timeout=PING_LOST_S)
            if sent.done() and sent.result() is not None:
                found.at(address, "ping")
        finally:
            lanes.release()

    begun = loop.time()
    for number, address in enumerate(addresses):
        early_s = begun + number / rate_per_s - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        if loop.time() > deadline:
            found.left("addresses for which there was no time", len(addresses) - number)
            break
        await lanes.acquire()
        waiting.add(asyncio.ensure_future(once(address)))
        found.pinged += 1
    try:
        await asyncio.gather(*waiting)
    except (PermissionError, NotImplementedError) as failed:
        raise NotAsked(
            "this process may not ping: give it CAP_NET_RAW, or put its group into net.ipv4.ping_group_range"
        ) from failed
    except OSError:
        found.left("addresses that no route leads to", 1)


def _look_around(found: Found, allowed: Callable[[str], bool]) -> None:
    """What this machine knows by itself: its neighbours, its own addresses, its gateways."""
    own = {address: place for address, place in own_addresses().items() if allowed(address)}
    local = next(iter(own), "")
    for neighbour in read_neighbours():
        if not allowed(neighbour.address):
            continue
        one = found.at(neighbour.address, "neighbours")
        one.mac = neighbour.mac
    for address, (_, mac) in own.items():
        one = found.at(address, "own")
        one.mac = mac
        one.addresses = list(own)
    for gateway, port in read_gateways():
        if local and allowed(gateway):
            mac = found.seen[gateway].mac if gateway in found.seen else ""
            found.links.append(Link("route", local, port[:128], mac=mac, address=gateway))


async def _name_all(found: Found, alive: Sequence[str]) -> None:
    async def one(address: str) -> None:
        if name := await reverse(address):
            found.at(address, "dns").add("dns", names=[name])

    await _each(alive, one, MACHINES_AT_ONCE)


async def _knock_all(found: Found, alive: Sequence[str]) -> None:
    lanes = asyncio.Semaphore(MACHINES_AT_ONCE)

    async def one(address: str) -> None:
        ports, services, names = await knock(address, lanes=lanes)
        if ports:
            seen = found.at(address, "ports")
            seen.ports = ports
            seen.add("ports", names=names, services=services)

    await _each(alive, one, MACHINES_AT_ONCE)


async def _ask_all(found: Found, alive: Sequence[str], question: Question) -> None:
    version = 3 if question.credential.get("user") else 2

    async def one(address: str) -> None:
        session = Session(Way(address, 161, version, question.credential), try_s=SNMP_TRY_S)
        try:
            await session.open()
            told = await read_device(session, address)
        except Silent:
            return
        except (Refused, Nonsense, TooMuch, OSError):
            found.left("devices that answer SNMP, but not so that it could be used", 1)
            return
        finally:
            session.close()
        _take(found, address, told)

    await _each(alive, one, SNMP_AT_ONCE)


def _take(found: Found, address: str, told: Told) -> None:
    seen = found.at(address, "snmp")
    found.spoke += 1
    seen.names = [told.name, *seen.names] if told.name and told.name not in seen.names else seen.names
    seen.description, seen.object_id, seen.forwards = told.description, told.object_id, told.forwards
    seen.addresses, seen.macs = told.addresses, told.macs
    found.links += told.links
    found.left("rows of devices' tables", told.cut)


async def _hear(found: Found, own: list[str], allowed: Callable[[str], bool]) -> None:
    for address, (names, services) in (await hear_mdns(own)).items():
        if allowed(address):
            found.at(address, "mdns").add("mdns", names=names, services=services)


def _take_macs(found: Found) -> None:
    """Behind a router only its ARP table knows the MACs."""
    for link in found.links:
        one = found.seen.get(link.address)
        if link.protocol == "arp" and one is not None and not one.mac and not one.macs:
            one.mac = link.mac


def _name_vendors(seen: Iterable[Seen]) -> None:
    for one in seen:
        one.vendor = vendor_of(one.mac)


async def _each(items: Sequence[T], one: Callable[[T], Awaitable[None]], most: int) -> None:
    """Do it with each, so many at once."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await one(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(most, len(items))):
            group.create_task(work())
