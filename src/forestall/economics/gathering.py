"""Facts of clients and months: invoices, effort, tickets, alerts and the estate, in a few queries."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from forestall.agreements.calendar import Month, first_instant, local_day, month_of
from forestall.agreements.counting import things_of
from forestall.agreements.decide import there_on
from forestall.agreements.values import Basis
from forestall.alerts.models import Alert
from forestall.economics.models import CostRate, HourlyPrice, ToolCost
from forestall.economics.values import (
    ACTIONS,
    PLANNED,
    Costs,
    Earned,
    Facts,
    Price,
    Rate,
    Spent,
    Tool,
    Touched,
)
from forestall.estate.models import Client
from forestall.estate.tenancy import Scope
from forestall.findings.gate import seen
from forestall.invoices.queries import revenue
from forestall.tickets.models import Effort, Entry, Link, Ticket

CURRENCY = "EUR"  # of an installation in which nobody entered what an hour costs
READ_AT_ONCE = 5_000


@dataclass(slots=True)
class Gathered:
    """(client, month) → facts; (client, month) → rule → [alerts, told, acted]."""

    facts: dict[tuple[str, str], Facts] = field(default_factory=dict)
    rules: dict[tuple[str, str], dict[str, list[int]]] = field(default_factory=dict)


def costs_now(scope: Scope) -> Costs:
    """Everything that was entered; the provider's own, so `scope` is not asked."""
    rates = [
        Rate(one.person_id or "", one.cost_class, one.from_on, one.per_hour_minor)
        for one in CostRate.objects.all()
    ]
    prices = [Price(one.from_on, one.per_hour_minor) for one in HourlyPrice.objects.all()]
    tools = [
        Tool(one.name, one.basis, tuple(one.kinds), one.from_on, one.until_on, one.per_month_minor)
        for one in ToolCost.objects.all()
    ]
    return Costs(currency_now(), tuple(rates), tuple(prices), tuple(tools))


def currency_now() -> str:
    """The currency in which costs were entered."""
    for table in (CostRate, ToolCost, HourlyPrice):
        found = table._default_manager.values_list("currency", flat=True).first()
        if found:
            return str(found)
    return CURRENCY


def gather(scope: Scope, clients: Sequence[Client], months: Sequence[Month], *, now: datetime) -> Gathered:
    """Facts of every client in every month; a month begins and ends in the client's time zone."""
    zones = {one.pk: one.timezone or "UTC" for one in clients}
    wanted = {str(one) for one in months}
    since = min(first_instant(months[0].first, zone) for zone in {*zones.values(), "UTC"})
    until = max(first_instant(months[-1].after.first, zone) for zone in {*zones.values(), "UTC"})
    rule_of = _rules_of_tickets(scope, list(zones), since - timedelta(days=90), until)
    spent, touched, earned = (
        _spent(scope, zones, since, until, rule_of, now),
        _touched(scope, zones, since, until),
        (defaultdict[tuple[str, str], list[Earned]](list)),
    )
    for line in revenue(scope, since=months[0].first, until=months[-1].last):
        earned[line.client, line.period].append(
            Earned(line.agreement, line.key, line.kind.value, line.net_minor, line.currency)
        )
    things = things_of(scope, clients)
    found = Gathered(rules=_alerts(scope, zones, since, until))
    for client in clients:
        for month in months:
            place = (client.pk, str(month))
            day = min(month.last, local_day(now, zones[client.pk]))
            there = [one for one in things[client.pk] if there_on(one, day)]
            devices = Counter(one.kind for one in there if one.basis is Basis.DEVICE)
            seats = sum(one.basis is Basis.SEAT for one in there)
            found.facts[place] = Facts(
                tuple(spent[place]), tuple(touched[place]), tuple(earned[place]), dict(devices), seats
            )
    found.rules = {place: rules for place, rules in found.rules.items() if place[1] in wanted}
    return found


def _spent(
    scope: Scope,
    zones: dict[str, str],
    since: datetime,
    until: datetime,
    rule_of: dict[str, str],
    now: datetime,
) -> dict[tuple[str, str], list[Spent]]:
    rows = seen(Effort, scope).filter(client__in=list(zones), started_at__gte=since, started_at__lt=until)
    found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    for owner, ticket, person, cost_class, began, ended, kind, came_by in rows.order_by("pk").values_list(
        "client", "ticket", "person", "cost_class", "started_at", "ended_at",
        "ticket__asset__kind", "ticket__came_by",
    ).iterator(chunk_size=READ_AT_ONCE):  # fmt: skip
        day = local_day(began, zones[owner])
        seconds = max(0, int(((ended or now) - began).total_seconds()))
        found[owner, str(month_of(day))].append(
            Spent(ticket, person, cost_class, day, seconds, kind or "", rule_of.get(ticket, ""),
                  came_by not in PLANNED)
        )  # fmt: skip
    return found


def _touched(
    scope: Scope, zones: dict[str, str], since: datetime, until: datetime
) -> dict[tuple[str, str], list[Touched]]:
    rows = seen(Ticket, scope).filter(client__in=list(zones), opened_at__gte=since, opened_at__lt=until)
    found: dict[tuple[str, str], list[Touched]] = defaultdict(list)
    for pk, owner, came_by, opened, touched, times in rows.order_by("pk").values_list(
        "pk", "client", "came_by", "opened_at", "touched_at", "occurrences"
    ).iterator(chunk_size=READ_AT_ONCE):  # fmt: skip
        month = str(month_of(local_day(opened, zones[owner])))
        found[owner, month].append(Touched(pk, came_by not in PLANNED, touched is not None, times > 1))
    return found


def _rules_of_tickets(scope: Scope, clients: list[str], since: datetime, until: datetime) -> dict[str, str]:
    """Ticket → the rule of its first alert."""
    rows = seen(Link, scope).filter(
        client__in=clients, ticket__opened_at__gte=since, ticket__opened_at__lt=until
    )
    found: dict[str, str] = {}
    rules = _rules_of_alerts(scope, clients, since, until)
    for ticket, alert in (
        rows.order_by("at", "pk").values_list("ticket", "alert").iterator(chunk_size=READ_AT_ONCE)
    ):
        if alert in rules:
            found.setdefault(ticket, rules[alert])
    return found


def _rules_of_alerts(scope: Scope, clients: list[str], since: datetime, until: datetime) -> dict[str, str]:
    """Alert → the rule of the finding that began first."""
    rows = seen(Alert, scope).filter(client__in=clients, opened_at__gte=since, opened_at__lt=until)
    rows = rows.filter(findings__isnull=False).order_by("findings__began_at", "findings__pk")
    found: dict[str, str] = {}
    for alert, rule in rows.values_list("pk", "findings__rule").iterator(chunk_size=READ_AT_ONCE):
        found.setdefault(alert, rule)
    return found


def _alerts(
    scope: Scope, zones: dict[str, str], since: datetime, until: datetime
) -> dict[tuple[str, str], dict[str, list[int]]]:
    clients = list(zones)
    rules = _rules_of_alerts(scope, clients, since, until)
    worked = set(
        seen(Entry, scope)
        .filter(client__in=clients, kind__in=ACTIONS, ticket__opened_at__gte=since)
        .values_list("ticket", flat=True)
    )
    acted = {
        alert
        for alert, ticket in seen(Link, scope)
        .filter(client__in=clients, at__gte=since)
        .values_list("alert", "ticket")
        .iterator(chunk_size=READ_AT_ONCE)
        if ticket in worked
    }
    found: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    rows = seen(Alert, scope).filter(client__in=clients, opened_at__gte=since, opened_at__lt=until)
    for pk, owner, opened, told, times in rows.values_list(
        "pk", "client", "opened_at", "told_at", "occurrence"
    ).iterator(chunk_size=READ_AT_ONCE):  # fmt: skip
        if pk not in rules:
            continue
        counts = found[owner, str(month_of(local_day(opened, zones[owner])))][rules[pk]]
        counts[0] += times
        counts[1] += times if told else 0
        counts[2] += times if pk in acted else 0
    return found
