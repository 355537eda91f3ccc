"""The queries that one request makes, so that they end with it: `telemetry.client` notes each while it runs,
and whoever hears that nobody waits for the answer any more (web.asgi: the person left the page) cancels them.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Asking:
    """What a request asks the store. Used from several threads."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(16)  # the store knows the queries of this request by it
        self._lock = threading.Lock()
        self._running = 0
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._cancelled

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While a query runs."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def cancel(self) -> bool:
        """No further query begins; whether one runs now, to be ended in the store."""
        with self._lock:
            self._cancelled = True
            return self._running > 0


asking: ContextVar[Asking | None] = ContextVar("asking", default=None)
