"""The application ahead of Django: which door, which limits, which answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, answer_json, prepare_doors, refuse
from forestall.intake.doors_app import DoorsApp
from forestall.intake.values import QueueBroken, QueueFull, Rejection
from forestall.kernel.clock import SystemClock

Answer = Callable[[DoorRequest, Desk], Awaitable[DoorAnswer]]


class Queue:
    """Takes everything, or fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.frames: list[bytes] = []
        self.error = error

    async def append_async(self, frame: bytes) -> None:
        if self.error:
            raise self.error
        self.frames.append(frame)


async def ask(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(function, *args, **kwargs)


def make_door(answer: Answer, *paths: str, most: int | None = None) -> ModuleType:
    door = ModuleType("door")
    door.PATHS = paths  # type: ignore[attr-defined]
    door.answer = answer  # type: ignore[attr-defined]
    if most is not None:
        door.BODY_MAX_BYTES = most  # type: ignore[attr-defined]
    return door


async def test_a_door_may_reword_every_answer() -> None:
    async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
        raise QueueFull("the queue is full")

    door = make_door(answer, "/named")
    door.reword = lambda answer: DoorAnswer(answer.status, b"in its words")  # type: ignore[attr-defined]
    status, _, body = await call(DoorsApp({"door": door}, make_desk(), then=django), "/named")
    assert (status, body) == (503, b"in its words")


async def test_a_door_may_claim_what_no_path_names() -> None:
    async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
        return answer_json(200, {"door": request.path})

    async def django(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"django"})

    door = make_door(answer, "/named")
    door.claims = lambda method, path, headers: (  # type: ignore[attr-defined]
        method == "POST" and path.endswith("/_bulk") and "authorization" in headers
    )
    app = DoorsApp({"door": door}, make_desk(), then=django)
    known = ((b"Authorization", b"Bearer x"),)
    assert (await call(app, "/any/_bulk", headers=known))[0] == 200
    assert (await call(app, "/any/_bulk"))[0] == 404
    assert (await call(app, "/any", headers=known))[0] == 404


def make_desk(queue: Queue | None = None, noted: list[Rejection] | None = None) -> Desk:
    return Desk(queue or Queue(), SystemClock(), ask, (noted if noted is not None else []).append)


async def call(
    app: DoorsApp,
    path: str,
    *bodies: bytes,
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[int, dict[str, str], bytes]:
    messages = [
        {"type": "http.request", "body": body, "more_body": k + 1 < len(bodies)}
        for k, body in enumerate(bodies)
    ] or [{"type": "http.request"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "path": path, "method": method, "headers": list(headers),
        "query_string": b"a=1&b=", "client": ("192.0.2.7", 5),
    }  # fmt: skip
    await app(scope, receive, send)
    if not sent:
        return 0, {}, b""
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], names, sent[1]["body"]


async def django(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"django"})


async def echo(request: DoorRequest, desk: Desk) -> DoorAnswer:
    await desk.queue.append_async(request.body)
    return answer_json(
        200, [request.method, request.path, dict(request.query), request.peer, request.headers.get("x-a")]
    )


async def test_a_door_gets_its_request_and_the_rest_goes_on() -> None:
    queue = Queue()
    app = DoorsApp({"echo": make_door(echo, "/v1/echo", "/ping/")}, make_desk(queue), then=django)
    status, headers, body = await call(app, "/v1/echo", b"ab", b"cd", headers=((b"X-A", b"y"),))
    assert (status, json.loads(body)) == (200, ["POST", "/v1/echo", {"a": "1", "b": ""}, "192.0.2.7", "y"])
    assert headers["content-length"] == str(len(body))
    assert queue.frames == [b"abcd"]
    assert (await call(app, "/ping/some/thing", method="HEAD"))[2] == b""
    assert (await call(app, "/v1/other"))[0] == 299
    assert (await call(app, "/v1/echo/"))[0] == 299


async def test_two_doors_never_share_a_path() -> None:
    with pytest.raises(ValueError, match="another door"):
        DoorsApp({"a": make_door(echo, "/x"), "b": make_door(echo, "/x")}, make_desk(), then=django)


async def test_a_body_that_is_too_large_is_refused() -> None:
    app = DoorsApp({"echo": make_door(echo, "/x", most=3)}, make_desk(), then=django)
    assert (await call(app, "/x", b"abc"))[0] == 200
    assert (await call(app, "/x", b"ab", b"cd"))[0] == 413
    assert (await call(app, "/x", b"", headers=((b"content-length", b"4"),)))[0] == 413
    assert app._bytes_held == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(QueueFull("full"), 503), (QueueBroken("broken"), 503), (ZeroDivisionError("oops"), 500)],
)
async def test_what_goes_wrong_is_never_acknowledged(error: Exception, status: int) -> None:
    app = DoorsApp({"echo": make_door(echo, "/x")}, make_desk(Queue(error)), then=django)
    got, headers, body = await call(app, "/x", b"a")
    assert got == status
    assert ("retry-after" in headers) is (status == 503)
    assert json.loads(body)["status"] == status
    assert b"oops" not in body


async def test_a_sender_that_goes_away_gets_no_answer() -> None:
    app = DoorsApp({"echo": make_door(echo, "/x")}, make_desk(), then=django)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {
        "type": "http",
        "path": "/x",
        "method": "POST",
        "headers": [],
        "query_string": b"",
        "client": None,
    }
    await app(scope, receive, send)


async def test_refusals_are_problem_details() -> None:
    answer = refuse(429, "too much", "wait", retry_after="7")
    assert answer.headers == {"content-type": "application/problem+json", "retry-after": "7"}
    assert json.loads(answer.body)["detail"] == "wait"


def test_doors_are_prepared_whatever_one_of_them_does() -> None:
    done: list[str] = []
    good, bad = make_door(echo, "/a"), make_door(echo, "/b")
    good.prepare = lambda: done.append("good")  # type: ignore[attr-defined]
    bad.prepare = lambda: 1 / 0  # type: ignore[attr-defined]
    prepare_doors({"plain": make_door(echo, "/c"), "bad": bad, "good": good})
    assert done == ["good"]
