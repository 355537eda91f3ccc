"""Checks of what a run saved: is it empty, did it shrink, was it rewritten or encrypted, torn while being
read?"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from forestall.judge.backups.facts import BASE_LEAST, Facts, Fall, Found, fallen
from forestall.judge.backups.putting import end_of
from forestall.judge.backups.sources import newest_copy
from forestall.judge.backups.words import (
    copy_word,
    listed,
    say_copy,
    say_files,
    say_key,
    say_run,
    say_time,
    short,
)
from forestall.kernel.backups import RunReport
from forestall.kernel.words import say_bytes, say_number, say_share

Settings = Mapping[str, float]
FILES_LEAST = 5  # a fall by fewer files, or by fewer bytes, is none
BYTES_LEAST = 64_000
SMALL_BYTES, GONE_PART = 4_096, 0.1
NEW_PART = 0.9
CANARY_FILES = 2
CANARY_BYTES = 100_000
COUNTING = ("restic", "borg", "borgmatic")  # their count of files is of the whole copy
INCOMPLETE = 0.5
COMPLETE = 0.95  # of the part of the source that copies usually hold
LACKING_LEAST = 3
MEASURE_LEAST = 10  # files at the source
TORN_KINDS = re.compile(
    r"\.(db|db3|sqlite3?|mdb|accdb|ibd|frm|myd|myi|ldf|mdf|ndf|pst|ost|edb|dbf|fdb|gdb|nsf|vmdk|vhdx?|qcow2|vdi"
    r"|img|kdbx|ldb|wt|tdb|dbx|mbox|jet|btr|abs|rdb|aof)$|ibdata\d|/pg_wal/|/base/\d+/\d+|redo\d+\.log$",
    re.IGNORECASE,
)
PASSING_KINDS = re.compile(
    r"\.(log|log\.\d+|out|err|tmp|temp|swp|lock|lck|pid|cache|part|crdownload|journal|lastlog)$|/(log|logs|tmp|cache)/"
    r"|(^|/)(~\$|\.~lock)|journal/",
    re.IGNORECASE,
)


def copy_problem(facts: Facts, _: Settings) -> Found | None:
    """The newest copy cannot be what it should be: cut short, of another format. Fault 8."""
    copy = newest_copy(facts)
    if copy is None or not copy.problem:
        return None
    place = len(facts.copies) - 1 - facts.copies[::-1].index(copy)
    first = place
    while first > 0 and facts.copies[first - 1].problem:
        first -= 1
    bad = facts.copies[first : place + 1]
    run = facts.last_made
    says = f"the job says {run.said}, and " if run is not None and run.by != "repository" else ""
    size = f" ({say_bytes(copy.size)})" if copy.size is not None else ""
    usual = [one.size for one in facts.copies if not one.problem and one.size]
    before = f"; usually it has {say_bytes(median(usual))}" if len(usual) >= BASE_LEAST else ""
    return Found(
        reason=f"{says}{say_copy(facts.plan.tool, copy)}{size} is no good copy: "
        f"{short(copy.problem)}{before}",
        began_ms=bad[0].at_ms,
        run=run.run if run else "",
        copy=copy.key,
        since_run_ms=min(bad[0].at_ms, end_of(run)) if run else bad[0].at_ms,
        numbers={"size_bytes": float(copy.size or 0), "bad_count": float(len(bad))},
        evidence=([say_run(run)] if run else []) + [f"{say_key(one.key)}: {one.problem}" for one in bad[-5:]],
    )


def copy_empty(facts: Facts, _: Settings) -> Found | None:
    """The newest copy holds nothing, or less than the floor that a person gave. Faults 2, 13."""
    run = facts.last_made
    if run is None:
        return None
    plan = facts.plan
    floor_files = 1 if plan.least_files is None else plan.least_files
    ours = run.canary is not None and plan.tool in COUNTING and (run.size or 0) < CANARY_BYTES
    if ours and plan.least_files is None:
        floor_files += CANARY_FILES  # what Forestall itself has put there is no data
    floor_size = 1 if plan.least_size is None else plan.least_size
    limits = (floor_files, floor_size)
    if not _below(run, limits):
        return _incomplete(facts, run)
    first = len(facts.made) - 1
    while first > 0 and _below(facts.made[first - 1], limits):
        first -= 1
    since = end_of(facts.made[first])
    held = _held(run)
    before = facts.made[max(0, first - 30) : first]
    usual = ""
    if len(before) >= BASE_LEAST and before[-1].files is not None:
        usual = f", usually {say_files(median(one.files or 0 for one in before))}"
    floor = (
        ""
        if (plan.least_files, plan.least_size) == (None, None)
        else f" (floor {say_files(floor_files)}, {say_bytes(floor_size)})"
    )
    word = copy_word(plan.tool)
    copy = f" {say_key(run.copy)}" if run.copy else ""
    count = f"; {len(facts.made) - first} of them in a row" if first < len(facts.made) - 1 else ""
    return Found(
        reason=f"the job says {run.said}, and the {word}{copy} of {say_time(end_of(run))} holds "
        f"{held}{floor}{usual}"
        f"{count}",
        began_ms=since,
        run=run.run,
        copy=run.copy,
        since_run_ms=since,
        numbers={"files_count": float(run.files or 0), "size_bytes": float(run.size or 0)},
        evidence=[say_run(one) for one in facts.made[max(0, first - 1) :][-4:]],
    )


def _incomplete(facts: Facts, run: RunReport) -> Found | None:
    """The manifest taken at the source holds more files than the copy that was made of it: most are missing,
    or more than ever were (a folder that cannot be read, a job that names a part of it)."""
    manifest = run.manifest
    if (
        manifest is None
        or run.files is None
        or facts.plan.tool not in COUNTING
        or manifest.files < MEASURE_LEAST
    ):
        return None
    there = manifest.files - manifest.moving
    if not run.excludes and run.files < INCOMPLETE * there:  # what the job leaves out is in the manifest
        return _lacking(facts, run, since=run, usual=None)
    known = [one for one in facts.made if _part(one) is not None]
    parts = [_part(one) or 0.0 for one in known]
    fall = fallen([1_000 * one for one in parts], COMPLETE)
    if fall is None or run.said != "success" or known[-1] is not run:
        return None
    first, before = known[fall.first], known[fall.first - 1]
    usual, lost = fall.usual / 1_000, (before.files or 0) - (first.files or 0)
    if first.excludes != before.excludes or (usual - parts[-1]) * there < LACKING_LEAST:
        return None
    if run.excludes and lost < LACKING_LEAST:  # what is left out grew, and nothing that is saved is less
        return None
    return _lacking(facts, run, since=first, usual=usual)


def _part(run: RunReport) -> float | None:
    """Which part of the files at the source the copy holds."""
    if run.manifest is None or run.files is None or run.manifest.files <= run.manifest.moving:
        return None
    return min(1.0, run.files / (run.manifest.files - run.manifest.moving))


def _lacking(facts: Facts, run: RunReport, *, since: RunReport, usual: float | None) -> Found:
    assert run.manifest is not None and run.files is not None
    at_source = run.manifest.files
    how = "most are not in the copy"
    if usual is not None:
        how = (
            f"{say_share(run.files / at_source)} of them, usually {say_share(usual)}; the job names a part "
            "of the source, may not read all of it, or a filter has grown"
        )
    return Found(
        reason=f"the job says {run.said}, and {copy_word(facts.plan.tool)} {say_key(run.copy)} of "
        f"{say_time(end_of(run))} "
        f"holds {say_files(run.files)}, while {say_files(at_source)} were at the source: {how}",
        began_ms=end_of(since),
        run=run.run,
        copy=run.copy,
        since_run_ms=end_of(since),
        numbers={"files_count": float(run.files), "source_count": float(at_source)},
        evidence=[say_run(run), f"manifest {run.manifest.root[:8]}: {say_files(at_source)}"],
    )


def _below(run: RunReport, limits: tuple[int, int]) -> bool:
    few = run.files is not None and run.files < limits[0]
    return few or (run.size is not None and run.size < limits[1])


def _held(run: RunReport) -> str:
    if run.files is None:
        return say_bytes(run.size or 0)
    if not run.files:
        return "no file"
    return say_files(run.files) + (f" of {say_bytes(run.size)}" if run.size is not None else "")


def shrunk(facts: Facts, settings: Settings) -> Found | None:
    """Far fewer files or bytes than usual, from one run to the next. Faults 2, 9; deletion ratio."""
    made = facts.made
    share = settings["share"]
    for name, least in (("files", FILES_LEAST), ("size", BYTES_LEAST)):
        known, values = facts.memo(f"{name} of runs", partial(_series, made, name))
        if not known or known[-1] is not made[-1]:
            continue
        fall = fallen(values, share, known=facts.usual.get(name)) or _first_fall(known, values, share)
        if fall is not None and (fall.usual - fall.now >= least or _nearly_all(fall, name)):
            return _shrunk(facts, known, fall, name=name)
    return None


def _nearly_all(fall: Fall, name: str) -> bool:
    """Whether of a small source nearly everything is gone."""
    return name == "size" and fall.usual >= SMALL_BYTES and fall.now <= GONE_PART * fall.usual


def _series(made: Sequence[RunReport], name: str) -> tuple[list[RunReport], list[float]]:
    """The runs that tell a figure, and the figures."""
    known = [one for one in made if getattr(one, name) is not None]
    return known, [float(getattr(one, name)) for one in known]


def _first_fall(runs: Sequence[RunReport], values: Sequence[float], share: float) -> Fall | None:
    """Before anything is usual: a run that says itself that it removed nearly all of the run before."""
    if not 2 <= len(values) <= BASE_LEAST:
        return None
    old, run = values[-2], runs[-1]
    gone = (run.files_removed or 0) >= NEW_PART * (runs[-2].files or 1) and values[-1] < share * old
    return Fall(len(values) - 1, old, values[-1]) if gone and run.files_removed else None


def _shrunk(facts: Facts, runs: Sequence[RunReport], fall: Fall, *, name: str) -> Found:
    say = say_files if name == "files" else say_bytes
    run, at = runs[-1], runs[fall.first]
    share = fall.now / fall.usual
    reason = (
        f"the run of {say_time(end_of(run))} saved {say(fall.now)}, usually {say(fall.usual)} "
        f"({say_share(share)})"
    )
    before = runs[fall.first - 1].files if fall.first else None
    removed = at.files_removed
    if removed is None and before is not None and at.files is not None and at.files_new is not None:
        removed = before + at.files_new - at.files
    if removed and before:
        ratio = say_share(min(1.0, removed / before))
        reason += (
            f"; the run of {say_time(end_of(at))} removed {say_number(removed)} of "
            f"{say_files(before)} ({ratio})"
        )
    elif fall.first < len(runs) - 1:
        reason += f", since the run of {say_time(end_of(at))}"
    if run.by != "repository":
        reason += f"; the job says {run.said}"
    return Found(
        reason=reason,
        began_ms=end_of(at),
        run=run.run,
        copy=run.copy,
        since_run_ms=end_of(at),
        numbers={f"now_{name}": fall.now, f"usual_{name}": fall.usual, "left_ratio": share},
        usual={name: fall.usual},
        evidence=[say_run(one) for one in [*runs[max(0, fall.first - 1) : fall.first + 1], run]],
    )


def torn(facts: Facts, settings: Settings) -> Found | None:
    """Files changed while they were read, so the copy of them is of no one moment. Fault 4.

    `times` 1: any file but logs and the like; more: a file of a database or the like at once, another one
    when it moved in so many of the newest three runs.
    """
    run = facts.last_made
    if run is None or run.manifest is None or not run.manifest.moving:
        return None
    moved = [path for path in run.manifest.moved if not PASSING_KINDS.search(path)]
    unnamed = run.manifest.moving - len(run.manifest.moved)
    times = int(settings["times"])
    if times > 1:
        near = [one.manifest.moved for one in facts.made[-3:] if one.manifest is not None]
        again = [path for path in moved if sum(path in paths for paths in near) >= times]
        whole = [path for path in moved if TORN_KINDS.search(path)]
        moved = list(dict.fromkeys([*whole, *again]))
        unnamed = 0
    if not moved and (unnamed <= 0 or run.manifest.moved):
        return None
    named = listed(moved) or say_files(unnamed)
    word = copy_word(facts.plan.tool)
    return Found(
        reason=f"{named} changed while the run of {say_time(end_of(run))} read it, so {word} "
        f"{say_key(run.copy)} may "
        "hold half of one state and half of another: a snapshot of the volume or a dump is needed".replace(
            "  ", " "
        ),
        began_ms=end_of(run),
        run=run.run,
        copy=run.copy,
        since_run_ms=end_of(run) if times > 1 else None,
        numbers={"moving_count": float(run.manifest.moving)},
        evidence=[say_run(run), *(f"changed meanwhile: {path}" for path in run.manifest.moved[:20])],
    )
