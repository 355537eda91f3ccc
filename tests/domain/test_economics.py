"""A year of forty clients: economics agrees with the generator's own books to the cent and the minute, and
names the two clients that lose money with the reason that was planted."""

from datetime import UTC, date, datetime, timedelta

import pytest

from estate_factories import EVERYTHING, make_client, scope_for
from forestall.agreements.calendar import Month
from forestall.agreements.money import share
from forestall.economics import queries
from forestall.economics.actions import add_price, add_rate, add_tool, reckon, withdraw
from forestall.economics.models import ClientMonth, CostRate
from forestall.economics.values import RuleSum
from forestall.estate.access import Refused
from forestall.journal.queries import read_after
from forestall.kernel.errors import Trouble
from forestall.processes.simulated_year import NOISY, YearOfProvider

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
LAST = Month(2026, 10)
SINCE, UNTIL = "2025-11", "2026-10"


def test_a_year_agrees_with_the_books_and_names_who_loses_and_why() -> None:
    year = YearOfProvider(20261103, clients=40, last=LAST)
    books = year.write()
    assert reckon(EVERYTHING, year.months, now=NOW) == 40 * 12
    rows = {(one.client_id, one.month): one for one in ClientMonth.objects.all()}
    assert set(rows) >= set(books.minutes) | set(books.fees)
    for place, row in rows.items():
        assert row.recurring_minor == books.fees[place], place
        assert row.once_minor == books.once[place], place
        assert row.seconds == books.minutes[place] * 60, place
        assert row.reactive_s == books.reactive[place] * 60, place
        assert row.tools_minor == books.tools[place], place
        assert bool(row.estimated_s) == bool(books.unlogged[place]), place
    # whole minutes at 48 or 72 an hour are whole cents (80 or 120 a minute): nothing is rounded
    assert all(row.work_minor == share(books.cost_x60[place], 1, 60) for place, row in rows.items())

    lines = queries.client_lines(EVERYTHING, SINCE, UNTIL)
    losing = [one for one in lines if one.sums.left_minor < 0]
    assert {one.client for one in losing} == set(books.planted)
    reasons = queries.why(EVERYTHING, losing, SINCE, UNTIL)
    assert {key: (found[0].what, found[0].key) for key, found in reasons.items()} == books.planted
    assert sum(one.sums.recurring_minor for one in lines) == sum(books.fees.values())

    rules = {one.rule: one for one in queries.rules_of(EVERYTHING, SINCE, UNTIL)}
    assert {key: one.alerts for key, one in rules.items()} == dict(books.alerts)
    assert {key: one.acted for key, one in rules.items() if one.acted} == dict(books.acted)
    assert isinstance(rules[NOISY], RuleSum) and rules[NOISY].share == 0

    before = list(
        ClientMonth.objects.order_by("client", "month").values_list("client", "month", "work_minor")
    )
    reckon(EVERYTHING, year.months[-2:], now=NOW)
    assert before == list(
        ClientMonth.objects.order_by("client", "month").values_list("client", "month", "work_minor")
    )
    risky = queries.renewals_at_risk(EVERYTHING, SINCE, UNTIL, today=date(2026, 11, 20))
    ending = {one.client for one in losing} & {row.client_id for row, _ in risky}
    assert ending == {row.client_id for row, risk in risky if "It loses money" in risk.reasons[0]}
    one = losing[0].client
    parts = queries.agreements_of(EVERYTHING, one, SINCE, UNTIL)
    assert sum(sums.recurring_minor for _, sums in parts) == losing[0].sums.recurring_minor
    kinds = queries.kinds_of(EVERYTHING, SINCE, UNTIL, client=one)[one]
    assert sum(kind.cost_minor for kind in kinds) == losing[0].sums.work_minor


def test_a_price_below_the_counts_is_named() -> None:
    year = YearOfProvider(7, clients=8, last=LAST, months=3)
    books = year.write(planted={2: ("price", "")})
    reckon(EVERYTHING, year.months, now=NOW)
    first, second, *_ = queries.client_lines(EVERYTHING, "2026-08", UNTIL)
    assert [first.client] == list(books.planted)
    assert second.sums.left_minor > first.sums.left_minor
    if first.sums.left_minor < 0:
        assert queries.why(EVERYTHING, [first], "2026-08", UNTIL)[first.client][0].what == "price"


def test_nobody_sees_another_clients_margin() -> None:
    year = YearOfProvider(3, clients=2, last=LAST, months=1)
    books = year.write(planted={})
    reckon(EVERYTHING, year.months, now=NOW)
    mine, theirs = list(books.clients)
    from forestall.estate.models import Client

    scope = scope_for(Client.objects.get(pk=mine))
    assert [one.client for one in queries.client_lines(scope, UNTIL, UNTIL)] == [mine]
    assert queries.months_of(scope, theirs, UNTIL, UNTIL) == []
    ClientMonth.objects.of(scope).filter(client=mine).update(reckoned_at=NOW + timedelta(hours=1))
    assert queries.reckoned_at(scope) == NOW + timedelta(hours=1)
    assert queries.reckoned_at(EVERYTHING) == NOW  # of all that is shown, the oldest
    assert queries.list_rates(scope) == [] and queries.list_tools(scope) == []
    with pytest.raises(Refused):
        add_price(scope, from_on=date(2026, 1, 1), per_hour_minor=1, currency="EUR", now=NOW)


def test_costs_are_entered_once_in_one_currency_and_leave_no_amount_in_the_journal() -> None:
    def rate(**more: object) -> CostRate:
        fields = {"person": "", "cost_class": "", "from_on": date(2026, 1, 1), "per_hour_minor": 4_812,
                  "currency": "EUR", "now": NOW} | more  # fmt: skip
        return add_rate(EVERYTHING, **fields)  # type: ignore[arg-type]

    row = rate()
    bad = [
        ({}, "from that day already"),
        ({"currency": "USD"}, "in EUR already"),
        ({"currency": "EUX"}, "currency"),
        ({"cost_class": "night"}, "no class"),
        ({"per_hour_minor": -1}, "below nothing"),
        ({"person": "0" * 13}, "no such person"),
    ]
    for change, said in bad:
        with pytest.raises(Trouble, match=said):
            rate(**change)
    tool = {
        "name": "Backup",
        "basis": "device",
        "kinds": ["server"],
        "from_on": date(2026, 1, 1),
        "per_month_minor": 300,
        "currency": "EUR",
        "now": NOW,
    }
    for change, said in [
        ({"name": " "}, "name"),
        ({"basis": "hour"}, "counted by"),
        ({"kinds": ["x"]}, "no kind"),
        ({"until_on": date(2025, 1, 1)}, "before it begins"),
    ]:
        with pytest.raises(Trouble, match=said):
            add_tool(EVERYTHING, **(tool | change))  # type: ignore[arg-type]
    entries = [one for one in read_after(-1, most=50) if one.kind.startswith("economics")]
    assert [one.kind for one in entries] == ["economics.rate_added"]
    assert b"4812" not in bytes(entries[0].body)
    assert withdraw(EVERYTHING, "rate", row.pk, now=NOW) and not withdraw(EVERYTHING, "rate", row.pk, now=NOW)
    make_client()
    assert reckon(EVERYTHING, [LAST], now=NOW) == 1
    with pytest.raises(Trouble, match="at most"):
        reckon(EVERYTHING, [LAST.moved(step) for step in range(40)], now=NOW)
