"""Everything over HTTP comes in here: the intake's doors first, then Django.

`lifespan` opens the queue that makes what the doors accept durable, and closes it at the end.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forestall.web.settings")
_django: Any = get_asgi_application()

from forestall.collect.masking import Masker  # noqa: E402
from forestall.collect.masking_said import mask_said  # noqa: E402
from forestall.intake.actions import record_rejections  # noqa: E402
from forestall.intake.counts import Counts  # noqa: E402
from forestall.intake.doors import Desk, load_doors, prepare_doors  # noqa: E402
from forestall.intake.doors_app import DoorsApp, Receive, Scope, Send  # noqa: E402
from forestall.intake.queue import QueueWriter  # noqa: E402
from forestall.intake.repeats import Repeats, last_pushes  # noqa: E402
from forestall.intake.values import Rejection  # noqa: E402
from forestall.kernel.clock import SystemClock  # noqa: E402
from forestall.kernel.signs import leave_words  # noqa: E402
from forestall.telemetry.asking import Asking, asking  # noqa: E402
from forestall.telemetry.client import StoreRefused, StoreUnavailable  # noqa: E402
from forestall.web.telemetry import store  # noqa: E402

QUEUE_VARIABLE = "FORESTALL_QUEUE"  # several web processes have a queue each
REJECTIONS_WAITING = 10_000
WRITE_BEHIND_S = 1.0


def _give_up(error: BaseException) -> None:
    """Nothing more can be made durable: end at once, acknowledge nothing, be started again."""
    leave_words(settings.DATA.run, "web", str(error))
    logging.getLogger("web").critical("web ends: %s", error)
    os._exit(3)


async def ask(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a function that uses the database in a worker thread."""
    return await sync_to_async(function, thread_sensitive=False)(*args, **kwargs)


class Application:
    """The ASGI application of a web process."""

    def __init__(self) -> None:
        self._doors: DoorsApp | None = None
        self._queue: QueueWriter | None = None
        self._behind: asyncio.Task[None] | None = None
        self._rejections: deque[Rejection] = deque(maxlen=REJECTIONS_WAITING)
        self._counts = Counts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._doors is not None:
            await self._doors(scope, receive, send)
        else:
            await _django(scope, receive, send)

    def open(self) -> None:
        """Open the queue and the doors."""
        directory = settings.DATA.queue / os.environ.get(QUEUE_VARIABLE, "web")
        self._queue = QueueWriter(
            directory,
            max_bytes=settings.CONFIG.limits.queue_max_bytes,
            reserve_bytes=settings.CONFIG.limits.disk_reserve_bytes,
            on_broken=_give_up,
        )
        desk = Desk(
            queue=self._queue,
            clock=SystemClock(),
            ask=ask,
            reject=self._rejections.append,
            counts=self._counts,
            repeats=Repeats(last_pushes(directory)),
            mask=partial(mask_said, Masker(settings.DATA.key("masking"))),
        )
        self._doors = DoorsApp(load_doors(), desk, then=_in_context)

    def numbers(self) -> dict[str, Any]:
        """How many records each door took and refused since this process began, for its sign of life."""
        return {"doors": self._counts.by_door()}

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end."""
        await receive()
        self.open()
        self._behind = asyncio.create_task(self._write_behind())
        await send({"type": "lifespan.startup.complete"})
        Thread(target=prepare_doors, args=(load_doors(),), name="prepare", daemon=True).start()
        await receive()
        self._behind.cancel()
        with suppress(asyncio.CancelledError):
            await self._behind
        await self._flush()
        if self._queue is not None:
            await asyncio.to_thread(self._queue.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _write_behind(self) -> None:
        while True:
            await asyncio.sleep(WRITE_BEHIND_S)
            await self._flush()

    async def _flush(self) -> None:
        if not self._rejections:
            return
        waiting = [self._rejections.popleft() for _ in range(len(self._rejections))]
        await ask(_record, waiting)


def _record(waiting: list[Rejection]) -> None:
    close_old_connections()
    masker = Masker(settings.DATA.key("masking"))
    record_rejections(waiting, mask=partial(mask_said, masker))


async def _in_context(scope: Scope, receive: Receive, send: Send) -> None:
    """Django, with a thread of its own per request, so that a slow page does not hold up the others."""
    if scope["type"] != "http":
        await _django(scope, receive, send)
        return
    asked = Asking()
    asking.set(asked)
    ending: set[asyncio.Task[None]] = set()

    async def receive_watched() -> Scope:
        message = await receive()
        if message["type"] == "http.disconnect" and not asked.cancelled:
            ending.add(asyncio.create_task(_end_queries(asked)))
        return message

    async with ThreadSensitiveContext():
        await _django(scope, receive_watched, send)
    if ending:
        await asyncio.gather(*ending)


async def _end_queries(asked: Asking) -> None:
    """What was asked for somebody who left the page is not worked on any more."""
    try:
        await asyncio.to_thread(store().cancel, asked)
    except (StoreUnavailable, StoreRefused) as error:
        logging.getLogger("web").warning("a query that nobody waits for runs to its limit: %s", error)


application = Application()
