"""The API of what gathers: probes, collectors, enrolment tokens."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from forestall.collect.asking import PROBES
from forestall.estate import actions, amending, queries
from forestall.estate.credentials import credential_for
from forestall.estate.enrolment import make_enrolment_token
from forestall.estate.models import Collector, Probe
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Spec, load
from forestall.web.api import shapes
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, found, limit_of, one

router = Router(tags=["collectors"])
READ, WRITE = May("estate:read"), May("estate:write")


def _spec(kind: str) -> Spec:
    plugin = load(PROBES).get(kind)
    if plugin is None:
        raise Trouble(f"there is no probe {kind!r}", f"Probes are {', '.join(load(PROBES))}.")
    spec: Spec = plugin.SPEC
    return spec


def _checked(spec: Spec, settings: Mapping[str, Any], *, kept: Mapping[str, Any]) -> list[str]:
    """The names of the secret settings; the rest was looked at. Raises Trouble that names the wrong one."""
    secrets = [setting.name for setting in spec.settings if setting.kind == "secret"]
    stay = {name: "kept" for name in secrets if kept.get(name) and not settings.get(name)}
    try:
        spec.read({**stay, **{name: value for name, value in settings.items() if value is not None}})
    except ValueError as error:
        raise Trouble(str(error), "Correct this setting of the probe.") from error
    return secrets


@router.get("/probes", auth=READ, response=Listed[shapes.ProbeOut])
def list_probes(
    request: HttpRequest,
    client: str = "",
    asset: str = "",
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Probes, the oldest first."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_probes(seen_by(request), client=client, asset=asset, after=after, limit=limit + 1)
    return cut(rows, limit, lambda row: (row.pk,))


@router.post("/probes", auth=WRITE, response={201: shapes.ProbeOut})
def add_probe(request: HttpRequest, body: shapes.ProbeIn) -> tuple[int, Probe]:
    """Add a probe."""
    asset = queries.find_asset(seen_by(request), body.asset)
    if asset is None:
        raise Trouble("there is no such asset", "Choose one that you see.")
    secrets = _checked(_spec(body.kind), body.settings, kept={})
    given = body.model_dump(exclude={"asset", "credential"})
    credential = credential_for(seen_by(request), asset, body.credential, kinds=_spec(body.kind).credentials)
    return 201, actions.add_probe(
        seen_by(request), asset=asset, secrets=secrets, credential=credential, **given
    )


@router.get("/probes/{probe}", auth=READ, response=shapes.ProbeOut)
def get_probe(request: HttpRequest, probe: str) -> Probe:
    """A probe."""
    return one(request, queries.find_probe, probe)


@router.patch("/probes/{probe}", auth=WRITE, response=shapes.ProbeOut)
def change_probe(request: HttpRequest, probe: str, body: shapes.ProbeChange) -> Probe:
    """Change a probe."""
    row = one(request, queries.find_probe, probe)
    secrets: list[str] = []
    if body.settings is not None:
        secrets = _checked(_spec(row.kind), body.settings, kept=row.settings)
    given: dict[str, Any] = body.model_dump(exclude={"credential"})
    if body.credential is not None:
        kinds = _spec(row.kind).credentials
        given["credential"] = credential_for(seen_by(request), row.asset, body.credential, kinds=kinds)
    return amending.change_probe(seen_by(request), row, secrets=secrets, **given)


@router.post("/probes/{probe}/ask", auth=WRITE, response={202: None})
def ask_probe(request: HttpRequest, probe: str) -> tuple[int, None]:
    """Ask now, apart from the schedule: a collector does it within 15 seconds."""
    actions.ask_now(seen_by(request), [one(request, queries.find_probe, probe)], now=timezone.now())
    return 202, None


@router.delete("/probes/{probe}", auth=WRITE, response={204: None})
def remove_probe(request: HttpRequest, probe: str) -> tuple[int, None]:
    """Remove a probe."""
    actions.remove_probe(seen_by(request), one(request, queries.find_probe, probe))
    return 204, None


@router.get("/collectors", auth=READ, response=Listed[shapes.CollectorOut])
def list_collectors(request: HttpRequest, client: str = "") -> dict[str, Any]:
    """Collectors, the longest silent first (at most 500)."""
    return {"items": queries.list_collectors(seen_by(request), client=client), "next": None}


@router.get("/collectors/{collector}", auth=READ, response=shapes.CollectorOut)
def get_collector(request: HttpRequest, collector: str) -> Collector:
    """A collector."""
    return one(request, queries.find_collector, collector)


@router.delete("/collectors/{collector}", auth=WRITE, response={204: None})
def revoke_collector(request: HttpRequest, collector: str) -> tuple[int, None]:
    """Revoke a collector: its key opens nothing from now on."""
    actions.revoke_collector(seen_by(request), one(request, queries.find_collector, collector))
    return 204, None


@router.get("/enrolment-tokens", auth=WRITE, response=Listed[shapes.EnrolmentTokenOut])
def list_enrolment_tokens(request: HttpRequest, client: str = "") -> dict[str, Any]:
    """Tokens that can still be used (at most 500)."""
    return {"items": queries.list_enrolment_tokens(seen_by(request), client=client), "next": None}


@router.post("/enrolment-tokens", auth=WRITE, response={201: shapes.EnrolmentTokenMade})
def add_enrolment_token(request: HttpRequest, body: shapes.EnrolmentTokenIn) -> tuple[int, Any]:
    """A single-use token for one machine, good for 15 minutes; its secret is shown now and never again."""
    try:
        token, secret = make_enrolment_token(
            seen_by(request), client=body.client, site=body.site or None, asset=body.asset or None
        )
    except LookupError as error:
        raise Trouble(str(error), "Choose one that you see.") from error
    made: Any = token
    made.secret = secret
    return 201, made


@router.delete("/enrolment-tokens/{enrolment_token}", auth=WRITE, response={204: None})
def withdraw_enrolment_token(request: HttpRequest, enrolment_token: str) -> tuple[int, None]:
    """Withdraw a token before it was used."""
    tokens = queries.list_enrolment_tokens(seen_by(request))
    row = found(next((token for token in tokens if token.pk == enrolment_token), None))
    amending.withdraw_enrolment_token(seen_by(request), row)
    return 204, None
