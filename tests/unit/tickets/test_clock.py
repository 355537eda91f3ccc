"""The clock of a service level, beside a slow one that asks the wall minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.tickets import clock as clocks
from forestall.tickets.clock import Calendar, Clock

OFFICE = ((8 * 60, 12 * 60), (13 * 60, 17 * 60))
NIGHT = ((0, 3 * 60 + 30), (22 * 60, 24 * 60))
ALWAYS = ((0, 24 * 60),)
ZONES = (
    "Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Pacific/Auckland", "Asia/Beirut", "UTC", "Africa/Casablanca", "America/Santiago",
)  # fmt: skip
LANDS = (("", ""), ("DE", "BY"), ("US", "TX"), ("NZ", ""), ("GB", "ENG"))
# Around changes of daylight saving and holidays, and anywhere in a few years.
TURNS = [
    datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 12, 24, tzinfo=UTC),
    datetime(2026, 9, 6, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC),
]  # fmt: skip

calendars = st.builds(
    lambda zone, week, land: Calendar(zone, tuple(week), *land),
    st.sampled_from(ZONES),
    st.lists(st.sampled_from([OFFICE, OFFICE, NIGHT, ALWAYS, ()]), min_size=7, max_size=7),
    st.sampled_from(LANDS),
)
moments = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from(TURNS),
    st.integers(-2 * 24 * 60, 2 * 24 * 60),
)


def works(calendar: Calendar, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(calendar.zone))
    if calendar.country and local.date() in holidays.country_holidays(
        calendar.country, subdiv=calendar.subdivision or None, years=local.year
    ):
        return False
    minute = local.hour * 60 + local.minute
    return any(begin <= minute < end for begin, end in calendar.hours[local.weekday()])


def slowly(calendar: Calendar, begin: datetime, minutes: int) -> int:
    return sum(60 for n in range(minutes) if works(calendar, begin + timedelta(minutes=n)))


@settings(max_examples=40, deadline=None)
@given(calendars, moments, st.integers(0, 30 * 60))
def test_business_time_is_what_the_wall_clock_says(calendar, begin, minutes):
    end = begin + timedelta(minutes=minutes)
    assert clocks.between(calendar, begin, end) == slowly(calendar, begin, minutes)


@settings(max_examples=150, deadline=None)
@given(calendars, moments, st.integers(1, 40 * 3600))
def test_after_is_the_inverse_of_between(calendar, begin, seconds):
    due = clocks.after(calendar, begin, seconds)
    if due is None:
        assert not any(calendar.hours)
        return
    assert clocks.between(calendar, begin, due) == seconds
    assert clocks.between(calendar, begin, due - timedelta(seconds=1)) == seconds - 1


steps = st.lists(
    st.tuples(st.sampled_from(["pause", "resume", "pass", "assign"]), st.integers(1, 20 * 60)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(calendars.filter(lambda one: any(one.hours)), moments, st.integers(600, 100 * 3600), steps)
def test_pauses_keep_the_budget_and_a_breach_is_said_once(calendar, begin, budget, happened):
    """What is used is exactly the business time in which it ran; who has the ticket plays no part; warning
    and breach are each reached once, in this order."""
    clock, now, used, running = clocks.start(calendar, budget, begin), begin, 0.0, True
    told: list[str] = []
    for what, minutes in happened:
        match what:
            case "pause":
                clock, running = clocks.pause(calendar, clock, now), False
            case "resume":
                clock, running = clocks.resume(calendar, clock, now), True
        later = now + timedelta(minutes=minutes)
        used += clocks.between(calendar, now, later) if running else 0.0
        now = later
        assert clocks.left(calendar, clock, now) == max(0, budget - used)
        seen = clocks.look(calendar, clock, warn_percent=75, now=now)
        late, soon = used >= budget, used >= budget - budget * 25 // 100
        if running:
            assert seen.what == ("late" if late else "soon" if soon else "")
        else:
            assert seen == clocks.Look("", None)
        if seen.what and seen.what not in told:
            told.append(seen.what)
        assert seen.next_at is None or seen.next_at > now
    assert told in ([], ["soon"], ["late"], ["soon", "late"])


@settings(max_examples=100, deadline=None)
@given(calendars.filter(lambda one: any(one.hours)), moments, st.integers(600, 100 * 3600))
def test_who_looks_only_when_told_to_misses_nothing(calendar, begin, budget):
    """The times at which the rounds look lead through the warning to the breach, and then end."""
    clock = clocks.start(calendar, budget, begin)
    now, told = begin, []
    for _ in range(10):
        seen = clocks.look(calendar, clock, warn_percent=75, now=now)
        if seen.what:
            told.append((seen.what, now))
        if seen.next_at is None:
            break
        now = seen.next_at
    assert [what for what, _ in told] == ["soon", "late"]
    assert told[1][1] == clock.due_at
    assert clocks.between(calendar, begin, told[0][1]) == budget - budget * 25 // 100


def test_a_higher_priority_keeps_what_was_used():
    calendar = Calendar("Europe/Berlin", (OFFICE,) * 5 + ((), ()))
    nine = datetime(2026, 11, 23, 8, tzinfo=UTC)
    clock = clocks.start(calendar, 8 * 3600, nine)
    eleven = nine + timedelta(hours=2)
    urgent = clocks.promise(calendar, clock, 4 * 3600, eleven)
    assert clocks.left(calendar, urgent, eleven) == 2 * 3600
    assert urgent.due_at == datetime(2026, 11, 23, 13, tzinfo=UTC)  # the hour of lunch does not count
    assert clocks.promise(calendar, urgent, None, eleven) == Clock()


def test_what_is_done_stays_done_and_goes_on_with_the_rest():
    calendar = Calendar("UTC", (ALWAYS,) * 7)
    begin = datetime(2026, 11, 23, 8, tzinfo=UTC)
    clock = clocks.finish(calendar, clocks.start(calendar, 3600, begin), begin + timedelta(minutes=20))
    assert clocks.finish(calendar, clock, begin + timedelta(minutes=50)) == clock
    again = clocks.resume(calendar, clock, begin + timedelta(hours=5))
    assert again.due_at == begin + timedelta(hours=5, minutes=40)


def test_holidays_of_a_country_are_known():
    assert clocks.known_country("DE", "BY")
    assert not clocks.known_country("XX")
    assert not clocks.known_country("DE", "ZZ")
