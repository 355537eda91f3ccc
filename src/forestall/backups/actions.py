"""What people decide about backup plans. Each stands in the journal. What collectors report is taken in by
`backups.taking`."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from functools import cache
from typing import Any

from django.db import transaction

from forestall.backups.coverage import key_of
from forestall.backups.models import BackupPlan, PlanStanding, Worth
from forestall.backups.values import (
    NAME_MAX_CHARS,
    WANTED_FOR_MS,
    WANTED_MAX,
    WORK_TITLES,
    WORKS,
    Place,
    PlanTerms,
    check_terms,
    keep_of,
    stored_keep,
)
from forestall.estate.actions import made, unsealed
from forestall.estate.models import Asset, Collector
from forestall.estate.queries import find_collector
from forestall.estate.tenancy import Scope
from forestall.estate.vault import seal
from forestall.journal.actions import append
from forestall.kernel.backups import Work
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import new_id
from forestall.kernel.plugins import OnDemand, Spec

JOBS = "forestall.collect.jobs"
PER_CLIENT_MAX = 2_000
BECAUSE_MAX_CHARS = 300


def tools() -> dict[str, Spec]:
    """What each tool's adapter says of itself, by name."""
    found = _jobs()
    return {name: found[name].SPEC for name in found}


@cache
def _jobs() -> OnDemand:
    return OnDemand(JOBS)


def add_plan(
    scope: Scope,
    *,
    asset: Asset,
    terms: PlanTerms,
    now: datetime,
    collector: str = "",
    elsewhere: str = "",
) -> BackupPlan:
    """A new plan of an asset, watched by `collector` ("" nobody looks by itself) and restored `elsewhere` by
    another one. Raises Trouble; no value of a secret is ever part of its text."""
    check_terms(terms)
    spec, settings = _read_settings(terms)
    if BackupPlan.objects.filter(client=asset.client_id, archived_at=None).count() >= PER_CLIENT_MAX:
        raise Trouble(f"a client has at most {PER_CLIENT_MAX} plans", "Archive those that are not used.")
    plan = BackupPlan(
        client_id=asset.client_id, asset=asset, started_at=now, made_at=now, made_by=scope.actor,
        touched_at=now, **_columns(terms),
    )  # fmt: skip
    plan.collector = _collector(scope, asset, collector)
    plan.elsewhere = _collector(scope, asset, elsewhere)
    plan.settings = _sealed(plan, spec, settings, before={})
    with transaction.atomic():
        made(lambda: plan.save(force_insert=True), "backup plan", terms.name)
        PlanStanding.objects.create(plan=plan, client_id=plan.client_id, said="nothing is proved")
        _note(scope, "plan_added", plan, now, _described(plan))
    return plan


def amend(
    scope: Scope,
    plan: BackupPlan,
    *,
    terms: PlanTerms,
    now: datetime,
    collector: str | None = None,
    elsewhere: str | None = None,
) -> BackupPlan:
    """Other terms. A secret that is left empty stays as it is; so does a collector that is None. Raises
    Trouble."""
    check_terms(terms)
    spec, settings = _read_settings(terms, keeps=_kept_secrets(plan, terms.tool))
    with transaction.atomic():
        row = _locked(scope, plan)
        before = dict(row.settings) if row.tool == terms.tool else {}
        for name, value in _columns(terms).items():
            setattr(row, name, value)
        row.settings = _sealed(row, spec, settings, before=before)
        if collector is not None:
            row.collector = _collector(scope, row.asset, collector)
        if elsewhere is not None:
            row.elsewhere = _collector(scope, row.asset, elsewhere)
        row.touched_at = now
        made(row.save, "backup plan", terms.name)
        _note(scope, "plan_amended", row, now, _described(row))
    return row


def pause(
    scope: Scope, plan: BackupPlan, *, because: str, now: datetime, until: datetime | None = None
) -> None:
    """Nothing is expected and nothing is tried, until then (None: until a person goes on)."""
    because = because.strip()[:BECAUSE_MAX_CHARS]
    if not because:
        raise Trouble("a pause needs a reason", "Say why this plan is not watched for a while.")
    if until is not None and until <= now:
        raise Trouble("the end of a pause lies in the future", "Choose a later time.")
    with transaction.atomic():
        row = _locked(scope, plan)
        row.paused_at, row.paused_until, row.paused_because, row.touched_at = now, until, because, now
        row.save(update_fields=["paused_at", "paused_until", "paused_because", "touched_at"])
        _note(
            scope, "plan_paused", row, now,
            {"name": row.name, "because": because, "until": until.isoformat() if until else ""},
        )  # fmt: skip


def resume(scope: Scope, plan: BackupPlan, *, now: datetime) -> None:
    """It is expected again, from now on."""
    with transaction.atomic():
        row = _locked(scope, plan)
        if row.paused_at is None:
            return
        row.paused_at, row.paused_until, row.paused_because = None, None, ""
        row.started_at = row.touched_at = now
        row.save(update_fields=["paused_at", "paused_until", "paused_because", "started_at", "touched_at"])
        _note(scope, "plan_resumed", row, now, {"name": row.name})


def accept(scope: Scope, plan: BackupPlan, *, because: str, now: datetime) -> None:
    """What came since then is normal: earlier runs are no measure any more."""
    because = because.strip()[:BECAUSE_MAX_CHARS]
    if not because:
        raise Trouble("accepting needs a reason", "Say why what was found is as it should be.")
    with transaction.atomic():
        row = _locked(scope, plan)
        row.accepted_at = row.touched_at = now
        row.save(update_fields=["accepted_at", "touched_at"])
        _note(scope, "plan_accepted", row, now, {"name": row.name, "because": because})


def archive(scope: Scope, plan: BackupPlan, *, now: datetime) -> None:
    """It is expected no more; what was proved stays."""
    with transaction.atomic():
        row = _locked(scope, plan)
        if row.archived_at is not None:
            return
        row.archived_at = row.touched_at = now
        row.wanted = []
        row.save(update_fields=["archived_at", "touched_at", "wanted"])
        _note(scope, "plan_archived", row, now, {"name": row.name})


def want_work(scope: Scope, plan: BackupPlan, *, work: Work, now: datetime) -> str:
    """Have a work done as soon as the collector hears of it; the identifier under which its proof comes.
    What is wanted already is not wanted twice."""
    if work not in WORKS:
        raise Trouble(f"there is no work {work!r}", f"Works are {', '.join(WORKS)}.")
    with transaction.atomic():
        row = _locked(scope, plan)
        _may_want(row, work)
        row.wanted = [one for one in row.wanted if one["at_ms"] > to_ms(now) - WANTED_FOR_MS]
        for one in row.wanted:
            if one["work"] == work:
                return str(one["proof"])
        if len(row.wanted) >= WANTED_MAX:
            raise Trouble(f"{WANTED_MAX} works of this plan wait already", "Wait until they are done.")
        wanted = {"proof": new_id(), "work": work, "at_ms": to_ms(now)}
        row.wanted = [*row.wanted, wanted]
        row.save(update_fields=["wanted"])
        _note(scope, "work_wanted", row, now, {"name": row.name, "work": work, "proof": wanted["proof"]})
    return str(wanted["proof"])


def take_back(scope: Scope, plan: BackupPlan, *, proof: str, now: datetime) -> None:
    """A wanted work is not wanted any more, as far as it has not begun."""
    with transaction.atomic():
        row = _locked(scope, plan)
        left = [one for one in row.wanted if one["proof"] != proof]
        if len(left) == len(row.wanted):
            return
        row.wanted = left
        row.save(update_fields=["wanted"])
        _note(scope, "work_not_wanted", row, now, {"name": row.name, "proof": proof})


def leave_out(scope: Scope, asset: Asset, *, what: str, name: str, because: str, now: datetime) -> None:
    """Something on a machine needs no backup, for this reason ("" takes that back). Raises Trouble when
    nothing is known of the machine."""
    with transaction.atomic():
        row = Worth.objects.of(scope).select_for_update().filter(asset=asset.pk).first()
        if row is None:
            raise Trouble("nothing is known of what this machine holds", "Install the agent on it first.")
        left_out = dict(row.left_out)
        if because.strip():
            left_out[key_of(what, name)] = because.strip()[:BECAUSE_MAX_CHARS]
        else:
            left_out.pop(key_of(what, name), None)
        row.left_out, row.touched_at = left_out, now
        row.save(update_fields=["left_out", "touched_at"])
        append(
            "backup.left_out", client=row.client_id, subject=asset.pk, actor=scope.actor, at=now,
            body={"what": what, "name": name, "because": because.strip()[:BECAUSE_MAX_CHARS]},
        )  # fmt: skip


def terms_of(plan: BackupPlan) -> PlanTerms:
    """A plan's terms as they stand, for a form; its secrets are left out."""
    spec = tools().get(plan.tool)
    secret = _secret_names(spec) if spec else frozenset(plan.settings)
    return PlanTerms(
        name=plan.name, tool=plan.tool, every_s=plan.every_s, repository=plan.repository,
        sources=tuple(plan.sources), settings={k: v for k, v in plan.settings.items() if k not in secret},
        grace_s=plan.grace_s, rto_s=plan.rto_s, keep=keep_of(plan.keep), cadences=dict(plan.cadences),
        slices=plan.slices, sandbox_max=plan.sandbox_max, least_files=plan.least_files,
        least_size=plan.least_size, copies=tuple(Place(**one) for one in plan.copies),
        credit_after_days=plan.credit_after_days, credit_minor=plan.credit_minor,
    )  # fmt: skip


def _columns(terms: PlanTerms) -> dict[str, Any]:
    same = {
        "tool", "every_s", "grace_s", "rto_s", "slices", "sandbox_max", "least_files", "least_size",
        "credit_after_days", "credit_minor",
    }  # fmt: skip
    return {one.name: getattr(terms, one.name) for one in fields(terms) if one.name in same} | {
        "name": " ".join(terms.name.split())[:NAME_MAX_CHARS],
        "repository": terms.repository.strip(),
        "sources": list(dict.fromkeys(one.strip() for one in terms.sources if one.strip())),
        "keep": stored_keep(terms.keep),
        "cadences": {str(work): seconds for work, seconds in terms.cadences.items()},
        "copies": [asdict(one) for one in terms.copies],
    }


def _read_settings(
    terms: PlanTerms, *, keeps: Mapping[str, Any] | None = None
) -> tuple[Spec, dict[str, Any]]:
    """The tool's settings, checked. `keeps`: secrets that are there already."""
    found = _jobs()
    try:
        spec: Spec = found[terms.tool].SPEC
    except KeyError:
        raise Trouble(f"there is no tool {terms.tool!r}", f"Tools are {', '.join(found)}.") from None
    given = {name: value for name, value in (keeps or {}).items() if name in _secret_names(spec)}
    given |= {name: value for name, value in unsealed(terms.settings).items() if value not in (None, "")}
    try:
        return spec, spec.read(given)
    except ValueError as error:
        raise Trouble(str(error), "Correct this setting of the plan.") from error


def _kept_secrets(plan: BackupPlan, tool: str) -> dict[str, Any]:
    return dict(plan.settings) if plan.tool == tool else {}


def _sealed(
    plan: BackupPlan, spec: Spec, settings: Mapping[str, Any], *, before: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings with their secrets sealed; one that is there already, sealed, stays."""
    found = dict(settings)
    for name in _secret_names(spec):
        value = found.pop(name, None)
        if value and value == before.get(name):
            found[name] = value
        elif value:
            found[name] = seal(plan.client_id, record_of(plan.pk, name), str(value))
    return found


def record_of(plan: str, name: str) -> str:
    """Where a secret of a plan stands, for the vault."""
    return f"backup/{plan}/{name}"


def _secret_names(spec: Spec) -> frozenset[str]:
    return frozenset(one.name for one in spec.settings if one.kind == "secret")


def _collector(scope: Scope, asset: Asset, identifier: str) -> Collector | None:
    if not identifier:
        return None
    found = find_collector(scope, identifier)
    if found is None or found.client_id != asset.client_id or found.revoked_at is not None:
        raise Trouble("there is no such collector", "Choose one of the same client.")
    return found


def _may_want(plan: BackupPlan, work: Work) -> None:
    if plan.archived_at is not None:
        raise Trouble(f"{plan.name} is archived", "Make a new plan.")
    by = plan.elsewhere_id if work == "elsewhere" else plan.collector_id
    if by is None:
        raise Trouble(
            f"nobody can do that: {plan.name} has no collector for it",
            "Choose the agent or collector that reaches the repository in the plan.",
        )
    spec = tools().get(plan.tool)
    if spec is not None and work not in spec.produces:
        raise Trouble(
            f"{spec.title} has no work {WORK_TITLES[work]!r}", f"It has {', '.join(spec.produces)}."
        )


def _locked(scope: Scope, plan: BackupPlan) -> BackupPlan:
    row = BackupPlan.objects.of(scope).select_for_update().filter(pk=plan.pk).first()
    if row is None:
        raise Trouble("there is no such backup plan", "See the board of backups.")
    return row


def _described(plan: BackupPlan) -> dict[str, Any]:
    """What the journal says of a plan: no settings, no secrets."""
    return {
        "name": plan.name, "asset": plan.asset_id, "tool": plan.tool, "repository": plan.repository[:300],
        "sources": [one[:200] for one in plan.sources[:20]], "every_s": plan.every_s, "rto_s": plan.rto_s,
        "keep": plan.keep or {}, "cadences": plan.cadences, "collector": plan.collector_id or "",
    }  # fmt: skip


def _note(scope: Scope, what: str, plan: BackupPlan, at: datetime, body: dict[str, Any]) -> None:
    append(f"backup.{what}", client=plan.client_id, subject=plan.pk, actor=scope.actor, body=body, at=at)
