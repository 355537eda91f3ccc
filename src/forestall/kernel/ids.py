"""Identifiers: 63-bit numbers that sort by time, written as 13 characters of Crockford base 32.

People, the API and the business tables see the text; telemetry stores the number (8 bytes).
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 13
EPOCH_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
RANDOM_BITS = 22

_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_lock = threading.Lock()
_last = 0


def _wall_ms() -> int:
    return int(time.time() * 1000)


_now_ms: Callable[[], int] = _wall_ms
_random: Callable[[int], int] = secrets.randbits


def new_id() -> str:
    """A fresh identifier; within a process later calls sort later."""
    global _last
    with _lock:
        fresh = (max(_now_ms() - EPOCH_MS, 0) << RANDOM_BITS) | _random(RANDOM_BITS)
        number = _last = max(fresh, _last + 1)
    return from_number(number)


@contextmanager
def identifiers_from(now_ms: Callable[[], int], random: Callable[[int], int]) -> Iterator[None]:
    """Within the context identifiers come from this clock and these random bits: for a simulation that
    must give the same identifiers for the same seed. Not for use while other threads make identifiers."""
    global _now_ms, _random, _last
    before = (_now_ms, _random, _last)
    _now_ms, _random, _last = now_ms, random, 0
    try:
        yield
    finally:
        _now_ms, _random, _last = before


def from_number(number: int) -> str:
    """The text of a 63-bit number. Raises ValueError outside 0 ≤ number < 2**63."""
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{number} does not fit an identifier (0 to 2**63 - 1)")
    letters = []
    for _ in range(LENGTH):
        number, digit = divmod(number, 32)
        letters.append(ALPHABET[digit])
    return "".join(reversed(letters))


def to_number(text: str) -> int:
    """The number of an identifier's text. Raises ValueError when it is not one."""
    if len(text) != LENGTH:
        raise ValueError(f"{text!r} is not an identifier ({LENGTH} letters and digits)")
    number = 0
    for letter in text:
        if letter not in _VALUE:
            raise ValueError(f"{text!r} is not an identifier: {letter!r} is not one of {ALPHABET}")
        number = number * 32 + _VALUE[letter]
    if number >= 1 << 63:
        raise ValueError(f"{text!r} is not an identifier: too large")
    return number
