"""The pages of problems: what recurs, one problem with suspects and fix, what to prevent, what is known."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.findings import queries as findings
from forestall.judge.prevention import try_rule, write_rule
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.problems import actions, queries
from forestall.problems.models import Problem
from forestall.problems.values import STATUSES
from forestall.telemetry import read
from forestall.telemetry.client import StoreRefused, StoreUnavailable
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404
from forestall.web.telemetry import clients_of_scope, store

TRIED_WITHIN = timedelta(days=90)
POINTS_MOST = 20_000  # of a series that a rule is tried on
MONTH = timedelta(days=30)
SHOWN = 50


@needs("tickets:read")
def problem_list(request: Asked) -> HttpResponse:
    """What recurs; proposals and open ones first of all."""
    given = request.GET
    status = given.get("status", "live")
    status = status if status in ("live", "", *STATUSES) else "live"
    page = queries.list_problems(request.scope, status=status, after=given.get("after") or None)
    context = {
        "nav": "problems",
        "page": page,
        "status": status,
        "statuses": STATUSES,
        "rates": queries.came_back_rates(request.scope),
    }
    return render(request, "console/problems.html", context)


@needs("tickets:read")
def problem_page(request: Asked, problem: str) -> HttpResponse:
    """One problem: its times, suspects, fix and watch, and its timeline."""
    row = seen_or_404(lambda: queries.find_problem(request.scope, problem))
    page = queries.page_of(request.scope, row, now=timezone.now())
    context = {"nav": "problems", "page": page, "problem": row}
    return render(request, "console/problem.html", context)


@needs("tickets:write")
def problem_change(request: Asked, problem: str, what: str) -> HttpResponse:
    """Take or dismiss it; hypotheses, cause, fix, article; join and part; try a rule."""
    given, scope, now = request.POST, request.scope, timezone.now()
    row = seen_or_404(lambda: queries.find_problem(scope, problem))
    doings: dict[str, Callable[[], Any]] = {
        "open": lambda: actions.set_status(scope, row.pk, status="open", now=now),
        "dismiss": lambda: actions.set_status(scope, row.pk, status="dismissed", now=now),
        "hypothesis": lambda: actions.add_hypothesis(scope, row.pk, text=given.get("text", ""), now=now),
        "describe": lambda: actions.describe(
            scope,
            row.pk,
            root_cause=given.get("root_cause"),
            workaround=given.get("workaround"),
            lesson=given.get("lesson"),
            now=now,
        ),
        "fix": lambda: actions.fix_problem(
            scope, row.pk, what=given.get("action", ""), change=given.get("change", ""), now=now
        ),
        "article": lambda: actions.write_article(
            scope,
            client=row.client_id,
            key=row.key,
            title=given.get("title", ""),
            text=given.get("text", ""),
            now=now,
        ),
        "join": lambda: actions.join_ticket(scope, row.pk, number=given.get("number", ""), now=now),
        "part": lambda: actions.part_kind(scope, row.pk, key=given.get("key", ""), now=now),
        "try": lambda: messages.success(request, _tried(request, row, given, now)),
    }
    if what in doings:
        attempt(request, doings[what])
    return redirect("problem", problem=row.pk)


@needs("tickets:write")
def hypothesis_change(request: Asked, hypothesis: str, what: str) -> HttpResponse:
    """Confirm or refute it."""
    row = seen_or_404(lambda: queries.find_hypothesis(request.scope, hypothesis))
    attempt(
        request,
        lambda: actions.decide_hypothesis(request.scope, row.pk, state=what, now=timezone.now()),
    )
    return redirect("problem", problem=row.problem_id)


@needs("tickets:write")
def problem_open(request: Asked, ticket: str) -> HttpResponse:
    """The problem behind a ticket, opened by hand."""
    made: list[Problem] = []
    now = timezone.now()
    done = attempt(request, lambda: made.append(actions.open_problem(request.scope, ticket=ticket, now=now)))
    return redirect("problem", problem=made[0].pk) if done else redirect("ticket", ticket=ticket)


@needs("tickets:read")
def prevention(request: Asked) -> HttpResponse:
    """Preventive work by the effort that it is expected to avoid, and what was prevented lately."""
    now = timezone.now()
    context = {
        "nav": "prevention",
        "work": queries.preventive_work(request.scope, now=now, most=SHOWN),
        "scored": queries.scored(request.scope, most=SHOWN),
        "prevented": findings.prevented(request.scope, since=now - MONTH, until=now, most=SHOWN),
    }
    return render(request, "console/prevention.html", context)


@needs("tickets:read")
def knowledge(request: Asked) -> HttpResponse:
    """What is known, the last written first."""
    context = {"nav": "knowledge", "articles": queries.list_articles(request.scope)}
    return render(request, "console/knowledge.html", context)


def _tried(request: Asked, row: Problem, given: Mapping[str, str], now: datetime) -> str:
    """The words of a trial, with the rule as a pack has it. Raises Trouble for what cannot be tried."""
    if row.asset_id is None:
        raise Trouble("this problem has no asset", "A rule is tried on the series of one asset.")
    metric, item = given.get("metric", "").strip(), given.get("item", "").strip()
    above = given.get("side", "above") == "above"
    try:
        limit = float(given.get("limit", ""))
        for_s = max(0, int(given.get("minutes", "0") or "0")) * 60
    except ValueError:
        raise Trouble("the limit is no number", "Write it like 0.9 or 800, and the minutes like 5.") from None
    if not re.fullmatch(r"[a-z0-9_.]{1,128}", metric):
        raise Trouble("that is no metric", "Take its name from the asset's page, like http.latency_ms.")
    since = now - TRIED_WITHIN
    try:
        found = read.read_series(
            store(),
            clients_of_scope(request.scope.narrowed(row.client_id)),
            asset=to_number(row.asset_id),
            metric=metric,
            item=item,
            from_ms=to_ms(since),
            to_ms=to_ms(now),
            pixels=POINTS_MOST,
        )
    except (StoreUnavailable, StoreRefused) as error:
        raise Trouble("the store does not answer", "Try it again in a minute.") from error
    onsets = [to_ms(at) for at in queries.onsets_of(request.scope, row, since=since)]
    values = found.high if above else found.low
    trial = try_rule(found.at_ms, values, onsets, limit=limit, above=above, for_ms=for_s * 1000)
    name = f"made-{row.pk.lower()[-6:]}"
    rule = write_rule(name, metric, limit=limit, above=above, for_s=for_s, why=row.root_cause or row.title)
    return f"This rule {trial.text}.\n{rule}"
