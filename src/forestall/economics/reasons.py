"""Why a client loses money, which renewals are a risk, and every figure with its formula. Pure."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from statistics import median

from forestall.agreements.money import share, written
from forestall.economics.decide import pain, pain_parts
from forestall.economics.values import (
    MARGIN_GOOD,
    MARGIN_LOW,
    NOISE_GOOD,
    NOISE_LEAST,
    PAIN_HIGH,
    PAIN_LIMITS,
    PAIN_WEIGHTS,
    REACTIVE_GOOD,
    RISK_DAYS,
    Figure,
    KindSum,
    MonthSum,
    Portrait,
    Reason,
    Risk,
)

RULE_EXPLAINS = 0.8  # a rule that makes so much of a kind's extra work is the reason, not the kind
PRICE_LOW = 0.7  # of the others' median fee per endpoint


def why_it_loses(one: Portrait, others: Sequence[Portrait], currency: str) -> list[Reason]:
    """What makes this client dearer than the others, the largest sum first. Empty when nothing is lost."""
    if one.sums.left_minor >= 0:
        return []
    found = [*_rules(one, currency), *_kinds(one, others, currency), *_price(one, others, currency)]
    noisy = sum(reason.minor for reason in found if reason.what == "rule")
    found = [reason for reason in found if reason.what != "kind" or noisy < reason.minor * RULE_EXPLAINS]
    found.sort(key=lambda reason: (-reason.minor, reason.what, reason.key))
    return found or [_work(one, others, currency)]


def _rules(one: Portrait, currency: str) -> list[Reason]:
    found = []
    for rule in one.rules:
        if rule.alerts >= NOISE_LEAST and rule.share < NOISE_GOOD and rule.cost_minor > 0:
            vain = share(rule.cost_minor, rule.alerts - rule.acted, rule.alerts)
            found.append(
                Reason(
                    "rule", rule.rule, vain,
                    f"The alert rule {rule.rule} told {rule.alerts} times, {rule.acted} of them led to an"
                    f" action; looking at it took {say_hours(rule.seconds)} and cost"
                    f" {written(rule.cost_minor, currency)} {currency}.",
                    f"Retire or tune {rule.rule} for this client.",
                )
            )  # fmt: skip
    return found


def _kinds(one: Portrait, others: Sequence[Portrait], currency: str) -> list[Reason]:
    found = []
    for kind in one.kinds:
        if not kind.device_months or not kind.seconds:
            continue
        usual = _usual(kind, others)
        extra_s = kind.seconds - usual * kind.device_months
        if extra_s <= 0 or kind.seconds < 2 * usual * kind.device_months:
            continue
        minor = share(kind.cost_minor, int(extra_s), kind.seconds)
        found.append(
            Reason(
                "kind", kind.kind, minor,
                f"Assets of the kind {kind.kind} took {say_hours(kind.seconds)} and"
                f" {written(kind.cost_minor, currency)} {currency}:"
                f" {kind.seconds / kind.device_months / 60:.0f} minutes for each and month, at the other"
                f" clients {usual / 60:.0f}.",
                f"Replace what is of the kind {kind.kind}, or charge for it.",
            )
        )  # fmt: skip
    return found


def _usual(kind: KindSum, others: Sequence[Portrait]) -> float:
    """Median seconds per device and month of that kind at the others."""
    found = [
        next((own.seconds for own in other.kinds if own.kind == kind.kind), 0) / there
        for other in others
        if (there := sum(own.device_months for own in other.kinds if own.kind == kind.kind))
    ]
    return median(found) if found else 0.0


def _price(one: Portrait, others: Sequence[Portrait], currency: str) -> list[Reason]:
    fees = [
        other.sums.recurring_minor / other.sums.endpoint_months
        for other in others
        if other.sums.endpoint_months and other.sums.recurring_minor > 0
    ]
    there = one.sums.endpoint_months
    if not fees or not there:
        return []
    usual, own = median(fees), one.sums.recurring_minor / there
    if own >= PRICE_LOW * usual:
        return []
    lacking = int(usual * there) - one.sums.recurring_minor
    return [
        Reason(
            "price", "", lacking,
            f"The fee is low for what is looked after: {written(round(own), currency)} {currency} for each"
            f" endpoint and month, at the other clients {written(round(usual), currency)}.",
            "Count what is there again, and agree on a price for all of it.",
        )
    ]  # fmt: skip


def _work(one: Portrait, others: Sequence[Portrait], currency: str) -> Reason:
    return Reason(
        "work", "", -one.sums.left_minor,
        f"All its work took {say_hours(one.sums.seconds)}; no single rule or kind of asset stands out among"
        f" {len(others) + 1} clients.",
        "Look at its tickets of the month, the longest first.",
    )  # fmt: skip


def figures_of(sums: MonthSum, currency: str) -> list[Figure]:
    """The numbers of a client (or of all), each with its formula and figures."""

    def money(minor: int | None) -> str:
        return "–" if minor is None else f"{written(minor, currency)} {currency}"

    margin, reactive, rate = sums.margin, sums.reactive_per_endpoint, sums.rate_minor
    found = [
        Figure("Fee", money(sums.recurring_minor),
               "recurring lines of issued invoices, net, less credit notes",
               f"{money(sums.recurring_minor)} over {sums.months} client months; set-up, projects and late"
               f" fees ({money(sums.once_minor)}) stand apart"),
        Figure("Cost to serve", money(sums.cost_minor), "Σ hours × what the hour costs us + tools",
               f"{say_hours(sums.seconds)} of work {money(sums.work_minor)}"
               f" + tools {money(sums.tools_minor)}"),
        Figure("Left", money(sums.left_minor), "fee - cost to serve",
               f"{money(sums.recurring_minor)} - {money(sums.cost_minor)}", bad=sums.left_minor < 0),
        Figure("Margin", say_share(margin), "(fee - cost to serve) ÷ fee",
               f"{money(sums.left_minor)} ÷ {money(sums.recurring_minor)}",
               f"good: {MARGIN_GOOD:.0%} and more, low: under {MARGIN_LOW:.0%}",
               margin is not None and margin < MARGIN_LOW),
        Figure("Effective hourly rate", money(rate), "(fee - tools) ÷ all hours",
               f"({money(sums.recurring_minor)} - {money(sums.tools_minor)}) ÷ {say_hours(sums.seconds)}"),
        Figure("Reactive hours per endpoint",
               "–" if reactive is None else f"{reactive:.2f} h", "reactive hours ÷ endpoints, a month",
               f"{say_hours(sums.reactive_s)} ÷ {sums.endpoint_months} endpoint months",
               f"good: up to {REACTIVE_GOOD:g} h", reactive is not None and reactive > REACTIVE_GOOD),
        Figure("By the hour", money(sums.hourly_minor),
               "logged hours × the hourly price that is published; what this client would have paid",
               f"{say_hours(sums.seconds)}; the fee was"
               f" {money(abs(sums.recurring_minor - sums.hourly_minor))}"
               f" {'more' if sums.recurring_minor >= sums.hourly_minor else 'less'}"),
        Figure("Not logged (an estimate)", say_hours(sums.estimated_s),
               "tickets that somebody worked on without logging time × the median of those with logged time"
               " (15 min each where fewer than 5 were logged); in no other number",
               f"about {money(sums.estimated_minor)} at what this client's hours cost"),
        Figure("Pain", f"{pain(sums)} of 100", _pain_words(), _pain_figures(sums), "0 is none",
               pain(sums) >= PAIN_HIGH),
    ]  # fmt: skip
    if sums.unrated_s:
        found.append(
            Figure("Without a rate", say_hours(sums.unrated_s), "hours of people for whom no cost is entered",
                   "they count as nothing: enter what their hour costs", bad=True)
        )  # fmt: skip
    return found


def _pain_words() -> str:
    names = {
        "reactive": "reactive hours per endpoint", "tickets": "tickets per endpoint",
        "repeats": "share of tickets that repeat", "out_of_hours": "share of hours out of hours",
    }  # fmt: skip
    return " + ".join(f"{PAIN_WEIGHTS[k]} × {names[k]} (1 at {PAIN_LIMITS[k]:g})" for k in PAIN_WEIGHTS)


def _pain_figures(sums: MonthSum) -> str:
    return " + ".join(f"{PAIN_WEIGHTS[k]} × {part:.2f}" for k, part in pain_parts(sums).items())


def risk_of(
    sums: MonthSum, *, agreement: str, client: str, by: date | None, today: date, currency: str
) -> Risk | None:
    """Whether a renewal within RISK_DAYS is one to talk about first."""
    if by is None or not today <= by <= today + timedelta(days=RISK_DAYS):
        return None
    reasons = []
    if sums.left_minor < 0:
        reasons.append(
            f"It loses money: {written(-sums.left_minor, currency)} {currency} in {sums.months} months."
        )
    elif sums.margin is not None and sums.margin < MARGIN_LOW:
        reasons.append(f"Its margin is {say_share(sums.margin)}, low is under {MARGIN_LOW:.0%}.")
    if pain(sums) >= PAIN_HIGH:
        reasons.append(f"The client has much trouble: pain {pain(sums)} of 100.")
    return Risk(agreement, client, by, tuple(reasons)) if reasons else None


def say_hours(seconds: int) -> str:
    """Seconds as hours and minutes: `3 h 05 min`; what is beyond the minute is rounded."""
    minutes = (seconds + 30) // 60
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def say_share(part: float | None) -> str:
    """0.4912 as `49.1%`."""
    return "–" if part is None else f"{part * 100:.1f}%"


def owners_words(
    total: MonthSum,
    losing: Sequence[tuple[str, MonthSum, Sequence[Reason]]],
    *,
    month: str,
    currency: str,
    money: Callable[[int], str],
) -> list[str]:
    """The month in sentences: what was earned, what was lost where, what to do about it."""
    said = [
        f"In {month} the agreements earned {money(total.recurring_minor)}. Serving them cost"
        f" {money(total.cost_minor)}: {say_hours(total.seconds)} of work ({money(total.work_minor)}) and"
        f" tools ({money(total.tools_minor)}). {money(total.left_minor)} is left"
        + (f", {say_share(total.margin)} of the fees." if total.margin is not None else "."),
    ]
    if total.once_minor:
        said.append(f"Set-up, projects and late fees brought {money(total.once_minor)} beside that.")
    if not losing:
        said.append("No client cost more than it paid.")
    else:
        lost = sum(-sums.left_minor for _, sums, _ in losing)
        many = "One client" if len(losing) == 1 else f"{len(losing)} clients"
        said.append(f"{many} cost more than they paid: {money(lost)} together.")
    by_hour = total.hourly_minor - total.recurring_minor
    if total.hourly_minor:
        said.append(
            f"By the hour the same work would have been {money(total.hourly_minor)}, {money(abs(by_hour))}"
            f" {'more' if by_hour > 0 else 'less'} than the fees."
        )
    if total.estimated_s:
        said.append(
            f"About {say_hours(total.estimated_s)} more were probably worked and not logged (an estimate,"
            f" {money(total.estimated_minor)}); they are in no other number."
        )
    if total.unrated_s:
        said.append(f"{say_hours(total.unrated_s)} have no cost, because no rate is entered for them.")
    return said


__all__ = ["figures_of", "owners_words", "risk_of", "say_hours", "say_share", "why_it_loses"]
