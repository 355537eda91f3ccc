"""Plain dumps of SQL on their way into a throw-away server: what would run commands of the machine is
refused.

psql runs commands that a dump names (`\\! …`, `\\o |…`). So only what dumps themselves write at the beginning
of a line is known here and taken out, and psql is told to refuse the rest (`\\restrict`, CVE-2025-8714).
"""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from forestall.collect.backups.background import Going
from forestall.collect.backups.dumps import Stopped, Unsound

LINE_MAX_BYTES = 1 << 30
LOOK_EVERY = 10_000
_COPY = re.compile(rb"^COPY .* FROM stdin;\s*$")
_DATABASE = re.compile(rb"^(?:CREATE|DROP|ALTER) DATABASE ")
_KNOWN = (b"\\connect ", b"\\restrict ", b"\\unrestrict ")
_ROW = re.compile(rb"([0-9a-f]{64})'?(?:\t|,\s*)'?(\d{12,14})\b")
_TABLE = b"forestall_canary"


def guarded(dump: Path, into: Path, *, going: Going) -> None:
    """The dump as psql may have it. Raises Unsound for one of several databases, or one that names commands;
    Stopped, OSError."""
    copying, connects = False, set()
    with dump.open("rb") as file, into.open("wb") as out:
        out.write(b"\\restrict " + secrets.token_hex(16).encode() + b"\n")
        number = 0
        while line := file.readline(LINE_MAX_BYTES):
            number += 1
            if number % LOOK_EVERY == 0 and not going():
                raise Stopped
            if copying:
                copying = line.rstrip() != b"\\."
            elif line.startswith(b"\\"):
                if not line.startswith(_KNOWN):
                    said = line[:80].decode("utf-8", "replace").strip()
                    raise Unsound(
                        f"line {number} of the dump is {said!r}: a command for psql that no dump has"
                    )
                if line.startswith(b"\\connect "):
                    connects.add(line.strip())
                if len(connects) > 1:
                    raise Unsound(
                        "it has more than one database (pg_dumpall): plan a dump of each to drill it"
                    )
                continue
            elif _DATABASE.match(line):
                continue
            elif _COPY.match(line):
                copying = True
            out.write(line)


@dataclass(slots=True)
class RowSought:
    """Looks for the canary row in a dump as it streams by: the newest `at_ms` and its nonce."""

    at_ms: int | None = None
    nonce: str = ""
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """The next part."""
        text = self._rest + data
        at = text.find(_TABLE)
        while at >= 0:
            for nonce, at_ms in _ROW.findall(text[at : at + 4096]):
                if self.at_ms is None or int(at_ms) > self.at_ms:
                    self.at_ms, self.nonce = int(at_ms), nonce.decode()
            at = text.find(_TABLE, at + 1)
        self._rest = text[-8192:]

    def end(self) -> None:
        """Nothing comes any more."""
        self._rest = b""
