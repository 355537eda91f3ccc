"""Who this agent is: its key and where it reports to, in one file that only its owner reads."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forestall.kernel.errors import Trouble

FILE = "identity.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled agent. `key` is the ed25519 seed in hexadecimal."""

    collector: str
    client: str
    asset: str
    url: str
    key: str

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The key that signs."""
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.key))


def read_identity(directory: Path) -> Identity:
    """The identity in a directory. Raises Trouble when there is none."""
    try:
        return Identity(**json.loads((directory / FILE).read_text()))
    except FileNotFoundError:
        raise Trouble(
            f"this machine is not enrolled (no {FILE} in {directory})",
            "Make a token in the console under Collectors, then run: forestall agent enrol URL TOKEN",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise Trouble(f"{directory / FILE} cannot be read: {error}", "Enrol this machine again.") from error


def write_identity(directory: Path, identity: Identity) -> None:
    """Keep an identity, durably, readable by its owner alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = directory / f".{FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(identity), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / FILE)
