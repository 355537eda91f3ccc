"""Every read of keeping from the business tables."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.keeping.models import Deletion, Hold

PAGE_MAX = 500
HOLDS_MAX = 100_000  # the installation's own work reads all of them at once


def list_holds(
    scope: Scope, *, client: str = "", asset: str = "", now: datetime | None = None, limit: int = PAGE_MAX
) -> Sequence[Hold]:
    """Holds, the newest first; with `now` only those that are in force then."""
    rows = seen(Hold, scope).select_related("client", "asset")
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(Q(asset=asset) | Q(asset=None))
    if now is not None:
        rows = rows.filter(Q(until=None) | Q(until__gt=now), released_at=None)
    return list(rows.order_by("-made_at", "-pk")[: min(limit, HOLDS_MAX)])


def find_hold(scope: Scope, identifier: str) -> Hold | None:
    """One hold, or None when there is none that the scope sees."""
    return seen(Hold, scope).select_related("client", "asset").filter(pk=identifier).first()


def find_deletion(scope: Scope, client: str) -> Deletion | None:
    """The deletion of a client, also when it is done; for those who see every client."""
    return Deletion.objects.filter(pk=client).first() if scope.everything else None


def list_deletions(scope: Scope) -> Sequence[Deletion]:
    """All deletions, the newest first; for those who see every client."""
    return list(Deletion.objects.order_by("-ordered_at")[:PAGE_MAX]) if scope.everything else []
