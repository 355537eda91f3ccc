"""Setting up the desk: service levels, queues, templates, recurring tickets. Who may: service levels, queues
`desk:write`; templates and recurring tickets whoever works on tickets."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.estate import queries as estate
from forestall.estate.models import Client
from forestall.kernel.errors import Trouble
from forestall.tickets import desk_queries, setting_up
from forestall.tickets.decide import PRIORITIES
from forestall.tickets.setting_up import RecurringTerms, Wrong
from forestall.tickets.values import IMPACTS, URGENCIES
from forestall.web.access.gate import needs
from forestall.web.console import desk_forms
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404

Wrongs = dict[str, str]


@needs("tickets:read")
def levels(request: Asked) -> HttpResponse:
    """Service levels, and the form of a new one."""
    given: Mapping[str, Any] = desk_forms.NEW_LEVEL
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "desk:write"):
        given = request.POST

        def keep() -> None:
            terms = desk_forms.level_given(request.POST)
            client = _client(request)
            setting_up.keep_level(request.scope, terms, client=client, now=timezone.now())

        if (wrong := _tried(request, keep, "Kept. New tickets have it.")) is None:
            return redirect("desk-levels")
    context = {
        "rows": [(row, _week(row.hours)) for row in desk_queries.list_levels(request.scope)],
        "given": given, "wrong": wrong, **_level_fields(given, wrong),
    }  # fmt: skip
    return _page(request, "desk_levels.html", "levels", context)


@needs("tickets:read")
def level_page(request: Asked, service_level: str) -> HttpResponse:
    """One service level: change or retire it."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: desk_queries.get_level(scope, service_level))
    given: Mapping[str, Any] = desk_forms.level_as_given(row)
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "desk:write"):
        if request.POST.get("do") == "retire":
            done = f"{row.name} is retired. Open tickets keep it until they are done."
            attempt(request, lambda: setting_up.retire_level(scope, service_level, now=now), done)
            return redirect("desk-levels")
        given = request.POST
        wrong = _tried(
            request,
            lambda: setting_up.keep_level(scope, desk_forms.level_given(given), level=service_level, now=now),
            "Changed. Open tickets follow from the next thing that happens on them.",
        )
        if wrong is None:
            return redirect("desk-levels")
    context = {"row": row, "given": given, "wrong": wrong, **_level_fields(given, wrong)}
    return _page(request, "desk_level.html", "levels", context)


@needs("tickets:read")
def queues(request: Asked) -> HttpResponse:
    """Queues: add, rename, order, retire."""
    scope, given, now = request.scope, request.POST, timezone.now()
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "desk:write"):
        queue = given.get("queue", "")
        if given.get("do") == "retire":
            attempt(request, lambda: setting_up.retire_queue(scope, queue, now=now), "Retired.")
            return redirect("desk-queues")
        wrong = _tried(
            request,
            lambda: setting_up.keep_queue(
                scope, name=given.get("name", ""), position=_whole(given.get("position", "0")), queue=queue,
                now=now,
            ),
            "Kept.",
        )  # fmt: skip
        if wrong is None:
            return redirect("desk-queues")
    context = {"rows": desk_queries.list_queues(scope), "given": given, "wrong": wrong,
               "changed": given.get("queue", "")}  # fmt: skip
    return _page(request, "desk_queues.html", "queues", context)


@needs("tickets:read")
def templates(request: Asked) -> HttpResponse:
    """Templates, and the form of a new one."""
    given: Mapping[str, Any] = {"impact": "3", "urgency": "2"}
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "tickets:write"):
        given = request.POST

        def keep() -> None:
            terms = desk_forms.template_given(given)
            setting_up.keep_template(request.scope, terms, client=_client(request), now=timezone.now())

        if (wrong := _tried(request, keep, "Kept. It is offered for new tickets.")) is None:
            return redirect("desk-templates")
    rows = desk_queries.list_templates(request.scope).select_related("client", "queue")
    context = {"rows": rows, "given": given, "wrong": wrong, **_template_fields(request)}
    return _page(request, "desk_templates.html", "templates", context)


@needs("tickets:read")
def template_page(request: Asked, ticket_template: str) -> HttpResponse:
    """One template: change or retire it."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: desk_queries.get_template(scope, ticket_template))
    given: Mapping[str, Any] = desk_forms.template_as_given(row)
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "tickets:write"):
        if request.POST.get("do") == "retire":
            attempt(request, lambda: setting_up.retire_template(scope, ticket_template, now=now), "Retired.")
            return redirect("desk-templates")
        given, terms = request.POST, desk_forms.template_given(request.POST)
        wrong = _tried(
            request,
            lambda: setting_up.keep_template(scope, terms, template=ticket_template, now=now),
            "Changed.",
        )
        if wrong is None:
            return redirect("desk-templates")
    context = {"row": row, "given": given, "wrong": wrong, **_template_fields(request)}
    return _page(request, "desk_template.html", "templates", context)


@needs("tickets:read")
def recurring_list(request: Asked) -> HttpResponse:
    """Recurring tickets, and the form of a new one."""
    scope, given = request.scope, request.POST
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "tickets:write"):

        def keep() -> None:
            client = seen_or_404(lambda: estate.find_client(scope, _client(request, needed=True)))
            terms = _recurring_given(request, client)
            setting_up.keep_recurring(scope, terms, client=client.pk, now=timezone.now())

        if (wrong := _tried(request, keep, "Kept.")) is None:
            return redirect("desk-recurring")
    context = {
        "rows": desk_queries.list_recurring(scope), "given": given, "wrong": wrong, "every": desk_forms.EVERY,
        "templates": desk_queries.list_templates(scope).select_related("client"),
    }  # fmt: skip
    return _page(request, "desk_recurring.html", "recurring", context)


@needs("tickets:read")
def recurring_page(request: Asked, recurring: str) -> HttpResponse:
    """One recurring ticket: change or end it."""
    scope, now = request.scope, timezone.now()
    row = seen_or_404(lambda: desk_queries.get_recurring(scope, recurring))
    given: Mapping[str, Any] = desk_forms.recurring_as_given(row)
    wrong: Wrongs = {}
    if request.method == "POST" and _may(request, "tickets:write"):
        if request.POST.get("do") == "end":
            done = "Ended. Tickets that it opened stay."
            attempt(request, lambda: setting_up.end_recurring(scope, recurring, now=now), done)
            return redirect("desk-recurring")
        given = request.POST

        def keep() -> None:
            terms = _recurring_given(request, row.client)
            setting_up.keep_recurring(scope, terms, recurring=recurring, now=now)

        if (wrong := _tried(request, keep, "Changed.")) is None:
            return redirect("desk-recurring")
    fitting = [
        one
        for one in desk_queries.list_templates(scope).select_related("client")
        if one.client_id in (None, row.client_id)
    ]
    context = {"row": row, "given": given, "wrong": wrong, "every": desk_forms.EVERY, "templates": fitting}
    return _page(request, "desk_recurring_one.html", "recurring", context)


def _page(request: Asked, name: str, tab: str, context: Mapping[str, Any]) -> HttpResponse:
    wrong = context["wrong"]
    clients = estate.list_clients(request.scope, limit=20)
    more = {"nav": "desk", "tab": tab, "wrong": wrong or {}, "clients": clients}
    return render(request, f"console/{name}", {**context, **more}, status=422 if wrong else 200)


def _tried(request: Asked, action: Callable[[], Any], done: str) -> Any:
    """None when it was done; else what was wrong by field ("" for what is of no field)."""
    said: Wrongs = {}

    def act() -> None:
        try:
            action()
        except Wrong as wrong:
            said.update(wrong.fields)
            raise Trouble("nothing is kept yet", "See the fields that are marked.") from wrong

    return None if attempt(request, act, done) else said or {"": "wrong"}


def _may(request: Asked, right: str) -> bool:
    if right in request.rights:
        return True
    messages.error(request, "You may look at this, not change it. Ask an owner or a service manager.")
    return False


def _client(request: Asked, *, needed: bool = False) -> str:
    try:
        found = client_given(request.scope, request.POST)
    except Trouble as trouble:
        raise Wrong({"client": f"{trouble}"}) from trouble
    if needed and not found:
        raise Wrong({"client": "Choose the client."})
    return found


def _recurring_given(request: Asked, client: Client) -> RecurringTerms:
    given = request.POST
    asset = None
    if name := given.get("asset_name", "").strip():
        named = estate.assets_named(request.scope, name, client=client.pk)
        if len(named) != 1:
            raise Wrong(
                {"asset_name": f"{len(named)} assets of {client.name} have this name. Write another."}
            )
        asset = named[0].pk
    return RecurringTerms(
        template=given.get("ticket_template", ""), every=given.get("every", ""), asset=asset,
        next_at=desk_forms.next_given(given, client.timezone),
    )  # fmt: skip


def _level_fields(given: Mapping[str, Any], wrong: Wrongs | None) -> dict[str, Any]:
    wrong = wrong or {}

    def of(name: str) -> tuple[str, Any, str]:
        return name, given.get(name, ""), wrong.get(name, "")

    return {
        "days": [(day, *of(f"hours_{at}")) for at, day in enumerate(desk_forms.DAYS)],
        "targets": [
            (priority, (of(f"first_{priority}"), of(f"solve_{priority}"))) for priority in PRIORITIES
        ],
    }


def _template_fields(request: Asked) -> dict[str, Any]:
    queues = desk_queries.list_queues(request.scope)
    return {"impacts": IMPACTS, "urgencies": URGENCIES, "queues": queues}


def _week(hours: list[list[list[int]]]) -> list[tuple[str, str]]:
    days = [(day[:3], desk_forms.say_hours(one)) for day, one in zip(desk_forms.DAYS, hours, strict=False)]
    return [(day, said) for day, said in days if said]


def _whole(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
