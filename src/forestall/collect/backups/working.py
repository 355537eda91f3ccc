"""Does the works of the plans that this collector watches: look, check, read back, restore and compare.

Two lanes, each one work at a time: looks, which are quick and find what stopped; proofs, which take hours.
What was done when is remembered on disk; a work that a restart interrupted is begun again. What jobs on this
machine have written is taken along. Everything leaves by `deliver`.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec

from forestall.collect.backups.adapter import CannotProve, Repository
from forestall.collect.backups.background import in_background
from forestall.collect.backups.programs import Programs
from forestall.collect.backups.proving import Proving, pair, prove
from forestall.collect.backups.records import Done, Records
from forestall.collect.backups.sandbox import Sandbox, clear_scratch, make_scratch, remove, scratch_for
from forestall.kernel.backups import (
    BackupOrder,
    BackupReport,
    ProgressReport,
    ProofReport,
    RepositoryReport,
    RunReport,
    Work,
    WorkOrder,
    same_copy,
)
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import new_id
from forestall.kernel.plugins import OnDemand

JOBS = "forestall.collect.jobs"
ORDERS_MAX = 2_000
PROGRESS_EVERY_S = 2.0
REPORTS_EVERY_S = 2.0
REPORT_KEPT_S = 60.0  # a delivered report of a job lies there until the spool has surely written it
IDLE_S = 30.0
FIRST_LOOK_WITHIN_S = 60.0
FIRST_WITHIN_S = 3_600.0
AGAIN_LEAST_S, AGAIN_MOST_S = 300.0, 3_600.0  # after what could not be tried
LOOK_MAX_S = 900.0
WANTED_TIMEOUT_S = 6 * 3600.0
COPY_SETTLES_MS = 600_000  # a younger copy without a run may be one whose job has not reported yet
COPIES_REMEMBERED_MAX = 400  # the newest: older ones are no runs of interest
COPY_NAME_CHARS = 24
WANTED_REMEMBERED_MAX = 200
SECRET_MIN_CHARS = 4

Deliver = Callable[[str, BackupReport], None]  # asset ("" for this machine), report

log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True)
class _Task:
    order: BackupOrder
    work: Work
    proof: str  # "" for a scheduled one
    timeout_s: float


class Working:
    """`update` says what is to be watched, `run` does it until told to stop.

    `directory` is the agent's `backups` directory; `sandbox` where restores go (None: see `scratch_for`),
    `sandbox_max` and `reserve` bound it in bytes. `deliver` is called in the event loop and must not block.
    """

    def __init__(
        self,
        directory: Path,
        deliver: Deliver,
        *,
        now_ms: Callable[[], int],
        sandbox: Path | None = None,
        sandbox_max: int = 0,
        reserve: int | None = None,
        adapters: Mapping[str, ModuleType] | None = None,
    ) -> None:
        self.records = Records(directory)
        self.failed = self.lost = 0
        self._deliver_to = deliver
        self._now_ms = now_ms
        self.scratch = sandbox / "forestall-scratch" if sandbox else scratch_for(directory)
        self._sandbox_max, self._reserve = sandbox_max, reserve
        self._adapters = OnDemand(JOBS) if adapters is None else adapters
        self._orders: dict[str, BackupOrder] = {}
        self._done: dict[str, Done] = self.records.read_done()
        self._changed = asyncio.Event()
        self._running: dict[str, tuple[_Task, asyncio.Task[None]]] = {}
        self._delivered: dict[Path, float] = {}

    def update(self, orders: Iterable[BackupOrder]) -> None:
        """From now on these. A work of a plan that is not among them any more is ended. Raises ValueError for
        more than ORDERS_MAX."""
        found = {order.id: order for order in orders}
        if len(found) > ORDERS_MAX:
            raise ValueError(f"at most {ORDERS_MAX} plans can be watched from one place, not {len(found)}")
        if found == self._orders:
            return
        self._orders = found
        now_ms = self._now_ms()
        for name in found.keys() - self._done.keys():
            self._done[name] = Done(seen_ms=now_ms)
        for task, running in self._running.values():
            if task.order.id not in found:
                running.cancel()
        try:
            self.records.write_plans(found.values())
        except OSError as error:
            log.warning("plans cannot be kept for the jobs of this machine: %s", error)
        self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or cancelled."""
        await in_background(lambda _: clear_scratch(self.scratch))  # of a work that was interrupted
        lanes = [self._lane("look", stop), self._lane("proof", stop), self._take_reports(stop)]
        tasks = [asyncio.create_task(lane) for lane in lanes]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in (stopping, *tasks):
                one.cancel()
            await asyncio.wait([stopping, *tasks])
            await asyncio.shield(in_background(lambda _: clear_scratch(self.scratch)))

    # when

    async def _lane(self, lane: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._changed.clear()
            task, wait_s = self._next(lane)
            if task is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait_s)
                continue
            running = asyncio.create_task(self._carry_out(task))
            self._running[lane] = (task, running)
            try:
                await asyncio.wait([running])
                if not running.cancelled():
                    running.result()
            finally:
                running.cancel()
                await asyncio.wait([running])
                self._running.pop(lane, None)

    def _next(self, lane: str) -> tuple[_Task | None, float]:
        """What is to be done now, else for how many seconds there is nothing. What a person wants comes
        first, then what is most overdue."""
        now_ms = self._now_ms()
        wanted: list[tuple[int, _Task]] = []
        due: list[tuple[float, _Task]] = []
        for order in self._orders.values():
            done = self._done[order.id]
            times = {one.work: one for one in order.works}
            for one in order.wanted:
                if (one.work == "look") == (lane == "look") and one.proof not in done.wanted:
                    timeout_s = times[one.work].timeout_s if one.work in times else WANTED_TIMEOUT_S
                    wanted.append((one.at_ms, _Task(order, one.work, one.proof, timeout_s)))
            for work in order.works:
                if (work.work == "look") == (lane == "look"):
                    at_ms = due_ms(order.id, work, done, now_ms)
                    due.append((at_ms, _Task(order, work.work, "", work.timeout_s)))
        if wanted:
            return min(wanted, key=lambda one: one[0])[1], 0
        if not due:
            return None, IDLE_S
        at_ms, task = min(due, key=lambda one: one[0])
        if at_ms <= now_ms:
            return task, 0
        return None, min(IDLE_S, (at_ms - now_ms) / 1000 + 0.01)

    # doing

    async def _carry_out(self, task: _Task) -> None:
        """One work, delivered, and remembered as done or tried."""
        order, began_ms = task.order, self._now_ms()
        proof = task.proof or new_id()
        scratch = self.scratch / proof
        try:
            adapter, repository = self._prepare(order, scratch, task.timeout_s)
            await self._make_place(scratch)
            async with asyncio.timeout(
                min(task.timeout_s, LOOK_MAX_S) if task.work == "look" else task.timeout_s
            ):
                if task.work == "look":
                    await self._look(order, adapter, repository)
                else:
                    await self._prove(task, proof, adapter, repository)
            self._remember(task)
        except CannotProve as reason:
            self._cannot(task, proof, str(reason), began_ms=began_ms, why=reason.why)
        except TimeoutError:
            said = f"it was not done within {task.timeout_s / 3600:.3g} hours, and was ended"
            self._cannot(task, proof, said, began_ms=began_ms, why="away")
        except Exception as error:
            log.exception("%s of the plan %s has a bug", task.work, order.name)
            self.failed += 1
            said = f"{order.tool} has a bug: {type(error).__name__}; see the log of this agent"
            self._cannot(task, proof, said, began_ms=began_ms, why="tool")
        finally:
            await asyncio.shield(in_background(lambda _: remove(scratch)))

    def _prepare(self, order: BackupOrder, scratch: Path, timeout_s: float) -> tuple[ModuleType, Repository]:
        """Raises CannotProve for a tool that is not known here, or wrong settings."""
        try:
            adapter = self._adapters[order.tool]
            settings = adapter.SPEC.read(order.settings)
        except KeyError:
            raise CannotProve(
                f"this collector knows no tool {order.tool!r}: update it, or choose one of "
                f"{', '.join(self._adapters)}"
            ) from None
        except (Trouble, ValueError) as error:
            raise CannotProve(f"the plan cannot be carried out here: {error}") from error
        return adapter, Repository(
            place=order.repository, sources=order.sources, settings=settings, secrets=order.secrets,
            scratch=scratch, run=Programs(scratch, timeout_s=timeout_s), now_ms=self._now_ms,
            keep=self.records.keep(order.id),
        )  # fmt: skip

    async def _make_place(self, scratch: Path) -> None:
        try:
            await in_background(lambda _: make_scratch(self.scratch))
            await in_background(lambda _: make_scratch(scratch))
        except OSError as error:
            raise CannotProve(
                f"there is no place for what this leaves until it ends: {error}; mend [backups] in agent.toml"
            ) from error

    async def _prove(self, task: _Task, proof: str, adapter: ModuleType, repository: Repository) -> None:
        order = task.order
        most = min(filter(None, (order.sandbox_max, self._sandbox_max)), default=0)
        part = self._done[order.id].part % order.slices + 1
        proving = Proving(
            order, task.work, proof, adapter, repository,
            Sandbox(repository.scratch / "restored", most=most, reserve=self._reserve),
            None if task.work == "elsewhere" else self.records, self._teller(task, proof), part,
        )  # fmt: skip
        report = await prove(proving)
        if task.work == "read":
            self._done[order.id].part = part
        self._deliver(order, report)

    async def _look(self, order: BackupOrder, adapter: ModuleType, repository: Repository) -> None:
        if not hasattr(adapter, "look"):
            return
        seen: RepositoryReport = await adapter.look(repository)
        self._deliver(order, msgspec.structs.replace(seen, plan=order.id))
        if not seen.opened:
            return
        runs = await in_background(lambda _: self.records.runs(order.id))
        for run in pair(runs, seen.copies):
            self.records.keep_run(run)
            self._deliver(order, run)
        self._report_copies(order, adapter, seen, runs)

    def _report_copies(
        self, order: BackupOrder, adapter: ModuleType, seen: RepositoryReport, runs: Sequence[RunReport]
    ) -> None:
        """A run for every copy that no run is known of, each once."""
        done = self._done[order.id]
        known = {*done.copies}
        keys = [run.copy for run in runs if run.copy] + [bound.copy for bound in order.bound if bound.copy]
        settled_ms = seen.at_ms - COPY_SETTLES_MS
        for copy in seen.copies[-COPIES_REMEMBERED_MAX:]:
            name = copy.key[:COPY_NAME_CHARS]
            if name in known or settled_ms < copy.at_ms <= seen.at_ms:
                continue
            done.copies.append(name)
            if any(same_copy(key, copy.key) for key in keys):
                continue
            run = adapter.run_of_copy(copy) if hasattr(adapter, "run_of_copy") else None
            if run is not None:
                self._deliver(order, msgspec.structs.replace(run, plan=order.id))
        del done.copies[:-COPIES_REMEMBERED_MAX]

    def _cannot(self, task: _Task, proof: str, said: str, *, began_ms: int, why: str) -> None:
        """What could not be tried has failed, and says so."""
        order, now_ms = task.order, self._now_ms()
        report: BackupReport
        if task.work == "look":
            report = RepositoryReport(
                plan=order.id, at_ms=now_ms, opened=False, tool=order.tool[:128], reason=said[:2048],
                why=why,  # type: ignore[arg-type]
            )  # fmt: skip
        else:
            report = ProofReport(
                plan=order.id, proof=proof, work=task.work, began_ms=began_ms, ended_ms=max(began_ms, now_ms),
                ok=False, skipped=True, reason=said[:2048], tool=order.tool[:128],
            )  # fmt: skip
        self._deliver(order, report)
        self._remember(task, tried=True)

    def _teller(self, task: _Task, proof: str) -> Callable[[str, int, int, str], None]:
        """Progress reports, at most one in PROGRESS_EVERY_S; may be called from threads."""
        loop = asyncio.get_running_loop()
        last = [0.0]

        def tell(what: str, done: int, total: int, unit: str) -> None:
            now = time.monotonic()
            if now - last[0] < PROGRESS_EVERY_S:
                return
            last[0] = now
            report = ProgressReport(
                plan=task.order.id, proof=proof, work=task.work, at_ms=self._now_ms(), doing=what[:128],
                done=max(0, done), total=max(0, total), unit=unit,  # type: ignore[arg-type]
            )  # fmt: skip
            loop.call_soon_threadsafe(self._deliver, task.order, report)

        return tell

    def _remember(self, task: _Task, *, tried: bool = False) -> None:
        """At once after it was delivered: what is not remembered is done again."""
        done = self._done.get(task.order.id)
        if done is None:
            return
        (done.tried if tried else done.done)[task.work] = self._now_ms()
        if task.proof:
            done.wanted = [*done.wanted, task.proof][-WANTED_REMEMBERED_MAX:]
        for name in self._done.keys() - self._orders.keys():
            if self._now_ms() - self._done[name].seen_ms > 400 * 86_400_000:
                del self._done[name]
        try:
            self.records.write_done(self._done)
        except OSError as error:
            log.warning("what was done for the backup plans cannot be kept: %s", error)

    # what jobs on this machine wrote

    async def _take_reports(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                for path, report in await in_background(lambda _: self.records.waiting()):
                    if path not in self._delivered:
                        order = self._orders.get(report.plan)
                        plans = {one.id: one.asset for one in self.records.plans()} if order is None else {}
                        self._hand_on(order.asset if order else plans.get(report.plan, ""), report)
                        self._delivered[path] = time.monotonic()
                for path, at in list(self._delivered.items()):
                    if time.monotonic() - at > REPORT_KEPT_S:
                        path.unlink(missing_ok=True)
                        del self._delivered[path]
            except OSError as error:
                log.warning("reports of jobs cannot be taken: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REPORTS_EVERY_S)

    def _deliver(self, order: BackupOrder, report: BackupReport) -> None:
        self._hand_on(order.asset, without_secrets(report, order.secrets.values()))

    def _hand_on(self, asset: str, report: BackupReport) -> None:
        try:
            self._deliver_to(asset, report)
        except Exception:
            self.lost += 1
            log.exception("a report of a backup could not be handed on")


def due_ms(plan: str, work: WorkOrder, done: Done, now_ms: int) -> float:
    """When a work is to be done next. The first time soon, spread by plan; what could not be tried
    is tried again within the hour."""
    every_ms = work.every_s * 1000
    last_ms = done.done.get(work.work)
    if last_ms is None or last_ms > now_ms + every_ms:  # never, or the clock was set back
        within_s = FIRST_LOOK_WITHIN_S if work.work == "look" else FIRST_WITHIN_S
        at_ms = min(done.seen_ms, now_ms) + share(plan + work.work) * min(every_ms, within_s * 1000)
    else:
        at_ms = last_ms + every_ms
    tried_ms = done.tried.get(work.work)
    if tried_ms is not None and tried_ms <= now_ms:
        again_ms = min(max(every_ms / 4, AGAIN_LEAST_S * 1000), AGAIN_MOST_S * 1000, every_ms)
        at_ms = max(at_ms, tried_ms + again_ms)
    return at_ms


def share(text: str) -> float:
    """0 ≤ share < 1, always the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / (1 << 48)


def without_secrets(report: BackupReport, secrets: Iterable[str]) -> BackupReport:
    """What a tool said may repeat what it was given."""
    known = [one for one in secrets if len(one) >= SECRET_MIN_CHARS]
    text = msgspec.json.encode(report).decode()
    found = [inside for one in known if (inside := msgspec.json.encode(one).decode()[1:-1]) in text]
    if not found:
        return report
    for inside in sorted(found, key=len, reverse=True):
        text = text.replace(inside, "(secret)")
    return msgspec.json.decode(text, type=type(report))
