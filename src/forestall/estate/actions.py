"""Every write of the estate, each with its journal entry in the same transaction.

What belongs to another client is refused as if it were not there. Trouble says what to write instead.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.utils import timezone

from forestall.estate.checks import (
    NOTES_MAX_CHARS,
    clean_addresses,
    clean_name,
    clean_ranges,
    days_kept,
    email_or_none,
    known_zone,
)
from forestall.estate.models import Asset, Client, Collector, Contact, Credential, Probe, Provider, Site, Tag
from forestall.estate.queries import find_asset, find_client, find_collector, find_site
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.estate.vault import is_sealed, seal
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

TAGS_MAX = 50
DEPTH_MAX = 20
INTERVAL_LEAST_S, INTERVAL_MOST_S = 5, 7 * 86_400

Made = TypeVar("Made")


def add_client(scope: Scope, *, name: str, timezone_name: str = "UTC") -> Client:
    """A new client. Raises Trouble when the name is taken or the scope does not see all clients."""
    if not scope.everything:
        raise Trouble("only somebody who sees every client adds one", "Ask an owner.")
    with transaction.atomic():
        client = made(
            lambda: Client.objects.create(name=clean_name(name), timezone=known_zone(timezone_name)),
            "client",
            name,
        )
        note_change(scope, "client_created", client.pk, client.pk, {"name": client.name})
    return client


def change_client(
    scope: Scope,
    client: Client,
    *,
    name: str,
    timezone_name: str = "",
    keep_logs_days: int | None = None,
    keep_samples_days: int | None = None,
) -> Client:
    """Another name, zone ("" leaves it) or other terms of keeping (None: those of the installation)."""
    with transaction.atomic():
        client.name, client.keep_logs_days, client.keep_samples_days = (
            clean_name(name),
            days_kept(keep_logs_days),
            days_kept(keep_samples_days),
        )
        client.timezone = known_zone(timezone_name) if timezone_name else client.timezone
        fields = ["name", "timezone", "keep_logs_days", "keep_samples_days"]
        made(lambda: client.save(update_fields=fields), "client", name)
        note_change(scope, "client_changed", client.pk, client.pk, {"name": client.name})
    return client


def archive_client(scope: Scope, client: Client) -> None:
    """The client and its assets are no longer watched; what was kept stays for its term."""
    now = timezone.now()
    with transaction.atomic():
        Client.objects.of(scope).filter(pk=client.pk, archived_at=None).update(archived_at=now)
        Asset.objects.of(scope).filter(client=client, archived_at=None).update(archived_at=now)
        note_change(scope, "client_archived", client.pk, client.pk, {"name": client.name})


def add_site(scope: Scope, *, client: str, name: str, ranges: Iterable[str] = (), address: str = "") -> Site:
    """A new site with the networks that its collectors may ask."""
    owner = client_of(scope, client)
    with transaction.atomic():
        site = made(
            lambda: Site.objects.create(
                client=owner, name=clean_name(name), ranges=clean_ranges(ranges), address=address
            ),
            "site",
            name,
        )
        note_change(scope, "site_created", owner.pk, site.pk, {"name": site.name, "ranges": site.ranges})
    return site


def add_contact(
    scope: Scope, *, client: str, name: str, email: str = "", phone: str = "", site: str = ""
) -> Contact:
    """A new contact of a client."""
    owner = client_of(scope, client)
    place = site_of(scope, owner, site)
    with transaction.atomic():
        contact = Contact.objects.create(
            client=owner,
            site=place,
            name=clean_name(name),
            email=email_or_none(email),
            phone=phone.strip()[:40],
        )
        note_change(scope, "contact_created", owner.pk, contact.pk, {"name": contact.name})
    return contact


def add_asset(
    scope: Scope,
    *,
    client: str,
    name: str,
    kind: str,
    site: str = "",
    parent: str = "",
    addresses: Iterable[str] = (),
    tags: Iterable[str] = (),
    notes: str = "",
) -> Asset:
    """A new asset."""
    owner = client_of(scope, client)
    fields = _asset_fields(scope, owner, kind=kind, site=site, parent=parent, addresses=addresses)
    with transaction.atomic():
        asset = made(
            lambda: Asset.objects.create(
                client=owner, name=clean_name(name), notes=notes[:NOTES_MAX_CHARS], **fields
            ),
            "asset",
            name,
        )
        _tag(asset, tags)
        note_change(scope, "asset_created", owner.pk, asset.pk, {"name": asset.name, "kind": kind})
    return asset


def change_asset(
    scope: Scope,
    asset: Asset,
    *,
    name: str,
    kind: str,
    site: str = "",
    parent: str = "",
    addresses: Iterable[str] = (),
    tags: Iterable[str] = (),
    notes: str = "",
) -> Asset:
    """Other particulars of an asset. Raises Trouble when it would hang on itself."""
    fields = _asset_fields(scope, asset.client, kind=kind, site=site, parent=parent, addresses=addresses)
    above, steps = fields["parent"], 0
    while above is not None and steps < DEPTH_MAX:
        if above.pk == asset.pk:
            raise Trouble(f"{asset.name} would hang on itself", "Choose another parent.")
        above, steps = above.parent, steps + 1
    with transaction.atomic():
        asset.name, asset.notes = clean_name(name), notes[:NOTES_MAX_CHARS]
        for field, value in fields.items():
            setattr(asset, field, value)
        made(lambda: asset.save(update_fields=["name", "notes", *fields]), "asset", name)
        _tag(asset, tags)
        note_change(scope, "asset_changed", asset.client_id, asset.pk, {"name": asset.name, "kind": kind})
    return asset


def assign_address(scope: Scope, asset: Asset, address: str) -> None:
    """What comes from that address is this asset's from now on."""
    with transaction.atomic():
        row = Asset.objects.of(scope).select_for_update().get(pk=asset.pk)
        row.addresses = clean_addresses([*row.addresses, address])
        row.save(update_fields=["addresses"])
        note_change(scope, "asset_changed", row.client_id, row.pk, {"address": address})


def archive_asset(scope: Scope, asset: Asset) -> None:
    """The asset is no longer watched."""
    with transaction.atomic():
        Asset.objects.of(scope).filter(pk=asset.pk, archived_at=None).update(archived_at=timezone.now())
        note_change(scope, "asset_archived", asset.client_id, asset.pk, {"name": asset.name})


def add_probe(
    scope: Scope,
    *,
    asset: Asset,
    kind: str,
    target: str,
    settings: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
    interval_s: int = 60,
    collector: str = "",
    credential: Credential | None = None,
) -> Probe:
    """A new probe of an asset. `settings` were read by the plug-in's SPEC, which also says which of them are
    secrets; these are sealed. `collector` "" is the server; `credential` is one that
    `credentials.credential_for` gave for this asset."""
    if not INTERVAL_LEAST_S <= interval_s <= INTERVAL_MOST_S:
        raise Trouble(
            f"a probe is asked every {INTERVAL_LEAST_S} s to 7 days, not every {interval_s} s",
            "Choose another interval.",
        )
    if not target.strip():
        raise Trouble("a probe needs a target", "Write for example https://example.org or 10.0.0.5.")
    asker = None
    if collector:
        asker = find_collector(scope, collector)
        if asker is None or asker.client_id != asset.client_id:
            raise Trouble("there is no such collector", "Choose one of the same client.")
    probe = Probe(
        client_id=asset.client_id,
        asset=asset,
        collector=asker,
        kind=kind,
        target=target.strip()[:512],
        settings=unsealed(settings or {}),
        credential=credential,
        interval_s=interval_s,
    )
    with transaction.atomic():
        for name in secrets:
            if probe.settings.get(name):
                probe.settings[name] = seal(asset.client_id, f"probe/{probe.pk}/{name}", probe.settings[name])
        probe.save(force_insert=True)
        body = {"kind": kind, "target": probe.target, "credential": probe.credential_id or ""}
        note_change(scope, "probe_created", asset.client_id, probe.pk, body)
    return probe


def ask_now(scope: Scope, probes: Iterable[Probe], *, now: datetime) -> int:
    """Have these probes asked at once, by whoever asks them (a collector within 15 s); how many."""
    wanted = Probe.objects.of(scope).filter(pk__in=[probe.pk for probe in probes], enabled=True)
    return wanted.update(ask_now_at=now)


def remove_probe(scope: Scope, probe: Probe) -> None:
    """The probe is asked no more."""
    with transaction.atomic():
        Probe.objects.of(scope).filter(pk=probe.pk).delete()
        note_change(
            scope, "probe_removed", probe.client_id, probe.pk, {"kind": probe.kind, "target": probe.target}
        )


def revoke_collector(scope: Scope, collector: Collector) -> None:
    """The collector's key opens nothing from now on."""
    with transaction.atomic():
        Collector.objects.of(scope).filter(pk=collector.pk, revoked_at=None).update(revoked_at=timezone.now())
        note_change(scope, "collector_revoked", collector.client_id, collector.pk, {})


def rename_provider(scope: Scope, *, name: str, timezone_name: str) -> None:
    """The MSP's own name and zone."""
    with transaction.atomic():
        Provider.objects.update_or_create(
            id=1, defaults={"name": clean_name(name), "timezone": known_zone(timezone_name)}
        )
        note_change(scope, "provider_changed", "", "provider", {"name": name})


def unsealed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of settings as a person gave them. Raises Trouble when one looks as if it were sealed already:
    it would not open."""
    for name, value in settings.items():
        if isinstance(value, str) and is_sealed(value):
            raise Trouble(f"{name} cannot begin like a sealed secret", "Enter the secret itself.")
    return dict(settings)


def note_change(scope: Scope, what: str, client: str, subject: str, body: dict[str, Any]) -> None:
    """The journal entry of a write, in its transaction."""
    append(f"estate.{what}", client=client, subject=subject, actor=scope.actor, body=body, at=timezone.now())


def made(make: Callable[[], Made], what: str, name: str) -> Made:
    """What `make` gives. Raises Trouble when the name is taken."""
    try:
        with transaction.atomic():
            return make()
    except IntegrityError as error:
        raise Trouble(f"there is a {what} called {name!r} already", "Choose another name.") from error


def client_of(scope: Scope, identifier: str) -> Client:
    """A client that the scope sees. Raises Trouble."""
    found = find_client(scope, identifier)
    if found is None:
        raise Trouble("there is no such client", "See forestall client list.")
    return found


def site_of(scope: Scope, client: Client, identifier: str) -> Site | None:
    """A site of that client; None for "". Raises Trouble for another client's."""
    if not identifier:
        return None
    found = find_site(scope, identifier)
    if found is None or found.client_id != client.pk:
        raise Trouble("there is no such site", f"Choose a site of {client.name}.")
    return found


def _asset_fields(
    scope: Scope, client: Client, *, kind: str, site: str, parent: str, addresses: Iterable[str]
) -> dict[str, Any]:
    if kind not in ASSET_KINDS:
        raise Trouble(f"there is no kind of asset {kind!r}", f"Kinds are {', '.join(ASSET_KINDS)}.")
    above = find_asset(scope, parent) if parent else None
    if parent and (above is None or above.client_id != client.pk):
        raise Trouble("there is no such parent", f"Choose an asset of {client.name}.")
    return {
        "kind": kind,
        "site": site_of(scope, client, site),
        "parent": above,
        "addresses": clean_addresses(addresses),
    }


def _tag(asset: Asset, names: Iterable[str]) -> None:
    wanted = list(dict.fromkeys(name.strip()[:64] for name in names if name.strip()))[:TAGS_MAX]
    asset.tags.set([Tag.objects.get_or_create(client_id=asset.client_id, name=name)[0] for name in wanted])
