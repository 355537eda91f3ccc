"""Writes of keeping that people make: a hold, its release, the order to delete a client."""

from datetime import datetime

from django.db import transaction

from forestall.estate.models import ApiToken, Asset, Client, Collector
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.journal.actions import append
from forestall.keeping.models import Deletion, Hold
from forestall.keeping.queries import list_holds
from forestall.kernel.errors import Trouble


def hold(
    scope: Scope,
    *,
    client: str,
    reason: str,
    now: datetime,
    asset: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    until: datetime | None = None,
) -> Hold:
    """Keep retention away from a client's telemetry, or from an asset's, of that span of time.

    Raises DoesNotExist for what the scope does not see, Trouble when it makes no sense.
    """
    if not reason.strip():
        raise Trouble("a hold needs a reason", "Write what it is for, for example the case's number.")
    if (from_at and to_at and to_at <= from_at) or (until and until <= now):
        raise Trouble("a hold ends after it begins, and not in the past", "Correct its times.")
    Client.objects.all().of(scope).get(pk=client)
    if asset:
        seen(Asset, scope).get(pk=asset, client_id=client)
    with transaction.atomic():
        row = Hold.objects.create(
            client_id=client,
            asset_id=asset or None,
            from_at=from_at,
            to_at=to_at,
            reason=reason.strip()[:300],
            made_by=scope.actor[:160],
            made_at=now,
            until=until,
        )
        _journal("hold.made", row, scope, now)
    return row


def release_hold(scope: Scope, identifier: str, *, now: datetime) -> None:
    """Retention may go on. Raises Hold.DoesNotExist for what the scope does not see, Trouble when it was
    released already."""
    with transaction.atomic():
        row = seen(Hold, scope).select_for_update(of=("self",)).get(pk=identifier)
        if row.released_at is not None:
            raise Trouble("this hold was released already", "There is nothing to release.")
        row.released_at, row.released_by = now, scope.actor[:160]
        row.save(update_fields=["released_at", "released_by"])
        _journal("hold.released", row, scope, now)


def order_deletion(scope: Scope, client: str, *, confirm: str, now: datetime) -> Deletion:
    """Order that a client and everything of it is deleted; nothing of it is taken in from now on.

    `confirm` is the client's name, typed. Raises Client.DoesNotExist for what the scope does not see, Trouble
    when the name is another, a hold is in force, or it is the client under which Forestall watches itself.
    """
    if not scope.everything:
        raise Trouble("only somebody who sees every client deletes one", "Ask an owner.")
    row = Client.objects.all().of(scope).get(pk=client)
    if confirm.strip() != row.name:
        raise Trouble(f"the name to confirm is {row.name!r}", "Type it exactly; this cannot be undone.")
    if Asset.objects.of(scope).filter(client=row, kind="forestall").exists():
        raise Trouble(f"{row.name} is the client under which Forestall watches itself", "It stays.")
    held = list_holds(scope, client=client, now=now)
    if held:
        raise Trouble(
            f"{row.name} is held: {held[0].reason}", "Release its holds first, if they may be released."
        )
    with transaction.atomic():
        found, fresh = Deletion.objects.get_or_create(
            client=client, defaults={"ordered_by": scope.actor[:160], "ordered_at": now}
        )
        if fresh:
            Client.objects.of(scope).filter(pk=client, archived_at=None).update(archived_at=now)
            Asset.objects.of(scope).filter(client=client, archived_at=None).update(archived_at=now)
            Collector.objects.of(scope).filter(client=client, revoked_at=None).update(revoked_at=now)
            ApiToken.objects.filter(client=client, revoked_at=None).update(revoked_at=now)
            append(
                "client.deletion_ordered", client=client, subject=client, actor=scope.actor, body={}, at=now
            )
    return found


def _journal(kind: str, row: Hold, scope: Scope, now: datetime) -> None:
    times = {"from_at": row.from_at, "to_at": row.to_at, "until": row.until}
    append(
        kind,
        client=row.client_id,
        subject=row.pk,
        actor=scope.actor,
        at=now,
        body={
            "asset": row.asset_id,
            "reason": row.reason,
            **{name: at.isoformat() if at else None for name, at in times.items()},
        },
    )
