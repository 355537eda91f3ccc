"""The recent past of things that fill up, in constant memory: the last value of each hour, 28 days of hours.

Values are shares of the whole in 16 bits (a step is 0.0017%). The hour of a series begins at an offset of
its own, so that forecasts of many series are spread over the hour. A series is forecast when one of its
hours closes.
"""

import numpy as np
import numpy.typing as npt

from forestall.judge.forecast import HOURS, forecast_full, might_fill
from forestall.judge.table import I32, grown
from forestall.kernel.columns import F64, I64

HOUR_MS = 3_600_000
EMPTY = 65535
SCALE = 60_000.0  # 1.09 of the whole fits, for file systems that report more than 100%
HORIZON_DAYS = 28.0


class Hours:
    """One row for each series that is forecast."""

    def __init__(self) -> None:
        self.count = 0
        self.values: npt.NDArray[np.uint16] = np.full((16, HOURS), EMPTY, np.uint16)
        self.hour: I64 = np.full(16, -1, np.int64)  # the newest hour of a row, -1 when it has none
        self.phase: I64 = np.zeros(16, np.int64)

    def add(self, phase_ms: int) -> int:
        """A new row whose hours begin `phase_ms` before the full hour."""
        number = self.count
        self.values = grown(self.values, number + 1, EMPTY).astype(np.uint16, copy=False)
        self.hour = grown(self.hour, number + 1, -1).astype(np.int64, copy=False)
        self.phase = grown(self.phase, number + 1, 0).astype(np.int64, copy=False)
        self.phase[number] = phase_ms
        self.count += 1
        return number

    def observe(self, rows: I32, at_ms: I64, value: F64) -> list[tuple[int, float]]:
        """Take one sample for each of these rows, newer than what the row has.

        Returns (position in the arrays, days until full; inf when not in sight) for every sample that
        closed an hour.
        """
        hour = (at_ms + self.phase[rows]) // HOUR_MS
        held = self.hour[rows]
        opens = np.flatnonzero(hour > held)
        results: list[tuple[int, float]] = []
        if len(opens):
            closed = opens[held[opens] >= 0]
            results = list(zip(closed.tolist(), self._forecast(rows[closed]), strict=True))
            for place in opens[(held[opens] >= 0) & (hour[opens] > held[opens] + 1)].tolist():
                newest = int(hour[place])
                skipped = np.arange(max(int(held[place]) + 1, newest - HOURS + 1), newest)
                self.values[rows[place], skipped % HOURS] = EMPTY
            self.hour[rows[opens]] = hour[opens]
        self.values[rows, hour % HOURS] = np.clip(np.rint(value * SCALE), 0, EMPTY - 1).astype(np.uint16)
        return results

    def _forecast(self, rows: I32) -> list[float]:
        results = [np.inf] * len(rows)
        if not len(rows):
            return results
        back = np.arange(HOURS - 1, -1, -1)
        order = (self.hour[rows][:, None] - back) % HOURS
        raw = self.values[rows[:, None], order]
        past = np.where(raw == EMPTY, np.nan, raw / SCALE)
        for place in np.flatnonzero(might_fill(past, HORIZON_DAYS)).tolist():
            results[place] = forecast_full(past[place])
        return results
