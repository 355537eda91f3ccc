"""Live pages: one event stream per browser that tails the journal. It says what kind of thing happened for a
client that the person sees, never its content; the page then fetches itself again."""

import asyncio
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from forestall.estate.tenancy import Scope
from forestall.journal import queries
from forestall.web.access.gate import needs

LOOK_EVERY_S = 1.0
PING_EVERY_S = 15.0
LASTS_S = 3600.0  # then the browser opens a new one, and rights are looked at again
STREAMS_MAX = 200
ENTRIES_A_LOOK = 200

_open_streams = 0


@needs()
async def events(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """`event: entry`, `data: kind` for every new journal entry that the person may see."""
    if _open_streams >= STREAMS_MAX:
        return HttpResponse("too many live pages are open", status=503, headers={"Retry-After": "30"})
    answer = StreamingHttpResponse(_stream(request.scope), content_type="text/event-stream")  # type: ignore[attr-defined]
    answer["Cache-Control"] = "no-cache"
    answer["X-Accel-Buffering"] = "no"
    answer["Content-Encoding"] = "identity"  # compression would hold back what is short
    return answer


async def _stream(scope: Scope) -> AsyncIterator[str]:
    global _open_streams
    _open_streams += 1
    clients = None if scope.everything else scope.clients
    try:
        yield "retry: 3000\n\n"
        last = await sync_to_async(_size)() - 1
        loop = asyncio.get_running_loop()
        ends_at, ping_at = loop.time() + LASTS_S, loop.time() + PING_EVERY_S
        while loop.time() < ends_at:
            await asyncio.sleep(LOOK_EVERY_S)
            size = await sync_to_async(_size)()
            if size - 1 > last:
                found = await sync_to_async(_read)(last, clients)
                last = found[-1][0] if len(found) == ENTRIES_A_LOOK else size - 1
                for kind in dict.fromkeys(kind for _, kind in found):
                    yield f"event: entry\ndata: {kind}\n\n"
            if loop.time() >= ping_at:
                ping_at = loop.time() + PING_EVERY_S
                yield ": still here\n\n"
    finally:
        _open_streams -= 1


def _size() -> int:
    close_old_connections()
    return queries.size()


def _read(after: int, clients: frozenset[str] | None) -> list[tuple[int, str]]:
    return [
        (entry.seq, entry.kind) for entry in queries.read_after(after, most=ENTRIES_A_LOOK, clients=clients)
    ]
