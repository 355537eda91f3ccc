"""What is looked for in configurations: many texts at once say what a plain look at each line says."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.configs.matching import NEEDLE_MAX_CHARS, Matcher, Mode, Needle
from forestall.kernel.errors import Trouble
from forestall.kernel.sections import split_lines

words = st.sampled_from(["ntp", "server", "NTP", "10.0.0.1", "line", "vty", "é", "a b", "x" * 40])
lines = st.lists(words, max_size=4).map(" ".join)
indents = st.sampled_from(["", " ", "\t", "   "])
texts = st.lists(st.tuples(indents, lines).map("".join), max_size=8).map("\n".join)


def lowered(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def plain(needle: Needle, line: str) -> bool:
    """What a line says by itself."""
    low, text = lowered(line), lowered(needle.text)
    if needle.mode == "starts":
        return " ".join(low.split()).startswith(" ".join(text.split()))
    if needle.mode == "re":
        return re.search(needle.text, line, re.IGNORECASE) is not None
    return all(word in low for word in text.split())


needles = st.one_of(
    st.builds(Needle, lines.filter(str.strip), st.sampled_from(["words", "starts"])),
    st.builds(
        Needle,
        st.sampled_from(
            [r"^ntp", r"ntp\s+server", r"10\.0\.0\.1$", "[^x]b", "line|vty", r"^\s*a b", r"\Antp"]
        ),
        st.just("re"),
    ),
)


@settings(deadline=None)
@given(needles, st.lists(texts, max_size=5))
def test_many_texts_at_once_say_what_each_line_says(needle: Needle, given_texts: list[str]) -> None:
    matcher = Matcher(needle)
    found = matcher.match([text.encode() for text in given_texts])
    for text, hit in zip(given_texts, found, strict=True):
        expected = [number for number, line in enumerate(split_lines(text)) if plain(needle, line)]
        assert hit == bool(expected)
        assert matcher.lines(text.encode(), most=3) == expected[:3]


def test_a_phrase_in_quotes_is_one_word() -> None:
    matcher = Matcher(Needle('"server 10" ntp'))
    assert matcher.match([b"ntp server 10.0.0.1", b"ntp 10 server"]) == [True, False]


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("  ", "words", "nothing to look for"),
        ("a" * (NEEDLE_MAX_CHARS + 1), "words", "letters to look for"),
        ("(?=a)", "re", "no regular expression"),
        ("(", "re", "no regular expression"),
        ("((a{1000}){1000}){1000}", "re", "no regular expression"),
        (" ".join("abcdefghijklm"), "words", "words can be looked for"),
    ],
)
def test_what_cannot_be_looked_for_says_what_to_write(text: str, mode: Mode, says: str) -> None:
    with pytest.raises(Trouble, match=says):
        Matcher(Needle(text, mode))


def test_a_pattern_that_ruins_others_takes_no_time_here() -> None:
    assert Matcher(Needle("(a+)+$", "re")).match([b"a" * 50_000 + b"!"]) == [False]
