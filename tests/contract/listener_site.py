"""A real listener on a queue of its own, in this process, with an asset at 127.0.0.1; and its rejections."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from forestall.collect.listeners import CannotTake, Received, Records
from forestall.intake.decode import Decoded, DecodeState, decode
from forestall.intake.listening import QueueAccept
from forestall.intake.queue import START, QueueReader, QueueWriter
from forestall.intake.route import Directory, RoutedAsset
from forestall.kernel.clock import SystemClock
from forestall.kernel.ids import from_number

CLIENT, SERVER, OTHER = from_number(1), from_number(2), from_number(3)
ASSETS = (
    RoutedAsset(SERVER, CLIENT, "srv", ("127.0.0.1",)),
    RoutedAsset(OTHER, CLIENT, "web-1", ("10.9.9.9", "web-1.example.com")),
)


class Site:
    """What a listener hands over, and what becomes of it. While `full` there is no room."""

    def __init__(self, directory: Path, door: str, *, max_bytes: int, segment_bytes: int) -> None:
        self.directory = directory
        self.rejected: list[str] = []
        self.raw: list[bytes] = []
        self.full = False
        self.asked = 0
        self.writer = QueueWriter(directory, max_bytes=max_bytes, segment_bytes=segment_bytes)
        self.stop = asyncio.Event()
        site = self

        class Accept(QueueAccept):
            async def __call__(self, received: Received | Records) -> None:
                site.asked += 1
                if site.full:
                    raise CannotTake("full")
                await super().__call__(received)

        self.accept = Accept(self.writer, SystemClock(), door=door, reject=self._note)

    def _note(self, one: Any) -> None:
        self.rejected.append(one.reason)
        self.raw.append(one.raw)

    @property
    def port(self) -> int:
        return self.accept.port

    def decoded(self, *assets: RoutedAsset) -> Decoded:
        """Everything in the queue, decoded and routed."""
        routes = Directory(assets or ASSETS, [])
        frames, after, reader = [], START, QueueReader(self.directory)
        while part := reader.read(after, max_bytes=1 << 24):
            frames += part
            after = part[-1][0]
        return decode(frames, routes, DecodeState())

    def messages(self) -> list[str]:
        return list(self.decoded().logs.message.to_pylist())


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(
    listener: ModuleType,
    directory: Path,
    *,
    max_bytes: int = 1 << 26,
    segment_bytes: int = 1 << 25,
    **given: object,
) -> AsyncIterator[Site]:
    """The listener on a free port, with a queue of at most `max_bytes`."""
    site = Site(directory, listener.SPEC.name, max_bytes=max_bytes, segment_bytes=segment_bytes)
    settings = listener.SPEC.read({"port": 0, **given})
    task = asyncio.create_task(listener.listen(settings, site.accept, site.stop))
    await until(lambda: site.port > 0 or task.done())
    if task.done():
        site.writer.close()
        task.result()
    try:
        yield site
    finally:
        site.stop.set()
        await task
        site.writer.close()
