"""The form of a probe, made from what its plug-in says of itself (SPEC): a mistake is told at its field.

What is secret is never shown; left empty it stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.collect.asking import PROBES
from forestall.estate import actions, amending, credentials, queries
from forestall.estate.models import Asset, Probe
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec, load
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

FIRST = "icmp"
EVERY_S = {"device": 3600, "discover": 3600, "domain": 86_400, "snmp": 60}
TARGETS = {
    "discover": "declared ranges", "snmp": "10.0.0.2", "device": "10.0.0.2 or 10.0.0.2:2222",
    "http": "https://example.org", "icmp": "10.0.0.1", "tcp": "10.0.0.1:22", "tls": "example.org:443",
    "dns": "example.org", "domain": "example.org",
}  # fmt: skip
WHOLE = {"discover": "declared ranges"}  # what is asked when nothing else is written
UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


@dataclass(frozen=True, slots=True)
class Field:
    """A setting as the form shows it; `error` says what to write instead, the first mistake has the focus."""

    setting: Setting
    value: str
    error: str = ""
    focus: bool = False


@needs("estate:write")
def probe_new(request: Asked, asset: str) -> HttpResponse:
    """A new probe of an asset: its kind first (`?kind=snmp`), then what that kind asks for."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_asset(scope, asset))
    plugins = load(PROBES)
    given = request.POST if request.method == "POST" else request.GET
    spec = seen_or_404(lambda: plugins.get(given.get("kind", FIRST))).SPEC
    if request.method != "POST":
        return _form(request, row, spec, given=_blank(row, spec))
    errors = mistakes(request.POST, spec)
    if not errors and attempt(
        request,
        lambda: actions.add_probe(
            scope, asset=row, kind=spec.name, target=_target(given, spec), settings=_settings(given, spec),
            secrets=_secrets(spec), interval_s=_interval(given), collector=given.get("collector", ""),
            credential=credentials.credential_for(
                scope, row, given.get("credential", ""), kinds=spec.credentials
            ),
        ),
        "Probe added; its first answer comes within a few seconds.",
    ):  # fmt: skip
        return redirect("asset", asset=row.pk)
    return _form(request, row, spec, given=request.POST, errors=errors)


@needs("estate:write")
def probe_edit(request: Asked, probe: str) -> HttpResponse:
    """Another target, other settings, another pace, or a pause; its kind and who asks stay."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_probe(scope, probe))
    spec = seen_or_404(lambda: load(PROBES).get(row.kind)).SPEC
    if request.method != "POST":
        return _form(request, row.asset, spec, given=_as_given(row, spec), probe=row)
    given = request.POST
    errors = mistakes(given, spec, probe=row)
    if not errors and attempt(
        request,
        lambda: amending.change_probe(
            scope, row, target=_target(given, spec), settings=_settings(given, spec), secrets=_secrets(spec),
            interval_s=_interval(given), enabled=given.get("enabled") != "no",
            credential=credentials.credential_for(
                scope, row.asset, given.get("credential", ""), kinds=spec.credentials
            ),
        ),
        "Changed. Whoever asks has it within 15 seconds.",
    ):  # fmt: skip
        return redirect("asset", asset=row.asset_id)
    return _form(request, row.asset, spec, given=given, errors=errors, probe=row)


@needs("estate:write")
def probe_ask(request: Asked, probe: str) -> HttpResponse:
    """Ask once more, now."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_probe(scope, probe))
    attempt(
        request,
        lambda: actions.ask_now(scope, [row], now=timezone.now()),
        "It is asked now: whoever asks has it within 15 seconds.",
    )
    return redirect("asset", asset=row.asset_id)


def mistakes(given: Mapping[str, str], spec: Spec, *, probe: Probe | None = None) -> dict[str, str]:
    """What is wrong, by the name of the field. A secret that a probe has need not be written again."""
    found: dict[str, str] = {}
    for one in spec.settings:
        if one.kind == "secret" and probe is not None and probe.settings.get(one.name):
            continue
        try:
            one.read(_plain(given, one))
        except ValueError as error:
            found[one.name] = str(error).removeprefix(f"{one.name} ").capitalize()
    if not _target(given, spec):
        found["target"] = f"Write what is asked, for example {TARGETS.get(spec.name, '10.0.0.1')}"
    least, most = actions.INTERVAL_LEAST_S, actions.INTERVAL_MOST_S
    try:
        seconds = _interval(given)
    except ValueError:
        found["every"] = "Write a whole number"
    else:
        if not least <= seconds <= most:
            found["every"] = f"A probe is asked every {least} seconds to {most // 86_400} days"
    return found


def _form(
    request: Asked, asset: Asset, spec: Spec, *, given: QueryDict, errors: Mapping[str, str] = {},
    probe: Probe | None = None,
) -> HttpResponse:  # fmt: skip
    scope = request.scope
    if errors:
        messages.error(request, "Not kept: see what is said at the fields.")
    usable = [
        one
        for one in credentials.list_credentials(scope, client=asset.client_id)
        if one.kind in spec.credentials and one.site_id in (None, asset.site_id)
    ]
    order = ("target", *(one.name for one in spec.settings), "every")
    first = next((name for name in order if name in errors), "")
    context = {
        "nav": "assets",
        "asset": asset,
        "first": first,
        "probe": probe,
        "spec": spec,
        "kinds": {name: module.SPEC for name, module in load(PROBES).items()},
        "fields": [
            Field(
                one, given.get(f"setting_{one.name}", ""), errors.get(one.name, ""), focus=one.name == first
            )
            for one in spec.settings
        ],
        "given": given,
        "errors": errors,
        "placeholder": TARGETS.get(spec.name, "10.0.0.1"),
        "collectors": queries.list_collectors(scope, client=asset.client_id),
        "credentials": usable,
        "units": UNITS[::-1],
    }
    return render(
        request, "console/probe_form.html", context, status=422 if request.method == "POST" else 200
    )


def _blank(asset: Asset, spec: Spec) -> QueryDict:
    """The form of a new probe, with what most people would write."""
    given = QueryDict(mutable=True)
    address = asset.addresses[0] if asset.addresses else ""
    given["target"] = WHOLE.get(spec.name, "" if spec.name in {"http", "sql", "nagios"} else address)
    _put_interval(given, EVERY_S.get(spec.name, 60))
    for one in spec.settings:
        given[f"setting_{one.name}"] = _shown(one, one.default)
    return given


def _as_given(probe: Probe, spec: Spec) -> QueryDict:
    """The form as somebody would have filled it in for this probe."""
    given = QueryDict(mutable=True)
    given["target"], given["credential"] = probe.target, probe.credential_id or ""
    given["enabled"] = "yes" if probe.enabled else "no"
    _put_interval(given, probe.interval_s)
    for one in spec.settings:
        shown = "" if one.kind == "secret" else _shown(one, probe.settings.get(one.name, one.default))
        given[f"setting_{one.name}"] = shown
    return given


def _put_interval(given: QueryDict, seconds: int) -> None:
    unit = next(unit for unit, _ in UNITS if seconds % unit == 0)
    given["every"], given["every_unit"] = str(seconds // unit), str(unit)


def _shown(setting: Setting, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\n".join(map(str, value)) if setting.kind == "lines" else str(value)


def _plain(given: Mapping[str, str], setting: Setting) -> str:
    text = given.get(f"setting_{setting.name}", "")
    return text if setting.kind == "secret" else text.strip()


def _settings(given: Mapping[str, str], spec: Spec) -> dict[str, Any]:
    """The settings that were written; the others are the plug-in's own. Raises Trouble."""
    try:
        read = {one.name: one.read(_plain(given, one)) for one in spec.settings if _plain(given, one)}
    except ValueError as error:
        raise Trouble(str(error), "Correct it.") from error
    return {name: list(value) if isinstance(value, tuple) else value for name, value in read.items()}


def _secrets(spec: Spec) -> list[str]:
    return [one.name for one in spec.settings if one.kind == "secret"]


def _target(given: Mapping[str, str], spec: Spec) -> str:
    return given.get("target", "").strip() or WHOLE.get(spec.name, "")


def _interval(given: Mapping[str, str]) -> int:
    """Seconds. Raises ValueError."""
    unit = given.get("every_unit", "1")
    return int(given.get("every", "").strip()) * (int(unit) if unit in {str(one) for one, _ in UNITS} else 1)
