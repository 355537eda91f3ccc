"""How many records each door took, refused and lost: accepted + rejected + dropped + waiting = sent.

In the memory of one process; shown on the health page and at `/metrics`.
"""

import threading
from collections import Counter

ACCEPTED = "accepted"
REJECTED = "rejected"
DROPPED = "dropped"
WAITING = "waiting"
DOORS_MAX = 100  # names come from code, not from outside


class Counts:
    """Records by door and outcome since the process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, door: str, outcome: str, number: int) -> None:
        """So many more."""
        with self._lock:
            if number and (len(self._counts) < DOORS_MAX * 4 or (door, outcome) in self._counts):
                self._counts[door, outcome] += number

    def all(self) -> dict[tuple[str, str], int]:
        """Every count, by (door, outcome)."""
        with self._lock:
            return dict(self._counts)
