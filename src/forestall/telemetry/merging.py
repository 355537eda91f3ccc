"""Merges of log parts wait while lines come fast: the processors belong to what arrives, and parts that are
merged later are merged once instead of several times. Bounded by the number of parts that wait.

A merge that runs is never broken off: only new ones are not begun (their size limit is set to nothing).
"""

import logging
import threading
import time
from collections.abc import Callable

from forestall.telemetry.schema import DATABASE

LOOK_S = 1.0
BUSY_ROWS_A_S = 100_000
QUIET_S = 5.0  # so long no busy second, then merges go on
PARTS_MAX = 60  # so many may wait; with more, merges go on whatever comes
PARTS_ENOUGH = 20
_LIMIT = "max_bytes_to_merge_at_max_space_in_pool"
_PARTS = f"SELECT count() FROM system.parts WHERE database = '{DATABASE}' AND table = 'logs' AND active"

log = logging.getLogger("store")


class Pace:
    """Whether merges wait. Pure: told what happened, and when (s, monotonic)."""

    def __init__(self) -> None:
        self.waits = False
        self._busy_at = float("-inf")

    def look(self, *, rows_a_s: float, parts: int, now_s: float) -> bool:
        """Whether merges wait from now on."""
        if rows_a_s >= BUSY_ROWS_A_S:
            self._busy_at = now_s
        busy = now_s - self._busy_at < QUIET_S
        self.waits = busy and parts < (PARTS_MAX if self.waits else PARTS_ENOUGH)
        return self.waits


class Merging:
    """Looks every LOOK_S how fast rows come, and lets merges wait. `run` carries a statement out and gives
    its answer as text."""

    def __init__(self, run: Callable[[str], str]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._rows = 0

    def inserted(self, rows: int) -> None:
        """Told by every insert of log lines."""
        with self._lock:
            self._rows += rows

    def start(self) -> None:
        """In a thread that ends with the process. What a killed process left waiting goes on first."""
        threading.Thread(target=self._watch, name="merging", daemon=True).start()

    def _watch(self) -> None:
        pace, waits, seen_s = Pace(), None, time.monotonic()
        while True:
            time.sleep(LOOK_S)
            now_s = time.monotonic()
            with self._lock:
                rows, self._rows = self._rows, 0
            try:
                # whoever does not wait need not count parts
                parts = int(self._run(_PARTS)) if rows or pace.waits else 0
                wanted = pace.look(rows_a_s=rows / (now_s - seen_s), parts=parts, now_s=now_s)
                if wanted is not waits:
                    change = f"MODIFY SETTING {_LIMIT} = 1" if wanted else f"RESET SETTING {_LIMIT}"
                    self._run(f"ALTER TABLE {DATABASE}.logs {change}")
                    waits = wanted
            except Exception as error:  # the table is not made yet, or no session is free: looked again soon
                log.debug("merges cannot be paced now: %s", error)
            seen_s = now_s
