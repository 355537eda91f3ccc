"""The form of a backup plan, made from what the tool's adapter says of itself; secrets are never shown."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.backups import actions, queries
from forestall.backups.models import BackupPlan
from forestall.backups.values import CADENCES, DAY_S, HOUR_S, WORK_TITLES, Place, PlanTerms
from forestall.estate import queries as estate
from forestall.estate.models import Asset, Collector
from forestall.judge.backups import Keep
from forestall.judge.backups.values import LEVEL_NAMES
from forestall.kernel.backups import LEVEL_OF_WORK, Work
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Spec
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, lines_of, seen_or_404

ASSETS_SHOWN = 500
KEEP_FIELDS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
CADENCE_CHOICES = {
    0: "never",
    HOUR_S: "every hour",
    6 * HOUR_S: "every 6 hours",
    DAY_S: "every day",
    7 * DAY_S: "every week",
    30 * DAY_S: "every month",
    91 * DAY_S: "every quarter",
    365 * DAY_S: "every year",
}
GIB = 1 << 30
OWN_AGENT = "own"  # who watches, while the machine is not chosen yet


@needs("estate:write")
def backup_new(request: Asked) -> HttpResponse:
    """A new plan: first of what and with which tool, then its terms."""
    scope, given = request.scope, request.GET
    tools = actions.tools()
    asset = estate.find_asset(scope, given["asset"]) if given.get("asset") else None
    if request.method == "POST":
        asset = seen_or_404(lambda: estate.find_asset(scope, request.POST.get("asset", "")))
        spec = seen_or_404(lambda: tools.get(request.POST.get("tool", "")))
        try:
            terms = terms_given(request.POST, spec)
            plan = actions.add_plan(
                scope, asset=asset, terms=terms, now=timezone.now(),
                collector=_watched_by(request, asset), elsewhere=request.POST.get("elsewhere", ""),
            )  # fmt: skip
        except Trouble as trouble:
            messages.error(request, str(trouble))
            return _form(request, asset=asset, spec=spec, given=request.POST, status=422)
        if plan.collector_id:
            messages.success(request, "The plan is watched. Put its line before the job's command.")
        else:
            messages.error(
                request,
                "The plan is made, but no collector looks into its repository, so only what the job tells "
                f"will be known: enrol an agent on {asset.name}, then choose it under Change.",
            )
        return redirect("backup-plan", plan=plan.pk)
    spec = tools.get(given.get("tool", "")) or next(iter(tools.values()))
    return _form(request, asset=asset, spec=spec, given=QueryDict())


@needs("estate:write")
def backup_edit(request: Asked, plan: str) -> HttpResponse:
    """Other terms for a plan; its tool stays."""
    scope = request.scope
    row = seen_or_404(lambda: queries.find_plan(scope, plan))
    spec = seen_or_404(lambda: actions.tools().get(row.tool))
    if request.method == "POST":
        try:
            terms = terms_given(request.POST, spec, before=actions.terms_of(row).keep)
            actions.amend(
                scope, row, terms=terms, now=timezone.now(), collector=request.POST.get("collector", ""),
                elsewhere=request.POST.get("elsewhere", ""),
            )  # fmt: skip
        except Trouble as trouble:
            messages.error(request, str(trouble))
            return _form(request, asset=row.asset, spec=spec, given=request.POST, plan=row, status=422)
        messages.success(request, "Changed. The collector has it within 15 seconds.")
        return redirect("backup-plan", plan=row.pk)
    return _form(request, asset=row.asset, spec=spec, given=_as_given(row), plan=row)


def terms_given(given: QueryDict, spec: Spec, *, before: Keep | None = None) -> PlanTerms:
    """The terms that a form says; of what is kept, rules that it does not ask for stay as `before`. Raises
    Trouble, naming the field."""
    keep = {name: _whole(given, f"keep_{name}", f"copies kept ({name})") for name in KEEP_FIELDS}
    known = any(value is not None for value in keep.values())
    cadences: dict[Work, int] = {}
    for work in CADENCES:
        if work in spec.produces and (seconds := _whole(given, f"every_{work}", WORK_TITLES[work])):
            cadences[work] = seconds
    settings = {one.name: given.get(f"setting_{one.name}", "") for one in spec.settings}
    days = _whole(given, "credit_after_days", "the days until a credit")
    return PlanTerms(
        name=given.get("name", ""),
        tool=spec.name,
        every_s=_seconds(given, "every", "how often it runs") or 0,
        repository=given.get("repository", ""),
        sources=tuple(lines_of(given.get("sources", ""))),
        settings=settings,
        grace_s=_seconds(given, "grace", "how much later is still in time") or 0,
        rto_s=_seconds(given, "rto", "how fast it must be back") or 0,
        keep=_keep(keep, before) if known else None,
        cadences=cadences,
        slices=_whole(given, "slices", "the parts of a full reading") or 30,
        sandbox_max=(_whole(given, "sandbox_gib", "the room for restores") or 0) * GIB,
        least_files=_whole(given, "least_files", "the least number of files"),
        least_size=_whole(given, "least_size", "the least size"),
        copies=tuple(_places(given)),
        credit_after_days=days,
        credit_minor=_whole(given, "credit_minor", "the credit") or 0,
    )


def _keep(given: Mapping[str, int | None], before: Keep | None) -> Keep:
    counts: dict[str, Any] = {name: value or 0 for name, value in given.items()}
    return replace(before or Keep(), **counts)


def _places(given: QueryDict) -> list[Place]:
    """A place a line; `offsite` and `unchangeable` behind it, after commas."""
    found = []
    for line in lines_of(given.get("copies", "")):
        place, *words = [part.strip() for part in line.split(",")]
        odd = [word for word in words if word not in ("offsite", "unchangeable")]
        if odd:
            raise Trouble(
                f"{odd[0]!r} says nothing about a copy", "Write for example: NAS, or: cloud, offsite."
            )
        found.append(Place(place, offsite="offsite" in words, unchangeable="unchangeable" in words))
    return found


def _written(one: Place) -> str:
    return one.place + ", offsite" * one.offsite + ", unchangeable" * one.unchangeable


def _whole(given: QueryDict, name: str, what: str) -> int | None:
    text = given.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Trouble(f"{what} is a whole number, not {text[:40]!r}", "Correct this field of the plan.")
    return int(text)


def _seconds(given: QueryDict, name: str, what: str) -> int | None:
    number = _whole(given, name, what)
    unit = given.get(f"{name}_unit", str(HOUR_S))
    return None if number is None else number * (int(unit) if unit in ("60", "3600", "86400") else HOUR_S)


def _as_given(row: BackupPlan) -> QueryDict:
    """A plan as its form would say it."""
    terms = actions.terms_of(row)
    said = QueryDict(mutable=True)
    for name in ("name", "repository"):
        said[name] = getattr(terms, name)
    said["sources"] = "\n".join(terms.sources)
    for name, seconds in (("every", terms.every_s), ("grace", terms.grace_s), ("rto", terms.rto_s)):
        number, unit = _in_unit(seconds)
        said[name], said[f"{name}_unit"] = (str(number) if number else ""), str(unit)
    for work in CADENCES:
        said[f"every_{work}"] = str(terms.cadences.get(work, 0))
    for one in fields(Keep):
        value = getattr(terms.keep, one.name, 0)
        if one.name in KEEP_FIELDS and terms.keep is not None:
            said[f"keep_{one.name}"] = str(value)
    for name in ("slices", "least_files", "least_size", "credit_after_days"):
        value = getattr(terms, name)
        said[name] = "" if value is None else str(value)
    said["credit_minor"] = str(terms.credit_minor or "")
    said["sandbox_gib"] = str(terms.sandbox_max // GIB or "")
    said["copies"] = "\n".join(_written(one) for one in terms.copies)
    for name, value in terms.settings.items():
        said[f"setting_{name}"] = _said(value)
    said["collector"], said["elsewhere"] = row.collector_id or "", row.elsewhere_id or ""
    return said


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(value)
    return ("yes" if value else "no") if isinstance(value, bool) else "" if value is None else str(value)


def _in_unit(seconds: int) -> tuple[int, int]:
    for unit in (DAY_S, HOUR_S):
        if seconds and seconds % unit == 0:
            return seconds // unit, unit
    return seconds // 60, 60 if seconds else HOUR_S


def _watched_by(request: Asked, asset: Asset) -> str:
    """The collector that was chosen; the machine's own agent where that was, "" when it has none."""
    chosen = request.POST.get("collector", "")
    if chosen != OWN_AGENT:
        return chosen
    return _own_agent(estate.list_collectors(request.scope, client=asset.client_id), asset)


def _own_agent(collectors: Iterable[Collector], asset: Asset) -> str:
    return next((one.pk for one in collectors if one.asset_id == asset.pk), "")


def _form(
    request: Asked,
    *,
    asset: Any,
    spec: Spec,
    given: QueryDict,
    plan: BackupPlan | None = None,
    status: int = 200,
) -> HttpResponse:
    scope = request.scope
    collectors = estate.list_collectors(scope, client=asset.client_id) if asset else []
    own = _own_agent(collectors, asset) if asset else OWN_AGENT
    works = []
    for work in CADENCES:
        if work in spec.produces:
            chosen = given.get(f"every_{work}", str(CADENCES[work] if work != "elsewhere" else 0))
            known = {str(seconds): words for seconds, words in CADENCE_CHOICES.items()}
            choices = known if chosen in known else {**known, chosen: f"every {chosen} s"}
            works.append((work, WORK_TITLES[work], LEVEL_OF_WORK[work], choices, chosen))
    context = {
        "nav": "backups",
        "asset": asset,
        "assets": [] if asset else estate.list_assets(scope, limit=ASSETS_SHOWN),
        "plan": plan,
        "spec": spec,
        "tools": actions.tools(),
        "given": given,
        "settings": [(one, given.get(f"setting_{one.name}", _said(one.default))) for one in spec.settings],
        "collectors": collectors,
        "watched_by": own if given.get("collector") in (None, OWN_AGENT) else given["collector"],
        "own_agent": "" if asset else OWN_AGENT,
        "works": works,
        "keep": [(name, given.get(f"keep_{name}", "")) for name in KEEP_FIELDS],
        "can_prove": ", ".join(
            f"L{LEVEL_OF_WORK[work]} {LEVEL_NAMES[LEVEL_OF_WORK[work]]}"
            for work in LEVEL_OF_WORK
            if work in spec.produces
        ),
        "levels": [work for work in LEVEL_OF_WORK if work in spec.produces],
        "units": {"3600": "hours", "86400": "days", "60": "minutes"},
    }
    return render(request, "console/backup_form.html", context, status=status)
