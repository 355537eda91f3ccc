"""The ladder of proof: per level what was proved, when, by which copy, and when it is due again."""

from collections.abc import Callable, Mapping

from forestall.judge.backups.facts import GRACE_LEAST_MS, GRACE_SHARE, ended_of, is_good
from forestall.judge.backups.proving import Standing, cadence_of, due_ms, grace_of, standing
from forestall.judge.backups.putting import end_of, put_together
from forestall.judge.backups.values import LEVEL_NAMES, JudgedPlan, Ladder, PlanHistory, Rung, Status
from forestall.judge.backups.words import copy_word, say_ago, say_files, say_key, say_ms, say_time, short
from forestall.kernel.backups import RunReport, same_copy
from forestall.kernel.words import say_bytes

PROVED = ("proved", "late")


def ladder(
    plan: JudgedPlan,
    history: PlanHistory,
    *,
    now_ms: int,
    implausible: Mapping[str, str] | None = None,
    ended: list[RunReport] | None = None,
    stands: Callable[[int], Standing] | None = None,
) -> Ladder:
    """The ladder at `now_ms`. `implausible`: runs that are no proof of level 1, with why (of `judge_plan`;
    None: each successful run counts). `ended`, `stands`: the runs put together and where levels stand, where
    that is known already."""
    at = stands or (lambda level: standing(level, plan, history))
    if ended is None:
        ended = ended_of(put_together(history.runs), now_ms)
    bad = implausible or {}
    rungs = [_happened(plan, ended, now_ms), _plausible(plan, ended, bad, now_ms=now_ms)]
    damage = _damage(history, at)
    newest_good = rungs[1].at_ms
    rungs += [
        _proved(plan, history, level, at(level), now_ms=now_ms, damage=damage, bad=bool(bad))
        for level in range(2, 7)
    ]
    standing_rungs = [one for one in rungs if one.status in PROVED and one.at_ms is not None]
    top = standing_rungs[-1] if standing_rungs else None
    if top is None:
        return Ladder(rungs=tuple(rungs), highest=-1, highest_at_ms=None, said="nothing is proved")
    said = f"level {top.level}, {top.name}, proved {say_ago(top.at_ms or 0, now_ms)}"
    if top.status == "late":
        said += " and overdue"
    failed = [one for one in rungs if one.status == "failed"]
    if failed:
        said += f"; level {failed[0].level} failed: {failed[0].said}"
    elif top.level > 1 and bad and newest_good is not None:
        said += f"; no run since {say_time(newest_good)} is plausible"
    return Ladder(rungs=tuple(rungs), highest=top.level, highest_at_ms=top.at_ms, said=said)


def _run_due(plan: JudgedPlan, at_ms: int | None) -> tuple[int, int]:
    """When the next run is due, and until when it is in time."""
    due = max(at_ms or 0, plan.started_ms) + plan.rpo_ms
    return due, due + (plan.grace_ms or max(int(plan.rpo_ms * GRACE_SHARE), GRACE_LEAST_MS))


def _happened(plan: JudgedPlan, ended: list[RunReport], now_ms: int) -> Rung:
    good = next((one for one in reversed(ended) if is_good(one) or one.said == "unknown"), None)
    at = end_of(good) if good else None
    due, late = _run_due(plan, at)
    if good is None or at is None:
        said = f"the newest run failed {say_time(end_of(ended[-1]))}" if ended else "no run was seen"
        return Rung(
            level=0,
            name=LEVEL_NAMES[0],
            status="failed" if ended else "never",
            said=said,
            due_ms=due,
            overdue=now_ms > late,
        )
    failed = ended[-1].said == "failed"
    said = f"the run of {say_time(at)} made {_made(plan, good)}"
    if failed:
        said = f"the run of {say_time(end_of(ended[-1]))} failed: {short(ended[-1].reason)}; before, {said}"
    status: Status = "failed" if failed else "late" if now_ms > late else "proved"
    return Rung(
        level=0,
        name=LEVEL_NAMES[0],
        status=status,
        said=said,
        at_ms=at,
        copy=good.copy,
        due_ms=due,
        overdue=now_ms > late,
    )


def _made(plan: JudgedPlan, run: RunReport) -> str:
    word = copy_word(plan.tool)
    parts = [say_files(run.files)] if run.files is not None else []
    parts += [say_bytes(run.size)] if run.size is not None else []
    held = f" ({', '.join(parts)})" if parts else ""
    return f"{word} {say_key(run.copy)}{held}" if run.copy else f"a {word}{held}"


def _plausible(plan: JudgedPlan, ended: list[RunReport], bad: Mapping[str, str], *, now_ms: int) -> Rung:
    good = next(
        (one for one in reversed(ended) if one.said != "warning" and is_good(one) and one.run not in bad),
        None,
    )
    at = end_of(good) if good else None
    due, late = _run_due(plan, at)
    wrong = ""
    if ended and ended[-1] is not good:
        newest = ended[-1]
        wrong = bad.get(newest.run) or (
            f"it {newest.said}" if newest.said == "failed" else f"it said {newest.said}"
        )
    overdue = now_ms > late
    if good is None or at is None:
        said = f"no run was plausible: {wrong}" if ended else "no run was seen"
        return Rung(
            level=1,
            name=LEVEL_NAMES[1],
            status="failed" if ended else "never",
            said=said,
            due_ms=due,
            overdue=overdue,
        )
    said = f"the run of {say_time(at)} saved {_made(plan, good)} from the expected sources, as usual"
    if wrong:
        said = (
            f"the run of {say_time(end_of(ended[-1]))} is not plausible: {wrong}; the last that "
            f"was, {say_time(at)}"
        )
    status: Status = "failed" if wrong else "late" if overdue else "proved"
    return Rung(
        level=1,
        name=LEVEL_NAMES[1],
        status=status,
        said=said,
        at_ms=at,
        copy=good.copy,
        due_ms=due,
        overdue=overdue,
    )


def _damage(history: PlanHistory, at: Callable[[int], Standing]) -> int | None:
    """When the newest check or reading found damage that no later one has cleared."""
    found = []
    for level in (2, 3):
        stands = at(level)
        if stands.newest is not None and stands.wrong and not stands.newest.skipped:
            found.append(stands.newest.ended_ms)
    if history.looks and history.looks[-1].why == "damaged":
        found.append(history.looks[-1].at_ms)
    return max(found, default=None)


def _proved(
    plan: JudgedPlan,
    history: PlanHistory,
    level: int,
    stands: Standing,
    *,
    now_ms: int,
    damage: int | None,
    bad: bool,
) -> Rung:
    cadence, due = cadence_of(plan, level), due_ms(plan, level, stands)
    overdue = cadence is not None and due is not None and now_ms > due + grace_of(cadence)
    good, newest = stands.good, stands.newest
    name = LEVEL_NAMES[level]
    copy = good.copy if good else ""
    if stands.wrong and newest is not None:
        said = f"the attempt of {say_time(newest.ended_ms)} is no proof: {stands.wrong}"
        if stands.at_ms is not None:
            said += f"; it was last proved {say_time(stands.at_ms)}"
        return Rung(
            level=level,
            name=name,
            status="failed",
            said=said,
            at_ms=stands.at_ms,
            copy=copy,
            due_ms=due,
            overdue=overdue,
        )
    if stands.at_ms is None or good is None:
        part = f"; {stands.part[0]} of {stands.part[1]} slices were read back" if stands.part[1] else ""
        said = ("it was never proved" if cadence else "it is not planned and was never proved") + part
        return Rung(
            level=level,
            name=name,
            status="never" if cadence else "off",
            said=said,
            copy=copy,
            due_ms=due,
            overdue=overdue,
        )
    word = copy_word(plan.tool)
    parts = [f"proved {say_time(stands.at_ms)}"]
    if copy:
        parts.append(
            f"with {word} {say_key(copy)}" + (f" of {say_time(good.copy_at_ms)}" if good.copy_at_ms else "")
        )
    if good.files_equal is not None:
        parts.append(f"{say_files(good.files_equal)} equal")
    if good.size is not None:
        parts.append(say_bytes(good.size))
    if good.rto_ms is not None:
        parts.append(f"back in {say_ms(good.rto_ms)}")
    said = ", ".join(parts)
    if stands.part[1] > 1:
        said += f"; {stands.part[0]} of {stands.part[1]} slices"
    if level >= 4:
        said += _what_became_of_it(history, copy, word, at_ms=stands.at_ms, damage=damage, bad=bad)
    return Rung(
        level=level,
        name=name,
        status="late" if overdue else "proved",
        said=said,
        at_ms=stands.at_ms,
        copy=copy,
        due_ms=due,
        overdue=overdue,
    )


def _what_became_of_it(
    history: PlanHistory, copy: str, word: str, *, at_ms: int, damage: int | None, bad: bool
) -> str:
    """What a proof by restore no longer says, because of what was seen after it."""
    said = ""
    if damage is not None and damage > at_ms:
        said += f"; damage was found {say_time(damage)}, after this: it holds for that {word} as it was"
    look = history.looks[-1] if history.looks else None
    whole = look is not None and look.opened and look.at_ms > at_ms and look.copies_total <= len(look.copies)
    if copy and look is not None and whole and not any(same_copy(copy, one.key) for one in look.copies):
        said += f"; that {word} is no longer in the repository"
    if bad:
        said += "; runs since then are not plausible, so it says nothing of them"
    return said
