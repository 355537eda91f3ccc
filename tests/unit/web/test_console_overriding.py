"""A rule's limits as fields, and what was changed in them as an override."""

from dataclasses import replace

import pytest

from forestall.judge.overrides import decide_override
from forestall.judge.pack import load_packs
from forestall.judge.rules import Rule
from forestall.judge.shelf import builtin_packs
from forestall.kernel.errors import Trouble
from forestall.web.console.overriding import fields_of, settings_of

BOOK = load_packs(builtin_packs())


def rule(name: str, kind: str = "server") -> Rule:
    return BOOK.rules_for(kind)[name]


def test_the_limits_of_a_rule_are_fields() -> None:
    fields = {field.name: field.value for field in fields_of(rule("disk-full"))}
    assert fields["level.out_of_spec.above"] == "92%" and fields["level.drifting.for"] == "15 min"


def test_only_what_differs_is_overridden() -> None:
    given = {field.name: field.value for field in fields_of(rule("disk-full"))}
    given["level.out_of_spec.above"] = "95%"
    assert settings_of(given, rule("disk-full")) == {"out_of_spec": {"above": "95%"}}


def test_off_and_json() -> None:
    assert settings_of({"off": "1"}, None) == {"off": True}
    assert settings_of({"settings": '{"except": ["/backup"]}'}, None) == {"except": ["/backup"]}


@pytest.mark.parametrize("given", [{}, {"settings": "{"}, {"settings": "[1]"}, {"level.breaking.x": "1"}])
def test_what_says_nothing_is_refused_in_words(given: dict[str, str]) -> None:
    with pytest.raises(Trouble, match=r"differs|JSON|object"):
        settings_of(given, rule("disk-full"))


def test_every_field_of_every_built_in_rule_is_taken_by_the_judge() -> None:
    """What a form shows as text is what a rule may say: each field alone, as text."""
    for pack in BOOK.packs:
        for one in pack.rules:
            other = replace(one, written={})
            for field in fields_of(one):
                empty = replace(other, written={field.state: {field.key: "other"}})
                settings = settings_of({field.name: field.value}, empty)
                decide_override(one, settings)
