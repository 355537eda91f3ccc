"""What proofs count for: which attempts are good, which are hollow, and what of a level is proved when."""

from collections.abc import Sequence
from dataclasses import dataclass

from forestall.judge.backups.values import HOUR_MS, WORK_OF_LEVEL, Cadence, JudgedPlan, PlanHistory
from forestall.judge.backups.words import listed, short
from forestall.kernel.backups import ProofReport, RunReport, same_copy
from forestall.kernel.words import say_number

RESTORES = ("drill", "service", "elsewhere")
GRACE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a level stands: its newest attempt (None: never tried), why that one is no proof ("" when it is),
    and the newest good one. `at_ms`: since when it is proved as a whole (of level 3: the oldest slice).
    `part`: how many slices of how many are read back."""

    newest: ProofReport | None
    wrong: str
    good: ProofReport | None
    at_ms: int | None
    part: tuple[int, int] = (0, 0)


def standing(level: int, plan: JudgedPlan, history: PlanHistory) -> Standing:
    """Where level 2 to 6 stands."""
    tried = [one for one in history.proofs if one.work == WORK_OF_LEVEL[level]]
    if not tried:
        return Standing(None, "", None, None)
    if level == 3 and tried[-1].slice_of is not None:
        return _sliced(tried, history)
    good = next((one for one in reversed(tried) if not why_no_proof(one, history.runs)), None)
    newest = tried[-1]
    return Standing(newest, why_no_proof(newest, history.runs), good, good.ended_ms if good else None)


def _sliced(tried: Sequence[ProofReport], history: PlanHistory) -> Standing:
    newest = tried[-1]
    of = newest.slice_of[1] if newest.slice_of else 1
    last: dict[int, ProofReport] = {}
    proved: dict[int, ProofReport] = {}
    whole: ProofReport | None = None
    for one in tried:
        wrong = why_no_proof(one, history.runs)
        if one.slice_of is None or one.slice_of[1] == 1:
            whole = one if not wrong else whole
        elif one.slice_of[1] == of:
            last[one.slice_of[0]] = one
            if not wrong:
                proved[one.slice_of[0]] = one
    failed = [one for one in last.values() if why_no_proof(one, history.runs)]
    worst = max(failed, key=lambda one: one.ended_ms) if failed else newest
    good = max(proved.values(), key=lambda one: one.ended_ms, default=whole)
    at = min(one.ended_ms for one in proved.values()) if len(proved) == of else None
    if whole is not None:
        at = max(at or 0, whole.ended_ms)
    return Standing(worst, why_no_proof(worst, history.runs), good, at, (len(proved), of))


def why_no_proof(proof: ProofReport, runs: Sequence[RunReport]) -> str:
    """Why an attempt is no proof, "" when it is one. What it says of itself is not taken on trust: nothing
    that was compared with nothing, or with another manifest than the source's, is equal."""
    if proof.skipped:
        return f"it was skipped, which counts as failed: {short(proof.reason)}"
    if proof.mismatches_total or proof.mismatches:
        named = listed([f"{one.path} ({one.what})" for one in proof.mismatches])
        total = max(proof.mismatches_total, len(proof.mismatches))
        return f"{say_number(total)} of {_of(proof)} are not as at the source: {named or short(proof.reason)}"
    failed = [f"{one.name}: {short(one.said)}" for one in proof.checks if not one.ok]
    if not proof.ok:
        new = [one for one in failed if one.partition(": ")[2] not in proof.reason]
        return "; ".join(filter(None, [short(proof.reason), listed(new)])) or "it failed and does not say why"
    if failed:
        return listed(failed)
    return _hollow(proof, runs) if proof.work in RESTORES else ""


def _of(proof: ProofReport) -> str:
    return f"{say_number(proof.files_expected)} files" if proof.files_expected is not None else "the files"


def _hollow(proof: ProofReport, runs: Sequence[RunReport]) -> str:
    expected = proof.files_expected
    if expected == 0 or (proof.manifest is not None and proof.manifest.files == 0):
        return (
            "it compared nothing: the manifest of the source holds no file, and an empty copy agrees with it"
        )
    if expected is not None and proof.files_equal is not None and proof.files_equal < expected:
        return f"only {say_number(proof.files_equal)} of {say_number(expected)} files came back equal"
    if proof.manifest is None or not proof.copy:
        return ""
    for run in reversed(runs):
        if run.copy and run.manifest is not None and same_copy(run.copy, proof.copy):
            if run.manifest.root != proof.manifest.root:
                return (
                    f"it was compared with another manifest ({proof.manifest.root[:8]}) than the "
                    f"one taken at the "
                    f"source when the copy was made ({run.manifest.root[:8]})"
                )
            return ""
    return ""


def cadence_of(plan: JudgedPlan, level: int) -> Cadence | None:
    """How often a level is to be proved."""
    return next((one for one in plan.cadences if one.level == level), None)


def due_ms(plan: JudgedPlan, level: int, stands: Standing) -> int | None:
    """When a level is due again, without grace; None when it is not to be proved."""
    cadence = cadence_of(plan, level)
    return None if cadence is None else max(stands.at_ms or 0, plan.started_ms) + cadence.every_ms


def grace_of(cadence: Cadence) -> int:
    """How much later than due is still in time."""
    return cadence.grace_ms or max(int(cadence.every_ms * GRACE_SHARE), HOUR_MS)
