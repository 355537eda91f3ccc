"""What whoever asks must remember of what it asks (the key that a device showed first), in one small file."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

ENTRIES_MAX = 20_000
VALUE_MAX_CHARS = 1_000

log = logging.getLogger(__name__)


class Memory:
    """Texts by name, kept in `path` (None: for as long as the process lives). The oldest give way."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[str, str] = {}
        if path is not None and path.exists():
            try:
                found = json.loads(path.read_text())
                self._kept = {str(name): str(value) for name, value in found.items()}
            except (OSError, ValueError, AttributeError) as error:
                log.warning("what was remembered in %s cannot be read: %s", path, error)

    def get(self, name: str) -> str:
        """What is remembered under a name; "" for nothing."""
        return self._kept.get(name, "")

    def put(self, name: str, value: str) -> None:
        """Remember, durably. Raises OSError, ValueError for too much."""
        if len(value) > VALUE_MAX_CHARS:
            raise ValueError(f"at most {VALUE_MAX_CHARS} characters are remembered under a name")
        if self._kept.get(name) == value:
            return
        self._kept.pop(name, None)
        self._kept[name] = value
        while len(self._kept) > ENTRIES_MAX:
            del self._kept[next(iter(self._kept))]
        self._write(self._kept)

    def _write(self, kept: Mapping[str, str]) -> None:
        if self._path is None:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
