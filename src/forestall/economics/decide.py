"""Cost to serve, margin and their reasons, from facts that were read elsewhere. Pure: no clock, no rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from statistics import median

from forestall.agreements.money import share
from forestall.economics.values import (
    GUESS_S,
    HOUR_S,
    LOGGED_LEAST,
    NOISE_GOOD,
    NOISE_LEAST,
    NOISE_RETIRE,
    ONCE_KEYS,
    OUT_OF_HOURS,
    PAIN_LIMITS,
    PAIN_WEIGHTS,
    Costs,
    Facts,
    Month,
    MonthSum,
    Price,
    Rate,
    RuleSum,
    Spent,
    Tool,
    WorkRow,
)

LATE_FEE = "late_fee"


def rate_of(rates: Sequence[Rate], *, person: str, cost_class: str, day: date) -> int | None:
    """Cost of an hour in minor units: the person's own of that class, else the person's, else the class's,
    else everybody's; of each the newest that holds on that day. None when none does."""
    for wanted in ((person, cost_class), (person, ""), ("", cost_class), ("", "")):
        held = [one for one in rates if (one.person, one.cost_class) == wanted and one.from_on <= day]
        if held:
            return max(held, key=lambda one: one.from_on).per_hour_minor
    return None


def price_of(prices: Sequence[Price], day: date) -> int | None:
    """What an hour was offered for on a day, or None."""
    held = [one for one in prices if one.from_on <= day]
    return max(held, key=lambda one: one.from_on).per_hour_minor if held else None


def is_once(key: str, kind: str) -> bool:
    """Whether a line is set-up, a quoted project or a late fee, and so no part of the recurring fee."""
    return kind == LATE_FEE or any(key.startswith(one) for one in ONCE_KEYS)


def decide_month(facts: Facts, costs: Costs, *, first: date) -> Month:
    """One client's month. Every amount of work is the exact sum of seconds × rate of its stored row,
    rounded once; all other tables are sums of these rows, so that they agree to the cent."""
    work = work_rows(facts.spent, costs)
    mine = [one for one in facts.earned if one.currency == costs.currency]
    other: dict[str, int] = defaultdict(int)
    by_agreement: dict[str, int] = defaultdict(int)
    for one in facts.earned:
        if one.currency != costs.currency:
            other[one.currency] += one.net_minor
    for one in mine:
        if not is_once(one.key, one.kind):
            by_agreement[one.agreement] += one.net_minor
    seconds = sum(row.seconds for row in work)
    work_minor = sum(row.cost_minor for row in work)
    estimated = estimate_unlogged(facts)
    sums = MonthSum(
        recurring_minor=sum(by_agreement.values()),
        once_minor=sum(one.net_minor for one in mine if is_once(one.key, one.kind)),
        work_minor=work_minor,
        tools_minor=tools_cost(costs.tools, facts, first=first),
        hourly_minor=sum(row.hourly_minor for row in work),
        seconds=seconds,
        reactive_s=sum(row.seconds for row in work if row.reactive),
        out_of_hours_s=sum(row.seconds for row in work if row.cost_class == OUT_OF_HOURS),
        unrated_s=sum(row.unrated_s for row in work),
        estimated_s=estimated,
        estimated_minor=_estimated_cost(estimated, work_minor, seconds, costs, first),
        tickets=len(facts.touched),
        repeats=sum(one.repeated for one in facts.touched),
        endpoint_months=sum(facts.devices.values()),
    )
    return Month(sums, tuple(work), dict(by_agreement), dict(other))


def work_rows(spent: Sequence[Spent], costs: Costs) -> list[WorkRow]:
    """Effort by kind of asset, rule, person, class and whether it was reactive."""
    grouped: dict[tuple[str, str, str, str, bool], list[Spent]] = defaultdict(list)
    for one in spent:
        grouped[one.kind, one.rule, one.person, one.cost_class, one.reactive].append(one)
    found = []
    for (kind, rule, person, cost_class, reactive), rows in sorted(grouped.items()):
        cost = priced = unrated = 0
        for one in rows:
            rate = rate_of(costs.rates, person=person, cost_class=cost_class, day=one.day)
            if rate is None:
                unrated += one.seconds
            cost += one.seconds * (rate or 0)
            priced += one.seconds * (price_of(costs.prices, one.day) or 0)
        seconds = sum(one.seconds for one in rows)
        found.append(
            WorkRow(kind, rule, person, cost_class, reactive, seconds, share(cost, 1, HOUR_S),
                    share(priced, 1, HOUR_S), unrated)
        )  # fmt: skip
    return found


def tools_cost(tools: Sequence[Tool], facts: Facts, *, first: date) -> int:
    """What tools cost in the month that begins with `first`, whole months by the counts at its end."""
    total = 0
    for tool in tools:
        if tool.from_on <= first and (tool.until_on is None or tool.until_on >= first):
            total += tool.per_month_minor * tool_units(tool, facts)
    return total


def tool_units(tool: Tool, facts: Facts) -> int:
    """How many units of a tool a client has."""
    if tool.basis == "client":
        return 1
    if tool.basis == "seat":
        return facts.seats
    return sum(count for kind, count in facts.devices.items() if not tool.kinds or kind in tool.kinds)


def estimate_unlogged(facts: Facts) -> int:
    """Seconds on tickets that somebody worked on and nobody logged time for: the median of the client's
    logged tickets of the month each, or GUESS_S where fewer than LOGGED_LEAST were logged."""
    logged: dict[str, int] = defaultdict(int)
    for one in facts.spent:
        logged[one.ticket] += one.seconds
    missing = sum(one.worked and one.ticket not in logged for one in facts.touched)
    each = int(median(logged.values())) if len(logged) >= LOGGED_LEAST else GUESS_S
    return missing * each


def _estimated_cost(estimated_s: int, work_minor: int, seconds: int, costs: Costs, first: date) -> int:
    if seconds:
        return share(work_minor, estimated_s, seconds)
    return share(rate_of(costs.rates, person="", cost_class="", day=first) or 0, estimated_s, HOUR_S)


def added(sums: Sequence[MonthSum]) -> MonthSum:
    """The sums of several months or clients."""
    if not sums:
        return MonthSum(months=0)
    return MonthSum(**{one.name: sum(getattr(row, one.name) for row in sums) for one in fields(MonthSum)})


def pain_parts(sums: MonthSum) -> dict[str, float]:
    """Each part of the pain index, 0 to 1, before its weight."""
    endpoints = sums.endpoint_months or 1
    values = {
        "reactive": sums.reactive_s / HOUR_S / endpoints,
        "tickets": sums.tickets / endpoints,
        "repeats": sums.repeats / sums.tickets if sums.tickets else 0.0,
        "out_of_hours": sums.out_of_hours_s / sums.seconds if sums.seconds else 0.0,
    }
    return {name: min(1.0, value / PAIN_LIMITS[name]) for name, value in values.items()}


def pain(sums: MonthSum) -> int:
    """0 (none) to 100, by the published weights."""
    return round(sum(PAIN_WEIGHTS[name] * part for name, part in pain_parts(sums).items()))


def rule_proposal(rule: RuleSum) -> str:
    """What to do about a rule, with its figures; "" when nothing."""
    if rule.alerts < NOISE_LEAST:
        return ""
    said = f"{rule.acted} of {rule.alerts} alerts led to an action"
    if rule.share < NOISE_RETIRE:
        return f"Retire it, or raise its threshold: {said}."
    if rule.share < NOISE_GOOD:
        return f"Tune it: {said}, and at least half of them should."
    return ""


def rule_sums(
    counted: Mapping[str, tuple[int, int, int]], worked: Mapping[str, tuple[int, int]]
) -> list[RuleSum]:
    """Rules from (alerts, told, acted) and (seconds, cost), those that cost most without an action first."""
    found = [
        RuleSum(rule, *counted.get(rule, (0, 0, 0)), *worked.get(rule, (0, 0)))
        for rule in {*counted, *worked}
    ]
    return sorted(found, key=lambda one: (-round(one.cost_minor * (1 - one.share)), one.rule))
