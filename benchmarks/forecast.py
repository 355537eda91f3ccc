"""Precision and recall of `full within 14 days` on generated disks, beside a plain Theil-Sen line.

Regimes: linear, step, sawtooth from rotation, bursts, weekly cycle, plateau, noise, resize. Each series
has 28 days of past and is continued by the same process: the truth is when that continuation is full.
Run: python benchmarks/forecast.py [series per regime] [seed]
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from forestall.judge.forecast import HOURS, forecast_full
from forestall.kernel.columns import F64

HORIZON_DAYS = 14
FUTURE_DAYS = 60
ALL = HOURS + FUTURE_DAYS * 24
Rng = np.random.Generator


def pace(rng: Rng) -> float:
    """Days until full from now: half of them within the horizon."""
    return float(rng.uniform(1.5, 14) if rng.random() < 0.5 else rng.uniform(15, 120))


def toward(shape: F64, rng: Rng, days: float) -> F64:
    """A rising shape, scaled so that it is full `days` after the end of the past, from a random level now."""
    now = rng.uniform(0.3, 0.95)
    end = HOURS + min(int(days * 24), ALL - HOURS - 1)
    gain = shape[end] - shape[HOURS - 1]
    full = days * 24 < ALL - HOURS
    target = 1 - now if full else (1 - now) * (ALL - HOURS) / (days * 24)
    rise = max(gain, 1e-9)
    series = now + (shape - shape[HOURS - 1]) * target / rise
    lowest = float(series[:HOURS].min())
    if lowest < 0.02:  # it cannot have begun below empty: come from a higher level more slowly
        squeeze = (1 - 0.02) / (1 - lowest)
        series = 1 - (1 - series) * squeeze
    return np.asarray(series)


def linear(rng: Rng) -> F64:
    shape = np.arange(ALL, dtype=float)
    return toward(shape, rng, pace(rng)) + rng.normal(0, rng.uniform(0.0002, 0.004), ALL)


def step(rng: Rng) -> F64:
    series = np.full(ALL, rng.uniform(0.2, 0.6)) + rng.normal(0, 0.002, ALL)
    for _ in range(rng.integers(1, 3)):
        series[rng.integers(24, HOURS - 12) :] += rng.uniform(0.05, 0.15)
    return series


def sawtooth(rng: Rng) -> F64:
    period = int(rng.choice([24, 72, 168]))
    base = (
        toward(np.arange(ALL, dtype=float), rng, pace(rng))
        if rng.random() < 0.5
        else np.full(ALL, rng.uniform(0.2, 0.75))
    )
    tooth = (np.arange(ALL) + rng.integers(period)) % period / period
    return base - 0.1 + tooth * rng.uniform(0.03, 0.1) + rng.normal(0, 0.001, ALL)


def bursts(rng: Rng) -> F64:
    happens = rng.random(ALL) < rng.uniform(1 / 24, 1 / 6)
    return toward(np.cumsum(happens * rng.exponential(1.0, ALL)), rng, pace(rng)) + rng.normal(0, 0.0005, ALL)


def weekly(rng: Rng) -> F64:
    hour = np.arange(ALL) + rng.integers(168)
    works = ((hour // 24) % 7 < 5) & (hour % 24 > 7) & (hour % 24 < 19)
    if rng.random() < 0.6:
        return toward(np.cumsum(works.astype(float)), rng, pace(rng)) + rng.normal(0, 0.001, ALL)
    week = np.cumsum(works.astype(float)).reshape(-1)
    inside = week - np.interp(np.arange(ALL), np.arange(0, ALL, 168), week[::168])
    return rng.uniform(0.3, 0.7) + inside / max(np.ptp(inside), 1e-9) * 0.15 + rng.normal(0, 0.002, ALL)


def plateau(rng: Rng) -> F64:
    stop = rng.integers(HOURS // 3, HOURS - 96)
    shape = np.minimum(np.arange(ALL, dtype=float), stop)
    top = rng.uniform(0.5, 0.9)
    return top - (shape[-1] - shape) / shape[-1] * rng.uniform(0.1, 0.45) + rng.normal(0, 0.001, ALL)


def noise(rng: Rng) -> F64:
    slow = np.cumsum(rng.normal(0, 0.002, ALL))
    slow -= np.linspace(slow[0], slow[-1], ALL)
    return np.clip(
        rng.uniform(0.3, 0.75) + rng.normal(0, rng.uniform(0.005, 0.04), ALL) + 0.3 * slow, 0.01, 0.98
    )


def resize(rng: Rng) -> F64:
    series = toward(np.arange(ALL, dtype=float), rng, pace(rng))
    when, factor = rng.integers(48, HOURS - 120), rng.uniform(1.3, 2.5)
    series[:when] = np.clip(series[:when] * factor, 0.01, 0.99)
    return series + rng.normal(0, 0.001, ALL)


REGIMES: dict[str, Callable[[Rng], F64]] = {
    one.__name__: one for one in (linear, step, sawtooth, bursts, weekly, plateau, noise, resize)
}


def theil_sen(past: F64) -> float:
    """The bar: one robust line over 14 days."""
    y = past[-336::6]
    x = np.arange(len(y)) / 4
    i, j = np.triu_indices(len(y), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    return (1 - float(past[-1])) / slope if slope > 0 else float("inf")


def score(forecast: Callable[[F64], float], count: int, seed: int) -> None:
    """Print precision, recall and the median error of the date, for each regime and all of them."""
    whole = np.zeros(4)
    errors: list[float] = []
    print(f"{forecast.__name__}:")
    for number, (name, make) in enumerate(REGIMES.items()):
        rng = np.random.default_rng([seed, number])
        seen = np.zeros(4)  # right alarm, false alarm, missed, right silence
        done = 0
        while done < count:
            series = make(rng)
            past = series[:HOURS]
            if past.max() >= 0.995 or past.min() < 0:
                continue
            done += 1
            beyond = np.flatnonzero(series[HOURS:] >= 1.0)
            truth = (beyond[0] + 1) / 24 if len(beyond) else np.inf
            said = forecast(np.ascontiguousarray(past))
            seen[
                (0 if truth <= HORIZON_DAYS else 1)
                if said <= HORIZON_DAYS
                else (2 if truth <= HORIZON_DAYS else 3)
            ] += 1
            if said <= HORIZON_DAYS and truth <= HORIZON_DAYS:
                errors.append(abs(said - truth) / truth)
        whole += seen
        right, false, missed, _ = seen
        recall = f"recall {right / (right + missed):.2f}" if right + missed else "nothing fills up"
        print(f"  {name:9} alarms {right:.0f} right, {false:.0f} false; {recall}")
    right, false, missed, _ = whole
    print(
        f"  all: precision {right / (right + false):.3f}, recall {right / (right + missed):.3f}, "
        f"median error of the date {np.median(errors):.1%}"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    score(theil_sen, count, seed)
    began = time.perf_counter()
    score(forecast_full, count, seed)
    print(
        f"  {(time.perf_counter() - began) / count / len(REGIMES) * 1e6:.0f} µs a series, generator included"
    )


if __name__ == "__main__":
    main()
