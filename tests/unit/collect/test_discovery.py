"""Discovery without a network: which addresses, what tables mean, what is cut."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.discovery import tables
from forestall.collect.discovery.gathering import Seen, bounded, join_devices
from forestall.collect.discovery.naming import vendor_of
from forestall.collect.discovery.plan import choose, inside
from forestall.collect.discovery.tables import understand
from forestall.collect.reach import of_collector
from forestall.kernel.observations import Link


def nets(*texts):
    return [ipaddress.ip_network(text) for text in texts]


def test_a_large_site_is_swept_in_parts_until_every_address_was_asked_once():
    ranges = nets("10.0.0.0/24", "10.0.1.0/28", "fd00::/124")
    start, seen = 0, []
    for _ in range(10):
        window = choose(ranges, start=start, most=50)
        seen += window.addresses
        start = window.next
        if len(seen) >= window.total:
            break
    assert window.total == 254 + 14 + 16 and len(set(seen[: window.total])) == window.total
    assert choose(nets("fd00::/64"), start=0).unwalked == ("fd00::/64",)


@given(st.integers(0, 10**6), st.integers(1, 300))
def test_a_window_never_leaves_the_ranges(start, most):
    ranges = nets("10.0.0.0/29", "192.168.7.0/27")
    window = choose(ranges, start=start, most=most)
    reach = of_collector([str(one) for one in ranges])
    assert all(inside(address, ranges, reach) for address in window.addresses)
    assert len(window.addresses) == len(set(window.addresses)) <= most


def test_tables_of_a_switch_become_links_and_odd_rows_are_counted():
    columns = {
        tables.IF_NAME: {"1": b"g1", "2": b"g2"},
        tables.IF_MAC: {"1": b"\x00\x1b\x54\x00\x00\x01"},
        tables.FDB: {"0.27.84.0.0.9": 2, "1.2.3": 2, "999.0.0.0.0.0": 1},
        tables.FDB_STATUS: {"0.27.84.0.0.9": 3},
        tables.BRIDGE_PORT: {"2": 2},
        tables.ARP: {"1.10.0.0.7": b"\x00\x1b\x54\x00\x00\x07", "1.10.0.0.8": b"", "1.x": b"\x00" * 6},
        tables.REMOTE_CHASSIS: {"0.1.1": b"\x00\x1b\x54\x00\x00\x08", "odd": b"x"},
        tables.REMOTE_CHASSIS_KIND: {"0.1.1": 4},
        tables.REMOTE_NAME: {"0.1.1": b"core\x00\x1b[31m"},
        tables.REMOTE_ID: {"0.1.1": b"Gi0/1"},
        tables.CDP_NAME: {"2.1": b"phone"},
        tables.CDP_ADDRESS: {"2.1": b"\x0a\x00\x00\x05"},
    }
    told = understand("10.0.0.2", {tables.NAME: b"sw", tables.FORWARDING: 2}, columns)
    assert Link("fdb", "10.0.0.2", "g2", mac="00:1b:54:00:00:09") in told.links
    assert Link("arp", "10.0.0.2", "g1", mac="00:1b:54:00:00:07", address="10.0.0.7") in told.links
    [lldp] = [link for link in told.links if link.protocol == "lldp"]
    assert (lldp.port, lldp.mac, lldp.remote_port) == ("g1", "00:1b:54:00:00:08", "Gi0/1")
    assert lldp.name.startswith("core") and "\x1b" not in lldp.name
    assert [link.address for link in told.links if link.protocol == "cdp"] == ["10.0.0.5"]
    assert told.cut == 4 and told.name == "sw" and not told.forwards


def test_bundled_and_blocked_ports_are_told():
    columns = {
        tables.IF_NAME: {"1": b"g1", "2": b"g2", "3": b"g3", "50": b"Po1"},
        tables.ATTACHED_TO: {"1": 50, "2": 50, "3": 0, "50": 50},
        tables.BRIDGE_PORT: {"3": 3, "64": 50},
        tables.TREE_STATE: {"3": 5, "64": 2},
        tables.REMOTE_CHASSIS: {f"0.{one}.1": b"\x00\x1b\x54\x00\x00\x08" for one in (1, 2, 3)},
        tables.FDB: {"0.27.84.0.0.9": 64},
    }
    told = understand("10.0.0.2", {}, columns)
    said = {(one.protocol, one.port): (one.bundle, one.blocked) for one in told.links}
    assert said == {
        ("lldp", "g1"): ("Po1", True), ("lldp", "g2"): ("Po1", True), ("lldp", "g3"): ("", False),
        ("fdb", "Po1"): ("", False),
    }  # fmt: skip


@given(
    st.dictionaries(st.text("0123456789.", max_size=30), st.binary(max_size=8) | st.integers(), max_size=8)
)
def test_whatever_a_device_says_it_is_understood_or_counted(rows):
    told = understand("10.0.0.2", {}, dict.fromkeys(tables.COLUMNS, rows))
    assert all(len(link.port) <= 128 for link in told.links)


def test_addresses_of_one_device_become_one_sighting():
    router = Seen("10.0.0.1", addresses=["10.0.0.1", "10.0.1.1"], description="router")
    joined = join_devices([Seen("10.0.1.1", mac="aa", by=["ping"]), router, Seen("10.0.0.9")])
    assert [one.address for one in joined] == ["10.0.0.1", "10.0.0.9"] and joined[0].mac == "aa"


def test_what_is_too_much_is_left_out_and_counted_lldp_last():
    words = [Link("arp", "10.0.0.1", "p", address="10.0.0.2")] * 20_001 + [Link("lldp", "10.0.0.1", "p")]
    seen = [Seen(f"10.0.{one // 250}.{one % 250}").sighting(0) for one in range(6_000)]
    kept, links, left = bounded(seen, words)
    assert len(kept) == 5_000 and links[0].protocol == "lldp" and left == {"sightings": 1_000, "links": 2}


def test_a_mac_names_its_maker_unless_it_was_made_up():
    assert "Cisco" in vendor_of("00:1b:54:11:22:33") and vendor_of("02:00:00:00:00:01") == ""
