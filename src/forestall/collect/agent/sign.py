"""How a collector proves who it is: every request is signed with its ed25519 key.

    Authorization: Forestall collector="…", at="1764000000000", signature="base64"

over method, path, time and the SHA-256 of the body, one a line. A signature is good for five minutes; a
request that is repeated within them does no harm, because batches are numbered. Pure.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

GOOD_FOR_MS = 5 * 60_000
_HEADER = re.compile(
    r'Forestall collector="([0-9A-Z]{13})", at="(\d{10,16})", signature="([A-Za-z0-9+/=]{88})"'
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What an Authorization header claims."""

    collector: str
    at_ms: int
    signature: bytes


def sign(key: Ed25519PrivateKey, *, collector: str, method: str, path: str, body: bytes, at_ms: int) -> str:
    """The Authorization header of a request."""
    signature = base64.b64encode(key.sign(_text(method, path, at_ms, body))).decode()
    return f'Forestall collector="{collector}", at="{at_ms}", signature="{signature}"'


def read_claim(header: str) -> Claim | None:
    """The claim of an Authorization header, or None when it is not ours."""
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    return Claim(found[1], int(found[2]), base64.b64decode(found[3]))


def refusal(claim: Claim, public_key: bytes, *, method: str, path: str, body: bytes, now_ms: int) -> str:
    """Why a claim does not hold, in words; "" when it holds."""
    if abs(now_ms - claim.at_ms) > GOOD_FOR_MS:
        return "the request's time is more than 5 minutes off: set this machine's clock right"
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            claim.signature, _text(method, path, claim.at_ms, body)
        )
    except InvalidSignature:
        return "the signature does not fit the collector's key: enrol this machine again"
    return ""


def _text(method: str, path: str, at_ms: int, body: bytes) -> bytes:
    return f"{method}\n{path}\n{at_ms}\n{hashlib.sha256(body).hexdigest()}".encode()
