"""The owner's month as one page: its sentences, its losses with reasons, and what to do about them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from babel.numbers import format_currency

from forestall.agreements.calendar import Month
from forestall.agreements.money import to_decimal, written
from forestall.economics import queries
from forestall.economics.decide import rule_proposal
from forestall.economics.reasons import owners_words, say_hours, say_share
from forestall.economics.values import MonthSum
from forestall.estate.tenancy import Scope

LOSSES_SHOWN = 8
THINGS_SHOWN = 8
RULES_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Loss:
    """A client that cost more than it paid: how much, why, and what to do."""

    client: str
    name: str
    lost: str
    why: str
    do: str


@dataclass(frozen=True, slots=True)
class OwnersMonth:
    """`rows`: the month and the eleven before it as (month, fee, cost, left, margin)."""

    month: str
    words: list[str]
    losses: list[Loss]
    to_do: list[str]
    rows: list[tuple[str, str, str, str, str]]
    reckoned_at: datetime | None


def owners_month(scope: Scope, month: Month, *, now: datetime) -> OwnersMonth:
    """The page. Reasons and rules are taken from the twelve months that end with it: one month is too short
    for a rule to be noise."""
    code, name = queries.currency(scope), str(month)
    year = (str(month.moved(-11)), name)

    def money(minor: int) -> str:
        return str(format_currency(to_decimal(minor, code), code, locale="en"))

    lines = queries.client_lines(scope, name, name)
    losing = [one for one in lines if one.sums.left_minor < 0]
    shown = losing[:LOSSES_SHOWN]
    over_year = {one.client: one for one in queries.client_lines(scope, *year)}
    reasons = queries.why(scope, [over_year[one.client] for one in shown], *year)
    of_month = queries.why(scope, [one for one in shown if one.client not in reasons], name, name)
    losses = []
    for one in shown:
        found = reasons.get(one.client) or of_month.get(one.client) or []
        losses.append(
            Loss(one.client, one.name, money(-one.sums.left_minor), found[0].text if found else "",
                 found[0].do if found else "")
        )  # fmt: skip
    total = queries.total_of(scope, lines)
    words = owners_words(
        total, [(one.name, one.sums, ()) for one in losing], month=name, currency=code, money=money
    )
    words += [
        f"{written(minor, other)} {other} were earned in another currency and are compared with nothing."
        for other, minor in queries.other_currencies(scope, name, name).items()
    ]
    return OwnersMonth(
        name,
        words,
        losses,
        _to_do(scope, losses, year, now, money),
        [_row(month_, sums, money) for month_, sums in queries.months_of_all(scope, *year)],
        queries.reckoned_at(scope),
    )


def _to_do(
    scope: Scope, losses: list[Loss], year: tuple[str, str], now: datetime, money: Callable[[int], str]
) -> list[str]:
    said = [f"{one.name}: {one.do}" for one in losses if one.do]
    said += [
        f"Alert rule {rule.rule}: {proposal} It cost {say_hours(rule.seconds)} in the year."
        for rule in queries.rules_of(scope, *year)[:RULES_LOOKED_AT]
        if (proposal := rule_proposal(rule))
    ]
    for row, risk in queries.renewals_at_risk(scope, *year, today=now.date())[:5]:
        said.append(f"Talk to {row.client.name} before {risk.by} ({row.number}): {' '.join(risk.reasons)}")
    for work in queries.prevention(scope, *year, now=now)[:3]:
        problem = work.work.problem
        worth = f", about {money(work.avoided_minor)}" if work.avoided_minor else ""
        hours = say_hours(int(work.work.expected.total_seconds()))
        said.append(f"End “{problem.title}” at {problem.client.name}: it avoids {hours}{worth} in 90 days.")
    return said[:THINGS_SHOWN] or ["Nothing stands out. Go on."]


def _row(month: str, sums: MonthSum, money: Callable[[int], str]) -> tuple[str, str, str, str, str]:
    return (
        month,
        money(sums.recurring_minor),
        money(sums.cost_minor),
        money(sums.left_minor),
        say_share(sums.margin),
    )
