"""Names of addresses: reverse DNS, mDNS (RFC 6762, RFC 6763), and the vendor of a MAC (IEEE, by netaddr)."""

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

THREADS = 8
REVERSE_S = 2.0
MDNS_S = 2.5
MDNS_MAX = 1_000
# What machines, printers, cameras and storage usually tell of themselves.
SERVICES = (
    "_workstation._tcp.local.", "_device-info._tcp.local.", "_smb._tcp.local.", "_ssh._tcp.local.",
    "_http._tcp.local.", "_ipp._tcp.local.", "_printer._tcp.local.", "_pdl-datastream._tcp.local.",
    "_airplay._tcp.local.", "_googlecast._tcp.local.", "_hap._tcp.local.", "_axis-video._tcp.local.",
)  # fmt: skip

_lookups = ThreadPoolExecutor(THREADS, thread_name_prefix="reverse")


async def reverse(address: str) -> str:
    """The name that DNS has for an address; "" for none in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(REVERSE_S):
            name, _, _ = await loop.run_in_executor(_lookups, socket.gethostbyaddr, address)
    except (TimeoutError, OSError, UnicodeError):
        return ""
    return "" if name == address else name[:128]


@lru_cache(maxsize=10_000)
def vendor_of(mac: str) -> str:
    """Who made what has this MAC; "" when it is not known or the MAC was made up by the device itself."""
    if not mac:
        return ""
    if int(mac[:2], 16) & 2:
        return ""
    from netaddr import EUI
    from netaddr.core import AddrFormatError, NotRegisteredError

    with contextlib.suppress(AddrFormatError, NotRegisteredError, ValueError):
        return str(EUI(mac).oui.registration()["org"])[:100]
    return ""


async def hear_mdns(interfaces: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Who tells of itself by mDNS on the wires of these own addresses: address → names, services."""
    from zeroconf import Error, ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    heard: set[tuple[str, str]] = set()

    def take(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Added and len(heard) < MDNS_MAX:
            heard.add((service_type, name))

    try:
        zeroconf = AsyncZeroconf(interfaces=interfaces)
    except (OSError, Error):
        return {}
    found: dict[str, tuple[list[str], list[str]]] = {}
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, list(SERVICES), handlers=[take])
        await asyncio.sleep(MDNS_S)
        for kind, name in sorted(heard):
            info = AsyncServiceInfo(kind, name)
            with contextlib.suppress(Error, OSError):
                if not info.load_from_cache(zeroconf.zeroconf):
                    await info.async_request(zeroconf.zeroconf, 300)
            for address in info.parsed_addresses()[:8]:
                names, services = found.setdefault(address, ([], []))
                host = (info.server or "").removesuffix(".").removesuffix(".local")[:128]
                if host and host not in names and len(names) < 4:
                    names.append(host)
                said = f"mDNS: {kind.split('.')[0].removeprefix('_')} {name.split('.')[0]}"[:120]
                if said not in services and len(services) < 6:
                    services.append(said)
        await browser.async_cancel()
    finally:
        await zeroconf.async_close()
    return found
