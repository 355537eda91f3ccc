"""One connection of syslog, TCP or TLS. There is no answer, so what cannot be kept is counted as `lost`."""

import asyncio
from collections.abc import Sequence

from forestall.collect.listeners import Accept, Received
from forestall.collect.parsers.syslog_framing import Framing
from forestall.collect.receiving.connections import READ_BYTES, Connection
from forestall.collect.receiving.handing import hand_over, in_frames

IDLE_TIMEOUT_S = 6 * 3600.0  # plain TCP loses the first message after a close, so be slow to close
UNFINISHED_TIMEOUT_S = 60.0


async def receive_syslog(connection: Connection, accept: Accept, *, transport: str) -> None:
    """Read until the sender closes; while there is no room, do not read."""
    framing = Framing()

    async def hand(lines: Sequence[bytes], tries: int = 0) -> None:
        for part in in_frames(lines):
            received = Received("syslog", connection.peer, transport, accept.now_ms(), part, connection.names)
            await hand_over(accept, received, tries=tries)

    try:
        while True:
            async with asyncio.timeout(UNFINISHED_TIMEOUT_S if framing.waiting else IDLE_TIMEOUT_S):
                data = await connection.reader.read(READ_BYTES)
            if not data:
                return
            await hand(framing.feed(data))
    finally:
        try:
            await hand(framing.finish(), tries=1)
        finally:
            accept.count("cut", framing.cut_count)
