"""The search language: what it means, that mistakes say where and why, that no text breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.telemetry.conditions import Conditions
from forestall.telemetry.language import All, Any, Field, Not, Phrase, Regex, SearchError, Word, parse
from forestall.telemetry.scope import EVERY, sql_of


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("", All(())),
        ("disk full", All((Word("disk"), Word("full")))),
        ("fail*", Word("fail", prefix=True)),
        ('"out of memory"', Phrase("out of memory")),
        ("-debug", Not(Word("debug"))),
        ("a OR b c", Any((Word("a"), All((Word("b"), Word("c")))))),
        ("(a OR b) c", All((Any((Word("a"), Word("b"))), Word("c")))),
        ("source:nginx", Field("source", "=", "nginx")),
        ("severity>=warning", Field("severity", ">=", "4")),
        ('unit:"my app"', Field("unit", "=", "my app")),
        ("re:/a\\/b+/", Regex("a/b+")),
        ("ORDER", Word("ORDER")),
        ("userId:42", Field("userId", "=", "42")),
        ("Source:nginx", Field("source", "=", "nginx")),
        ("re:/a\\\\/ b", All((Regex("a\\\\"), Word("b")))),
        ("rhost=10.0.0.5", Word("rhost=10.0.0.5")),
        ("sshd: Failed", All((Word("sshd:"), Word("Failed")))),
        ("https://a.example/b", Word("https://a.example/b")),
        ("fe80::1", Word("fe80::1")),
        ("aa:bb:cc:dd:ee:ff", Word("aa:bb:cc:dd:ee:ff")),
        ("C:\\Windows", Word("C:\\Windows")),
    ],
)
def test_meaning(query: str, tree: object) -> None:
    assert parse(query) == tree


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ('"open', 0, "not closed"),
        ("a (b", 2, "not closed"),
        ("a ) b", 2, "closes nothing"),
        ("re:/(/", 4, "not a regular expression"),
        ("severity>=loud", 10, "no severity"),
        ("source>x", 0, "is text"),
        ("a OR", 2, "both sides"),
        ("*", 0, "beginning"),
        ("host:", 5, "needs a value"),
        ("a count>5", 2, "between quotes"),
        ("facility:local0", 9, "0 to 23"),
        ("-" * 30 + "a", 22, "nested"),
        ("(" * 30, 21, "nested"),
    ],
)
def test_mistakes_say_where_and_why(query: str, position: int, says: str) -> None:
    with pytest.raises(SearchError, match=says) as error:
        parse(query)
    assert error.value.position == position


@given(st.text(max_size=80) | st.text(alphabet='ab "()-*:/OR\\re>=severity', max_size=60))
def test_any_text_is_a_query_or_a_mistake_within_it(text: str) -> None:
    try:
        tree = parse(text)
    except SearchError as error:
        assert 0 <= error.position <= max(len(text), 1)
        return
    made = Conditions("1")
    condition = made.sql(made.of(tree), {})
    assert "'" not in condition.replace("' '", "").replace("''", "")
    assert "€" not in condition


def test_no_clients_see_nothing() -> None:
    assert sql_of(frozenset()) == "0"
    assert sql_of(EVERY) == "1"
    assert sql_of(frozenset({3, 1})) == "client IN (1, 3)"
