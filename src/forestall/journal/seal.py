"""Checkpoints: the log's size and root, signed, as a text that an outsider can keep and verify.

The text is a signed note (C2SP signed-note with ed25519, C2SP tlog-checkpoint). Pure.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
ORIGIN = "forestall/journal"
_NOTE = re.compile(
    r"(?s)(?P<text>[^\n]+\n\d+\n[A-Za-z0-9+/=]+\n)\n— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/=]+)\n"
)


@dataclass(frozen=True, slots=True)
class SignedState:
    """What a checkpoint states: the first `size` entries have this root (32 bytes)."""

    size: int
    root: bytes


class Signer:
    """Signs checkpoints with a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, state: SignedState) -> str:
        """The checkpoint as a signed note."""
        text = f"{ORIGIN}\n{state.size}\n{base64.b64encode(state.root).decode()}\n"
        signature = _key_id(self.public_key) + self._key.sign(text.encode())
        return f"{text}\n— {ORIGIN} {base64.b64encode(signature).decode()}\n"


def fingerprint(public_key: bytes) -> str:
    """A public key as people compare it: 16 groups of 4 hexadecimal digits."""
    digest = hashlib.sha256(public_key).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, len(digest), 4))


def open_checkpoint(note: str, public_key: bytes) -> SignedState:
    """What a checkpoint states, after its signature was verified.

    Raises ValueError in words when it is no checkpoint, or not signed by that key.
    """
    found = _NOTE.fullmatch(note)
    if found is None:
        raise ValueError("this is not a signed checkpoint")
    origin, size, root = found["text"].rstrip("\n").split("\n")
    if origin != ORIGIN or found["name"] != ORIGIN:
        raise ValueError(f"the checkpoint is of {origin!r}, not of {ORIGIN!r}")
    try:
        signature = base64.b64decode(found["signature"], validate=True)
        root_bytes = base64.b64decode(root, validate=True)
    except ValueError as error:
        raise ValueError(f"the checkpoint is damaged: {error}") from error
    if (
        base64.b64encode(signature).decode() != found["signature"]
        or base64.b64encode(root_bytes).decode() != root
    ):
        raise ValueError("the checkpoint is damaged: its base64 is not canonical")
    if signature[:4] != _key_id(public_key):
        raise ValueError("the checkpoint was signed with another key")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature[4:], found["text"].encode())
    except InvalidSignature:
        raise ValueError("the checkpoint's signature does not fit its text") from None
    if len(root_bytes) != hashlib.sha256().digest_size:
        raise ValueError("the checkpoint's root is not a SHA-256 hash")
    return SignedState(int(size), root_bytes)


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(ORIGIN.encode() + b"\n" + ED25519 + public_key).digest()[:4]
