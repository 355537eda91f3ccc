"""Checks of the copies in a repository: those that runs reported are there, and none is gone or a
stranger's."""

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise

from forestall.judge.backups.facts import Facts, Found, is_good
from forestall.judge.backups.putting import NEAR_MS, ROUNDED_MS, begin_of, end_of, slack_of
from forestall.judge.backups.retention import kept
from forestall.judge.backups.words import (
    copy_word,
    listed,
    say_ago,
    say_copies,
    say_copy,
    say_key,
    say_run,
    say_time,
)
from forestall.kernel.backups import RepositoryReport, RunReport, same_copy
from forestall.kernel.words import say_bytes

Settings = Mapping[str, float]


def copy_not_there(facts: Facts, _: Settings) -> Found | None:
    """The job says success, and the repository shows no such copy."""
    look = facts.opened
    if look is None or look is not facts.look or not facts.whole:
        return None
    told = [one for one in facts.runs if one.by != "repository" and is_good(one)]
    seen = [one for one in told if end_of(one) < look.at_ms - facts.near_ms]
    if not seen:
        return None
    last = seen[-1]
    if _shown(facts, last, look):
        return None
    first = len(seen) - 1
    while first > 0 and not _shown(facts, seen[first - 1], look):
        first -= 1
    newest = facts.copies[-1] if facts.copies else None
    word = copy_word(facts.plan.tool)
    count = f" in {len(seen) - first} runs" if first < len(seen) - 1 else ""
    shows = (
        f"{say_copy(facts.plan.tool, newest)} is the newest there" if newest else f"there is no {word} at all"
    )
    named = f" {say_key(last.copy)}" if last.copy else ""
    age = f", {say_ago(newest.at_ms, facts.now_ms)}" if newest else ""
    return Found(
        reason=f"the job says success{count}, the newest {say_time(end_of(last))}, and the "
        f"repository, looked at "
        f"{say_time(look.at_ms)}, shows no new {word}{named}: {shows}{age}",
        began_ms=end_of(seen[first]),
        run=last.run,
        copy=last.copy,
        since_run_ms=end_of(seen[first]),
        numbers={"missing_count": float(len(seen) - first)},
        evidence=[say_run(last), *(say_copy(facts.plan.tool, one) for one in facts.copies[-3:])],
    )


def _shown(facts: Facts, run: RunReport, look: RepositoryReport) -> bool:
    if run.copy:
        if facts.index.find(run.copy) is not None:
            return True
        if any(begin_of(run) + slack_of(run) < one.at_ms <= look.at_ms + NEAR_MS for one in facts.copies):
            return True  # a newer one is there: it may have been pruned; whether it was is asked elsewhere
        oldest = facts.copies[0].at_ms if facts.copies else 0
        return look.copies_total > len(look.copies) and end_of(run) < oldest  # beyond what a look tells
    return any(one.at_ms >= begin_of(run) - slack_of(run) for one in facts.copies)


def copies_vanished(facts: Facts, _: Settings) -> Found | None:
    """Copies are gone although the keep rules would keep them: somebody or something else deleted them."""
    look, plan = facts.opened, facts.plan
    if look is None or not facts.whole:
        return None
    oldest = facts.copies[0].at_ms if look.copies_total > len(look.copies) and facts.copies else 0
    until = look.at_ms - facts.near_ms
    gone = [
        one
        for one in facts.runs
        if one.copy
        and facts.index.find(one.copy) is None
        and is_good(one)
        and oldest <= begin_of(one)
        and end_of(one) < until
    ]
    opened = list(islice((one for one in reversed(facts.looks) if one.opened), 2))[::-1]
    before = (
        opened[0].at_ms - facts.near_ms if len(opened) == 2 else 0
    )  # a look after the run has found it then
    newest = facts.copies[-1].at_ms if facts.copies else 0
    fewer = len(opened) == 2 and opened[0].copies_total > look.copies_total
    was_there = [
        one
        for one in gone
        if (one.by == "repository" or end_of(one) < before) and (fewer or begin_of(one) < newest - ROUNDED_MS)
    ]  # newer than all that is there, and nothing became fewer: those were never there
    if not was_there:
        return None
    if plan.keep is None:
        return _fewer_copies(facts, look, was_there)
    times = [begin_of(one) for one in was_there] + [one.at_ms for one in facts.copies]
    stays = kept(plan.keep, times, tool=plan.tool, zone=plan.zone, now_ms=look.at_ms)
    lost = [one for one, stay in zip(was_there, stays, strict=False) if stay]
    if not lost:
        return None
    lost = _beyond_doubt(facts, lost, was_there, look)
    return _say_vanished(facts, look, lost) if lost and _became_fewer(facts, lost) else None


def _became_fewer(facts: Facts, lost: Sequence[RunReport]) -> bool:
    """Whether looks saw copies go. When none did, these never came, which was said when they did not come."""
    since = end_of(lost[0])
    totals = [one.copies_total for one in facts.looks if one.opened and one.at_ms > since + facts.near_ms]
    went = sum(max(0, before - after) for before, after in pairwise(totals))
    return went >= max(1, len(lost) - 1) or len(totals) < 2


def _beyond_doubt(
    facts: Facts, lost: list[RunReport], gone: list[RunReport], look: RepositoryReport
) -> list[RunReport]:
    """Those that every pruning since would have kept: rules were applied after each run, not only now."""
    plan = facts.plan
    assert plan.keep is not None
    known = sorted([(begin_of(one), one.run) for one in gone] + [(one.at_ms, "") for one in facts.copies])
    wanted = {one.run for one in lost}
    for until in [at for at, _ in known[-30:]]:
        then = [one for one in known if one[0] <= until]
        stays = kept(plan.keep, [at for at, _ in then], tool=plan.tool, zone=plan.zone, now_ms=max(until, 1))
        wanted -= {run for (_, run), stay in zip(then, stays, strict=True) if not stay}
    return [one for one in lost if one.run in wanted]


def _fewer_copies(facts: Facts, look: RepositoryReport, gone: Sequence[RunReport]) -> Found | None:
    """Without known rules: more than half of the copies of the look before are gone at once."""
    before = [
        one
        for one in facts.looks
        if one.opened and one.at_ms < look.at_ms and one.at_ms >= facts.plan.accepted_ms
    ]
    if not before:
        return None
    most = max(one.copies_total for one in before[-10:])
    if most < 4 or 2 * look.copies_total > most:
        return None
    return _say_vanished(facts, look, gone, most=most)


def _say_vanished(facts: Facts, look: RepositoryReport, lost: Sequence[RunReport], *, most: int = 0) -> Found:
    gone = f"{say_copies(facts.plan.tool, len(lost))} {'is' if len(lost) == 1 else 'are'} gone"
    named = listed([f"{say_key(one.copy)} of {say_time(begin_of(one))}" for one in lost[-3:]], 3)
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    proven = [
        one
        for one in facts.history.proofs
        if one.ok and one.copy and one.work in ("drill", "service", "elsewhere")
    ]
    last = proven[-1] if proven else None
    lost_proof = last is not None and any(same_copy(one.copy, last.copy) for one in lost)
    why = (
        "although the keep rules would keep them" if not most else f"({most} before, {look.copies_total} now)"
    )
    proof = "; the last one that a restore has proved is among them" if lost_proof else ""
    return Found(
        reason=f"{gone} from the repository {why}: {named}{more}; somebody or "
        f"another program "
        f"has deleted them{proof}",
        began_ms=look.at_ms,
        numbers={"gone_count": float(len(lost)), "left_count": float(look.copies_total)},
        evidence=[f"gone: {say_run(one)}" for one in lost[-10:]]
        + [say_copy(facts.plan.tool, one) for one in facts.copies[-3:]],
    )


def destination_changed(facts: Facts, settings: Settings) -> Found | None:
    """The repository is another one, or lies on another file system, and the copies are not there: a drive
    that is not mounted while the job writes into the folder under it, or a repository that was made anew."""
    look = facts.opened
    if look is None:
        return None
    before = [
        one
        for one in facts.looks
        if (one.mount != look.mount or one.settings != look.settings)  # nearly never
        and one.opened
        and one.at_ms >= facts.plan.accepted_ms
        and (_moved(one, look) or _anew(one, look))
    ]
    if not before:
        return None
    old = before[-1]
    if old.copies_total < 2 or look.copies_total > settings["share"] * old.copies_total:
        return None
    held = say_copies(facts.plan.tool, look.copies_total)
    first = next((one for one in facts.looks if one.opened and one.at_ms > old.at_ms), look)
    free = f", {say_bytes(look.free)} free" if look.free is not None else ""
    if _moved(old, look):
        where = f"the repository lies on {look.mount} since {say_time(first.at_ms)}, before on {old.mount}"
        why = "the drive with the copies is not mounted, and the job writes beside it"
    else:
        where = (
            f"since {say_time(first.at_ms)} another repository is at its place "
            f"({look.settings['id'][:8]}, before "
        )
        where += f"{old.settings['id'][:8]})"
        why = "it was made anew, and what was in the old one is gone or elsewhere"
    return Found(
        reason=f"{where}, and holds {held} instead of {old.copies_total}{free}: {why}",
        began_ms=first.at_ms,
        since_run_ms=first.at_ms,
        numbers={"now_count": float(look.copies_total), "before_count": float(old.copies_total)},
        evidence=[
            f"look of {say_time(one.at_ms)}: {one.mount} {one.settings.get('id', '')}, "
            f"{say_copies(facts.plan.tool, one.copies_total)}"
            for one in (old, look)
        ],
    )


def _moved(old: RepositoryReport, look: RepositoryReport) -> bool:
    return bool(old.mount and look.mount) and old.mount != look.mount


def _anew(old: RepositoryReport, look: RepositoryReport) -> bool:
    one, other = old.settings.get("id", ""), look.settings.get("id", "")
    return bool(one and other) and one != other


TAKEN_OVER_LEAST = 5


def other_host(facts: Facts, _: Settings) -> Found | None:
    """The newest copies come from another machine than all before."""
    named = [one for one in facts.everybodys if one.host and one.at_ms >= facts.plan.accepted_ms]
    if len(named) < 6:
        return None
    newest = named[-1]
    base = named[-31:-1]
    same = [one for one in base if one.host == newest.host]
    usual = max({one.host for one in base}, key=lambda host: sum(one.host == host for one in base))
    first = next(place for place, one in enumerate(named) if one.host == newest.host)
    took_over = first >= TAKEN_OVER_LEAST and all(one.host == newest.host for one in named[first:])
    if took_over:  # until a person says that it is meant so
        usual, same = named[first - 1].host, named[first:-1]
    elif usual == newest.host or len(same) > 2:
        return None
    return Found(
        reason=f"{say_copy(facts.plan.tool, newest)} was made on {newest.host}, those before on "
        f"{usual}: another machine "
        "writes into this repository, or it was renamed",
        began_ms=(same[0] if same else newest).at_ms,
        copy=newest.key,
        evidence=[f"{say_copy(facts.plan.tool, one)} on {one.host}" for one in named[-4:]],
    )
