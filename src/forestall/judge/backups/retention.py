"""Which copies the keep rules of a tool leave, now and as the runs go on. Pure: times and rules in.

Sources: restic `internal/restic/snapshot_policy.go` (every rule counts for itself, `within` from the newest
copy that is not in the future; from 0.16 on a rule that is not filled keeps the oldest too), borg `prune`
(rules one after the other: what an earlier rule keeps is not counted again, a rule that is not filled keeps
the oldest; `within` from now).
`tests/contract/test_backup_retention.py` holds both against the real programs.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forestall.judge.backups.values import DAY_MS, HOUR_MS, Keep

STEPS_MAX = 400  # runs that are looked ahead
AHEAD_MS = 60 * DAY_MS
_RESTIC_SPAN = re.compile(r"(\d+)([ymdh])")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_BORG_HOURS = {"H": 1, "h": 1, "d": 24, "w": 24 * 7, "m": 24 * 31, "y": 24 * 365}
Bucket = Callable[[datetime], object]

HOURLY: Bucket = lambda at: (at.year, at.month, at.day, at.hour)  # noqa: E731
DAILY: Bucket = lambda at: (at.year, at.month, at.day)  # noqa: E731
WEEKLY: Bucket = lambda at: at.isocalendar()[:2]  # noqa: E731
MONTHLY: Bucket = lambda at: (at.year, at.month)  # noqa: E731
YEARLY: Bucket = lambda at: at.year  # noqa: E731
MINUTELY: Bucket = lambda at: (*at.timetuple()[:5],)  # noqa: E731
SECONDLY: Bucket = lambda at: (*at.timetuple()[:6],)  # noqa: E731


@cache
def zone_of(name: str) -> tzinfo:
    """The time zone of that name; UTC when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def kept(
    keep: Keep, times_ms: Sequence[int], *, tool: str, zone: str, now_ms: int, version: str = ""
) -> list[bool]:
    """For each copy whether the rules keep it. `times_ms` in any order. `version` of the tool; of an unknown
    one restic is taken to be old, which keeps less. A tool without pruning of its own (dumps, archives) is
    taken to remove by age, `within` from now."""
    local = zone_of(zone)
    order = sorted(range(len(times_ms)), key=lambda n: times_ms[n], reverse=True)
    at = [datetime.fromtimestamp(times_ms[n] / 1000, local) for n in order]
    if tool in ("borg", "borgmatic"):
        chosen = _borg(keep, at, now_ms)
    else:
        oldest = tool == "restic" and _keeps_oldest(version)
        chosen = _restic(keep, at, now_ms, from_now=tool != "restic", oldest=oldest)
    found = [False] * len(order)
    for place in chosen:
        found[order[place]] = True
    return found


def days_until_gone(
    keep: Keep,
    *,
    good_ms: Sequence[int],
    bad_ms: Sequence[int],
    every_ms: int,
    goes_on: bool,
    tool: str,
    zone: str,
    now_ms: int,
    version: str = "",
) -> tuple[float | None, int]:
    """When the last good copy is pruned if things go on as now, in days from now (0: at the next pruning;
    None: not within AHEAD_MS), and how many good ones the next pruning leaves. `goes_on`: runs go on
    making bad copies every `every_ms`; otherwise only time passes."""
    good, others = list(good_ms), list(bad_ms)
    after_next = len(good)
    if not keeps_anything(keep):
        return None, after_next
    step = max(every_ms, 60_000)
    for number in range(min(STEPS_MAX, AHEAD_MS // step) + 1):
        now = now_ms + number * step
        if number and goes_on:
            others.append(now)
        stays = kept(keep, [*good, *others], tool=tool, zone=zone, now_ms=now, version=version)
        others = [ms for ms, stay in zip(others, stays[len(good) :], strict=True) if stay]
        good = [ms for ms, stay in zip(good, stays, strict=False) if stay]
        if number == 0:
            after_next = len(good)
        if not good:
            return number * step / DAY_MS, after_next
    return None, after_next


def days_until_each_is_pruned(
    keep: Keep,
    made_ms: Sequence[int],
    *,
    every_ms: int,
    goes_on: bool,
    tool: str,
    zone: str,
    now_ms: int,
    version: str = "",
) -> list[float | None]:
    """For each copy in how many days the rules let it go if things go on as now (0: at the next pruning,
    None: not within AHEAD_MS). `goes_on`: a copy is made every `every_ms`; otherwise only time passes. Told
    to the day, or to the run where runs are rarer."""
    found: list[float | None] = [None] * len(made_ms)
    if not keeps_anything(keep):
        return found
    places, others = list(range(len(made_ms))), list[int]()
    step = max(every_ms, DAY_MS)
    for number in range(AHEAD_MS // step + 1):
        now = now_ms + number * step
        if number and goes_on:
            others += range(now, now - step, -max(every_ms, 60_000))
        times = [made_ms[place] for place in places]
        stays = kept(keep, [*times, *others], tool=tool, zone=zone, now_ms=now, version=version)
        for place, stay in zip(places, stays, strict=False):
            if not stay:
                found[place] = number * step / DAY_MS
        others = [ms for ms, stay in zip(others, stays[len(places) :], strict=True) if stay]
        places = [place for place, stay in zip(places, stays, strict=False) if stay]
        if not places:
            break
    return found


def keeps_anything(keep: Keep) -> bool:
    """Whether there is any rule; without one no tool prunes."""
    return keep != Keep()


def _keeps_oldest(version: str) -> bool:
    found = _VERSION.search(version)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 16)


def _restic(keep: Keep, at: Sequence[datetime], now_ms: int, *, from_now: bool, oldest: bool) -> set[int]:
    chosen: set[int] = set()
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    latest = now if from_now else next((one for one in at if one <= now), now)
    chosen.update(range(len(at) if keep.last < 0 else min(keep.last, len(at))))
    if keep.within:
        since = _restic_since(keep.within, latest)
        chosen.update(n for n, one in enumerate(at) if one > since)
    counted = (
        (keep.hourly, keep.within_hourly, HOURLY),
        (keep.daily, keep.within_daily, DAILY),
        (keep.weekly, keep.within_weekly, WEEKLY),
        (keep.monthly, keep.within_monthly, MONTHLY),
        (keep.yearly, keep.within_yearly, YEARLY),
    )
    for count, within, bucket in counted:
        if count:
            chosen.update(_newest_of_each(at, bucket, count, oldest=oldest))
        if within:
            since = _restic_since(within, latest)
            inside = [one for one in at if one > since]
            whole = oldest and len(inside) == len(at)
            chosen.update(_newest_of_each(inside, bucket, -1, oldest=whole))
    return chosen


def _newest_of_each(at: Sequence[datetime], bucket: Bucket, count: int, *, oldest: bool) -> list[int]:
    """`oldest`: the oldest is kept as well when there is room left for it."""
    found: list[int] = []
    last: object = None
    for n, one in enumerate(at):
        if len(found) == count:
            break
        value = bucket(one)
        if value != last or (oldest and n == len(at) - 1):
            found.append(n)
            last = value
    return found


def _restic_since(written: str, latest: datetime) -> datetime:
    """`latest` minus a span like 1y5m7d2h, as Go's AddDate counts months (over-long days roll over)."""
    amount = dict.fromkeys("ymdh", 0)
    for number, unit in _RESTIC_SPAN.findall(written):
        amount[unit] += int(number)
    months = latest.year * 12 + latest.month - 1 - amount["y"] * 12 - amount["m"]
    first = latest.replace(year=max(months // 12, 1), month=months % 12 + 1, day=1)
    return first + timedelta(days=latest.day - 1 - amount["d"], hours=-amount["h"])


def _borg(keep: Keep, at: Sequence[datetime], now_ms: int) -> set[int]:
    chosen: set[int] = set()
    if keep.within:
        since = now_ms - int(keep.within[:-1]) * _BORG_HOURS.get(keep.within[-1], 24) * HOUR_MS
        chosen.update(n for n, one in enumerate(at) if one.timestamp() * 1000 > since)
    ordered = (
        (keep.secondly or keep.last, SECONDLY),
        (keep.minutely, MINUTELY),
        (keep.hourly, HOURLY),
        (keep.daily, DAILY),
        (keep.weekly, WEEKLY),
        (keep.monthly, MONTHLY),
        (keep.yearly, YEARLY),
    )
    for count, bucket in ordered:
        if count:
            _borg_rule(at, bucket, count, chosen)
    return chosen


def _borg_rule(at: Sequence[datetime], bucket: Bucket, count: int, chosen: set[int]) -> None:
    mine = 0
    last: object = None
    for n, one in enumerate(at):
        value = bucket(one)
        if value == last:
            continue
        last = value
        if n not in chosen:
            chosen.add(n)
            mine += 1
            if mine == count:
                return
    if at and mine < count:
        chosen.add(len(at) - 1)
