"""The clock of a service level: business time, what is left of a budget, when it is late. Pure.

Business time is real time that passes while the wall clock of a zone shows business hours on a day that is no
holiday: an hour that daylight saving skips does not count, one that comes twice counts twice.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays

DAY_MINUTES = 24 * 60
HORIZON_DAYS = 1500  # a budget that no business hours fill within this has no due time
_REACH = timedelta(hours=15)  # no zone is further from UTC
_DAY = timedelta(days=1)
STEPS = ("day", "week", "month")

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Calendar:
    """When we work: for each day of the week (Monday first) [begin, end) in minutes of the local day, apart
    from one another; the holidays of a country (ISO 3166, "" for none) and its subdivision."""

    zone: str
    hours: tuple[tuple[tuple[int, int], ...], ...]
    country: str = ""
    subdivision: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """One promise on a ticket. It runs (`due_at`), is paused (`left_s` alone) or is done (`done_at`; what was
    left then is kept for a reopening). `budget_s` None: nothing was promised."""

    budget_s: int | None = None
    due_at: datetime | None = None
    left_s: int | None = None
    done_at: datetime | None = None

    @property
    def runs(self) -> bool:
        """Whether time counts."""
        return self.budget_s is not None and self.due_at is not None and self.done_at is None


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be told now ("", soon, late), and when to look again (None: never by itself)."""

    what: str
    next_at: datetime | None


def start(calendar: Calendar, budget_s: int | None, now: datetime) -> Clock:
    """It begins to run."""
    if budget_s is None:
        return Clock()
    return Clock(budget_s, due_at=after(calendar, now, budget_s))


def pause(calendar: Calendar, clock: Clock, now: datetime) -> Clock:
    """It stands, and what is left is kept; one that is late already has nothing left."""
    if not clock.runs:
        return clock
    return replace(clock, due_at=None, left_s=left(calendar, clock, now))


def resume(calendar: Calendar, clock: Clock, now: datetime) -> Clock:
    """It goes on with what was left, whether it was paused or done."""
    if clock.budget_s is None or clock.runs:
        return clock
    kept = clock.budget_s if clock.left_s is None else clock.left_s
    return Clock(clock.budget_s, due_at=after(calendar, now, kept))


def finish(calendar: Calendar, clock: Clock, now: datetime) -> Clock:
    """The promise was kept, or broken, now. A second time changes nothing."""
    if clock.done_at is not None:
        return clock
    return replace(clock, due_at=None, left_s=left(calendar, clock, now), done_at=now)


def promise(calendar: Calendar, clock: Clock, budget_s: int | None, now: datetime) -> Clock:
    """Another budget, because the priority changed: what was used stays used."""
    if clock.done_at is not None or clock.budget_s == budget_s:
        return clock
    if budget_s is None:
        return Clock()
    used = 0 if clock.budget_s is None else clock.budget_s - (left(calendar, clock, now) or 0)
    rest = max(0, budget_s - used)
    paused = clock.budget_s is not None and clock.due_at is None
    return Clock(budget_s, left_s=rest) if paused else Clock(budget_s, due_at=after(calendar, now, rest))


def left(calendar: Calendar, clock: Clock, now: datetime) -> int | None:
    """Seconds of business time that are left, never less than nothing; None when nothing was promised."""
    if clock.budget_s is None:
        return None
    if clock.due_at is None:
        return clock.budget_s if clock.left_s is None else clock.left_s
    return round(between(calendar, now, clock.due_at)) if now < clock.due_at else 0


def look(calendar: Calendar, clock: Clock, *, warn_percent: int, now: datetime) -> Look:
    """Whether to warn (`warn_percent` of the budget is used) or to say that it is late, and when to look
    again."""
    if not clock.runs or clock.due_at is None or clock.budget_s is None:
        return Look("", None)
    if now >= clock.due_at:
        return Look("late", None)
    until_warning = (left(calendar, clock, now) or 0) - clock.budget_s * (100 - warn_percent) // 100
    if until_warning <= 0:
        return Look("soon", clock.due_at)
    return Look("", min(after(calendar, now, until_warning) or clock.due_at, clock.due_at))


def between(calendar: Calendar, begin: datetime, end: datetime) -> float:
    """Seconds of business time from `begin` to `end`; 0 when they are the other way round."""
    total = timedelta()
    for span_begin, span_end in _spans(calendar, begin, until=end):
        total += max(timedelta(), min(span_end, end) - max(span_begin, begin))
    return total.total_seconds()


def after(calendar: Calendar, begin: datetime, seconds: float) -> datetime | None:
    """When so much business time has passed since `begin`; None when it does not within HORIZON_DAYS."""
    rest = timedelta(seconds=seconds)
    if not rest:
        return begin
    for span_begin, span_end in _spans(calendar, begin):
        from_here = max(span_begin, begin)
        if from_here + rest <= span_end:
            return from_here + rest
        rest -= max(timedelta(), span_end - from_here)
    return None


def known_country(country: str, subdivision: str = "") -> bool:
    """Whether its holidays are known."""
    listed = holidays.list_supported_countries()
    return country in listed and (not subdivision or subdivision in listed[country])


def _spans(calendar: Calendar, begin: datetime, until: datetime | None = None) -> Iterator[Span]:
    """Business hours that end after `begin`, in UTC and in order."""
    zone = ZoneInfo(calendar.zone)
    day = begin.astimezone(zone).date() - _DAY
    for _ in range(HORIZON_DAYS):
        for span in _spans_of_day(calendar, day):
            if span[1] > begin:
                yield span
        day += _DAY
        if until is not None and datetime(day.year, day.month, day.day, tzinfo=UTC) - _REACH > until:
            return


@lru_cache(maxsize=8192)
def _spans_of_day(calendar: Calendar, day: date) -> tuple[Span, ...]:
    hours = calendar.hours[day.weekday()]
    if not hours or day in _holidays(calendar.country, calendar.subdivision, day.year):
        return ()
    spans = sorted(span for stretch in _offsets(calendar.zone, day) for span in _within(day, hours, stretch))
    return tuple(span for span in spans if span[0] < span[1])


def _within(
    day: date, hours: Sequence[tuple[int, int]], stretch: tuple[datetime, datetime, timedelta]
) -> Iterator[Span]:
    """Business hours of a day inside the stretch of time in which the zone has one offset."""
    begins_at, ends_at, offset = stretch
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - offset
    for begin, end in hours:
        yield (
            max(begins_at, midnight + timedelta(minutes=begin)),
            min(ends_at, midnight + timedelta(minutes=end)),
        )


def _offsets(zone: str, day: date) -> list[tuple[datetime, datetime, timedelta]]:
    """Stretches around a local day with their offset from UTC: one, or two when the clock is put forward or
    back. Zones change at most once in two days."""
    place = ZoneInfo(zone)
    middle = datetime(day.year, day.month, day.day, tzinfo=UTC)
    low, high = middle - _REACH, middle + _DAY + _REACH
    first, last = _offset(low, place), _offset(high, place)
    if first == last:
        return [(low, high, first)]
    before, change = low, high
    while change - before > timedelta(seconds=1):
        half = before + timedelta(seconds=int((change - before).total_seconds()) // 2)
        before, change = (half, change) if _offset(half, place) == first else (before, half)
    return [(low, change, first), (change, high, last)]


def _offset(at: datetime, place: ZoneInfo) -> timedelta:
    return at.astimezone(place).utcoffset() or timedelta()


@lru_cache(maxsize=512)
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    if not country:
        return frozenset()
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; UTC for one that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def step_of(first: datetime, every: str, number: int) -> datetime:
    """The `number`th time of a series by day, week or month, at the wall time of the first; a day that a
    month has not is its last. Raises ValueError for another `every`."""
    if every not in STEPS:
        raise ValueError(f"there is no series by {every!r}")
    if every != "month":
        return first + timedelta(days=number * (7 if every == "week" else 1))
    months = first.month - 1 + number
    year, month = first.year + months // 12, months % 12 + 1
    return first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1]))
