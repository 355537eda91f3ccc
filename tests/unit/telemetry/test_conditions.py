"""From trees to text and back; from trees to SQL whose values travel as parameters alone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from forestall.telemetry.conditions import Conditions, Has, source_of
from forestall.telemetry.language import (
    FIELDS,
    SEVERITIES,
    All,
    Any,
    Field,
    Node,
    Not,
    Phrase,
    Regex,
    SearchError,
    Word,
    parse,
)
from forestall.telemetry.schema import HOST, SHAPE, SOURCE
from forestall.telemetry.screen import refusal

plain = st.text(alphabet="abcXYZ019._/%'€ß", min_size=1, max_size=8).filter(
    lambda text: text not in ("OR",) and not text.startswith("-")
)
words = st.builds(Word, plain, prefix=st.booleans())
phrases = st.builds(Phrase, st.text(alphabet="ab \"\\():*-{}'\n", min_size=1, max_size=12))
regexes = st.builds(Regex, st.sampled_from(["a+b", "x/y", r"\d{2}", "a|b", r"a\\"]))
names = st.sampled_from(["source", "host", "message", "unit", "user.id", "userId"])
texts = st.builds(
    Field, names, st.sampled_from(["=", "!="]), st.sampled_from(["nginx", 'a "b" c', "x:y", "a*"])
)
numbers = st.builds(
    Field,
    st.sampled_from(["severity", "facility"]),
    st.sampled_from(["=", ">=", "<", "!="]),
    st.sampled_from("0357"),
)
leaves = words | phrases | regexes | texts | numbers
trees = st.recursive(
    leaves,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(All, st.lists(parts, min_size=2, max_size=3).map(tuple))
        | st.builds(Any, st.lists(parts, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


def said(node: Node) -> str:
    """A tree as a person would write it."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    match node:
        case Word(text, prefix):
            return text + "*" * prefix
        case Phrase(text):
            return quoted(text)
        case Regex(pattern):
            return "re:/" + pattern.replace("/", "\\/") + "/"
        case Field("severity", operator, value):
            return f"severity{operator}{SEVERITIES[int(value)]}"
        case Field(name, operator, value):
            return f"{name}{':' if operator == '=' else operator}{quoted(value)}"
        case Not(part):
            return f"-({said(part)})"
        case All(parts):
            return " ".join(f"({said(part)})" for part in parts)
        case Any(parts):
            return " OR ".join(f"({said(part)})" for part in parts)


@given(trees)
def test_what_is_said_is_what_is_meant(tree: Node) -> None:
    try:
        assert parse(said(tree)) == tree
    except SearchError as error:
        assert "nested" in error.message


@given(trees)
def test_values_are_parameters_and_the_statement_is_carried_out(tree: Node) -> None:
    made = Conditions("client IN (7)")
    part = made.of(tree)
    everything = dict.fromkeys(range(len(made.lookups)), Has(frozenset({SHAPE, SOURCE, HOST})))
    asked = made.lookup_sql() if made.lookups else ""
    for found in ({}, everything):
        sql = made.sql(part, found)
        named = {name for name, _ in re.findall(r"\{(q\d+):(String|Int64)\}", sql + asked)}
        assert named <= set(made.parameters)
        statement = f"SELECT 1 FROM {source_of('1', needs_message=made.needs_message)} WHERE {sql}"
        for text in (statement, asked):
            assert "€" not in text
            assert refusal(text) == "" or not text
            assert set(re.findall(r"'([^']*)'", text)) <= {" ", "", "*", r"[\x01-\x03]"}
    assert named == set(made.parameters)


def test_at_least_warning_counts_downwards() -> None:
    made = Conditions("1")
    assert made.sql(made.of(parse("severity>=warning")), {}) == "severity <= {q0:Int64}"
    assert made.parameters == {"q0": 4}


def test_what_no_text_has_is_looked_for_in_the_variables_alone() -> None:
    made = Conditions("1")
    part = made.of(parse("needle7f3a91c2"))
    assert made.sql(part, {}) == "hasToken(lower(words), {q0:String})"
    assert made.is_rare(part, {})
    found = {0: Has(frozenset({SHAPE}))}
    assert "shape IN (SELECT" in made.sql(part, found)
    assert "shape IN (5, 7)" in made.sql(part, {0: Has(frozenset({SHAPE}), (5, 7))})
    assert not made.is_rare(part, found)


def test_the_language_names_its_fields() -> None:
    for name in FIELDS:
        value = "3" if name in ("severity", "facility") else "x"
        assert parse(f"{name.upper()}:{value}") == Field(name, "=", value)
