"""Collectors come in by a single-use token; what they may send about, and what they are asked to do."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from forestall.estate.credentials import open_for
from forestall.estate.models import Asset, Collector, EnrolmentToken, Probe, Site
from forestall.estate.tenancy import Scope
from forestall.estate.vault import is_sealed, open_sealed
from forestall.journal.actions import append
from forestall.kernel.clock import to_ms

TOKEN_LIVES = timedelta(minutes=15)
SEEN_EVERY = timedelta(seconds=30)
ASK_NOW_FOR = timedelta(minutes=10)  # what a collector did not fetch by then comes by its schedule
NAMES_TRIED = 50
MACHINES = frozenset(("server", "workstation"))
SERVER = "server"  # the platform of the collector that stands for the server itself


# Further work of collectors, by its name on the wire: rooms that come later put theirs in when they start.
FURTHER_WORK: dict[str, Callable[[Collector], Any]] = {}


class NotEnrolled(Exception):
    """The token or key opens nothing; the text says what to do."""


@dataclass(frozen=True, slots=True)
class KnownCollector:
    """A collector as the door knows it."""

    id: str
    client: str
    asset: str
    public_key: bytes


def make_enrolment_token(
    scope: Scope, *, client: str, site: str | None = None, asset: str | None = None
) -> tuple[EnrolmentToken, str]:
    """A token for one machine and its secret, shown once. Raises LookupError for what is not there."""
    if not scope.sees(client):
        raise LookupError("there is no such client")
    if site and not Site.objects.filter(pk=site, client=client).exists():
        raise LookupError("there is no such site")
    if asset and not Asset.objects.filter(pk=asset, client=client, archived_at=None).exists():
        raise LookupError("there is no such asset")
    secret = secrets.token_hex(24)  # it is given on a command line, where a leading dash is an option
    now = timezone.now()
    with transaction.atomic():
        token = EnrolmentToken.objects.create(
            client_id=client,
            site_id=site,
            asset_id=asset,
            token_hash=_hash(secret),
            made_by=scope.actor,
            expires_at=now + TOKEN_LIVES,
        )
        append(
            "access.enrolment_token_made", client=client, subject=token.pk, actor=scope.actor, body={}, at=now
        )
    return token, secret


def enrol_collector(
    secret: str,
    *,
    public_key: bytes,
    hostname: str,
    platform: str,
    version: str,
    addresses: list[str],
    now: datetime,
    kind: str = "",
    peer: str = "",
) -> KnownCollector:
    """Exchange a token for a collector; makes its asset when the token names none. A collector that the
    asset had before is revoked, and its probes are asked by the new one.

    `addresses` are what the machine says of itself: facts, no more. `peer` is the one of them that it was
    seen to send from; it becomes an address by which its syslog is known. Raises NotEnrolled.
    """
    with transaction.atomic():
        token = (
            EnrolmentToken.objects.select_for_update(of=("self",))
            .select_related("client", "asset", "site")
            .filter(token_hash=_hash(secret))
            .first()
        )
        if token is None:
            raise NotEnrolled("this token is not known")
        if token.used_at is not None:
            raise NotEnrolled("this token was used")
        if token.expires_at <= now:
            raise NotEnrolled("this token is older than 15 minutes")
        if token.client.archived_at or (token.asset and token.asset.archived_at):
            raise NotEnrolled("what this token is for was archived")
        if not EnrolmentToken.objects.filter(pk=token.pk, used_at=None).update(used_at=now):
            raise NotEnrolled("this token was used")
        asset = token.asset or _make_asset(token, hostname, kind if kind in MACHINES else "server", now)
        if peer and not asset.addresses and is_free(token.client_id, peer):
            asset.addresses = [peer]
        asset.facts = asset.facts | {"platform": platform, "hostname": hostname, "addresses": addresses}
        asset.save(update_fields=["facts", "addresses"])
        collector = Collector.objects.create(
            client=token.client,
            site=token.site,
            asset=asset,
            public_key=public_key,
            key_since=now,
            enrolled_at=now,
            version=version,
            platform=platform,
        )
        body = {"asset": asset.pk, "hostname": hostname, "key": hashlib.sha256(public_key).hexdigest()}
        if replaced := _replace_others(collector, now):
            body["replaces"] = ",".join(replaced)
        append(
            "collector.enrolled",
            client=token.client_id,
            subject=collector.pk,
            actor=token.made_by,
            body=body,
            at=now,
        )
    return KnownCollector(collector.pk, token.client_id, asset.pk, public_key)


def _make_asset(token: EnrolmentToken, hostname: str, kind: str, now: datetime) -> Asset:
    asset = Asset.objects.create(
        client=token.client, site=token.site, name=_free_name(token.client_id, hostname), kind=kind
    )
    append(
        "estate.asset_created",
        client=token.client_id,
        subject=asset.pk,
        actor=token.made_by,
        body={"name": asset.name},
        at=now,
    )
    return asset


def is_free(client: str, address: str) -> bool:
    """Whether no other client has an asset with that address: whose its syslog is must stay plain."""
    others = Asset.objects.exclude(client=client).filter(archived_at=None).values_list("addresses", flat=True)
    return not any(address in addresses for addresses in others.iterator())


def _replace_others(collector: Collector, now: datetime) -> list[str]:
    """A machine has one agent: revoke the ones before, and hand their probes over."""
    others = Collector.objects.filter(asset=collector.asset_id, revoked_at=None).exclude(
        Q(pk=collector.pk) | Q(platform=SERVER)
    )
    replaced = list(others.values_list("pk", flat=True))
    Probe.objects.filter(collector__in=replaced).update(collector=collector)
    Collector.objects.filter(pk__in=replaced).update(revoked_at=now)
    return replaced


def find_assets(client: str, identifiers: Sequence[str]) -> set[str]:
    """Which of these are assets of the client. For the door alone."""
    return set(
        Asset.objects.filter(client=client, pk__in=identifiers, archived_at=None).values_list("pk", flat=True)
    )


def find_collector(identifier: str) -> KnownCollector | None:
    """An enrolled collector that was not revoked. For the door alone: it answers for one key, not a scope."""
    row = (
        Collector.objects.filter(pk=identifier, revoked_at=None, client__archived_at=None)
        .exclude(platform=SERVER)
        .first()
    )
    return KnownCollector(row.pk, row.client_id, row.asset_id, bytes(row.public_key)) if row else None


def note_seen(identifier: str, *, now: datetime) -> None:
    """The collector was here."""
    Collector.objects.filter(pk=identifier).update(last_seen_at=now)


def rotate_key(identifier: str, *, public_key: bytes, now: datetime) -> None:
    """From now on the collector signs with another key."""
    with transaction.atomic():
        collector = Collector.objects.select_for_update().get(pk=identifier)
        Collector.objects.filter(pk=identifier).update(public_key=public_key, key_since=now)
        append(
            "collector.key_rotated",
            client=collector.client_id,
            subject=identifier,
            actor=f"collector:{identifier}",
            body={"key": hashlib.sha256(public_key).hexdigest()},
            at=now,
        )


def work_of(identifier: str) -> dict[str, Any]:
    """What a collector is asked to do: its probes with what they sign in with, the ranges of its site, which
    of the probes are to be asked at once (probe → when that was wanted, in ms), and FURTHER_WORK."""
    collector = Collector.objects.select_related("site").get(pk=identifier)
    probes = Probe.objects.filter(
        collector=collector, client=collector.client_id, enabled=True, asset__archived_at=None
    )
    return {
        "ranges": collector.site.ranges if collector.site else [],
        "probes": _orders(probes, collector=identifier),
        "now": asked_now(probes),
        **{name: ask(collector) for name, ask in FURTHER_WORK.items()},
    }


def server_orders() -> list[dict[str, Any]]:
    """Probes that the server asks itself, each with its `client`."""
    probes = Probe.objects.filter(collector=None, enabled=True, asset__archived_at=None)
    clients = dict(probes.values_list("pk", "client"))
    return [order | {"client": clients[order["id"]]} for order in _orders(probes, collector="")]


def server_asked_now() -> dict[str, int]:
    """Which of the server's probes are to be asked at once: probe → when that was wanted, in ms."""
    return asked_now(Probe.objects.filter(collector=None, enabled=True, asset__archived_at=None))


def asked_now(probes: "QuerySet[Probe]") -> dict[str, int]:
    """Of these probes, those that somebody wants asked at once, as far as that is not long ago."""
    since = timezone.now() - ASK_NOW_FOR
    wanted = probes.filter(ask_now_at__gte=since).values_list("pk", "ask_now_at")
    return {pk: to_ms(at) for pk, at in wanted if at is not None}


def _orders(probes: "QuerySet[Probe]", *, collector: str) -> list[dict[str, Any]]:
    rows = list(probes.select_related("credential", "asset"))
    opened = open_for(rows, collector=collector, now=timezone.now())
    return [
        {
            "id": probe.pk,
            "asset": probe.asset_id,
            "kind": probe.kind,
            "target": probe.target,
            "settings": open_settings(probe),
            "interval_s": probe.interval_s,
            "credential": opened.get(probe.pk, {}),
        }
        for probe in rows
    ]


def server_collector(client: str, *, asset: str) -> str:
    """The collector in whose name the server's own observations of a client travel; it has no key, so
    nobody can send as it. `asset`: the one that stands for Forestall itself."""
    now = timezone.now()
    row, _ = Collector.objects.get_or_create(
        client_id=client,
        platform=SERVER,
        defaults={"asset_id": asset, "public_key": b"", "key_since": now, "enrolled_at": now},
    )
    return row.pk


def open_settings(probe: Probe) -> dict[str, Any]:
    """A probe's settings with its secrets in plain text: for who asks, never for a page."""
    return {
        name: open_sealed(probe.client_id, f"probe/{probe.pk}/{name}", value)
        if isinstance(value, str) and is_sealed(value)
        else value
        for name, value in probe.settings.items()
    }


def _free_name(client: str, hostname: str) -> str:
    wanted = hostname.strip()[:140] or "machine"
    for number in range(1, NAMES_TRIED):
        name = wanted if number == 1 else f"{wanted} {number}"
        if not Asset.objects.filter(client=client, name=name, archived_at=None).exists():
            return name
    raise NotEnrolled(
        f"there are {NAMES_TRIED} machines called {wanted!r}: name the asset when making the token"
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
