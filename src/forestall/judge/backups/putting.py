"""Whose copy is whose: the runs and copies of a plan put together, those of its neighbours left out.

A run that its job reported and the copy that a look found are one run when they name one copy, or when the
copy was begun while the run went on. Several jobs may save into one repository: copies of other paths that
come in between a plan's own are a neighbour's.
"""

from bisect import bisect_left
from collections.abc import Sequence

from msgspec.structs import replace

from forestall.judge.backups.paths import covers
from forestall.kernel.backups import SHORT_KEY, CopySeen, RunReport, same_copy

NEAR_MS = 2 * 60_000  # two clocks that are right, of different machines
TOLD_MS = 10 * 60_000  # what a mail or a log says of when it ran
ROUNDED_MS = 2_000  # a run and its copy are dated by one clock, and tools round to seconds
HEX = "0123456789abcdef"
FILLED = ("files", "size", "files_new", "files_changed", "files_removed", "added")


class CopyIndex:
    """Copies by key, whole or its beginning (only for keys that are digests). `copies`: oldest first."""

    def __init__(self, copies: Sequence[CopySeen]) -> None:
        self.copies = copies
        self.whole = {one.key: one for one in copies}
        self.short: dict[str, CopySeen] = {
            one.key[:SHORT_KEY]: one for one in copies if len(one.key) > SHORT_KEY and is_digest(one.key)
        }

    def find(self, key: str) -> CopySeen | None:
        """The copy that a key means."""
        known = self.whole.get(key)
        if known is None and is_digest(key):
            near = self.short.get(key[:SHORT_KEY])
            known = near if near is not None and same_copy(near.key, key) else None
        return known

    def of(self, run: RunReport) -> CopySeen | None:
        """The copy of a run: the one that it names, else the only one that was begun while it went on."""
        if run.copy:
            return self.find(run.copy)
        if run.began_ms is None:
            return None
        place = bisect_left(self.copies, run.began_ms - slack_of(run), key=lambda one: one.at_ms)
        near = [one for one in self.copies[place : place + 2] if one.at_ms <= end_of(run) + slack_of(run)]
        return near[0] if len(near) == 1 else None


def slack_of(run: RunReport) -> int:
    """How far a copy's own time may lie outside of its run."""
    return ROUNDED_MS if run.by == "job" else TOLD_MS


def is_digest(key: str) -> bool:
    """Whether a key is hexadecimal: only such keys are ever shortened."""
    return len(key) >= SHORT_KEY and not key.strip(HEX)


def end_of(run: RunReport) -> int:
    """When a run ended, or when it was seen."""
    return run.at_ms if run.ended_ms is None else run.ended_ms


def begin_of(run: RunReport) -> int:
    """When a run began, as far as is known."""
    return end_of(run) if run.began_ms is None else run.began_ms


def put_together(runs: Sequence[RunReport]) -> list[RunReport]:
    """One run for each: what the repository says of a run fills what its job left out."""
    if not any(one.by == "repository" for one in runs):
        return list(runs)
    by_copy: dict[str, int] = {}
    result: list[RunReport] = []
    unnamed: list[tuple[int, int]] = []  # begin and place of the job's runs that do not name their copy
    later: list[RunReport] = []
    for one in runs:
        if one.by == "repository":
            later.append(one)
            continue
        if one.copy:
            by_copy[_short(one.copy)] = len(result)
        elif one.said != "running":
            unnamed.append((begin_of(one), len(result)))
        result.append(one)
    unnamed.sort()
    for one in later:
        place = by_copy.get(_short(one.copy))
        if place is None and unnamed:
            place = _by_time(one, unnamed, result)
        if place is None:
            result.append(one)
        else:
            result[place] = _filled(result[place], one)
    return result


def _short(key: str) -> str:
    return key[:SHORT_KEY] if is_digest(key) else key


def _by_time(one: RunReport, unnamed: list[tuple[int, int]], result: Sequence[RunReport]) -> int | None:
    at = begin_of(one)
    near = bisect_left(unnamed, (at + TOLD_MS, 0)) - 1
    if near < 0:
        return None
    place = unnamed[near][1]
    job = result[place]
    if begin_of(job) - slack_of(job) <= at <= end_of(job) + slack_of(job) and job.said != "failed":
        del unnamed[near]
        return place
    return None


def _filled(job: RunReport, seen: RunReport | CopySeen) -> RunReport:
    missing = {
        name: value
        for name in FILLED
        if getattr(job, name) is None and (value := getattr(seen, name, None)) is not None
    }
    if not job.copy:
        missing["copy"] = seen.copy if isinstance(seen, RunReport) else seen.key
    return replace(job, **missing) if missing else job


def filled_from(ended: list[RunReport], index: CopyIndex) -> list[RunReport]:
    """Runs whose job told no figures get those of their copy, where a look found them."""
    for place, run in enumerate(ended):
        if (run.files is None and run.size is None) and run.said in ("success", "warning"):
            copy = index.of(run)
            if copy is not None:
                ended[place] = _filled(run, copy)
    return ended


def without_neighbours(
    copies: list[CopySeen], runs: Sequence[RunReport], sources: Sequence[str]
) -> tuple[list[CopySeen], Sequence[RunReport]]:
    """The copies and runs that are a plan's own. `copies`: oldest first. Copies of quite other paths are a
    neighbour's when one of them came before the newest of the plan's own; otherwise the job itself
    changed."""
    strange = [one for one in copies if one.paths and not _is_of(one, sources)] if sources else []
    if not strange or len(strange) == len(copies):
        return copies, runs
    keys = {one.key for one in strange}
    every = CopyIndex(copies)
    told = [every.find(one.copy) for one in runs if one.copy and one.by != "repository"]
    claimed = {one.key for one in told if one is not None}
    newest = max(one.at_ms for one in copies if one.key not in keys)
    if claimed - keys:  # the job tells which are its own
        newest = copies[-1].at_ms + 1
    groups = {(one.host, *sorted(one.paths)) for one in strange if one.at_ms < newest}
    groups -= {(one.host, *sorted(one.paths)) for one in strange if one.key in claimed}
    if not groups:
        return copies, runs
    own = [one for one in copies if (one.host, *sorted(one.paths)) not in groups]
    index = CopyIndex(own)
    return own, [one for one in runs if one.by != "repository" or index.find(one.copy) is not None]


def without_other_machines(
    copies: list[CopySeen], runs: Sequence[RunReport]
) -> tuple[list[CopySeen], Sequence[RunReport]]:
    """The same without copies that other machines made, where the jobs tell which machine is the plan's: they
    save the same paths (`/etc`) of something else, and must not stand for a job that is gone."""
    if len({one.host for one in copies}) < 2:
        return copies, runs
    index = CopyIndex(copies)
    told = [index.find(one.copy) for one in runs if one.copy and one.by == "job"]
    ours = {one.host for one in told if one is not None and one.host}
    if not ours:
        return copies, runs
    own = [one for one in copies if not one.host or one.host in ours]
    if len(own) == len(copies):
        return copies, runs
    index = CopyIndex(own)
    return own, [one for one in runs if one.by != "repository" or index.find(one.copy) is not None]


def _is_of(copy: CopySeen, sources: Sequence[str]) -> bool:
    return any(covers(path, one) or covers(one, path) for path in copy.paths for one in sources)
