"""Every write of the intake to the business tables: what was refused is kept, one row an hour and reason."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

from django.db import transaction

from forestall.estate.models import Client
from forestall.intake.models import RejectedInput
from forestall.intake.values import OTHERS, RAW_MAX_BYTES, REASON_MAX_CHARS, SENDER_MAX_CHARS, Rejection
from forestall.kernel.clock import from_ms

ROWS_MAX = 100_000
ROWS_PER_CALL_MAX = 1_000
TOGETHER = timedelta(hours=1)

_Key = tuple[str, str, str, str]


def record_rejections(
    rejections: Iterable[Rejection], *, mask: Callable[[str], str] = lambda text: text
) -> int:
    """Keep what was refused, without the secrets that `mask` finds; returns how many records that were.

    The same reason from the same sender at the same door within an hour is one row that counts. More than
    ROWS_PER_CALL_MAX kinds at once are counted under one sender `(others)`, and of more than ROWS_MAX rows
    the oldest go: somebody who sends rubbish from many addresses fills neither table nor disk.
    """
    grouped: dict[_Key, list[Rejection]] = {}
    total = 0
    for one in rejections:
        one = _masked(one, mask)
        key = (one.client, one.door, one.sender[:SENDER_MAX_CHARS], one.reason[:REASON_MAX_CHARS])
        if key not in grouped and len(grouped) >= ROWS_PER_CALL_MAX:
            key = ("", one.door, OTHERS, "too many kinds of refused input at once to keep each")
        grouped.setdefault(key, []).append(one)
        total += one.count
    if not grouped:
        return 0
    with transaction.atomic():
        known = set(
            Client.objects.filter(pk__in={key[0] for key in grouped if key[0]}).values_list("pk", flat=True)
        )
        for key, group in grouped.items():
            _record(key, group, known)
        _forget_oldest()
    return total


def _masked(one: Rejection, mask: Callable[[str], str]) -> Rejection:
    """Bytes that are no text stay as they are."""
    raw = mask(one.raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return replace(one, raw=raw, reason=mask(one.reason))


def _record(key: _Key, group: list[Rejection], known: set[str]) -> None:
    client, door, sender, reason = key
    first, last = from_ms(min(one.at_ms for one in group)), from_ms(max(one.at_ms for one in group))
    count = sum(one.count for one in group)
    found = (
        RejectedInput.objects.select_for_update()
        .filter(
            client_id=client if client in known else None,
            door=door,
            sender=sender,
            reason=reason,
            first_at__gt=last - TOGETHER,
            first_at__lte=last,
        )
        .order_by("-first_at")
        .first()
    )
    if found:
        found.count += count
        found.last_at = max(found.last_at, last)
        found.save(update_fields=["count", "last_at"])
        return
    RejectedInput.objects.create(
        client_id=client if client in known else None,
        door=door,
        sender=sender,
        reason=reason,
        count=count,
        first_at=first,
        last_at=last,
        raw=next((one.raw for one in group if one.raw), b"")[:RAW_MAX_BYTES],
    )


def _forget_oldest() -> None:
    too_many = RejectedInput.objects.count() - ROWS_MAX
    if too_many > 0:
        oldest = RejectedInput.objects.order_by("last_at").values_list("pk", flat=True)[
            : too_many + ROWS_MAX // 100
        ]
        RejectedInput.objects.filter(pk__in=list(oldest)).delete()
