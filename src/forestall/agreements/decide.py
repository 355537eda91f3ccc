"""What a month costs: terms by date, frozen counts and rates → lines with their reasons in words. Pure.

Positions: the things of an item stand in the order of their coming; the first `included` cost nothing, tiers
say what the others cost, places up to `minimum` that nobody has are paid as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from forestall.agreements.calendar import Month, anniversaries, count_day, month_of
from forestall.agreements.money import PERCENT, allocate, part_of_month, share
from forestall.agreements.values import (
    NAMED_MAX,
    NOTE_MAX_CHARS,
    Basis,
    Bill,
    Counted,
    Counts,
    Credited,
    Item,
    Life,
    Line,
    NotBilled,
    Proration,
    Rates,
    TaxSum,
    Terms,
    UpliftKind,
)

THIRTY = 30
CREDIT = "credit-"  # what the key of a credit's line begins with; its identifier follows
UNITS = {Basis.SEAT: "seat", Basis.DEVICE: "device", Basis.SITE: "site", Basis.FLAT: "part"}


@dataclass(frozen=True, slots=True)
class _Span:
    """The days of a month in which the agreement runs: from `first` to `after` (exclusive)."""

    month: Month
    first: date
    after: date

    @property
    def whole(self) -> bool:
        return self.first == self.month.first and self.after == self.month.after.first


def decide_bill(
    terms: Terms,
    life: Life,
    month: Month,
    *,
    counts: Counts,
    rates: Rates,
    cpi: Mapping[int, int],
    before: Terms | None = None,
    credits: Sequence[Credited] = (),
) -> Bill | NotBilled:
    """The bill of one month. `cpi`: year → hundredths of a percent. `before`: the terms of the month before,
    for the true-up (None: the same). `credits`: what is to be taken off, as far as the fee is high enough."""
    if not rates.signed_by:
        return NotBilled(
            f"nobody has signed off the tax rates {rates.version}", "Sign them off under Tax rates."
        )
    unknown = sorted({code for code in _codes(terms, credits) if rates.of(code) is None})
    if unknown:
        return NotBilled(
            f"the tax rates {rates.version} have no {', '.join(unknown)}", "Add them, or change the terms."
        )
    missing = missing_cpi(terms, month, cpi)
    if missing:
        return NotBilled(
            f"the consumer price index of {missing} is not entered", "Enter it under Price book, then go on."
        )
    lines, said = _month_lines(terms, life, month, counts, cpi)
    if terms.in_advance and terms.true_up:
        lines += _true_up(before or terms, life, month.before, counts, cpi)
    if not lines:
        return NotBilled("", "")
    lines, waiting = _credited(lines, credits)
    said += waiting
    return balanced(terms.currency, [_taxed(line, rates) for line in lines], rates, said)


def balanced(currency: str, lines: Sequence[Line], rates: Rates, said: Sequence[str] = ()) -> Bill:
    """Lines with their categories → the bill: tax per category and rate, parted over the lines."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, line in enumerate(lines):
        groups.setdefault((line.category, line.percent), []).append(place)
    reasons = {(rate.category, rate.percent): rate.reason for rate in rates.rates}
    done, taxes = list(lines), []
    for (category, percent), places in groups.items():
        amounts = [lines[place].amount_minor for place in places]
        base = sum(amounts)
        tax = share(base, percent, PERCENT)
        taxes.append(TaxSum(category, percent, base, tax, reasons.get((category, percent), "")))
        for place, part in zip(places, allocate(tax, amounts), strict=True):
            done[place] = replace(done[place], tax_minor=part)
    net, tax = sum(line.amount_minor for line in lines), sum(one.tax_minor for one in taxes)
    return Bill(currency, tuple(done), tuple(taxes), net, tax, net + tax, tuple(said))


def uplifts(terms: Terms, month: Month, cpi: Mapping[int, int]) -> list[int]:
    """What raises the prices by this month: one rate (hundredths of a percent) for every anniversary."""
    if terms.uplift.kind is UpliftKind.NONE:
        return []
    days = anniversaries(terms.priced_at, until=month.first)
    if terms.uplift.kind is UpliftKind.FIXED:
        return [terms.uplift.percent for _ in days]
    return [max(cpi[day.year], terms.uplift.floor) for day in days]


def missing_cpi(terms: Terms, month: Month, cpi: Mapping[int, int]) -> int | None:
    """A year whose figure an uplift needs and that nobody entered, or None."""
    if terms.uplift.kind is not UpliftKind.CPI:
        return None
    days = anniversaries(terms.priced_at, until=month.first)
    return next((day.year for day in days if day.year not in cpi), None)


def raised(price: int, rates: Sequence[int]) -> int:
    """The price after these uplifts, each rounded."""
    for rate in rates:
        price = share(price, PERCENT + rate, PERCENT)
    return price


def price_at(item: Item, position: int, rates: Sequence[int]) -> int:
    """What the thing at this position (from 0) costs for a whole month."""
    if position < item.included:
        return 0
    price = item.price_minor
    for tier in item.tiers:
        price = tier.price_minor
        if tier.up_to is None or position < tier.up_to:
            break
    return raised(price, rates) if item.uplifted else price


def counted_for(item: Item, things: Sequence[Counted]) -> list[Counted]:
    """The things that an item counts, in the order of their coming."""
    return sorted(
        (
            one
            for one in things
            if one.basis is item.basis
            and (not item.kinds or one.kind in item.kinds)
            and (not item.site or item.site in (one.site, one.id))
        ),
        key=lambda one: (one.since, one.name, one.id),
    )


def there_on(thing: Counted, day: date) -> bool:
    """The day of coming counts, the day of leaving does not."""
    return thing.since <= day and (thing.until is None or thing.until > day)


def late_fee_of(terms: Terms, open_minor: int) -> int:
    """What an invoice that is overdue costs once."""
    return terms.late_fee.fixed_minor + share(open_minor, terms.late_fee.percent, PERCENT)


def _month_lines(
    terms: Terms, life: Life, month: Month, counts: Counts, cpi: Mapping[int, int]
) -> tuple[list[Line], list[str]]:
    span = _span(life, month)
    if span is None:
        return [], []
    rates = uplifts(terms, month, cpi)
    said = [f"prices raised by {_percent(rate)}" for rate in rates]
    lines = [line for item in terms.items for line in _item_lines(item, terms, span, counts, rates)]
    fee, least = (
        sum(line.amount_minor for line in lines),
        _in_span(terms.minimum_minor, terms.proration, span),
    )
    if fee < least:
        lines.append(
            _line(
                "minimum", "Up to the agreed minimum", "the counted parts are below the agreed minimum fee",
                1, least - fee, terms.minimum_tax,
            )
        )  # fmt: skip
    if terms.setup_fee_minor and month == month_of(life.starts_on):
        lines.append(
            _line("setup", "Set-up, once", "with the first month", 1, terms.setup_fee_minor, terms.setup_tax)
        )
    for place, project in enumerate(terms.projects):
        if month_of(project.on) == month:
            note = f"as quoted, {_day(project.on)}"
            lines.append(_line(f"project-{place}", project.name, note, 1, project.amount_minor, project.tax))
    return lines, said


def _item_lines(item: Item, terms: Terms, span: _Span, counts: Counts, rates: Sequence[int]) -> list[Line]:
    if item.basis is Basis.FLAT:
        price = price_at(replace(item, included=0, tiers=()), 0, rates)
        return [_line(item.key, item.name, _whole(span), 1, _in_span(price, terms.proration, span), item.tax)]
    day = count_day(
        span.month, in_advance=terms.in_advance, starts_on=span.first, ends_on=span.after - timedelta(days=1)
    )
    found = counted_for(item, counts.things)
    if terms.in_advance or terms.proration is Proration.NONE:
        whole, parts = [one for one in found if there_on(one, day)], []
    else:
        there = [one for one in found if one.since < span.after and (one.until or span.after) > span.first]
        whole = [one for one in there if one.since <= span.first and (one.until or span.after) >= span.after]
        parts = [one for one in there if one not in whole]
    lines = _whole_lines(item, terms, span, whole, rates, day=day)
    if parts:
        lines.append(_part_line(item, terms, span, parts, rates, start=len(whole)))
    missing = item.minimum - len(whole) - len(parts)
    if missing > 0:
        places = range(len(whole) + len(parts), item.minimum)
        lines += _priced(
            item, [(_in_span(price_at(item, place, rates), terms.proration, span), "") for place in places],
            f"places up to the agreed minimum of {item.minimum}", key="least",
        )  # fmt: skip
    return lines


def _whole_lines(
    item: Item, terms: Terms, span: _Span, things: Sequence[Counted], rates: Sequence[int], *, day: date
) -> list[Line]:
    priced = [
        (_in_span(price_at(item, place, rates), terms.proration, span), thing.name)
        for place, thing in enumerate(things)
    ]
    return _priced(item, priced, f"counted on {_day(day)}", key="")


def _priced(item: Item, priced: Sequence[tuple[int, str]], why: str, *, key: str) -> list[Line]:
    """A line per price, the prices in the order of the positions."""
    groups: dict[int, list[str]] = {}
    for price, name in priced:
        groups.setdefault(price, []).append(name)
    lines = []
    for place, (price, names) in enumerate(groups.items()):
        said = f"{_units(item, len(names))} {why}{_named([name for name in names if name])}"
        if not price and item.included:
            said += ", included in the fee"
        tail = "-".join(filter(None, (item.key, key, str(place) if place else "")))
        lines.append(_line(tail, item.name, said, len(names), price, item.tax))
    return lines


def _part_line(
    item: Item, terms: Terms, span: _Span, parts: Sequence[Counted], rates: Sequence[int], *, start: int
) -> Line:
    amount, said = 0, []
    for place, thing in enumerate(parts):
        first, after = max(thing.since, span.first), min(thing.until or span.after, span.after)
        price = price_at(item, start + place, rates)
        amount += _days(price, terms.proration, span.month, first, after)
        said.append(f"{thing.name} {first.day}–{_short(after - timedelta(days=1))}")
    note = f"{_units(item, len(parts))} for a part of the month{_named(said)}"
    return _line(f"{item.key}-part", item.name, note, 1, amount, item.tax)


def _true_up(terms: Terms, life: Life, month: Month, counts: Counts, cpi: Mapping[int, int]) -> list[Line]:
    """Joins and leaves of the month before, after its counting day."""
    span = _span(life, month)
    if span is None or missing_cpi(terms, month, cpi):
        return []
    day, rates, lines = max(month.first, life.starts_on), uplifts(terms, month, cpi), []
    for item in terms.items:
        if item.basis is Basis.FLAT:
            continue
        found = counted_for(item, counts.things)
        base = [one for one in found if there_on(one, day)]
        came = [one for one in found if day < one.since < span.after]
        left = [one for one in base if one.until is not None and one.until < span.after]
        charge, said = 0, []
        for place, thing in enumerate(came, start=len(base)):
            after = min(thing.until or span.after, span.after)
            if place >= item.minimum and after > thing.since:
                charge += _days(price_at(item, place, rates), terms.proration, month, thing.since, after)
                said.append(f"{thing.name} joined {_short(thing.since)}")
        if charge:
            note = f"after the count of {_day(day)}{_named(said)}"
            lines.append(_line(f"{item.key}-joined", f"{item.name}: joined", note, 1, charge, item.tax))
        credit, said = 0, []
        for number, thing in enumerate(left):
            place = len(base) - 1 - number
            if place >= item.minimum and thing.until and terms.proration is not Proration.NONE:
                credit += _days(price_at(item, place, rates), terms.proration, month, thing.until, span.after)
                said.append(f"{thing.name} left {_short(thing.until)}")
        if credit:
            note = f"after the count of {_day(day)}{_named(said)}"
            lines.append(_line(f"{item.key}-left", f"{item.name}: left", note, -1, credit, item.tax))
    return lines


def _credited(lines: list[Line], credits: Sequence[Credited]) -> tuple[list[Line], list[str]]:
    """The lines with every credit that they can bear, those of the same tax too: no tax is paid back that
    the month has not. Of the others, that they wait."""
    done, waiting = list(lines), []
    for one in credits:
        whole = sum(line.amount_minor for line in done)
        alike = sum(line.amount_minor for line in done if line.tax == one.tax)
        if one.amount_minor > min(whole, alike):
            waiting.append(f"{one.name}: more than is left of this month's fee, so it waits for a later one")
        else:
            done.append(_line(f"{CREDIT}{one.id}", one.name, one.note, -1, one.amount_minor, one.tax))
    return done, waiting


def _span(life: Life, month: Month) -> _Span | None:
    first = max(month.first, life.starts_on)
    after = month.after.first if life.ends_on is None else min(
        month.after.first, life.ends_on + timedelta(days=1)
    )  # fmt: skip
    return _Span(month, first, after) if first < after else None


def _in_span(price: int, proration: Proration, span: _Span) -> int:
    return price if span.whole else _days(price, proration, span.month, span.first, span.after)


def _days(price: int, proration: Proration, month: Month, first: date, after: date) -> int:
    """What the days from `first` to `after` (exclusive) of the month cost."""
    if proration is Proration.NONE:
        return price
    days = month.days if proration is Proration.ACTUAL else THIRTY
    start, end = (first - month.first).days, (after - month.first).days
    if proration is Proration.THIRTY:
        start, end = min(start, THIRTY), THIRTY if after == month.after.first else min(end, THIRTY)
    return part_of_month(price, first=start, after=end, days=days)


def _line(key: str, name: str, note: str, quantity: int, price: int, tax: str) -> Line:
    if price < 0:
        quantity, price = -quantity, -price
    return Line(key, name, note[:NOTE_MAX_CHARS], quantity, price, quantity * price, tax, "", 0)


def _taxed(line: Line, rates: Rates) -> Line:
    rate = rates.of(line.tax)
    assert rate is not None  # decide_bill asked for every code before
    return replace(line, category=rate.category, percent=rate.percent)


def _codes(terms: Terms, credits: Sequence[Credited]) -> set[str]:
    codes = {item.tax for item in terms.items} | {project.tax for project in terms.projects}
    codes |= {one.tax for one in credits}
    codes |= {terms.minimum_tax} if terms.minimum_minor else set()
    return codes | ({terms.setup_tax} if terms.setup_fee_minor else set())


def _named(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f": {', '.join(names[:NAMED_MAX])}{more}"


def _units(item: Item, count: int) -> str:
    unit = UNITS[item.basis]
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _whole(span: _Span) -> str:
    return "" if span.whole else f"{span.first.day}–{_short(span.after - timedelta(days=1))}"


def _percent(rate: int) -> str:
    return f"{rate / 100:g}%"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
