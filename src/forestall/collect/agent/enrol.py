"""Enrolment: a single-use token is exchanged for a key of this machine's own, which never leaves it."""

import ipaddress
import platform
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forestall import __version__
from forestall.collect.agent.identity import FILE, Identity, read_identity, write_identity
from forestall.collect.agent.sending import NEW_KEY, say_failure
from forestall.collect.agent.settings import read_settings
from forestall.collect.agent.way_out import proxy_for, read_ca, say_proxy, trust
from forestall.collect.reach import is_global
from forestall.kernel.errors import Trouble

ANSWER_S = 15.0
ADDRESSES_MAX = 50
_CASES = "3 4 5 6 7 8 9 10 13 14 15 16 24 30 31 32 35 36"  # SMBIOS 3.6, 7.4.1: desktops, laptops
LAPTOPS_DESKTOPS = frozenset(_CASES.split())


def is_enrolled(directory: Path) -> bool:
    """Whether this directory has an identity."""
    return (directory / FILE).exists()


def own_addresses() -> list[str]:
    """The addresses of this machine, without the loopback's and those that mean nothing elsewhere."""
    found = {
        entry.address.split("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    useful = [text for text in found if not _is_only_here(text)]
    return sorted(useful)[:ADDRESSES_MAX]


def _is_only_here(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.is_loopback or address.is_link_local or address.is_unspecified


def guess_kind(root: Path = Path("/")) -> str:
    """`workstation` or `server`: by the system, the case that it is in, and whether it starts a desktop."""
    if platform.system() != "Linux":
        return "server" if "server" in platform.platform().lower() else "workstation"
    try:
        case = (root / "sys/class/dmi/id/chassis_type").read_text().strip()
    except OSError:
        case = ""
    desktop = any((root / "usr/share" / name).is_dir() for name in ("xsessions", "wayland-sessions"))
    return "workstation" if case in LAPTOPS_DESKTOPS and desktop else "server"


def enrol(directory: Path, *, url: str, token: str, ca: Path | None = None) -> Identity:
    """Make a key, hand its public half and the token to the server, keep who we are. `ca`: a file (PEM) with
    the authority of the server's certificate, where the machine does not know it.

    Raises Trouble with what the server said, or that it does not answer, or is not safe to talk to.
    """
    authority = read_ca(ca) if ca is not None else ""
    proxy = proxy_for(url, own=str(read_settings(directory).get("proxy", "")))
    _check_address(url, proxied=proxy is not None)
    key = Ed25519PrivateKey.generate()
    body = {
        "token": token,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "hostname": platform.node(),
        "platform": f"{platform.system()} {platform.release()}",
        "version": __version__,
        "addresses": own_addresses(),
        "kind": guess_kind(),
    }
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/agent/v1/enrol",
            json=body,
            timeout=ANSWER_S,
            trust_env=False,
            verify=trust(authority),
            proxy=proxy,
        )
        said = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        why = say_failure(error) if isinstance(error, httpx.HTTPError) and proxy else str(error)
        raise Trouble(
            f"{url} does not answer as a Forestall server{say_proxy(proxy)}: {why}",
            "Check the address; for a certificate of your own authority give --ca FILE.",
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise Trouble(str(said.get("title", answer.text)), str(said.get("detail", "Make a new token.")))
    identity = Identity(
        said["collector"],
        said["client"],
        said["asset"],
        url.rstrip("/"),
        key.private_bytes_raw().hex(),
        ca=authority,
    )
    if is_enrolled(directory) and read_identity(directory).client != identity.client:
        # what waits was seen for another client: it is never sent as this one's
        shutil.rmtree(directory / "spool", ignore_errors=True)
    (directory / NEW_KEY).unlink(missing_ok=True)
    write_identity(directory, identity)
    return identity


def _check_address(url: str, *, proxied: bool) -> None:
    """What is seen of a machine does not cross the Internet unencrypted."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Trouble(
            f"{url!r} is not the address of a server", "Write for example https://forestall.example.net."
        )
    if parts.scheme == "https":
        return
    if proxied:
        raise Trouble(f"{url} is not encrypted, and a proxy would read it", "Use its https:// address.")
    try:
        found = {str(entry[4][0]).split("%")[0] for entry in socket.getaddrinfo(parts.hostname, None)}
    except OSError as error:
        raise Trouble(f"{parts.hostname} has no address: {error}", "Check the address.") from error
    if any(is_global(ipaddress.ip_address(text)) for text in found):
        raise Trouble(
            f"{url} is on the Internet and not encrypted", "Use its https:// address, or one in your network."
        )
