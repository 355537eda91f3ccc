"""What there was to count at a client, from the estate's rows and the journal, by name with since when.

A contact or a site has no date of its own: its identifier holds when it was made, and the journal's entry
when it was removed. The list as of a day holds nothing that came to be known after that day.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import msgspec

from forestall.agreements.calendar import local_day
from forestall.agreements.values import Basis, Counted, Counts
from forestall.estate.models import Asset, Client, Collector, Contact, Probe, Site
from forestall.estate.tenancy import Scope
from forestall.journal.queries import entries_of
from forestall.kernel.clock import from_ms
from forestall.kernel.ids import EPOCH_MS, RANDOM_BITS, to_number

REMOVED = {"estate.contact_removed": Basis.SEAT, "estate.site_removed": Basis.SITE}
NOT_DEVICES = ("forestall",)


def things_of(scope: Scope, clients: Sequence[Client]) -> dict[str, list[Counted]]:
    """Client → everything that was ever there. A handful of queries for any number of clients."""
    zones = {client.pk: client.timezone or "UTC" for client in clients}
    keys = list(zones)
    found: dict[str, list[Counted]] = {key: [] for key in keys}
    for pk, owner, name, site in (
        Contact.objects.of(scope)
        .filter(client__in=keys)
        .order_by("pk")
        .values_list("pk", "client", "name", "site")
    ):
        found[owner].append(Counted(pk, Basis.SEAT, name, _made(pk, zones[owner]), site=site or ""))
    for pk, owner, name in (
        Site.objects.of(scope).filter(client__in=keys).order_by("pk").values_list("pk", "client", "name")
    ):
        found[owner].append(Counted(pk, Basis.SITE, name, _made(pk, zones[owner]), site=pk))
    assets = Asset.objects.of(scope).filter(client__in=keys).exclude(kind__in=NOT_DEVICES).order_by("pk")
    for pk, owner, name, kind, site, made, gone in assets.values_list(
        "pk", "client", "name", "kind", "site", "created_at", "archived_at"
    ).iterator(chunk_size=5_000):
        until = local_day(gone, zones[owner]) if gone else None
        since = local_day(made, zones[owner])
        found[owner].append(Counted(pk, Basis.DEVICE, name, since, until, kind=kind, site=site or ""))
    for entry in entries_of(REMOVED, clients=keys):
        zone = zones[entry.client]
        name = str(json.loads(bytes(entry.body)).get("body", {}).get("name", "removed"))
        since = _made(entry.subject, zone)
        found[entry.client].append(
            Counted(entry.subject, REMOVED[entry.kind], name, since, local_day(entry.at, zone))
        )
    return found


def as_of(things: Sequence[Counted], *, day: date, window: date) -> Counts:
    """The list as it was known at the end of `day`: who was there at any time from `window` on."""
    known = [
        replace(one, until=None) if one.until is not None and one.until > day else one
        for one in things
        if one.since <= day and (one.until is None or one.until > window)
    ]
    return Counts(day, window, tuple(sorted(known, key=lambda one: (one.basis, one.since, one.name, one.id))))


def frozen(counts: Counts) -> tuple[str, str]:
    """The list as JSON, and its SHA-256."""
    text = msgspec.json.encode(counts).decode()
    return text, hashlib.sha256(text.encode()).hexdigest()


def thawed(text: str) -> Counts:
    """The list of `frozen`."""
    return msgspec.json.decode(text.encode(), type=Counts)


def watched_assets(scope: Scope, clients: Collection[str]) -> set[str]:
    """The assets that something looks at: an enabled probe, or an agent that was not revoked."""
    probed = Probe.objects.of(scope).filter(client__in=clients, enabled=True)
    agents = Collector.objects.of(scope).filter(client__in=clients, revoked_at=None)
    return {*probed.values_list("asset", flat=True), *agents.values_list("asset", flat=True)}


def made_at(identifier: str) -> datetime:
    """When an identifier was made."""
    return from_ms((to_number(identifier) >> RANDOM_BITS) + EPOCH_MS)


def joined_and_left(was: Counts, now: Counts) -> Mapping[Basis, tuple[list[Counted], list[Counted]]]:
    """Who is there now and was not, who was and is not, by basis."""
    before, after = ({one.id: one for one in c.things if one.until is None} for c in (was, now))
    ended = {one.id: one for one in now.things if one.until is not None}
    return {
        basis: (
            [one for key, one in after.items() if key not in before and one.basis is basis],
            [ended.get(key, one) for key, one in before.items() if key not in after and one.basis is basis],
        )
        for basis in (Basis.SEAT, Basis.DEVICE, Basis.SITE)
    }


def _made(identifier: str, zone: str) -> date:
    return local_day(made_at(identifier), zone)
