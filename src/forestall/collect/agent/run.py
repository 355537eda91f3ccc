"""The agent's life: look, ask, spool, send. What it may do is decided here, not by the server: it looks at
its machine and asks the probes it is told within its site's ranges, and executes nothing that it is sent.
"""

import asyncio
import contextlib
import hashlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from forestall.collect.agent.identity import Identity, lock_directory, masking_key, read_identity
from forestall.collect.agent.looking import Looks
from forestall.collect.agent.packing import pack
from forestall.collect.agent.reporting import AGAIN_EVERY_S, Reports
from forestall.collect.agent.seen import Heap, Seen
from forestall.collect.agent.sending import Sender, Work
from forestall.collect.agent.settings import SETTINGS, read_settings
from forestall.collect.agent.spool import Spool
from forestall.collect.asking import Asker, Keeper, ProbeOrder
from forestall.collect.backups.records import DIRECTORY as BACKUPS
from forestall.collect.backups.series import samples_of
from forestall.collect.backups.working import Working
from forestall.collect.backups.worth import WORTH_EVERY_S, WORTH_FIRST_S, find_worth
from forestall.collect.masking import Masker
from forestall.collect.reach import Reach, of_collector
from forestall.collect.remembering import Memory
from forestall.collect.viewing import Reading
from forestall.kernel.backups import BackupReport
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import LogRecord, Observations, Outcome, Sample, Snapshot

if TYPE_CHECKING:
    from forestall.collect.agent.report_page import ReportPage

STEP_S = 0.5
FIRST_BATCH_S = 0.5
BATCH_EVERY_S = 2.0
RARE_BATCH_EVERY_S = 20.0
MANY_BATCHES = 100
OWN_EVERY_S = 30.0
STOP_S = 3.0
SAME_AGAIN_MS = 600_000
LOG_CHARS_MAX = 4 << 20
REMEMBERED = "remembered.json"

log = logging.getLogger("agent")


class Agent:
    """One agent, from start to stop. Raises Trouble for wrong settings, or when this directory has one."""

    def __init__(self, directory: Path) -> None:
        self.identity: Identity = read_identity(directory)
        self._lock = lock_directory(directory)
        own = read_settings(directory)
        self.spool = Spool(directory / "spool", now_ms=_now_ms())
        self._masker = Masker(masking_key(directory))
        try:
            self.looks = Looks(
                self._masker, kept=_read_memory(self.spool.memory), settings=own.get("look", {})
            )
        except ValueError as error:
            raise Trouble(f"{directory / SETTINGS}: {error}", "Mend that setting.") from error
        self.own_plugins = Path(own["plugins"]) if "plugins" in own else None
        self.seen = Seen()
        self.stop = asyncio.Event()
        self._spooling = threading.Lock()
        self._sent_snapshots: dict[str, tuple[bytes, int]] = {}
        self._process = psutil.Process()
        keeper = Keeper(Memory(directory / REMEMBERED), self._masker)
        self._asker = Asker([], self._reach([]), self._take_outcome, keeper=keeper)
        self._working = _working(directory, own.get("backups", {}), self._take_backup)
        self._plans: dict[str, str] = {}  # identifier → name
        self._reports = Reports(directory)
        self._page = _page(directory, own.get("report", {}))
        self._sender = Sender(
            self.identity,
            self.spool,
            directory=directory,
            tell=self._tell,
            work=self._take_work,
            proxy=str(own.get("proxy", "")),
        )

    async def run(self) -> None:
        """Until `stop` is set; what is left is spooled, and nothing is waited for that may hang."""
        if self._page is not None:
            self._page.start()
        jobs = [self._sender.run(self.stop), self._asker.run(self.stop), self._batch(), self._own()]
        jobs += [self._working.run(self.stop), self._worth(), self._report()]
        jobs += [self._look(name) for name in self.looks.names]
        tasks = [asyncio.create_task(job) for job in jobs]
        stopped = asyncio.create_task(self.stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a bug in one of them ends the agent: whoever started it starts it again
        finally:
            for task in (stopped, *tasks):
                task.cancel()
            await asyncio.wait([stopped, *tasks], timeout=STOP_S)
            self.spool_all()
            if self._page is not None:
                self._page.shutdown()
                self._page.server_close()
            self._lock.close()

    # seeing

    async def _look(self, name: str) -> None:
        while not self.stop.is_set():
            reading, again_s = await self.looks.look(name, self._tell)
            self._take(reading)
            await _pause(self.stop, again_s)
            while self.looks.follows(name) and self.seen.log_chars > LOG_CHARS_MAX and not self.stop.is_set():
                await _pause(self.stop, STEP_S)  # what is not read yet waits where it is

    async def _own(self) -> None:
        """Numbers of the agent itself."""
        while not self.stop.is_set():
            now_ms = _now_ms()
            numbers = {
                "agent.spool_bytes": float(self.spool.size_bytes),
                "agent.dropped_count": float(self.spool.dropped_total + self._asker.lost),
                "agent.cpu_used_ratio": self._process.cpu_percent() / 100,
                "agent.memory_bytes": float(self._process.memory_info().rss),
            }
            self._take(Reading([Sample(now_ms, metric, "", value) for metric, value in numbers.items()]))
            await _pause(self.stop, OWN_EVERY_S)

    async def _report(self) -> None:
        """Send what people reported here while the server did not answer."""
        said = ""
        while not self.stop.is_set():
            if self._reports.waiting():
                try:
                    await asyncio.to_thread(self._reports.send)
                except Trouble as trouble:
                    if (text := str(trouble)) != said:
                        log.warning("a report of a person: %s", said := text)
            await _pause(self.stop, AGAIN_EVERY_S)

    def _tell(self, record: LogRecord) -> None:
        self._take(Reading(logs=[record]))

    def _take(self, reading: Reading) -> None:
        """Add to what was seen, in one step with the looks' memory of it."""
        mask = self._masker.mask_line
        logs = [msgspec.structs.replace(one, message=mask(one.message)) for one in reading.logs]
        snapshots = [snapshot for snapshot in reading.snapshots if self._is_news(snapshot)]
        memory = self.looks.kept if reading.keep is not None else None
        self.spool.lose(self.seen.add(samples=reading.samples, logs=logs, snapshots=snapshots, memory=memory))

    def _is_news(self, snapshot: Snapshot) -> bool:
        """Text that did not change is sent again every ten minutes only, as a sign that it was looked at."""
        digest = hashlib.sha256(f"{snapshot.text}\0{snapshot.problem}".encode(errors="replace")).digest()
        known = self._sent_snapshots.get(snapshot.kind)
        if known and known[0] == digest and 0 <= snapshot.at_ms - known[1] < SAME_AGAIN_MS:
            return False
        self._sent_snapshots[snapshot.kind] = (digest, snapshot.at_ms)
        return True

    def _take_outcome(self, order: ProbeOrder, outcome: Outcome) -> None:
        self.spool.lose(self.seen.add(outcomes=[(order.asset, outcome)]))

    def _take_work(self, work: Work) -> None:
        self._asker.update(work.probes, reach=self._reach(work.ranges))
        self._asker.ask_now(work.now)
        self._plans = {order.id: order.name for order in work.backups}
        self._working.update(work.backups)

    # backups

    async def _worth(self) -> None:
        """What this machine holds that a plan should cover."""
        await _pause(self.stop, WORTH_FIRST_S)
        while not self.stop.is_set():
            self._take_backup("", await find_worth(_now_ms()))
            await _pause(self.stop, WORTH_EVERY_S)

    def _take_backup(self, asset: str, report: BackupReport) -> None:
        found = samples_of(report, self._plans)
        self.spool.lose(
            self.seen.add(backups=[(asset, report)], samples_of=[(asset, sample) for sample in found])
        )

    # keeping

    async def _batch(self) -> None:
        await _pause(self.stop, FIRST_BATCH_S)
        while not self.stop.is_set():
            await asyncio.to_thread(self.spool_all)
            self._sender.something.set()
            many = len(self.spool) > MANY_BATCHES  # the server is away: fewer, larger batches
            await _pause(self.stop, RARE_BATCH_EVERY_S if many else BATCH_EVERY_S)

    def spool_all(self) -> None:
        """Everything that was seen becomes batches on disk; the memory of where to read on becomes durable
        with the last of them. What the disk does not take stays in memory, up to a limit."""
        with self._spooling:
            heap = self.seen.take()
            batches = pack(
                logs=heap.logs,
                samples=heap.samples,
                snapshots=heap.snapshots,
                outcomes=heap.outcomes_by_asset,
                backups=heap.backups_by_asset,
                samples_of=heap.samples_by_asset,
            )
            for number, observations in enumerate(batches):
                last = number == len(batches) - 1
                try:
                    self.spool.put(
                        observations, at_ms=_now_ms(), memory=_write_memory(heap.memory) if last else None
                    )
                except OSError as error:
                    log.warning("nothing can be kept on this disk: %s", error.strerror or error)
                    self.spool.lose(self.seen.put_back(_heap_of(batches[number:])))
                    return

    def _reach(self, ranges: list[str]) -> Reach:
        return of_collector(ranges, own_plugins=self.own_plugins)


async def run_agent(directory: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises Trouble when this machine is not enrolled."""
    agent = Agent(directory)
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):  # the last is how Windows asks a program to end
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, agent.stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(agent.stop.set))
    await agent.run()


def _heap_of(batches: list[list[Observations]]) -> Heap:
    heap = Heap()
    for part in (part for batch in batches for part in batch):
        if part.asset:
            heap.samples_of += [(part.asset, sample) for sample in part.samples]
        else:
            heap.samples += part.samples
        heap.logs += part.logs
        heap.snapshots += part.snapshots
        heap.outcomes += [(part.asset, outcome) for outcome in part.outcomes]
        heap.backups += [(part.asset, report) for report in part.backups]
    return heap


def _page(directory: Path, own: dict[str, Any]) -> "ReportPage | None":
    """The page for the people at this machine, when `[report] port` is set in agent.toml. Raises Trouble."""
    if "port" not in own:
        return None
    from forestall.collect.agent.report_page import ReportPage  # most agents have no page: less memory

    try:
        return ReportPage(directory, int(own["port"]))
    except (OSError, OverflowError, ValueError) as error:
        what = f"the page of [report] in {directory / SETTINGS} cannot be opened: {error}"
        raise Trouble(what, "Choose another port.") from error


def _working(directory: Path, own: dict[str, Any], deliver: Callable[[str, BackupReport], None]) -> Working:
    """`[backups] sandbox = "/…"`, `sandbox_max` and `reserve` in bytes. Raises Trouble for other values."""
    try:
        return Working(
            directory / BACKUPS,
            deliver,
            now_ms=_now_ms,
            sandbox=Path(own["sandbox"]) if "sandbox" in own else None,
            sandbox_max=int(own.get("sandbox_max", 0)),
            reserve=int(own["reserve"]) if "reserve" in own else None,
        )
    except (TypeError, ValueError) as error:
        raise Trouble(f"{directory / SETTINGS}: [backups] {error}", "Mend that setting.") from error


def _read_memory(data: bytes) -> dict[str, dict[str, Any]]:
    """The looks' memory; none when it cannot be read."""
    try:
        return msgspec.json.decode(data, type=dict[str, dict[str, Any]]) if data else {}
    except msgspec.MsgspecError as error:
        log.warning("where the logs were read is not known any more: %s", error)
        return {}


def _write_memory(memory: dict[str, Any]) -> bytes:
    return msgspec.json.encode(memory)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until `stop`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
