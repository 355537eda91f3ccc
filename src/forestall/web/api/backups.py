"""The API of backups: plans and how they stand, runs of their jobs, drills and what they proved."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Router, Schema
from pydantic import ConfigDict

from forestall.backups import actions, queries, sealing
from forestall.backups.document import proof_pdf
from forestall.backups.models import BackupPlan, BackupRun, PlanStanding, Proof
from forestall.backups.values import Place, PlanTerms, keep_of
from forestall.estate.queries import find_asset, provider
from forestall.estate.vault import is_sealed
from forestall.kernel.backups import Work
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, found, limit_of, one

router = Router(tags=["backups"])
READ, WRITE = May("findings:read"), May("estate:write")


class PlaceIn(Schema):
    """Where a copy lies; `unchangeable`: nobody can alter or delete it."""

    place: str
    offsite: bool = False
    unchangeable: bool = False


class KeepIn(Schema):
    """What the job's own pruning keeps; -1: all. `within…` as the tool writes it."""

    model_config = ConfigDict(extra="forbid")

    last: int = 0
    secondly: int = 0
    minutely: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: str = ""
    within_hourly: str = ""
    within_daily: str = ""
    within_weekly: str = ""
    within_monthly: str = ""
    within_yearly: str = ""


class PlanChange(Schema):
    """What is left out stays, and so do secrets that are left out of `settings`. `collector` "": nobody looks
    by itself. `keep` null: nobody knows what is pruned."""

    name: str | None = None
    every_s: int | None = None
    repository: str | None = None
    sources: list[str] | None = None
    settings: dict[str, Any] | None = None
    grace_s: int | None = None
    rto_s: int | None = None
    keep: KeepIn | None = None
    cadences: dict[Work, int] | None = None
    slices: int | None = None
    sandbox_max: int | None = None
    least_files: int | None = None
    least_size: int | None = None
    copies: list[PlaceIn] | None = None
    credit_after_days: int | None = None
    credit_minor: int | None = None
    collector: str | None = None
    elsewhere: str | None = None


class PlanIn(PlanChange):
    """A new plan of an asset; `tool` and its `settings` as the catalogue of tools has them."""

    asset: str
    name: str = Field(examples=["Files to the NAS"])
    tool: str = Field(examples=["restic"])
    every_s: int = 86_400


class RungOut(Schema):
    """A level of the ladder of proof. `status`: proved, late, failed, never, off; `copy_id` proved it."""

    level: int
    name: str
    status: str
    said: str
    at_ms: int | None = None
    due_ms: int | None = None
    overdue: bool = False
    copy_id: str = Field("", validation_alias="copy")


class StandingOut(Schema):
    """How a plan stands, as it was judged last. `level` -1: nothing is proved. `concern` 0: nothing is wrong,
    else `rule` and `reason` are of the worst of its open findings."""

    level: int
    proved_at: datetime | None
    said: str
    overdue: bool
    concern: int
    findings: int
    rule: str
    reason: str
    last_run_at: datetime | None
    last_said: str
    last_good_at: datetime | None
    next_due_at: datetime | None
    next_due: str
    judged_at: datetime | None


class PlanOut(Schema):
    """A plan. A secret setting is null."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    collector: str | None = Field(validation_alias="collector_id")
    elsewhere: str | None = Field(validation_alias="elsewhere_id")
    name: str
    tool: str
    repository: str
    sources: list[str]
    settings: dict[str, Any]
    every_s: int
    grace_s: int
    rto_s: int
    keep: dict[str, Any] | None
    cadences: dict[str, int]
    slices: int
    sandbox_max: int
    least_files: int | None
    least_size: int | None
    copies: list[dict[str, Any]]
    credit_after_days: int | None
    credit_minor: int
    paused_at: datetime | None
    paused_until: datetime | None
    paused_because: str
    archived_at: datetime | None
    standing: StandingOut | None = None

    @staticmethod
    def resolve_settings(row: BackupPlan) -> dict[str, Any]:
        """Never a secret."""
        return {
            name: None if isinstance(value, str) and is_sealed(value) else value
            for name, value in row.settings.items()
        }

    @staticmethod
    def resolve_standing(row: BackupPlan) -> PlanStanding | None:
        """None before it was ever judged."""
        return getattr(row, "standing", None)


class GoingOn(Schema):
    """A work that goes on now. `total` 0: nobody knows."""

    drill: str = Field(validation_alias="proof")
    work: str
    at: datetime
    doing: str
    done: int
    total: int
    unit: str


class PlanDetails(PlanOut):
    """A plan with its ladder of proof, level 0 first; what is wanted, and what goes on."""

    ladder: list[RungOut] = []
    wanted: list[dict[str, Any]] = []
    going_on: list[GoingOn] = []


class Because(Schema):
    """Why."""

    because: str = Field(examples=["The archive of 2019 was moved away."], max_length=300)


class PauseIn(Because):
    """`until` null: until somebody goes on."""

    until: datetime | None = None


class RunOut(Schema):
    """A run. `by`: job, repository, log, mail, heartbeat; `said`: success, warning, failed, running or
    unknown."""

    id: str
    client: str = Field(validation_alias="client_id")
    plan: str = Field(validation_alias="plan_id")
    run: str
    at: datetime
    by: str
    said: str
    reason: str
    began_at: datetime | None
    ended_at: datetime | None
    copy_id: str = Field(validation_alias="copy")
    files: int | None
    size: int | None
    files_new: int | None
    files_changed: int | None
    files_removed: int | None
    added: int | None
    exit_code: int | None

    @staticmethod
    def resolve_id(row: BackupRun) -> str:
        """Its number."""
        return str(row.pk)


class RunDetails(RunOut):
    """A run with its whole report, as far as it is kept."""

    report: dict[str, Any] = {}


class DrillIn(Schema):
    """A work to be done now: look, check, read, drill, service, elsewhere."""

    plan: str
    work: Work = "drill"


class WantedOut(Schema):
    """It begins when the collector hears of it; `id` is the drill's once it has ended."""

    id: str
    plan: str
    work: str


class DrillOut(Schema):
    """An attempt to prove a plan's copies, with its level. `skipped`: it could not be tried, which has
    failed. `seq` is the entry of the journal that seals it."""

    id: str
    client: str = Field(validation_alias="client_id")
    plan: str = Field(validation_alias="plan_id")
    wanted_as: str = Field(validation_alias="proof")
    work: str
    level: int
    began_at: datetime
    ended_at: datetime
    ok: bool
    skipped: bool
    reason: str
    copy_id: str = Field(validation_alias="copy")
    rpo_ms: int | None
    rto_ms: int | None
    sha256: str
    sealed_at: datetime | None
    seq: int | None


class DrillDetails(DrillOut):
    """A drill with everything that was reported of it."""

    report: dict[str, Any] = {}


@router.get("/backup-plans", auth=READ, response=Listed[PlanOut])
def list_plans(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Plans that are not archived, the oldest first."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_plans(seen_by(request), client=client, asset=asset, after=after, limit=limit)
    return cut(rows, limit, lambda row: (row.pk,))


@router.post("/backup-plans", auth=WRITE, response={201: PlanOut})
def add_plan(request: HttpRequest, body: PlanIn) -> tuple[int, BackupPlan]:
    """Watch a backup."""
    asset = found(find_asset(seen_by(request), body.asset))
    terms = _changed(PlanTerms(name=body.name, tool=body.tool, every_s=body.every_s), body)
    return 201, actions.add_plan(
        seen_by(request), asset=asset, terms=terms, now=timezone.now(), collector=body.collector or "",
        elsewhere=body.elsewhere or "",
    )  # fmt: skip


@router.get("/backup-plans/{plan}", auth=READ, response=PlanDetails)
def get_plan(request: HttpRequest, plan: str) -> BackupPlan:
    """A plan with its ladder of proof."""
    row: Any = one(request, queries.find_plan, plan)
    rungs = row.standing.rungs if getattr(row, "standing", None) else []
    row.ladder = [{"level": level, **rung} for level, rung in enumerate(rungs)]
    row.going_on = queries.progress_of(seen_by(request), row.pk)
    return row  # type: ignore[no-any-return]


@router.patch("/backup-plans/{plan}", auth=WRITE, response=PlanOut)
def amend_plan(request: HttpRequest, plan: str, body: PlanChange) -> BackupPlan:
    """Other terms for a plan; its tool stays."""
    row = one(request, queries.find_plan, plan)
    actions.amend(
        seen_by(request), row, terms=_changed(actions.terms_of(row), body), now=timezone.now(),
        collector=body.collector, elsewhere=body.elsewhere,
    )  # fmt: skip
    return one(request, queries.find_plan, plan)


@router.delete("/backup-plans/{plan}", auth=WRITE, response={204: None})
def archive_plan(request: HttpRequest, plan: str) -> tuple[int, None]:
    """Nothing is expected of it any more; what was proved stays."""
    actions.archive(seen_by(request), one(request, queries.find_plan, plan), now=timezone.now())
    return 204, None


@router.post("/backup-plans/{plan}/pause", auth=WRITE, response=PlanOut)
def pause_plan(request: HttpRequest, plan: str, body: PauseIn) -> BackupPlan:
    """Nothing is expected of it until then."""
    row = one(request, queries.find_plan, plan)
    actions.pause(seen_by(request), row, because=body.because, until=body.until, now=timezone.now())
    return one(request, queries.find_plan, plan)


@router.post("/backup-plans/{plan}/resume", auth=WRITE, response=PlanOut)
def resume_plan(request: HttpRequest, plan: str) -> BackupPlan:
    """It is expected again, from now on."""
    actions.resume(seen_by(request), one(request, queries.find_plan, plan), now=timezone.now())
    return one(request, queries.find_plan, plan)


@router.post("/backup-plans/{plan}/accept", auth=WRITE, response=PlanOut)
def accept_plan(request: HttpRequest, plan: str, body: Because) -> BackupPlan:
    """What was found is normal: earlier runs are no measure any more."""
    row = one(request, queries.find_plan, plan)
    actions.accept(seen_by(request), row, because=body.because, now=timezone.now())
    return one(request, queries.find_plan, plan)


@router.get("/backup-runs", auth=READ, response=Listed[RunOut])
def list_runs(
    request: HttpRequest,
    client: str = "",
    plan: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Runs, in the order in which they were first heard of."""
    (after,) = read_cursor(cursor, tuple[int]) if cursor else (0,)
    rows = queries.list_runs(seen_by(request), client=client, plan=plan, after=after, limit=limit)
    return cut(rows, limit, lambda row: (row.pk,))


@router.get("/backup-runs/{run}", auth=READ, response=RunDetails)
def get_run(request: HttpRequest, run: str) -> BackupRun:
    """A run with its report."""
    row, report = one(request, queries.find_run, run)
    row.report = msgspec.to_builtins(report)
    return row


@router.get("/drills", auth=READ, response=Listed[DrillOut])
def list_drills(
    request: HttpRequest,
    client: str = "",
    plan: str = "",
    work: Work | None = None,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Everything that was done to prove copies, the newest first; `work`: only that."""
    (before,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_proofs(
        seen_by(request), client=client, plan=plan, works=[work] if work else (), before=before, limit=limit
    )
    return cut(rows, limit, lambda row: (row.pk,))


@router.post("/drills", auth=WRITE, response={202: WantedOut})
def want_drill(request: HttpRequest, body: DrillIn) -> tuple[int, dict[str, str]]:
    """Prove now. What is wanted already is not wanted twice."""
    row = one(request, queries.find_plan, body.plan)
    wanted = actions.want_work(seen_by(request), row, work=body.work, now=timezone.now())
    return 202, {"id": wanted, "plan": row.pk, "work": body.work}


@router.get("/drills/{proof}", auth=READ, response=DrillDetails)
def get_drill(request: HttpRequest, proof: str) -> Proof:
    """A drill that has ended, by its identifier or the one that it was wanted as."""
    row, report = one(request, queries.find_proof, proof)
    row.report = msgspec.to_builtins(report)
    return row


@router.get("/drills/{proof}/document", auth=READ)
def drill_document(request: HttpRequest, proof: str) -> HttpResponse:
    """The proof as one page for an auditor (PDF); sealed if it was not."""
    row, report = one(request, queries.find_proof, proof)
    sealed = sealing.seal_now(seen_by(request), row.pk, now=timezone.now())
    data = proof_pdf(sealed, report, provider=provider(seen_by(request)).name)
    return _file(data, "application/pdf", f"proof-{row.pk}.pdf")


@router.get("/drills/{proof}/export", auth=READ)
def export_drill(request: HttpRequest, proof: str) -> HttpResponse:
    """The sealed proof as one file that anybody verifies without us; sealed if it was not."""
    row, _ = one(request, queries.find_proof, proof)
    data = sealing.export_proof(seen_by(request), row.pk, now=timezone.now())
    return _file(data, "application/json", f"proof-{row.pk}.json")


def _file(data: bytes, content_type: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(data, content_type=content_type, headers=headers)


def _changed(terms: PlanTerms, body: PlanChange) -> PlanTerms:
    """The terms with what was given. Null is a value where it means one (`keep`, `least_…`, `credit_…`), else
    it is as if left out."""
    given = body.model_dump(exclude_unset=True, exclude={"asset", "tool", "collector", "elsewhere"})
    may_be_null = {"keep", "least_files", "least_size", "credit_after_days"}
    given = {name: value for name, value in given.items() if value is not None or name in may_be_null}
    if "settings" in given:
        given["settings"] = {**terms.settings, **given["settings"]}
    if "sources" in given:
        given["sources"] = tuple(given["sources"])
    if "copies" in given:
        given["copies"] = tuple(Place(**place) for place in given["copies"])
    if given.get("keep") is not None:
        given["keep"] = keep_of(given["keep"])
    return replace(terms, **given)
