"""The API of economics: months as they were reckoned, summed; rules; the owner's month. Reading alone."""

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema

from forestall.agreements.calendar import Month, month_of, read_month
from forestall.economics import queries
from forestall.economics.decide import pain, rule_proposal
from forestall.economics.owner import owners_month
from forestall.kernel.errors import Trouble
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed

router = Router(tags=["economics"])
READ = May("economics:read")
MONTHS_MAX = 36


class ClientEconomics(Schema):
    """A client over the months; amounts in minor units, `cost_minor` is work and tools, time in seconds.
    `estimated_s` was not logged, is an estimate, and is in no other number."""

    client: str
    name: str
    currency: str
    months: int
    recurring_minor: int
    once_minor: int
    work_minor: int
    tools_minor: int
    cost_minor: int
    left_minor: int
    hourly_minor: int
    margin: float | None
    effective_rate_minor: int | None
    seconds: int
    reactive_s: int
    unrated_s: int
    estimated_s: int
    reactive_hours_per_endpoint: float | None
    pain: int


class RuleEconomics(Schema):
    """An alert rule: alerts, those told, those that led to an action, and what looking at them cost."""

    rule: str
    alerts: int
    told: int
    acted: int
    seconds: int
    cost_minor: int
    currency: str
    proposal: str


class LossOut(Schema):
    """A client that cost more than it paid."""

    client: str
    name: str
    lost: str
    why: str
    do: str


class OwnersMonthOut(Schema):
    """The owner's month in words."""

    month: str
    words: list[str]
    losses: list[LossOut]
    to_do: list[str]
    reckoned_at: datetime | None


def span(since: str, until: str) -> tuple[str, str]:
    """First and last month; without them the twelve whole months before this one. Raises Trouble."""
    last = read_month(until) if until else month_of(timezone.now().date()).before
    first = read_month(since) if since else last.moved(-11)
    if not first <= last < _beyond(first):
        raise Trouble(f"{first} to {last} is no span of months", f"Ask for 1 to {MONTHS_MAX} months.")
    return str(first), str(last)


def _beyond(first: Month) -> Month:
    return first.moved(MONTHS_MAX)


@router.get("/economics/clients", auth=READ, response=Listed[ClientEconomics])
def clients(request: HttpRequest, since: str = "", until: str = "") -> Listed[ClientEconomics]:
    """Clients over some months (`2026-01`), those that lose most first."""
    scope = seen_by(request)
    code = queries.currency(scope)
    found = [
        ClientEconomics(
            client=one.client, name=one.name, currency=code, months=one.sums.months,
            recurring_minor=one.sums.recurring_minor, once_minor=one.sums.once_minor,
            work_minor=one.sums.work_minor, tools_minor=one.sums.tools_minor, cost_minor=one.sums.cost_minor,
            left_minor=one.sums.left_minor, hourly_minor=one.sums.hourly_minor, margin=one.sums.margin,
            effective_rate_minor=one.sums.rate_minor, seconds=one.sums.seconds,
            reactive_s=one.sums.reactive_s, unrated_s=one.sums.unrated_s, estimated_s=one.sums.estimated_s,
            reactive_hours_per_endpoint=one.sums.reactive_per_endpoint, pain=pain(one.sums),
        )
        for one in queries.client_lines(scope, *span(since, until))
    ]  # fmt: skip
    return Listed(items=found, next=None)


@router.get("/economics/rules", auth=READ, response=Listed[RuleEconomics])
def rules(request: HttpRequest, since: str = "", until: str = "") -> Listed[RuleEconomics]:
    """Alert rules over some months, those that cost most for nothing first."""
    scope = seen_by(request)
    code = queries.currency(scope)
    found = [
        RuleEconomics(
            rule=one.rule, alerts=one.alerts, told=one.told, acted=one.acted, seconds=one.seconds,
            cost_minor=one.cost_minor, currency=code, proposal=rule_proposal(one),
        )
        for one in queries.rules_of(scope, *span(since, until))
    ]  # fmt: skip
    return Listed(items=found, next=None)


@router.get("/economics/owner", auth=READ, response=OwnersMonthOut)
def owner(request: HttpRequest, month: str = "") -> OwnersMonthOut:
    """The owner's month (`2026-10`; without one the last whole month), for what the token sees."""
    wanted = read_month(month) if month else month_of(timezone.now().date()).before
    page = owners_month(seen_by(request), wanted, now=timezone.now())
    losses = [
        LossOut(client=one.client, name=one.name, lost=one.lost, why=one.why, do=one.do)
        for one in page.losses
    ]
    return OwnersMonthOut(
        month=page.month, words=page.words, losses=losses, to_do=page.to_do, reckoned_at=page.reckoned_at
    )
