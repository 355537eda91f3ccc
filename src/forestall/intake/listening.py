"""Between a listener and the durable queue: what it received becomes a frame, and is durable when it goes on.

Wiring (processes/watch.py): each listener has an accept of its own, with counters of its own, on one queue.

    accept = QueueAccept(writer, clock, door="syslog", reject=pump.tell)
    await syslog.listen(syslog.SPEC.read({"host": …, "port": …}), accept, stop)
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from forestall.collect.listeners import CannotTake, PushedLine, PushedNumber, Received, Records
from forestall.intake.doors import Taker
from forestall.intake.envelope import (
    Envelope,
    Kind,
    decode_envelope,
    encode_envelope,
    pack_lines,
    unpack_lines,
)
from forestall.intake.pushed import (
    Pushed,
    PushedLogs,
    PushedSamples,
    encode_pushed,
    no_logs,
    no_samples,
)
from forestall.intake.queue import QueueReader, near_the_end
from forestall.intake.values import RAW_MAX_BYTES, QueueFull, Rejection
from forestall.kernel.clock import Clock, to_ms

LAST_MAX_BYTES = 32 << 20
LAST_READ_BYTES = 4 << 20
LAST_LINES_MAX = 65_536

_SYSLOG: Kind = "syslog"
_PUSHED: Kind = "pushed"


class QueueAccept:
    """A `collect.listeners.Accept` that appends to the queue.

    `counters` holds `received` (messages, records), `rejected` (kept for inspection), and what the listener
    counts; `port` is where it listens, 0 as long as it does not. `durable` is what `durable_lines` answers.
    """

    def __init__(
        self,
        queue: Taker,
        clock: Clock,
        *,
        door: str = "syslog",
        reject: Callable[[Rejection], None] | None = None,
        durable: Mapping[str, Sequence[bytes]] | None = None,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._door = door
        self._reject = reject
        self._durable = durable or {}
        self.counters: Counter[str] = Counter()
        self.port = 0

    async def __call__(self, received: Received | Records) -> None:
        """Return when it is durable. Raises CannotTake, QueueBroken."""
        if isinstance(received, Received):
            kind, body, count = _SYSLOG, pack_lines(received.lines), len(received.lines)
            names = received.names
        else:
            kind, body = _PUSHED, encode_pushed(as_pushed(received))
            count, names = len(received.lines) + len(received.numbers), ()
        frame = encode_envelope(
            Envelope(
                kind=kind,
                received_at_ms=received.received_at_ms,
                client="",
                collector="",
                peer=received.peer,
                body=body,
                transport=received.transport,
                names=names,
            )
        )
        try:
            await self._queue.append_async(frame)
        except QueueFull as error:
            raise CannotTake(str(error)) from error
        self.counters["received"] += count

    def now_ms(self) -> int:
        """The time, in ms since 1970 UTC."""
        return to_ms(self._clock.now())

    def count(self, what: str, number: int) -> None:
        """Add to a counter."""
        if number:
            self.counters[what] += number

    def reject(self, peer: str, reason: str, raw: bytes = b"", count: int = 1) -> None:
        """Count what could not be used, and have it kept where people look."""
        self.counters["rejected"] += count
        if self._reject:
            self._reject(Rejection(self._door, peer, reason, self.now_ms(), raw[:RAW_MAX_BYTES], count=count))

    def durable_lines(self) -> Mapping[str, Sequence[bytes]]:
        """What was handed in."""
        return self._durable

    def ready(self, port: int) -> None:
        """The listener listens."""
        self.port = port


def last_lines(directory: Path, *, transport: str) -> dict[str, list[bytes]]:
    """By sender: the last lines over a transport that are in a queue directory, the oldest first. Looks at
    about LAST_MAX_BYTES of its end, and keeps LAST_LINES_MAX of a sender."""
    found: dict[str, deque[bytes]] = {}
    reader, after = QueueReader(directory), near_the_end(directory, most=LAST_MAX_BYTES)
    while part := reader.read(after, max_bytes=LAST_READ_BYTES):
        after = part[-1][0]
        for _, frame in part:
            try:
                envelope = decode_envelope(frame)
                if envelope.kind != "syslog" or envelope.transport != transport:
                    continue
                offsets, lines = unpack_lines(envelope.body)
            except ValueError:  # said by the decoder when it comes to it
                continue
            kept = found.setdefault(envelope.peer, deque(maxlen=LAST_LINES_MAX))
            kept.extend(bytes(lines[start:end]) for start, end in pairwise(offsets.tolist()))
    return {peer: list(lines) for peer, lines in found.items()}


def as_pushed(records: Records) -> Pushed:
    """The records in columns."""
    return Pushed(_logs(records.lines), _samples(records.numbers))


def _logs(lines: Sequence[PushedLine]) -> PushedLogs:
    if not lines:
        return no_logs()
    at_ms, severity, facility, host, source, message, attrs = zip(*lines, strict=True)
    return PushedLogs(
        np.array(at_ms, np.int64),
        np.array(severity, np.uint8),
        np.array(facility, np.uint8),
        pa.array(host, pa.string()),
        pa.array(source, pa.string()),
        pa.array(message, pa.string()),
        pa.array([""] * len(lines), pa.string()),
        pa.array(attrs, pa.string()),
    )


def _samples(numbers: Sequence[PushedNumber]) -> PushedSamples:
    if not numbers:
        return no_samples()
    host, metric, item, at_ms, value = zip(*numbers, strict=True)
    return PushedSamples(
        pa.array(host, pa.string()),
        pa.array(metric, pa.string()),
        pa.array(item, pa.string()),
        np.array(at_ms, np.int64),
        np.array(value, np.float64),
    )
