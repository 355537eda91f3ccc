"""Loops over bytes and numbers at the speed of C, for the main road alone.

A function under `compiled` takes and gives numpy arrays and numbers; it is compiled at its first call for the
types it is called with and kept on the disk, so that the next process starts with it. It runs without the
interpreter's lock. Importing this costs about a second: only rooms that need it do.
"""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """The same function, compiled. Arrays are not bounds-checked: the caller makes sure of every index."""
    return numba.njit(function, cache=True, nogil=True, error_model="numpy")
