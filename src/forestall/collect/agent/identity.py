"""Who this agent is: its key and where it reports to, in one file that only its owner reads."""

import json
import os
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forestall.collect.platforms.windows import close_directory
from forestall.collect.viewing import NotHere, run_bytes
from forestall.kernel.durable import make_directory, sync_directory
from forestall.kernel.errors import Trouble
from forestall.kernel.locking import lock_file

FILE = "identity.json"
MASKING_FILE = "masking.key"
LOCK_FILE = "agent.lock"
MASKING_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled agent. `key` is the ed25519 seed in hexadecimal, used since `key_since_s` (1970);
    `ca` are further authorities (PEM) that may vouch for the server."""

    collector: str
    client: str
    asset: str
    url: str
    key: str = field(repr=False)
    key_since_s: float = field(default_factory=time.time)
    ca: str = field(default="", repr=False)

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The key that signs."""
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.key))

    @property
    def public_key(self) -> str:
        """Its public half, in hexadecimal."""
        return self.private_key.public_key().public_bytes_raw().hex()


def new_key(identity: Identity, *, now_s: float) -> Identity:
    """The same agent with a fresh key."""
    return replace(identity, key=Ed25519PrivateKey.generate().private_bytes_raw().hex(), key_since_s=now_s)


def read_identity(directory: Path, *, name: str = FILE) -> Identity:
    """The identity in a directory. Raises Trouble when there is none."""
    try:
        return Identity(**json.loads((directory / name).read_text()))
    except FileNotFoundError:
        raise Trouble(
            f"this machine is not enrolled (no {name} in {directory})",
            "Make a token in the console under Collectors, then run: forestall agent enrol URL TOKEN",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise Trouble(f"{directory / name} cannot be read: {error}", "Enrol this machine again.") from error


def write_identity(directory: Path, identity: Identity, *, name: str = FILE) -> None:
    """Keep an identity, durably, readable by its owner alone."""
    make_directory(directory)
    if sys.platform == "win32" and not (directory / name).exists():
        _close_on_windows(directory)
    _write(directory / name, json.dumps(asdict(identity)).encode())


def _close_on_windows(directory: Path) -> None:
    """Where modes mean nothing. Raises Trouble: a key that others can read is none."""
    try:
        run_bytes(close_directory(str(directory.absolute())))
    except (NotHere, OSError, ValueError) as error:
        raise Trouble(
            f"{directory} cannot be closed to others: {error}", "Choose one of your own with --data DIR."
        ) from error


def masking_key(directory: Path) -> bytes:
    """The key of the marks that stand for secrets; made on first use, and never renewed: else every secret
    would look changed."""
    path = directory / MASKING_FILE
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) != MASKING_BYTES:
        found = secrets.token_bytes(MASKING_BYTES)
        _write(path, found)
    return found


def lock_directory(directory: Path) -> IO[str]:
    """Hold the directory for this process. Raises Trouble when another agent runs in it."""
    try:
        return lock_file(directory / LOCK_FILE)
    except BlockingIOError as error:
        raise Trouble(
            f"another agent runs in {directory}", "Stop it first: one agent looks at a machine."
        ) from error


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
