"""Rows that are alike, against numpy's own sorting answer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.kernel.grouping import group, spans

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.one_of(st.integers(0, 5), NUMBERS), max_size=200))
def test_groups_are_those_of_unique(values: list[int]) -> None:
    column = np.array(values, np.int64)
    distinct, code = group(column)
    assert sorted(distinct.tolist()) == np.unique(column).tolist()
    assert np.array_equal(distinct[code], column)
    assert distinct.tolist() == list(dict.fromkeys(values))


def test_more_values_than_slots() -> None:
    column = np.arange(50_000, dtype=np.uint64)[::-1].copy()
    distinct, code = group(column)
    assert np.array_equal(distinct[code], column) and len(distinct) == 50_000


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 9), NUMBERS), min_size=1, max_size=100))
def test_spans_hold_the_least_and_the_greatest(rows: list[tuple[int, int]]) -> None:
    distinct, code = group(np.array([key for key, _ in rows], np.int64))
    first, last = spans(code, np.array([at for _, at in rows], np.int64), count=len(distinct))
    for place, key in enumerate(distinct.tolist()):
        ats = [at for one, at in rows if one == key]
        assert (first[place], last[place]) == (min(ats), max(ats))
