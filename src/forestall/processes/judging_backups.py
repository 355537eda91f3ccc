"""Backup plans on the judge's side: reports become rows, and plans are judged that something came of or whose
time has come. How a plan stands is kept for the board.

What is in no plan is judged too, as a number for each thing that a machine holds.
"""

import heapq
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from django.db.models import F, Q

from forestall.backups.actions import resume, tools
from forestall.backups.coverage import Thing, coverage
from forestall.backups.judged import history_of, judged_plan, note_standing
from forestall.backups.models import BackupPlan, PlanStanding, Worth
from forestall.backups.orders import is_paused
from forestall.backups.sealing import list_unsealed, seal_proof
from forestall.backups.taking import Taken, take_reports, take_run
from forestall.backups.values import WORK_TITLES
from forestall.estate.models import Asset
from forestall.estate.tenancy import system_scope
from forestall.intake.decode import PlacedBackup, PlacedOutcome
from forestall.intake.values import RAW_MAX_BYTES, Rejection
from forestall.judge.backups import PlanVerdict, Rung
from forestall.judge.backups.values import WORK_OF_LEVEL
from forestall.judge.judge import HEARTBEAT, Judge
from forestall.judge.values import Transition
from forestall.kernel.backups import RunReport, Said
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.columns import SampleColumns
from forestall.kernel.ids import to_number

AT_ONCE = 100
AT_ONCE_S = 0.25
OVERLAP = timedelta(minutes=1)  # what another process touched while its transaction was open
AGAIN_LEAST_MS = 1_000
SEAL_EVERY_MS = 60_000
UNCOVERED = "backup.uncovered"
HEARTBEAT_TOOL = "heartbeat"
SCOPE = system_scope("watch")

log = logging.getLogger("watch")


class PlansToJudge:
    """Which plans are due. All methods run in the judge's thread, inside a `_database` block."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._due: dict[str, None] = {}
        self._times: list[tuple[int, str]] = []  # a heap: when to judge which plan again
        self._again: dict[str, int] = {}  # plan → its time that counts; others in the heap are stale
        self._looked_at: datetime | None = None
        self._covered_at: datetime | None = None
        self._sealed_ms = 0
        self.refused_count = 0

    def take(
        self, placed: Sequence[PlacedBackup], outcomes: Iterable[PlacedOutcome], now: datetime
    ) -> list[Rejection]:
        """Reports of collectors, and pings of heartbeats that stand for a plan; what was refused. The same
        may come again."""
        rejected: list[Rejection] = []
        if placed:
            taken: Taken = take_reports(placed, now=now)
            self._due.update(dict.fromkeys(taken.plans))
            self.refused_count += taken.refused
            rejected = [
                Rejection("agent", one.collector, said, one.received_at_ms, _raw(one), one.client)
                for one, said in taken.refusals
            ]
        for plan in self._take_pings(outcomes, now):
            self._due[plan] = None
        return rejected

    def _take_pings(self, outcomes: Iterable[PlacedOutcome], now: datetime) -> list[str]:
        """The plans whose heartbeat pinged. A ping is a run: it has no more to tell."""
        pings = [one for one in outcomes if one.outcome.kind == HEARTBEAT]
        if not pings:
            return []
        plans: dict[tuple[str, str], BackupPlan] = {}
        rows = BackupPlan.objects.of(SCOPE).filter(tool=HEARTBEAT_TOOL, archived_at=None)
        for plan in rows.filter(asset__in={one.asset for one in pings}):
            plans[(plan.asset_id, heartbeat_name(plan))] = plan
        touched = []
        for one in pings:
            found = plans.get((one.asset, one.outcome.target))
            if found is not None and take_run(found, run_of_ping(found.pk, one), now=now):
                touched.append(found.pk)
        return touched

    def look(self, now_ms: int) -> None:
        """Find what is due: at first all that waits, then what people or this process touched since."""
        rows = BackupPlan.objects.of(SCOPE)
        if self._looked_at is None:
            seen = Q(standing__judged_at=None) | Q(touched_at__gt=F("standing__judged_at"))
            late = Q(standing__judge_again_at=None)
            active = rows.filter(archived_at=None)
            self._due.update(dict.fromkeys(active.filter(seen | late).values_list("pk", flat=True)))
            waiting = active.filter(standing__judge_again_at__isnull=False)
            for pk, at in waiting.values_list("pk", "standing__judge_again_at"):
                if at is not None:
                    self._plan(pk, to_ms(at))
            self._forget_gone(now_ms)
        else:
            touched = rows.filter(touched_at__gte=self._looked_at - OVERLAP)
            judged = touched.filter(standing__judged_at__gt=F("touched_at"))
            fresh = touched.exclude(pk__in=judged.values("pk"))
            self._due.update(dict.fromkeys(fresh.values_list("pk", flat=True)))
        self._looked_at = from_ms(now_ms)

    def judge_some(self, now_ms: int) -> list[Transition]:
        """Judge some of what is due; the rest waits for the next time."""
        while self._times and self._times[0][0] <= now_ms:
            at_ms, pk = heapq.heappop(self._times)
            if self._again.get(pk) == at_ms:
                self._due[pk] = None
        taken: list[Transition] = []
        if self._due:
            keys = list(self._due)[:AT_ONCE]
            rows = BackupPlan.objects.of(SCOPE).filter(pk__in=keys)
            found = {row.pk: row for row in rows.select_related("client", "collector__asset", "standing")}
            until = time.monotonic() + AT_ONCE_S
            for key in keys:
                del self._due[key]
                if key in found:
                    taken += self._judge_one(found[key], now_ms)
                if time.monotonic() > until:
                    break
        if now_ms - self._sealed_ms >= SEAL_EVERY_MS:
            self._sealed_ms = now_ms
            _seal_left(from_ms(now_ms))
        return taken

    def judge_coverage(self, now_ms: int) -> list[Transition]:
        """What machines hold, and what plans cover, wherever either was touched. Only for clients of which
        a plan is known: where backups are not looked after, everything would be in no plan."""
        now, since = from_ms(now_ms), self._covered_at
        self._covered_at = now
        worths, plans = Worth.objects.of(SCOPE), BackupPlan.objects.of(SCOPE)
        machines = Asset.objects.of(SCOPE).filter(archived_at=None)
        if since is not None:
            worths = worths.filter(touched_at__gte=since - OVERLAP)
            plans = plans.filter(touched_at__gte=since - OVERLAP)
            machines = machines.filter(created_at__gte=since - OVERLAP)
        clients = {*worths.values_list("client", flat=True), *plans.values_list("client", flat=True)}
        clients |= set(machines.values_list("client", flat=True))
        managed = BackupPlan.objects.of(SCOPE).filter(client__in=clients, archived_at=None)
        said: dict[str, set[tuple[str, str]]] = {}
        for one in self._judge.open.values():
            if one.metric == UNCOVERED:
                said.setdefault(one.client, set()).add((one.asset, one.item))
        taken: list[Transition] = []
        for client in sorted(set(managed.values_list("client", flat=True))):
            taken += self._say(client, coverage(SCOPE, client=client), said.get(client, set()), now_ms=now_ms)
        return taken

    def _say(
        self, client: str, things: Sequence[Thing], said: Iterable[tuple[str, str]], *, now_ms: int
    ) -> list[Transition]:
        """A number for each thing: 1 when it is in no plan, else 0; 0 too for what is gone. `said`: what was
        in no plan before, by asset and item."""
        rows = {(to_number(asset), item): 0.0 for asset, item in said}
        rows |= {(to_number(one.asset.pk), item_of(one)): float(one.uncovered) for one in things}
        if not rows:
            return []
        owner = to_number(client)
        columns = SampleColumns(
            client=np.array([owner] * len(rows), np.uint64),
            asset=np.array([asset for asset, _ in rows], np.uint64),
            metric=pa.array([UNCOVERED] * len(rows)),
            item=pa.array([item for _, item in rows]),
            at_ms=np.array([now_ms] * len(rows), np.int64),
            value=np.array(list(rows.values()), np.float64),
        )
        return self._judge.observe(columns, received_at_ms=now_ms)

    def _judge_one(self, plan: BackupPlan, now_ms: int) -> list[Transition]:
        now, asset = from_ms(now_ms), to_number(plan.asset_id)
        taken = self._end_old_names(plan, asset, now_ms)
        if plan.archived_at is not None or is_paused(plan, now):
            taken += self._judge.forget_plan(asset, plan.name, now_ms=now_ms)
            until = plan.paused_until if plan.archived_at is None else None
            self._keep_resting(plan, now, until)
            return taken
        if plan.paused_at is not None and plan.paused_until is not None:
            resume(SCOPE, plan, now=plan.paused_until)
            plan.refresh_from_db(fields=["paused_at", "paused_until", "paused_because", "started_at"])
        spec = tools().get(plan.tool)
        produces = frozenset(spec.produces) if spec else frozenset()
        standing = plan.standing
        history = history_of(plan, standing)
        found, verdict = self._judge.observe_plan(
            judged_plan(plan, produces=produces), history, now_ms=now_ms
        )
        taken += found
        if verdict is not None:
            self._keep(plan, standing, verdict, now)
            self._plan(plan.pk, max(verdict.next_judging_ms, now_ms + AGAIN_LEAST_MS))
        return taken

    def _end_old_names(self, plan: BackupPlan, asset: int, now_ms: int) -> list[Transition]:
        """What stands open of the plan under a name that it had before."""
        old = {
            name
            for (number, _, name), held in self._judge.plans.held.items()
            if held.plan == plan.pk and (number, name) != (asset, plan.name)
        }
        return [one for name in sorted(old) for one in self._judge.forget_plan(asset, name, now_ms=now_ms)]

    def _keep(self, plan: BackupPlan, standing: PlanStanding, verdict: PlanVerdict, now: datetime) -> None:
        ladder = verdict.ladder
        asset = to_number(plan.asset_id)
        places = [
            self._judge.open.get(f"{plan.asset_id}/{rule}/{plan.name}")
            for number, rule, name in self._judge.plans.held
            if (number, name) == (asset, plan.name)
        ]
        standing_open = [one for one in places if one is not None]
        worst = max(standing_open, key=lambda one: (one.to.concern, -one.began_at_ms), default=None)
        standing.concern = worst.to.concern if worst else 0
        standing.findings = len(standing_open)
        standing.rule, standing.reason = (worst.rule, worst.reason) if worst else ("", "")
        standing.level, standing.said = ladder.highest, ladder.said[:400]
        standing.proved_at = from_ms(ladder.highest_at_ms) if ladder.highest_at_ms is not None else None
        standing.rungs = [_rung(one) for one in ladder.rungs]
        standing.overdue = any(one.overdue for one in ladder.rungs if one.level >= 2)
        standing.implausible = dict(verdict.implausible)
        due = min((one for one in ladder.rungs if one.due_ms is not None), key=_due, default=None)
        standing.next_due_at = from_ms(due.due_ms) if due and due.due_ms is not None else None
        standing.next_due = _expected(due) if due else ""
        standing.judge_again_at = from_ms(verdict.next_judging_ms)
        note_standing(standing, now=now)
        standing.save()

    def _keep_resting(self, plan: BackupPlan, now: datetime, until: datetime | None) -> None:
        standing = plan.standing
        standing.concern = standing.findings = 0
        standing.rule, standing.reason, standing.overdue = "", "", False
        standing.next_due_at, standing.next_due = None, ""
        standing.judged_at, standing.judge_again_at = now, until or now + timedelta(days=3650)
        standing.save()
        if until is not None:
            self._plan(plan.pk, to_ms(until))
        else:
            self._again.pop(plan.pk, None)

    def _plan(self, pk: str, at_ms: int) -> None:
        self._again[pk] = at_ms
        heapq.heappush(self._times, (at_ms, pk))

    def _forget_gone(self, now_ms: int) -> None:
        """Plans that were archived while nobody judged are judged once more, which ends what stands open."""
        held = {one.plan for one in self._judge.plans.held.values()}
        gone = BackupPlan.objects.of(SCOPE).filter(pk__in=held).exclude(archived_at=None)
        self._due.update(dict.fromkeys(gone.values_list("pk", flat=True)))


def heartbeat_name(plan: BackupPlan) -> str:
    """The heartbeat that stands for a plan: called like its repository, else like the plan itself."""
    return plan.repository or plan.name


def run_of_ping(plan: str, placed: PlacedOutcome) -> RunReport:
    """A ping as a run."""
    outcome = placed.outcome
    said: Said = "success" if outcome.ok else "failed"
    began_ms = None
    if outcome.took_ms and outcome.took_ms > 0:
        began_ms = max(0, outcome.at_ms - int(outcome.took_ms))
    return RunReport(
        plan=plan, run=f"ping-{outcome.at_ms}", at_ms=outcome.at_ms, by="heartbeat", said=said,
        began_ms=began_ms, ended_ms=outcome.at_ms, reason=outcome.reason, output=outcome.answer,
        tool=HEARTBEAT_TOOL,
    )  # fmt: skip


def item_of(thing: Thing) -> str:
    """How a thing is called in findings."""
    return f"{thing.what} {thing.name}".strip()[:256]


def _raw(one: PlacedBackup) -> bytes:
    return msgspec.json.encode(one.report)[:RAW_MAX_BYTES]


def _rung(one: Rung) -> dict[str, Any]:
    return {
        "level": one.level, "name": one.name, "status": one.status, "said": one.said, "at_ms": one.at_ms,
        "copy": one.copy, "due_ms": one.due_ms, "overdue": one.overdue,
    }  # fmt: skip


def _due(one: Rung) -> int:
    return one.due_ms or 0


def _expected(one: Rung) -> str:
    return WORK_TITLES[WORK_OF_LEVEL[one.level]] if one.level in WORK_OF_LEVEL else "The next run"


def _seal_left(now: datetime) -> None:
    for row in list_unsealed():
        try:
            seal_proof(row, now=now)
        except OSError as error:
            log.warning("the proof %s cannot be sealed: %s", row.pk, error.strerror)
            return
