"""The API of networks: what discovery saw, what people decide about it, what hangs on what."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.estate.queries import find_asset, find_site
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.networks import actions, queries, switching
from forestall.networks.models import Sighting
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, found, limit_of, one

router = Router(tags=["networks"])
READ, WRITE = May("estate:read"), May("estate:write")


class SightingOut(Schema):
    """A device that a sweep saw. Without an asset and not dismissed it is a proposal."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str = Field(validation_alias="site_id")
    asset: str | None = Field(validation_alias="asset_id")
    address: str
    mac: str
    names: list[str]
    vendor: str
    ports: list[int]
    services: list[str]
    description: str
    object_id: str
    by: list[str]
    kind: str
    reason: str
    matched_by: str
    first_at: datetime
    last_at: datetime
    dismissed_at: datetime | None


class WireOut(Schema):
    """Two devices that hang together: `lower` on `upper`; `tree` false: a further wire, `blocked`: by
    spanning tree."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str = Field(validation_alias="site_id")
    lower: str = Field(validation_alias="lower_id")
    upper: str = Field(validation_alias="upper_id")
    lower_port: str
    upper_port: str
    protocol: str
    tree: bool
    blocked: bool
    reason: str


class ConfirmIn(Schema):
    """ "" takes what is proposed."""

    name: str = ""
    kind: str = ""


class MergeIn(Schema):
    """The asset that it is."""

    asset: str


class DiscoveryIn(Schema):
    """Who sweeps the site, with which credential ("" for none), how often."""

    collector: str
    credential: str = ""
    interval_s: int = switching.EVERY_S


class DiscoveryOut(Schema):
    """The probe that sweeps a site."""

    probe: str = Field(validation_alias="id")
    collector: str | None = Field(validation_alias="collector_id")
    credential: str | None = Field(validation_alias="credential_id")
    interval_s: int


@router.get("/sightings", auth=READ, response=Listed[SightingOut])
def list_sightings(
    request: HttpRequest,
    client: str = "",
    site: str = "",
    state: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Sightings, the oldest first; `state`: `waiting`, `dismissed` or `known`."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_sightings(
        seen_by(request), client=client, site=site, state=state, after=after, limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.pk,))


@router.get("/sightings/{sighting}", auth=READ, response=SightingOut)
def get_sighting(request: HttpRequest, sighting: str) -> Sighting:
    """A sighting."""
    return one(request, queries.find_sighting, sighting)


@router.post("/sightings/{sighting}/confirm", auth=WRITE, response=SightingOut)
def confirm_sighting(request: HttpRequest, sighting: str, body: ConfirmIn) -> Sighting:
    """It becomes an asset."""
    row = one(request, queries.find_sighting, sighting)
    actions.confirm(seen_by(request), row, name=body.name, kind=body.kind, now=timezone.now())
    return row


@router.post("/sightings/{sighting}/merge", auth=WRITE, response=SightingOut)
def merge_sighting(request: HttpRequest, sighting: str, body: MergeIn) -> Sighting:
    """It is an asset that is there."""
    row = one(request, queries.find_sighting, sighting)
    asset = found(find_asset(seen_by(request), body.asset))
    actions.merge(seen_by(request), row, asset, now=timezone.now())
    return row


@router.post("/sightings/{sighting}/dismiss", auth=WRITE, response=SightingOut)
def dismiss_sighting(request: HttpRequest, sighting: str) -> Sighting:
    """It is not proposed again."""
    row = one(request, queries.find_sighting, sighting)
    actions.dismiss(seen_by(request), row, now=timezone.now())
    return one(request, queries.find_sighting, sighting)


@router.get("/wires", auth=READ, response=Listed[WireOut])
def list_wires(
    request: HttpRequest, client: str = "", site: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """What hangs on what, as the last sweeps saw it."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_wires(seen_by(request), client=client, site=site, after=after, limit=limit + 1)
    return cut(rows, limit, lambda row: (row.pk,))


@router.get("/sites/{site}/discovery", auth=READ, response=DiscoveryOut)
def get_discovery(request: HttpRequest, site: str) -> Any:
    """Who sweeps the site; 404 when nobody does."""
    row = one(request, find_site, site)
    return found(switching.discovery_of(seen_by(request), row))


@router.post("/sites/{site}/discovery", auth=WRITE, response={201: DiscoveryOut})
def switch_on(request: HttpRequest, site: str, body: DiscoveryIn) -> tuple[int, Any]:
    """Sweep the site from now on."""
    row = one(request, find_site, site)
    return 201, switching.switch_on(seen_by(request), row, **body.model_dump())


@router.delete("/sites/{site}/discovery", auth=WRITE, response={204: None})
def switch_off(request: HttpRequest, site: str) -> tuple[int, None]:
    """Sweep the site no more; what was seen stays."""
    switching.switch_off(seen_by(request), one(request, find_site, site))
    return 204, None
