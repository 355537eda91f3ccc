"""A plan and its history in, all disagreements out: each fault once."""

from collections.abc import Sequence

from forestall.judge.backups.ladder import ladder
from forestall.judge.backups.values import DAY_MS, JudgedPlan, PlanHistory, PlanVerdict
from forestall.judge.rules import Rule


def judge_plan(plan: JudgedPlan, history: PlanHistory, *, rules: Sequence[Rule], now_ms: int) -> PlanVerdict:
    """What is wrong with a plan at `now_ms` by these rules (those of its asset that look at backups)."""
    return PlanVerdict(
        disagreements=(), ladder=ladder(plan, history, now_ms=now_ms), next_judging_ms=now_ms + DAY_MS
    )
