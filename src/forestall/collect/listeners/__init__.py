"""Passive intakes: sockets on which devices push. A listener is one file with

    SPEC: kernel.plugins.Spec
    async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None

`settings` come from SPEC.read. `listen` runs until `stop` is set, hands over what came with
`await accept(received)`, and raises Trouble when it cannot listen at all. It never drops what it could make
its sender keep: when `accept` raises CannotTake it stops reading and tries again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Received:
    """Messages of one sender, framing removed, in the order in which they came."""

    kind: str
    peer: str
    transport: str
    received_at_ms: int
    lines: Sequence[bytes]


class CannotTake(Exception):
    """There is no room for more now. Stop reading, and hand the same over again later."""


class Accept(Protocol):
    """Where a listener hands over."""

    async def __call__(self, received: Received) -> None:
        """Return when it is durable. Raises CannotTake."""
        ...

    def now_ms(self) -> int:
        """The time, in ms since 1970 UTC."""
        ...

    def count(self, what: str, number: int) -> None:
        """Add to a counter of this listener: `udp_dropped` (by the kernel), `cut`, `refused`, `lost`."""
        ...

    def ready(self, port: int) -> None:
        """The listener listens, on this port."""
        ...
