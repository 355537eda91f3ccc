"""What hangs on what. Pure: devices and their words about their wires in, a tree with reasons out.

Ports that are bundled (LACP) are one port: the bundle. A wire that spanning tree blocks carries nothing, so
nothing hangs by it while there is another way.
Precedence (docs/decisions/0017-topology.md): LLDP, then CDP say both ends; a forwarding table says behind
which port a MAC is; an ARP table only on which port's network it is; the gateway is what is left. A device
takes the strongest word there is about it, and weaker ones only where no stronger one is.
The root is the gateway: what leaves the site leaves through it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from forestall.kernel.observations import Link

STRONG = {"lldp": 0, "cdp": 1, "fdb": 2, "arp": 3, "route": 4}
DEVICES_MAX = 5_000
PARALLEL_MAX = 16  # wires between two devices
PARTS_MAX = 16  # ports of one bundle

Word = tuple[str, str, str, Link]  # asker, its port or bundle, remote
Bundles = Mapping[tuple[str, str], str]  # device, port → the bundle that the port is in


@dataclass(frozen=True, slots=True)
class Device:
    """A device by its `key`; by `addresses`, `macs` and `names` others mean it."""

    key: str
    name: str
    addresses: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """`lower` hangs on `upper` by a word of `protocol`; ports as far as they are known. `blocked`: spanning
    tree lets nothing through."""

    lower: str
    upper: str
    lower_port: str
    upper_port: str
    protocol: str
    reason: str
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """`tree` holds one edge for each device that hangs somewhere, `further` wires beside it; `roots` hang on
    nothing, `alone` are those of which nothing is known."""

    tree: tuple[Edge, ...]
    further: tuple[Edge, ...] = ()
    roots: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def parents(self) -> dict[str, Edge]:
        """Device → the edge to what it hangs on."""
        return {edge.lower: edge for edge in self.tree}


@dataclass(slots=True)
class _Wire:
    """Between two devices, `ends`: device → its port; `told_by`: which of them said so; `parts`: bundles, in
    words → their ports; `blocked_at`: where spanning tree blocks it, in words."""

    protocol: str
    ends: dict[str, str]
    reason: str
    told_by: set[str] = field(default_factory=set)
    parts: dict[str, set[str]] = field(default_factory=dict)
    blocked_at: set[str] = field(default_factory=set)

    @property
    def said(self) -> str:
        """The reason, with what is bundled and blocked."""
        more = [f"{bundle} is {' and '.join(sorted(ports))}" for bundle, ports in sorted(self.parts.items())]
        more += [f"spanning tree blocks it: {', '.join(sorted(self.blocked_at))}"] if self.blocked_at else []
        return "; ".join([self.reason, *more])


@dataclass(slots=True)
class _Named:
    """Finds the device that somebody means."""

    by_mac: dict[str, str] = field(default_factory=dict)
    by_address: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)

    def find(self, *, mac: str = "", address: str = "", name: str = "") -> str:
        """Its key; "" when nobody is meant."""
        return (
            self.by_mac.get(mac, "") or self.by_address.get(address, "") or self.by_name.get(_short(name), "")
        )


def find_topology(devices: Sequence[Device], links: Iterable[Link]) -> Topology:
    """The tree of these devices."""
    devices = sorted(devices, key=lambda one: one.key)[:DEVICES_MAX]
    known = {one.key: one for one in devices}
    named = _name_all(devices)
    words: dict[str, list[Word]] = defaultdict(list)  # by protocol
    links = list(links)
    bundles = {(named.find(address=one.local), one.port): one.bundle for one in links if one.bundle}
    for link in links:
        asker = named.find(address=link.local)
        remote = named.find(mac=link.mac, address=link.address, name=link.name)
        if asker and remote and asker != remote:
            port = bundles.get((asker, link.port), link.port)
            words[link.protocol].append((asker, port, remote, link))
    wires = _told_wires(words, known, bundles)
    tables = _tables(words["fdb"])
    _switch_wires(wires, tables, known)
    _hang_by_tables(wires, tables, known)
    _hang_by_arp(wires, words["arp"], known)
    gateways = [remote for _, _, remote, _ in words["route"]]
    _hang_on_gateway(wires, words["route"], known)
    return _grow(devices, wires, _choose_root(devices, wires, gateways))


def _name_all(devices: Iterable[Device]) -> _Named:
    """What two devices claim for themselves means neither."""
    found = _Named()
    for claimed, get in (
        (found.by_mac, lambda one: one.macs),
        (found.by_address, lambda one: one.addresses),
        (found.by_name, lambda one: {_short(name) for name in one.names}),
    ):
        owners: dict[str, set[str]] = defaultdict(set)
        for one in devices:
            for text in get(one):
                owners[text].add(one.key)
        claimed.update({text: min(keys) for text, keys in owners.items() if text and len(keys) == 1})
    return found


def _short(name: str) -> str:
    return name.strip().lower().partition(".")[0]


def _told_wires(
    words: Mapping[str, Sequence[Word]], known: Mapping[str, Device], bundles: Bundles
) -> list[_Wire]:
    """What LLDP and CDP say: one wire for each pair of devices and port or bundle."""
    by_pair: dict[frozenset[str], list[_Wire]] = defaultdict(list)
    for protocol in ("lldp", "cdp"):
        for word in words[protocol]:
            asker, port, remote, link = word
            pair = by_pair[frozenset((asker, remote))]
            there = bundles.get((remote, link.remote_port), link.remote_port)
            one = _same_wire(pair, protocol, word, there)
            if one is None:
                if len(pair) >= PARALLEL_MAX:
                    continue
                said = f"{known[asker].name} hears {known[remote].name} by {protocol.upper()} on {port}"
                one = _Wire(protocol, {asker: port, remote: there}, said, {asker})
                pair.append(one)
            elif one.protocol == protocol and asker not in one.told_by:
                one.ends[asker] = port  # its own word for its own port
                one.told_by.add(asker)
            label = f"{known[asker].name}'s {port}"
            parts = one.parts.setdefault(label, set()) if link.bundle else set()
            if len(parts) < PARTS_MAX:
                parts.add(link.port)
            if link.blocked and len(one.blocked_at) < PARALLEL_MAX:
                one.blocked_at.add(f"{known[asker].name} on {port}")
    return [one for pair in by_pair.values() for one in pair]


def _same_wire(pair: Sequence[_Wire], protocol: str, word: Word, there: str) -> _Wire | None:
    """The wire that a word is about: of the same bundle, or one of which the asker did not speak yet."""
    asker, port, remote, link = word
    for one in pair:
        here = bool(link.bundle) and one.ends[asker] == port
        if here or (there != link.remote_port and one.ends[remote] == there):
            return one
    twins = [one for one in pair if asker not in one.told_by or one.protocol != protocol]
    fits = (one for one in twins if one.ends[asker] == port or one.ends[remote] == there)
    return next(fits, next(iter(twins), None))


def _tables(rows: Sequence[Word]) -> dict[str, dict[str, set[str]]]:
    """Switch → port → devices behind it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for switch, port, device, _ in rows:
        found[switch][port].add(device)
    return found


def _switch_wires(
    wires: list[_Wire], tables: Mapping[str, Mapping[str, set[str]]], known: Mapping[str, Device]
) -> None:
    """Two switches that see each other, and nobody else on both sides, hang together without telling so."""
    told = {frozenset(one.ends) for one in wires}
    switches = sorted(tables)
    for place, first in enumerate(switches):
        for second in switches[place + 1 :]:
            here = next((port for port, seen in sorted(tables[first].items()) if second in seen), None)
            there = next((port for port, seen in sorted(tables[second].items()) if first in seen), None)
            if here is None or there is None or frozenset((first, second)) in told:
                continue
            if tables[first][here] & tables[second][there]:
                continue  # somebody is between them
            said = f"{known[first].name} on {here} and {known[second].name} on {there} see each other's MACs"
            wires.append(_Wire("fdb", {first: here, second: there}, said))


def _hang_by_tables(
    wires: list[_Wire], tables: Mapping[str, Mapping[str, set[str]]], known: Mapping[str, Device]
) -> None:
    """Of all ports behind which a device is seen, it hangs on the one with the fewest others."""
    wired = {key for one in wires for key in one.ends}
    uplinks = {(key, port) for one in wires for key, port in one.ends.items()}
    behind: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for switch, ports in tables.items():
        for port, seen in ports.items():
            if (switch, port) in uplinks:
                continue
            for device in seen:
                behind[device].append((len(seen), switch, port))
    for device in sorted(behind):
        if device in wired:
            continue
        count, switch, port = min(behind[device])
        said = f"{known[switch].name} sees its MAC on {port}"
        said += " alone" if count == 1 else f", with {count - 1} others (an unmanaged switch is between)"
        wires.append(_Wire("fdb", {device: "", switch: port}, said))


def _hang_by_arp(wires: list[_Wire], rows: Sequence[Word], known: Mapping[str, Device]) -> None:
    """In the ARP table of who forwards: behind that port, on the switch that is there if one is known."""
    wired = {key for one in wires for key in one.ends}
    at_port: dict[tuple[str, str], str] = {}
    for one in wires:
        if one.protocol in ("lldp", "cdp") and len(one.ends) == 2:
            (first, here), (second, there) = one.ends.items()
            at_port[first, here], at_port[second, there] = second, first
    for asker, port, device, _ in sorted(rows, key=lambda row: (row[2], row[0], row[1])):
        if device in wired or not known[asker].forwards:
            continue
        wired.add(device)
        between = at_port.get((asker, port), "")
        said = f"{known[asker].name} has it in its ARP table on {port}"
        if between and between != device:
            said += f", where {known[between].name} is"
            wires.append(_Wire("arp", {device: "", between: ""}, said))
        else:
            wires.append(_Wire("arp", {device: "", asker: port}, said))


def _hang_on_gateway(wires: list[_Wire], rows: Sequence[Word], known: Mapping[str, Device]) -> None:
    """A machine of which no more is known hangs on its gateway."""
    wired = {key for one in wires for key in one.ends}
    for asker, port, gateway, _ in rows:
        if asker not in wired:
            said = f"{known[gateway].name} is the gateway of {known[asker].name}"
            wires.append(_Wire("route", {asker: port, gateway: ""}, said))


def _choose_root(devices: Sequence[Device], wires: Sequence[_Wire], gateways: Sequence[str]) -> list[str]:
    """In which order devices may be roots: the gateway, who forwards, who has the most wires."""
    count: dict[str, int] = defaultdict(int)
    for one in wires:
        for key in one.ends:
            count[key] += 1
    rank = {key: place for place, key in reversed(list(enumerate(gateways)))}
    return [
        one.key
        for one in sorted(
            devices,
            key=lambda one: (rank.get(one.key, len(gateways)), not one.forwards, -count[one.key], one.key),
        )
    ]


def _grow(devices: Sequence[Device], wires: Sequence[_Wire], order: Sequence[str]) -> Topology:
    """From the roots downwards, the nearest first: a circle of wires gives no circle of parents."""
    near: dict[str, list[_Wire]] = defaultdict(list)
    for one in sorted(wires, key=lambda one: (STRONG[one.protocol], sorted(one.ends.items()))):
        for key in one.ends:
            near[key].append(one)
    placed: dict[str, None] = {}  # in the order of their placing
    tree: list[Edge] = []
    used: set[int] = set()
    roots: list[str] = []
    alone: list[str] = []

    def spread(upper: str, *, blocked: bool) -> list[str]:
        """Hang on `upper` what is next to it and hangs nowhere yet."""
        below = []
        for one in near[upper]:
            lower = next(key for key in one.ends if key != upper)
            if lower not in placed and blocked == bool(one.blocked_at):
                placed[lower] = None
                used.add(id(one))
                tree.append(_edge(one, lower, upper))
                below.append(lower)
        return below

    for root in order:
        if root in placed:
            continue
        placed[root] = None
        (roots if near[root] else alone).append(root)
        reached, layer = [root], [root]
        while layer:
            layer = [lower for upper in layer for lower in spread(upper, blocked=False)]
            reached += layer
            if not layer:  # no other way is left
                layer = [lower for upper in reached for lower in spread(upper, blocked=True)]
                reached += layer
    further = [_edge(one, *sorted(one.ends)) for one in wires if id(one) not in used]
    return Topology(tuple(tree), tuple(further), tuple(roots), tuple(alone))


def _edge(wire: _Wire, lower: str, upper: str) -> Edge:
    return Edge(
        lower,
        upper,
        wire.ends[lower],
        wire.ends[upper],
        wire.protocol,
        wire.said[:512],
        bool(wire.blocked_at),
    )
