"""Which addresses may be asked: for every address, whatever was declared."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.answers import NoAnswer, NotAsked
from forestall.collect.reach import NEVER, SPECIAL, Reach, anywhere, is_global, of_collector, of_server

addresses = st.ip_addresses()
v4 = st.ip_addresses(v=4)


@pytest.mark.parametrize(
    "text",
    [
        *("10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"),
        *("224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "fec0::1"),
        *("64:ff9b::a00:5", "64:ff9b:1::1", "2002:a00:5::1", "::10.0.0.5", "::ffff:0:10.0.0.5", "100::1"),
    ],
)
def test_the_server_never_asks(text: str) -> None:
    assert of_server().refusal(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"])
def test_the_server_asks_global_addresses(text: str) -> None:
    assert of_server().refusal(ipaddress.ip_address(text)) == ""


@given(addresses)
def test_what_the_server_asks_is_global_for_python_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not of_server().refusal(address):
        assert address.is_global and not address.is_multicast and not address.is_private
        assert is_global(address)


@given(st.sampled_from([network for _, networks in NEVER for network in networks]), st.data())
def test_some_are_never_asked_whatever_was_declared(
    network: ipaddress.IPv4Network, data: st.DataObject
) -> None:
    number = data.draw(st.integers(int(network.network_address), int(network.broadcast_address)))
    address = ipaddress.ip_address(number) if network.version == 4 else ipaddress.IPv6Address(number)
    assert "never asked" in anywhere().refusal(address)
    assert "never asked" in of_collector([str(network)]).refusal(address)


@given(st.sampled_from([network for _, networks in SPECIAL for network in networks]), st.data())
def test_wide_ranges_do_not_open_this_machine(network: ipaddress.IPv4Network, data: st.DataObject) -> None:
    number = data.draw(st.integers(int(network.network_address), int(network.broadcast_address)))
    address = ipaddress.ip_address(number) if network.version == 4 else ipaddress.IPv6Address(number)
    assert of_collector(["0.0.0.0/0", "::/0"]).refusal(address)
    assert of_collector([str(network)]).refusal(address) == ""


@given(v4, st.integers(8, 32), v4)
def test_a_collector_asks_its_ranges_and_no_other_private_address(
    inside: ipaddress.IPv4Address, prefix: int, other: ipaddress.IPv4Address
) -> None:
    network = ipaddress.ip_network((inside, prefix), strict=False)
    reach = of_collector([str(network)], allow_global=False)
    if not reach.refusal(other):
        assert other in network


def test_refusals_say_what_to_do() -> None:
    address = ipaddress.ip_address("10.0.0.5")
    assert of_server().refusal(address) == (
        "10.0.0.5 is a private address: only a collector at its site may ask it"
    )
    assert of_collector(["10.9.0.0/24"]).refusal(address) == (
        "10.0.0.5 is outside the ranges of this collector's site (10.9.0.0/24): add its network there"
    )
    with pytest.raises(ValueError, match=r"10\.0\.0\.300"):
        of_collector(["10.0.0.300/24"])


async def test_a_mapped_address_is_judged_as_what_it_is() -> None:
    with pytest.raises(NotAsked, match=r"10\.0\.0\.5 is a private address"):
        await of_server().resolve("::ffff:10.0.0.5")
    assert await of_server().resolve("[::ffff:1.1.1.1]") == ["1.1.1.1"]


async def test_a_name_is_looked_up_once_and_each_address_is_judged() -> None:
    asked: list[str] = []

    async def lookup(name: str) -> list[str]:
        asked.append(name)
        return ["10.0.0.5", "64:ff9b::a00:5", "1.1.1.1", "127.0.0.1"]

    assert await Reach(lookup=lookup).resolve("shop.example.com") == ["1.1.1.1"]
    assert asked == ["shop.example.com"]


async def test_a_name_of_a_private_address_is_refused() -> None:
    async def lookup(name: str) -> list[str]:
        return ["127.0.0.1"]

    with pytest.raises(NotAsked, match=r"evil\.example is at 127\.0\.0\.1, and 127\.0\.0\.1 is this machine"):
        await Reach(lookup=lookup).resolve("evil.example")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "has no address"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "no name server answered"),
        (UnicodeError("label too long"), "could not be looked up: label too long"),
    ],
)
async def test_a_name_that_has_no_address(error: Exception, words: str) -> None:
    async def lookup(name: str) -> list[str]:
        raise error

    with pytest.raises(NoAnswer, match=words):
        await Reach(lookup=lookup).resolve("shop.example.com")


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "x" * 300])
async def test_what_is_no_name(name: str) -> None:
    with pytest.raises(NotAsked):
        await anywhere().resolve(name)
