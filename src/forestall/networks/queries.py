"""Every read of the networks, tenant-scoped."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Q

from forestall.estate.models import Asset, Collector, Site
from forestall.estate.tenancy import Scope
from forestall.networks.layout import Layout, lay_out
from forestall.networks.models import Hanging, Sighting, SweepOfSite, Wire

PAGE_MAX = 500
WAITING = Q(asset=None, dismissed_at=None)
MAP_MAX = 1_000


@dataclass(frozen=True, slots=True)
class SiteMap:
    """A site's map: sightings by identifier, where each stands, and the wires between them."""

    devices: dict[str, Sighting]
    layout: Layout
    wires: Sequence[Wire]
    left_out: int = 0
    above: dict[str, Wire] = field(default_factory=dict)


def list_sightings(
    scope: Scope, *, client: str = "", site: str = "", state: str = "", after: str = "", limit: int = PAGE_MAX
) -> list[Sighting]:
    """Sightings, the oldest first; `state` is `waiting`, `dismissed`, `known` or "" for all."""
    rows = Sighting.objects.of(scope).select_related("asset", "site")
    if client:
        rows = rows.filter(client=client)
    if site:
        rows = rows.filter(site=site)
    if state == "waiting":
        rows = rows.filter(WAITING)
    elif state == "dismissed":
        rows = rows.filter(asset=None, dismissed_at__isnull=False)
    elif state == "known":
        rows = rows.filter(asset__isnull=False)
    if after:
        rows = rows.filter(pk__gt=after)
    return list(rows.order_by("pk")[: min(limit, PAGE_MAX + 1)])


def find_sighting(scope: Scope, identifier: str) -> Sighting | None:
    """A sighting, or None."""
    return Sighting.objects.of(scope).filter(pk=identifier).select_related("site", "asset").first()


def list_wires(
    scope: Scope, *, client: str = "", site: str = "", after: str = "", limit: int = PAGE_MAX
) -> list[Wire]:
    """Wires, the oldest first."""
    rows = Wire.objects.of(scope).select_related("lower", "upper")
    if client:
        rows = rows.filter(client=client)
    if site:
        rows = rows.filter(site=site)
    if after:
        rows = rows.filter(pk__gt=after)
    return list(rows.order_by("pk")[: min(limit, PAGE_MAX + 1)])


def count_waiting(scope: Scope, *, client: str = "") -> dict[str, int]:
    """How many proposals wait, by client."""
    rows = Sighting.objects.of(scope).filter(WAITING)
    if client:
        rows = rows.filter(client=client)
    return dict(rows.order_by().values_list("client").annotate(count=Count("pk")))


def sweeps_of(scope: Scope, client: str) -> dict[str, SweepOfSite]:
    """The last sweep of each site of a client."""
    return {row.site_id: row for row in SweepOfSite.objects.of(scope).filter(client=client).defer("links")}


def unwatched(scope: Scope, client: str) -> list[Asset]:
    """Assets that nothing asks and that send nothing of themselves: nobody would notice their end."""
    rows = Asset.objects.of(scope).filter(client=client, archived_at=None).exclude(kind="forestall")
    watched = Q(probes__enabled=True) | Q(collectors__revoked_at=None, collectors__isnull=False)
    return list(rows.exclude(pk__in=rows.filter(watched).values("pk")).order_by("name")[:PAGE_MAX])


def collectors_of(scope: Scope, client: str) -> list[Collector]:
    """The machines of a client that can sweep a site."""
    rows = Collector.objects.of(scope).filter(client=client, revoked_at=None).exclude(platform="server")
    return list(rows.select_related("asset", "site").order_by("asset__name")[:PAGE_MAX])


def hangings_of(scope: Scope, client: str) -> dict[str, Hanging]:
    """What the topology says of the client's assets, by asset."""
    rows = Hanging.objects.of(scope).filter(client=client).select_related("parent", "asset")
    return {row.asset_id: row for row in rows[: MAP_MAX * 5]}


def map_of(scope: Scope, site: Site) -> SiteMap:
    """The map of a site; what was dismissed and hangs on nothing is left out."""
    rows = Sighting.objects.of(scope).filter(site=site).select_related("asset")
    wires = list(Wire.objects.of(scope).filter(site=site))
    above = {one.lower_id: one for one in wires if one.tree}
    carried = {one.upper_id for one in wires}
    shown = [row for row in rows if row.dismissed_at is None or row.pk in carried or row.asset_id is not None]
    shown.sort(key=lambda row: (row.pk not in above and row.pk not in carried, row.title, row.pk))
    devices = {row.pk: row for row in shown[:MAP_MAX]}
    layout = lay_out(list(devices), {key: one.upper_id for key, one in above.items() if key in devices})
    kept = [one for one in wires if one.lower_id in devices and one.upper_id in devices]
    return SiteMap(devices, layout, kept, max(0, len(shown) - MAP_MAX), above)
