"""Checks of the room where a repository lies, and of how long its last good copy will stay."""

from collections.abc import Mapping

import numpy as np

from forestall.judge.backups.facts import Facts, Found
from forestall.judge.backups.putting import NEAR_MS, begin_of, end_of
from forestall.judge.backups.retention import days_until_gone
from forestall.judge.backups.runs import FULL_WORDS, long_limit_ms, said_by
from forestall.judge.backups.sources import newest_copy
from forestall.judge.backups.values import DAY_MS, HOUR_MS
from forestall.judge.backups.words import say_copies, say_copy, say_ms, say_run, say_time, short
from forestall.judge.forecast import HOURS, forecast_full, might_fill
from forestall.kernel.backups import CopySeen, RepositoryReport
from forestall.kernel.words import say_bytes, say_share

Settings = Mapping[str, float]
HORIZON_DAYS = 28.0
LOOKS_LEAST = 5
SPAN_LEAST_MS = 4 * DAY_MS
AGREE_HOURS = 24  # the forecast of a day earlier must agree
AGREE_TIMES = 2.0


def _share(look: RepositoryReport) -> float | None:
    """How full it is, None when that is not known."""
    if look.free is None:
        return None
    room = look.room or (look.free + look.used if look.used is not None else 0)
    return 1 - look.free / room if room else None


def room_short(facts: Facts, settings: Settings) -> Found | None:
    """At the pace of the last weeks it is full within so long."""
    look = facts.opened
    if look is None or look.free is None:
        return None
    days = facts.memo("days until full", lambda: _days_until_full(facts))
    if days is None or days * DAY_MS > settings["within"]:
        return None
    share = _share(look)
    room = f" of {say_bytes(look.room)}" if look.room else ""
    return Found(
        reason=f"{say_bytes(look.free)}{room} are free where the repository lies"
        + (f" ({say_share(share)} full)" if share is not None else "")
        + f"; at the pace of the last weeks it is full in {say_ms(days * DAY_MS)}",
        began_ms=look.at_ms,
        numbers={"days_left": days, "free_bytes": float(look.free)},
        evidence=[
            f"look of {say_time(one.at_ms)}: {say_bytes(one.free)} free"
            for one in facts.looks[:: max(1, len(facts.looks) // 8)]
            if one.free is not None
        ],
    )


def _days_until_full(facts: Facts) -> float | None:
    known = [(one.at_ms, share) for one in facts.looks if (share := _share(one)) is not None]
    if not known:
        return None
    last = known[-1][0]
    known = [one for one in known if one[0] > last - HOURS * HOUR_MS]
    if len(known) < LOOKS_LEAST or known[-1][0] - known[0][0] < SPAN_LEAST_MS:
        return None
    at = np.array([one[0] for one in known], float)
    full = np.array([one[1] for one in known], float)
    grid = last - np.arange(HOURS - 1, -1, -1) * float(HOUR_MS)
    past = np.interp(grid, at, full, left=np.nan)
    if not might_fill(past[None, :], HORIZON_DAYS)[0]:
        return None
    days = forecast_full(past)
    if not np.isfinite(days):
        return None
    before = forecast_full(np.concatenate([np.full(AGREE_HOURS, np.nan), past[:-AGREE_HOURS]]))
    return days if before <= AGREE_TIMES * (days + 1) else None


def room_full(facts: Facts, settings: Settings) -> Found | None:
    """There is no room for another run, or the newest one failed or hangs for want of it. Fault 11."""
    run = facts.ended[-1] if facts.ended else None
    look = facts.opened
    if run is not None and run.said in ("failed", "warning") and FULL_WORDS.search(said_by(run)):
        said = next((one for one in said_by(run).splitlines() if FULL_WORDS.search(one)), run.reason)
        free = (
            f"; {say_bytes(look.free)} are free there" if look is not None and look.free is not None else ""
        )
        return Found(
            reason=f"the run of {say_time(end_of(run))} found no room: {short(said)}{free}",
            began_ms=end_of(run),
            run=run.run,
            since_run_ms=end_of(run),
            evidence=[say_run(run), *run.output.splitlines()[-5:]],
        )
    if look is None or look.free is None:
        return None
    added = sorted(one.added for one in facts.made[-30:] if one.added is not None)
    high = added[(len(added) - 1) * 9 // 10] if added else 0
    room = look.room or (look.used or 0) + look.free
    need = max(settings["runs"] * high, room // 1000)
    if look.free >= need:
        return None
    hangs = ""
    if facts.running is not None:
        lasted = facts.now_ms - begin_of(facts.running)
        if lasted > long_limit_ms(facts, 2, HOUR_MS):
            hangs = f"; a run hangs for {say_ms(lasted)}"
    usual = f", and a run adds up to {say_bytes(high)}" if high else ""
    return Found(
        reason=f"the place of the repository is full: {say_bytes(look.free)} of {say_bytes(room)} "
        f"are free{usual}{hangs}",
        began_ms=look.at_ms,
        numbers={"free_bytes": float(look.free), "needed_bytes": float(need)},
        evidence=[
            f"look of {say_time(one.at_ms)}: {say_bytes(one.free or 0)} free" for one in facts.looks[-5:]
        ],
    )


def last_good_pruned(facts: Facts, settings: Settings) -> Found | None:
    """Bad runs go on, and pruning takes the good copies away one by one. Fault 3."""
    outlook = facts.memo("last good", lambda: _outlook(facts))
    if outlook is None:
        return None
    days, good, total = outlook
    since = facts.bad_since_ms or facts.now_ms
    counted = say_copies(facts.plan.tool, total)
    began = since if not good else max(since, facts.opened.at_ms if facts.opened else since)
    numbers = {"good_count": float(len(good)), "days_left": days if days is not None else -1.0}
    if not good:
        every = f"all {counted} in the repository were" if total != 1 else f"{counted} is there, and was"
        return Found(
            reason=f"no good copy is left: {every} made since "
            f"{say_time(since)}, when "
            "runs stopped being good",
            began_ms=began,
            numbers=numbers,
            evidence=[say_copy(facts.plan.tool, one) for one in facts.copies[-5:]],
        )
    if days is None or days * DAY_MS > settings["within"]:
        if days is not None:
            facts.wait(facts.now_ms + int(days * DAY_MS - settings["within"]) + 1)
        return None
    when = f"in {say_ms(days * DAY_MS)}" if days else "at the next pruning"
    return Found(
        reason=f"{when} the last good copy is pruned: {len(good)} of {counted} are good, the newest is "
        f"{say_copy(facts.plan.tool, good[-1])}, and runs have not been good since "
        f"{say_time(since)}: stop the pruning",
        began_ms=began,
        copy=good[-1].key,
        numbers=numbers,
        evidence=[f"good: {say_copy(facts.plan.tool, one)}" for one in good[-5:]],
    )


def say_outlook(facts: Facts) -> str:
    """What becomes of the good copies, for the reason of what makes the bad ones; "" when they stay."""
    outlook = facts.memo("last good", lambda: _outlook(facts))
    if outlook is None or not outlook[1]:
        return ""
    days, good, _ = outlook
    if days is None:
        return ""
    when = f"in {say_ms(days * DAY_MS)}" if days else "at the next pruning"
    return f"; {when} the last good copy ({say_copy(facts.plan.tool, good[-1])}) is pruned"


def _outlook(facts: Facts) -> tuple[float | None, list[CopySeen], int] | None:
    """(days until the last good copy is pruned, the good copies, how many copies there are)."""
    since, look, plan = facts.bad_since_ms, facts.opened, facts.plan
    if since is None or look is None or not any(end_of(one) < since for one in facts.made):
        return None
    bad_keys = [one.copy for one in facts.runs if one.copy and end_of(one) >= since]
    bad = {found.key for key in bad_keys if (found := facts.index.find(key)) is not None}
    good = [
        one
        for one in facts.copies
        if one.key not in bad and one.at_ms < since and not one.problem and one.at_ms <= look.at_ms + NEAR_MS
    ]
    others = [one for one in facts.copies if one.key not in bad and one.at_ms < since and one.problem]
    worse = [one for one in facts.copies if one.key in bad or one.at_ms >= since] + others
    if not good:
        return (0.0, [], len(facts.copies)) if facts.copies else None
    if plan.keep is None or not worse:
        return None
    mine = _of_one_group(facts, good)
    if len(mine) < len(good):
        return None  # the others are in a group of their own, which this job's pruning never empties
    days, _ = days_until_gone(
        plan.keep,
        good_ms=[one.at_ms for one in good],
        bad_ms=[one.at_ms for one in worse],
        every_ms=facts.interval_ms(),
        goes_on=facts.last_made is not None and end_of(facts.last_made) >= since,
        tool=plan.tool,
        zone=plan.zone,
        now_ms=facts.now_ms,
        version=look.version,
    )
    return days, good, len(facts.copies)


def _of_one_group(facts: Facts, good: list[CopySeen]) -> list[CopySeen]:
    """Those that are pruned together with the newest copy: restic groups by machine and paths."""
    newest = newest_copy(facts)
    if facts.plan.tool != "restic" or newest is None:
        return good
    return [one for one in good if one.host == newest.host and sorted(one.paths) == sorted(newest.paths)]
