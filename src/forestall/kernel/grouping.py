"""Which rows of a column are alike, in one pass over it. Pure."""

from typing import Any

import numpy as np
import numpy.typing as npt

from forestall.kernel.columns import I64
from forestall.kernel.compiled import compiled

_ODD = np.uint64(0x9E3779B97F4A7C15)
_SLOTS_MIN = 1 << 10


def group(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], I64]:
    """The distinct values (whole numbers), in the order in which they are met, and for each row the place of
    its value among them. Like numpy.unique with `return_inverse`, without sorting."""
    first = np.empty(len(values), np.int64)
    code = np.empty(len(values), np.int64)
    slots = _SLOTS_MIN
    while (count := _group(values.view(np.uint64), slots, first, code)) < 0:
        slots *= 8
    return values[first[:count]], code


def spans(code: I64, at: I64, *, count: int) -> tuple[I64, I64]:
    """The least and the greatest `at` of each of `count` groups that all have rows."""
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, np.iinfo(np.int64).min)
    _spans(code, at, first, last)
    return first, last


@compiled
def _group(values: Any, slots: Any, first: Any, code: Any) -> int:
    """How many distinct values, -1: there are too many for so few slots (a power of two)."""
    table = np.full(slots, -1, np.int64)
    mask = np.uint64(slots - 1)
    count = 0
    for row in range(len(values)):
        value = values[row]
        if row > 0 and value == values[row - 1]:
            code[row] = code[row - 1]
            continue
        place = ((value * _ODD) >> np.uint64(32)) & mask
        while table[place] >= 0 and values[first[table[place]]] != value:
            place = (place + np.uint64(1)) & mask
        if table[place] < 0:
            if 2 * count >= slots:
                return -1
            table[place] = count
            first[count] = row
            count += 1
        code[row] = table[place]
    return count


@compiled
def _spans(code: Any, at: Any, first: Any, last: Any) -> None:
    for row in range(len(code)):
        place = code[row]
        first[place] = min(first[place], at[row])
        last[place] = max(last[place], at[row])
