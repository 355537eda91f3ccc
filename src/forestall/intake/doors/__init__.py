"""The doors of the intake over HTTP. A door is one file with

    SPEC: kernel.plugins.Spec
    PATHS: tuple[str, ...]        exact paths, or prefixes when they end in "/"
    BODY_MAX_BYTES: int           optional; else DEFAULT_BODY_MAX_BYTES
    def claims(method: str, path: str, headers: Mapping[str, str]) -> bool
                                  optional: whether it answers what no door's PATHS name
    def reword(answer: DoorAnswer) -> DoorAnswer
                                  optional: an answer as its senders understand it, refusals of doors_app too
    def prepare() -> None         optional: what takes long the first time; called in a thread at the start
    async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer

`intake.doors_app` reads the body, calls the door and sends its answer; it also turns QueueFull into a 503
with Retry-After, so a door just awaits `desk.queue.append_async(frame)` and answers 2xx after it: by then
the frame is on the disk. Bad input is answered with `refuse(…)` and noted with `desk.reject(…)`.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from forestall.intake.bearers import Bearers
from forestall.intake.counts import Counts
from forestall.intake.repeats import Repeats
from forestall.intake.values import Rejection
from forestall.kernel import plugins
from forestall.kernel.clock import Clock

DEFAULT_BODY_MAX_BYTES = 8 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoorRequest:
    """One request, body read. Header names are lower case; of a repeated name the last value counts.

    `peer` is the sender's address.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class DoorAnswer:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Taker(Protocol):
    """What makes a frame durable (`intake.queue.QueueWriter`)."""

    async def append_async(self, frame: bytes) -> None:
        """Return when the frame is on the disk. Raises QueueFull, QueueBroken."""
        ...


class Ask(Protocol):
    """Runs a function that uses the database in a worker thread: `await desk.ask(read_key, collector)`."""

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What a door is handed. `reject` notes refused input without waiting; it is written behind. `bearers`,
    `counts` and `repeats` are for `intake.gate`, the way in for outside programs. `mask` takes the secrets
    out of a text that a door keeps by itself; what goes into the queue is masked when it is decoded."""

    queue: Taker
    clock: Clock
    ask: Ask
    reject: Callable[[Rejection], None]
    bearers: Bearers = field(default_factory=Bearers)
    counts: Counts = field(default_factory=Counts)
    repeats: Repeats = field(default_factory=Repeats)
    mask: Callable[[str], str] = str


def answer_json(status: int, content: object, **headers: str) -> DoorAnswer:
    """An answer in JSON."""
    return DoorAnswer(status, json.dumps(content).encode(), {"content-type": "application/json", **headers})


def refuse(status: int, title: str, detail: str = "", **headers: str) -> DoorAnswer:
    """A refusal as RFC 9457 problem details; `detail` says what to do. `retry_after="5"` becomes a header."""
    problem = {"type": "about:blank", "title": title, "status": status}
    if detail:
        problem["detail"] = detail
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return DoorAnswer(
        status, json.dumps(problem).encode(), {"content-type": "application/problem+json", **named}
    )


def prepare_doors(doors: Mapping[str, ModuleType]) -> None:
    """Let every door do ahead of its first request what takes long (compiling, seconds, once a machine)."""
    for name, door in doors.items():
        try:
            if hasattr(door, "prepare"):
                door.prepare()
        except Exception:  # it is then done, or told, with the first request
            log.exception("the door %s could not be prepared", name)


def load_doors() -> Mapping[str, ModuleType]:
    """Every door, by the name in its SPEC."""
    return plugins.load(__name__)
