"""The door for heartbeats: jobs that ping when they begin, end or fail, as healthchecks.io has it.

The identifier in the address is the secret; there is no token. A ping is kept with its heartbeat and, when it
says how a run ended, goes on the road as an outcome; both are durable when it is answered.

Source: https://healthchecks.io/docs/http_api/
"""

import math
import re
from functools import partial
from uuid import UUID

import numpy as np
import pyarrow as pa

from forestall.collect.parsers.syslog import empty_strings
from forestall.estate.access import hash_secret
from forestall.estate.values import Pusher
from forestall.intake.bearers import TooManyTries
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest
from forestall.intake.formats.otlp_values import spell_attrs
from forestall.intake.gate import Admitted, take
from forestall.intake.heartbeats import (
    BODY_KEPT_BYTES,
    PING_COST_BYTES,
    Heard,
    Noted,
    PingKind,
    find_pinger,
    note_ping,
)
from forestall.intake.pushed import Pushed, PushedLogs, PushedOutcome, no_logs, no_samples
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import ANSWER_MAX_CHARS, Outcome
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="heartbeat",
    title="Heartbeats",
    about="Jobs that ping an address when they begin, end or fail: cron, backups, borgmatic, scripts.",
    source="https://healthchecks.io/docs/http_api/",
    limits=f"{BODY_KEPT_BYTES} bytes of a body are kept.",
    produces=("probe.up", "probe.took_ms"),
)
PATHS = ("/ping/",)
BODY_MAX_BYTES = 1 << 20
METHODS = ("GET", "HEAD", "POST")
NOTICE = 5
SAID_MAX_CHARS = 300

_PATH = re.compile(r"/ping/([A-Za-z0-9_-]{22})(?:/(start|fail|log|\d{1,3}))?")
_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "access-control-allow-origin": "*",
    "ping-body-limit": str(BODY_KEPT_BYTES),
}


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 `OK` when the ping is on the disk."""
    if request.method not in METHODS:
        return _say(405, "use GET, HEAD or POST", allow=", ".join(METHODS))
    found = _PATH.fullmatch(request.path)
    if found is None:
        return _say(404, "not found")
    action = found[2] or "0"
    if action.isdecimal() and int(action) > 255:
        return _say(400, "an exit status is 0 to 255")
    try:
        rid = str(UUID(request.query["rid"])) if request.query.get("rid") else ""
    except ValueError:
        return _say(400, "rid is not a UUID")
    try:
        pusher = await desk.bearers.pusher(
            hash_secret(found[1]),
            peer=request.peer,
            now_ms=to_ms(desk.clock.now()),
            find=partial(_find, desk),
        )
    except TooManyTries as error:
        return _say(429, str(error), **{"retry-after": str(error.wait_s)})
    if pusher is None:
        return _say(404, "not found")
    if wait_s := desk.bearers.wait_s(pusher, to_ms(desk.clock.now())):
        return _say(429, "this heartbeat pings too often", **{"retry-after": str(wait_s)})
    desk.bearers.spend(pusher.token, PING_COST_BYTES)
    heard = Heard(
        kind=_kind(action),
        at=desk.clock.now(),
        peer=request.peer,
        status=int(action) if found[2] and action.isdecimal() else None,
        rid=rid,
        agent=_printable(request.headers.get("user-agent", "")),
        body=_masked(request.body[:BODY_KEPT_BYTES], desk),
    )
    noted = await desk.ask(note_ping, pusher.token, heard)
    if noted is None:
        return _say(404, "not found")
    admitted = Admitted(noted.client, noted.asset, pusher.token, noted.name, to_ms(heard.at))
    pushed = _pushed(heard, noted)
    await take(pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    return _say(200, "OK")


def _masked(body: bytes, desk: Desk) -> bytes:
    """What a job printed, without its secrets; bytes that are no text stay as they are."""
    return desk.mask(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


async def _find(desk: Desk, secret_hash: bytes) -> Pusher | None:
    found: Pusher | None = await desk.ask(find_pinger, secret_hash)
    return found


def _kind(action: str) -> PingKind:
    match action:
        case "start" | "log":
            return action
        case "0":
            return "ok"
        case _:
            return "fail"


def _pushed(heard: Heard, noted: Noted) -> Pushed:
    """An outcome for a run that ended; a line of the log for what a ping said on the way."""
    at_ms = to_ms(heard.at)
    body = heard.body.decode(errors="replace").replace("\0", "")
    if heard.kind in ("start", "log"):
        if heard.kind == "log" and not body.strip():
            return Pushed(no_logs(), no_samples())
        message = f"{noted.name} began" if heard.kind == "start" else body.strip()
        return Pushed(_line(heard, noted, message, at_ms), no_samples())
    ok = heard.kind == "ok"
    outcome = Outcome(
        at_ms=at_ms,
        probe="heartbeat",
        kind="heartbeat",
        target=noted.name,
        ok=ok,
        reason=_reason(heard, body),
        # what is not a number is not kept: nobody knows how long a run took whose beginning was not told
        took_ms=math.nan if noted.lasted_ms is None else float(noted.lasted_ms),
        answer=body[:ANSWER_MAX_CHARS],
    )
    return Pushed(no_logs(), no_samples(), (PushedOutcome(outcome, asset=noted.asset),))


def _reason(heard: Heard, body: str) -> str:
    """How a run ended, in words; the last line that a failed one said."""
    if heard.kind == "ok":
        return "it said that all is well"
    how = f"exit status {heard.status}" if heard.status is not None else "it said so"
    said = next((line.strip() for line in reversed(body.splitlines()) if line.strip()), "")
    return f"it failed ({how})" + (f": {said[:SAID_MAX_CHARS]}" if said else "")


def _line(heard: Heard, noted: Noted, message: str, at_ms: int) -> PushedLogs:
    attrs = {"heartbeat": noted.name} | ({"rid": heard.rid} if heard.rid else {})
    return PushedLogs(
        at_ms=np.array([at_ms], np.int64),
        severity=np.array([NOTICE], np.uint8),
        facility=np.array([1], np.uint8),
        host=pa.array([""], pa.string()),
        source=pa.array(["heartbeat"], pa.string()),
        message=pa.array([message], pa.string()),
        raw=empty_strings(1),
        attrs=pa.array([spell_attrs(attrs)], pa.string()),
    )


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _say(status: int, text: str, **headers: str) -> DoorAnswer:
    return DoorAnswer(status, text.encode(), {**_HEADERS, **headers})
