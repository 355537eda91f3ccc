"""What became of the records of each door: accepted + repeated + rejected + dropped + waiting = sent.

`accepted` is durable (some of it may then wait in quarantine), `repeated` was durable when it came again
(`intake.repeats`), `waiting` is read but not durable yet,
`dropped` was read, or lost by the kernel, and is gone. What is answered with 429 or 503 counts when it comes
again. In the memory of one process; shown on the health page and at `/metrics`.
"""

import threading
from collections import Counter

ACCEPTED = "accepted"
REPEATED = "repeated"
REJECTED = "rejected"
DROPPED = "dropped"
WAITING = "waiting"
OUTCOMES = (ACCEPTED, REPEATED, REJECTED, DROPPED, WAITING)
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

    def by_door(self) -> dict[str, dict[str, int]]:
        """Every count, by door and outcome."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for (door, outcome), number in self._counts.items():
                found.setdefault(door, {})[outcome] = number
        return found
