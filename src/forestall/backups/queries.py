"""Every read of backups, tenant-scoped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet

from forestall.backups.board_place import behind
from forestall.backups.models import (
    BackupPlan,
    BackupRun,
    DrillProgress,
    PlanStanding,
    Proof,
    RepositoryLook,
)
from forestall.backups.packing import run_of, unpack
from forestall.estate.tenancy import Scope
from forestall.findings.models import OPEN, Finding
from forestall.judge.values import State
from forestall.kernel.backups import ProofReport, RepositoryReport, RunReport
from forestall.kernel.clock import from_ms

PAGE_MAX = 500
BOARD_MAX = 200
OVERDUE_MAX = 5_000
STRIP_MAX = 120
PLAN_RULES = "backup-"
RESTORED_LEVEL, PLAUSIBLE_LEVEL = 4, 1
DEADLINES_OF, DEADLINES_MAX = 150, 150
LEVELS = 7


@dataclass(frozen=True, slots=True)
class BoardCounts:
    """How many plans there are, by the highest level that is proved (-1: none); how many of them have an
    open finding (`silent`: a silence is the worst of them), are overdue with a proof, were never restored
    (below RESTORED_LEVEL), are paused; `in_time`: restored in time, and nothing is wrong."""

    total: int = 0
    by_level: dict[int, int] = field(default_factory=dict)
    wrong: int = 0
    silent: int = 0
    overdue: int = 0
    unproved: int = 0
    in_time: int = 0
    paused: int = 0


def board(
    scope: Scope,
    *,
    client: str = "",
    words: str = "",
    show: str = "",
    after: str = "",
    limit: int = BOARD_MAX,
) -> list[PlanStanding]:
    """How plans stand, the worst first: with an open finding, overdue with a proof, the lowest level, the
    oldest proof. With `plan`, its `asset` and `client`. `show`: "wrong", "overdue", "paused", "unproved"
    (below level 4), else all. `after`: the `board_place.place_of` the last one of the page before."""
    rows = _standings(scope, client=client)
    if words:
        for word in words.split()[:5]:
            rows = rows.filter(
                Q(plan__name__icontains=word)
                | Q(plan__asset__name__icontains=word)
                | Q(client__name__icontains=word)
                | Q(plan__tool__icontains=word)
            )
    if show == "wrong":
        rows = rows.filter(concern__gt=0)
    elif show == "overdue":
        rows = rows.filter(overdue=True)
    elif show == "paused":
        rows = rows.filter(plan__paused_at__isnull=False)
    elif show == "unproved":
        rows = rows.filter(level__lt=RESTORED_LEVEL)
    if after:
        rows = rows.filter(behind(after))
    rows = rows.select_related("plan", "plan__asset", "client").defer("implausible")
    ordered = rows.order_by("-concern", "-overdue", "level", F("proved_at").asc(nulls_first=True), "plan")
    return list(ordered[: min(limit, PAGE_MAX) + 1])


def count_board(scope: Scope, *, client: str = "") -> BoardCounts:
    """The same plans, counted."""
    rows = _standings(scope, client=client).order_by()
    levels = range(-1, LEVELS)
    wanted = {
        "wrong": Q(concern__gt=0),
        "silent": Q(concern=State.SILENT.concern),
        "overdue": Q(overdue=True),
        "unproved": Q(level__lt=RESTORED_LEVEL),
        "in_time": Q(level__gte=RESTORED_LEVEL, overdue=False, concern=0),
        "paused": Q(plan__paused_at__isnull=False),
    } | {f"level_{level}": Q(level=level) for level in levels}
    found = rows.aggregate(**{f"n_{name}": Count("plan", filter=which) for name, which in wanted.items()})
    counted = {name.removeprefix("n_"): count for name, count in found.items()}
    by_level = {level: count for level in levels if (count := counted.pop(f"level_{level}"))}
    return BoardCounts(total=sum(by_level.values()), by_level=by_level, **counted)


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that is expected of a plan, by `at`: of level 0 the next run, of others a proof."""

    standing: PlanStanding
    level: int
    at: datetime
    said: str  # what is known of that level now


def deadlines(scope: Scope, *, client: str = "", plans: int = DEADLINES_OF) -> tuple[list[Deadline], bool]:
    """What is expected of plans and by when, the most overdue first, DEADLINES_MAX at most; whether there is
    more. Nothing that is expected earlier than the last one is left out."""
    rows = _standings(scope, client=client).filter(next_due_at__isnull=False, plan__paused_at=None)
    rows = rows.select_related("plan", "plan__asset", "client").defer("implausible")
    taken = list(rows.order_by("next_due_at", "plan")[: min(plans, PAGE_MAX) + 1])
    until = taken[plans].next_due_at if len(taken) > plans else None
    found = [
        Deadline(row, rung["level"], from_ms(rung["due_ms"]), rung["said"])
        for row in taken[:plans]
        for rung in row.rungs
        if rung["due_ms"] is not None and rung["level"] != PLAUSIBLE_LEVEL  # it is due with the run itself
    ]
    found = [one for one in found if until is None or one.at <= until]
    found.sort(key=lambda one: (one.at, one.standing.plan_id, one.level))
    return found[:DEADLINES_MAX], until is not None or len(found) > DEADLINES_MAX


def expected_next(scope: Scope, *, client: str = "", limit: int = 100) -> list[PlanStanding]:
    """What is expected next of plans, the most overdue first."""
    rows = _standings(scope, client=client).filter(next_due_at__isnull=False, plan__paused_at=None)
    rows = rows.select_related("plan", "plan__asset", "client").defer("rungs", "implausible")
    return list(rows.order_by("next_due_at", "plan")[: min(limit, PAGE_MAX)])


@dataclass(frozen=True, slots=True)
class OverdueProof:
    """A restore that should have been proved and was not: due at `due_at`, `late` since. `proved_at` None:
    never. `credit_minor`: what the plan says is to be credited for it, in the currency of the agreement; 0
    when nothing was agreed, or it is not late enough."""

    plan: BackupPlan
    level: int
    due_at: datetime
    late: timedelta
    proved_at: datetime | None
    credit_minor: int


def overdue_proofs(
    scope: Scope, *, now: datetime, client: str = "", least: int = RESTORED_LEVEL, most: int = OVERDUE_MAX
) -> list[OverdueProof]:
    """Proofs of level `least` and higher that are later than their cadence, the latest first, of plans that
    are not paused; with `plan.client` and `plan.asset`."""
    return _overdue_proofs(_standings(scope, client=client), now, least)[:most]


def creditable_proofs(scope: Scope, *, now: datetime) -> list[OverdueProof]:
    """The overdue proofs of all plans for which a credit is agreed and the agreed time is over; no cap, for
    what was credited already must not stand in the way of what was not."""
    rows = _standings(scope).filter(plan__credit_after_days__isnull=False, plan__credit_minor__gt=0)
    return [one for one in _overdue_proofs(rows, now, RESTORED_LEVEL) if one.credit_minor]


def _overdue_proofs(rows: "QuerySet[PlanStanding]", now: datetime, least: int) -> list[OverdueProof]:
    rows = rows.filter(plan__paused_at=None, next_due_at__isnull=False)
    rows = rows.select_related("plan", "plan__asset", "client").defer("implausible").order_by("plan")
    found = []
    for row in rows.iterator(chunk_size=PAGE_MAX):
        for rung in row.rungs:
            if rung["level"] < least or rung["due_ms"] is None or from_ms(rung["due_ms"]) >= now:
                continue
            found.append(_overdue(row.plan, rung, now))
    return sorted(found, key=lambda one: (-one.late, one.plan.pk))


def _overdue(plan: BackupPlan, rung: Mapping[str, Any], now: datetime) -> OverdueProof:
    due_at = from_ms(rung["due_ms"])
    after = plan.credit_after_days
    credited = after is not None and now - due_at > timedelta(days=after)
    return OverdueProof(
        plan=plan, level=rung["level"], due_at=due_at, late=now - due_at,
        proved_at=from_ms(rung["at_ms"]) if rung["at_ms"] is not None else None,
        credit_minor=plan.credit_minor if credited else 0,
    )  # fmt: skip


def plans_of_asset(scope: Scope, asset: str) -> list[PlanStanding]:
    """How the plans of an asset stand."""
    rows = _standings(scope).filter(plan__asset=asset).select_related("plan", "plan__asset", "client")
    return list(rows.order_by("plan__name")[:PAGE_MAX])


def list_plans(
    scope: Scope, *, client: str = "", asset: str = "", after: str = "", limit: int = PAGE_MAX
) -> list[BackupPlan]:
    """Plans that are not archived, the oldest first, with `asset`, `client`, `collector` and `standing`."""
    rows = BackupPlan.objects.of(scope).filter(archived_at=None, asset__archived_at=None)
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    if after:
        rows = rows.filter(pk__gt=after)
    rows = rows.select_related("asset", "client", "collector", "standing")
    return list(rows.order_by("pk")[: min(limit, PAGE_MAX) + 1])


def find_plan(scope: Scope, identifier: str) -> BackupPlan | None:
    """A plan (archived ones too), with `asset`, `client`, `collector`, `elsewhere` and `standing`."""
    rows = BackupPlan.objects.of(scope).filter(pk=identifier)
    return rows.select_related("asset", "client", "collector__asset", "elsewhere__asset", "standing").first()


def find_plan_by_word(scope: Scope, word: str) -> list[BackupPlan]:
    """Plans with that identifier or name, for the shell."""
    rows = BackupPlan.objects.of(scope).filter(Q(pk=word) | Q(name__iexact=word), archived_at=None)
    rows = rows.select_related("asset", "client", "standing", "collector__asset")
    return list(rows.order_by("pk")[:20])


def newest_runs(
    scope: Scope, plan: str, *, limit: int = STRIP_MAX, before: datetime | None = None
) -> list[BackupRun]:
    """Runs of a plan, the newest first, without their reports."""
    rows = BackupRun.objects.of(scope).filter(plan=plan).defer("report")
    if before is not None:
        rows = rows.filter(at__lt=before)
    return list(rows.order_by("-at", "-pk")[: min(limit, PAGE_MAX) + 1])


def list_runs(
    scope: Scope, *, client: str = "", plan: str = "", after: int = 0, limit: int = PAGE_MAX
) -> list[BackupRun]:
    """Runs as they came, for the API."""
    rows = BackupRun.objects.of(scope).filter(pk__gt=after).defer("report").select_related("plan")
    if client:
        rows = rows.filter(client=client)
    if plan:
        rows = rows.filter(plan=plan)
    return list(rows.order_by("pk")[: min(limit, PAGE_MAX) + 1])


def find_run(scope: Scope, identifier: str) -> tuple[BackupRun, RunReport] | None:
    """A run by its row's number, and its report as far as it is kept."""
    if not identifier.isascii() or not identifier.isdigit() or len(identifier) > 18:
        return None
    row = BackupRun.objects.of(scope).filter(pk=int(identifier)).select_related("plan").first()
    return (row, run_of(row)) if row else None


def newest_look(scope: Scope, plan: str, *, opened: bool = False) -> RepositoryReport | None:
    """What the newest look into the repository found, whole. `opened`: the newest that opened it."""
    rows = RepositoryLook.objects.of(scope).filter(plan=plan)
    row = (rows.filter(opened=True) if opened else rows).order_by("-at").first()
    return unpack(row.report, RepositoryReport) if row else None


def looks_since(scope: Scope, plan: str, since: datetime) -> list[RepositoryLook]:
    """Looks of a plan since then, the oldest first: room, use, count of copies over time."""
    rows = RepositoryLook.objects.of(scope).filter(plan=plan, at__gte=since).defer("report")
    return list(rows.order_by("at")[:PAGE_MAX])


def list_proofs(
    scope: Scope,
    *,
    client: str = "",
    plan: str = "",
    works: Sequence[str] = (),
    before: str = "",
    limit: int = 50,
) -> list[Proof]:
    """Attempts at proofs, the newest first, without their reports. `before`: the identifier of the last one
    of the page before."""
    rows = Proof.objects.of(scope).defer("report").select_related("plan", "plan__asset", "client")
    if client:
        rows = rows.filter(client=client)
    if plan:
        rows = rows.filter(plan=plan)
    if works:
        rows = rows.filter(work__in=works)
    if before:
        rows = rows.filter(pk__lt=before)
    return list(rows.order_by("-pk")[: min(limit, PAGE_MAX) + 1])


def find_proof(scope: Scope, identifier: str) -> tuple[Proof, ProofReport] | None:
    """An attempt at a proof by its row's identifier, or the identifier that the wanted work was given."""
    rows = Proof.objects.of(scope).filter(Q(pk=identifier) | Q(proof=identifier))
    row = rows.select_related("plan", "plan__asset", "client").first()
    return (row, unpack(row.report, ProofReport)) if row else None


def newest_restores(scope: Scope, plans: Sequence[str]) -> dict[str, Proof]:
    """The newest restore that held, by plan, of those that have one; without reports."""
    rows = Proof.objects.of(scope).filter(plan__in=plans, ok=True, level__gte=RESTORED_LEVEL)
    newest = rows.order_by().values("plan").annotate(newest=Max("pk")).values("newest")
    return {row.plan_id: row for row in Proof.objects.of(scope).filter(pk__in=newest).defer("report")}


def progress_of(scope: Scope, plan: str) -> list[DrillProgress]:
    """How far proofs of a plan that go on are."""
    return list(DrillProgress.objects.of(scope).filter(plan=plan).order_by("-at")[:10])


def findings_of(scope: Scope, plan: BackupPlan) -> list[Finding]:
    """The plan's open findings, the worst first."""
    rows = Finding.objects.of(scope).filter(OPEN, asset=plan.asset_id, item=plan.name)
    return list(rows.filter(rule__startswith=PLAN_RULES).order_by("-concern", "began_at")[:PAGE_MAX])


def _standings(scope: Scope, *, client: str = "") -> "QuerySet[PlanStanding]":
    rows = PlanStanding.objects.of(scope).filter(plan__archived_at=None, plan__asset__archived_at=None)
    return rows.filter(client=client) if client else rows
