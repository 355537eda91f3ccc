"""Numbers come back bit for bit."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forestall.kernel.decimals import BITS, joined, split

SHORT = st.builds(lambda whole, digits: whole / 10**digits, st.integers(-(10**12), 10**12), st.integers(0, 8))
ANY = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(SHORT, ANY)), max_size=60))
@example([(0, -0.0), (0, 0.1), (0, 2.0**53), (1, float("nan"))])
def test_what_is_split_is_joined_again(rows: list[tuple[int, float]]) -> None:
    values = np.array([value for _, value in rows], np.float64)
    whole, digits = split(values, code=np.array([code for code, _ in rows], np.int64), groups=4)
    assert joined(whole, digits).tobytes() == values.tobytes()


def test_a_series_has_as_many_digits_everywhere_as_its_longest_number_needs() -> None:
    values = np.array([12.3, 12.35, 12.0, 7.0, 3.5, np.pi])
    whole, digits = split(values, code=np.array([0, 0, 0, 1, 1, 1]), groups=2)
    assert whole.tolist()[:5] == [1230, 1235, 1200, 70, 35]
    assert digits.tolist() == [2, 2, 2, 1, 1, BITS]
