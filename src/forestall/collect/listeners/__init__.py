"""Passive intakes: sockets on which devices push. A listener is one file with

    SPEC: kernel.plugins.Spec
    async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None

`settings` come from SPEC.read. `listen` runs until `stop` is set, hands over what came with
`await accept(received)`, and raises Trouble when it cannot listen at all. It never drops what it could make
its sender keep: when `accept` raises CannotTake it stops reading and tries again. Where the protocol has an
answer, the answer comes after `accept` has returned. What listeners share is in `collect.receiving`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Received:
    """Messages of one sender, framing removed, in the order in which they came. `names` are those that the
    sender's certificate proves."""

    kind: str
    peer: str
    transport: str
    received_at_ms: int
    lines: Sequence[bytes]
    names: tuple[str, ...] = ()


class PushedLine(NamedTuple):
    """A log line that its listener has read. `severity` and `facility` as in RFC 5424; `host` names the
    machine that it is about ("": the sender itself); `attrs` is a JSON object or ""."""

    at_ms: int
    severity: int
    facility: int
    host: str
    source: str
    message: str
    attrs: str = ""


class PushedNumber(NamedTuple):
    """A finite number that its listener has read. `host` as in PushedLine."""

    host: str
    metric: str
    item: str
    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Records:
    """What one sender pushed, read. The sender's address says whose it is, `host` which asset."""

    peer: str
    transport: str
    received_at_ms: int
    lines: Sequence[PushedLine] = ()
    numbers: Sequence[PushedNumber] = ()


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """A mail as it came: `sender` and `recipients` are those of the envelope, `data` the whole message."""

    peer: str
    helo: str
    received_at_ms: int
    sender: str
    recipients: tuple[str, ...]
    data: bytes


class CannotTake(Exception):
    """There is no room for more now. Stop reading, and hand the same over again later."""


class Accept(Protocol):
    """Where a listener hands over."""

    async def __call__(self, received: Received | Records) -> None:
        """Return when it is durable. Raises CannotTake."""
        ...

    def now_ms(self) -> int:
        """The time, in ms since 1970 UTC."""
        ...

    def count(self, what: str, number: int) -> None:
        """Add to a counter of this listener: `udp_dropped` (by the kernel), `cut`, `refused` (connections,
        messages), `lost`, `repeated` (came again after a broken connection, and was there already)."""
        ...

    def reject(self, peer: str, reason: str, raw: bytes = b"", count: int = 1) -> None:
        """Keep for inspection what could not be used. The same mistake has the same words."""
        ...

    def durable_lines(self) -> Mapping[str, Sequence[bytes]]:
        """By sender: the last lines over this listener's transport that were durable before this process
        began, the oldest first."""
        ...

    def ready(self, port: int) -> None:
        """The listener listens, on this port."""
        ...


class AcceptMail(Accept, Protocol):
    """Where the listener for mail hands over."""

    async def knows(self, address: str) -> bool:
        """Whether mail to this address is for us; what stands behind a `+` in it does not matter."""
        ...

    async def take(self, mail: ReceivedMail) -> str:
        """Return its name when it is durable. Raises CannotTake."""
        ...
