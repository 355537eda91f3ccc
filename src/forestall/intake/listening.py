"""Between a listener and the durable queue: what it received becomes a frame, and is durable when it goes on.

Wiring (processes/watch.py):

    accept = QueueAccept(writer, clock)
    await syslog.listen(syslog.SPEC.read({"host": …, "port": …}), accept, stop)
"""

from collections import Counter

from forestall.collect.listeners import CannotTake, Received
from forestall.intake.doors import Taker
from forestall.intake.envelope import Envelope, encode_envelope, pack_lines
from forestall.intake.values import QueueFull
from forestall.kernel.clock import Clock, to_ms


class QueueAccept:
    """A `collect.listeners.Accept` that appends to the queue.

    `counters` holds `received` (messages), `udp_dropped` (by the kernel), `cut`, `refused`, `lost`;
    `port` is where the listener listens, 0 as long as it does not.
    """

    def __init__(self, queue: Taker, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self.counters: Counter[str] = Counter()
        self.port = 0

    async def __call__(self, received: Received) -> None:
        """Return when it is durable. Raises CannotTake, QueueBroken."""
        frame = encode_envelope(
            Envelope(
                kind="syslog",
                received_at_ms=received.received_at_ms,
                client="",
                collector="",
                peer=received.peer,
                body=pack_lines(received.lines),
                transport=received.transport,
            )
        )
        try:
            await self._queue.append_async(frame)
        except QueueFull as error:
            raise CannotTake(str(error)) from error
        self.counters["received"] += len(received.lines)

    def now_ms(self) -> int:
        """The time, in ms since 1970 UTC."""
        return to_ms(self._clock.now())

    def count(self, what: str, number: int) -> None:
        """Add to a counter."""
        if number:
            self.counters[what] += number

    def ready(self, port: int) -> None:
        """The listener listens."""
        self.port = port
