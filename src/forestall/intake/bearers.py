"""Which tokens are known, and how much each may still send now. In the memory of one process.

A token is looked up in the database at most once in KNOWN_FOR_MS, so a revoked one is refused after that
time at the latest. Wrong tokens are remembered too, and an address that tries many is refused unheard: nobody
hammers the database from outside.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from forestall.estate.values import Pusher

KNOWN_FOR_MS = 30_000
KNOWN_MAX = 10_000
WRONG_FOR_MS = 5_000
WRONG_MAX = 10_000
TRIES_PER_PEER_MAX = 30  # unknown tokens from one address in TRIES_WITHIN_MS
TRIES_WITHIN_MS = 10_000
PEERS_MAX = 10_000
RATE_BYTES_PER_S = 64 << 20
BURST_S = 10.0

K = TypeVar("K")
V = TypeVar("V")

Find = Callable[[bytes], Awaitable[Pusher | None]]


class TooManyTries(Exception):
    """An address tries one unknown token after the other. `wait_s` until it is heard again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many unknown tokens from this address; wait {wait_s} s")
        self.wait_s = wait_s


@dataclass(slots=True)
class Bucket:
    """A token bucket that may go into debt: what is larger than a burst passes, and the next one waits.

    `rate` in bytes a second; times in ms. A clock that goes backwards neither fills nor empties it.
    """

    rate: float
    at_ms: int
    level: float = field(default=-1.0)

    def __post_init__(self) -> None:
        self.level = self.rate * BURST_S

    def wait_s(self, now_ms: int) -> int:
        """0 when there is room, else the whole seconds until there is."""
        passed_s = max(0, now_ms - self.at_ms) / 1000
        self.level = min(self.rate * BURST_S, self.level + passed_s * self.rate)
        self.at_ms = now_ms
        return 0 if self.level > 0 else max(1, math.ceil(-self.level / self.rate))

    def spend(self, size_bytes: float) -> None:
        """Take what was sent."""
        self.level -= size_bytes


class Bearers:
    """The tokens that one process knows. Used from its event loop alone."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Pusher, int]] = {}
        self._wrong: dict[bytes, int] = {}
        self._tries: dict[str, tuple[int, int]] = {}  # address → when it began, how many
        self._asking: dict[bytes, asyncio.Task[Pusher | None]] = {}
        self._buckets: dict[str, Bucket] = {}

    async def pusher(self, token_hash: bytes, *, peer: str, now_ms: int, find: Find) -> Pusher | None:
        """Who holds the token; None when nobody does. Raises TooManyTries."""
        known, since_ms = self._known.get(token_hash, (None, 0))
        if known is not None and 0 <= now_ms - since_ms <= KNOWN_FOR_MS:
            return known
        if known is None:
            if 0 <= now_ms - self._wrong.get(token_hash, -WRONG_FOR_MS - 1) <= WRONG_FOR_MS:
                return None
            self._try(peer, now_ms)
        found = await self._ask(token_hash, find)
        if found is None:
            self._known.pop(token_hash, None)
            _keep(self._wrong, token_hash, now_ms, most=WRONG_MAX)
            return None
        self._wrong.pop(token_hash, None)
        _keep(self._known, token_hash, (found, now_ms), most=KNOWN_MAX)
        if known is None:
            self._forgive(peer)
        return found

    def wait_s(self, pusher: Pusher, now_ms: int) -> int:
        """0 when the token may send now, else the seconds to wait."""
        rate = float(pusher.rate_bytes_per_s or RATE_BYTES_PER_S)
        bucket = self._buckets.get(pusher.token)
        if bucket is None or bucket.rate != rate:
            bucket = Bucket(rate, now_ms)
            _keep(self._buckets, pusher.token, bucket, most=KNOWN_MAX)
        return bucket.wait_s(now_ms)

    def spend(self, token: str, size_bytes: int) -> None:
        """The token sent so much."""
        if bucket := self._buckets.get(token):
            bucket.spend(size_bytes)

    async def _ask(self, token_hash: bytes, find: Find) -> Pusher | None:
        """Look up once, however many requests wait for it."""
        task = self._asking.get(token_hash)
        if task is None:
            task = asyncio.ensure_future(_found(find, token_hash))
            self._asking[token_hash] = task
            task.add_done_callback(lambda _: self._asking.pop(token_hash, None))
        return await asyncio.shield(task)

    def _try(self, peer: str, now_ms: int) -> None:
        since_ms, count = self._tries.get(peer, (now_ms, 0))
        if not 0 <= now_ms - since_ms < TRIES_WITHIN_MS:
            since_ms, count = now_ms, 0
        if count >= TRIES_PER_PEER_MAX:
            raise TooManyTries(max(1, math.ceil((since_ms + TRIES_WITHIN_MS - now_ms) / 1000)))
        _keep(self._tries, peer, (since_ms, count + 1), most=PEERS_MAX)

    def _forgive(self, peer: str) -> None:
        """A try that was right does not count."""
        since_ms, count = self._tries.get(peer, (0, 0))
        if count:
            self._tries[peer] = (since_ms, count - 1)


async def _found(find: Find, token_hash: bytes) -> Pusher | None:
    return await find(token_hash)


def _keep(kept: dict[K, V], key: K, value: V, *, most: int) -> None:
    """Keep a value; of more than `most` the one that was kept first goes."""
    kept.pop(key, None)
    if len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
