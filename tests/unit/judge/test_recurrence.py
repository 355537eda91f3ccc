"""What is the same trouble, and what people make of it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.judge.recurrence import Families, Sameness, Traits, Verdict, fingerprint, item_kind, likeness

AT = datetime(2026, 3, 2, tzinfo=UTC)
KEYS = st.sampled_from("abcdefg")
VERDICTS = st.lists(
    st.builds(
        Verdict, KEYS, KEYS, st.booleans(), st.integers(0, 30).map(lambda n: AT + timedelta(minutes=n))
    ),
    max_size=25,
)


def finding(**more):
    given = {
        "client": "c1",
        "asset": "a1",
        "asset_kind": "server",
        "rule": "service-up",
        "item": "nginx.service",
    }
    return fingerprint(Traits(**(given | more)))


def test_the_same_service_is_the_same_on_every_level():
    first = finding()
    assert first == finding()
    elsewhere = finding(asset="a2")
    assert elsewhere.asset != first.asset and elsewhere.client == first.client
    stranger = finding(client="c2", asset="a9")
    assert stranger.client != first.client and stranger.at(Sameness.EVERYWHERE) == first.everywhere


@pytest.mark.parametrize(
    "more", [{"rule": "disk-room"}, {"item": "mysql.service"}, {"asset_kind": "switch"}, {"templates": (7,)}]
)
def test_another_trait_is_another_trouble(more):
    assert finding(**more).everywhere != finding().everywhere


def test_templates_and_changes_have_no_order():
    assert finding(templates=(2, 1), changes=("b", "a")) == finding(templates=(1, 2, 2), changes=("a", "b"))


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("https://shop.example/cart", "url"),
        ("http https://shop.example", "http"),
        ("/var/log", "path"),
        ("C:", "path"),
        ("10.0.0.7:443", "address"),
        ("php8.2-fpm@web1.service", "php#.#-fpm.service"),
        ("", ""),
    ],
)
def test_kinds_of_items(item, kind):
    assert item_kind(item) == kind


def test_a_report_is_recognised_by_its_symptoms_and_no_word_of_it_goes_across():
    one = fingerprint(Traits(client="c1", words="Outlook is so slow again, says Zoë of Project Falcon"))
    other = fingerprint(Traits(client="c2", words="my mail is slow today"))
    assert one.everywhere == other.everywhere != ""
    assert one.client != other.client
    assert "Falcon" not in one.said and one.said == "a report of mail and slow"


def test_a_report_without_a_symptom_stays_at_its_client():
    one = fingerprint(Traits(client="c1", words="the Falcon module prices everything twice"))
    assert one.everywhere == "" and one.client
    assert likeness("the Falcon module is broken", "Falcon module broken again") > 0.5


def test_keys_are_the_same_in_another_process():
    code = "from forestall.judge.recurrence import *\n"
    code += "print(fingerprint(Traits(client='c1', rule='r', item='x')).client)"
    said = {subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(2)}
    assert said == {fingerprint(Traits(client="c1", rule="r", item="x")).client}


def test_a_name_that_is_the_clients_own_does_not_go_across():
    assert finding(item="Falcon ledger").everywhere == finding(item="Zoe's queue").everywhere
    assert finding(item="Falcon ledger").client != finding(item="Zoe's queue").client


def test_join_part_and_the_last_word():
    join, part = Verdict("a", "b", True, AT), Verdict("a", "b", False, AT + timedelta(hours=1))
    assert Families([join]).of("b") == {"a", "b"}
    assert Families([join, part]).of("b") == {"b"}
    again = Verdict("a", "b", True, AT + timedelta(hours=2))
    assert Families([join, part, again]).of("a") == {"a", "b"}


@given(VERDICTS)
@settings(max_examples=150)
def test_families_part_all_keys_and_have_no_order(verdicts):
    families = Families(verdicts)
    assert all(families.root(key) == min(families.of(key)) for key in "abcdefg")
    assert {families.of(key) for key in "abcdefg"} == {
        Families(reversed(verdicts)).of(key) for key in "abcdefg"
    }
    newest = max(verdicts, key=lambda one: one.at, default=None)
    alone = newest and sum(one.at == newest.at for one in verdicts) == 1
    if newest and alone and newest.left != newest.right:
        assert (newest.right in families.of(newest.left)) == newest.same
