"""What hangs on what: recorded words of devices, and what must hold whatever they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.kernel.observations import Link
from forestall.networks.layout import lay_out
from forestall.networks.matching import Known, match
from forestall.networks.parents import choose_parents
from forestall.networks.topology import Device, Edge, find_topology


def device(number: int, name: str = "", *, forwards: bool = False) -> Device:
    mac, address = f"00:00:00:00:00:{number:02x}", f"10.0.0.{number}"
    return Device(
        f"d{number:02}", name or f"n{number}", frozenset({address}), frozenset({mac}), frozenset({name}),
        forwards,
    )  # fmt: skip


def fdb(switch: int, port: str, seen: int) -> Link:
    return Link("fdb", f"10.0.0.{switch}", port, mac=f"00:00:00:00:00:{seen:02x}")


SITE = [
    device(1, "router", forwards=True),
    device(2, "core"),
    device(3, "floor"),
    device(4),
    device(5),
    device(6),
]
WORDS = [
    Link("route", "10.0.0.4", "eth0", address="10.0.0.1"),
    Link("lldp", "10.0.0.2", "g1", name="router", remote_port="lan"),
    Link("lldp", "10.0.0.1", "lan", name="core", remote_port="g1"),
    fdb(2, "g2", 3), fdb(2, "g2", 5), fdb(2, "g2", 6), fdb(2, "g3", 4), fdb(2, "g1", 1),
    fdb(3, "e1", 2), fdb(3, "e1", 1), fdb(3, "e1", 4), fdb(3, "e5", 5), fdb(3, "e5", 6),
    Link("arp", "10.0.0.1", "lan", mac="00:00:00:00:00:04", address="10.0.0.4"),
]  # fmt: skip


def test_a_router_two_switches_and_what_hangs_there():
    found = find_topology(SITE, WORDS)
    parents = {lower: edge.upper for lower, edge in found.parents.items()}
    assert parents == {"d02": "d01", "d03": "d02", "d04": "d02", "d05": "d03", "d06": "d03"}
    assert found.roots == ("d01",) and not found.further
    assert found.parents["d02"].protocol == "lldp" and found.parents["d03"].protocol == "fdb"
    assert found.parents["d04"].reason == "core sees its MAC on g3 alone"
    assert "an unmanaged switch is between" in found.parents["d05"].reason


def test_lldp_wins_over_the_forwarding_table():
    words = [*WORDS, Link("lldp", "10.0.0.3", "e9", name="n5", mac="00:00:00:00:00:05", remote_port="eth0")]
    found = find_topology(SITE, words)
    assert found.parents["d05"].protocol == "lldp" and found.parents["d05"].upper_port == "e9"


def test_an_arp_table_places_behind_the_switch_at_that_port():
    found = find_topology(
        [device(1, "router", forwards=True), device(2, "core"), device(4)], [WORDS[1], WORDS[2], WORDS[-1]]
    )
    assert found.parents["d04"].upper == "d02"
    assert found.parents["d04"].reason == "router has it in its ARP table on lan, where core is"


def test_a_ring_of_switches_gives_a_tree_and_one_further_wire():
    ring = [device(1, "a", forwards=True), device(2, "b"), device(3, "c")]
    words = [
        Link("lldp", f"10.0.0.{one}", f"p{two}", mac=f"00:00:00:00:00:{two:02x}", remote_port=f"p{one}")
        for one, two in ((1, 2), (2, 3), (3, 1))
    ]
    found = find_topology(ring, words)
    assert len(found.tree) == 2 and len(found.further) == 1


def lldp(here: int, port: str, there: int, remote: str, *, bundle: str = "", blocked: bool = False) -> Link:
    mac = f"00:00:00:00:00:{there:02x}"
    return Link(
        "lldp", f"10.0.0.{here}", port, mac=mac, remote_port=remote, bundle=bundle, blocked=blocked
    )  # fmt: skip


@pytest.mark.parametrize("far", ["Po7", ""], ids=["both tell the bundle", "one tells it"])
@pytest.mark.parametrize("turned", [False, True])
def test_bundled_ports_are_one_wire_and_nothing_hangs_behind_it(far, turned):
    words = [
        lldp(2, "g1", 3, "e1", bundle="Po1"), lldp(2, "g2", 3, "e2", bundle="Po1"), lldp(2, "g9", 3, "e9"),
        lldp(3, "e1", 2, "g1", bundle=far), lldp(3, "e2", 2, "g2", bundle=far), lldp(3, "e9", 2, "g9"),
        fdb(2, "Po1", 5), fdb(3, "e5", 5), fdb(3, "e5", 6), fdb(2, "Po1", 6),
        Link("route", "10.0.0.3", "e1", address="10.0.0.2"),
    ]  # fmt: skip
    found = find_topology(SITE, words[::-1] if turned else words)
    wires = [edge for edge in (*found.tree, *found.further) if {edge.lower, edge.upper} == {"d02", "d03"}]
    assert len(wires) == 2 and len(found.further) == 1
    [bundle] = [edge for edge in wires if "core's Po1 is g1 and g2" in edge.reason]
    assert "Po1" in (bundle.upper_port, bundle.lower_port)
    assert found.parents["d05"].upper == found.parents["d06"].upper == "d03"


def test_a_wire_that_spanning_tree_blocks_is_no_way_while_there_is_another():
    ring = [device(1, "a", forwards=True), device(2, "b"), device(3, "c"), device(4, "d")]
    words = [
        lldp(1, "p2", 2, "p1"), lldp(2, "p3", 3, "p2"), lldp(3, "p1", 1, "p3", blocked=True),
        lldp(1, "p4", 4, "p1", blocked=True),
    ]  # fmt: skip
    found = find_topology(ring, words)
    parents = {lower: edge.upper for lower, edge in found.parents.items()}
    assert parents == {"d02": "d01", "d03": "d02", "d04": "d01"} and found.roots == ("d01",)
    [left] = found.further
    assert left.blocked and "spanning tree blocks it: c on p1" in left.reason
    assert found.parents["d04"].blocked  # there is no other


numbers = st.integers(1, 12)
links = st.builds(
    lambda protocol, local, port, remote, there, bundle, blocked: Link(
        protocol, f"10.0.0.{local}", f"p{port}", mac=f"00:00:00:00:00:{remote:02x}",
        address=f"10.0.0.{remote}", remote_port=there, bundle=bundle, blocked=blocked,
    ),
    st.sampled_from(["lldp", "cdp", "fdb", "arp", "route"]), numbers, st.integers(0, 4), numbers,
    st.sampled_from(["", "p1", "p2"]), st.sampled_from(["", "", "b1", "p1"]), st.booleans(),
)  # fmt: skip


@given(st.lists(links, max_size=60), st.sets(numbers))
def test_whatever_is_said_there_are_no_circles_and_nobody_is_lost(words, forwarding):
    devices = [device(number, forwards=number in forwarding) for number in range(1, 11)]
    found = find_topology(devices, words)
    keys = {one.key for one in devices}
    hanging = [edge.lower for edge in found.tree]
    assert len(hanging) == len(set(hanging))
    assert {*hanging, *found.roots, *found.alone} == keys
    assert len(hanging) + len(found.roots) + len(found.alone) == len(keys)
    for key in keys:
        for _ in range(len(keys)):
            edge = found.parents.get(key)
            key = edge.upper if edge else ""
        assert key == ""
    assert find_topology(devices[::-1], words) == found
    spots = lay_out(sorted(keys), {lower: edge.upper for lower, edge in found.parents.items()}).spots
    assert {spot.key for spot in spots} == keys and len({(spot.x, spot.y) for spot in spots}) == len(keys)


def test_a_site_of_sixty_is_seen_at_once():
    keys = ["router", "switch", *(f"pc-{number:02}" for number in range(60)), "far", "alone"]
    parents = dict.fromkeys(keys[2:62], "switch") | {"switch": "router", "far": "router"}
    layout = lay_out(keys, parents)
    spots = {spot.key: spot for spot in layout.spots}
    assert set(spots) == set(keys) and layout.height < 900 and layout.width < 1200
    boxes = [(spot.x, spot.y) for spot in layout.spots]
    assert len(set(boxes)) == len(keys)
    for x, y in boxes:  # none covers another
        assert not any(abs(x - other) < 184 and 0 < abs(y - below) < 26 for other, below in boxes)
    leaf = spots["pc-25"]
    assert leaf.x > spots["pc-00"].x > spots["switch"].x and leaf.bus_y == spots["pc-00"].bus_y > 0
    assert spots["far"].bus_y == 0 and spots["alone"].layer == 0


assets = st.sampled_from(["a", "b", "c", "d", "e"])


@given(
    st.dictionaries(assets, assets), st.dictionaries(assets, st.none() | assets, min_size=5),
    st.dictionaries(assets, st.none() | assets),
)  # fmt: skip
def test_parents_that_are_set_never_close_a_circle_and_leave_a_persons_choice(told, now, applied):
    edges = {low: Edge(low, up, "", "", "fdb", "said") for low, up in told.items() if low != up}
    choices = choose_parents(edges, {one: one for one in "abcde"}, now, applied)
    after = dict(now)
    for choice in choices:
        if choice.apply:
            assert now[choice.asset] in (None, applied.get(choice.asset))
            after[choice.asset] = choice.parent
            here, steps = choice.asset, 0
            while here is not None and steps <= 6:
                here, steps = after.get(here), steps + 1
            assert here is None, "a circle was closed"


def test_a_sighting_is_recognised_by_mac_then_address_then_name_and_says_why():
    known = [
        Known("x", "fw-1", True, frozenset({"10.0.0.1"}), frozenset({"aa"})),
        Known("y", "far", False, frozenset({"10.0.0.2"})),
    ]
    assert match("10.0.0.9", known, macs=["aa"]).reason == "the same MAC as fw-1 (aa)"
    assert match("10.0.0.1", known).asset == "x"
    assert match("10.0.0.3", known, names=["FW-1.example.org"]).asset == "x"
    assert match("10.0.0.2", known, names=["far"]) is None, "another site numbers its network the same"
