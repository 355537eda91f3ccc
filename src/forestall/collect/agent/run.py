"""The agent's life: look, ask, spool, send. What it may do is decided here, not by the server: it looks at
its machine and asks the probes it is told within its site's ranges, and executes nothing that it is sent.
"""

import asyncio
import contextlib
import logging
import random
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import zstandard

from forestall import __version__
from forestall.collect.agent.identity import Identity, read_identity
from forestall.collect.agent.looking import Looks
from forestall.collect.agent.sign import sign
from forestall.collect.agent.spool import Spool
from forestall.collect.asking import Asker, ProbeOrder
from forestall.collect.masking import Masker
from forestall.collect.reach import Reach, of_collector
from forestall.collect.viewing import Reading
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import LogRecord, Observations, Outcome, Sample, Snapshot

STEP_S = 0.5
BATCH_EVERY_S = 2.0
WORK_EVERY_S = 15.0
OWN_EVERY_S = 30.0
ANSWER_S = 30.0
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
ROWS_A_BATCH = 20_000
SNAPSHOT_CHARS_A_BATCH = 3 << 20
WAITING_MAX = 200_000
SETTINGS = "agent.toml"

log = logging.getLogger("agent")


class Work(msgspec.Struct, frozen=True):
    """What the server asks of a collector: probes, and the ranges that its site declares."""

    probes: list[ProbeOrder] = []
    ranges: list[str] = []


class Agent:
    """One agent, from start to stop."""

    def __init__(self, directory: Path) -> None:
        self.identity: Identity = read_identity(directory)
        own = _read_settings(directory)
        self.looks = Looks(directory, Masker(bytes.fromhex(self.identity.key)), settings=own.get("look", {}))
        self.own_plugins = Path(own["plugins"]) if "plugins" in own else None
        self.spool = Spool(directory / "spool")
        self.samples: list[Sample] = []
        self.logs: list[LogRecord] = []
        self.snapshots: list[Snapshot] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        self.stop = asyncio.Event()
        self.something = asyncio.Event()
        self.refused = ""
        self._sent_snapshots: dict[str, tuple[str, int]] = {}
        self._process = psutil.Process()
        self._asker = Asker([], self._reach([]), self._take_outcome)

    async def run(self) -> None:
        """Until `stop` is set; what is left is spooled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self._batch())
            tasks.create_task(self._send())
            tasks.create_task(self._fetch_work())
            tasks.create_task(self._asker.run(self.stop))

    # seeing

    async def _look(self) -> None:
        own_due = 0.0
        while not self.stop.is_set():
            now_s = time.monotonic()
            for name in self.looks.due(now_s):
                reading = await asyncio.to_thread(
                    self.looks.look, name, now_s=now_s, now_ms=int(time.time() * 1000)
                )
                self._take(name, reading)
                if self.stop.is_set():
                    break
            if now_s >= own_due:
                own_due = now_s + OWN_EVERY_S
                self._take("", Reading(samples=self._own_samples()))
            await _pause(self.stop, STEP_S)

    def _own_samples(self) -> list[Sample]:
        now_ms = int(time.time() * 1000)
        numbers = {
            "agent.spool_bytes": float(self.spool.size_bytes),
            "agent.dropped_count": float(self.spool.dropped_total),
            "agent.cpu_used_ratio": self._process.cpu_percent() / 100,
            "agent.memory_bytes": float(self._process.memory_info().rss),
        }
        return [Sample(now_ms, metric, "", value) for metric, value in numbers.items()]

    def _take(self, name: str, reading: Reading) -> None:
        self.samples += reading.samples
        self.logs += reading.logs
        for snapshot in reading.snapshots:
            if self._is_news(snapshot):
                self.snapshots.append(snapshot)
        if reading.keep is not None:
            self.kept[name] = reading.keep
        for waiting in (self.samples, self.logs):
            if len(waiting) > WAITING_MAX:
                del waiting[: len(waiting) - WAITING_MAX]

    def _is_news(self, snapshot: Snapshot) -> bool:
        """Text that did not change is sent again every ten minutes only, as a sign that it was looked at."""
        known = self._sent_snapshots.get(snapshot.kind)
        said = snapshot.text + "\0" + snapshot.problem
        if known and known[0] == said and snapshot.at_ms - known[1] < 600_000:
            return False
        self._sent_snapshots[snapshot.kind] = (said, snapshot.at_ms)
        return True

    def _take_outcome(self, order: ProbeOrder, outcome: Outcome) -> None:
        self.outcomes.setdefault(order.asset, []).append(outcome)

    # keeping

    async def _batch(self) -> None:
        while not self.stop.is_set():
            await _pause(self.stop, BATCH_EVERY_S)
            await asyncio.to_thread(self.spool_all)
            self.something.set()

    def spool_all(self) -> None:
        """Everything that was seen becomes batches on disk; then the places of the logs are remembered."""
        samples, self.samples = self.samples, []
        logs, self.logs = self.logs, []
        snapshots, self.snapshots = self.snapshots, []
        outcomes, self.outcomes = self.outcomes, {}
        kept, self.kept = self.kept, {}
        now_ms = int(time.time() * 1000)
        try:
            while samples or logs or snapshots:
                some: list[Snapshot] = []
                while snapshots and (not some or sum(len(one.text) for one in some) < SNAPSHOT_CHARS_A_BATCH):
                    some.append(snapshots.pop(0))
                part = Observations(samples=samples[:ROWS_A_BATCH], logs=logs[:ROWS_A_BATCH], snapshots=some)
                self.spool.put([part], at_ms=now_ms)
                samples, logs = samples[ROWS_A_BATCH:], logs[ROWS_A_BATCH:]
            if outcomes:
                self.spool.put(
                    [Observations(asset=asset, outcomes=found[-5000:]) for asset, found in outcomes.items()],
                    at_ms=now_ms,
                )
            self.looks.keep(kept)
        except OSError as error:
            log.warning("nothing can be kept on this disk: %s", error.strerror or error)

    # sending

    async def _send(self) -> None:
        pause_s = PAUSE_FIRST_S
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as http:
            while not self.stop.is_set():
                waiting = self.spool.first()
                if waiting is None:
                    self.something.clear()
                    await _first(self.stop, self.something)
                    continue
                wait_s = await self._send_one(http, *waiting)
                if wait_s == 0:
                    pause_s = PAUSE_FIRST_S
                    continue
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                await _pause(self.stop, max(wait_s, pause_s * random.uniform(0.7, 1.3)))  # noqa: S311

    async def _send_one(self, http: httpx.AsyncClient, number: int, data: bytes) -> float:
        """Send a batch; 0 when it is done with, else for how long to wait at least."""
        body = await asyncio.to_thread(zstandard.ZstdCompressor(level=3).compress, data)
        try:
            answer = await self._request(http, "POST", "/agent/v1/observations", body)
        except httpx.HTTPError as error:
            self._say(f"{self.identity.url} does not answer: {type(error).__name__}")
            return PAUSE_FIRST_S
        if answer.is_success:
            self._say("")
            self.spool.done(number)
            return 0
        if answer.status_code in (400, 413, 415):  # it will never be taken: the server has noted it
            self._say(f"a batch was refused: {answer.text[:300]}")
            self.spool.done(number)
            return 0
        self._say(f"the server answered {answer.status_code}: {answer.text[:300]}")
        after = answer.headers.get("retry-after", "")
        return float(after) if after.isdigit() else PAUSE_FIRST_S

    async def _fetch_work(self) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as http:
            while not self.stop.is_set():
                try:
                    answer = await self._request(http, "GET", "/agent/v1/work", b"")
                    answer.raise_for_status()
                    work = msgspec.json.decode(answer.content, type=Work)
                    self._asker.update(work.probes, reach=self._reach(work.ranges))
                except (httpx.HTTPError, msgspec.MsgspecError, ValueError) as error:
                    log.info("no work list: %s", error)
                await _pause(self.stop, WORK_EVERY_S)

    async def _request(self, http: httpx.AsyncClient, method: str, path: str, body: bytes) -> httpx.Response:
        at_ms = int(time.time() * 1000)
        header = sign(
            self.identity.private_key,
            collector=self.identity.collector,
            method=method,
            path=path,
            body=body,
            at_ms=at_ms,
        )
        headers = {
            "authorization": header,
            "content-encoding": "zstd" if body else "identity",
            "user-agent": f"forestall-agent/{__version__}",
        }
        return await http.request(method, f"{self.identity.url}{path}", content=body, headers=headers)

    def _reach(self, ranges: list[str]) -> Reach:
        return of_collector(ranges, own_plugins=self.own_plugins)

    def _say(self, text: str) -> None:
        if text and text != self.refused:
            log.warning("%s", text)
        self.refused = text


async def run_agent(directory: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises Trouble when this machine is not enrolled."""
    agent = Agent(directory)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop.set)
    await agent.run()
    agent.spool_all()


def _read_settings(directory: Path) -> dict[str, Any]:
    """The agent's own settings, made on its machine: `[look.log_files] more = […]`, `plugins = "/…"`."""
    path = directory / SETTINGS
    try:
        return tomllib.loads(path.read_text()) if path.exists() else {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Trouble(f"{path} cannot be read: {error}", "Mend it or remove it.") from error


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until `stop`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
