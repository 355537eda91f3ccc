"""A place on the board of backups: where a page ended, so that the next one begins behind it."""

import re
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from forestall.backups.models import PlanStanding

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = re.compile(
    r"(?P<concern>\d{1,4})\.(?P<overdue>[01])\.(?P<level>-?\d)\.(?P<proved>x|\d{1,17})\.(?P<plan>[0-9A-Z]{13})"
)


def place_of(row: PlanStanding) -> str:
    """Where a plan stands on the board, for `after`: where it stood then, should it move."""
    proved = _to_us(row.proved_at) if row.proved_at is not None else "x"
    return f"{row.concern}.{int(row.overdue)}.{row.level}.{proved}.{row.plan_id}"


def behind(place: str) -> Q:
    """What stands behind a place; nothing is left out for words that name none."""
    found = PLACE.fullmatch(place)
    if found is None:
        return Q()
    concern, overdue, level = int(found["concern"]), found["overdue"] == "1", int(found["level"])
    proved = found["proved"]
    same = Q(concern=concern)
    after = Q(concern__lt=concern)
    if overdue:
        after |= same & Q(overdue=False)
    same &= Q(overdue=overdue)
    after |= same & Q(level__gt=level)
    same &= Q(level=level)
    if proved == "x":
        after |= same & Q(proved_at__isnull=False)
        return after | same & Q(proved_at=None, plan__gt=found["plan"])
    at = EPOCH + timedelta(microseconds=int(proved))
    after |= same & Q(proved_at__gt=at)
    return after | same & Q(proved_at=at, plan__gt=found["plan"])


def _to_us(at: datetime) -> int:
    """Microseconds since 1970: an instant as exactly as the database keeps it."""
    return (at - EPOCH) // timedelta(microseconds=1)
