"""Backup plans judged: the reports of runs, repositories and proofs in, disagreements and the ladder of
proof out.

`judge_plan` says what is wrong now and when to ask again; `ladder` what was proved and when. Both are
pure. `Judge.observe_plan` makes transitions of findings of it.
"""

from forestall.judge.backups.judging import judge_plan
from forestall.judge.backups.ladder import ladder
from forestall.judge.backups.values import (
    Cadence,
    Disagreement,
    JudgedPlan,
    Keep,
    Ladder,
    PlanHistory,
    PlanVerdict,
    Rung,
)

__all__ = [
    "Cadence",
    "Disagreement",
    "JudgedPlan",
    "Keep",
    "Ladder",
    "PlanHistory",
    "PlanVerdict",
    "Rung",
    "judge_plan",
    "ladder",
]
