"""Which addresses one sweep asks. Pure: declared ranges and where the last sweep ended in, a window out."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from forestall.collect.reach import Address, Network, Reach

ADDRESSES_MAX = 4_096  # of one sweep
V6_MAX = (
    256  # an IPv6 range with more addresses is not walked: the neighbour table and mDNS know who is there
)


@dataclass(frozen=True, slots=True)
class Window:
    """The addresses of one sweep; `next` is where the one after goes on, `total` how many there are in all,
    `unwalked` the ranges that are too large to be walked."""

    addresses: tuple[str, ...]
    next: int
    total: int
    unwalked: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every declared address is in it."""
        return len(self.addresses) == self.total and not self.unwalked


def choose(ranges: Sequence[Network], *, start: int, most: int = ADDRESSES_MAX) -> Window:
    """At most `most` addresses of these ranges, from the one at place `start` on, round and round."""
    walked: list[tuple[int, int, int]] = []  # first address as a number, how many, IP version
    unwalked = []
    for network in ipaddress.collapse_addresses([one for one in ranges if one.version == 4]):
        first, count = int(network.network_address), network.num_addresses
        if count > 2:
            first, count = first + 1, count - 2  # neither the network's nor the broadcast address
        walked.append((first, count, 4))
    for wide in ipaddress.collapse_addresses([one for one in ranges if one.version == 6]):
        if wide.num_addresses > V6_MAX:
            unwalked.append(str(wide))
        else:
            walked.append((int(wide.network_address), wide.num_addresses, 6))
    total = sum(count for _, count, _ in walked)
    if not total:
        return Window((), 0, 0, tuple(unwalked))
    start %= total
    wanted = min(most, total)
    found = [_at(walked, (start + step) % total) for step in range(wanted)]
    return Window(tuple(found), (start + wanted) % total if wanted < total else 0, total, tuple(unwalked))


def inside(address: str, ranges: Sequence[Network], reach: Reach) -> bool:
    """Whether an address that somebody names lies in the swept ranges and may be asked."""
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in ranges) and not reach.refusal(found)


def _at(walked: Sequence[tuple[int, int, int]], place: int) -> str:
    for first, count, version in walked:
        if place < count:
            number = first + place
            return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))
        place -= count
    raise IndexError(place)
