"""Every read of the intake from the business tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from django.db.models import Q, QuerySet, Sum

from forestall.estate.models import Asset, Client, Collector
from forestall.estate.tenancy import Scope
from forestall.intake.models import RejectedInput, Stranger
from forestall.intake.route import Directory, RoutedAsset, RoutedCollector
from forestall.kernel.clock import Clock, to_ms
from forestall.kernel.cursors import ByTime

PAGE_MAX = 500


def load_directory(scope: Scope, clock: Clock) -> Directory:
    """The estate as routing needs it: assets that are not archived, collectors that are not revoked."""
    loaded_at_ms = to_ms(clock.now())
    assets = Asset.objects.of(scope).filter(archived_at=None).values_list("id", "client", "name", "addresses")
    collectors = Collector.objects.of(scope).filter(revoked_at=None).values_list("id", "client", "asset")
    zones = Client.objects.of(scope).exclude(timezone="UTC").values_list("id", "timezone")
    return Directory(
        [
            RoutedAsset(identifier, client, name, tuple(text for text in addresses if isinstance(text, str)))
            for identifier, client, name, addresses in assets
        ],
        [RoutedCollector(*row) for row in collectors],
        zones=dict(zones),
        loaded_at_ms=loaded_at_ms,
    )


def list_rejected(
    scope: Scope, *, door: str = "", client: str = "", after: ByTime | None = None, limit: int = 100
) -> Sequence[RejectedInput]:
    """Refused input, the latest first; `after` is (last_at, identifier) of the last one of the page before.
    What belongs to no client is seen by those who see every client."""
    rows = _rejected(scope)
    if door:
        rows = rows.filter(door=door)
    if client:
        rows = rows.filter(client=client)
    if after is not None:
        rows = rows.filter(Q(last_at__lt=after[0]) | Q(last_at=after[0], pk__lt=after[1]))
    return list(rows.select_related("client").order_by("-last_at", "-pk")[: min(limit, PAGE_MAX)])


def find_rejected(scope: Scope, identifier: str) -> RejectedInput | None:
    """One row, or None when there is none that the scope sees."""
    return _rejected(scope).select_related("client").filter(pk=identifier).first()


def count_rejected(scope: Scope, *, since: datetime) -> int:
    """How many records were refused since then (rows whose last one is not older)."""
    total = _rejected(scope).filter(last_at__gte=since).aggregate(total=Sum("count"))["total"]
    return int(total or 0)


def _rejected(scope: Scope) -> QuerySet[RejectedInput]:
    """The gate: a row without a client is no client's, so `of` hides it from every narrower scope."""
    return cast("QuerySet[RejectedInput]", RejectedInput.objects.of(scope))


def list_strangers(
    scope: Scope, *, state: str = "", after: tuple[datetime, str] | None = None, limit: int = 100
) -> Sequence[Stranger]:
    """Who sends although nobody knows whose it is, the latest first; those who are known by now are left out
    unless `state` asks for them. Those without a client are seen by those who see every client."""
    rows = _strangers(scope)
    rows = rows.filter(state=state) if state else rows.exclude(state=Stranger.DONE)
    if after is not None:
        at, pk = after
        rows = rows.filter(Q(last_at__lt=at) | Q(last_at=at, pk__lt=pk))
    found = rows.select_related("client", "asset").order_by("-last_at", "-pk")
    return list(found[: min(limit, PAGE_MAX)])


def find_stranger(scope: Scope, identifier: str) -> Stranger | None:
    """One row, or None when there is none that the scope sees."""
    return _strangers(scope).select_related("client", "asset").filter(pk=identifier).first()


def count_strangers(scope: Scope) -> int:
    """How many wait for somebody to say whose they are."""
    return _strangers(scope).filter(state=Stranger.WAITING).count()


def sum_quarantine(scope: Scope) -> dict[tuple[str, str], int]:
    """Records in quarantine by (door, what became of them): `waiting`, `dropped`, `fed`."""
    found: dict[tuple[str, str], int] = {}
    rows = (
        _strangers(scope)
        .values_list("door")
        .annotate(Sum("kept_records"), Sum("dropped_records"), Sum("fed_records"))
    )
    for door, waiting, dropped, fed in rows:
        found |= {(door, "waiting"): waiting, (door, "dropped"): dropped, (door, "fed"): fed}
    return found


def _strangers(scope: Scope) -> QuerySet[Stranger]:
    return cast("QuerySet[Stranger]", Stranger.objects.of(scope))
