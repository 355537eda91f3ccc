"""The life of one rule on one series while they disagree, or may soon: for-durations, hysteresis, forecast.

Only series that are not plainly in spec have one; all others are a row of numbers in `samples`.
"""

import math

import msgspec

from forestall.judge.rules import Level, Op, Rule

UNSET = -1
AGREE_HOURS = 3  # so many forecasts in a row must agree before one counts, and before it counts no more
FORECAST_BACK = 1.5  # a forecast is over when the whole is this much further away than the limit
GAP_STEPS = 5  # after a gap of so many usual steps (and GAP_LEAST_MS), a for-duration begins again
GAP_LEAST_MS = 300_000


class Grade(msgspec.Struct, array_like=True):
    """One level of a rule on one series. Times are the data's; UNSET when there is none."""

    since_ms: int = UNSET
    count: int = 0
    active: bool = False
    clear_ms: int = UNSET
    agreed: int = 0
    forecast: bool = False


class Life(msgspec.Struct, array_like=True):
    """`state` is 0 in spec, else 1 + the index of the level in the rule."""

    grades: list[Grade]
    state: int = 0
    began_ms: int = UNSET
    told: bool = False
    days_left: float = math.inf
    said: str = ""
    answer: str = ""
    rise: float = 0.0  # by how much the value rose when that was too much

    @property
    def idle(self) -> bool:
        """Nothing is held, pending or foreseen: the series is plainly in spec."""
        return self.state == 0 and all(
            grade.since_ms == UNSET and not grade.active and not grade.agreed and not grade.forecast
            for grade in self.grades
        )

    @property
    def worst(self) -> int:
        """The highest level that holds now, as a state number."""
        return max((n for n, grade in enumerate(self.grades, 1) if grade.active or grade.forecast), default=0)


def new_life(rule: Rule) -> Life:
    """A life with nothing held."""
    return Life([Grade() for _ in rule.levels])


def reached(rule: Rule, level: Level, value: float, before: float) -> bool:
    """Whether a value is beyond a level. `before` is the previous value (NaN: none)."""
    if not level.has_limit:
        return False
    match rule.op:
        case Op.ABOVE:
            return value > level.limit
        case Op.BELOW:
            return value < level.limit
        case Op.EQUALS:
            return value == level.limit
        case _:
            return value - before >= level.limit  # False for NaN


def returned(rule: Rule, level: Level, value: float, before: float) -> bool:
    """Whether a value is back by more than the margin, so that a level that holds may end."""
    match rule.op:
        case Op.ABOVE:
            return value <= level.limit - rule.back
        case Op.BELOW:
            return value >= level.limit + rule.back
        case _:
            return not reached(rule, level, value, before)


def live(life: Life, rule: Rule, *, at_ms: int, value: float, before: float, gap: bool) -> None:
    """Take one sample. `gap`: observations were missing before it, so for-durations begin again."""
    for level, grade in zip(rule.levels, life.grades, strict=True):
        if grade.active:
            if not returned(rule, level, value, before):
                grade.clear_ms = UNSET
                continue
            if grade.clear_ms == UNSET:
                grade.clear_ms = at_ms
            if at_ms - grade.clear_ms >= rule.back_ms:
                grade.active, grade.since_ms, grade.count, grade.clear_ms = False, UNSET, 0, UNSET
        elif reached(rule, level, value, before):
            if rule.op is Op.RISES:
                life.rise = value - before
            if grade.since_ms == UNSET or gap:
                grade.since_ms, grade.count = at_ms, 0
            grade.count += 1
            _rise(level, grade, at_ms)
        else:
            grade.since_ms, grade.count = UNSET, 0


def _rise(level: Level, grade: Grade, at_ms: int) -> None:
    if at_ms - grade.since_ms >= level.for_ms and grade.count >= level.times:
        grade.active = True
        grade.clear_ms = UNSET


def foresee(life: Life, rule: Rule, days_left: float) -> None:
    """Take one forecast (days until full, inf when not in sight)."""
    life.days_left = days_left
    for level, grade in zip(rule.levels, life.grades, strict=True):
        if not level.full_within_days:
            continue
        limit = level.full_within_days * (FORECAST_BACK if grade.forecast else 1.0)
        if (days_left <= limit) != grade.forecast:
            grade.agreed += 1
            if grade.agreed >= AGREE_HOURS:
                grade.forecast, grade.agreed = not grade.forecast, 0
        else:
            grade.agreed = 0


def next_due(life: Life, rule: Rule) -> int:
    """When the next duration runs out (ms), if no sample comes; UNSET when none is running."""
    due = UNSET
    for level, grade in zip(rule.levels, life.grades, strict=True):
        when = UNSET
        if grade.active and grade.clear_ms != UNSET:
            when = grade.clear_ms + rule.back_ms
        elif not grade.active and grade.since_ms != UNSET and grade.count >= level.times:
            when = grade.since_ms + level.for_ms
        if when != UNSET and (due == UNSET or when < due):
            due = when
    return due


def run_out(life: Life, rule: Rule, at_ms: int) -> None:
    """Let the durations that end at or before `at_ms` run out without a sample."""
    for level, grade in zip(rule.levels, life.grades, strict=True):
        if grade.active and grade.clear_ms != UNSET and grade.clear_ms + rule.back_ms <= at_ms:
            grade.active, grade.since_ms, grade.count, grade.clear_ms = False, UNSET, 0, UNSET
        elif not grade.active and grade.since_ms != UNSET:
            _rise(level, grade, at_ms)
