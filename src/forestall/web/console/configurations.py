"""Configurations: search, an asset's versions, comparing, one setting of all devices, what the spec says."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.configs import actions, queries
from forestall.configs.comparing import pair_rows, settings_of
from forestall.configs.matching import Mode, Needle
from forestall.configs.models import Configuration
from forestall.configs.notices import notices_of
from forestall.configs.searching import Where, lines_of_devices, list_kinds, search
from forestall.configs.texts import text_of
from forestall.estate import queries as estate
from forestall.estate.values import ASSET_KINDS
from forestall.findings import queries as findings
from forestall.judge.rules import Look
from forestall.kernel.errors import Trouble
from forestall.kernel.sections import split_lines
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404
from forestall.web.console.installation import book

MODES = {"words": "has the words", "starts": "begins with", "re": "regular expression"}
VERSIONS_SHOWN = 200
CHOICES_SHOWN = 200
MATRIX_ASSETS = 300
START_MAX = 1_000_000


def instant_given(text: str) -> datetime | None:
    """The instant (UTC) of a field of date and time; None for none. Raises Trouble for what is no time."""
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Trouble(f"{text!r} is no time", "Write it as 2026-11-23T14:30 (UTC).") from error


@needs("configs:read")
def configuration_search(request: Asked) -> HttpResponse:
    """Search in all configurations, now or at a date; everything stands in the address."""
    given, scope = request.GET, request.scope
    mode = given.get("mode", "words")
    mode = mode if mode in MODES else "words"
    context: dict[str, Any] = {
        "nav": "configurations",
        "q": given.get("q", ""),
        "given": given,
        "mode": mode,
        "modes": MODES,
        "kinds": list_kinds(scope),
        "asset_kinds": ASSET_KINDS,
        "clients": estate.clients_like(scope, ""),
        "absent": given.get("absent") == "1",
    }
    if context["q"]:
        try:
            start = int(given.get("start", "0") or 0) if given.get("start", "0").isdecimal() else 0
            context["found"] = search(
                scope,
                Needle(context["q"], cast(Mode, mode)),
                Where(
                    client=client_given(scope, given),
                    asset_kind=given.get("asset_kind", ""),
                    tag=given.get("tag", "").strip(),
                    kind=given.get("kind", ""),
                    at=instant_given(given.get("at", "")),
                ),
                absent=context["absent"],
                start=min(start, START_MAX),
            )
            rest = given.copy()
            rest.pop("start", None)
            context["address"] = rest.urlencode()
        except Trouble as trouble:
            context["error"] = str(trouble)
    return render(request, "console/configurations.html", context)


@needs("configs:read")
def asset_configurations(request: Asked, asset: str) -> HttpResponse:
    """An asset's configurations: the versions of one, as it was at a date, and what the spec says."""
    scope, given = request.scope, request.GET
    row = seen_or_404(lambda: estate.find_asset(scope, asset))
    held = queries.list_configurations(scope, asset=row.pk)
    chosen = next((one for one in held if one.kind == given.get("kind")), held[0] if held else None)
    context: dict[str, Any] = {"nav": "assets", "asset": row, "held": held, "chosen": chosen, "at": ""}
    if chosen is not None:
        versions = queries.list_versions(scope, asset=row.pk, kind=chosen.kind, limit=VERSIONS_SHOWN)
        shown = chosen.newest
        try:
            at = instant_given(given.get("at", ""))
            if at is not None:
                context["at"] = given["at"]
                then = queries.version_at(scope, asset=row.pk, kind=chosen.kind, at=at)
                context["too_early"] = then is None
                shown = then or shown
        except Trouble as trouble:
            messages.error(request, str(trouble))
        context |= {
            "versions": versions,
            "shown": shown,
            "lines": _numbered(text_of(shown)) if not context.get("too_early") else [],
            "changes": {
                change.after_id: change for change in queries.list_changes(scope, asset=row.pk, limit=500)
            },
            "alike": queries.alike(scope, _with_asset(chosen))[:CHOICES_SHOWN],
        }
    context["verdicts"] = [(one, _verdicts(one, row.kind)) for one in held]
    context["refusals"] = queries.list_refusals(scope, asset=row.pk)
    return render(request, "console/asset_configurations.html", context)


def _with_asset(held: Configuration) -> Any:
    held.newest.asset = held.asset
    return held.newest


def _numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(split_lines(text), 1))


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What a rule says of a configuration; `reason` "" when it holds."""

    rule: str
    why: str
    first: str
    reason: str = ""


def _verdicts(held: Configuration, kind: str) -> list[RuleVerdict]:
    """Broken rules first."""
    rules = book().rules_for(kind)
    broken = [
        RuleVerdict(name, rules[name].why, rules[name].first, reason)
        for name, reason in sorted(held.judged.get("broken", {}).items())
        if name in rules
    ]
    kept = [
        RuleVerdict(name, rules[name].why, rules[name].first)
        for name in held.judged.get("held", [])
        if name in rules
    ]
    return broken + kept


@needs("configs:read")
def version_page(request: Asked, version: str) -> HttpResponse:
    """A configuration as it was."""
    row = seen_or_404(lambda: queries.find_version(request.scope, version))
    before, after = queries.neighbours(request.scope, row)
    context = {
        "nav": "assets",
        "version": row,
        "lines": _numbered(text_of(row)),
        "before": before,
        "after": after,
        "held": queries.find_configuration(request.scope, asset=row.asset_id, kind=row.kind),
        "versions": queries.list_versions(request.scope, asset=row.asset_id, kind=row.kind),
    }
    return render(request, "console/version.html", context)


@needs("configs:read")
def compare(request: Asked, version: str) -> HttpResponse:
    """Two versions, of one configuration or of two devices, as one column or two."""
    given = request.GET
    folded = given.get("all") != "1"
    found = seen_or_404(
        lambda: queries.compare(request.scope, version, other=given.get("with", ""), folded=folded)
    )
    split = given.get("view", "split") != "one"
    context = {
        "nav": "assets",
        "version": found.after,
        "other": found.before,
        "rows": found.rows,
        "pairs": pair_rows(found.rows) if split else [],
        "split": split,
        "folded": folded,
        "added": sum(row.kind == "+" for row in found.rows),
        "removed": sum(row.kind == "-" for row in found.rows),
        "versions": queries.list_versions(
            request.scope, asset=found.after.asset_id, kind=found.after.kind, limit=CHOICES_SHOWN
        ),
        "alike": queries.alike(request.scope, found.after)[:CHOICES_SHOWN],
    }
    return render(request, "console/compare.html", context)


@needs("configs:read")
def change_page(request: Asked, change: str) -> HttpResponse:
    """What was changed, when, and who was signed in."""
    row = seen_or_404(lambda: queries.find_change(request.scope, change))
    context = {"nav": "assets", "change": row, "rows": queries.difference(request.scope, row)}
    context["notices"] = notices_of(request.scope, row)
    return render(request, "console/change.html", context)


@needs("findings:write")
def baseline(request: Asked, version: str, what: str) -> HttpResponse:
    """Name this version the baseline, or take the baseline away."""
    row = seen_or_404(lambda: queries.find_version(request.scope, version))
    if what == "name":
        attempt(
            request,
            lambda: actions.name_baseline(
                request.scope, row.pk, because=request.POST.get("because", ""), now=timezone.now()
            ),
            "This version is the baseline. A difference from it is a finding within a few seconds.",
        )
    elif what == "drop":
        attempt(
            request,
            lambda: actions.drop_baseline(request.scope, row.pk, now=timezone.now()),
            "There is no baseline any more.",
        )
    else:
        raise Http404
    return redirect("version", version=row.pk)


@needs("configs:read")
def client_settings(request: Asked, client: str) -> HttpResponse:
    """One setting of all devices of a client: what most say, and who says something else."""
    scope, given = request.scope, request.GET
    row = seen_or_404(lambda: estate.find_client(scope, client))
    mode = given.get("mode", "starts")
    mode = mode if mode in get_args(Mode) else "starts"
    context: dict[str, Any] = {
        "nav": "clients",
        "client": row,
        "q": given.get("q", ""),
        "given": given,
        "mode": mode,
        "modes": MODES,
        "kinds": list_kinds(scope.narrowed(row.pk)),
        "asset_kinds": ASSET_KINDS,
    }
    if context["q"]:
        where = Where(client=row.pk, asset_kind=given.get("asset_kind", ""), kind=given.get("kind", ""))
        try:
            found = lines_of_devices(scope, Needle(context["q"], cast(Mode, mode)), where)
            context["settings"] = settings_of(found)
        except Trouble as trouble:
            context["error"] = str(trouble)
    return render(request, "console/client_settings.html", context)


@needs("configs:read")
def compliance(request: Asked, client: str) -> HttpResponse:
    """What the spec says of a client's configurations: rules by assets."""
    scope = request.scope
    row = seen_or_404(lambda: estate.find_client(scope, client))
    held = queries.list_configurations(scope, client=row.pk, most=MATRIX_ASSETS)
    rules = {
        rule.name: rule
        for pack in book().packs
        for rule in pack.rules
        if rule.look in (Look.CONFIGURATION, Look.BASELINE)
    }
    told = [one for one in held if one.judged.get("broken") or one.judged.get("held")]
    names = {name for one in told for name in (*one.judged.get("broken", {}), *one.judged.get("held", []))}
    columns = sorted(names & rules.keys(), key=lambda name: (-_count_broken(told, name), name))
    context = {
        "nav": "clients",
        "client": row,
        "rules": [(rules[name], _count_broken(told, name)) for name in columns],
        "rows": [(one, [(name, _cell(one, name)) for name in columns]) for one in told],
        "captured": len(held),
        "overrides": findings.list_overrides(scope, client=row.pk),
    }
    return render(request, "console/compliance.html", context)


def _count_broken(held: list[Configuration], rule: str) -> int:
    return sum(rule in one.judged.get("broken", {}) for one in held)


def _cell(held: Configuration, rule: str) -> tuple[str, str]:
    """Whether a rule holds (`in_spec`, `drifting`, ""), and why not."""
    reason = held.judged.get("broken", {}).get(rule)
    if reason is not None:
        return "drifting", reason
    return ("in_spec", "") if rule in held.judged.get("held", []) else ("", "")
