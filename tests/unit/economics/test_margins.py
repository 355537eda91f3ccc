"""The formulas of economics: rates by day, exact sums, reasons of a loss, renewals, the owner's words."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.economics.decide import (
    added,
    decide_month,
    estimate_unlogged,
    pain,
    rate_of,
    rule_proposal,
    rule_sums,
    tools_cost,
)
from forestall.economics.reasons import figures_of, owners_words, risk_of, why_it_loses
from forestall.economics.values import (
    GUESS_S,
    Costs,
    Earned,
    Facts,
    KindSum,
    MonthSum,
    Portrait,
    Price,
    Rate,
    RuleSum,
    Spent,
    Tool,
    Touched,
)

JUNE = date(2026, 6, 1)


def spent(seconds: int, **more: object) -> Spent:
    fields = {"ticket": "t", "person": "ana", "cost_class": "remote", "day": JUNE, "kind": "server",
              "rule": "", "reactive": True} | more  # fmt: skip
    return Spent(seconds=seconds, **fields)  # type: ignore[arg-type]


def facts(**more: object) -> Facts:
    fields = {"spent": (), "touched": (), "earned": (), "devices": {"server": 2}, "seats": 3} | more
    return Facts(**fields)  # type: ignore[arg-type]


def costs(*rates: Rate, tools: tuple[Tool, ...] = ()) -> Costs:
    return Costs("EUR", rates or (Rate("", "", date(2026, 1, 1), 6_000),), (Price(JUNE, 10_000),), tools)


def test_the_narrowest_rate_holds_and_of_it_the_newest() -> None:
    rates = [
        Rate("", "", date(2026, 1, 1), 1), Rate("", "travel", date(2026, 1, 1), 2),
        Rate("ana", "", date(2026, 1, 1), 3), Rate("ana", "travel", date(2026, 5, 1), 4),
        Rate("ana", "travel", date(2026, 7, 1), 5),
    ]  # fmt: skip
    wanted = [
        ("bo", "remote", JUNE, 1), ("bo", "travel", JUNE, 2), ("ana", "remote", JUNE, 3),
        ("ana", "travel", JUNE, 4), ("ana", "travel", date(2026, 7, 1), 5),
        ("ana", "travel", date(2026, 4, 30), 3), ("ana", "travel", date(2025, 12, 31), None),
    ]  # fmt: skip
    for person, cost_class, day, minor in wanted:
        assert rate_of(rates, person=person, cost_class=cost_class, day=day) == minor


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from("ab"), st.sampled_from("xy")), max_size=25))
def test_every_table_is_a_sum_of_the_same_rows(given: list[tuple[int, str, str]]) -> None:
    rows = tuple(spent(s, kind=kind, person=person) for s, kind, person in given)
    month = decide_month(facts(spent=rows), costs(), first=JUNE)
    assert month.sums.seconds == sum(one.seconds for one in month.work) == sum(one[0] for one in given)
    assert month.sums.work_minor == sum(one.cost_minor for one in month.work)
    for row in month.work:  # rounded once: at most half a unit away from the exact sum of its row
        exact = sum(s * 6_000 for s, kind, person in given if (kind, person) == (row.kind, row.person))
        assert abs(row.cost_minor * 3_600 - exact) * 2 <= 3_600


def test_set_up_projects_and_late_fees_are_no_part_of_the_fee() -> None:
    earned = (
        Earned("a", "care", "invoice", 100_00, "EUR"), Earned("a", "care-credit", "credit", -10_00, "EUR"),
        Earned("a", "setup", "invoice", 5_00, "EUR"), Earned("a", "project-0", "invoice", 7_00, "EUR"),
        Earned("a", "late", "late_fee", 3_00, "EUR"), Earned("b", "care", "invoice", 9_00, "USD"),
    )  # fmt: skip
    month = decide_month(facts(earned=earned), costs(), first=JUNE)
    assert (month.sums.recurring_minor, month.sums.once_minor) == (90_00, 15_00)
    assert month.by_agreement == {"a": 90_00} and month.other == {"USD": 9_00}


def test_hours_without_a_rate_are_said_and_never_hidden() -> None:
    month = decide_month(facts(spent=(spent(3_600),)), costs(Rate("bo", "", JUNE, 1)), first=JUNE)
    assert month.sums.unrated_s == 3_600 and month.sums.work_minor == 0
    assert any(one.name == "Without a rate" and one.bad for one in figures_of(month.sums, "EUR"))


def test_what_nobody_logged_is_estimated_apart() -> None:
    touched = tuple(Touched(f"u{n}", True, n < 3, False) for n in range(4))
    assert estimate_unlogged(facts(touched=touched)) == 3 * GUESS_S
    logged = tuple(spent(600 + n, ticket=f"t{n}") for n in range(5))
    assert estimate_unlogged(facts(touched=touched, spent=logged)) == 3 * 602
    month = decide_month(facts(touched=touched, spent=logged), costs(), first=JUNE)
    assert month.sums.seconds == 3_010 and month.sums.estimated_s == 1_806


def test_tools_are_counted_by_what_is_there() -> None:
    tools = tuple(
        Tool("t", basis, kinds, JUNE, until, 10)
        for basis, kinds, until in (
            ("client", (), None), ("seat", (), None), ("device", (), None), ("device", ("switch",), None),
            ("client", (), JUNE - timedelta(days=1)),
        )
    )  # fmt: skip
    held = facts(devices={"server": 2, "switch": 5})
    assert tools_cost(tools, held, first=JUNE) == 10 * (1 + 3 + 7 + 5)
    assert tools_cost(tools[:1], held, first=date(2026, 5, 1)) == 0


def portrait(name: str, *, fee: int, work: int, endpoints: int = 100, **more: object) -> Portrait:
    sums = MonthSum(
        recurring_minor=fee, work_minor=work, seconds=36_000, endpoint_months=endpoints, months=12
    )
    return Portrait(name, sums, **more)  # type: ignore[arg-type]


OTHERS = [
    portrait(f"o{n}", fee=100_000, work=40_000, kinds=(KindSum("storage", 600, 800, 10),)) for n in range(5)
]


@pytest.mark.parametrize(
    ("losing", "what", "key"),
    [
        (portrait("p", fee=100_000, work=150_000, kinds=(KindSum("storage", 90_000, 120_000, 10),)), "kind",
         "storage"),
        (portrait("p", fee=100_000, work=150_000, rules=(RuleSum("spike", 200, 200, 2, 90_000, 90_000),),
                  kinds=(KindSum("storage", 90_000, 100_000, 10),)), "rule", "spike"),
        (portrait("p", fee=30_000, work=40_000), "price", ""),
        (portrait("p", fee=90_000, work=95_000), "work", ""),
    ],
)  # fmt: skip
def test_the_reason_of_a_loss_is_named(losing: Portrait, what: str, key: str) -> None:
    first = why_it_loses(losing, OTHERS, "EUR")[0]
    assert (first.what, first.key) == (what, key) and first.text and first.do
    assert first.minor > 0


def test_who_earns_has_no_reason() -> None:
    assert why_it_loses(OTHERS[0], OTHERS[1:], "EUR") == []


def test_rules_without_actions_are_proposed_to_be_retired() -> None:
    rows = rule_sums({"a": (20, 20, 1), "b": (20, 20, 8), "c": (20, 20, 15), "d": (3, 3, 0)}, {"a": (60, 50)})
    said = {one.rule: rule_proposal(one).split(",")[0].split(":")[0] for one in rows}
    assert said == {"a": "Retire it", "b": "Tune it", "c": "", "d": ""} and rows[0].rule == "a"


def test_a_renewal_is_a_risk_when_it_is_near_and_not_good() -> None:
    bad = MonthSum(recurring_minor=100, work_minor=150, months=12)
    good = MonthSum(recurring_minor=100, work_minor=20, months=12)
    today, near = JUNE, JUNE + timedelta(days=30)

    def asked(sums: MonthSum, by: date | None) -> bool:
        return risk_of(sums, agreement="a", client="c", by=by, today=today, currency="EUR") is not None

    assert asked(bad, near) and not asked(good, near) and not asked(bad, None)
    assert not asked(bad, JUNE + timedelta(days=120)) and not asked(bad, JUNE - timedelta(days=1))


def test_figures_say_their_formula_and_do_not_divide_by_nothing() -> None:
    for sums in (MonthSum(), MonthSum(recurring_minor=-5), added([])):
        for one in figures_of(sums, "EUR"):
            assert one.formula and one.with_figures
        assert 0 <= pain(sums) <= 100


def test_the_owner_reads_what_was_lost() -> None:
    lost = MonthSum(recurring_minor=100, work_minor=150, hourly_minor=300, estimated_s=60)
    words = " ".join(owners_words(lost, [("X", lost, ())], month="2026-06", currency="EUR", money=str))
    for said in (
        "earned 100",
        "One client cost more",
        "50 together",
        "200 more than the fees",
        "an estimate",
    ):
        assert said in words
