"""The API of findings and of overrides of the spec."""

from datetime import datetime
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema

from forestall.findings import actions, queries
from forestall.judge.pack import load_packs
from forestall.judge.rules import Book
from forestall.judge.shelf import builtin_packs
from forestall.kernel.cursors import Page
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, limit_of

router = Router(tags=["findings"])
READ, WRITE = May("findings:read"), May("findings:write")


@cache
def _book() -> Book:
    return load_packs(builtin_packs())


class FindingOut(Schema):
    """A rule and an asset that disagree. `tells`: whether it may become an alert."""

    id: str
    client: str = Field(validation_alias="client_id")
    asset: str = Field(validation_alias="asset_id")
    rule: str
    item: str
    pack: str
    pack_version: str
    metric: str
    state: str
    worst: str
    cause: str
    tells: bool
    began_at: datetime
    opened_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    reason: str
    why: str
    first_step: str
    numbers: dict[str, float | None]
    answer: str
    recovery: str


class StepOut(Schema):
    """A step of a finding's history."""

    state: str
    at: datetime
    reason: str


class FindingDetails(FindingOut):
    """A finding with its history, oldest first."""

    steps: list[StepOut]


class OverrideIn(Schema):
    """Other settings of a rule at a client, a site or an asset; `{"off": true}` silences it there."""

    client: str
    rule: str = Field(examples=["disk-full"])
    site: str | None = None
    asset: str | None = None
    settings: dict[str, Any] = Field(examples=[{"off": True}])
    because: str


class OverrideOut(Schema):
    """An override; it stands at its asset, else at its site, else at its client."""

    id: str
    client: str = Field(validation_alias="client_id")
    site: str | None = Field(validation_alias="site_id")
    asset: str | None = Field(validation_alias="asset_id")
    rule: str
    settings: dict[str, Any]
    because: str
    made_by: str
    made_at: datetime


@router.get("/findings", auth=READ, response=Listed[FindingOut])
def list_findings(
    request: HttpRequest,
    client: str = "",
    site: str = "",
    asset: str = "",
    state: str = "",
    rule: str = "",
    q: str = "",
    ended: bool = False,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Open findings, worst first; with `ended` and `asset` also those of that asset that are over."""
    if ended and asset:
        return Page(queries.of_asset(seen_by(request), asset, most=limit), None)
    return queries.list_open(
        seen_by(request),
        client=client,
        site=site,
        asset=asset,
        states=[one for one in state.split(",") if one],
        rule=rule,
        words=q,
        after=cursor or None,
        most=limit,
    )


@router.get("/findings/{finding}", auth=READ, response=FindingDetails)
def get_finding(request: HttpRequest, finding: str) -> Any:
    """A finding with its history."""
    row: Any = queries.get(seen_by(request), finding)
    details = {name: getattr(row, name) for name in FindingOut.model_fields if hasattr(row, name)}
    return details | {
        "client_id": row.client_id,
        "asset_id": row.asset_id,
        "steps": queries.history(seen_by(request), finding),
    }


@router.get("/overrides", auth=READ, response=Listed[OverrideOut])
def list_overrides(request: HttpRequest, client: str = "", asset: str = "", rule: str = "") -> dict[str, Any]:
    """Overrides of the spec, the newest first (at most 500)."""
    rows = queries.list_overrides(seen_by(request), client=client, asset=asset, rule=rule)
    return {"items": rows, "next": None}


@router.post("/overrides", auth=WRITE, response={201: OverrideOut})
def override(request: HttpRequest, body: OverrideIn) -> tuple[int, Any]:
    """Give a rule other settings somewhere; a second override at the same place replaces the first."""
    given = body.model_dump()
    row = actions.override_rule(
        seen_by(request),
        given.pop("rule"),
        **given,
        now=timezone.now(),
        book=_book(),
    )
    return 201, row


@router.delete("/overrides/{override}", auth=WRITE, response={204: None})
def remove_override(request: HttpRequest, override: str) -> tuple[int, None]:
    """The rule is as its pack says again."""
    actions.remove_override(seen_by(request), override, now=timezone.now())
    return 204, None
