"""What a month costs: the invariants 2, 6 and 7 of billing, over random agreements."""

import itertools
import random
from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.agreements.calendar import (
    Month,
    anniversaries,
    anniversary,
    count_day,
    counting_instant,
    local_day,
    month_of,
    read_month,
    renewal,
)
from forestall.agreements.decide import decide_bill, price_at, uplifts
from forestall.agreements.money import allocate, part_of_month, read_amount, share
from forestall.agreements.values import (
    Basis,
    Bill,
    Counted,
    Counts,
    Credited,
    Item,
    LateFee,
    Life,
    NotBilled,
    Project,
    Proration,
    Rate,
    Rates,
    Terms,
    Tier,
    Uplift,
    UpliftKind,
)
from forestall.kernel.errors import Trouble

RATES = Rates(
    "2026",
    (Rate("standard", "S", 1900), Rate("reduced", "S", 700), Rate("none", "E", 0, "exempt")),
    signed_by="Jo Ortiz",
)
NOV = Month(2026, 11)
START = date(2025, 1, 1)


def seat(name: str, since: date = START, until: date | None = None) -> Counted:
    return Counted(name, Basis.SEAT, name, since, until)


def seats_item(**more: object) -> Item:
    return Item(
        **(
            {"key": "care", "name": "Care", "basis": Basis.SEAT, "price_minor": 9500, "tax": "standard"}
            | more
        )
    )


def terms_of(*items: Item, **more: object) -> Terms:
    return Terms(**({"currency": "EUR", "items": items or (seats_item(),), "priced_at": START} | more))


def billed(
    terms: Terms, *things: Counted, month: Month = NOV, life: Life | None = None, **more: object
) -> Bill:
    counts = Counts(month.first, month.before.first, things)
    found = decide_bill(
        terms, life or Life(START), month, counts=counts, rates=RATES, cpi=more.get("cpi", {})
    )
    assert isinstance(found, Bill), found
    return found


def balances(bill: Bill) -> None:
    assert bill.net_minor == sum(line.amount_minor for line in bill.lines)
    assert bill.tax_minor == sum(line.tax_minor for line in bill.lines)
    assert bill.tax_minor == sum(one.tax_minor for one in bill.taxes)
    assert bill.net_minor == sum(one.base_minor for one in bill.taxes)
    assert bill.total_minor == bill.net_minor + bill.tax_minor
    for one in bill.taxes:
        assert one.tax_minor == share(one.base_minor, one.percent, 10_000)
    for line in bill.lines:
        assert line.quantity * line.price_minor == line.amount_minor and line.price_minor >= 0


def random_terms(dice: random.Random, month: Month) -> tuple[Terms, Life, Counts]:
    """Any agreement there may be, with its counts of that month."""
    start = month.first - timedelta(days=dice.randint(-25, 1500))
    tax = ["standard", "reduced", "none"]
    items = tuple(
        Item(
            key=f"i{place}", name=f"Item {place}", basis=dice.choice(list(Basis)), tax=dice.choice(tax),
            price_minor=dice.randint(1, 50_000),
            tiers=(Tier(dice.randint(1, 5), dice.randint(1, 9_999)), Tier(None, dice.randint(1, 9_999)))
            if dice.random() < 0.3 else (),
            included=dice.choice((0, 0, 2)), minimum=dice.choice((0, 0, 3, 12)),
            kinds=("server",) if dice.random() < 0.3 else (), uplifted=dice.random() < 0.8,
        )
        for place in range(dice.randint(1, 4))
    )  # fmt: skip
    terms = Terms(
        currency="EUR", items=items, priced_at=start, proration=dice.choice(list(Proration)),
        true_up=dice.random() < 0.5, in_advance=dice.random() < 0.5,
        minimum_minor=dice.choice((0, 200_000)), minimum_tax="standard",
        setup_fee_minor=dice.choice((0, 50_000)), setup_tax="standard",
        projects=(Project("Move", 123_457, month.first, "reduced"),) if dice.random() < 0.2 else (),
        uplift=Uplift(dice.choice(list(UpliftKind)), dice.randint(0, 900), dice.randint(0, 500)),
    )  # fmt: skip
    things = []
    for place in range(dice.randint(0, 12)):
        since = month.first + timedelta(days=dice.randint(-400, 40))
        until = since + timedelta(days=dice.randint(1, 500)) if dice.random() < 0.4 else None
        basis = dice.choice((Basis.SEAT, Basis.DEVICE, Basis.SITE))
        things.append(Counted(f"x{place}", basis, f"Thing {place}", since, until, kind="server"))
    ends = start + timedelta(days=dice.randint(1, 2000)) if dice.random() < 0.2 else None
    return terms, Life(start, ends), Counts(month.first, month.before.first, tuple(things))


def test_ten_thousand_random_agreements_balance() -> None:
    dice, cpi, bills = random.Random(7), dict.fromkeys(range(2018, 2030), 250), 0
    credited = 0
    for _ in range(10_000):
        month = Month(dice.randint(2023, 2027), dice.randint(1, 12))
        terms, life, counts = random_terms(dice, month)
        plain = decide_bill(terms, life, month, counts=counts, rates=RATES, cpi=cpi)
        if isinstance(plain, Bill):
            balances(plain)
            bills += 1
            assert plain == decide_bill(terms, life, month, counts=counts, rates=RATES, cpi=cpi)
            amounts = (dice.randint(1, 60_000) for _ in range(dice.randint(0, 3)))
            credits = [Credited(str(at), "Back", "", one, "standard") for at, one in enumerate(amounts)]
            found = decide_bill(terms, life, month, counts=counts, rates=RATES, cpi=cpi, credits=credits)
            assert isinstance(found, Bill)
            balances(found)
            taken = [line for line in found.lines if line.key.startswith("credit-")]
            assert len(taken) + len(found.said) - len(plain.said) == len(credits)
            assert plain.net_minor - found.net_minor == sum(-line.amount_minor for line in taken)
            assert not taken or min(found.net_minor, found.tax_minor) >= 0
            credited += len(taken)
    assert bills > 7_000 and credited > 3_000


def test_a_credit_is_taken_off_as_far_as_the_fee_is_high_enough() -> None:
    counts = Counts(NOV.first, NOV.before.first, (seat("Ana"), seat("Tom")))
    credits = [Credited("A", "Goodwill", "a late visit", 5_000, "standard"),
               Credited("B", "Proof", "", 14_001, "standard"),
               Credited("C", "Rest", "", 14_000, "standard")]  # fmt: skip
    found = decide_bill(terms_of(), Life(START), NOV, counts=counts, rates=RATES, cpi={}, credits=credits)
    assert isinstance(found, Bill)
    balances(found)
    whole = decide_bill(terms_of(), Life(START), NOV, counts=counts, rates=RATES, cpi={})
    assert isinstance(whole, Bill) and whole.net_minor == 19_000
    assert [(line.key, line.quantity, line.amount_minor) for line in found.lines[-2:]] == [
        ("credit-A", -1, -5_000), ("credit-C", -1, -14_000),
    ]  # fmt: skip
    assert found.net_minor == 0 and found.total_minor == 0
    (waits,) = found.said
    assert "Proof" in waits and "later" in waits


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_what_is_parted_sums_exactly(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        assert all(
            abs(part * whole - total * weight) <= abs(whole)
            for part, weight in zip(parts, weights, strict=True)
        )


@given(st.integers(0, 10**7), st.lists(st.integers(1, 30), max_size=10), st.sampled_from((28, 29, 30, 31)))
@settings(max_examples=200, deadline=None)
def test_a_month_in_any_parts_costs_a_month(price: int, cuts: list[int], days: int) -> None:
    edges = sorted({0, days, *(min(cut, days) for cut in cuts)})
    parts = [part_of_month(price, first=a, after=b, days=days) for a, b in itertools.pairwise(edges)]
    assert sum(parts) == price and all(part >= 0 for part in parts)


@pytest.mark.parametrize("proration", [Proration.ACTUAL, Proration.THIRTY])
@pytest.mark.parametrize("month", [Month(2026, 2), Month(2028, 2), Month(2026, 10), NOV])
def test_a_seat_that_changes_hands_costs_one_seat(proration: Proration, month: Month) -> None:
    for day in range(2, month.days + 1):
        change = date(month.year, month.number, day)
        bill = billed(
            terms_of(seats_item(price_minor=9501), proration=proration, in_advance=False),
            seat("Ana B.", until=change), seat("Tom K.", since=change), month=month,
        )  # fmt: skip
        assert bill.net_minor == 9501
        assert "Ana B." in bill.lines[0].note and "Tom K." in bill.lines[0].note


def test_a_count_is_explained_by_name() -> None:
    bill = billed(terms_of(), seat("Ana B."), seat("Tom K."), seat("Late", since=date(2026, 11, 2)))
    assert bill.lines[0].quantity == 2
    assert bill.lines[0].note == "2 seats counted on 1 Nov 2026: Ana B., Tom K."


def test_tiers_included_places_and_minimums() -> None:
    item = seats_item(tiers=(Tier(3, 1000), Tier(None, 800)), included=1, minimum=6)
    bill = billed(terms_of(item), *(seat(f"P{n}") for n in range(4)))
    # positions: 0 free, 1 and 2 at 10.00, 3 at 8.00; two places up to the minimum at 8.00
    assert [line.amount_minor for line in bill.lines] == [0, 2000, 800, 1600]
    assert "included" in bill.lines[0].note and "minimum of 6" in bill.lines[3].note


def test_true_up_charges_joins_and_credits_leaves_by_name() -> None:
    bill = billed(
        terms_of(seats_item(price_minor=3100), proration=Proration.ACTUAL, true_up=True),
        seat("Here"), seat("Joined", since=date(2026, 10, 12)), seat("Gone", until=date(2026, 10, 22)),
    )  # fmt: skip
    assert [(line.key, line.amount_minor) for line in bill.lines] == [
        ("care", 6200), ("care-joined", 2000), ("care-left", -1000),
    ]  # fmt: skip
    assert "Joined joined 12 Oct" in bill.lines[1].note and "Gone left 22 Oct" in bill.lines[2].note


def test_tax_is_per_line_and_sums_by_rate() -> None:
    items = (seats_item(price_minor=333), seats_item(key="b", price_minor=333, tax="reduced"),
             seats_item(key="c", price_minor=333, tax="none"))  # fmt: skip
    bill = billed(terms_of(*items), seat("A"))
    balances(bill)
    assert [(one.percent, one.tax_minor) for one in bill.taxes] == [(1900, 63), (700, 23), (0, 0)]


def test_a_minimum_fee_a_setup_fee_and_a_project() -> None:
    terms = terms_of(
        minimum_minor=20_000, minimum_tax="standard", setup_fee_minor=5_000, setup_tax="standard",
        projects=(Project("New office", 99_900, date(2026, 11, 20), "standard"),),
    )  # fmt: skip
    bill = billed(terms, seat("A"), life=Life(NOV.first))
    assert [line.amount_minor for line in bill.lines] == [9_500, 10_500, 5_000, 99_900]
    assert all(
        line.key not in ("setup", "project-0") for line in billed(terms, seat("A"), month=NOV.after).lines
    )


def test_unsigned_rates_bill_nothing() -> None:
    counts = Counts(NOV.first, NOV.before.first, (seat("A"),))
    found = decide_bill(terms_of(), Life(START), NOV, counts=counts, rates=Rates("2026", RATES.rates), cpi={})
    assert isinstance(found, NotBilled) and "signed off" in found.reason
    odd = decide_bill(
        terms_of(seats_item(tax="luxury")), Life(START), NOV, counts=counts, rates=RATES, cpi={}
    )
    assert isinstance(odd, NotBilled) and "luxury" in odd.reason


@given(st.dates(date(2004, 1, 1), date(2024, 12, 31)), st.integers(0, 1500))
@settings(max_examples=200, deadline=None)
def test_an_uplift_comes_once_per_anniversary(start: date, percent: int) -> None:
    terms = terms_of(priced_at=start, uplift=Uplift(UpliftKind.FIXED, percent))
    month, last = month_of(start), 0
    for number in range(61):
        count = len(uplifts(terms, month.moved(number), {}))
        assert count - last in (0, 1)
        last = count
    assert (
        last == (5 if start.day == 1 else 4) and len(set(anniversaries(start, until=date(2030, 1, 1)))) >= 5
    )


def test_29_february_has_an_anniversary_every_year() -> None:
    assert [anniversary(date(2024, 2, 29), years) for years in (1, 2, 3, 4)] == [
        date(2025, 2, 28), date(2026, 2, 28), date(2027, 2, 28), date(2028, 2, 29),
    ]  # fmt: skip


def test_the_greater_of_cpi_and_the_floor_and_no_guess() -> None:
    terms = terms_of(uplift=Uplift(UpliftKind.CPI, floor=300))
    assert billed(terms, seat("A"), cpi={2026: 250}).net_minor == 9785
    assert billed(terms, seat("A"), cpi={2026: 410}).net_minor == share(9500, 10_410, 10_000)
    counts = Counts(NOV.first, NOV.before.first, (seat("A"),))
    found = decide_bill(terms, Life(START), NOV, counts=counts, rates=RATES, cpi={})
    assert isinstance(found, NotBilled) and "2026" in found.reason


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)), st.sampled_from(
    ("Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Australia/Lord_Howe")
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_a_counting_instant_is_the_first_of_the_next_local_day(day: date, zone: str) -> None:
    at = counting_instant(day, zone)
    assert at.tzinfo is UTC and local_day(at, zone) > day
    assert (at - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).date() <= day


def test_the_counting_day_renewal_and_months() -> None:
    assert count_day(NOV, in_advance=True, starts_on=date(2026, 11, 15)) == date(2026, 11, 15)
    assert count_day(NOV, in_advance=False, starts_on=START, ends_on=date(2026, 11, 20)) == date(2026, 11, 20)
    found = renewal(date(2025, 1, 31), months=12, notice_days=90, today=date(2026, 5, 1))
    assert found and found.ends_on == date(2027, 1, 30) and found.notice_by == date(2026, 11, 1)
    assert str(read_month("2026-11").after.after) == "2027-01"
    for text in ("2026-13", "26-1", "November"):
        with pytest.raises(Trouble):
            read_month(text)


def test_amounts_as_people_write_them() -> None:
    assert read_amount("95,5", "EUR") == 9550 and read_amount("1200", "JPY") == 1200
    for text in ("", "9.999", "x", "NaN", "1e40"):
        with pytest.raises(Trouble):
            read_amount(text, "EUR")


def test_prices_are_raised_one_after_the_other() -> None:
    assert price_at(seats_item(price_minor=999), 0, [300, 300]) == 1060
    assert LateFee(10, 4000).agreed and not LateFee().agreed
