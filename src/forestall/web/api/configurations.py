"""The API of what is captured now or was at a date: search, what the spec says, one setting of all devices,
baselines."""

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema
from ninja.params.functions import Query

from forestall.configs import actions, queries
from forestall.configs.comparing import settings_of
from forestall.configs.matching import Needle
from forestall.configs.models import Configuration
from forestall.configs.searching import PAGE, Found, Line, Place, Where, lines_of_devices, search
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import one

router = Router(tags=["configurations"])
READ, WRITE = May("configs:read"), May("findings:write")
SETTINGS_MOST = 500
START_MAX = 1_000_000


class PlaceOut(Schema):
    """A configuration in the version that was looked at."""

    asset: str
    asset_name: str
    client: str
    client_name: str
    kind: str
    title: str
    snapshot: str = Field(validation_alias="version")


class LineOut(Schema):
    """A line that was found; `number` from 1, `path` the headings above it."""

    number: int
    text: str
    path: list[str]
    before: list[str]
    after: list[str]


class HitOut(Schema):
    """A configuration that has it, or of a search with `absent` has it not."""

    place: PlaceOut
    lines: list[LineOut]


class FoundOut(Schema):
    """A page of hits. `matched` of `looked` configurations are like that, of `assets` assets; not `complete`:
    time was up before all `total` were looked at. `next`: give it as `start` for the following page."""

    items: list[HitOut]
    matched: int
    assets: int
    looked: int
    total: int
    complete: bool
    next: int | None


class SettingOut(Schema):
    """What one configuration says, and how that differs from what most say."""

    place: PlaceOut
    lines: list[str]
    more: list[str]
    less: list[str]


class SettingsOut(Schema):
    """A setting of many devices, those who differ first; `agree` of them say what is `usual`."""

    usual: list[str]
    agree: int
    items: list[SettingOut]


class BaselineIn(Schema):
    """Why a version is the baseline."""

    because: str = Field(examples=["As it was handed over."], max_length=300)


class ConfigurationOut(Schema):
    """What is captured of an asset under one kind. `broken`: rules that its newest version does not meet,
    with the reason; `held`: those that it meets."""

    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    kind: str
    title: str
    newest: str = Field(validation_alias="newest_id")
    baseline: str | None = Field(validation_alias="baseline_id")
    baseline_by: str
    baseline_at: datetime | None
    baseline_because: str
    broken: dict[str, str] = {}
    held: list[str] = []

    @staticmethod
    def resolve_broken(row: Configuration) -> dict[str, str]:
        """From what the judge said last."""
        return dict(row.judged.get("broken", {}))

    @staticmethod
    def resolve_held(row: Configuration) -> list[str]:
        """From what the judge said last."""
        return list(row.judged.get("held", []))


class ConfigurationsOut(Schema):
    """At most 500 configurations."""

    items: list[ConfigurationOut]
    next: str | None = None


@router.get("/configurations", auth=READ, response=ConfigurationsOut)
def list_configurations(request: HttpRequest, client: str = "", asset: str = "") -> dict[str, Any]:
    """What is captured of a client's assets or of one asset, with its baseline and what the spec says."""
    return {"items": queries.list_configurations(seen_by(request), client=client, asset=asset)}


@router.get("/configurations/search", auth=READ, response=FoundOut)
def search_configurations(
    request: HttpRequest,
    q: str,
    mode: Literal["words", "starts", "re"] = "words",
    absent: bool = False,
    client: str = "",
    asset: str = "",
    asset_kind: str = "",
    tag: str = "",
    kind: str = "",
    at: datetime | None = None,
    start: int = Query(0, ge=0, le=START_MAX),
    limit: int = Query(PAGE, ge=1, le=4 * PAGE),
) -> dict[str, Any]:
    """Configurations with a line like `q`, now or as they were `at` an instant; with `absent` those of assets
    that have it in none."""
    where = Where(client=client, asset=asset, asset_kind=asset_kind, tag=tag, kind=kind, at=at)
    found = search(seen_by(request), Needle(q, mode), where, absent=absent, start=start, limit=limit)
    return _found(found)


def _found(found: Found) -> dict[str, Any]:
    return {
        "items": [
            {"place": _place(hit.place), "lines": [_line(line) for line in hit.lines]} for hit in found.hits
        ],
        "matched": found.matched,
        "assets": found.assets,
        "looked": found.looked,
        "total": found.total,
        "complete": found.complete,
        "next": found.next,
    }


def _place(place: Place) -> dict[str, Any]:
    names = ("asset", "asset_name", "client", "client_name", "kind", "title", "version")
    return {name: getattr(place, name) for name in names}


def _line(line: Line) -> dict[str, Any]:
    return {
        "number": line.number,
        "text": line.text,
        "path": list(line.path),
        "before": list(line.before),
        "after": list(line.after),
    }


@router.get("/configurations/settings", auth=READ, response=SettingsOut)
def compare_settings(
    request: HttpRequest,
    client: str,
    q: str,
    mode: Literal["words", "starts", "re"] = "starts",
    asset_kind: str = "",
    kind: str = "",
) -> dict[str, Any]:
    """The lines of a client's configurations that are like `q`: what most say, and who says something else
    (at most 500)."""
    where = Where(client=client, asset_kind=asset_kind, kind=kind)
    found = settings_of(lines_of_devices(seen_by(request), Needle(q, mode), where))
    return {
        "usual": list(found.usual),
        "agree": found.agree,
        "items": [
            {
                "place": _place(row.place),
                "lines": list(row.lines),
                "more": list(row.more),
                "less": list(row.less),
            }
            for row in found.rows[:SETTINGS_MOST]
        ],
    }


@router.put("/snapshots/{snapshot}/baseline", auth=WRITE, response=ConfigurationOut)
def name_baseline(request: HttpRequest, snapshot: str, body: BaselineIn) -> Configuration:
    """Name this version the baseline: from now on a difference from it is a finding."""
    row = one(request, queries.find_version, snapshot)
    return actions.name_baseline(seen_by(request), row.pk, because=body.because, now=timezone.now())


@router.delete("/snapshots/{snapshot}/baseline", auth=WRITE, response={204: None})
def drop_baseline(request: HttpRequest, snapshot: str) -> tuple[int, None]:
    """The configuration of this version has no baseline any more."""
    row = one(request, queries.find_version, snapshot)
    actions.drop_baseline(seen_by(request), row.pk, now=timezone.now())
    return 204, None
