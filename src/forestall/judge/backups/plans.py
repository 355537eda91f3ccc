"""Plans through time: what was found the last time against what is found now, as transitions of findings.

A finding stays while its check disagrees. Where the history no longer reaches back to what began it (a plan
that runs every hour forgets after weeks), silence of the check is no proof that all is well: it stays until
the check can see for itself, or a person accepts what is normal now.
"""

from collections.abc import Iterable, Sequence

import msgspec

from forestall.judge.backups.checks import CHECKS, LEVELS
from forestall.judge.backups.judging import judge_plan
from forestall.judge.backups.putting import end_of
from forestall.judge.backups.values import Disagreement, JudgedPlan, PlanHistory, PlanVerdict
from forestall.judge.reasons import say_span
from forestall.judge.rules import Look, Rule
from forestall.judge.transitions import NO_LONGER, Estate, make_transition
from forestall.judge.values import JudgedAsset, State, Transition
from forestall.kernel.words import say_list

Key = tuple[int, str, str]  # asset, rule, plan's name
STICKY = (
    "encrypted",
    "rewritten",
    "excludes-grown",
    "protection-weakened",
    "retention-changed",
    "other-host",
)


class HeldPlan(msgspec.Struct):
    """A rule that a plan does not meet. `usual`: what was usual before (`Disagreement.usual`)."""

    began_ms: int
    open: State
    told: bool
    plan: str = ""
    explained: bool = False
    usual: dict[str, float] = {}


class PlanJudge:
    """The state of all rules on backup plans."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.held: dict[Key, HeldPlan] = {}

    def observe(
        self, plan: JudgedPlan, history: PlanHistory, now_ms: int
    ) -> tuple[list[Transition], PlanVerdict | None]:
        """Judge a plan; None when its asset is not watched."""
        owner = self.estate.assets.get(plan.asset)
        if owner is None:
            return [], None
        rules = [one for one in self.estate.looking(plan.asset, Look.BACKUP) if one.covers(plan.name)]
        keys = [key for rule in rules if (key := (plan.asset, rule.name, plan.name)) in self.held]
        usual = {
            name: value
            for key in keys
            if self.held[key].began_ms > plan.accepted_ms
            for name, value in self.held[key].usual.items()
        }
        verdict = judge_plan(plan, history, rules=rules, now_ms=now_ms, usual=usual)
        found = {one.rule: one for one in verdict.disagreements}
        taken: list[Transition] = []
        for rule in rules:
            one = found.get(rule.name)
            key = (plan.asset, rule.name, plan.name)
            held = self.held.get(key)
            if one is not None:
                taken += self._open(owner, rule, plan, one, now_ms=now_ms)
            elif held is not None and not _still(rule, plan, history, held):
                taken.append(
                    self._end(owner, rule, key, now_ms=now_ms, reason=_why_over(plan, verdict, rule))
                )
        return taken, verdict

    def gone(self, asset: int, plan: str, *, now_ms: int) -> list[Transition]:
        """The plan was removed, paused or renamed: what stands open of it ends."""
        owner = self.estate.assets.get(asset)
        rules = self.estate.rules_of(asset)
        taken = []
        for key in sorted(key for key in self.held if key[0] == asset and key[2] == plan):
            rule = rules.get(key[1])
            if owner is not None and rule is not None:
                taken.append(
                    self._end(owner, rule, key, now_ms=now_ms, reason=f"the plan {plan} is {NO_LONGER}")
                )
            else:
                del self.held[key]
        return taken

    def names(self) -> set[tuple[int, str]]:
        """(asset, plan's name) of every plan with something open, to find those that are gone."""
        return {(asset, plan) for asset, _, plan in self.held}

    def change_assets(self, changed: Iterable[int]) -> None:
        """Forget what is held by assets and rules that are gone; their findings end as orphans."""
        numbers = set(changed)
        for key in [key for key in self.held if key[0] in numbers]:
            rule = self.estate.rules_of(key[0]).get(key[1])
            if rule is None or not rule.covers(key[2]):
                del self.held[key]

    def _open(
        self, owner: JudgedAsset, rule: Rule, plan: JudgedPlan, one: Disagreement, *, now_ms: int
    ) -> list[Transition]:
        key = (plan.asset, rule.name, plan.name)
        held = self.held.get(key)
        was = held.open if held else State.IN_SPEC
        tells_now = held is not None and held.explained and not one.explained and one.tells
        if held is not None and was is one.state and not tells_now:
            held.usual = held.usual or dict(one.usual)
            return []
        began = min(one.began_ms, held.began_ms) if held else one.began_ms
        told = one.tells or (held.told if held else False)
        kept = held.usual if held and held.usual else dict(one.usual)
        self.held[key] = HeldPlan(began, one.state, told, plan.id, one.explained, kept)
        return [
            make_transition(
                owner,
                rule,
                item=plan.name,
                was=was,
                to=one.state,
                began_ms=began,
                at_ms=now_ms,
                reason=f"{plan.name}: {one.reason}",
                told=one.tells,
                numbers=dict(one.numbers),
                answer=one.answer,
                cause="collector" if one.explained else None,
            )
        ]

    def _end(self, owner: JudgedAsset, rule: Rule, key: Key, *, now_ms: int, reason: str) -> Transition:
        held = self.held.pop(key)
        return make_transition(
            owner,
            rule,
            item=key[2],
            was=held.open,
            to=State.IN_SPEC,
            began_ms=held.began_ms,
            at_ms=now_ms,
            reason=f"{reason}, after {say_span(max(0, now_ms - held.began_ms))}",
            told=held.told,
        )


def _still(rule: Rule, plan: JudgedPlan, history: PlanHistory, held: HeldPlan) -> bool:
    """Whether a finding that its check no longer sees stays, because the history forgot how it began."""
    if rule.check not in STICKY or plan.accepted_ms >= held.began_ms:
        return False
    of_looks = rule.check in ("protection-weakened", "retention-changed", "other-host")
    seen: Sequence[int] = (
        [one.at_ms for one in history.looks] if of_looks else [end_of(one) for one in history.runs]
    )
    return not seen or seen[0] > held.began_ms


def _why_over(plan: JudgedPlan, verdict: PlanVerdict, rule: Rule) -> str:
    """Why a finding ended: what stands now in its place."""
    rungs = verdict.ladder.rungs
    levels = {name: level for level, name in LEVELS.items()}
    level = levels.get(rule.check.rpartition("-")[0])
    if level is not None and rungs[level].at_ms is not None:
        return f"{plan.name}: {rungs[level].said}"
    if CHECKS[rule.check].of_run and rungs[1].status == "proved":
        return f"{plan.name}: {rungs[1].said}"
    if rule.check == "run-overdue" and rungs[0].status == "proved":
        return f"{plan.name}: {rungs[0].said}"
    other = [one.rule for one in verdict.disagreements]
    if other:
        return f"{plan.name}: it is no longer so, or {say_list(other)} explains it"
    return f"{plan.name}: it is no longer so ({verdict.ladder.said})"
