"""Every read of economics, tenant-scoped: reckoned months, summed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, QuerySet, Sum

from forestall.agreements.calendar import Month, month_of, renewal
from forestall.agreements.queries import list_agreements, terms_by_agreement
from forestall.economics.actions import SUMS
from forestall.economics.decide import added, rule_sums
from forestall.economics.gathering import currency_now
from forestall.economics.models import ClientMonth, CostRate, HourlyPrice, RuleMonth, ToolCost, WorkMonth
from forestall.economics.reasons import risk_of, why_it_loses
from forestall.economics.values import RISK_DAYS, KindSum, MonthSum, Portrait, Reason, Risk, RuleSum
from forestall.estate.models import Client
from forestall.estate.tenancy import Scope
from forestall.problems.queries import Work, preventive_work

ROWS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class ClientLine:
    """A client's sums over the months asked for."""

    client: str
    name: str
    sums: MonthSum


@dataclass(frozen=True, slots=True)
class Prevented:
    """Preventive work in money: what it is expected to avoid, by what an hour of that client costs."""

    work: Work
    avoided_minor: int | None


def currency(scope: Scope) -> str:
    """In which economics reckons: that of the entered costs."""
    return currency_now()


def months_reckoned(scope: Scope) -> list[str]:
    """Months that were reckoned, the newest first."""
    rows = ClientMonth.objects.of(scope).order_by("-month")
    return list(rows.values_list("month", flat=True).distinct()[:120])


def reckoned_at(scope: Scope) -> datetime | None:
    """Since when all of the newest month stands as it is shown, or None."""
    rows = ClientMonth.objects.of(scope).order_by("-month", "reckoned_at")
    return rows.values_list("reckoned_at", flat=True).first()


def client_lines(scope: Scope, since: str, until: str) -> list[ClientLine]:
    """Clients with anything in these months, those that lose most first."""
    rows = _months(ClientMonth.objects.of(scope), since, until).order_by()
    summed = rows.values("client", "client__name").annotate(
        **{name: Sum(name) for name in SUMS}, months=Count("pk")
    )
    found = [
        ClientLine(row["client"], row["client__name"], _sums(row))
        for row in summed
        if row["recurring_minor"] or row["seconds"] or row["once_minor"] or row["tools_minor"]
    ]
    return sorted(found, key=lambda one: (one.sums.left_minor, one.name))


def total_of(scope: Scope, lines: Sequence[ClientLine]) -> MonthSum:
    """All of them together."""
    return added([one.sums for one in lines])


def other_currencies(scope: Scope, since: str, until: str, *, client: str = "") -> dict[str, int]:
    """Currency → fees in it: they are compared with nothing, because no rate of exchange is known."""
    rows = _months(ClientMonth.objects.of(scope), since, until).exclude(other={})
    rows = rows.filter(client=client) if client else rows
    found: dict[str, int] = defaultdict(int)
    for other in rows.values_list("other", flat=True)[:ROWS_MAX]:
        for code, minor in other.items():
            found[code] += minor
    return dict(found)


def months_of(scope: Scope, client: str, since: str, until: str) -> list[tuple[str, MonthSum]]:
    """One client's months, the oldest first."""
    rows = _months(ClientMonth.objects.of(scope), since, until).filter(client=client).order_by("month")
    return [(row["month"], _sums(row | {"months": 1})) for row in rows.values("month", *SUMS)[:120]]


def months_of_all(scope: Scope, since: str, until: str) -> list[tuple[str, MonthSum]]:
    """Months over all clients, the oldest first."""
    rows = _months(ClientMonth.objects.of(scope), since, until).order_by("month").values("month")
    summed = rows.annotate(**{name: Sum(name) for name in SUMS}, months=Count("pk"))
    return [(row["month"], _sums(row)) for row in summed[:120]]


def agreements_of(scope: Scope, client: str, since: str, until: str) -> list[tuple[Any, MonthSum]]:
    """The client's agreements with their part: fees are their own, work and tools are parted by fee, because
    effort belongs to a ticket and no ticket to an agreement."""
    rows = _months(ClientMonth.objects.of(scope), since, until).filter(client=client)
    fees: dict[str, int] = defaultdict(int)
    for found in rows.values_list("by_agreement", flat=True)[:120]:
        for key, minor in found.items():
            fees[key] += minor
    whole = added([sums for _, sums in months_of(scope, client, since, until)])
    agreed = {one.pk: one for one in list_agreements(scope, client=client)}
    return [(agreed[key], _parted(whole, fee)) for key, fee in sorted(fees.items()) if key in agreed]


def _parted(whole: MonthSum, fee: int) -> MonthSum:
    """The part of an agreement in a client's sums, by its share of the fees."""
    if not whole.recurring_minor:
        return MonthSum(recurring_minor=fee)
    part = fee / whole.recurring_minor
    return MonthSum(
        recurring_minor=fee, work_minor=round(whole.work_minor * part),
        tools_minor=round(whole.tools_minor * part), seconds=round(whole.seconds * part),
        reactive_s=round(whole.reactive_s * part), months=whole.months,
    )  # fmt: skip


def kinds_of(scope: Scope, since: str, until: str, *, client: str = "") -> dict[str, list[KindSum]]:
    """Client → work by kind of asset, the dearest first; "" is work on no asset."""
    rows = _months(WorkMonth.objects.of(scope), since, until).order_by()
    there = _months(ClientMonth.objects.of(scope), since, until)
    if client:
        rows, there = rows.filter(client=client), there.filter(client=client)
    devices: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for owner, held in there.values_list("client", "devices").iterator(chunk_size=2_000):
        for kind, count in held.items():
            devices[owner][kind] += count
    work = {
        (row["client"], row["kind"]): (row["s"], row["c"])
        for row in rows.values("client", "kind").annotate(s=Sum("seconds"), c=Sum("cost_minor"))
    }
    found: dict[str, list[KindSum]] = defaultdict(list)
    for owner, kind in sorted({*work, *((o, k) for o, held in devices.items() for k in held)}):
        found[owner].append(KindSum(kind, *work.get((owner, kind), (0, 0)), devices[owner].get(kind, 0)))
    return {key: sorted(kinds, key=lambda one: -one.cost_minor) for key, kinds in found.items()}


def rules_of(scope: Scope, since: str, until: str, *, client: str = "") -> list[RuleSum]:
    """Rules over all clients (or one): those that cost most without leading to anything first."""
    counted = _months(RuleMonth.objects.of(scope), since, until).order_by()
    worked = _months(WorkMonth.objects.of(scope), since, until).exclude(rule="").order_by()
    if client:
        counted, worked = counted.filter(client=client), worked.filter(client=client)
    return rule_sums(
        {
            row["rule"]: (row["a"], row["t"], row["d"])
            for row in counted.values("rule").annotate(a=Sum("alerts"), t=Sum("told"), d=Sum("acted"))
        },
        {
            row["rule"]: (row["s"], row["c"])
            for row in worked.values("rule").annotate(s=Sum("seconds"), c=Sum("cost_minor"))
        },
    )


def people_of(scope: Scope, client: str, since: str, until: str) -> list[dict[str, Any]]:
    """Work at a client by person and class: what `cost to serve` is made of."""
    rows = _months(WorkMonth.objects.of(scope), since, until).filter(client=client).order_by()
    summed = rows.values("person__name", "cost_class").annotate(
        seconds=Sum("seconds"), cost_minor=Sum("cost_minor")
    )
    return sorted(summed, key=lambda row: (-row["cost_minor"], row["person__name"], row["cost_class"]))


def why(scope: Scope, losing: Sequence[ClientLine], since: str, until: str) -> dict[str, list[Reason]]:
    """Client → why it loses money, for those that do."""
    if not any(one.sums.left_minor < 0 for one in losing):
        return {}
    kinds = kinds_of(scope, since, until)
    portraits = {
        one.client: Portrait(one.client, one.sums, tuple(kinds.get(one.client, ())))
        for one in client_lines(scope, since, until)
    }
    found, code = {}, currency(scope)
    for one in losing:
        if one.sums.left_minor < 0:
            rules = tuple(rules_of(scope, since, until, client=one.client))
            mine = Portrait(one.client, one.sums, tuple(kinds.get(one.client, ())), rules)
            others = [other for key, other in portraits.items() if key != one.client]
            found[one.client] = why_it_loses(mine, others, code)
    return found


def renewals_at_risk(scope: Scope, since: str, until: str, *, today: date) -> list[tuple[Any, Risk]]:
    """Agreements whose renewal is within RISK_DAYS and that lose money, earn little or have much trouble."""
    sums = {one.client: one.sums for one in client_lines(scope, since, until)}
    rows = list_agreements(scope, limit=ROWS_MAX)
    terms = terms_by_agreement(scope, rows, month_of(today))
    found, code = [], currency(scope)
    for row in rows:
        by, agreed = row.ends_on, terms.get(row.pk)
        if by is None and agreed is not None and agreed.term_months:
            term = renewal(
                row.starts_on, months=agreed.term_months, notice_days=agreed.notice_days,
                today=today + timedelta(days=agreed.notice_days),
            )  # fmt: skip
            by = term.notice_by if term else None
        if row.client_id in sums and by is not None and by <= today + timedelta(days=RISK_DAYS):
            risk = risk_of(
                sums[row.client_id], agreement=row.pk, client=row.client_id, by=by, today=today, currency=code
            )
            if risk:
                found.append((row, risk))
    return sorted(found, key=lambda one: (one[1].by, one[0].number))


def prevention(scope: Scope, since: str, until: str, *, now: datetime) -> list[Prevented]:
    """Preventive work by the money that it is expected to avoid: its hours at what an hour costs there."""
    lines = {one.client: one.sums for one in client_lines(scope, since, until)}
    found = []
    for work in preventive_work(scope, now=now):
        sums = lines.get(work.problem.client_id)
        minor = None
        if sums and sums.seconds:
            minor = round(work.expected.total_seconds() * sums.work_minor / sums.seconds)
        found.append(Prevented(work, minor))
    return sorted(found, key=lambda one: (-(one.avoided_minor or 0), one.work.problem.pk))


def find_client(scope: Scope, identifier: str) -> Client | None:
    """The client, or None."""
    return Client.objects.of(scope).filter(pk=identifier).first()


def list_rates(scope: Scope) -> list[CostRate]:
    """What hours cost: for those who see every client."""
    return list(CostRate.objects.select_related("person")[:ROWS_MAX]) if scope.everything else []


def list_prices(scope: Scope) -> list[HourlyPrice]:
    """What hours are offered for."""
    return list(HourlyPrice.objects.all()[:ROWS_MAX])


def list_tools(scope: Scope) -> list[ToolCost]:
    """What tools cost: for those who see every client."""
    return list(ToolCost.objects.all()[:ROWS_MAX]) if scope.everything else []


def span_reckoned(scope: Scope) -> tuple[str, str] | None:
    """The first and the last month that were reckoned, or None."""
    row = ClientMonth.objects.of(scope).order_by().aggregate(first=Min("month"), last=Max("month"))
    return (row["first"], row["last"]) if row["first"] else None


def last_twelve(scope: Scope, *, today: date) -> tuple[Month, Month]:
    """The twelve whole months before this one."""
    last = month_of(today).before
    return last.moved(-11), last


def _sums(row: dict[str, Any]) -> MonthSum:
    return MonthSum(**{name: row[name] or 0 for name in SUMS}, months=row["months"])


def _months(rows: "QuerySet[Any]", since: str, until: str) -> "QuerySet[Any]":
    return rows.filter(month=since) if since == until else rows.filter(month__gte=since, month__lte=until)
