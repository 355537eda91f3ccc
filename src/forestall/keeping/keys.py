"""An installation's keys in a backup, sealed for a recovery key that lies nowhere on the server.

Sealed by HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM). The server knows the public half alone, so a
backup that is made every night needs nobody's password, and whoever steals it opens no client's secret.
See docs/decisions/0008-backup.md.
"""

import base64
import binascii
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from forestall.kernel.errors import Trouble

PUBLIC = "recovery.public"  # in the data directory
PREFIX = "forestall-recovery-"
INFO = b"forestall backup keys 1"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def make_recovery_key(root: Path) -> str:
    """A new recovery key, as a text that its owner keeps; its public half goes into the data directory."""
    private = X25519PrivateKey.generate()
    place = root / PUBLIC
    fresh = place.with_name(f".{PUBLIC}.new")
    fresh.write_text(base64.b32encode(private.public_key().public_bytes_raw()).decode() + "\n")
    fresh.replace(place)
    return PREFIX + base64.b32encode(private.private_bytes_raw()).decode().rstrip("=").lower()


def read_public(root: Path) -> bytes | None:
    """The public half (32 bytes); None when no recovery key was made."""
    try:
        return base64.b32decode((root / PUBLIC).read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, binascii.Error) as error:
        raise Trouble(
            f"{root / PUBLIC} cannot be read: {error}", "Make a new one: forestall recovery-key."
        ) from error


def read_private(text: str) -> bytes:
    """The private half of what the owner kept. Raises Trouble for another text."""
    body = text.strip().lower().removeprefix(PREFIX).upper()
    try:
        raw = base64.b32decode(body + "=" * (-len(body) % 8))
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise Trouble("this is no recovery key", f"It begins with {PREFIX} and has 52 letters after it.")
    return raw


def seal_keys(secret: dict[str, bytes], public: bytes) -> bytes:
    """The keys by name, readable by the holder of the recovery key alone."""
    return _SUITE.encrypt(
        msgspec.msgpack.encode(secret), X25519PublicKey.from_public_bytes(public), info=INFO
    )


def open_keys(sealed: bytes, private: bytes) -> dict[str, bytes]:
    """The keys. Raises Trouble when they were sealed for another recovery key."""
    try:
        plain = _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), info=INFO)
        return msgspec.msgpack.decode(plain, type=dict[str, bytes])
    except (InvalidTag, ValueError, msgspec.MsgspecError) as error:
        raise Trouble(
            "the keys in this backup do not open with this recovery key",
            "Use the recovery key that was in force when the backup was made.",
        ) from error
