"""When is it full? Straight lines over the hours of the present regime, chosen by how well they foretold.

One-off jumps and clean-ups are levelled out first, because they say nothing about the pace. Then several
straight lines (robust slopes over the peaks of 5 to 28 days, mean rates, week against week) are tested on
the last days of this very series; the one that foretold best is used, when what it says rises above its
own error.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from forestall.kernel.columns import F64

HOURS = 672
LEAST_HOURS = 24
DAY = 24
DAYS = HOURS // DAY
LEAST_DAYS = 5  # days with data before a line over days is tried
JUMP = 0.03  # a change of this share of the whole within an hour, far beyond the usual, may be a one-off
JUMP_USUAL = 12
ONE_OFFS_MAX = 2  # more jumps than this are how the series grows, or how it is rotated
SHORT_DAYS_MAX = 3.0  # the line over the last day sees no further than this
WINDOWS = (5, 7, 10, 14, 28)
ERROR_SHARE = 0.5  # a pace counts when it is more than this share of the error of the best line
BACK_DAYS = (2, 3, 4, 5, 6, 7)


def might_fill(past: F64, horizon_days: float) -> npt.NDArray[np.bool_]:
    """A cheap bound for many series at once: could any recent pace reach the whole within the horizon?

    `past`: (n, hours), oldest first, NaN where nothing was observed.
    """
    now = past[:, -1]
    count = np.isfinite(past).sum(axis=1)
    first = past[np.arange(len(past)), np.isfinite(past).argmax(axis=1)]
    pace = (now - first) / np.maximum(count, 1)
    for lag in (24, 72, 168, 336):
        then = past[:, -1 - lag]
        pace = np.fmax(pace, (now - then) / lag)
    could: npt.NDArray[np.bool_] = (
        (now + pace * 2 * DAY * horizon_days >= 1.0) & (pace > 0) & (count >= LEAST_HOURS)
    )
    return could


def forecast_full(past: F64) -> float:
    """Days until the whole is reached, inf when not in sight. `past`: (hours,) shares, oldest first."""
    known = np.flatnonzero(np.isfinite(past))
    if len(known) < LEAST_HOURS or past[known[-1]] >= 1:
        return float("inf")
    filled = np.interp(np.arange(known[0], len(past)), known, past[known])
    short = _short(filled)
    level = _levelled(filled)
    days = len(level) // DAY
    if days < LEAST_DAYS:
        return short
    daily = level[len(level) - days * DAY :].reshape(days, DAY)
    return min(short, _long(daily.max(axis=1), float(filled[-1]), float(filled[-DAY:].max())))


def _short(hours: F64) -> float:
    """The line over the last day: for what fills up steadily and fast, into space never used before."""
    day = hours[-DAY:]
    rise = float(day[-1] - day[0])
    before = hours[:-DAY]
    quarters = day.reshape(4, 6).mean(axis=1)
    steps = np.diff(quarters)
    if rise <= 0 or (steps <= 0).any() or steps.max() > 2.5 * steps.min():
        return float("inf")
    if len(before) and day[-1] - before.max() < 0.5 * rise:
        return float("inf")
    days = (1 - float(day[-1])) / _slope(np.arange(DAY) / DAY, day)
    return days if 0 < days <= SHORT_DAYS_MAX else float("inf")


def _levelled(hours: F64) -> F64:
    """The series with one-off jumps taken out: what came before them is moved to the level after them."""
    change = np.diff(hours)
    usual = float(np.median(np.abs(change - np.median(change))))
    level = hours.copy()
    for sign in (1, -1):
        jumps = np.flatnonzero(sign * change > max(JUMP, JUMP_USUAL * usual))
        if 0 < len(jumps) <= ONE_OFFS_MAX:
            for jump in jumps.tolist():
                level[: jump + 1] += change[jump] - np.median(change)
        elif sign < 0 and len(jumps) and not _regular(jumps):
            level = level[int(jumps[-1]) + 1 :] if len(level) - jumps[-1] > LEAST_DAYS * DAY else level
    return level


def _regular(jumps: npt.NDArray[np.int64]) -> bool:
    """Whether drops come about as regularly as a rotation does."""
    if len(jumps) <= ONE_OFFS_MAX:
        return False
    gaps = np.diff(jumps)
    return bool(gaps.std() < 0.5 * gaps.mean())


def _long(peaks: F64, now: float, peak: float) -> float:
    """The best straight line over the peaks of days."""
    paces = np.array(_paces(peaks))
    errors = np.zeros(len(paces))
    tested = 0
    for back in BACK_DAYS:
        then = peaks[:-back]
        if len(then) < LEAST_DAYS:
            break
        ahead = np.array(_paces(then))
        errors += np.abs(then[-1] + ahead * back - peaks[-1]) / back
        tested += 1
    if not tested:
        pace, error = float(np.median(paces)), float(np.abs(np.diff(peaks)).std())
    else:
        errors /= tested
        weights = 1.0 / (errors + 0.1 * float(errors.min()) + 1e-6) ** 4
        pace, error = float((paces * weights).sum() / weights.sum()), float(errors.min())
    if pace <= 1e-4 or pace < ERROR_SHARE * error:
        return float("inf")
    return max((1 - max(now, peak)) / pace, 0.0)


def _paces(peaks: F64) -> list[float]:
    """Rises a day, by each way to look at the peaks; always as many."""
    x = np.arange(len(peaks), dtype=float)
    found = [_slope(x[-window:], peaks[-window:]) for window in WINDOWS]
    if len(peaks) >= 15:
        found += [float(peaks[-1] - peaks[-window]) / (window - 1) for window in (8, 15)]
    else:
        found += [found[1], found[3]]
    if len(peaks) >= 9:
        found.append(float(np.median(peaks[7:][-7:] - peaks[:-7][-7:])) / 7)
    else:
        found.append(found[2])
    found.append(0.0)
    return found


@cache
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(count, 1)


def _slope(x: F64, y: F64) -> float:
    """Theil-Sen: the median of the slopes of all pairs."""
    i, j = _pairs(len(x))
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))
