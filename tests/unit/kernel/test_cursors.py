"""A cursor says where a page ended, survives the way there and back; a foreign one is refused in words."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.kernel.cursors import CURSOR_MAX_CHARS, cut, read_cursor, write_cursor
from forestall.kernel.errors import Trouble

NOW = datetime(2026, 11, 23, 4, 5, 6, 789012, tzinfo=UTC)


@given(st.integers(-(2**40), 2**40), st.datetimes(timezones=st.just(UTC)), st.text(max_size=100))
def test_a_place_comes_back_as_it_was(concern: int, at: datetime, name: str) -> None:
    text = write_cursor((concern, at, name))
    assert read_cursor(text, tuple[int, datetime, str]) == (concern, at, name)


@pytest.mark.parametrize(
    "text",
    [
        "rubbish",
        "",
        "é",
        "A" * (CURSOR_MAX_CHARS + 1),
        write_cursor((1, NOW)),
        write_cursor((1, "yesterday", "key")),
        write_cursor((1, NOW.replace(tzinfo=None), "key")),
        write_cursor((1, NOW, "key", "more")),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
    ],
)
def test_what_is_no_cursor_of_the_list_is_said(text: str) -> None:
    with pytest.raises(Trouble, match="not a cursor of this list"):
        read_cursor(text, tuple[int, datetime, str])


@pytest.mark.parametrize(("count", "following"), [(0, None), (2, None), (3, [2])])
def test_a_page_is_cut_where_it_is_full(count: int, following: Any) -> None:
    page = cut(list(range(1, count + 1)), 2, lambda row: (row,))
    assert page.items == [1, 2][:count]
    assert (page.next and list(read_cursor(page.next, tuple[int]))) == following
