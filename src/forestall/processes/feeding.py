"""The server's own observations (its probes, its numbers, the demo) take the same road as everybody's: as
numbered batches into a durable queue, in the name of a collector without a key."""

import threading
from collections.abc import Sequence

import zstandard

from forestall.estate.enrolment import server_collector
from forestall.intake.envelope import Envelope, encode_envelope
from forestall.intake.queue import QueueWriter
from forestall.kernel.clock import Clock, to_ms
from forestall.kernel.observations import Batch, Observations, encode_batch

NUMBERS_A_MS = 1000


class Feeder:
    """Puts observations of a client into a queue; usable from any thread."""

    def __init__(self, queue: QueueWriter, clock: Clock, *, itself: str) -> None:
        self._queue = queue
        self._clock = clock
        self._itself = itself
        self._names: dict[str, str] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._compress = zstandard.ZstdCompressor(level=3)

    def feed(self, client: str, observations: Sequence[Observations]) -> None:
        """Return when they are on the disk. Raises QueueFull, QueueBroken."""
        now_ms = to_ms(self._clock.now())
        with self._lock:
            if client not in self._names:
                self._names[client] = server_collector(client, asset=self._itself)
            # greater than every number before, also before a restart
            number = self._last = max(self._last + 1, now_ms * NUMBERS_A_MS)
            batch = Batch(number=number, sent_at_ms=now_ms, observations=list(observations))
            frame = encode_envelope(
                Envelope(
                    kind="observations",
                    received_at_ms=now_ms,
                    client=client,
                    collector=self._names[client],
                    peer="",
                    body=self._compress.compress(encode_batch(batch)),
                )
            )
            durable = self._queue.append(frame)
        durable.result()
