"""Rules on metrics: whole batches of samples against the limits of their series.

A series that is plainly in spec costs a few array operations for all of a batch together; only series that
exceed a limit, or recently did, are stepped through one by one (`life`).
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.judge import reasons
from forestall.judge.hours import HOUR_MS
from forestall.judge.life import (
    FORECAST_BACK,
    GAP_LEAST_MS,
    GAP_STEPS,
    UNSET,
    Life,
    foresee,
    live,
    new_life,
    next_due,
    returned,
    run_out,
)
from forestall.judge.metrics import find_metric
from forestall.judge.rows import SeriesRows
from forestall.judge.rules import Op, Rule
from forestall.judge.table import I32
from forestall.judge.transitions import NO_LONGER, Estate, make_transition
from forestall.judge.values import JudgedAsset, State, Transition
from forestall.kernel.columns import F64, I64, U64

RUN_OUT_GRACE_MS = 120_000
GONE_MS = 15 * 60_000
GONE_ASKED_MS = 24 * HOUR_MS
GONE_STEPS = 5
SWEEP_MS = 60_000

Said = Mapping[
    tuple[int, str, int], tuple[str, str]
]  # asset number, item, at_ms → a probe's reason and answer


class SampleJudge:
    """The state of all rules on metrics."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.held = SeriesRows(estate)
        self.lives: dict[int, Life] = {}
        self.swept_ms = 0

    # samples

    def observe(
        self,
        asset: U64,
        metric: pa.Array,
        item: pa.Array,
        *,
        at_ms: I64,
        value: F64,
        said: Said | None = None,
    ) -> list[Transition]:
        """Judge samples; all arrays (n,). Late and repeated ones change nothing."""
        looked, rows = self.held.locate(asset, metric, item, value)
        at, values = at_ms[looked], value[looked]
        taken: list[Transition] = []
        while True:
            held = np.flatnonzero(rows >= 0)
            if not len(held):
                return taken
            taken += self._judge(rows[held], at[held], values[held], said=said or {})
            rows[held] = self.held.rows.next[rows[held]]

    def _judge(self, rows: I32, at: I64, value: F64, *, said: Said) -> list[Transition]:
        """In rounds, so that each round has at most one sample of a row, the oldest first."""
        mark = np.empty(self.held.rows.count, np.int64)
        order = np.arange(len(rows))
        mark[rows] = order
        if (mark[rows] == order).all():
            return self._round(rows, at, value, said=said)
        order = np.lexsort((at, rows))
        starts = np.flatnonzero(np.r_[True, np.diff(rows[order]) != 0])
        lengths = np.diff(np.r_[starts, len(rows)])
        rank = np.arange(len(rows)) - np.repeat(starts, lengths)
        by_rank = order[np.argsort(rank, kind="stable")]
        taken: list[Transition] = []
        for part in np.split(by_rank, np.cumsum(np.bincount(rank))[:-1]):
            taken += self._round(rows[part], at[part], value[part], said=said)
        return taken

    def _round(self, rows: I32, at: I64, value: F64, *, said: Said) -> list[Transition]:
        state = self.held.rows
        since = state.last_ms[rows]
        fresh = at > since
        if not fresh.all():
            rows, at, value, since = rows[fresh], at[fresh], value[fresh], since[fresh]
        if not len(rows):
            return []
        before = state.last[rows]
        gap = np.where(since == UNSET, 0, at - since).astype(np.float32)
        usual = state.step_ms[rows]
        suspect = state.live[rows] | self._trips(rows, value, before)
        forecasts = self._forecast(rows, at, value)
        suspect[list(forecasts)] = True
        taken: list[Transition] = []
        for n in np.flatnonzero(suspect).tolist():
            missed = usual[n] > 0 and gap[n] > max(GAP_LEAST_MS, GAP_STEPS * usual[n])
            taken += self._step(
                int(rows[n]),
                at_ms=int(at[n]),
                value=float(value[n]),
                before=float(before[n]),
                gap=bool(missed),
                said=said,
                days_left=forecasts.get(n),
            )
        state.step_ms[rows] = np.where(
            gap == 0, usual, np.where(usual == 0, gap, np.minimum(gap, usual * np.float32(1.25)))
        )
        state.last_ms[rows] = at
        state.last[rows] = value
        return taken

    def _trips(self, rows: I32, value: F64, before: F64) -> npt.NDArray[np.bool_]:
        """Which values are beyond the first limit of their rule."""
        beyond: npt.NDArray[np.bool_]
        rule = self.held.rows.rule[rows]
        op, trip = self.held.op[rule], self.held.trip[rule]
        beyond = (op == Op.ABOVE) & (value > trip)
        beyond |= (op == Op.BELOW) & (value < trip)
        beyond |= (op == Op.EQUALS) & (value == trip)
        rises = op == Op.RISES
        if rises.any():
            beyond |= rises & (value - before >= trip)
        return beyond

    def _forecast(self, rows: I32, at: I64, value: F64) -> dict[int, float]:
        """Days until full by position, for the samples that closed an hour and where it matters."""
        reservoir = self.held.rows.hours[rows]
        kept = np.flatnonzero(reservoir >= 0)
        if not len(kept):
            return {}
        found = self.held.hours.observe(reservoir[kept], at[kept], value[kept])
        result = {}
        for place, days in found:
            position = int(kept[place])
            row = rows[position]
            far = max(level.full_within_days for level in self.held.rule(row).levels)
            if days <= far * FORECAST_BACK or self.held.rows.live[row]:
                result[position] = days
        return result

    def _step(
        self,
        row: int,
        *,
        at_ms: int,
        value: float,
        before: float,
        gap: bool,
        said: Said,
        days_left: float | None,
    ) -> list[Transition]:
        """One sample of a series that is not plainly in spec."""
        rule = self.held.rule(row)
        life = self.lives.get(row)
        if life is None:
            life = self.lives[row] = new_life(rule)
            self.held.rows.live[row] = True
        asset, item = self.held.place(row)
        words = said.get((asset, item, at_ms))
        if words is not None:
            life.said, life.answer = words
        if days_left is not None:
            foresee(life, rule, days_left)
        live(life, rule, at_ms=at_ms, value=value, before=before, gap=gap)
        return self._settle(row, life, rule, at_ms=at_ms, value=value)

    def _settle(self, row: int, life: Life, rule: Rule, *, at_ms: int, value: float) -> list[Transition]:
        """The transition that a life makes now, if any; a life that became idle is dropped."""
        asset, item = self.held.place(row)
        owner = self.estate.assets.get(asset)
        worst = life.worst
        taken: list[Transition] = []
        if worst != life.state and owner is not None:
            taken.append(self._transition(owner, rule, life, item=item, at_ms=at_ms, value=value))
        if life.idle:
            del self.lives[row]
            self.held.rows.live[row] = False
        return taken

    def _transition(
        self, owner: JudgedAsset, rule: Rule, life: Life, *, item: str, at_ms: int, value: float
    ) -> Transition:
        was, now = life.state, life.worst
        if was == 0:
            begun = [g.since_ms for g in life.grades if g.active and g.since_ms != UNSET]
            life.began_ms, life.told = min(begun, default=at_ms), False
        numbers = {"value": value, "held_s": (at_ms - life.began_ms) / 1000}
        life.state = now
        if now == 0:
            reason = reasons.say_recovery(rule, item=item, value=value, lasted_ms=at_ms - life.began_ms)
            tells = life.told
            answer = ""
        else:
            level, grade = rule.levels[now - 1], life.grades[now - 1]
            since = grade.since_ms if grade.active and grade.since_ms != UNSET else at_ms
            tells = level.tells
            life.told = life.told or tells
            answer = life.answer
            if level.has_limit:
                numbers["limit"] = level.limit
            if math.isfinite(life.days_left):
                numbers["days_left"] = life.days_left
            if now < was:
                reason = reasons.say_easing(rule, item=item, value=value, level=level)
            else:
                reason = reasons.say_disagreement(
                    rule,
                    level,
                    item=item,
                    value=life.rise if rule.op is Op.RISES else value,
                    held_ms=at_ms - since,
                    days_left=life.days_left,
                    said=life.said,
                )
        return make_transition(
            owner,
            rule,
            item=item,
            was=_state(rule, was),
            to=_state(rule, now),
            began_ms=life.began_ms,
            at_ms=at_ms,
            reason=reason,
            told=tells,
            numbers=numbers,
            answer=answer,
        )

    # time

    def tick(self, now_ms: int, heard: Callable[[int], int]) -> list[Transition]:
        """Durations that run out where no sample came, and things that are no longer reported.

        `heard`: when an asset itself was last heard (ms). Looks at most every SWEEP_MS.
        """
        if now_ms - self.swept_ms < SWEEP_MS:
            return []
        self.swept_ms = now_ms
        taken: list[Transition] = []
        for row in sorted(self.lives):
            life, rule = self.lives[row], self.held.rule(row)
            last, usual = int(self.held.rows.last_ms[row]), float(self.held.rows.step_ms[row])
            value = float(self.held.rows.last[row])
            due = next_due(life, rule)
            if due != UNSET and due + RUN_OUT_GRACE_MS <= now_ms <= last + 2 * usual:
                run_out(life, rule, due)
                taken += self._settle(row, life, rule, at_ms=max(due, last), value=value)
            elif self._gone(row, now_ms, heard, usual=usual, last=last):
                taken += self._end(row, now_ms, reasons.say_gone(self.held.place(row)[1], now_ms - last))
        return taken

    def _gone(self, row: int, now_ms: int, heard: Callable[[int], int], *, usual: float, last: int) -> bool:
        """Whether the item of a live series is no longer reported although its asset is heard."""
        asset, item = self.held.place(row)
        if not item:
            return False
        rule = self.held.rule(row)
        if rule.ends_after_ms:
            return now_ms - last > rule.ends_after_ms
        metric = find_metric(rule.metric)
        if metric is not None and metric.asked:
            return now_ms - last > max(GONE_ASKED_MS, GONE_STEPS * usual)
        return heard(asset) - last > max(GONE_MS, GONE_STEPS * usual) and usual > 0

    def _end(self, row: int, at_ms: int, reason: str) -> list[Transition]:
        """End what a row has open, and forget its life."""
        life, rule = self.lives.pop(row), self.held.rule(row)
        self.held.rows.live[row] = False
        asset, item = self.held.place(row)
        owner = self.estate.assets.get(asset)
        if life.state == 0 or owner is None:
            return []
        return [end_transition(owner, rule, life, item=item, at_ms=at_ms, reason=reason)]

    # the estate

    def change_assets(
        self, before: Mapping[int, JudgedAsset], changed: Iterable[int], at_ms: int
    ) -> list[Transition]:
        """Lay the rules of changed, new and removed assets anew. What is no longer watched ends.

        `before`: the assets as they were; `estate.assets` has them as they are.
        """
        numbers = np.array(sorted(changed), np.uint64)
        if not len(numbers) or not self.held.series.count:
            return []
        mine = np.isin(self.held.series.asset[: self.held.series.count], numbers)
        open_rows = {row: (*self.held.place(row), self.held.rule(row)) for row in self.lives}
        for series in np.flatnonzero(mine).tolist():
            self.held.lay_rules(series)
        taken: list[Transition] = []
        for row, (asset, item, rule) in sorted(open_rows.items()):
            if asset not in changed:
                continue
            life = self.lives[row]
            owner = self.estate.assets.get(asset) or before[asset]
            if self.held.rows.series[row] < 0:
                if life.state:
                    taken.append(end_transition(owner, rule, life, item=item, at_ms=at_ms, reason=NO_LONGER))
                del self.lives[row]
                self.held.rows.live[row] = False
            elif self.held.rule(row) != rule:
                taken += self._carry(row, life, rule, owner=owner, at_ms=at_ms)
        return taken

    def _carry(self, row: int, life: Life, old: Rule, *, owner: JudgedAsset, at_ms: int) -> list[Transition]:
        """A live row whose rule changed: what was held by level carries over, and limits are met anew."""
        rule = self.held.rule(row)
        value, item = float(self.held.rows.last[row]), self.held.place(row)[1]
        was = _state(old, life.state)
        grades = {level.state: grade for level, grade in zip(old.levels, life.grades, strict=True)}
        fresh = new_life(rule)
        life.grades = [
            grades.get(level.state, grade) for level, grade in zip(rule.levels, fresh.grades, strict=True)
        ]
        for level, grade in zip(rule.levels, life.grades, strict=True):
            if grade.active and returned(rule, level, value, math.nan):
                grade.active, grade.since_ms, grade.count = False, UNSET, 0
            grade.forecast = grade.forecast and bool(level.full_within_days)
        states = [level.state for level in rule.levels]
        life.state = states.index(was) + 1 if was in states else 0
        if was is not State.IN_SPEC and life.state == 0:
            ended = end_transition(owner, old, _at(life, old, was), item=item, at_ms=at_ms, reason=NO_LONGER)
            return [ended, *self._settle(row, life, rule, at_ms=at_ms, value=value)]
        return self._settle(row, life, rule, at_ms=at_ms, value=value)


def _state(rule: Rule, number: int) -> State:
    return rule.levels[number - 1].state if number else State.IN_SPEC


def _at(life: Life, rule: Rule, state: State) -> Life:
    """The life with its state numbered by the levels of `rule`."""
    life.state, number = [level.state for level in rule.levels].index(state) + 1, life.state
    copied = Life(life.grades, life.state, life.began_ms, life.told)
    life.state = number
    return copied


def end_transition(
    owner: JudgedAsset, rule: Rule, life: Life, *, item: str, at_ms: int, reason: str
) -> Transition:
    """The end of a finding that does not come from a sample."""
    return make_transition(
        owner,
        rule,
        item=item,
        was=_state(rule, life.state),
        to=State.IN_SPEC,
        began_ms=life.began_ms,
        at_ms=at_ms,
        reason=reason,
        told=life.told,
    )
