"""Sweeps a site's declared ranges: which devices are there, and what hangs on what (collect/discovery)."""

import ipaddress

from forestall.collect.answers import Answer, NotAsked, Number, Question
from forestall.collect.discovery.plan import ADDRESSES_MAX, choose
from forestall.collect.discovery.sweep import Found, Wanted, sweep
from forestall.collect.reach import Network, Reach
from forestall.kernel.observations import Sweep
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 240.0
DECLARED = "declared ranges"
RANGES_MAX = 100

SPEC = Spec(
    name="discover",
    title="Discovery",
    about="Sweeps the declared ranges of a site: who answers, what it is, what hangs on what. It is "
    "proposed under Networks, never added by itself.",
    source="RFC 792, RFC 826, RFC 4861, RFC 6762, RFC 3418, RFC 4188, RFC 4363, IEEE 802.1AB, CISCO-CDP-MIB",
    settings=(
        Setting("rate", "Pings a second", "whole", default=100, least=1, most=1000),
        Setting("most", "Addresses in a sweep", "whole", default=ADDRESSES_MAX, least=1, most=ADDRESSES_MAX,
                help="A larger site is swept in parts, one after the other"),
        Setting("knock", "Knock at a few ports", "yes_no", default=True),
        Setting("dns", "Look names up", "yes_no", default=True),
        Setting("mdns", "Listen to mDNS", "yes_no", default=True),
    ),
    limits="Asks only what the site declares. 4,096 addresses in a sweep, 64 pings on their way, "
    "32 machines at once, one connection to each; 5,000 devices and 20,000 links told. IPv6 ranges with more "
    "than 256 addresses are not walked: their neighbours are seen.",
    produces=("probe.up", "probe.took_ms", "discover.devices_count", "discover.links_count"),
    credentials=("snmp_v2c", "snmp_v3"),
)  # fmt: skip


async def probe(question: Question, reach: Reach) -> Answer:
    """Sweep "declared ranges", or networks with commas between them that lie in them."""
    ranges = read_ranges(question.target, reach)
    settings = question.settings
    mark = f"discover {question.target[:200]}"
    said = question.memory.get(mark)
    window = choose(ranges, start=int(said) if said.isdecimal() else 0, most=settings["most"])
    wanted = Wanted(
        ranges, rate_per_s=settings["rate"], knock=settings["knock"], mdns=settings["mdns"],
        dns=settings["dns"],
    )  # fmt: skip
    found, how = await sweep(question, reach, window=window, wanted=wanted)
    question.memory.put(mark, str(window.next))
    numbers = [
        Number("discover.devices_count", float(len(found.sightings))),
        Number("discover.links_count", float(len(found.links))),
    ]
    raw = "\n".join(
        f"{one.address} {one.mac} {' '.join(one.names[:2])} by {', '.join(one.by)}" for one in found.sightings
    )
    return Answer(True, say(found, how, window.total, window.unwalked), raw, numbers, sweep=found)


def read_ranges(target: str, reach: Reach) -> list[Network]:
    """The networks that a target means. Raises NotAsked when there are none, or one is not a network."""
    if target.strip() == DECLARED:
        if not reach.ranges:
            raise NotAsked(
                "this collector's site declares no ranges: add them under Networks, and put the collector at "
                "that site"
            )
        return list(reach.ranges)
    found: list[Network] = []
    for text in target.split(",")[:RANGES_MAX]:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise NotAsked(
                f"{text.strip()!r} is not a network: write 192.168.1.0/24, or {DECLARED!r}"
            ) from error
    for one in found:
        if refusal := reach.refusal(one[0]):
            raise NotAsked(refusal)
    return found


def say(found: Sweep, how: Found, total: int, unwalked: tuple[str, ...]) -> str:
    """What the sweep saw, in a sentence or two."""
    words = f"{len(found.sightings)} devices at {found.asked} of {total} addresses"
    words += f", {how.spoke} answer SNMP, {len(found.links)} links told"
    for what, count in found.cut.items():
        words += f"; left out: {count} {what}"
    if unwalked:
        words += f"; not walked, too large: {', '.join(unwalked[:3])}"
    return words
