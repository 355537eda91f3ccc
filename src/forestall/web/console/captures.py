"""Captures of a device's configuration from its asset's page: begin with recipe and credential, ask now."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from forestall.collect.asking import PROBES
from forestall.collect.devices.recipe import find_recipe
from forestall.estate import actions, queries
from forestall.estate.credentials import credential_for
from forestall.estate.models import Asset
from forestall.estate.tenancy import Scope
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import load
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

KIND = "device"
HOUR_S = 3600
INTERVALS_H = (1, 6, 24)
SETTINGS = ("recipe", "transport", "host_key", "old_algorithms")


@needs("estate:write")
def capture_add(request: Asked, asset: str) -> HttpResponse:
    """From now on the asset's configuration is captured, by a recipe and with a credential."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))
    given = request.POST.dict()
    attempt(
        request,
        lambda: _begin(scope, row, given),
        "It is captured from now on; the first capture comes within a few seconds.",
    )
    return redirect("asset", asset=row.pk)


def _begin(scope: Scope, asset: Asset, given: dict[str, str]) -> None:
    spec = load(PROBES)[KIND].SPEC
    find_recipe(given.get("recipe", ""))
    settings = {name: given[name] for name in SETTINGS if given.get(name)}
    try:
        spec.read(settings)
    except ValueError as error:
        raise Trouble(str(error), "Correct it.") from error
    if not given.get("credential"):
        raise Trouble(
            "a capture signs in with a credential", "Choose one, or add it under Credentials first."
        )
    hours = given.get("every_h", "1")
    actions.add_probe(
        scope,
        asset=asset,
        kind=KIND,
        target=given.get("target", ""),
        settings=settings,
        interval_s=HOUR_S * (int(hours) if hours in map(str, INTERVALS_H) else 1),
        collector=given.get("collector", ""),
        credential=credential_for(scope, asset, given["credential"], kinds=spec.credentials),
    )


@needs("estate:write")
def capture_now(request: Asked, asset: str) -> HttpResponse:
    """Capture at once, apart from the schedule."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))

    def ask() -> None:
        probes = [probe for probe in queries.list_probes(scope, asset=row.pk) if probe.kind == KIND]
        if not actions.ask_now(scope, probes, now=timezone.now()):
            raise Trouble(f"nothing captures {row.name}", "Choose its recipe and a credential first.")

    attempt(request, ask, "It is asked now: a collector does it within 15 seconds.")
    return redirect("asset", asset=row.pk)
