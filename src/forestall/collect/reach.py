"""Which addresses may be asked from here, and the one look-up of a name before it is connected to.

A name is resolved once; each address is judged; the connection goes to the address that was judged, and
every hop of a redirect goes through here again (docs/decisions/0005-who-asks-whom.md). `refusal` is pure.
Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6052 (NAT64), RFC 3056 (6to4).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from forestall.collect.answers import NoAnswer, NotAsked

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lookup = Callable[[str], Awaitable[list[str]]]

ADDRESSES_MAX = 4  # of one name, tried in order
NAME_MAX_CHARS = 253
LOOKUP_THREADS = 32


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# Nobody may ask these, whatever was declared: they are not one machine, or they hide another address.
NEVER: tuple[tuple[str, tuple[Network, ...]], ...] = (
    ("no machine's address", _networks("0.0.0.0/8", "::/128")),
    ("a multicast address, not one machine", _networks("224.0.0.0/4", "ff00::/8")),
    ("a reserved address", _networks("240.0.0.0/4")),
    (
        "an address that hides another one (NAT64, 6to4, Teredo)",
        _networks(
            "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0:0/96", "192.88.99.0/24"
        ),
    ),
)
# These may be asked only when a declared range lies inside them: a wide range (0.0.0.0/0) is not enough.
SPECIAL: tuple[tuple[str, tuple[Network, ...]], ...] = (
    ("this machine itself", _networks("127.0.0.0/8", "::1/128")),
    ("a link-local address", _networks("169.254.0.0/16", "fe80::/10")),
)
GLOBAL_V6 = ipaddress.ip_network("2000::/3")
NOT_GLOBAL = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("2001::/23", "2001:db8::/32", "3fff::/20"),
)
_BLOCKED = (*(network for _, networks in (*NEVER, *SPECIAL) for network in networks), *NOT_GLOBAL)

# Of the monitoring-plugins project; these start no other command of the caller's choice and write nothing.
# Not here on purpose: negate, check_by_ssh, check_log, check_apt (it can upgrade), urlize, check_nrpe.
STANDARD_PLUGINS = Path("/usr/lib/nagios/plugins")
HARMLESS_PLUGINS = frozenset(
    (
        *("check_clamd", "check_dig", "check_disk", "check_dns", "check_dummy", "check_file_age"),
        *("check_fping", "check_ftp", "check_http", "check_curl", "check_icmp", "check_imap"),
        *("check_ldap", "check_ldaps", "check_load", "check_mysql", "check_nt", "check_ntp_peer"),
        *("check_ntp_time", "check_pgsql", "check_ping", "check_pop", "check_procs", "check_sensors"),
        *("check_simap", "check_smtp", "check_snmp", "check_spop", "check_ssh", "check_ssmtp"),
        *("check_swap", "check_tcp", "check_time", "check_udp", "check_ups", "check_uptime"),
        *("check_users"),
    )
)


def is_global(address: Address) -> bool:
    """Whether it is an address of the public Internet. Stricter than `ipaddress.is_global`."""
    if address.version == 6 and address not in GLOBAL_V6:
        return False
    return not any(address in network for network in _BLOCKED)


def _plain(text: str) -> Address:
    """The address that is really meant: `::ffff:10.0.0.5` is 10.0.0.5. Raises ValueError."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


_lookups = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="look-up")


async def look_up(name: str) -> list[str]:
    """The addresses of a name, by this machine's own resolver (so /etc/hosts counts), best first.

    Raises OSError, UnicodeError. In threads of its own: a name server that is down must hold up nobody else.
    """
    found = await asyncio.get_running_loop().run_in_executor(
        _lookups, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Reach:
    """What may be asked from here.

    `ranges`: the networks that the site declares; with `allow_global` also every global address.
    `plugins`: folders with Nagios plugins that may be run, each with the names allowed in it (None: all).
    """

    ranges: tuple[Network, ...] = ()
    allow_global: bool = True
    plugins: Mapping[Path, frozenset[str] | None] = field(default_factory=dict)
    lookup: Lookup = look_up

    def refusal(self, address: Address) -> str:
        """Why this address may not be asked, in words; "" when it may."""
        for what, networks in NEVER:
            if any(address in network for network in networks):
                return f"{address} is {what}: it is never asked"
        for what, networks in SPECIAL:
            for special in networks:
                if address not in special:
                    continue
                if any(address in own and _inside(own, special) for own in self.ranges):
                    return ""
                if not self.ranges:
                    return f"{address} is {what}: only a collector whose site declares it may ask it"
                return (
                    f"{address} is {what}: it is asked only when the site declares a range inside {special}"
                )
        if self.allow_global and is_global(address):
            return ""
        if any(address in own for own in self.ranges):
            return ""
        if not self.ranges:
            return f"{address} is a private address: only a collector at its site may ask it"
        declared = ", ".join(map(str, self.ranges[:3])) + (" and others" if len(self.ranges) > 3 else "")
        return f"{address} is outside the ranges of this collector's site ({declared}): add its network there"

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a name, or the address itself, that may be connected to (at most ADDRESSES_MAX).

        Raises NotAsked when none may be, NoAnswer when the name has none.
        """
        name = host.strip().removeprefix("[").removesuffix("]").rstrip(".")
        if not 0 < len(name) <= NAME_MAX_CHARS or not name.isprintable() or " " in name:
            raise NotAsked(f"{host[:80]!r} is not the name or the address of a machine")
        try:
            texts = [str(_plain(name))]
        except ValueError:
            texts = await self._addresses_of(name)
        found = [_plain(text) for text in texts]
        allowed = [address for address in found if not self.refusal(address)]
        if not allowed:
            refusal = self.refusal(found[0])
            raise NotAsked(refusal if str(found[0]) == name else f"{name} is at {found[0]}, and {refusal}")
        return [str(address) for address in allowed[:ADDRESSES_MAX]]

    async def _addresses_of(self, name: str) -> list[str]:
        try:
            texts = await self.lookup(name)
        except socket.gaierror as error:
            if error.errno in {socket.EAI_AGAIN, socket.EAI_FAIL}:
                raise NoAnswer(f"the name {name} could not be looked up: no name server answered") from error
            raise NoAnswer(f"the name {name} has no address (it does not exist, or not here)") from error
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"the name {name} could not be looked up: {error}") from error
        if not texts:
            raise NoAnswer(f"the name {name} has no address")
        return texts


def _inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def of_server() -> Reach:
    """The server's own reach: global addresses, and it runs no plugins."""
    return Reach()


def of_collector(
    ranges: Iterable[str], *, own_plugins: Path | None = None, allow_global: bool = True
) -> Reach:
    """A collector's reach: its site's ranges (CIDR). Raises ValueError that names a wrong one.

    `own_plugins` is a folder on the collector's machine, chosen there: everything in it may be run.
    """
    plugins: dict[Path, frozenset[str] | None] = {STANDARD_PLUGINS: HARMLESS_PLUGINS}
    if own_plugins is not None:
        plugins[own_plugins] = None
    networks = tuple(ipaddress.ip_network(text, strict=False) for text in ranges)
    return Reach(networks, allow_global=allow_global, plugins=plugins)


def anywhere() -> Reach:
    """For a person at this machine's own shell, who may connect to anything from there anyway."""
    special = [str(network) for _, networks in SPECIAL for network in networks]
    return of_collector(["0.0.0.0/0", "::/0", *special])
