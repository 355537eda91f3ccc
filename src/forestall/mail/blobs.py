"""Files named by the SHA-256 of their bytes: raw messages and attachments. The same bytes are kept once."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from forestall.kernel.durable import make_directory, sync_directory, write_durably

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Below `root`, in a directory for each first byte. Usable from any thread and process."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, data: bytes) -> str:
        """Their digest, when they are durable. Raises OSError."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if not path.exists():
            make_directory(path.parent)
            fresh = path.with_name(f".{digest[:16]}.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                write_durably(fresh, data)
                fresh.replace(path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            sync_directory(path.parent)
        return digest

    def read(self, digest: str) -> bytes:
        """The bytes. Raises FileNotFoundError when they are gone, OSError."""
        return self.path(digest).read_bytes()

    def forget(self, digest: str) -> None:
        """Remove the file; nothing when it is gone."""
        self.path(digest).unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Where the bytes are. Raises ValueError for what is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError("not a SHA-256 digest")
        return self._root / digest[:2] / digest
