"""The gate that every door of outside programs shares: who may push, unpack, make durable, then answer.

    async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
        admitted = await admit(request, desk)
        if isinstance(admitted, DoorAnswer):
            return admitted
        try:
            body = await aside(unpack, request, most=BODY_MAX_BYTES)
            reading = await aside(read, body, received_at_ms=admitted.at_ms)
        except ValueError as error:
            return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
        note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
        await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
        return …

What takes the processor (`unpack`, a format's `read`) runs in a few threads of its own (`aside`), so that the
console stays responsive. QueueFull goes through to `doors_app`, which answers 503.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from forestall.estate.access import TOKEN_PREFIX, hash_secret
from forestall.estate.pushers import find_pusher
from forestall.estate.values import Pusher
from forestall.intake.bearers import TooManyTries
from forestall.intake.counts import ACCEPTED, REJECTED, REPEATED, WAITING
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.envelope import BODY_MAX_BYTES, Envelope, encode_envelope
from forestall.intake.formats import Reading
from forestall.intake.parting import part_pushed
from forestall.intake.pushed import Pushed
from forestall.intake.repeats import SENT_KEY_MAX_CHARS, key_of, part_key, says_when
from forestall.intake.unpacking import Unusable, unpack, unpack_snappy
from forestall.intake.values import Rejection
from forestall.kernel.clock import to_ms

__all__ = [
    "Admitted", "Unusable", "admit", "aside", "note_refused", "take", "turn_away", "unpack", "unpack_snappy",
]  # fmt: skip

READERS_MAX = 2  # bodies that are read at once
SECRET_MAX_CHARS = 200
ASK_FOR_TOKEN = "Send `Authorization: Bearer fst_…`, a token with the right intake for the client."  # noqa: S105

P = ParamSpec("P")
Result = TypeVar("Result")

_readers = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="reader")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A program that may push. `asset` is what its token stands for, "" when it stands for no single one;
    `token` is the token's identifier, `name` what it was called; `at_ms` is when the request came, the time
    of records that have none."""

    client: str
    asset: str
    token: str
    name: str
    at_ms: int


async def admit(request: DoorRequest, desk: Desk) -> Admitted | DoorAnswer:
    """Whoever holds the request's token, or the refusal: 401 for no (known) token, 403 for one that may not
    push, 413 for a body larger than the token may send, 429 while it sends too fast."""
    secret = secret_of(request.headers.get("authorization", ""))
    if not secret:
        return refuse(401, "this needs a token", ASK_FOR_TOKEN, www_authenticate="Bearer")
    now_ms = to_ms(desk.clock.now())
    try:
        pusher = await desk.bearers.pusher(
            hash_secret(secret), peer=request.peer, now_ms=now_ms, find=partial(_find, desk)
        )
    except TooManyTries as error:
        return refuse(429, str(error), ASK_FOR_TOKEN, retry_after=str(error.wait_s))
    if pusher is None:
        return refuse(401, "this token opens nothing (any more)", ASK_FOR_TOKEN, www_authenticate="Bearer")
    if pusher.why_not:
        return refuse(403, pusher.why_not)
    if pusher.body_max_bytes is not None and len(request.body) > pusher.body_max_bytes:
        return refuse(
            413, f"a body of this token may have {pusher.body_max_bytes} bytes", "Send smaller batches."
        )
    if wait_s := desk.bearers.wait_s(pusher, now_ms):
        return refuse(
            429,
            f"the token {pusher.name} sends faster than it may",
            "Wait, or raise its rate in the console under People.",
            retry_after=str(wait_s),
        )
    desk.bearers.spend(pusher.token, len(request.body))
    return Admitted(pusher.client, pusher.asset, pusher.token, pusher.name, now_ms)


async def aside(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Run what takes the processor in one of READERS_MAX threads."""
    return await asyncio.get_running_loop().run_in_executor(_readers, partial(function, *args, **kwargs))


async def take(pushed: Pushed, *, admitted: Admitted, request: DoorRequest, desk: Desk, door: str) -> None:
    """Return when all of it is on the disk. Raises QueueFull and QueueBroken; a sender that is told so sends
    the whole body again. Raises Unusable (413) when a single record is too large for a frame.

    What of a body is durable since it came before is not stored again (`intake.repeats`). A body that can be
    recognised goes on being written when its sender's time is up.
    """
    if not len(pushed):
        return
    key, bodies = await aside(_pack, pushed, admitted, request)
    # What was packed well costs what it unpacks to: the rate is one of work, not of wire.
    desk.bearers.spend(admitted.token, max(0, sum(map(len, bodies)) - len(request.body)))
    making = _make_durable(
        key, bodies, count=len(pushed), admitted=admitted, request=request, desk=desk, door=door
    )
    if not key:
        await making
        return
    task = asyncio.ensure_future(making)
    task.add_done_callback(_hear)
    await asyncio.shield(task)


def _pack(pushed: Pushed, admitted: Admitted, request: DoorRequest) -> tuple[bytes, list[bytes]]:
    """The key of a body (b"" when a copy of it could not be told from what happened again), and its parts."""
    sent_key = request.headers.get("idempotency-key", "")[:SENT_KEY_MAX_CHARS]
    key = b""
    if sent_key or says_when(pushed, received_at_ms=admitted.at_ms):
        query = "&".join(f"{name}={value}" for name, value in sorted(request.query.items()))
        key = key_of(request.body, admitted.token, request.path, query, sent_key)
    return key, part_pushed(pushed, most=BODY_MAX_BYTES)


async def _make_durable(
    key: bytes,
    bodies: list[bytes],
    *,
    count: int,
    admitted: Admitted,
    request: DoorRequest,
    desk: Desk,
    door: str,
) -> None:
    desk.counts.add(door, WAITING, count)
    try:
        async with desk.repeats.turn(key):
            missing = desk.repeats.missing(key, len(bodies))
            taken = await asyncio.gather(
                *(
                    _append(bodies[part], part_key(key, part), admitted, request, desk, door)
                    for part in missing
                ),
                return_exceptions=True,
            )
            for part, failure in zip(missing, taken, strict=True):
                if failure is None:
                    desk.repeats.note(key, part)
            for failure in taken:
                if isinstance(failure, BaseException):
                    raise failure
    finally:
        desk.counts.add(door, WAITING, -count)
    desk.counts.add(door, ACCEPTED if missing else REPEATED, count)


async def _append(
    body: bytes, push: bytes, admitted: Admitted, request: DoorRequest, desk: Desk, door: str
) -> None:
    envelope = Envelope(
        kind="pushed",
        received_at_ms=to_ms(desk.clock.now()),
        client=admitted.client,
        collector="",
        peer=request.peer[:64],
        body=body,
        transport=door,
        asset=admitted.asset,
        push=push,
    )
    await desk.queue.append_async(encode_envelope(envelope))


def _hear(task: "asyncio.Task[None]") -> None:
    """What became of a body whose sender waits no more was for the sender."""
    if not task.cancelled():
        task.exception()


def turn_away(
    error: ValueError, *, admitted: Admitted, request: DoorRequest, desk: Desk, door: str
) -> DoorAnswer:
    """The answer to a body that is no use at all (Unusable has its own status, else 400); it is counted as
    one record and kept for inspection."""
    _note(str(error), admitted, request, desk=desk, door=door, count=1)
    if isinstance(error, Unusable):
        return error.answer()
    return refuse(400, str(error), "It was kept for inspection under Intake.")


def note_refused(
    reading: Reading, *, admitted: Admitted, request: DoorRequest, desk: Desk, door: str
) -> None:
    """Count and keep what a format did not take; the first reason stands for all of the body."""
    if not reading.refused_count:
        return
    first = reading.refused[0] if reading.refused else None
    reason = f"record {first.place}: {first.reason}" if first else "records that could not be used"
    _note(reason, admitted, request, desk=desk, door=door, count=reading.refused_count)


def secret_of(header: str) -> str:
    """The token in an Authorization header, "" when there is none: `Bearer fst_…`, `Basic` with the token as
    the password (or as the name), `ApiKey fst_…` or `ApiKey` with base64 of `id:fst_…` (Elasticsearch)."""
    kind, _, given = header.partition(" ")
    given = given.strip()
    match kind.lower():
        case "bearer":
            found = [given]
        case "basic":
            found = _both(given)
        case "apikey":
            found = [given, *_both(given)]
        case _:
            found = []
    return next((one for one in found if one.startswith(TOKEN_PREFIX) and len(one) <= SECRET_MAX_CHARS), "")


def _both(packed: str) -> list[str]:
    """The password, then the name, of `base64(name:password)`."""
    try:
        name, _, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return []
    return [password, name]


async def _find(desk: Desk, token_hash: bytes) -> Pusher | None:
    found: Pusher | None = await desk.ask(find_pusher, token_hash, now=desk.clock.now())
    return found


def _note(
    reason: str, admitted: Admitted, request: DoorRequest, *, desk: Desk, door: str, count: int
) -> None:
    desk.counts.add(door, REJECTED, count)
    sender = f"{admitted.name} ({request.peer})"
    desk.reject(
        Rejection(door, sender, reason, to_ms(desk.clock.now()), request.body, admitted.client, count)
    )
