"""Checks of the repository: does it open, is what the job reported there, is anything gone, is it guarded?"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from forestall.judge.backups.facts import Facts, Found, is_good
from forestall.judge.backups.putting import NEAR_MS, begin_of, end_of
from forestall.judge.backups.runs import KEY_WORDS, LOCK_WORDS, _tail, _trailing, said_by
from forestall.judge.backups.values import HOUR_MS
from forestall.judge.backups.words import (
    copy_word,
    listed,
    say_ago,
    say_copy,
    say_key,
    say_ms,
    say_run,
    say_time,
    short,
)
from forestall.kernel.backups import CopySeen, LockSeen, RepositoryReport, RunReport, same_copy

LOOKS_LEAST = 5
LATE_TIMES = 3
Settings = Mapping[str, float]
YES = ("1", "yes", "true", "on")
GUARDS = ("append_only", "append only", "immutable", "object_lock", "worm")


def _trailing_looks(looks: Sequence[RepositoryReport], why: str) -> list[RepositoryReport]:
    first = len(looks) - 1
    while first > 0 and looks[first - 1].why == why and not looks[first - 1].opened:
        first -= 1
    return list(looks[first:])


def key_refused(facts: Facts, _: Settings) -> Found | None:
    """The key no longer opens it. Fault 14."""
    look, run = facts.look, facts.ended[-1] if facts.ended else None
    if look is not None and look.why == "key" and not look.opened:
        refused = _trailing_looks(facts.looks, "key")
        began = refused[0].at_ms
        good = f"; it last opened {say_time(facts.opened.at_ms)}" if facts.opened else ""
        runs = ""
        if run is not None and run.said == "success" and end_of(run) > began:
            runs = (
                "; the job still says success, so it uses another key than the one that is kept for a restore"
            )
        return Found(
            reason=f"the repository refuses the key since {say_time(began)}: "
            f"{short(look.reason)}{good}{runs}",
            began_ms=began,
            evidence=[look.reason, *([say_run(run)] if run else [])],
        )
    if run is not None and run.said == "failed" and KEY_WORDS.search(said_by(run)):
        began = end_of(_trailing(facts.ended, ("failed",))[0])
        said = next((one for one in said_by(run).splitlines() if KEY_WORDS.search(one)), run.reason)
        return Found(
            reason=f"the job's key or password is refused since {say_time(began)}: {short(said)}",
            began_ms=began,
            run=run.run,
            since_run_ms=began,
            evidence=[say_run(run), *_tail(run)],
        )
    return None


def repository_away(facts: Facts, settings: Settings) -> Found | None:
    """It cannot be reached for so long."""
    look = facts.look
    if look is None or look.opened or look.why not in ("away", ""):
        return None
    away = _trailing_looks(facts.looks, look.why)
    began = away[0].at_ms
    due = began + int(settings["for"])
    facts.wait(due + 1)
    if facts.now_ms < due or len(away) < 2:
        return None
    good = f"; it last opened {say_time(facts.opened.at_ms)}" if facts.opened else "; it has never opened"
    return Found(
        reason=f"the repository cannot be reached for {say_ms(facts.now_ms - began)} ({len(away)} looks): "
        f"{short(look.reason)}{good}",
        began_ms=began,
        numbers={"looks_count": float(len(away))},
        evidence=[f"look of {say_time(one.at_ms)}: {one.reason}" for one in away[-5:]],
    )


def look_impossible(facts: Facts, _: Settings) -> Found | None:
    """The collector cannot look at all: no such program, or one that does not fit."""
    look = facts.look
    if look is None or look.opened or look.why != "tool":
        return None
    began = _trailing_looks(facts.looks, "tool")[0].at_ms
    return Found(
        reason=f"nobody can look into the repository since {say_time(began)}: {short(look.reason)}",
        began_ms=began,
        evidence=[look.reason],
    )


def look_overdue(facts: Facts, settings: Settings) -> Found | None:
    """Nobody has looked for longer than usual: a check that was skipped counts as failed."""
    if len(facts.looks) < LOOKS_LEAST or facts.look is None:
        return None
    times = [one.at_ms for one in facts.looks[-10:]]
    usual = median(later - sooner for sooner, later in pairwise(times))
    due = facts.look.at_ms + int(max(settings["after"], LATE_TIMES * usual))
    facts.wait(due + 1)
    if facts.now_ms <= due:
        return None
    silent = facts.history.silent_since_ms
    who = f"the collector {facts.plan.collector}".rstrip()
    why = f"{who} is silent since {say_time(silent)}" if silent is not None else f"{who} is heard"
    return Found(
        reason=f"nobody has looked into the repository since {say_time(facts.look.at_ms)}, "
        f"{say_ago(facts.look.at_ms, facts.now_ms)}; it was looked at every {say_ms(usual)}, and {why}",
        began_ms=due,
        explained=silent is not None and silent < due,
        numbers={"age_s": (facts.now_ms - facts.look.at_ms) / 1000},
    )


def lock_old(facts: Facts, settings: Settings) -> Found | None:
    """A lock that nobody holds any more. Fault 6."""
    look = facts.look
    run = facts.ended[-1] if facts.ended else None
    failed = run if run is not None and run.said == "failed" and LOCK_WORDS.search(said_by(run)) else None
    stale = [one for one in look.locks if _is_stale(facts, one, look, settings["older"])] if look else []
    if look is not None and not stale:
        for one in look.locks:
            facts.wait(one.at_ms + int(settings["older"]) + 1)
    if not stale and failed is None and not (look is not None and look.why == "locked" and not look.opened):
        return None
    began = min(
        [one.at_ms for one in stale] + ([end_of(failed)] if failed else []) + ([look.at_ms] if look else [])
    )
    parts = [
        f"{'an exclusive' if one.exclusive else 'a'} lock{' of ' + one.who if one.who else ''} since "
        f"{say_time(one.at_ms)} ({say_ago(one.at_ms, facts.now_ms)})"
        for one in stale[:3]
    ]
    if look is not None and look.why == "locked" and not look.opened:
        parts.append(f"it does not open: {short(look.reason)}")
    if failed is not None:
        parts.append(f"the run of {say_time(end_of(failed))} failed: {short(failed.reason)}")
    goes_on = ""
    if stale and run is not None and is_good(run) and end_of(run) > began:
        goes_on = "; backups go on, while pruning and checking wait for it or fail"
    return Found(
        reason=f"the repository is locked, and no run that is known holds it: {listed(parts)}{goes_on}",
        began_ms=began,
        run=failed.run if failed else "",
        since_run_ms=end_of(failed) if failed else None,
        numbers={"locks_count": float(len(look.locks) if look else 0)},
        evidence=[f"lock {one.key} of {one.who}, {say_time(one.at_ms)}" for one in stale[:10]],
    )


def _is_stale(facts: Facts, lock: LockSeen, look: RepositoryReport, older: float) -> bool:
    """Whether the run that took a lock has ended, or nobody can hold it for so long."""
    running = facts.running
    if running is not None and lock.at_ms >= begin_of(running) - NEAR_MS:
        return False
    for run in facts.ended[-10:]:
        inside = run.began_ms is not None and run.began_ms - 60_000 <= lock.at_ms <= end_of(run) + 60_000
        if inside and run.by == "job" and look.at_ms > end_of(run) + facts.near_ms:
            return True
    return look.at_ms - lock.at_ms > older


def clock_wrong(facts: Facts, settings: Settings) -> Found | None:
    """Copies from the future, or dated long before or after they came. Fault 7."""
    if ahead_of_us := _ahead_of_us(facts, settings["ahead"]):
        return ahead_of_us
    look = facts.opened
    if look is None:
        return None
    ahead = [one for one in facts.copies if one.at_ms > look.at_ms + settings["ahead"]]
    if ahead:
        worst = ahead[-1]
        word = copy_word(facts.plan.tool)
        return Found(
            reason=f"{say_copy(facts.plan.tool, worst)} is dated {say_ms(worst.at_ms - look.at_ms)} "
            f"in the future: it "
            f"counts as the latest {word} until then, whatever is newer, and pruning keeps it "
            f"instead of good ones",
            began_ms=_seen_first(facts, ahead[0]),
            copy=worst.key,
            numbers={"ahead_s": (worst.at_ms - look.at_ms) / 1000, "ahead_count": float(len(ahead))},
            evidence=[say_copy(facts.plan.tool, one) for one in ahead[:5]]
            + [f"looked at {say_time(look.at_ms)}"],
        )
    run = next((one for one in reversed(facts.runs) if is_good(one)), None)
    if run is None:
        return None
    copy = facts.index.find(run.copy) if run.copy else None
    return _skewed(facts, run, copy, settings["ahead"])


def _ahead_of_us(facts: Facts, most: float) -> Found | None:
    """The machine itself lives in the future: what it sends is dated after it came."""
    runs = [one for one in facts.history.runs[-3:] if one.by == "job"]
    newest = max([one.at_ms for one in facts.looks[-1:]] + [one.at_ms for one in runs[-1:]], default=0)
    if newest - facts.now_ms <= most:
        return None
    return Found(
        reason=f"the clock of the machine that watches is {say_ms(newest - facts.now_ms)} ahead of "
        f"ours: what it "
        f"reports now is dated {say_time(newest)}, and so are its copies",
        began_ms=facts.now_ms,
        numbers={"ahead_s": (newest - facts.now_ms) / 1000},
    )


def _skewed(facts: Facts, run: RunReport, copy: CopySeen | None, most: float) -> Found | None:
    margin = most + (facts.longest_ms() or HOUR_MS)
    if copy is not None and run.by == "job" and run.began_ms is not None:
        off = copy.at_ms - end_of(run) if copy.at_ms > end_of(run) else copy.at_ms - begin_of(run)
        said = f"the run that made it went from {say_time(begin_of(run))} to {say_time(end_of(run))}"
    elif run.by == "repository" and run.began_ms is not None:
        looks = [one.at_ms for one in facts.looks if one.opened and one.at_ms < run.at_ms - 1]
        if not looks or looks[-1] <= run.began_ms + margin:
            return None
        off = run.began_ms - looks[-1]
        said = f"it was not there yet {say_time(looks[-1])}"
    else:
        return None
    if abs(off) <= (most if run.by == "job" else margin):
        return None
    name = say_copy(facts.plan.tool, copy) if copy else f"{copy_word(facts.plan.tool)} {say_key(run.copy)}"
    way = "ahead" if off > 0 else "behind"
    return Found(
        reason=f"{name} is dated {say_ms(abs(off))} {way}: {said}; a clock is wrong, and with it "
        f"what is newest and "
        "what is pruned",
        began_ms=end_of(run),
        run=run.run,
        copy=run.copy,
        numbers={"off_s": off / 1000},
        evidence=[say_run(run)],
    )


def _seen_first(facts: Facts, copy: CopySeen) -> int:
    """When a copy was first seen, as far as runs tell."""
    for one in facts.runs:
        if one.copy and same_copy(one.copy, copy.key):
            return min(one.at_ms, facts.now_ms)
    return facts.opened.at_ms if facts.opened else facts.now_ms


def protection_weakened(facts: Facts, _: Settings) -> Found | None:
    """What kept a thief's hands off the copies was switched off."""
    look = facts.opened
    if look is None:
        return None
    for name in GUARDS:
        now = look.settings.get(name)
        if now is None or now.lower() in YES:
            continue
        on = [
            one
            for one in facts.looks
            if one.opened
            and one.at_ms >= facts.plan.accepted_ms
            and one.settings.get(name, "").lower() in YES
        ]
        if not on:
            continue
        first = next((one for one in facts.looks if one.opened and one.at_ms > on[-1].at_ms), look)
        return Found(
            reason=f"{name.replace('_', '-')} is off since {say_time(first.at_ms)} (it was on until "
            f"{say_time(on[-1].at_ms)}): whoever holds the job's key can now delete every copy",
            began_ms=first.at_ms,
            evidence=[f"{key}: {value}" for key, value in sorted(look.settings.items())],
        )
    return None


def retention_changed(facts: Facts, _: Settings) -> Found | None:
    """The keep rules that the tool has written down there keep less than before."""
    look = facts.opened
    if look is None:
        return None
    for name in sorted(one for one in look.settings if "keep" in one.lower()):
        now = look.settings[name]
        before = [
            one
            for one in facts.looks
            if one.opened
            and one.at_ms >= facts.plan.accepted_ms
            and name in one.settings
            and one.settings[name] != now
        ]
        if not before or not _less(now, before[-1].settings[name]):
            continue
        return Found(
            reason=f"{name} was {before[-1].settings[name]} until {say_time(before[-1].at_ms)} and "
            f"is now {now}: "
            "older copies are pruned earlier than was agreed",
            began_ms=look.at_ms if len(facts.looks) < 2 else before[-1].at_ms,
            evidence=[f"{key}: {value}" for key, value in sorted(look.settings.items())],
        )
    return None


def _less(now: str, before: str) -> bool:
    try:
        return int(now) < int(before)
    except ValueError:
        return now != before
