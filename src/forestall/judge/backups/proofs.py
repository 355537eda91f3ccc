"""Checks of proofs: an attempt that failed or was skipped, a level that is overdue, agreed times that are
missed."""

import re
from collections.abc import Callable, Mapping

from forestall.judge.backups.facts import Facts, Found, is_good
from forestall.judge.backups.proving import (
    RESTORES,
    Standing,
    cadence_of,
    due_ms,
    grace_of,
    standing,
    why_no_proof,
)
from forestall.judge.backups.putting import end_of
from forestall.judge.backups.runs import KEY_WORDS, LOCK_WORDS, said_by
from forestall.judge.backups.values import LEVEL_NAMES
from forestall.judge.backups.words import copy_word, say_ago, say_key, say_ms, say_run, say_time, short
from forestall.kernel.backups import ProofReport

Settings = Mapping[str, float]
Check = Callable[[Facts, Settings], Found | None]
NAMES = {
    2: "the check of the repository's structure",
    3: "the reading back of the stored data",
    4: "the restore drill",
    5: "the check of the restored service",
    6: "the restore elsewhere",
}
AWAY_WORDS = re.compile(
    r"connection (refused|reset|timed out)|no route to host|cannot be reached|timed out", re.IGNORECASE
)
DAMAGE_WORDS = re.compile(
    r"integrity error|data integrity|checksum (mismatch|error)|does not match (id|hash)|ciphertext "
    r"verification failed"
    r"|corrupt|damaged|missing (pack|chunk|segment)|pack .{0,80}(not found|invalid|mismatch)|hash "
    r"mismatch|bad checksum",
    re.IGNORECASE,
)


def stands(facts: Facts, level: int) -> Standing:
    """Where a level stands, found once."""
    return facts.memo(f"level {level}", lambda: standing(level, facts.plan, facts.history))


def proof_failed(level: int) -> Check:
    """The check of a level: the newest attempt is no proof. `skipped` 1: one that was skipped counts too."""

    def check(facts: Facts, settings: Settings) -> Found | None:
        at = stands(facts, level)
        proof = at.newest
        if proof is None or not at.wrong or (proof.skipped and not settings["skipped"]):
            return None
        good = (
            f"; it last succeeded {say_ago(at.good.ended_ms, facts.now_ms)}"
            if at.good
            else "; it never succeeded"
        )
        copy = f" of {copy_word(facts.plan.tool)} {say_key(proof.copy)}" if proof.copy else ""
        failed = "was not done" if proof.skipped else "failed"
        return Found(
            reason=f"{NAMES[level]}{copy} {failed} {say_time(proof.ended_ms)}: {at.wrong}{good}",
            began_ms=proof.ended_ms,
            copy=proof.copy,
            numbers={"mismatches_count": float(proof.mismatches_total), "level": float(level)},
            evidence=evidence_of(proof),
        )

    return check


def proof_overdue(level: int) -> Check:
    """The check of a level: it was to be proved again by now. A drill that was skipped has failed."""

    def check(facts: Facts, _: Settings) -> Found | None:
        cadence = cadence_of(facts.plan, level)
        at = stands(facts, level)
        due = due_ms(facts.plan, level, at)
        if cadence is None or due is None:
            return None
        late = due + grace_of(cadence)
        facts.wait(late + 1)
        if facts.now_ms <= late:
            return None
        silent = facts.history.silent_since_ms
        explained = silent is not None and silent < late
        part = (
            f" ({at.part[0]} of {at.part[1]} slices were)" if at.part[1] and at.part[0] < at.part[1] else ""
        )
        last = f"last {say_ago(at.at_ms, facts.now_ms)}" if at.at_ms is not None else f"never yet{part}"
        who = (
            f"; the collector {facts.plan.collector} that does it is silent since {say_time(silent)}"
            if silent
            else ""
        )
        return Found(
            reason=f"level {level} ({LEVEL_NAMES[level]}) was to be proved by {say_time(due)}, every "
            f"{say_ms(cadence.every_ms)}: {last}; {NAMES[level]} that does not happen counts as failed{who}",
            began_ms=late,
            explained=explained,
            numbers={"level": float(level), "late_s": (facts.now_ms - due) / 1000},
            evidence=evidence_of(at.newest) if at.newest else [],
        )

    return check


def never_proved(facts: Facts, settings: Settings) -> Found | None:
    """No restore was ever proved, and none is planned."""
    plan = facts.plan
    if any(one.level >= 4 for one in plan.cadences):
        return None
    if any(
        one.work in RESTORES and not why_no_proof(one, facts.history.runs) for one in facts.history.proofs
    ):
        return None
    due = plan.started_ms + int(settings["after"])
    facts.wait(due + 1)
    if facts.now_ms <= due:
        return None
    return Found(
        reason=f"no restore of it was ever proved in {say_ms(facts.now_ms - plan.started_ms)}, and "
        f"no drill is planned",
        began_ms=due,
        numbers={"age_s": (facts.now_ms - plan.started_ms) / 1000},
    )


def repository_damaged(facts: Facts, _: Settings) -> Found | None:
    """Stored data is damaged or missing. Fault 5."""
    look, word = facts.look, copy_word(facts.plan.tool)
    if look is not None and look.why == "damaged" and not look.opened:
        return Found(
            reason=f"the repository is damaged: {short(look.reason)}",
            began_ms=look.at_ms,
            evidence=[look.reason],
        )
    for level in (2, 3):
        proof, wrong = stands(facts, level).newest, stands(facts, level).wrong
        if proof is None or not wrong or proof.skipped or _about_opening(proof):
            continue
        part = f" (slice {proof.slice_of[0]} of {proof.slice_of[1]})" if proof.slice_of else ""
        older = [
            one
            for one in facts.history.proofs
            if one.work in RESTORES and one.ok and one.ended_ms < proof.ended_ms
        ]
        rests = f"; the last restore was proved before, {say_time(older[-1].ended_ms)}" if older else ""
        return Found(
            reason=f"the repository is damaged: {NAMES[level]}{part} of {say_time(proof.ended_ms)} "
            f"found {wrong}{rests}",
            began_ms=proof.ended_ms,
            numbers={"level": float(level)},
            evidence=evidence_of(proof),
        )
    run = facts.ended[-1] if facts.ended else None
    if run is not None and run.said in ("failed", "warning") and DAMAGE_WORDS.search(said_by(run)):
        said = next((one for one in said_by(run).splitlines() if DAMAGE_WORDS.search(one)), run.reason)
        return Found(
            reason=f"the repository is damaged: the run of {say_time(end_of(run))} says: "
            f"{short(said)} (no {word} that "
            "needs it can be trusted)",
            began_ms=end_of(run),
            run=run.run,
            since_run_ms=end_of(run),
            evidence=[say_run(run), *run.output.splitlines()[-5:]],
        )
    return None


def _about_opening(proof: ProofReport) -> bool:
    """Whether it failed to open the repository, which says nothing of the data."""
    said = "\n".join([proof.reason, *(one.said for one in proof.checks if not one.ok)])
    if DAMAGE_WORDS.search(said):
        return False
    return any(words.search(said) for words in (LOCK_WORDS, KEY_WORDS, AWAY_WORDS))


def proof_stale(facts: Facts, settings: Settings) -> Found | None:
    """A drill restored an old copy although newer ones were there: it proves nothing of those."""
    for level in (6, 5, 4):
        proof = stands(facts, level).good
        if proof is None or proof.copy_at_ms is None:
            continue
        limit = int(facts.plan.rpo_ms * settings["intervals"]) + facts.grace_ms
        if proof.began_ms - proof.copy_at_ms <= 2 * limit:
            continue
        newer = [one for one in facts.made if proof.copy_at_ms + limit < end_of(one) < proof.began_ms - limit]
        if not newer:
            continue
        word = copy_word(facts.plan.tool)
        return Found(
            reason=f"{NAMES[level]} of {say_time(proof.ended_ms)} restored {word} "
            f"{say_key(proof.copy)}, which was "
            f"{say_ms(proof.began_ms - proof.copy_at_ms)} old then; {len(newer)} newer ones were "
            f"never restored",
            began_ms=proof.ended_ms,
            copy=proof.copy,
            numbers={"age_s": (proof.began_ms - proof.copy_at_ms) / 1000},
            evidence=evidence_of(proof),
        )
    return None


def objective_missed(facts: Facts, _: Settings) -> Found | None:
    """A drill took longer than the RTO, or brought back older data than the RPO allows."""
    plan = facts.plan
    for level in (6, 5, 4):
        proof = stands(facts, level).good
        if proof is None:
            continue
        parts = []
        if plan.rto_ms and proof.rto_ms is not None and proof.rto_ms > plan.rto_ms:
            parts.append(f"it took {say_ms(proof.rto_ms)} to be back, {say_ms(plan.rto_ms)} were agreed")
        allowed = plan.rpo_ms + facts.grace_ms + (facts.longest_ms() or 0)
        if proof.rpo_ms is not None and proof.rpo_ms > allowed and _runs_were_in_time(facts, proof.began_ms):
            parts.append(f"what came back was {say_ms(proof.rpo_ms)} old, {say_ms(plan.rpo_ms)} were agreed")
        if parts:
            return Found(
                reason=f"{NAMES[level]} of {say_time(proof.ended_ms)} succeeded, and {' and '.join(parts)}",
                began_ms=proof.ended_ms,
                copy=proof.copy,
                numbers={"rto_s": (proof.rto_ms or 0) / 1000, "rpo_s": (proof.rpo_ms or 0) / 1000},
                evidence=evidence_of(proof),
            )
    return None


def _runs_were_in_time(facts: Facts, at_ms: int) -> bool:
    """Whether the newest run before was no older than agreed: one that is late is told as that."""
    before = [end_of(one) for one in facts.made if is_good(one) and end_of(one) <= at_ms]
    return bool(before) and at_ms - before[-1] <= facts.plan.rpo_ms + facts.grace_ms


def evidence_of(proof: ProofReport) -> list[str]:
    """A proof as evidence."""
    lines = [
        f"{proof.work} {proof.proof} of {say_time(proof.ended_ms)}: "
        f"{'ok' if proof.ok else 'not ok'}, {proof.reason}"
    ]
    lines += [f"{one.name}: {'ok' if one.ok else 'not ok'}, {one.said}" for one in proof.checks[:20]]
    lines += [f"{one.path}: {one.what}" for one in proof.mismatches[:20]]
    return lines
