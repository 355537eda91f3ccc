"""What collectors report of backups becomes rows. The same report may come again: the same rows come of it.

A report of a plan that is not there, or that comes neither from a machine that watches it nor from the one
that it is on, is refused and counted. A plan that a report touches is judged again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from forestall.backups.models import (
    BackupPlan,
    BackupRun,
    DrillProgress,
    PlanStanding,
    Proof,
    RepositoryLook,
    Worth,
)
from forestall.backups.packing import pack, unpack, without_copies
from forestall.backups.sealing import must_be_sealed, seal_proof
from forestall.estate.models import Asset, Collector
from forestall.estate.tenancy import system_scope
from forestall.intake.decoded import PlacedBackup
from forestall.kernel.backups import (
    LEVEL_OF_WORK,
    BackupReport,
    ProgressReport,
    ProofReport,
    RepositoryReport,
    RunReport,
    WorthReport,
    same_copy,
)
from forestall.kernel.clock import from_ms, to_ms

AHEAD_MS = 60_000  # what claims to be from further in the future is put in order as of now
PROGRESS_KEPT = 20
SAME_COPY_LOOKED_AT = 400
REFUSALS_MAX = 20  # of one stretch
SKIPPED_KEPT = 20  # attempts in a row that could not even be tried, of one work of a plan
SCOPE = system_scope("backups")


@dataclass(slots=True)
class Taken:
    """What came of reports: plans that were touched, machines whose worth is known anew, reports that were
    refused (those that are kept for inspection, with why) and their number."""

    plans: set[str] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)
    refused: int = 0
    refusals: list[tuple[PlacedBackup, str]] = field(default_factory=list)


def take_reports(placed: Sequence[PlacedBackup], *, now: datetime) -> Taken:
    """Make rows of reports, each in a transaction of its own. Raises DatabaseError: the same may be handed in
    again."""
    taken = Taken()
    machines = _machines(placed)
    plans = _plans(placed)
    for one in placed:
        machine = machines.get((one.client, one.collector), "")
        if isinstance(one.report, WorthReport):
            if machine and _take_worth(one.client, machine, one.report, now):
                taken.machines.add(machine)
            continue
        plan = plans.get(one.report.plan)
        why = _why_not(plan, one, machine)
        if plan is None or why:
            taken.refused += 1
            if len(taken.refusals) < REFUSALS_MAX:
                said = f"the collector {one.collector} reports of the plan {one.report.plan}: {why}"
                taken.refusals.append((one, said))
            continue
        with transaction.atomic():
            if _take(plan, one.report, now):
                BackupPlan.objects.of(SCOPE).filter(pk=plan.pk).update(touched_at=now)
                taken.plans.add(plan.pk)
    return taken


def take_run(plan: BackupPlan, report: RunReport, *, now: datetime) -> bool:
    """A run that the server itself knows of (a heartbeat). Whether it is new."""
    with transaction.atomic():
        if not _take_run(plan, report, now):
            return False
        BackupPlan.objects.of(SCOPE).filter(pk=plan.pk).update(touched_at=now)
    return True


def _machines(placed: Iterable[PlacedBackup]) -> dict[tuple[str, str], str]:
    """Client and collector → the asset that it is on."""
    wanted = {one.collector for one in placed}
    rows = Collector.objects.of(SCOPE).filter(pk__in=wanted).values_list("client", "pk", "asset")
    return {(client, pk): asset for client, pk, asset in rows}


def _plans(placed: Iterable[PlacedBackup]) -> dict[str, BackupPlan]:
    wanted = {one.report.plan for one in placed if not isinstance(one.report, WorthReport)}
    rows = BackupPlan.objects.of(SCOPE).filter(pk__in=wanted, archived_at=None)
    return {row.pk: row for row in rows.select_related("client", "asset", "collector", "elsewhere")}


def _why_not(plan: BackupPlan | None, placed: PlacedBackup, machine: str) -> str:
    """Why a report is refused; "" when it is not. A machine's new agent goes on for the one before."""
    if plan is None or plan.client_id != placed.client or not machine:
        return "there is no such plan, or it is not watched from there"
    if machine == plan.asset_id or (plan.collector and plan.collector.asset_id == machine):
        return ""
    report = placed.report
    if plan.elsewhere and plan.elsewhere.asset_id == machine:
        if isinstance(report, ProofReport | ProgressReport) and report.work == "elsewhere":
            return ""
        return "it may tell of restores elsewhere alone"
    return "there is no such plan, or it is not watched from there"


def _take(plan: BackupPlan, report: BackupReport, now: datetime) -> bool:
    """Whether anything came of it that is to be judged."""
    match report:
        case RunReport():
            return _take_run(plan, report, now)
        case RepositoryReport():
            return _take_look(plan, report, now)
        case ProofReport():
            return _take_proof(plan, report, now)
        case ProgressReport():
            _take_progress(plan, report, now)
    return False


def _time(at_ms: int, now: datetime) -> datetime:
    """A time of theirs; one in the future is as of now (the judge reads the report's own)."""
    return from_ms(at_ms) if at_ms <= to_ms(now) + AHEAD_MS else now


def _maybe(at_ms: int | None, now: datetime) -> datetime | None:
    return None if at_ms is None else _time(at_ms, now)


def _take_run(plan: BackupPlan, report: RunReport, now: datetime) -> bool:
    rows = BackupRun.objects.of(SCOPE).filter(plan=plan)
    row = rows.select_for_update().filter(run=report.run).first()
    if row is None and report.copy and report.by == "repository" and _is_told(plan, report.copy):
        return False  # its job told more of it
    if row is not None and not _is_newer(row, report):
        return False
    row = row or BackupRun(client_id=plan.client_id, plan=plan, run=report.run)
    ended = report.ended_ms if report.ended_ms is not None else report.began_ms
    row.at = _time(report.at_ms if ended is None else ended, now)
    row.by, row.said, row.heard_ms = report.by, report.said, report.at_ms
    row.began_at, row.ended_at = _maybe(report.began_ms, now), _maybe(report.ended_ms, now)
    row.copy, row.reason, row.exit_code = report.copy, report.reason, report.exit_code
    row.files, row.size, row.added = report.files, report.size, report.added
    row.files_new, row.files_changed = report.files_new, report.files_changed
    row.files_removed, row.renamed, row.entropy = report.files_removed, report.renamed, report.entropy
    row.report = pack(report)
    row.save()
    if report.copy and report.by != "repository":
        _drop_found(plan, row)
    return True


def _is_newer(row: BackupRun, report: RunReport) -> bool:
    """Whether a report says more of a run than what is known: it was seen later, or the run has ended."""
    if row.by == "job" and report.by == "repository":
        return False
    if report.said == "running" and row.said != "running":
        return False
    if row.heard_ms != report.at_ms:
        return row.heard_ms < report.at_ms or (row.said == "running" and report.said != "running")
    return row.report is None or unpack(row.report, RunReport) != report


def _is_told(plan: BackupPlan, copy: str) -> bool:
    told = BackupRun.objects.of(SCOPE).filter(plan=plan).exclude(copy="").exclude(by="repository")
    keys = told.order_by("-at").values_list("copy", flat=True)[:SAME_COPY_LOOKED_AT]
    return any(same_copy(key, copy) for key in keys)


def _drop_found(plan: BackupPlan, told: BackupRun) -> None:
    """A run that was only found by its copy goes when its job tells of it."""
    rows = BackupRun.objects.of(SCOPE).filter(plan=plan, by="repository").exclude(pk=told.pk)
    found = rows.order_by("-at").values_list("pk", "copy")[:SAME_COPY_LOOKED_AT]
    gone = [pk for pk, copy in found if same_copy(copy, told.copy)]
    if gone:
        BackupRun.objects.of(SCOPE).filter(pk__in=gone).delete()


def _take_look(plan: BackupPlan, report: RepositoryReport, now: datetime) -> bool:
    at = _time(report.at_ms, now)
    rows = RepositoryLook.objects.of(SCOPE).filter(plan=plan)
    if rows.filter(at=at).exists():
        return False
    newest = rows.filter(opened=True).order_by("-at").first()
    late = newest is not None and newest.at > at
    RepositoryLook.objects.create(
        client_id=plan.client_id, plan=plan, at=at, opened=report.opened, copies_total=report.copies_total,
        used=report.used, free=report.free, room=report.room,
        report=pack(without_copies(report) if late else report),
    )  # fmt: skip
    if newest is not None and report.opened and not late:  # the newest that opened stays whole
        newest.report = pack(without_copies(unpack(newest.report, RepositoryReport)))
        newest.save(update_fields=["report"])
    _clear_wanted(plan, lambda one: one["work"] == "look" and one["at_ms"] <= report.at_ms)
    if report.opened:
        standing = PlanStanding.objects.of(SCOPE).filter(plan=plan, first_settings__isnull=True)
        standing.update(first_settings={"at_ms": report.at_ms, "settings": report.settings})
    return True


def _take_proof(plan: BackupPlan, report: ProofReport, now: datetime) -> bool:
    DrillProgress.objects.of(SCOPE).filter(plan=plan, proof=report.proof).delete()
    _clear_wanted(plan, lambda one: one["proof"] == report.proof)
    if Proof.objects.of(SCOPE).filter(plan=plan, proof=report.proof).exists():
        return False
    row = Proof(
        client_id=plan.client_id, plan=plan, proof=report.proof, work=report.work,
        level=LEVEL_OF_WORK[report.work], began_at=_time(report.began_ms, now),
        ended_at=_time(report.ended_ms, now), ok=report.ok, skipped=report.skipped,
        part=report.slice_of[0] if report.slice_of else 0, reason=report.reason, copy=report.copy,
        rpo_ms=report.rpo_ms, rto_ms=report.rto_ms, report=pack(report),
    )  # fmt: skip
    row.save(force_insert=True)
    if report.skipped:
        _thin_skipped(row)
    elif must_be_sealed(row):
        try:
            seal_proof(row, now=now)
        except OSError:
            return True  # the disk is full: list_unsealed brings it again
    return True


def _clear_wanted(plan: BackupPlan, is_done: Callable[[Mapping[str, Any]], bool]) -> None:
    held = BackupPlan.objects.of(SCOPE).select_for_update().get(pk=plan.pk)
    left = [one for one in held.wanted if not is_done(one)]
    if len(left) != len(held.wanted):
        held.wanted = left
        held.save(update_fields=["wanted"])


def _thin_skipped(row: Proof) -> None:
    """What cannot be tried is tried again within the hour: of such a row of attempts the newest are kept."""
    same = Proof.objects.of(SCOPE).filter(plan=row.plan_id, work=row.work)
    tried = same.filter(skipped=False).order_by("-ended_at").values_list("ended_at", flat=True).first()
    since = same.filter(skipped=True, ended_at__gt=tried) if tried else same.filter(skipped=True)
    keys = list(since.order_by("-ended_at").values_list("pk", flat=True)[:1_000])
    if len(keys) > SKIPPED_KEPT:  # the first one says since when
        Proof.objects.of(SCOPE).filter(pk__in=keys[SKIPPED_KEPT - 1 : -1]).delete()


def _take_progress(plan: BackupPlan, report: ProgressReport, now: datetime) -> None:
    if Proof.objects.of(SCOPE).filter(plan=plan, proof=report.proof).exists():
        return
    at = _time(report.at_ms, now)
    rows = DrillProgress.objects.of(SCOPE).filter(plan=plan)
    if rows.filter(proof=report.proof, at__gt=at).exists():
        return
    values = {
        "client_id": plan.client_id, "work": report.work, "at": at, "doing": report.doing,
        "done": report.done, "total": report.total, "unit": report.unit,
    }  # fmt: skip
    DrillProgress.objects.update_or_create(plan=plan, proof=report.proof, defaults=values)
    old = rows.order_by("-at").values_list("pk", flat=True)[PROGRESS_KEPT:]
    DrillProgress.objects.of(SCOPE).filter(pk__in=list(old)).delete()


def _take_worth(client: str, machine: str, report: WorthReport, now: datetime) -> bool:
    owner = Asset.objects.of(SCOPE).filter(pk=machine, client=client, archived_at=None).first()
    at = _time(report.at_ms, now)
    if owner is None:
        return False
    with transaction.atomic():
        row = Worth.objects.of(SCOPE).select_for_update().filter(asset=owner).first()
        if row is not None and row.at >= at:
            return False
        row = row or Worth(asset=owner, client_id=owner.client_id)
        things: list[dict[str, Any]] = msgspec.to_builtins(report.things)
        row.at, row.touched_at, row.things = at, now, things
        row.save()
    return True
