"""The agent's way out of its network: which certificates it trusts, and through which proxy it goes."""

import ssl
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

import certifi
import httpx

from forestall.kernel.errors import Trouble

CA_MAX_BYTES = 1 << 20


@cache
def trust(ca: str = "") -> ssl.SSLContext:
    """What this machine trusts, the well-known authorities, and `ca` (PEM) besides. Raises Trouble when it is
    no certificate."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError) as error:
            raise Trouble(
                f"the certificate authority is no PEM certificate: {error}", "Give --ca another file."
            ) from error
    return context


def read_ca(path: Path) -> str:
    """The text of a file of certificates. Raises Trouble when it cannot be used."""
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(CA_MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{path} cannot be read as PEM: {error}", "Give --ca another file.") from error
    trust(text)
    return text


def proxy_for(url: str, *, own: str = "") -> httpx.Proxy | None:
    """The proxy for a server: the agent's own setting, else HTTPS_PROXY (HTTP_PROXY for http), but for what
    NO_PROXY leaves out. Its name and password are part of its address. Raises Trouble for a wrong one."""
    parts = urlsplit(url)
    address = own
    if not address:
        found = getproxies_environment()
        if _is_left_out(parts.hostname or "", found.get("no", "")):
            return None
        address = found.get(parts.scheme, "") or found.get("all", "")
    if not address:
        return None
    if "://" not in address:
        address = f"http://{address}"
    try:
        given = urlsplit(address)
        port = given.port
    except ValueError:
        given, port = urlsplit(""), None
    if given.scheme not in {"http", "https"} or not given.hostname:
        raise Trouble(
            "the proxy's address is wrong (it is not shown here: it may hold a password)",
            "Write HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT, or `proxy = …` in agent.toml.",
        )
    host = f"[{given.hostname}]" if ":" in given.hostname else given.hostname
    bare = f"{given.scheme}://{host}:{port or (443 if given.scheme == 'https' else 80)}"
    if given.username is None:
        return httpx.Proxy(bare)
    return httpx.Proxy(bare, auth=(unquote(given.username), unquote(given.password or "")))


def _is_left_out(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY (names and ends of names, separated by commas, or *) names a host."""
    ends = [one.strip().lower().lstrip(".") for one in no_proxy.split(",") if one.strip()]
    return any(end == "*" or host.lower() == end or host.lower().endswith(f".{end}") for end in ends)


def say_proxy(proxy: httpx.Proxy | None) -> str:
    """` through the proxy HOST:PORT`, without its password; "" without one."""
    return f" through the proxy {proxy.url.host}:{proxy.url.port or 80}" if proxy is not None else ""
