"""Checks of what a plan should save: each source is there, is not empty, is in the copy, is not left out."""

from collections.abc import Mapping, Sequence
from statistics import median

from forestall.judge.backups.facts import BASE_LEAST, Facts, Found, fallen
from forestall.judge.backups.paths import covers, plain
from forestall.judge.backups.putting import begin_of, end_of
from forestall.judge.backups.words import copy_word, listed, say_copy, say_files, say_run, say_time, short
from forestall.kernel.backups import CopySeen, RunReport, SourceSeen
from forestall.kernel.words import say_bytes, say_number, say_share

Settings = Mapping[str, float]
LEARN = 20
EMPTY_USUAL = 10  # fewer files than this are no measure of a share
HALF = 0.5
MOUNTED_LEAST = 5  # runs in a row that saw a mount point, before its absence says something


def newest_copy(facts: Facts) -> CopySeen | None:
    """The copy of the newest run, or the newest copy that is not dated in the future."""
    run = facts.last_made
    if run is not None and run.copy:
        known = facts.index.find(run.copy)
        if known is not None:
            return known
        if facts.opened is None or end_of(run) > facts.opened.at_ms:
            return None  # made since the newest look: what that saw is of earlier runs
    horizon = facts.opened.at_ms + 600_000 if facts.opened else 0
    return next((one for one in reversed(facts.copies) if one.at_ms <= horizon), None)


class Difference:
    """What the newest run or copy lacks of what it should hold, and what it holds instead."""

    def __init__(self, facts: Facts) -> None:
        self.run = next((one for one in reversed(facts.runs) if one.sources), None)
        if (
            self.run is not None
            and facts.newest is not None
            and begin_of(facts.newest) > begin_of(self.run) + 1
        ):
            self.run = self.run if facts.newest.by == "repository" else None
        self.copy = newest_copy(facts)
        self.gone: list[SourceSeen] = [one for one in self.run.sources if not one.there] if self.run else []
        self.seen = [one.path for one in self.run.sources] if self.run else []
        usual = _usual_sources(facts)
        self.expected = list(facts.plan.sources) or usual
        saved = self.copy.paths if self.copy is not None else []
        self.left_out = _uncovered(self.expected, saved, usual) if saved else []
        if self.seen and not facts.plan.sources:
            self.left_out = [one for one in self.left_out if not any(covers(path, one) for path in self.seen)]
        gone = {plain(one.path) for one in self.gone}
        self.unasked = [] if not self.seen else _uncovered(self.expected, self.seen, usual)
        self.left_out = [one for one in self.left_out if plain(one) not in gone]
        known = [*self.expected, *usual]
        others = [*saved, *(one.path for one in (self.run.sources if self.run else []) if one.there)]
        self.instead = sorted(
            {one for one in others if not any(covers(w, one) or covers(one, w) for w in known)}
        )

    @property
    def missing(self) -> list[str]:
        """All that is lacking, each once."""
        found: dict[str, str] = {}
        for path in [*(one.path for one in self.gone), *self.left_out, *self.unasked]:
            found.setdefault(plain(path), path)
        return list(found.values())


def _usual_sources(facts: Facts) -> list[str]:
    """Paths that nearly all of the copies before the newest one hold."""
    base = [
        one for one in facts.copies[-(LEARN + 1) : -1] if one.paths and one.at_ms >= facts.plan.accepted_ms
    ]
    if len(base) < BASE_LEAST:
        return []
    counted: dict[str, int] = {}
    for one in base:
        for path in one.paths:
            counted[path] = counted.get(path, 0) + 1
    return [path for path, count in counted.items() if count >= HALF * len(base)]


def _uncovered(expected: Sequence[str], saved: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Expected paths that nothing saved holds. A path of which only parts are saved counts as saved when the
    same parts always were."""
    lacking = []
    for path in expected:
        if any(covers(one, path) for one in saved):
            continue
        parts = [one for one in usual if covers(path, one)]
        if any(covers(path, one) for one in saved):
            lacking += [one for one in parts if not any(covers(kept, one) for kept in saved)]
        else:
            lacking.append(path)
    return lacking


def source_missing(facts: Facts, _: Settings) -> Found | None:
    """A source is not there, or is not in the copy. Fault 1."""
    found = Difference(facts)
    missing = found.missing
    if not missing or (found.instead and not _all_gone(found)):
        return None
    parts = [
        f"{one.path} {'cannot be read: ' + short(one.problem) if one.problem else 'does not exist'}"
        for one in found.gone
    ]
    saved = f"; {_saved(facts, found)}" if found.copy is not None and found.copy.paths else ""
    parts += [f"{path} is not in the newest {copy_word(facts.plan.tool)}" for path in found.left_out]
    parts += [f"the job no longer names {path}" for path in found.unasked if path not in found.left_out]
    since = _since_gone(facts, missing)
    said = _what_the_job_says(facts)
    return Found(
        reason=f"{len(missing)} of {max(len(found.expected), len(missing))} sources "
        f"{'is' if len(missing) == 1 else 'are'} missing: {listed(parts)}{said}{saved}",
        began_ms=since,
        run=found.run.run if found.run else "",
        copy=found.copy.key if found.copy else "",
        since_run_ms=since,
        numbers={"missing_count": float(len(missing)), "expected_count": float(len(found.expected))},
        evidence=_evidence(facts, found),
    )


def source_changed(facts: Facts, _: Settings) -> Found | None:
    """Something else is saved than should be. Fault 17 (renamed), fault 19 (another database)."""
    found = Difference(facts)
    missing = found.missing
    if not missing or not found.instead or _all_gone(found):
        return None
    since = _since_gone(facts, missing)
    what = "another database or path" if not missing[0].startswith(("/", "\\")) else "another path"
    return Found(
        reason=f"the newest run saves {listed(found.instead)} instead of {listed(missing)}: the "
        f"source was renamed, or "
        f"the job points at {what}{_what_the_job_says(facts)}; {_saved(facts, found)}",
        began_ms=since,
        run=found.run.run if found.run else "",
        copy=found.copy.key if found.copy else "",
        since_run_ms=since,
        numbers={"missing_count": float(len(missing))},
        evidence=_evidence(facts, found),
    )


def _all_gone(found: Difference) -> bool:
    """Sources that are not there, and what is there instead was there before: nothing took their place."""
    return bool(found.gone) and not found.instead


def _saved(facts: Facts, found: Difference) -> str:
    if found.copy is None:
        return "no copy of it is seen"
    return f"{say_copy(facts.plan.tool, found.copy)} holds {listed(found.copy.paths) or 'no path'}"


def _what_the_job_says(facts: Facts) -> str:
    run = facts.newest
    if run is None or run.by == "repository":
        return ""
    code = f", exit {run.exit_code}" if run.exit_code is not None else ""
    return f" (the job says {run.said}{code})"


def _since_gone(facts: Facts, missing: Sequence[str]) -> int:
    """When the first of the newest runs that lack these ended."""
    names = {plain(one) for one in missing}
    since = end_of(facts.newest) if facts.newest else facts.now_ms
    for run in reversed(facts.runs):
        if run.sources:
            lacks = any(plain(one.path) in names and not one.there for one in run.sources)
            unnamed = not names & {plain(one.path) for one in run.sources}
        else:
            copy = facts.index.find(run.copy) if run.copy else None
            lacks = copy is not None and bool(copy.paths)
            unnamed = False
            lacks = lacks and copy is not None and not any(covers(p, m) for p in copy.paths for m in missing)
        if not lacks and not unnamed:
            break
        since = end_of(run)
    return since


def _evidence(facts: Facts, found: Difference) -> list[str]:
    lines = [say_run(one) for one in facts.runs[-2:]]
    lines += [say_source(one) for one in (found.run.sources if found.run else [])]
    if found.copy is not None:
        lines.append(
            f"{say_copy(facts.plan.tool, found.copy)}: {', '.join(found.copy.paths[:10]) or 'no paths'}"
        )
    return lines


def say_source(one: SourceSeen) -> str:
    """A source as evidence."""
    if not one.there:
        return f"source {one.path}: not there {one.problem}".rstrip()
    held = say_files(one.entries) if one.entries is not None else "files not counted"
    return (
        f"source {one.path}: {held}, on "
        f"{one.mount or 'an unknown file system'}{' (mount point)' if one.is_mount else ''}"
    )


def source_empty(facts: Facts, settings: Settings) -> Found | None:
    """A source is empty or nearly so, or its volume is not mounted. Faults 2, 9."""
    with_sources = [one for one in facts.runs if one.sources]
    if not with_sources or (
        facts.newest is not None and with_sources[-1] is not facts.newest and facts.newest.by != "repository"
    ):
        return None
    run = with_sources[-1]
    for seen in run.sources:
        if not seen.there or seen.entries is None:
            continue
        past = _past(with_sources[-90:], seen.path)
        known = facts.usual.get(f"entries {seen.path}")
        fall = fallen([float(n) for _, _, n in past], _share(seen, past, settings["share"]), known=known)
        usual = fall.usual if fall else None
        if fall is None and seen.entries:
            first_loose = _unmounted(past)
            if first_loose is None:
                continue
            held = [float(entries) for _, one, entries in past if one.is_mount]
            return _empty(facts, run, seen, past=past, usual=median(held), since=end_of(first_loose))
        if usual is not None and usual < EMPTY_USUAL and seen.entries:
            continue
        first = past[fall.first][0] if fall else _first_empty(past)
        return _empty(facts, run, seen, past=past, usual=usual, since=end_of(first))
    return None


Past = list[tuple[RunReport, SourceSeen, int]]


def _past(runs: Sequence[RunReport], path: str) -> Past:
    name = plain(path)
    return [
        (run, one, one.entries)
        for run in runs
        for one in run.sources
        if one.there and one.entries is not None and plain(one.path) == name
    ]


def _share(seen: SourceSeen, past: Past, share: float) -> float:
    """A source that is no longer a mount point and used to be is measured more strictly."""
    was = [one.is_mount for _, one, _ in past[:-1]]
    return HALF if not seen.is_mount and any(was) else share


def _unmounted(past: Past) -> RunReport | None:
    """Since which run a source that always was a mount point is none, whatever lies in the folder under
    it."""
    first = len(past)
    while first > 0 and not past[first - 1][1].is_mount:
        first -= 1
    before = past[max(0, first - MOUNTED_LEAST) : first]
    if first == len(past) or len(before) < MOUNTED_LEAST or not all(one.is_mount for _, one, _ in before):
        return None
    return past[first][0] if past[first][1].mount != before[-1][1].mount else None


def _first_empty(past: Past) -> RunReport:
    first = len(past) - 1
    while first > 0 and past[first - 1][2] == 0:
        first -= 1
    return past[first][0]


def _empty(
    facts: Facts, run: RunReport, seen: SourceSeen, *, past: Past, usual: float | None, since: int
) -> Found:
    entries = seen.entries or 0
    before = f", usually {say_files(usual)}" if usual is not None else ""
    few = usual is not None and entries < HALF * usual
    held = "is empty" if not entries else f"holds {'only ' if few else ''}{say_files(entries)}"
    reason = f"the source {seen.path} {held}{before}{_what_the_job_says(facts)}"
    if seen.problem:
        reason += f"; {short(seen.problem)}"
    old = next((one for other, one, _ in reversed(past) if end_of(other) < since), None)
    if old is not None and (old.mount != seen.mount or old.is_mount != seen.is_mount):
        reason += (
            f"; its volume is not mounted: it was {old.mount or 'a file system'} until "
            f"{say_time(since)} and is now "
            f"a folder of {seen.mount or 'another file system'}"
        )
    made = facts.last_made
    if made is not None and made.copy:
        reason += f"; {copy_word(facts.plan.tool)} {made.copy[:8]} was made of it {say_time(end_of(made))}"
    numbers = {"entries_count": float(entries)} | ({"usual_count": usual} if usual is not None else {})
    return Found(
        reason=reason,
        began_ms=since,
        run=run.run,
        copy=run.copy,
        since_run_ms=since,
        numbers=numbers,
        usual={f"entries {seen.path}": usual} if usual is not None else {},
        evidence=[
            say_run(run),
            *(say_source(one) for one in run.sources),
            *([say_source(old)] if old else []),
        ],
    )


def excludes_grown(facts: Facts, settings: Settings) -> Found | None:
    """More is left out than before; `lost`: and at least this share of the files went with it. Fault 18."""
    told = [one for one in facts.runs if one.excludes is not None]
    if len(told) < 2 or told[-1].excludes == told[0].excludes:
        return None
    first = _worst_growth(told)
    if first is None:
        return None
    old, now = told[first - 1], told[first]
    before = set(told[0].excludes or ()).union(*(one.excludes or () for one in told[:first]))
    new = [one for one in told[-1].excludes or () if one not in before]
    sources = [one for one in facts.plan.sources if any(covers(path, one) for path in new)]
    lost, fell = _lost(old, now)
    if sources:
        lost = 1.0
    if lost < settings["lost"]:
        return None
    said = f": {listed(sources)} is left out as a whole" if sources else ""
    if not sources and lost > 0:
        said = f", and {fell} (by {say_share(lost)})"
    return Found(
        reason=f"since {say_time(end_of(now))} the job also leaves out {listed(new, 5)}{said}",
        began_ms=end_of(now),
        run=now.run,
        since_run_ms=end_of(now) if lost >= HALF else None,
        numbers={"new_count": float(len(new)), "lost_ratio": lost},
        evidence=[say_run(old), say_run(now), *(f"left out: {one}" for one in new[:20])],
    )


def _worst_growth(told: Sequence[RunReport]) -> int | None:
    """The place of the run that left out more than any before it, and still does; of several the one with
    which most went."""
    known, now, steps = set(told[0].excludes or ()), set(told[-1].excludes or ()), []
    for place, run in enumerate(told):
        more = set(run.excludes or ()) - known
        if more & now:
            steps.append((-_lost(told[place - 1], run)[0], place))
        known |= more
    return min(steps)[1] if steps else None


def _lost(old: RunReport, now: RunReport) -> tuple[float, str]:
    """The share of the files that went, or of the bytes where files are not counted (a dump); in words."""
    if old.files and now.files is not None:
        fell = f"the files fell from {say_number(old.files)} to {say_number(now.files)}"
        return max(0.0, (old.files - now.files) / old.files), fell
    if old.size and now.size is not None:
        fell = f"the size fell from {say_bytes(old.size)} to {say_bytes(now.size)}"
        return max(0.0, (old.size - now.size) / old.size), fell
    return 0.0, ""
