"""The pages of a client's networks: ranges and sweeps, proposals, what nobody watches, the map of a site."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import credentials, queries
from forestall.estate.models import Asset
from forestall.estate.values import ASSET_KINDS
from forestall.findings.queries import worst_states
from forestall.kernel.errors import Trouble
from forestall.networks import actions, switching
from forestall.networks import queries as networks
from forestall.networks.layout import BUS_PX, NODE_HEIGHT_PX, NODE_WIDTH_PX, ROW_PX
from forestall.networks.models import Sighting, Wire
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, lines_of, seen_or_404

SHOWN = 100
INTERVALS = ((3600, "every hour"), (21_600, "every 6 hours"), (86_400, "every day"))
NAME_SHOWN = 24
ARCS_MAX = 60  # wires beside the tree that are drawn
ARC_PX = 36


@dataclass(frozen=True, slots=True)
class Box:
    """A device on the map. `state` is its asset's worst, "" for a device without one; `path` leads to what it
    hangs on, `upper` and `wire` say what and why."""

    device: Sighting
    x: int
    y: int
    state: str
    name: str
    upper: Sighting | None
    wire: Wire | None
    path: str
    layer: int


@needs("estate:read")
def networks_page(request: Asked, client: str) -> HttpResponse:
    """A client's sites with their ranges and sweeps, what was found, and what nobody watches."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_client(scope, client))
    sweeps = networks.sweeps_of(scope, row.pk)
    sites = [
        (site, sweeps.get(site.pk), switching.discovery_of(scope, site))
        for site in queries.list_sites(scope, client=row.pk, limit=SHOWN)
    ]
    hangings = networks.hangings_of(scope, row.pk)
    waiting = networks.list_sightings(scope, client=row.pk, state="waiting", limit=SHOWN)
    context = {
        "nav": "clients",
        "client": row,
        "sites": sites,
        "collectors": networks.collectors_of(scope, row.pk),
        "credentials": [
            one
            for one in credentials.list_credentials(scope, client=row.pk)
            if one.kind in switching.CREDENTIALS
        ],
        "intervals": INTERVALS,
        "waiting": waiting,
        "waiting_count": networks.count_waiting(scope, client=row.pk).get(row.pk, 0),
        "dismissed": networks.list_sightings(scope, client=row.pk, state="dismissed", limit=SHOWN),
        "assets": queries.list_assets(scope, client=row.pk, limit=500) if waiting else [],
        "unwatched": networks.unwatched(scope, row.pk)[:SHOWN],
        "differing": [
            one
            for one in hangings.values()
            if one.parent_id and one.parent_id != one.asset.parent_id and one.asset.archived_at is None
        ][:SHOWN],
        "kinds": ASSET_KINDS,
    }
    return render(request, "console/networks.html", context)


@needs("estate:write")
def site_change(request: Asked, site: str, what: str) -> HttpResponse:
    """Other ranges; discovery on or off; a sweep now."""
    scope, given = request.scope, request.POST
    row = seen_or_404(lambda: queries.find_site(scope, site))
    match what:
        case "ranges":
            attempt(
                request,
                lambda: actions.declare_ranges(scope, row, lines_of(given.get("ranges", ""))),
                "Declared. Collectors have it within 15 seconds.",
            )
        case "on":
            attempt(
                request,
                lambda: switching.switch_on(
                    scope, row, collector=given.get("collector", ""),
                    credential=given.get("credential", ""), interval_s=_interval(given.get("interval", "")),
                ),
                "Switched on. What is found is proposed here.",
            )  # fmt: skip
        case "off":
            attempt(request, lambda: switching.switch_off(scope, row), "Switched off. What was seen stays.")
        case "now":
            attempt(
                request, lambda: switching.sweep_now(scope, row, now=timezone.now()), "Asked for a sweep."
            )
    return redirect("networks", client=row.client_id)


@needs("estate:write")
def sighting_change(request: Asked, sighting: str, what: str) -> HttpResponse:
    """A person decides about a device: an asset of its own, an asset that is there, or none."""
    scope, given, now = request.scope, request.POST, timezone.now()
    row = seen_or_404(lambda: networks.find_sighting(scope, sighting))
    match what:
        case "confirm":
            name, kind = given.get("name", ""), given.get("kind", "")
            attempt(
                request,
                lambda: actions.confirm(scope, row, name=name, kind=kind, now=now),
                f"{name or row.title} is an asset now. Add what should be asked of it.",
            )
        case "merge":
            asset = _asset_given(request, given.get("asset", ""))
            attempt(request, lambda: actions.merge(scope, row, asset, now=now), f"It is {asset.name}.")
        case "dismiss":
            attempt(
                request, lambda: actions.dismiss(scope, row, now=now), f"{row.title} is not proposed again."
            )
        case "propose":
            attempt(request, lambda: actions.propose_again(scope, row), f"{row.title} is proposed again.")
    return redirect("networks", client=row.client_id)


@needs("estate:write")
def hang(request: Asked, asset: str) -> HttpResponse:
    """The asset hangs where the topology says."""
    row = _asset_given(request, asset)
    attempt(request, lambda: actions.hang_as_told(request.scope, row, now=timezone.now()), "Hung there.")
    return redirect("networks", client=row.client_id)


@needs("estate:read")
def site_map(request: Asked, site: str) -> HttpResponse:
    """The map of a site, and the same as a table."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_site(scope, site))
    found = networks.map_of(scope, row)
    assets = [one.asset_id for one in found.devices.values() if one.asset_id]
    states = worst_states(scope, assets)
    boxes = _boxes(found, states)
    further = sorted((one for one in found.wires if not one.tree), key=lambda one: not one.blocked)
    context = {
        "nav": "clients",
        "site": row,
        "client": row.client,
        "boxes": boxes,
        "layout": found.layout,
        "picture_width": found.layout.width + (ARC_PX if further else 0),
        "left_out": found.left_out,
        "width": NODE_WIDTH_PX,
        "height": NODE_HEIGHT_PX,
        "further": further,
        "arcs": _arcs(found, further),
        "devices": found.devices,
        "sweep": networks.sweeps_of(scope, row.client_id).get(row.pk),
    }
    return render(request, "console/map.html", context)


def _boxes(found: networks.SiteMap, states: dict[str, str]) -> list[Box]:
    spots = {spot.key: spot for spot in found.layout.spots}
    boxes = []
    for spot in found.layout.spots:
        device = found.devices[spot.key]
        wire = found.above.get(spot.key)
        upper = found.devices.get(wire.upper_id) if wire else None
        path = ""
        if upper is not None:
            start = spots[upper.pk]
            x, y = start.x + 14, start.y + NODE_HEIGHT_PX
            path = f"M{x} {y} "
            if spot.bus_y:
                path += f"V{spot.bus_y} H{spot.x - BUS_PX} "
            path += f"V{spot.y + ROW_PX // 2 - 4} H{spot.x}"
        name = device.asset.name if device.asset else device.title
        state = states.get(device.asset_id, "in_spec") if device.asset_id else ""
        shown = name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…"
        boxes.append(Box(device, spot.x, spot.y, state, shown, upper, wire, path, spot.layer))
    return boxes


def _arcs(found: networks.SiteMap, further: list[Wire]) -> list[tuple[Wire, str]]:
    """Wires beside the tree as curves at the right of their boxes, at most ARCS_MAX."""
    spots = {spot.key: spot for spot in found.layout.spots}
    arcs = []
    for wire in further[:ARCS_MAX]:
        one, other = spots[wire.lower_id], spots[wire.upper_id]
        x, y, x_other, y_other = (
            one.x + NODE_WIDTH_PX, one.y + NODE_HEIGHT_PX // 2,
            other.x + NODE_WIDTH_PX, other.y + NODE_HEIGHT_PX // 2,
        )  # fmt: skip
        out = max(x, x_other) + ARC_PX
        arcs.append((wire, f"M{x} {y} C{out} {y} {out} {y_other} {x_other} {y_other}"))
    return arcs


def _asset_given(request: Asked, identifier: str) -> Asset:
    return seen_or_404(lambda: queries.find_asset(request.scope, identifier))


def _interval(text: str) -> int:
    if not text.isdecimal() or int(text) not in dict(INTERVALS):
        raise Trouble("a site is swept every hour, every 6 hours or every day", "Choose one of these.")
    return int(text)
