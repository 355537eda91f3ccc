"""When is it full? A robust straight line over the hours of the present regime."""

import numpy as np

from forestall.kernel.columns import F64

HOURS = 672
LEAST_HOURS = 24


def might_fill(past: F64, horizon_days: float) -> "np.typing.NDArray[np.bool_]":
    """A cheap bound for many series at once: could any recent pace reach the whole within the horizon?

    `past`: (n, hours), oldest first, NaN where nothing was observed.
    """
    now = past[:, -1]
    pace = np.zeros(len(past))
    for lag in (24, 72, 168, 336, past.shape[1] - 1):
        then = past[:, -1 - lag]
        pace = np.fmax(pace, (now - then) / lag)
    return (now + pace * 24 * horizon_days >= 1.0) & (pace > 0)


def forecast_full(past: F64) -> float:
    """Days until the whole is reached, inf when not in sight. `past`: (hours,) shares, oldest first."""
    known = np.flatnonzero(np.isfinite(past))
    if len(known) < LEAST_HOURS or past[-1] >= 1:
        return float("inf")
    x = known[-336:].astype(float)
    y = past[known[-336:]]
    if x[-1] - x[0] < LEAST_HOURS:
        return float("inf")
    step = max(1, len(x) // 56)
    x, y = x[::-1][::step], y[::-1][::step]
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[i] - y[j]) / (x[i] - x[j]))) * 24
    if slope <= 0:
        return float("inf")
    return float((1 - past[-1]) / slope)
