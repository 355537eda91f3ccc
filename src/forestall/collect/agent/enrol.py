"""Enrolment: a single-use token is exchanged for a key of this machine's own, which never leaves it."""

import platform
import socket
from pathlib import Path

import httpx
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forestall import __version__
from forestall.collect.agent.identity import FILE, Identity, write_identity
from forestall.kernel.errors import Trouble

ANSWER_S = 15.0
ADDRESSES_MAX = 50


def is_enrolled(directory: Path) -> bool:
    """Whether this directory has an identity."""
    return (directory / FILE).exists()


def own_addresses() -> list[str]:
    """The addresses of this machine, without the loopback's."""
    found = {
        entry.address.split("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    return sorted(address for address in found if not address.startswith("127.") and address != "::1")[
        :ADDRESSES_MAX
    ]


def enrol(directory: Path, *, url: str, token: str) -> Identity:
    """Make a key, hand its public half and the token to the server, keep who we are.

    Raises Trouble with what the server said, or that it does not answer.
    """
    key = Ed25519PrivateKey.generate()
    body = {
        "token": token,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "hostname": platform.node(),
        "platform": f"{platform.system()} {platform.release()}",
        "version": __version__,
        "addresses": own_addresses(),
    }
    try:
        answer = httpx.post(f"{url.rstrip('/')}/agent/v1/enrol", json=body, timeout=ANSWER_S, trust_env=False)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Trouble(
            f"{url} does not answer as a Forestall server: {error}", "Check the address."
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise Trouble(str(said.get("title", answer.text)), str(said.get("detail", "Make a new token.")))
    identity = Identity(
        said["collector"], said["client"], said["asset"], url.rstrip("/"), key.private_bytes_raw().hex()
    )
    write_identity(directory, identity)
    return identity
