"""Heartbeats: made, heard, listed. A ping becomes a row here, and an outcome on the road (by its door).

Source: https://healthchecks.io/docs/http_api/ and its measuring of run times by `rid`.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.db import transaction
from django.utils import timezone

from forestall.estate.access import hash_secret
from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.estate.values import Pusher
from forestall.estate.vault import open_sealed, seal
from forestall.intake.heartbeat_models import Heartbeat, Ping
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

SECRET_BYTES = 16  # 22 characters
NAME_MAX_CHARS = 100
PERIOD_LEAST_S, PERIOD_MOST_S = 60, 366 * 86_400
GRACE_LEAST_S, GRACE_MOST_S = 60, 366 * 86_400
PER_ASSET_MAX = 100
PINGS_KEPT = 100
PRUNE_EVERY = 20
BODY_KEPT_BYTES = 10_000
AGENT_MAX_CHARS = 200
RUN_MOST = timedelta(days=366)
PING_COST_BYTES = 10_000  # what a ping counts for, however short it is
PINGS_PER_S = 2

PingKind = Literal["ok", "fail", "start", "log"]


@dataclass(frozen=True, slots=True)
class Heard:
    """A ping as it came. `status` is the exit status that was told, if one was."""

    kind: PingKind
    at: datetime
    peer: str
    status: int | None = None
    rid: str = ""
    agent: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Noted:
    """A ping that was kept, and what is known of its heartbeat then. `lasted_ms` of the run that it ended."""

    client: str
    asset: str
    name: str
    lasted_ms: int | None


def add_heartbeat(
    scope: Scope, *, asset: Asset, name: str, period_s: int = 86_400, grace_s: int = 3_600
) -> Heartbeat:
    """A new heartbeat of an asset. Raises Trouble."""
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX_CHARS:
        raise Trouble(f"a heartbeat's name has 1 to {NAME_MAX_CHARS} characters", "Write another one.")
    if not PERIOD_LEAST_S <= period_s <= PERIOD_MOST_S or not GRACE_LEAST_S <= grace_s <= GRACE_MOST_S:
        raise Trouble(
            "a heartbeat comes every minute to every 366 days, with a minute to 366 days of grace",
            "Give both in seconds, for example 86400 and 3600.",
        )
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        mine = Heartbeat.objects.of(scope).filter(asset=asset)
        if mine.filter(name=name).exists():
            raise Trouble(f"{asset.name} has a heartbeat called {name!r} already", "Choose another name.")
        if mine.count() >= PER_ASSET_MAX:
            raise Trouble(f"an asset has at most {PER_ASSET_MAX} heartbeats", "Remove one first.")
        row = Heartbeat(
            client_id=asset.client_id,
            asset=asset,
            name=name,
            period_s=period_s,
            grace_s=grace_s,
            secret_hash=hash_secret(secret),
            made_at=timezone.now(),
        )
        row.sealed = seal(asset.client_id, _record(row), secret)
        row.save(force_insert=True)
        _note(scope, "heartbeat_created", row, {"name": name, "asset": asset.pk})
    return row


def remove_heartbeat(scope: Scope, row: Heartbeat) -> None:
    """It is expected no more, and its address opens nothing."""
    with transaction.atomic():
        _note(scope, "heartbeat_removed", row, {"name": row.name, "asset": row.asset_id})
        row.delete()


def secret_of(row: Heartbeat) -> str:
    """The identifier in its address."""
    return open_sealed(row.client_id, _record(row), row.sealed)


def find_heartbeat(scope: Scope, identifier: str) -> Heartbeat | None:
    """A heartbeat that the scope sees."""
    return Heartbeat.objects.of(scope).select_related("asset").filter(pk=identifier).first()


def list_heartbeats(
    scope: Scope, *, client: str = "", asset: str = "", after: str = "", limit: int = 500
) -> list[Heartbeat]:
    """Heartbeats, the oldest first."""
    rows = Heartbeat.objects.of(scope).filter(asset__archived_at=None, pk__gt=after)
    if client:
        rows = rows.filter(client=client)
    if asset:
        rows = rows.filter(asset=asset)
    return list(rows.select_related("asset").order_by("pk")[:limit])


def list_pings(scope: Scope, heartbeat: Heartbeat, *, limit: int = PINGS_KEPT) -> list[Ping]:
    """Its pings, the newest first."""
    return list(Ping.objects.of(scope).filter(heartbeat=heartbeat)[:limit])


def find_pinger(secret_hash: bytes) -> Pusher | None:
    """What the doors need to know of the heartbeat with that secret; None when there is none."""
    row = (
        Heartbeat.objects.select_related("client", "asset")
        .filter(secret_hash=secret_hash, asset__archived_at=None, client__archived_at=None)
        .first()
    )
    if row is None:
        return None
    return Pusher(row.pk, row.name, row.client_id, row.asset_id, "", PING_COST_BYTES * PINGS_PER_S, None)


def note_ping(heartbeat: str, heard: Heard) -> Noted | None:
    """Keep a ping and what follows from it; None when the heartbeat is gone."""
    with transaction.atomic():
        row = Heartbeat.objects.select_for_update().filter(pk=heartbeat).first()
        if row is None:
            return None
        lasted_ms = _apply(row, heard)
        row.pings += 1
        row.save()
        Ping.objects.create(
            client_id=row.client_id,
            heartbeat=row,
            at=heard.at,
            kind=heard.kind,
            status=heard.status,
            rid=heard.rid,
            lasted_ms=lasted_ms,
            peer=heard.peer[:64],
            agent=heard.agent[:AGENT_MAX_CHARS],
            body=heard.body[:BODY_KEPT_BYTES],
        )
        if row.pings % PRUNE_EVERY == 0:
            oldest = row.kept_pings.values_list("pk", flat=True)[PINGS_KEPT : PINGS_KEPT + 1].first()
            if oldest is not None:
                row.kept_pings.filter(pk__lte=oldest).delete()
    return Noted(row.client_id, row.asset_id, row.name, lasted_ms)


def _apply(row: Heartbeat, heard: Heard) -> int | None:
    """Change the row by a ping; how long the run lasted, when it ended one whose beginning is known."""
    if heard.kind == "log":
        return None
    if heard.kind == "start":
        row.began_at, row.began_rid = heard.at, heard.rid
        return None
    row.pinged_at = heard.at
    if heard.kind == "ok":
        row.ok_at = heard.at
    else:
        row.failed_at = heard.at
    if row.began_at is None or (row.began_rid and heard.rid and row.began_rid != heard.rid):
        return None
    lasted = heard.at - row.began_at
    row.began_at, row.began_rid = None, ""
    if not timedelta(0) <= lasted <= RUN_MOST:
        return None
    row.lasted_ms = int(lasted.total_seconds() * 1000)
    return row.lasted_ms


def _record(row: Heartbeat) -> str:
    return f"heartbeat/{row.pk}"


def _note(scope: Scope, what: str, row: Heartbeat, body: dict[str, str]) -> None:
    append(
        f"estate.{what}",
        client=row.client_id,
        subject=row.pk,
        actor=scope.actor,
        body=body,
        at=timezone.now(),
    )


def state_of(row: Heartbeat, now: datetime) -> str:
    """How it stands: waiting (never heard), failed, late, running, in_time."""
    if row.began_at is not None and now - row.began_at > timedelta(seconds=row.grace_s):
        return "late"
    if row.pinged_at is None:
        return "waiting" if row.began_at is None else "running"
    if now - row.pinged_at > timedelta(seconds=row.period_s + row.grace_s):
        return "late"
    if row.failed_at == row.pinged_at:
        return "failed"
    return "running" if row.began_at is not None else "in_time"


def address_of(row: Heartbeat, base: str) -> str:
    """Where it pings; whoever knows it can ping."""
    return f"{base.rstrip('/')}/ping/{secret_of(row)}"
