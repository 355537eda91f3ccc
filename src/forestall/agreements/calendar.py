"""Months, anniversaries and counting instants, in the client's time zone. Pure: no clock."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from forestall.kernel.errors import Trouble

_MONTH = re.compile(r"(\d{4})-(\d{2})")
YEARS = range(2000, 2200)
ANNIVERSARIES_MAX = 200


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month, the period of a bill."""

    year: int
    number: int

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def days(self) -> int:
        """How many days it has."""
        return monthrange(self.year, self.number)[1]

    @property
    def last(self) -> date:
        """Its last day."""
        return date(self.year, self.number, self.days)

    @property
    def after(self) -> "Month":
        """The next month."""
        return self.moved(1)

    @property
    def before(self) -> "Month":
        """The month before."""
        return self.moved(-1)

    def moved(self, months: int) -> "Month":
        """So many months later."""
        year, number = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(year, number + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def month_of(day: date) -> Month:
    """The month of a day."""
    return Month(day.year, day.month)


def read_month(text: str) -> Month:
    """A month from `2026-11`. Raises Trouble."""
    match = _MONTH.fullmatch(text.strip())
    if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) not in YEARS:
        raise Trouble(f"{text.strip()!r} is no month", "Write year and month, for example 2026-11.")
    return Month(int(match[1]), int(match[2]))


def anniversary(start: date, years: int) -> date:
    """The day `years` after; 29 February becomes 28 February in common years."""
    year = start.year + years
    return date(year, start.month, min(start.day, monthrange(year, start.month)[1]))


def anniversaries(start: date, *, until: date) -> list[date]:
    """Every anniversary after `start` up to and with `until`, each once."""
    found = []
    for years in range(1, ANNIVERSARIES_MAX):
        day = anniversary(start, years)
        if day > until:
            break
        found.append(day)
    return found


def count_day(month: Month, *, in_advance: bool, starts_on: date, ends_on: date | None = None) -> date:
    """The local day whose end is the counting instant: the month's first day of the agreement (in advance)
    or its last one (in arrears)."""
    if in_advance:
        return max(month.first, starts_on)
    return min(month.last, ends_on) if ends_on else month.last


def counting_instant(day: date, zone: str) -> datetime:
    """The first instant after the counting day."""
    return first_instant(day + timedelta(days=1), zone)


def first_instant(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC. Where clocks jump over midnight it is the jump's end."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    at = local.astimezone(UTC)
    back = at.astimezone(ZoneInfo(zone))
    if back.date() < day:  # midnight does not exist: the zone's own rule led to the evening before
        at += timedelta(hours=1)
    return at


def local_day(at: datetime, zone: str) -> date:
    """The day it is there at an instant."""
    return at.astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True, slots=True)
class Renewal:
    """Until when an agreement runs, and by when notice must be given for it to end then."""

    ends_on: date
    notice_by: date


def renewal(start: date, *, months: int, notice_days: int, today: date) -> Renewal | None:
    """The end of the running term; None for an agreement without a term. `ends_on` is its last day."""
    if months <= 0:
        return None
    for terms in range(1, 1 + 12 * ANNIVERSARIES_MAX):
        target = month_of(start).moved(months * terms)
        begins = date(target.year, target.number, min(start.day, target.days))
        ends = begins - timedelta(days=1)
        if ends >= today:
            return Renewal(ends, ends - timedelta(days=notice_days))
    return None
