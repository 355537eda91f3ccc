"""What the tests of the probes share: asking, and small servers that talk as they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from forestall.collect.asking import ask_once
from forestall.collect.reach import anywhere
from forestall.kernel.observations import Outcome

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def ask(kind: str, target: str, *, timeout_s: float = 5, **settings: object) -> Outcome:
    return await ask_once(kind, target, settings, anywhere(), timeout_s=timeout_s)


def number(outcome: Outcome, metric: str) -> float:
    return next(sample.value for sample in outcome.samples if sample.metric == metric)


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    """A TCP server that talks so; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    started = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield started.sockets[0].getsockname()[1]
    finally:
        started.close()


def says(*lines: bytes, then_wait: bool = True) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(lines))
        await writer.drain()
        if then_wait:
            await reader.read()

    return talk


@asynccontextmanager
async def datagrams(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A UDP server that answers so (None: not at all); its port."""

    class Served(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            if (reply := answer(data)) is not None:
                self.transport.sendto(reply, address)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Served, local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
