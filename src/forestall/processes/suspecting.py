"""Problems at work, in the watch role: the store is asked about onsets, expectations are made and scored.

A loop of its own, because the store may take its time and nothing on the road waits for it.
"""

import logging
import threading
import time

from django.db import DatabaseError, close_old_connections

from forestall.kernel.clock import Clock
from forestall.problems.expecting import expect_and_score
from forestall.problems.looking import look_around
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable

EVERY_S = 5.0
EXPECT_EVERY_S = 600.0

log = logging.getLogger("watch")


class Suspecting:
    """`run` until `stop` is set."""

    def __init__(self, store: Store, clock: Clock, stop: threading.Event) -> None:
        self._store = store
        self._clock = clock
        self._stop = stop
        self._expect_due = 0.0

    def run(self) -> None:
        """Until told to stop."""
        while not self._stop.wait(EVERY_S):
            try:
                self._once()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("suspects are ranked without log lines and series for now: %s", error)
            except DatabaseError as error:
                log.warning("the loop of problems goes on in a moment: %s", error)
            finally:
                close_old_connections()

    def _once(self) -> None:
        if time.monotonic() >= self._expect_due:
            expect_and_score(now=self._clock.now())
            self._expect_due = time.monotonic() + EXPECT_EVERY_S
        look_around(self._store, now=self._clock.now())
