"""Findings on one answer of one probe have one cause: which they are, and what becomes of their alert."""

from datetime import UTC, datetime, timedelta

import pytest

from forestall.alerts.answers import place_of, same_answer
from forestall.alerts.decide import ADOPT_WITHIN, decide
from forestall.alerts.values import Opened, Place, Reshaped, Situation, Standing, Wrong
from forestall.judge.values import State

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SHOP = Place(id="shop", client="client", name="shop")
LONG = timedelta(days=5)


def wrong(
    name: str, metric: str, item: str, *, ago_s: float = 0, changed_ago_s: float | None = None
) -> Wrong:
    began_at = NOW - timedelta(seconds=ago_s)
    changed_at = began_at if changed_ago_s is None else NOW - timedelta(seconds=changed_ago_s)
    rule = "probe-failed" if metric == "probe.up" else f"{name}-rule"
    return Wrong(
        id=name, client="client", asset="shop", rule=rule, item=item, state=State.OUT_OF_SPEC, cause="",
        opened_at=began_at, began_at=began_at, changed_at=changed_at,
        reason=f"{item} is wrong.", metric=metric,
    )  # fmt: skip


def failed(item: str = "tls shop.example:443", **ago: float) -> Wrong:
    return wrong("failed", "probe.up", item, **ago)


def runs_out(item: str = "shop.example:443", **ago: float) -> Wrong:
    return wrong("certificate", "certificate.days_left", item, **ago)


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ("http https://Shop.example/cart?x=a:1", ("shop.example", "443")),
        ("http http://me:word@shop.example:8080", ("shop.example", "8080")),
        ("shop.example:443", ("shop.example", "443")),
        ("tls shop.example", ("shop.example", "*")),
        ("tls [2001:db8::1]:8443", ("[2001:db8::1]", "8443")),
        ("icmp 10.0.0.5", ("10.0.0.5", "")),
        ("", ("", "")),
        ("nagios check_disk -w 10%", ("", "")),
    ],
)
def test_the_place_that_an_item_names(item, place):
    assert place_of(item) == place


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (failed(), runs_out(), True),
        (failed("tls shop.example"), runs_out(), True),
        (failed("http https://shop.example/"), runs_out(ago_s=60), True),
        (failed(), runs_out(ago_s=600), False),
        (failed(), runs_out(ago_s=86_400 * 20, changed_ago_s=5), True),  # it ran out just now
        (failed("tls shop.example:8443"), runs_out(), False),
        (failed("tcp mail.example:443"), runs_out(), False),
        (failed("http https://a.example/"), wrong("e", "http.status", "http https://a.example/"), True),
        (failed("domain shop.example"), runs_out(), False),
        (failed(), wrong("disk", "disk.used_ratio", "tls shop.example:443"), False),
    ],
)
def test_what_is_one_answer(one, other, same):
    assert same_answer(one, other) is same
    assert same_answer(other, one) is same


def standing(*findings: str, told_ago: timedelta) -> Standing:
    at = NOW - told_ago
    return Standing(
        id="alert", client="client", asset="shop", cause_key="shop/certificate", severity=State.OUT_OF_SPEC,
        title="t", reason="r", opened_at=at, tell_at=at, told_at=at, last_told_at=at,
        findings=frozenset(findings), seen=frozenset({("certificate-rule", "shop.example:443")}),
    )  # fmt: skip


def decided(findings, *alerts):
    places = {"shop": SHOP}
    return decide(Situation(now=NOW, findings={f.id: f for f in findings}, alerts=alerts, places=places))


def test_a_certificate_that_runs_out_and_is_not_trusted_is_one_alert():
    (opened,) = decided([runs_out(), failed()])
    assert isinstance(opened, Opened)
    assert opened.group.cause_key == "shop/probe"
    assert {finding.id for finding in opened.group.findings} == {"certificate", "failed"}


def test_what_the_next_answers_add_joins_what_was_told():
    told = standing("certificate", told_ago=timedelta(seconds=30))
    (change,) = decided([runs_out(ago_s=40), failed()], told)
    assert isinstance(change, Reshaped)
    assert (change.joined, change.more, change.cause_key) == (("failed",), False, "shop/certificate")


def test_a_certificate_that_ran_out_takes_in_the_probe_that_fails_for_it_without_a_second_message():
    told = standing("certificate", told_ago=LONG)
    (change,) = decided([runs_out(ago_s=LONG.total_seconds(), changed_ago_s=30), failed()], told)
    assert isinstance(change, Reshaped)
    assert (change.joined, change.more) == (("failed",), False)


def test_an_outage_days_after_the_warning_is_an_alert_of_its_own():
    told = standing("certificate", told_ago=LONG)
    assert LONG > ADOPT_WITHIN
    changes = decided([runs_out(ago_s=LONG.total_seconds()), failed()], told)
    assert [change.group.cause_key for change in changes if isinstance(change, Opened)] == ["shop/probe"]
