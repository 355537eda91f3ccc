"""The ladder of proof: per level what was proved, when, by which copy, and when it is due again."""

from collections.abc import Mapping

from forestall.judge.backups.values import LEVEL_NAMES, JudgedPlan, Ladder, PlanHistory, Rung


def ladder(
    plan: JudgedPlan, history: PlanHistory, *, now_ms: int, implausible: Mapping[str, str] | None = None
) -> Ladder:
    """The ladder at `now_ms`. `implausible`: runs that are no proof of level 1, with why (of `judge_plan`;
    None: each successful run counts)."""
    rungs = tuple(Rung(level=n, name=name, status="off", said="") for n, name in enumerate(LEVEL_NAMES))
    return Ladder(rungs=rungs, highest=-1, highest_at_ms=None, said="nothing was proved yet")
