"""Time as a parameter: pure parts never look at the wall clock, and a simulation owns it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What anything that needs the time is handed."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """A clock that moves only when told; for simulations and tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def set(self, at: datetime) -> None:
        """Move to `at`. Raises ValueError when that lies in the past."""
        if at < self._now:
            raise ValueError(f"a virtual clock does not run backwards ({at} is before {self._now})")
        self._now = at


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return int(at.timestamp() * 1000)


def from_ms(at_ms: int) -> datetime:
    """The UTC instant of milliseconds since 1970."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
