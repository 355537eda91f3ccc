"""Lock-out: too many wrong passwords in a row, and for a while none is tried any more.

Counted per person and address, so that a stranger elsewhere does not lock somebody out of their own desk;
and per person over all addresses with a higher limit, against guessing from many of them.
Source: OWASP ASVS 5.0, 6.3.1.
"""

import hashlib
from datetime import datetime, timedelta

from django.db import transaction

from forestall.estate.models import Person, SignInFailures
from forestall.journal.actions import append

FROM_ONE_ADDRESS = 5
FROM_ALL_ADDRESSES = 50
LOCKED_FOR = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)
ROWS_MAX = 20_000


def locked_until(email: str, *, address: str, now: datetime) -> datetime | None:
    """Until when no password of this person is tried from this address, or None."""
    rows = SignInFailures.objects.filter(key__in=[key for key, _ in _keys(email, address)])
    ends = [row.locked_until for row in rows if row.locked_until is not None and row.locked_until > now]
    return max(ends, default=None)


def note_failure(email: str, *, address: str, now: datetime) -> None:
    """A wrong password was given."""
    with transaction.atomic():
        for key, limit in _keys(email, address):
            row, _ = SignInFailures.objects.select_for_update().get_or_create(
                key=key, defaults={"since": now, "last_at": now}
            )
            if now - row.last_at > FORGOTTEN_AFTER:
                row.count, row.since = 0, now
            row.count, row.last_at = row.count + 1, now
            if row.count >= limit:
                row.count, row.locked_until = 0, now + LOCKED_FOR
                _journal(email, address, now)
            row.save()
        if SignInFailures.objects.count() > ROWS_MAX:
            SignInFailures.objects.filter(last_at__lt=now - FORGOTTEN_AFTER).delete()


def forget_failures(email: str, *, address: str) -> None:
    """The right password was given from this address."""
    key, _ = _keys(email, address)[0]
    SignInFailures.objects.filter(key=key).delete()


def _keys(email: str, address: str) -> list[tuple[str, int]]:
    """What is counted, hashed (an address book of failed sign-ins is nobody's business), with its limit."""
    name = email.strip().lower()
    counted = ((f"{name}\0{address}", FROM_ONE_ADDRESS), (name, FROM_ALL_ADDRESSES))
    return [(hashlib.sha256(text.encode()).hexdigest(), limit) for text, limit in counted]


def _journal(email: str, address: str, now: datetime) -> None:
    person = Person.objects.filter(email=email.strip().lower()).first()
    if person is not None:  # names that strangers make up do not fill the journal
        append("access.locked_out", subject=person.pk, actor="forestall:access", at=now,
               body={"address": address, "until": (now + LOCKED_FOR).isoformat()})  # fmt: skip
