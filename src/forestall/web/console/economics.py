"""The pages of economics: who earns and who costs, a client, rules, prevention, costs, the owner's month."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.agreements.calendar import Month, month_of, read_month
from forestall.agreements.money import read_amount, written
from forestall.economics import actions, queries
from forestall.economics.decide import rule_proposal
from forestall.economics.document import month_pdf
from forestall.economics.owner import OwnersMonth, owners_month
from forestall.economics.reasons import figures_of
from forestall.economics.values import MonthSum
from forestall.estate.queries import list_people, provider
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.kernel.errors import Trouble
from forestall.tickets.values import COST_CLASSES
from forestall.web.access.gate import needs
from forestall.web.console.billing_forms import Read
from forestall.web.console.common import Asked, attempt, seen_or_404
from forestall.web.console.economics_tables import TABLES, as_csv

SHOWN = 100
SPANS = {"1": 1, "3": 3, "12": 12}


@dataclass(frozen=True, slots=True)
class Bar:
    """A month of the chart: heights 0 to 60 of fee and cost, and the same in words."""

    month: str
    x: int
    fee: int
    cost: int
    title: str
    loses: bool


def span_asked(request: Asked) -> tuple[str, str, str]:
    """First and last month, and the number of months that was chosen: whole months before this one."""
    chosen = request.GET.get("months", "12")
    chosen = chosen if chosen in SPANS else "12"
    last = month_of(timezone.now().date()).before
    return str(last.moved(1 - SPANS[chosen])), str(last), chosen


def shared(request: Asked, tab: str) -> dict[str, Any]:
    """What every page of economics shows."""
    since, until, chosen = span_asked(request)
    return {
        "nav": "economics",
        "tab": tab,
        "since": since,
        "until": until,
        "chosen": chosen,
        "spans": SPANS,
        "currency": queries.currency(request.scope),
        "at": queries.reckoned_at(request.scope),
    }


@needs("economics:read")
def economics_page(request: Asked) -> HttpResponse:
    """Clients, those that lose most first, with the reason of each loss."""
    context = shared(request, "clients")
    lines = queries.client_lines(request.scope, context["since"], context["until"])
    losing = [one for one in lines if one.sums.left_minor < 0][:SHOWN]
    total = queries.total_of(request.scope, lines)
    start = request.GET.get("start", "")
    begin = min(int(start), 1_000_000) if start.isdecimal() else 0
    context |= {
        "lines": lines[begin : begin + SHOWN],
        "count": len(lines),
        "total": total,
        "figures": figures_of(total, context["currency"]),
        "reasons": queries.why(request.scope, losing[:10], context["since"], context["until"]),
        "losing": len(losing),
        "other": queries.other_currencies(request.scope, context["since"], context["until"]),
        "next": begin + SHOWN if len(lines) > begin + SHOWN else None,
        "has_rates": bool(queries.list_rates(request.scope)) or not request.scope.everything,
    }
    return render(request, "console/economics.html", context)


@needs("economics:read")
def economics_client(request: Asked, client: str) -> HttpResponse:
    """One client: every figure with its formula, months, agreements, kinds, rules, who worked."""
    row = seen_or_404(lambda: queries.find_client(request.scope, client))
    context = shared(request, "clients")
    span = (context["since"], context["until"])
    months = queries.months_of(request.scope, row.pk, *span)
    line = next((one for one in queries.client_lines(request.scope, *span) if one.client == row.pk), None)
    sums = line.sums if line else MonthSum(months=0)
    reasons = queries.why(request.scope, [line], *span).get(row.pk, []) if line else []
    rules = queries.rules_of(request.scope, *span, client=row.pk)
    context |= {
        "client": row,
        "sums": sums,
        "figures": figures_of(sums, context["currency"]),
        "reasons": reasons,
        "bars": bars(months, context["currency"]),
        "width": len(months) * 40,
        "agreements": queries.agreements_of(request.scope, row.pk, *span),
        "kinds": queries.kinds_of(request.scope, *span, client=row.pk).get(row.pk, []),
        "rules": [(one, rule_proposal(one)) for one in rules[:SHOWN]],
        "people": queries.people_of(request.scope, row.pk, *span),
        "classes": COST_CLASSES,
        "titles": ASSET_KINDS,
        "other": queries.other_currencies(request.scope, *span, client=row.pk),
    }
    return render(request, "console/economics_client.html", context)


def bars(months: Sequence[tuple[str, MonthSum]], currency: str) -> list[Bar]:
    """Fee and cost of each month, drawn to the largest of them."""
    most = max((max(one.recurring_minor, one.cost_minor) for _, one in months), default=0) or 1
    return [
        Bar(
            month,
            place * 40,
            max(0, one.recurring_minor * 60 // most),
            one.cost_minor * 60 // most,
            f"{month}: fee {written(one.recurring_minor, currency)},"
            f" cost {written(one.cost_minor, currency)}",
            one.left_minor < 0,
        )
        for place, (month, one) in enumerate(months)
    ]


@needs("economics:read")
def economics_rules(request: Asked) -> HttpResponse:
    """What each alert rule costs and leads to, and what to do about it."""
    context = shared(request, "rules")
    rules = queries.rules_of(request.scope, context["since"], context["until"])
    context |= {"rules": [(one, rule_proposal(one)) for one in rules[:SHOWN]]}
    return render(request, "console/economics_rules.html", context)


@needs("economics:read")
def economics_ahead(request: Asked) -> HttpResponse:
    """What to do next in money: prevention ranked, and renewals at risk."""
    context = shared(request, "ahead")
    now = timezone.now()
    span = (context["since"], context["until"])
    context |= {
        "work": queries.prevention(request.scope, *span, now=now),
        "risks": queries.renewals_at_risk(request.scope, *span, today=now.date())[:SHOWN],
    }
    return render(request, "console/economics_ahead.html", context)


@needs("economics:read")
def economics_costs(request: Asked) -> HttpResponse:
    """What hours and tools cost; owners enter it."""
    context = shared(request, "costs") | {
        "rates": queries.list_rates(request.scope),
        "prices": queries.list_prices(request.scope),
        "tools": queries.list_tools(request.scope),
        "people": _staff(request.scope),
        "classes": COST_CLASSES,
        "bases": actions.BASES,
        "kinds": ASSET_KINDS,
        "today": timezone.now().date(),
    }
    return render(request, "console/economics_costs.html", context)


def _staff(scope: Scope) -> list[Any]:
    return [one for one in list_people(scope) if one.role != "client_contact"] if scope.everything else []


@needs("economics:write")
def economics_cost_add(request: Asked, what: str) -> HttpResponse:
    """A rate, a price or a tool, from a day on."""
    given, now = request.POST, timezone.now()

    def act() -> None:
        read = Read(given)
        day = read.day("from_on")
        if day is None or read.wrong:
            raise Trouble("it needs the day from which it holds", "Write it as 2026-11-01.")
        code = given.get("currency", "") or queries.currency(request.scope)
        amount = read_amount(given.get("amount", ""), code, what="the cost")
        if what == "rate":
            actions.add_rate(
                request.scope,
                person=given.get("person", ""),
                cost_class=given.get("class", ""),
                from_on=day,
                per_hour_minor=amount,
                currency=code,
                now=now,
            )
        elif what == "price":
            actions.add_price(request.scope, from_on=day, per_hour_minor=amount, currency=code, now=now)
        elif what == "tool":
            actions.add_tool(
                request.scope,
                name=given.get("name", ""),
                basis=given.get("basis", ""),
                kinds=[one for one in [given.get("kind", "")] if one],
                from_on=day,
                per_month_minor=amount,
                currency=code,
                now=now,
            )
        else:
            raise Http404

    attempt(request, act, "Entered. Reckon the months again to see what it changes.")
    return redirect("economics-costs")


@needs("economics:write")
def economics_cost_withdraw(request: Asked, what: str) -> HttpResponse:
    """Take a cost back."""
    key = request.POST.get("key", "")[:20]
    if not actions.withdraw(request.scope, what, key, now=timezone.now()):
        raise Http404
    messages.success(request, "Withdrawn. Reckon the months again to see what it changes.")
    return redirect("economics-costs")


@needs("economics:write")
def economics_reckon(request: Asked) -> HttpResponse:
    """Reckon the last twelve whole months and this one anew."""
    this = month_of(timezone.now().date())
    found: list[int] = []
    attempt(
        request,
        lambda: found.append(
            actions.reckon(request.scope, [this.moved(-step) for step in range(13)], now=timezone.now())
        ),
    )
    if found:
        messages.success(request, f"{found[0]} client months are reckoned anew.")
    return redirect("economics")


@needs("economics:read")
def owner_month(request: Asked, reckoned_month: str) -> HttpResponse:
    """The owner's month: what was earned, what was lost where, what to do about it."""
    month = month_or_404(reckoned_month)
    context = shared(request, "month") | {
        "page": owner_of(request.scope, month),
        "month": month,
        "before": month.before,
        "after": month.after,
    }
    return render(request, "console/economics_month.html", context)


@needs("economics:read")
def owner_month_pdf(request: Asked, reckoned_month: str) -> HttpResponse:
    """The same as a document."""
    month = month_or_404(reckoned_month)
    data = month_pdf(owner_of(request.scope, month), provider=provider(request.scope).name)
    name = f'attachment; filename="month-{month}.pdf"'
    return HttpResponse(data, content_type="application/pdf", headers={"Content-Disposition": name})


def month_or_404(period: str) -> Month:
    """A month of an address."""
    try:
        return read_month(period)
    except Trouble:
        raise Http404 from None


def owner_of(scope: Scope, month: Month) -> OwnersMonth:
    """The owner's page of a month."""
    return owners_month(scope, month, now=timezone.now())


@needs("economics:read")
def economics_csv(request: Asked, table: str) -> HttpResponse:
    """A table as CSV; a cell that a spreadsheet would run as a formula begins with an apostrophe."""
    make = TABLES.get(table)
    if make is None:
        raise Http404
    since, until, _ = span_asked(request)
    text = as_csv(make(request.scope, since, until))
    name = f'attachment; filename="{table}-{since}-{until}.csv"'
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})
