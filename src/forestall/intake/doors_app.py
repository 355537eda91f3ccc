"""The ASGI application that stands ahead of Django: what is for a door goes to the door, the rest to `then`.

Wiring (web/asgi.py):

    application = DoorsApp(load_doors(), desk, then=get_asgi_application())

Limits: a body per door, all bodies in memory together, the time in which a body must have come, the time
in which a door must have answered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from forestall.intake.doors import DEFAULT_BODY_MAX_BYTES, Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.values import QueueBroken, QueueFull

BODIES_MAX_BYTES = 256 << 20
BODY_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 30.0
QUERY_FIELDS_MAX = 100
RETRY_AFTER_S = "5"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


class _TooLarge(Exception):
    """The body is larger than its door allows."""


class _Gone(Exception):
    """The sender went away before the body was complete."""


class DoorsApp:
    """Dispatches by path. Two doors never have the same path (checked when the application is made); a door
    with `claims` is asked about what no path names."""

    def __init__(self, doors: Mapping[str, ModuleType], desk: Desk, *, then: App) -> None:
        self._desk = desk
        self._then = then
        self._exact: dict[str, ModuleType] = {}
        self._prefixes: dict[str, ModuleType] = {}
        self._claiming = [door for door in doors.values() if hasattr(door, "claims")]
        self._bytes_held = 0
        for name, door in doors.items():
            for path in door.PATHS:
                taken = self._prefixes if path.endswith("/") else self._exact
                if path in taken:
                    raise ValueError(f"the door {name!r} wants {path}, which another door has")
                taken[path] = door

    def door_at(self, path: str) -> ModuleType | None:
        """The door that answers a path; the longest prefix counts."""
        if path in self._exact:
            return self._exact[path]
        found = [prefix for prefix in self._prefixes if path.startswith(prefix)]
        return self._prefixes[max(found, key=len)] if found else None

    def _door_for(self, scope: Scope) -> ModuleType | None:
        if scope["type"] != "http":
            return None
        if (door := self.door_at(scope["path"])) or not self._claiming:
            return door
        headers = _headers(scope)
        return next(
            (door for door in self._claiming if door.claims(scope["method"], scope["path"], headers)), None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._door_for(scope)
        if door is None:
            await self._then(scope, receive, send)
            return
        try:
            answer = await self._serve(door, scope, receive)
        except _Gone:
            return
        if hasattr(door, "reword"):
            answer = door.reword(answer)
        headers = {"content-length": str(len(answer.body)), "cache-control": "no-store", **answer.headers}
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _serve(self, door: ModuleType, scope: Scope, receive: Receive) -> DoorAnswer:
        headers = _headers(scope)
        most = getattr(door, "BODY_MAX_BYTES", DEFAULT_BODY_MAX_BYTES)
        told = headers.get("content-length", "0")
        if told.isdigit() and int(told) > most:
            return _too_large(most)
        held = _Held(self)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await held.read(receive, most)
        except _TooLarge:
            return _too_large(most)
        except TimeoutError:
            return refuse(
                408, f"the body did not come within {BODY_TIMEOUT_S:.0f} s", "Send smaller batches."
            )
        except QueueFull as error:
            return refuse(503, str(error), "Send it again later.", retry_after=RETRY_AFTER_S)
        else:
            query = parse_qsl(
                scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None
            )[:QUERY_FIELDS_MAX]
            peer = (scope.get("client") or ("", 0))[0]
            request = DoorRequest(scope["method"], scope["path"], dict(query), headers, body, peer)
            return await self._answer(door, request)
        finally:
            held.release()

    async def _answer(self, door: ModuleType, request: DoorRequest) -> DoorAnswer:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer: DoorAnswer = await door.answer(request, self._desk)
                return answer
        except QueueFull as error:
            return refuse(503, str(error), "Send it again later.", retry_after=RETRY_AFTER_S)
        except QueueBroken as error:
            log.critical("the durable queue is broken, nothing is acknowledged: %s", error)
            return refuse(
                503, "this server cannot store anything now", "Send it again later.", retry_after="30"
            )
        except TimeoutError:
            return refuse(
                503, "this server is too slow now", "Send it again later.", retry_after=RETRY_AFTER_S
            )
        except Exception:
            log.exception("the door %s failed on %s %s", door.__name__, request.method, request.path)
            return refuse(
                500, "this server made a mistake", "Send it again later; the server's log has more."
            )


class _Held:
    """The bytes of one body, counted against the bytes of all bodies in memory."""

    def __init__(self, app: DoorsApp) -> None:
        self._app = app
        self._size = 0

    async def read(self, receive: Receive, most: int) -> bytes:
        """The whole body. Raises _TooLarge, _Gone, QueueFull (memory for bodies is used up)."""
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part: bytes = message.get("body", b"")
            if self._size + len(part) > most:
                raise _TooLarge
            if self._app._bytes_held + len(part) > BODIES_MAX_BYTES:
                raise QueueFull("too many requests are being received at once")
            self._size += len(part)
            self._app._bytes_held += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def release(self) -> None:
        """Give the bytes back to the others."""
        self._app._bytes_held -= self._size


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def _too_large(most: int) -> DoorAnswer:
    return refuse(413, f"a body may have {most} bytes here", "Send smaller batches.")
