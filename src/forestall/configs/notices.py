"""Log lines that say that a configuration was changed, and by whom: kept beside the change that they explain.

A notice comes before the capture that shows its change (it is what asks for that capture), or a moment after
one that ran anyway. Times are ours: when the line was received, not what the device's clock says.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from forestall.configs.models import Change, Notice
from forestall.estate.tenancy import Scope

LINE_MAX_CHARS = 1_000
NAME_MAX_CHARS = 128
LATE = timedelta(seconds=30)  # a line may be received so long after the capture that shows the change
NAMED_MAX = 20
SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Said:
    """A line as it was received about an asset; `line` has its secrets masked."""

    client: str
    asset: str
    at: datetime
    line: str
    user: str = ""
    address: str = ""


def note_notices(said: Iterable[Said]) -> int:
    """Keep notices, each once, and name who made the changes that are known already; how many were new."""
    fresh = 0
    with transaction.atomic():
        for one in said:
            line = one.line[:LINE_MAX_CHARS]
            row, made = Notice.objects.get_or_create(
                asset_id=one.asset,
                at=one.at,
                digest=hashlib.sha256(line.encode(errors="replace")).digest()[:16],
                defaults={
                    "client_id": one.client,
                    "line": line,
                    "user": one.user[:NAME_MAX_CHARS],
                    "address": one.address[:NAME_MAX_CHARS],
                },
            )
            fresh += made
            if made:
                _name(
                    Change.objects.filter(asset=one.asset, after_at__lte=one.at, at__gte=one.at - LATE), row
                )
    return fresh


def name_who(changes: Sequence[Change]) -> None:
    """Name in fresh changes who the lines say made them. Within the caller's transaction."""
    assets = {change.asset_id for change in changes}
    told = set(
        Notice.objects.filter(asset__in=assets, change=None).values_list("asset", flat=True).distinct()
    )
    for change in changes:
        if change.asset_id not in told:
            continue
        rows = Notice.objects.filter(
            asset=change.asset_id, change=None, at__gte=change.after_at - LATE, at__lte=change.at + LATE
        )
        for row in rows.order_by("at")[:NAMED_MAX]:
            _explain(change, row)


def notices_of(scope: Scope, change: Change) -> list[Notice]:
    """The lines that explain a change, the first one first."""
    return list(Notice.objects.of(scope).filter(change=change).order_by("at")[:SHOWN_MAX])


def _name(changes: "Iterable[Change]", row: Notice) -> None:
    for change in list(changes)[:NAMED_MAX]:
        _explain(change, row)


def _explain(change: Change, row: Notice) -> None:
    Notice.objects.filter(pk=row.pk).update(change=change)
    who = f"{row.user} from {row.address}" if row.user and row.address else row.user
    if who and who not in change.named and len(change.named) < NAMED_MAX:
        change.named = [*change.named, who]
        Change.objects.filter(pk=change.pk).update(named=change.named)
