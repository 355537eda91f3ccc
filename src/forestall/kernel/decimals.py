"""Numbers as people write them: a whole number and how many decimal digits of it stand after the point.

What is measured is mostly a short decimal: 12.34 is 1234 with 2 digits. Whole numbers of one series are near
each other, so that their differences take a byte or two; as binary fractions they look like noise. A number
that is no such decimal keeps its bits. Exact: `joined(split(values)) == values`, bit for bit. Pure.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from forestall.kernel.columns import I64, U8
from forestall.kernel.compiled import compiled

F64 = npt.NDArray[np.float64]

BITS = 255  # in the place of digits: the number is the bits of a float
DIGITS_MAX = 12
_WHOLE_MAX = float(1 << 53)  # whole numbers below it are exact in a float, and so is their quotient, rounded
_POWERS = 10.0 ** np.arange(DIGITS_MAX + 1)


def split(values: F64, *, code: I64, groups: int) -> tuple[I64, U8]:
    """Each value's whole number and digits. Values with the same `code` (a series, 0 to groups - 1) get as
    many digits as the one of them that needs most, where that is exact."""
    whole = values.view(np.int64).copy()
    digits = np.empty(len(values), np.uint8)
    _split(values, code, _POWERS, np.zeros(max(1, groups), np.uint8), whole, digits)
    return whole, digits


def joined(whole: I64, digits: U8) -> F64:
    """The values of `split`."""
    short = np.where(digits == BITS, 0, digits)
    return np.where(digits == BITS, whole.view(np.float64), whole / _POWERS[short])


@compiled
def _split(values: Any, code: Any, powers: Any, most: Any, whole: Any, digits: Any) -> None:
    for row in range(len(values)):
        value = values[row]
        digits[row] = BITS
        if not abs(value) < _WHOLE_MAX or (value == 0.0 and whole[row] != 0):  # not finite, huge, or -0.0
            continue
        for count in range(len(powers)):
            number = np.rint(value * powers[count])
            if abs(number) >= _WHOLE_MAX:
                break
            if number / powers[count] == value:
                digits[row] = count
                most[code[row]] = max(most[code[row]], count)
                break
    for row in range(len(values)):
        if digits[row] == BITS:
            continue
        value, count = values[row], most[code[row]]
        number = np.rint(value * powers[count])
        if abs(number) < _WHOLE_MAX and number / powers[count] == value:
            digits[row] = count
        whole[row] = np.int64(np.rint(value * powers[digits[row]]))
