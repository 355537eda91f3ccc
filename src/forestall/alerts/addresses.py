"""Which addresses the server itself may be made to talk to: global ones only, resolved once. No framework."""

import ipaddress
import socket

# ipaddress.is_global of Python 3.11 allows these, although they lead into private networks
# (RFC 6052 NAT64, RFC 3056 6to4, RFC 4380 Teredo).
_LEADING_ELSEWHERE = tuple(
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


class AddressRefused(ValueError):
    """The address is not one that the server may talk to; the text says why and what to do."""


def is_open(address: str) -> bool:
    """Whether an IP address is global: on the Internet, not in a private network, not multicast."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_multicast or not parsed.is_global:
        return False
    return not any(parsed in network for network in _LEADING_ELSEWHERE if network.version == parsed.version)


def resolve(host: str, port: int, *, allow_private: bool = False) -> list[str]:
    """The IP addresses of a host, every one of them allowed: connect to these, and resolve no second time.

    Raises AddressRefused, OSError when there is none.
    """
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    found = [str(answer[4][0]) for answer in answers]
    for address in found:
        if not allow_private and not is_open(address):
            raise AddressRefused(
                f"{host} leads to {address}, which is not on the Internet; allow private addresses for this"
                " channel if that is meant"
            )
    return list(dict.fromkeys(found))
