"""What a collector is told of the plans that it watches: with the secrets that open the repository, and with
what was told of the newest runs, so that a restore is held against that."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import Q
from django.utils import timezone

from forestall.backups.actions import record_of, tools
from forestall.backups.models import BackupPlan, BackupRun
from forestall.backups.packing import unpack
from forestall.backups.values import TIMEOUTS_S, WANTED_FOR_MS, WORKS
from forestall.estate.models import Collector
from forestall.estate.tenancy import system_scope
from forestall.estate.vault import is_sealed, open_sealed
from forestall.kernel.backups import BOUND_MAX, BackupOrder, Bound, RunReport, WantedWork, WorkOrder
from forestall.kernel.clock import to_ms

ORDERS_MAX = 2_000
BOUND_LOOKED_AT = 2 * BOUND_MAX
SCOPE = system_scope("backups")


def orders_for(collector: Collector) -> list[dict[str, Any]]:
    """The plans of a collector as plain values (`kernel.backups.BackupOrder`): those that its machine
    watches; those restored elsewhere by it, with that work alone; and those of jobs that run on its machine
    while another collector watches them, without works and secrets. For the door alone."""
    now = timezone.now()
    rows = BackupPlan.objects.of(SCOPE).filter(
        Q(collector__asset=collector.asset_id)
        | Q(elsewhere__asset=collector.asset_id)
        | Q(asset=collector.asset_id),
        client=collector.client_id,
        archived_at=None,
        asset__archived_at=None,
    )
    found = rows.select_related("collector", "elsewhere").order_by("pk")[:ORDERS_MAX]
    return [msgspec.to_builtins(order_of(plan, machine=collector.asset_id, now=now)) for plan in found]


def order_of(plan: BackupPlan, *, machine: str, now: datetime) -> BackupOrder:
    """The order for one machine."""
    watches = plan.collector is not None and plan.collector.asset_id == machine
    elsewhere = plan.elsewhere is not None and plan.elsewhere.asset_id == machine
    spec = tools().get(plan.tool)
    known = spec.produces if spec is not None else ()
    mine = {work for work in WORKS if work in known and (elsewhere if work == "elsewhere" else watches)}
    opened = mine and not is_paused(plan, now)
    settings, secrets = open_settings(plan) if mine else (_open_settings(plan), {})
    return BackupOrder(
        id=plan.pk,
        asset=plan.asset_id,
        name=plan.name,
        tool=plan.tool,
        repository=plan.repository,
        sources=list(plan.sources),
        settings=settings,
        secrets=secrets,
        works=_works(plan.cadences, mine) if opened else [],
        wanted=_wanted(plan, mine, now) if mine else [],
        slices=plan.slices,
        sandbox_max=plan.sandbox_max,
        bound=bound_of(plan) if mine else [],
    )


def is_paused(plan: BackupPlan, now: datetime) -> bool:
    """Whether nothing is expected of it now."""
    return plan.paused_at is not None and (plan.paused_until is None or plan.paused_until > now)


def open_settings(plan: BackupPlan) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings, and secrets in plain text: for who looks, never for a page."""
    secrets = {
        name: open_sealed(plan.client_id, record_of(plan.pk, name), value)
        for name, value in plan.settings.items()
        if isinstance(value, str) and is_sealed(value)
    }
    return _open_settings(plan), secrets


def bound_of(plan: BackupPlan) -> list[Bound]:
    """What the newest runs with a manifest or a canary told, the newest first."""
    rows = BackupRun.objects.of(SCOPE).filter(plan=plan, report__isnull=False).exclude(by="repository")
    rows = rows.order_by("-at")
    found = []
    for packed in rows.values_list("report", flat=True)[:BOUND_LOOKED_AT]:
        run = unpack(packed, RunReport)
        if run.manifest is not None or run.canary is not None:
            found.append(Bound(run=run.run, copy=run.copy, manifest=run.manifest, canary=run.canary))
        if len(found) == BOUND_MAX:
            break
    return found


def _open_settings(plan: BackupPlan) -> dict[str, Any]:
    return {
        name: value
        for name, value in plan.settings.items()
        if not (isinstance(value, str) and is_sealed(value)) and value is not None
    }


def _works(cadences: Mapping[str, int], mine: Iterable[str]) -> list[WorkOrder]:
    return [
        WorkOrder(work, float(cadences[work]), float(TIMEOUTS_S[work]))
        for work in WORKS
        if work in cadences and work in set(mine)
    ]


def _wanted(plan: BackupPlan, mine: Iterable[str], now: datetime) -> list[WantedWork]:
    since_ms = to_ms(now) - WANTED_FOR_MS
    return [
        WantedWork(proof=one["proof"], work=one["work"], at_ms=one["at_ms"])
        for one in plan.wanted
        if one["work"] in set(mine) and one["at_ms"] >= since_ms
    ]
