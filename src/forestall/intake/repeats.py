"""What was pushed before, so that a body that is sent again after a lost answer is taken once.

A sender that had no answer sends the same bytes again; one that says the same because it happened twice sends
other times. So a body is a copy when it equals, byte for byte, one that this token pushed to the same place,
and every record in it says its own time (lines: not all in whole seconds), or when both came with the same
`Idempotency-Key`. Everything else is stored as it comes: rather twice than never.

The digest of a body stands in each of its frames, so that a process that was killed knows at its start what
its queue ends with. Used from one event loop.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from forestall.intake.envelope import decode_envelope
from forestall.intake.pushed import Pushed
from forestall.intake.queue import QueueReader, near_the_end

KEY_BYTES = 16
KEPT_MAX = 65_536  # bodies
SENT_KEY_MAX_CHARS = 255
LAST_MAX_BYTES = 32 << 20
LAST_READ_BYTES = 4 << 20
GZIP = b"\x1f\x8b"
GZIP_TIME = slice(4, 8)  # RFC 1952: when it was packed, which differs when the same is packed again


class Repeats:
    """Which parts of which bodies are durable; the last KEPT_MAX bodies. `before`: of an earlier process."""

    def __init__(self, before: Mapping[bytes, frozenset[int]] | None = None) -> None:
        self._durable: dict[bytes, frozenset[int]] = dict(before or {})
        self._busy: dict[bytes, asyncio.Event] = {}

    def missing(self, key: bytes, parts: int) -> list[int]:
        """The parts of a body that are not durable; all of one without a key."""
        have = self._durable.get(key, frozenset()) if key else frozenset()
        return [part for part in range(parts) if part not in have]

    def note(self, key: bytes, part: int) -> None:
        """This part is durable."""
        if not key:
            return
        have = self._durable.pop(key, frozenset())
        if len(self._durable) >= KEPT_MAX:
            del self._durable[next(iter(self._durable))]
        self._durable[key] = have | {part}

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[None]:
        """One at a time with the same key: a copy waits for what becomes of the first."""
        while key and key in self._busy:
            await self._busy[key].wait()
        if key:
            self._busy[key] = asyncio.Event()
        try:
            yield
        finally:
            if key:
                self._busy.pop(key).set()


def key_of(body: bytes, *said: str) -> bytes:
    """The digest of a body and of what was said with it (token, place, key of the sender)."""
    digest = hashlib.sha256("\0".join((*said, "")).encode(errors="surrogatepass"))
    if body[:2] == GZIP:
        digest.update(body[: GZIP_TIME.start])
        digest.update(memoryview(body)[GZIP_TIME.stop :])
    else:
        digest.update(body)
    return digest.digest()[:KEY_BYTES]


def says_when(pushed: Pushed, *, received_at_ms: int) -> bool:
    """Whether every record has a time of its own (none was given that of receiving), and lines have more than
    whole seconds. Outcomes are never copies: what is said again is true again."""
    if pushed.outcomes:
        return False
    lines, samples = pushed.logs.at_ms, pushed.samples.at_ms
    if len(lines) and ((lines == received_at_ms).any() or not (lines % 1000).any()):
        return False
    return not (samples == received_at_ms).any()


def part_key(key: bytes, part: int) -> bytes:
    """What stands in the frame of a part, b"" without a key."""
    return key + part.to_bytes(2, "little") if key else b""


def last_pushes(directory: Path) -> dict[bytes, frozenset[int]]:
    """The bodies with keys that a queue directory ends with (about LAST_MAX_BYTES), the oldest first."""
    found = Repeats()
    for pushed in _last_keys(directory):
        found.note(pushed[:KEY_BYTES], int.from_bytes(pushed[KEY_BYTES:], "little"))
    return found._durable


def _last_keys(directory: Path) -> Iterator[bytes]:
    reader, after = QueueReader(directory), near_the_end(directory, most=LAST_MAX_BYTES)
    while part := reader.read(after, max_bytes=LAST_READ_BYTES):
        after = part[-1][0]
        for _, frame in part:
            try:
                push = decode_envelope(frame).push
            except ValueError:  # said by the decoder when it comes to it
                continue
            if push:
                yield push
