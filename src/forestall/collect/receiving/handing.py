"""How listeners hand over: in frames of a bounded size, in order, waiting while there is no room."""

import asyncio
from collections.abc import Callable, Sequence

from forestall.collect.listeners import Accept, CannotTake, Received
from forestall.collect.parsers.syslog_framing import Packed

LINES_PER_FRAME_MAX = 8192
BYTES_PER_FRAME_MAX = 1 << 20
RETRY_S = 0.25


class Gone(ConnectionError):
    """The sender hung up while there was no room: it keeps what was not acknowledged."""


def in_frames(lines: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """Lines in parts of at most LINES_PER_FRAME_MAX lines and about BYTES_PER_FRAME_MAX bytes."""
    if (
        isinstance(lines, Packed)
        and len(lines) <= LINES_PER_FRAME_MAX
        and len(lines.data) <= BYTES_PER_FRAME_MAX
    ):
        return [lines]
    if len(lines) <= LINES_PER_FRAME_MAX and sum(map(len, lines)) <= BYTES_PER_FRAME_MAX:
        return [lines] if lines else []
    parts: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        if parts[-1] and (len(parts[-1]) >= LINES_PER_FRAME_MAX or size + len(line) > BYTES_PER_FRAME_MAX):
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return parts


async def hand_over(accept: Accept, received: Received, *, tries: int = 0) -> None:
    """Return when it is durable, or after `tries` (0: as long as it takes). What is not taken in the end, or
    when we are cancelled meanwhile, is counted as `lost`: for senders that do not wait for an answer."""
    tried = 0
    while True:
        try:
            await accept(received)
            return
        except CannotTake:
            tried += 1
            if tried == tries:
                accept.count("lost", len(received.lines))
                return
            try:
                await asyncio.sleep(RETRY_S)
            except asyncio.CancelledError:
                accept.count("lost", len(received.lines))
                raise


async def hand_over_or_leave(accept: Accept, received: Received, *, gone: Callable[[], bool]) -> None:
    """Return when it is durable, however long that takes. Raises Gone when the sender hung up meanwhile:
    nothing was taken, and it will send the same again."""
    while True:
        try:
            await accept(received)
            return
        except CannotTake:
            if gone():
                raise Gone("the sender hung up before there was room") from None
            await asyncio.sleep(RETRY_S)


def plain_address(address: str) -> str:
    """An address without its scope, and IPv4 as IPv4: `::ffff:10.0.0.5` is 10.0.0.5."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address
