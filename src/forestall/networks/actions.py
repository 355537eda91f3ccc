"""Every write of the networks: what a sweep saw, and what people decide about it.

A sweep may be taken again after a crash: the same rows come of it. Nothing is added to the estate by itself;
parents are set only where nobody ever set one (networks.parents).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import transaction

from forestall.estate.actions import add_asset, assign_address, client_of, note_change
from forestall.estate.checks import clean_ranges
from forestall.estate.models import Asset, Collector, Probe, Site
from forestall.estate.tenancy import Scope, system_scope
from forestall.estate.values import ASSET_KINDS
from forestall.journal.actions import append
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Link, Sweep
from forestall.kernel.observations import Sighting as Seen
from forestall.networks.guess import guess
from forestall.networks.matching import Known, match
from forestall.networks.models import Hanging, Sighting, SweepOfSite, Wire
from forestall.networks.parents import Choice, choose_parents
from forestall.networks.topology import Device, Topology, find_topology

LINKS_KEPT_FOR = timedelta(days=7)
LINKS_KEPT_MAX = 40_000
SIGHTINGS_OF_SITE_MAX = 10_000
FORGOTTEN_AFTER = timedelta(days=90)  # what nobody confirmed and nobody sees any more
NAMED_MAX = 20
SCOPE = system_scope("networks")


@dataclass(frozen=True, slots=True)
class PlacedSweep:
    """A sweep and the collector's machine that made it."""

    client: str
    asset: str
    collector: str
    at_ms: int
    reason: str
    sweep: Sweep


def take_sweeps(sweeps: Iterable[PlacedSweep]) -> None:
    """Keep what sweeps saw. One of a collector that is at no site (any more) is left out."""
    for one in sweeps:
        site = (
            Site.objects.filter(collector__pk=one.collector, client=one.client).first()
            or Site.objects.filter(assets__pk=one.asset, client=one.client).first()
        )
        if site is not None:
            with transaction.atomic():
                _take(site, one)


def _take(site: Site, placed: PlacedSweep) -> None:
    at = from_ms(placed.at_ms)
    row = SweepOfSite.objects.select_for_update().filter(site=site).first()
    if row is not None and row.at >= at:
        return  # it was taken before
    first = row is None
    row = row or SweepOfSite(site=site, client_id=site.client_id, first_at=at)
    row.at, row.asked, row.whole = at, placed.sweep.asked, placed.sweep.whole
    row.reason, row.cut = placed.reason[:1024], placed.sweep.cut
    row.links = _join_links(row.links, placed.sweep.links, at_ms=placed.at_ms)
    row.save()
    tables = {link.local for link in placed.sweep.links if link.protocol == "fdb"}
    fresh = _keep_sightings(site, placed.sweep.sightings, at, tables=tables, asker=placed.asset)
    if fresh:
        body = {"site": site.name, "count": len(fresh), "devices": fresh[:NAMED_MAX], "first_sweep": first}
        append(
            "networks.devices_appeared", client=site.client_id, subject=site.pk, actor=SCOPE.actor,
            body=body, at=at,
        )  # fmt: skip
    find_wires(site, row.links, at=at)


def _join_links(kept: Sequence[dict[str, Any]], links: Sequence[Link], *, at_ms: int) -> list[dict[str, Any]]:
    """What devices say now replaces what they said before; what others said counts LINKS_KEPT_FOR."""
    since = at_ms - int(LINKS_KEPT_FOR.total_seconds() * 1000)
    asked = {link.local for link in links}
    older = [one for one in kept if one["local"] not in asked and one["at_ms"] >= since]
    return [{**msgspec.structs.asdict(link), "at_ms": at_ms} for link in links][:LINKS_KEPT_MAX] + older[
        : max(0, LINKS_KEPT_MAX - len(links))
    ]


def _keep_sightings(
    site: Site, seen: Sequence[Seen], at: datetime, *, tables: set[str], asker: str
) -> list[str]:
    """Rows of what was seen; how those are called that were never seen before. `tables`: addresses of those
    who told a forwarding table."""
    rows = list(Sighting.objects.filter(site=site).order_by("pk")[:SIGHTINGS_OF_SITE_MAX])
    by_mac = {mac: row for row in rows for mac in {row.mac, *row.macs} if mac}
    by_address = {row.address: row for row in rows}
    assets = known_assets(site)
    fresh: list[str] = []
    kept: set[str] = set()
    for one in seen:
        macs = [mac for mac in (one.mac, *one.macs) if mac]
        row = next((by_mac[mac] for mac in macs if mac in by_mac), None)
        if row is None:
            row = by_address.get(one.address)
            if row is not None and macs and row.mac and row.mac not in macs:
                row = None  # another device has that address now
        if row is not None and row.pk in kept:
            continue  # two addresses of one device that did not say so: the first counts
        new = row is None
        if row is None:
            if len(rows) + len(fresh) >= SIGHTINGS_OF_SITE_MAX:
                break
            row = Sighting(client_id=site.client_id, site=site, key=_free_key(site, one), first_at=at)
        _fill(row, one, at, switches=not tables.isdisjoint({one.address, *one.addresses}))
        if row.asset_id is None and "own" in one.by:
            row.asset_id, row.matched_by = asker, "it is the machine that made the sweep"
        if row.asset_id is None:
            found = match(row.address, assets, macs=macs, names=row.names, addresses=row.addresses)
            if found is not None:
                row.asset_id, row.matched_by = found.asset, found.reason
        row.save(force_insert=new)
        kept.add(row.pk)
        if new and row.asset_id is None:
            fresh.append(f"{row.title} ({row.address})")
    Sighting.objects.filter(
        site=site, asset=None, dismissed_at=None, last_at__lt=at - FORGOTTEN_AFTER
    ).delete()
    return fresh


def _free_key(site: Site, one: Seen) -> str:
    key = one.mac or one.address
    taken = Sighting.objects.filter(site=site, key=key).exists()
    return f"{key} {one.address}"[:64] if taken else key


def _fill(row: Sighting, one: Seen, at: datetime, *, switches: bool) -> None:
    """The row as it was seen now; what this sweep did not learn stays as it was known."""
    row.address, row.last_at = one.address, at
    row.mac = one.mac or row.mac
    row.addresses = list(one.addresses) or [one.address]
    row.macs, row.names = one.macs or row.macs, one.names or row.names
    row.vendor, row.ports = one.vendor or row.vendor, one.ports or row.ports
    row.services = one.services or row.services
    row.description = one.description or row.description
    row.object_id = one.object_id or row.object_id
    row.by, row.forwards = one.by, one.forwards or row.forwards
    said = guess(
        description=row.description, vendor=row.vendor, ports=row.ports, services=row.services,
        names=row.names, by=row.by, forwards=row.forwards, switches=switches,
    )  # fmt: skip
    row.kind, row.reason = said.kind, said.reason


def known_assets(site: Site) -> list[Known]:
    """The client's assets as sightings are compared with them, with the MACs that they were seen with."""
    macs: dict[str, set[str]] = {}
    seen = Sighting.objects.filter(client=site.client_id, asset__isnull=False).values_list(
        "asset", "mac", "macs"
    )
    for asset, mac, more in seen:
        macs.setdefault(asset, set()).update(one for one in (mac, *more) if one)
    rows = Asset.objects.filter(client=site.client_id, archived_at=None)
    return [
        Known(
            row.pk,
            row.name,
            here=row.site_id in (None, site.pk),
            addresses=frozenset(row.addresses),
            macs=frozenset(macs.get(row.pk, ())),
        )
        for row in rows[:SIGHTINGS_OF_SITE_MAX]
    ]


def find_wires(site: Site, links: Iterable[dict[str, Any]], *, at: datetime) -> Topology:
    """The topology of a site from what its devices said; its wires and parents are made anew."""
    rows = {row.pk: row for row in Sighting.objects.filter(site=site)[:SIGHTINGS_OF_SITE_MAX]}
    devices = [
        Device(
            row.pk,
            row.title,
            addresses=frozenset({row.address, *row.addresses}),
            macs=frozenset(mac for mac in (row.mac, *row.macs) if mac),
            names=frozenset(row.names),
            forwards=row.forwards,
        )
        for row in rows.values()
    ]
    told = [Link(**{name: one[name] for name in Link.__struct_fields__ if name in one}) for one in links]
    found = find_topology(devices, told)
    Wire.objects.filter(site=site).delete()
    Wire.objects.bulk_create(
        [
            Wire(
                client_id=site.client_id, site=site, lower_id=edge.lower, upper_id=edge.upper,
                lower_port=edge.lower_port[:128], upper_port=edge.upper_port[:128], protocol=edge.protocol,
                tree=tree, blocked=edge.blocked, reason=edge.reason,
            )
            for edges, tree in ((found.tree, True), (found.further, False))
            for edge in edges
        ],
        batch_size=500,
    )  # fmt: skip
    _set_parents(site, found, rows, at)
    return found


def _set_parents(site: Site, found: Topology, rows: dict[str, Sighting], at: datetime) -> None:
    asset_of = {key: row.asset_id for key, row in rows.items() if row.asset_id}
    now = dict(Asset.objects.filter(client=site.client_id, archived_at=None).values_list("pk", "parent"))
    held = {row.asset_id: row for row in Hanging.objects.filter(client=site.client_id)}
    applied = {pk: row.applied_id for pk, row in held.items()}
    choices = choose_parents(found.parents, asset_of, now, applied)
    for choice in choices:
        _apply(site, choice, held.get(choice.asset), at)


def _apply(site: Site, choice: Choice, row: Hanging | None, at: datetime) -> None:
    row = row or Hanging(asset_id=choice.asset, client_id=site.client_id)
    row.parent_id, row.reason, row.at = choice.parent, choice.reason, at
    if choice.apply:
        changed = Asset.objects.filter(pk=choice.asset, parent=choice.before).update(parent=choice.parent)
        if changed and choice.before != choice.parent:
            body = {"parent": choice.parent, "because": choice.reason}
            note_change(SCOPE, "asset_hung", site.client_id, choice.asset, body)
        row.applied_id = choice.parent if changed else row.applied_id
    row.save()


def confirm(scope: Scope, sighting: Sighting, *, name: str = "", kind: str = "", now: datetime) -> Asset:
    """The proposal becomes an asset. Raises Trouble when it is one already, or the name is taken."""
    if sighting.asset_id is not None:
        raise Trouble("this device is an asset already", "Open it from the map.")
    kind = kind or sighting.kind
    if kind not in ASSET_KINDS:
        raise Trouble(f"there is no kind of asset {kind!r}", f"Kinds are {', '.join(ASSET_KINDS)}.")
    with transaction.atomic():
        asset = add_asset(
            scope, client=sighting.client_id, name=name or sighting.title, kind=kind, site=sighting.site_id,
            addresses=_usable_addresses(sighting),
        )  # fmt: skip
        _attach(sighting, asset, "confirmed by a person", now)
    return asset


def merge(scope: Scope, sighting: Sighting, asset: Asset, *, now: datetime) -> None:
    """The device is this asset, which has its address from now on. Raises Trouble for another client's."""
    if asset.client_id != sighting.client_id:
        raise Trouble("there is no such asset", "Choose one of the same client.")
    with transaction.atomic():
        if sighting.address not in asset.addresses:
            assign_address(scope, asset, sighting.address)
        note_change(
            scope,
            "sighting_merged",
            sighting.client_id,
            sighting.pk,
            {"asset": asset.pk, "key": sighting.key},
        )
        _attach(sighting, asset, "chosen by a person", now)


def _attach(sighting: Sighting, asset: Asset, why: str, now: datetime) -> None:
    sighting.asset, sighting.matched_by = asset, why
    sighting.dismissed_at, sighting.dismissed_by = None, ""
    sighting.save(update_fields=["asset", "matched_by", "dismissed_at", "dismissed_by"])
    swept = SweepOfSite.objects.filter(site=sighting.site_id).first()
    if swept is not None:
        find_wires(sighting.site, swept.links, at=now)


def dismiss(scope: Scope, sighting: Sighting, *, now: datetime) -> None:
    """It is not proposed any more, however often it is seen."""
    with transaction.atomic():
        changed = (
            Sighting.objects.of(scope)
            .filter(pk=sighting.pk, asset=None, dismissed_at=None)
            .update(dismissed_at=now, dismissed_by=scope.actor[:160])
        )
        if changed:
            note_change(scope, "sighting_dismissed", sighting.client_id, sighting.pk, {"key": sighting.key})


def propose_again(scope: Scope, sighting: Sighting) -> None:
    """What was dismissed is proposed again."""
    with transaction.atomic():
        rows = Sighting.objects.of(scope).filter(pk=sighting.pk, dismissed_at__isnull=False)
        if rows.update(dismissed_at=None, dismissed_by=""):
            note_change(scope, "sighting_proposed", sighting.client_id, sighting.pk, {"key": sighting.key})


def declare_ranges(scope: Scope, site: Site, ranges: Iterable[str]) -> None:
    """The networks of a site, which its collectors may ask. Raises Trouble for what is no network."""
    site.ranges = clean_ranges(ranges)
    with transaction.atomic():
        Site.objects.of(scope).filter(pk=site.pk).update(ranges=site.ranges)
        note_change(scope, "site_changed", site.client_id, site.pk, {"ranges": site.ranges})


def hang_as_told(scope: Scope, asset: Asset, *, now: datetime) -> None:
    """The asset hangs where the topology says, and follows it from now on. Raises Trouble when it would hang
    on itself."""
    row = Hanging.objects.of(scope).filter(asset=asset).first()
    if row is None or row.parent_id is None:
        raise Trouble("the topology says nothing of this asset", "Sweep its site first.")
    above, steps = row.parent, 0
    while above is not None and steps < NAMED_MAX:
        if above.pk == asset.pk:
            raise Trouble(f"{asset.name} would hang on itself", "Mend the parents above it first.")
        above, steps = above.parent, steps + 1
    with transaction.atomic():
        Asset.objects.of(scope).filter(pk=asset.pk).update(parent=row.parent_id)
        row.applied_id, row.at = row.parent_id, now
        row.save(update_fields=["applied", "at"])
        body = {"parent": row.parent_id, "because": row.reason}
        note_change(scope, "asset_hung", asset.client_id, asset.pk, body)


def _usable_addresses(sighting: Sighting) -> list[str]:
    return list(dict.fromkeys([sighting.address, *sighting.addresses]))


def move_collector(scope: Scope, collector: Collector, site: Site) -> None:
    """The collector is at this site from now on: its ranges are what it may ask."""
    if client_of(scope, site.client_id).pk != collector.client_id:
        raise Trouble("there is no such collector", "Choose one of the same client.")
    if collector.site_id == site.pk:
        return
    if Probe.objects.filter(collector=collector, kind="discover").exists():
        raise Trouble(
            "this collector sweeps another site already", "Switch that off first, or enrol one for this site."
        )
    Collector.objects.of(scope).filter(pk=collector.pk).update(site=site)
    note_change(scope, "collector_moved", site.client_id, collector.pk, {"site": site.pk})
