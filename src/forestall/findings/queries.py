"""Reads of findings: what is out of spec, worst first; an asset's history; counts; overrides."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from django.db.models import Count, Q, QuerySet

from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.findings.models import OPEN, Finding, Override, Step
from forestall.judge.values import RuleOverride, State
from forestall.kernel.cursors import Page, cut, read_cursor

PAGE_MOST = 200
HISTORY_MOST = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """How many findings are open, by state, in all and per client (identifier → state → count)."""

    total: dict[str, int] = field(default_factory=dict)
    per_client: dict[str, dict[str, int]] = field(default_factory=dict)


def of(scope: Scope) -> "QuerySet[Finding]":
    """All findings that the scope sees, with their asset and client."""
    rows = seen(Finding, scope)
    return rows.select_related("asset", "client")


def list_open(
    scope: Scope,
    *,
    client: str = "",
    asset: str = "",
    site: str = "",
    states: Collection[str] = (),
    rule: str = "",
    words: str = "",
    telling: bool | None = None,
    after: str | None = None,
    most: int = 50,
) -> Page[Finding]:
    """Open findings, worst first and the oldest of these first. `words` all occur in asset, rule or reason.

    `after` is the cursor of the page before. Raises Trouble when it is none.
    """
    rows = of(scope).filter(OPEN, asset__archived_at=None)
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    if site:
        rows = rows.filter(asset__site=site)
    if states:
        rows = rows.filter(state__in=states)
    if rule:
        rows = rows.filter(rule=rule)
    if telling is not None:
        rows = rows.filter(tells=telling)
    for word in words.split()[:10]:
        rows = rows.filter(
            Q(asset__name__icontains=word) | Q(rule__icontains=word) | Q(reason__icontains=word)
        )
    if after:
        concern, began_at, key = read_cursor(after, tuple[int, datetime, str])
        rows = rows.filter(
            Q(concern__lt=concern)
            | Q(concern=concern, began_at__gt=began_at)
            | Q(concern=concern, began_at=began_at, pk__gt=key)
        )
    most = max(1, min(most, PAGE_MOST))
    found = list(rows.order_by("-concern", "began_at", "pk")[: most + 1])
    return cut(found, most, lambda row: (row.concern, row.began_at, row.pk))


def get(scope: Scope, finding: str) -> Finding:
    """One finding. Raises Finding.DoesNotExist for what the scope does not see."""
    return of(scope).get(pk=finding)


def of_asset(
    scope: Scope, asset: str, *, since: datetime | None = None, most: int = HISTORY_MOST
) -> list[Finding]:
    """The findings of an asset: the open ones worst first, then those that ended, the newest first.

    `since` leaves out what ended before it.
    """
    rows = of(scope).filter(asset=asset)
    open_ones = list(rows.filter(OPEN).order_by("-concern", "began_at", "pk")[:most])
    ended = rows.filter(ended_at__isnull=False)
    if since is not None:
        ended = ended.filter(ended_at__gte=since)
    return open_ones + list(ended.order_by("-ended_at", "-pk")[: max(0, most - len(open_ones))])


def history(scope: Scope, finding: str) -> list[Step]:
    """The steps of a finding, oldest first."""
    rows = seen(Step, scope)
    return list(rows.filter(finding=finding).order_by("at", "pk")[:HISTORY_MOST])


def count_open(scope: Scope) -> Counts:
    """How many findings are open, by state."""
    rows = seen(Finding, scope).filter(OPEN, asset__archived_at=None)
    total: dict[str, int] = defaultdict(int)
    per_client: dict[str, dict[str, int]] = defaultdict(dict)
    for client, state, count in rows.values_list("client", "state").annotate(count=Count("pk")).order_by():
        total[state] += count
        per_client[client][state] = count
    return Counts(dict(total), dict(per_client))


def count_states(scope: Scope) -> dict[str, int]:
    """How many findings are open, by state: what the frame of every page shows."""
    rows = seen(Finding, scope).filter(OPEN, asset__archived_at=None)
    return dict(rows.values_list("state").annotate(count=Count("pk")).order_by())


def worst_states(scope: Scope, assets: Collection[str]) -> dict[str, str]:
    """The worst open state of each of these assets; an asset without a finding is not in the answer."""
    rows = seen(Finding, scope).filter(OPEN, asset__in=assets)
    return dict(rows.order_by("concern").values_list("asset", "state"))  # the last, the worst, stays


def prevented(scope: Scope, *, since: datetime, until: datetime, most: int = HISTORY_MOST) -> list[Finding]:
    """Findings that drifted and ended in that time before they went out of spec, the newest first."""
    rows = of(scope).filter(worst=State.DRIFTING.value, ended_at__gte=since, ended_at__lt=until)
    return list(rows.order_by("-ended_at", "-pk")[:most])


def count_prevented(scope: Scope, *, since: datetime, until: datetime) -> int:
    """How many of them there are."""
    rows = seen(Finding, scope).filter(worst=State.DRIFTING.value, ended_at__gte=since, ended_at__lt=until)
    return rows.count()


def list_overrides(scope: Scope, *, client: str = "", asset: str = "", rule: str = "") -> list[Override]:
    """The overrides that the scope sees, the newest first."""
    rows = seen(Override, scope).select_related("client", "site", "asset")
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    if rule:
        rows = rows.filter(rule=rule)
    return list(rows.order_by("-made_at")[:HISTORY_MOST])


def load_overrides(scope: Scope) -> dict[str, tuple[RuleOverride, ...]]:
    """The overrides that hold for each asset (identifier → those of its client, its site and its own), for
    `JudgedAsset.overrides`; the judge lays the narrow over the broad. Only assets that have any."""
    rows = list(seen(Override, scope).order_by("made_at", "pk"))
    if not rows:
        return {}
    wide = {row.client_id for row in rows if row.asset_id is None}
    narrow = {row.asset_id for row in rows if row.asset_id is not None}
    assets = seen(Asset, scope).filter(archived_at=None)
    places = assets.filter(Q(client__in=wide) | Q(pk__in=narrow)).values_list("pk", "client_id", "site_id")
    found: dict[str, tuple[RuleOverride, ...]] = {}
    for asset, client, site in places:
        here = tuple(
            RuleOverride(rule=row.rule, place=_place(row), settings=row.settings)
            for row in rows
            if row.client_id == client and row.asset_id in {None, asset} and row.site_id in {None, site}
        )
        if here:
            found[asset] = here
    return found


def _place(row: Override) -> Literal["client", "site", "asset"]:
    return "asset" if row.asset_id else "site" if row.site_id else "client"
