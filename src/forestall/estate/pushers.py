"""Which program pushes with a token: what the doors of the intake need to know of it."""

from datetime import datetime

from forestall.estate.access import USED_EVERY, rights_of, scope_of
from forestall.estate.models import ApiToken
from forestall.estate.values import Pusher

PUSH = "intake"


def find_pusher(token_hash: bytes, *, now: datetime) -> Pusher | None:
    """Whose token has this hash; None when it opens nothing (any more)."""
    row = (
        ApiToken.objects.select_related("person", "client")
        .filter(token_hash=token_hash, revoked_at=None)
        .first()
    )
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return Pusher(
        row.pk,
        row.name,
        row.client_id or "",
        row.asset_id or "",
        _why_not(row),
        row.rate_bytes_per_s,
        row.body_max_bytes,
    )


def _why_not(row: ApiToken) -> str:
    if PUSH not in row.may or PUSH not in rights_of(row.person):
        return f"the token {row.name} has not the right {PUSH}: make one that has it"
    if row.client is None:
        return f"the token {row.name} is not bound to a client: make one for the client whose data this is"
    if not scope_of(row.person).sees(row.client.pk):
        return f"the maker of the token {row.name} does not see its client any more: make a new one"
    if row.client.archived_at is not None:
        return f"the client {row.client.name} is archived: take it back first"
    return ""
