"""The agent's way out: signed requests to its server. Batches from the spool, the work list, a new key.

What does not get through is sent again, with growing pauses and as the server asks (Retry-After).
"""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import msgspec

from forestall import __version__
from forestall.collect.agent.identity import Identity, new_key, read_identity, write_identity
from forestall.collect.agent.sign import GOOD_FOR_MS, sign
from forestall.collect.agent.spool import Spool
from forestall.collect.agent.way_out import proxy_for, say_proxy, trust
from forestall.collect.asking import ProbeOrder
from forestall.kernel.backups import BackupOrder
from forestall.kernel.observations import LogRecord

WORK_EVERY_S = 15.0
ANSWER_S = 30.0
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
RETRY_AFTER_MAX_S = 600.0
NEVER_TAKEN = frozenset((400, 413, 415, 422))
SAID_MAX_CHARS = 300
KEY_LIVES_S = 90 * 86_400
NEW_KEY = "identity.next.json"

log = logging.getLogger("agent")


class Work(msgspec.Struct, frozen=True):
    """What the server asks of a collector: probes, the ranges that its site declares, which probes are wanted
    at once (probe → when that was wanted, in ms), and the backup plans that it watches."""

    probes: list[ProbeOrder] = []
    ranges: list[str] = []
    now: dict[str, int] = {}
    backups: list[BackupOrder] = []


class Sender:
    """Sends what the spool holds and fetches work. `tell` hands on what the server refused; `proxy` is the
    agent's own setting. Raises Trouble for a wrong proxy or authority."""

    def __init__(
        self,
        identity: Identity,
        spool: Spool,
        *,
        directory: Path,
        tell: Callable[[LogRecord], None],
        work: Callable[[Work], None],
        proxy: str = "",
    ) -> None:
        self.identity = identity
        self.something = asyncio.Event()
        self._spool = spool
        self._directory = directory
        self._tell = tell
        self._work = work
        self._proxy = proxy_for(identity.url, own=proxy)
        self._said = ""
        self._clock_off_ms = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or cancelled."""
        async with (
            httpx.AsyncClient(
                timeout=ANSWER_S, trust_env=False, verify=trust(self.identity.ca), proxy=self._proxy
            ) as http,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._send(http, stop))
            tasks.create_task(self._fetch_work(http, stop))

    async def _send(self, http: httpx.AsyncClient, stop: asyncio.Event) -> None:
        pause_s = PAUSE_FIRST_S
        while not stop.is_set():
            self.something.clear()
            waiting = await asyncio.to_thread(self._spool.first)
            if waiting is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.something.wait(), PAUSE_MAX_S)
                continue
            wait_s = await self._send_one(http, *waiting)
            if wait_s == 0:
                pause_s = PAUSE_FIRST_S
                continue
            await _pause(stop, max(wait_s, pause_s * random.uniform(0.7, 1.3)))  # noqa: S311
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _send_one(self, http: httpx.AsyncClient, number: int, body: bytes) -> float:
        """Send a batch; 0 when it is done with, else for how long to wait at least."""
        try:
            answer = await self._request(http, "POST", "/agent/v1/observations", body)
        except httpx.HTTPError as error:
            self._say(f"{self.identity.url} does not answer{say_proxy(self._proxy)}: {say_failure(error)}")
            return PAUSE_FIRST_S
        text = answer.text[:SAID_MAX_CHARS]
        if answer.is_success:
            self._say("")
            if '"rejected"' in text:
                self._note(f"the server took batch {number} but for a part of it: {text}")
            await asyncio.to_thread(self._spool.done, number)
            return 0
        if answer.status_code in NEVER_TAKEN:  # it will never be taken: the server has noted it
            self._note(f"the server refused batch {number}: {text}")
            await asyncio.to_thread(self._spool.done, number)
            return 0
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._set_clock(answer)
            self._say(
                f"the server does not know this collector: {_detail(answer)}. What is seen is kept here; "
                "make a token in the console and run: forestall agent enrol URL TOKEN"
            )
        else:
            self._say(f"the server answered {answer.status_code}: {text}")
        after = answer.headers.get("retry-after", "")
        return min(float(after), RETRY_AFTER_MAX_S) if after.isdecimal() else PAUSE_FIRST_S

    async def _fetch_work(self, http: httpx.AsyncClient, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._renew_key(http)
                answer = await self._request(http, "GET", "/agent/v1/work", b"")
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    self._set_clock(answer)
                answer.raise_for_status()
                self._work(msgspec.json.decode(answer.content, type=Work))
            except (httpx.HTTPError, msgspec.MsgspecError, ValueError) as error:
                log.info("no work list: %s", error)
            await _pause(stop, WORK_EVERY_S)

    async def _renew_key(self, http: httpx.AsyncClient) -> None:
        """A new key every 90 days. It is on disk before the server is told, so that whichever of the two the
        server knows after a crash, this machine has it."""
        next_file = self._directory / NEW_KEY
        if not next_file.exists():
            if time.time() - self.identity.key_since_s < KEY_LIVES_S:
                return
            fresh = new_key(self.identity, now_s=time.time())
            write_identity(self._directory, fresh, name=NEW_KEY)
        fresh = read_identity(self._directory, name=NEW_KEY)
        body = json.dumps({"public_key": fresh.public_key}).encode()
        answer = await self._request(http, "POST", "/agent/v1/rotate", body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # it may know the new one already
            answer = await self._request(http, "POST", "/agent/v1/rotate", body, identity=fresh)
        if answer.is_success:
            write_identity(self._directory, fresh)
            next_file.unlink()
            self.identity = fresh

    async def _request(
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        body: bytes,
        *,
        identity: Identity | None = None,
    ) -> httpx.Response:
        who = identity or self.identity
        at_ms = time.time_ns() // 1_000_000 + self._clock_off_ms
        header = sign(
            who.private_key, collector=who.collector, method=method, path=path, body=body, at_ms=at_ms
        )
        headers = {"authorization": header, "user-agent": f"forestall-agent/{__version__}"}
        if path.endswith("/observations"):
            headers["content-encoding"] = "zstd"
        return await http.request(method, f"{who.url}{path}", content=body, headers=headers)

    def _set_clock(self, answer: httpx.Response) -> None:
        """A machine whose clock is far off is one to hear of: sign by the server's clock then."""
        try:
            there_ms = int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1000)
        except (ValueError, TypeError):
            return
        off_ms = there_ms - time.time_ns() // 1_000_000
        if abs(off_ms - self._clock_off_ms) > GOOD_FOR_MS // 2:
            self._clock_off_ms = off_ms if abs(off_ms) > GOOD_FOR_MS // 2 else 0
            self._note(f"this machine's clock is {off_ms / 1000:.0f} s behind the server's: set it right")

    def _note(self, text: str) -> None:
        """Say it to the server, too."""
        log.warning("%s", text)
        at_ms = time.time_ns() // 1_000_000
        self._tell(LogRecord(at_ms=at_ms, severity=4, source="forestall-agent", message=text))

    def _say(self, text: str) -> None:
        """Say it in the agent's own log, once until it changes."""
        if text and text != self._said:
            log.warning("%s", text)
        elif self._said and not text:
            log.warning("%s takes what is sent again", self.identity.url)
        self._said = text


def say_failure(error: httpx.HTTPError) -> str:
    """What went wrong on the way, without addresses that may hold a password."""
    text = str(error)
    if isinstance(error, httpx.ProxyError) and "407" in text:
        return "the proxy asks for a name and a password, or does not take those that it got"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted; for an authority of your own enrol with --ca FILE"
    return type(error).__name__


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["title"])[:SAID_MAX_CHARS]
    except (ValueError, KeyError, TypeError):
        return answer.text[:SAID_MAX_CHARS]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
