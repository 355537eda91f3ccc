"""A plan and its history in, all disagreements out: each fault once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from forestall.judge.backups.checks import CHECKS, EXPLAINS, SAME_RUN, Check
from forestall.judge.backups.facts import Facts, Found
from forestall.judge.backups.ladder import ladder
from forestall.judge.backups.proofs import stands
from forestall.judge.backups.putting import end_of
from forestall.judge.backups.room import say_outlook
from forestall.judge.backups.values import DAY_MS, HOUR_MS, Disagreement, JudgedPlan, PlanHistory, PlanVerdict
from forestall.judge.rules import Level, Rule
from forestall.judge.values import State

JUDGE_LEAST_MS = 60_000
JUDGE_MOST_MS = DAY_MS
EVIDENCE_LINES = 40
OUTLOOK_OF = (
    "source-missing",
    "source-changed",
    "source-empty",
    "copy-problem",
    "copy-empty",
    "shrunk",
    "encrypted",
    "run-warning",
)


def judge_plan(
    plan: JudgedPlan,
    history: PlanHistory,
    *,
    rules: Sequence[Rule],
    now_ms: int,
    usual: Mapping[str, float] | None = None,
) -> PlanVerdict:
    """What is wrong with a plan at `now_ms` by these rules (those of its asset that look at backups).

    `usual`: what was usual when a finding that is still open began (`Disagreement.usual`), for when the runs
    that said so are no longer in the history.
    """
    facts = Facts(plan, history, now_ms=now_ms, usual=usual)
    found: dict[str, tuple[Rule, Level, Found]] = {}
    asked = [(rule, CHECKS[rule.check]) for rule in rules if rule.check in CHECKS]
    for rule, check in asked:
        if check.of_run:
            _ask(rule, check, facts, found)
    since = [one.since_run_ms for _, _, one in found.values() if one.since_run_ms is not None]
    facts.bad_since_ms = min(since, default=None)
    for rule, check in asked:
        if not check.of_run:
            _ask(rule, check, facts, found)
    explained = {
        name
        for key in found
        for name in EXPLAINS.get(key, ())
        if name != key and name in found and _explains(facts, key, found[key][2], found[name][2])
    }
    standing = [one for key, one in found.items() if key not in explained]
    implausible = _implausible(facts, [one for _, _, one in standing])
    waits = [at for at in facts.waits if at > now_ms]
    return PlanVerdict(
        disagreements=tuple(_disagreement(facts, rule, level, one) for rule, level, one in standing),
        ladder=ladder(
            plan,
            history,
            now_ms=now_ms,
            implausible=implausible,
            ended=facts.ended,
            stands=lambda level: stands(facts, level),
        ),
        next_judging_ms=min(
            max(min(waits, default=now_ms + JUDGE_MOST_MS), now_ms + JUDGE_LEAST_MS), now_ms + JUDGE_MOST_MS
        ),
        implausible=implausible,
    )


def _explains(facts: Facts, name: str, cause: Found, consequence: Found) -> bool:
    """Whether what a cause may explain began with it."""
    if name not in SAME_RUN:
        return True
    near = (facts.longest_ms() or 0) + HOUR_MS
    return abs(cause.began_ms - consequence.began_ms) <= near


def _ask(rule: Rule, check: Check, facts: Facts, found: dict[str, tuple[Rule, Level, Found]]) -> None:
    """The worst state of a rule that holds."""
    for level in reversed(rule.levels):
        settings = {name: one.default for name, one in check.settings.items()} | dict(level.asks)
        one = check.find(facts, settings)
        if one is not None:
            found[rule.check] = (rule, level, one)
            return


def _implausible(facts: Facts, found: Sequence[Found]) -> dict[str, str]:
    """Runs that are no proof of level 1, by the first reason that says so."""
    result: dict[str, str] = {}
    for one in found:
        if one.since_run_ms is not None:
            for run in reversed(facts.ended):
                if end_of(run) < one.since_run_ms:
                    break
                result.setdefault(run.run, one.reason)
    return result


def _disagreement(facts: Facts, rule: Rule, level: Level, found: Found) -> Disagreement:
    reason = found.reason + (say_outlook(facts) if rule.check in OUTLOOK_OF else "")
    # the silence of a collector tells by itself; that nobody knows of a copy for days is told all the same
    explained = found.explained and level.state in (State.SILENT, State.OUT_OF_SPEC)
    one = Disagreement(
        rule=rule.name,
        check=rule.check,
        state=level.state,
        reason=reason,
        began_ms=min(found.began_ms, facts.now_ms),
        tells=level.tells,
        explained=explained,
        copy=found.copy,
        run=found.run,
        numbers=found.numbers,
        usual=found.usual,
        answer="\n".join(line for line in found.evidence[:EVIDENCE_LINES] if line),
    )
    return replace(one, tells=False) if explained else one
