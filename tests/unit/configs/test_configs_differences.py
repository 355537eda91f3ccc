"""Differences: what rows say rebuilds both texts; the summary is in words; nothing takes forever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.configs.differences import LINES_MAX, count_lines, rows, summarise

texts = st.lists(st.sampled_from(["", "a", "b", "c d", "!"]), max_size=40).map("\n".join)


@given(texts, texts)
def test_rows_rebuild_both_texts(old: str, new: str) -> None:
    shown = list(rows(old, new, context=10_000))
    if old.splitlines() != new.splitlines():
        assert [row.text for row in shown if row.kind in "=-"] == old.splitlines()
        assert [row.text for row in shown if row.kind in "=+"] == new.splitlines()
    added, removed = count_lines(old, new)
    assert added - removed == len(new.splitlines()) - len(old.splitlines())
    assert [row.new for row in shown if row.new] == sorted(row.new for row in shown if row.new)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("PermitRootLogin no\n", "PermitRootLogin yes\n", "PermitRootLogin no → yes"),
        ("", "Port 2222\n", "+ Port 2222"),
        ("Port 2222\n", "", "− Port 2222"),
        ("alice x 1\n", "bob x 1\n", "alice x 1 → bob x 1"),
        ("a\n", "a\n\n", "blank lines only"),
        ("", "1\n2\n3\n4\n5\n", "+ 1; + 2; + 3; and 2 more"),
        ("same words here\n", "same words here too\n", "same words here → here too"),
    ],
)
def test_the_summary_is_in_words(old: str, new: str, says: str) -> None:
    assert summarise(old, new) == says


def test_lines_between_changes_are_left_out() -> None:
    before = [str(number) for number in range(30)]
    after = ["first", *before[1:-1], "last"]
    kinds = [row.kind for row in rows("\n".join(before), "\n".join(after))]
    assert kinds == ["-", "+", "=", "=", "=", "…", "=", "=", "=", "-", "+"]


def test_a_list_of_blanks_and_a_huge_text_are_compared_in_bounded_work() -> None:
    """Without the limits this would take minutes."""
    blanks = "\n".join("" if place % 2 else f"k{place}" for place in range(2000))
    others = "\n".join("" if place % 2 else f"j{place}" for place in range(2000))
    huge = "\n".join(f"old {place}" for place in range(LINES_MAX))
    new = "\n".join(f"new {place}" for place in range(LINES_MAX))
    assert count_lines(blanks, others)[0] > 0 and count_lines(huge, new) == (LINES_MAX, LINES_MAX)
