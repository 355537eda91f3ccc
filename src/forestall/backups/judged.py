"""A plan and its history as the judge is handed them."""

from datetime import datetime

from forestall.backups.models import BackupPlan, BackupRun, PlanStanding, Proof, RepositoryLook
from forestall.backups.packing import run_of, unpack
from forestall.backups.values import keep_of
from forestall.estate.tenancy import system_scope
from forestall.judge.backups import Cadence, JudgedPlan, PlanHistory
from forestall.judge.backups.values import LOOKS_MAX, PROOFS_MAX, RUNS_MAX, WORK_OF_LEVEL
from forestall.kernel.backups import ProofReport, RepositoryReport, RunReport
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import to_number

SCOPE = system_scope("backups")
IMPLAUSIBLE_MAX = 500


def judged_plan(plan: BackupPlan, *, produces: frozenset[str]) -> JudgedPlan:
    """The plan (with `client` and `collector__asset`). `produces`: the works that its tool has. What nobody
    can do is expected of nobody."""
    collector = plan.collector
    return JudgedPlan(
        id=plan.pk,
        asset=to_number(plan.asset_id),
        name=plan.name,
        tool=plan.tool,
        rpo_ms=plan.every_s * 1000,
        started_ms=to_ms(plan.started_at),
        grace_ms=plan.grace_s * 1000,
        rto_ms=plan.rto_s * 1000,
        by=to_number(collector.asset_id) if collector is not None else 0,
        collector=collector.asset.name if collector is not None else "",
        sources=tuple(plan.sources),
        keep=keep_of(plan.keep),
        cadences=_cadences(plan, produces),
        slices=plan.slices,
        accepted_ms=to_ms(plan.accepted_at) if plan.accepted_at else 0,
        zone=plan.client.timezone,
        least_files=plan.least_files,
        least_size=plan.least_size,
    )


def _cadences(plan: BackupPlan, produces: frozenset[str]) -> tuple[Cadence, ...]:
    found = []
    for level, work in sorted(WORK_OF_LEVEL.items()):
        by = plan.elsewhere_id if work == "elsewhere" else plan.collector_id
        if work in plan.cadences and work in produces and by is not None:
            slices = plan.slices if work == "read" else 1  # a slice each time: the whole takes them all
            found.append(Cadence(level=level, every_ms=int(plan.cadences[work]) * 1000 * slices))
    return tuple(found)


def history_of(plan: BackupPlan, standing: PlanStanding) -> PlanHistory:
    """The newest of everything, the oldest first."""
    return PlanHistory(runs=_runs(plan), looks=_looks(plan, standing), proofs=_proofs(plan))


def _runs(plan: BackupPlan) -> list[RunReport]:
    rows = BackupRun.objects.of(SCOPE).filter(plan=plan).order_by("-at", "-pk")
    found = list(rows.values_list("pk", "report")[:RUNS_MAX])
    runs = [unpack(report, RunReport) for _, report in found if report is not None]
    bare = [pk for pk, report in found if report is None]
    if bare:
        runs += [run_of(row) for row in BackupRun.objects.of(SCOPE).filter(pk__in=bare)]
    return sorted(runs, key=lambda one: one.at_ms)


def _looks(plan: BackupPlan, standing: PlanStanding) -> list[RepositoryReport]:
    rows = RepositoryLook.objects.of(SCOPE).filter(plan=plan).order_by("-at")
    packed = list(rows.values_list("report", flat=True)[:LOOKS_MAX])
    looks = [unpack(one, RepositoryReport) for one in packed]
    if not any(one.opened for one in looks):
        opened = rows.filter(opened=True).values_list("report", flat=True).first()
        looks += [unpack(opened, RepositoryReport)] if opened is not None else []
    first = standing.first_settings
    looks.sort(key=lambda one: one.at_ms)
    if len(packed) == LOOKS_MAX and first and first["at_ms"] < looks[0].at_ms:
        settings = {str(name): str(value) for name, value in first["settings"].items()}
        looks = [
            RepositoryReport(plan=plan.pk, at_ms=first["at_ms"], opened=True, settings=settings),
            *looks[1:],
        ]
    return looks


def _proofs(plan: BackupPlan) -> list[ProofReport]:
    rows = Proof.objects.of(SCOPE).filter(plan=plan).order_by("-ended_at")
    keys = set(rows.values_list("pk", flat=True)[:PROOFS_MAX])
    for work in WORK_OF_LEVEL.values():
        same = rows.filter(work=work)
        most = 2 * plan.slices if work == "read" else 1
        keys.update(same.values_list("pk", flat=True)[:most])
        keys.update(same.filter(ok=True).values_list("pk", flat=True)[:most])
    packed = Proof.objects.of(SCOPE).filter(pk__in=keys).values_list("report", flat=True)
    return sorted((unpack(one, ProofReport) for one in packed), key=lambda one: one.ended_ms)


def note_standing(standing: PlanStanding, *, now: datetime) -> None:
    """What the newest runs say, for the board; `standing.implausible` are no good ones."""
    ended = BackupRun.objects.of(SCOPE).filter(plan=standing.plan_id).exclude(said="running")
    last = ended.order_by("-at", "-pk").defer("report").first()
    good = (
        ended.filter(said="success")
        .exclude(run__in=list(standing.implausible)[:IMPLAUSIBLE_MAX])
        .order_by("-at", "-pk")
        .defer("report")
        .first()
    )
    standing.last_run_at = last.at if last else None
    standing.last_said = last.said if last else ""
    standing.last_good_at = good.at if good else None
    standing.last_size = good.size if good else None
    standing.judged_at = now
