"""All checks of backup plans by name: what they may be told, and which fault explains which consequence.

A rule of a pack names one (`backup: source-missing`). A new check is a function and a line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from forestall.judge.backups import content, copies, proofs, repository, rewriting, room, runs, sources
from forestall.judge.backups.facts import Facts, Found
from forestall.judge.backups.values import DAY_MS, HOUR_MS

Settings = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a state may set. `kind`: "duration" (ms), "share" or "count". `harder`: +1 when a larger value is
    harder to reach, -1 when a smaller one is."""

    kind: str
    default: float
    harder: int
    example: str


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `said`: when it disagrees, in words, with {settings}. `of_run`: its finding makes runs
    implausible, so it is asked before those that look at what becomes of good copies."""

    find: Callable[[Facts, Settings], Found | None]
    said: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    of_run: bool = False


INTERVALS = Setting("count", 1, 1, "3")
SHARE_LEFT = Setting("share", 0.5, -1, "10%")
LEVELS = {2: "check", 3: "read", 4: "restore", 5: "service", 6: "elsewhere"}

CHECKS: dict[str, Check] = {
    # what a run saved
    "source-missing": Check(sources.source_missing, "a source is not there or not in the copy", of_run=True),
    "source-changed": Check(sources.source_changed, "something else is saved than should be", of_run=True),
    "source-empty": Check(
        sources.source_empty,
        "a source holds less than {share} of its usual files",
        {"share": Setting("share", 0.1, -1, "10%")},
        of_run=True,
    ),
    "copy-problem": Check(
        content.copy_problem, "the newest copy is cut short or of another format", of_run=True
    ),
    "copy-empty": Check(
        content.copy_empty, "the newest copy holds nothing, or less than its floor", of_run=True
    ),
    "shrunk": Check(
        content.shrunk, "a run saves less than {share} of the usual", {"share": SHARE_LEFT}, of_run=True
    ),
    "encrypted": Check(rewriting.encrypted, "the source looks encrypted", of_run=True),
    "rewritten": Check(
        rewriting.rewritten,
        "more than {share} was rewritten at once",
        {"share": Setting("share", 0.5, 1, "50%")},
        of_run=True,
    ),
    "entropy-up": Check(
        rewriting.entropy_up, "changes look like noise in {runs} runs", {"runs": Setting("count", 3, 1, "3")}
    ),
    "torn": Check(
        content.torn,
        "files changed while they were read ({times} times)",
        {"times": Setting("count", 1, 1, "2")},
        of_run=True,
    ),
    "excludes-grown": Check(
        sources.excludes_grown,
        "more is left out, and {lost} of the files with it",
        {"lost": Setting("share", 0.0, 1, "10%")},
        of_run=True,
    ),
    # runs
    "run-overdue": Check(runs.run_overdue, "no good run for {intervals} RPO", {"intervals": INTERVALS}),
    "run-failed": Check(
        runs.run_failed,
        "the newest run failed, and no good one for {intervals} RPO",
        {"intervals": Setting("count", 0, 1, "3")},
        of_run=True,
    ),
    "run-warning": Check(runs.run_warning, "the newest run ended with warnings", of_run=True),
    "run-too-long": Check(
        runs.run_too_long,
        "a run goes on for {times} times the longest, at least {least}",
        {"times": Setting("count", 2, 1, "2"), "least": Setting("duration", HOUR_MS, 1, "1 h")},
    ),
    "duration-growth": Check(
        runs.duration_growth,
        "runs take {times} times as long, at least {least} more",
        {"times": Setting("count", 2, 1, "2"), "least": Setting("duration", HOUR_MS // 2, 1, "30 min")},
    ),
    "schedule-moved": Check(
        runs.schedule_moved,
        "runs begin {by} earlier or later than they used to",
        {"by": Setting("duration", 3 * HOUR_MS, 1, "3 h")},
    ),
    "no-longer-reported": Check(
        runs.no_longer_reported,
        "{runs} copies came of which the job said nothing",
        {"runs": Setting("count", 3, 1, "3")},
    ),
    "tool-too-old": Check(
        runs.tool_too_old, "the tool does not fit the version of its server or repository", of_run=True
    ),
    # the repository
    "error-swallowed": Check(
        runs.error_swallowed, "it ends with 0 and its output says an error", of_run=True
    ),
    "look-overdue": Check(
        repository.look_overdue,
        "nobody looked into it for {after}",
        {"after": Setting("duration", 26 * HOUR_MS, 1, "26 h")},
    ),
    "key-refused": Check(repository.key_refused, "the key is refused", of_run=True),
    "repository-away": Check(
        repository.repository_away,
        "it cannot be reached for {for}",
        {"for": Setting("duration", 2 * HOUR_MS, 1, "2 h")},
    ),
    "look-impossible": Check(repository.look_impossible, "nobody can look into it"),
    "lock-old": Check(
        repository.lock_old,
        "a lock that no run holds, older than {older}",
        {"older": Setting("duration", 24 * HOUR_MS, 1, "24 h")},
        of_run=True,
    ),
    "clock-wrong": Check(
        repository.clock_wrong,
        "a copy is dated more than {ahead} beside its time",
        {"ahead": Setting("duration", HOUR_MS // 2, 1, "30 min")},
    ),
    "protection-weakened": Check(repository.protection_weakened, "append-only was switched off"),
    "retention-changed": Check(repository.retention_changed, "its keep rules keep less than before"),
    "copy-not-there": Check(copies.copy_not_there, "the job says success and no copy is there", of_run=True),
    "copies-vanished": Check(copies.copies_vanished, "copies are gone that the keep rules keep"),
    "destination-changed": Check(
        copies.destination_changed,
        "it lies on another file system with less than {share} of the copies",
        {"share": SHARE_LEFT},
        of_run=True,
    ),
    "other-host": Check(copies.other_host, "copies come from another machine"),
    "room-short": Check(
        room.room_short, "it is full within {within}", {"within": Setting("duration", 0, -1, "7 days")}
    ),
    "room-full": Check(
        room.room_full,
        "there is no room for {runs} runs",
        {"runs": Setting("count", 1, -1, "1")},
        of_run=True,
    ),
    "last-good-pruned": Check(
        room.last_good_pruned,
        "the last good copy is pruned within {within}",
        {"within": Setting("duration", 3 * DAY_MS, -1, "3 days")},
    ),
    # proofs
    "repository-damaged": Check(proofs.repository_damaged, "stored data is damaged or missing"),
    "never-proved": Check(
        proofs.never_proved,
        "no restore was proved in {after} and none is planned",
        {"after": Setting("duration", 90 * DAY_MS, 1, "90 days")},
    ),
    "proof-stale": Check(
        proofs.proof_stale,
        "a drill restored a copy older than {intervals} RPO",
        {"intervals": Setting("count", 2, 1, "2")},
    ),
    "objective-missed": Check(proofs.objective_missed, "a drill missed the RTO or the RPO"),
}
for _level, _name in LEVELS.items():
    CHECKS[f"{_name}-failed"] = Check(
        proofs.proof_failed(_level),
        f"{proofs.NAMES[_level]} failed",
        {"skipped": Setting("count", 1, -1, "1")},
    )
    CHECKS[f"{_name}-overdue"] = Check(proofs.proof_overdue(_level), f"{proofs.NAMES[_level]} is overdue")

FAILED = tuple(f"{name}-failed" for name in LEVELS.values())
OVERDUE = tuple(f"{name}-overdue" for name in LEVELS.values())
OF_CONTENT = (
    "error-swallowed",
    "copy-problem",
    "run-warning",
    "run-failed",
    "copy-empty",
    "shrunk",
    "rewritten",
    "duration-growth",
    "entropy-up",
)

# One fault, one finding: what the key finds explains these, and they are not said as well. The most specific
# cause stands; what it does to sizes, counts, exit codes and proofs is consequence. A cause in SAME_RUN
# explains only what began with the same run: an old exclusion does not explain what is gone today.
SAME_RUN = frozenset(
    {
        "source-missing",
        "source-changed",
        "source-empty",
        "copy-problem",
        "copy-empty",
        "encrypted",
        "excludes-grown",
        "shrunk",
        "error-swallowed",
    }
)
EXPLAINS: dict[str, tuple[str, ...]] = {
    "source-missing": OF_CONTENT,
    "source-changed": (*OF_CONTENT, "source-missing", "source-empty", "other-host"),
    "source-empty": (*OF_CONTENT, "encrypted"),
    "copy-problem": OF_CONTENT,
    "error-swallowed": ("copy-empty", "shrunk", "rewritten", "duration-growth"),
    "copy-empty": ("run-warning", "shrunk", "rewritten", "duration-growth"),
    "encrypted": ("rewritten", "shrunk", "entropy-up", "duration-growth"),
    "shrunk": ("rewritten", "entropy-up"),
    "excludes-grown": ("shrunk", "duration-growth"),
    "tool-too-old": (*OF_CONTENT, "look-impossible", "copy-problem", "run-overdue"),
    "key-refused": ("run-failed", "run-warning", "run-overdue", "copy-not-there", *FAILED, *OVERDUE),
    "room-full": ("run-failed", "run-warning", "run-too-long", "run-overdue", "room-short", "lock-old"),
    "lock-old": ("run-failed", "run-warning", "run-overdue", "check-failed", "check-overdue"),
    "repository-damaged": ("run-failed", "run-warning", "run-overdue", *FAILED, *OVERDUE),
    "repository-away": ("run-failed", "run-overdue", *FAILED, *OVERDUE),
    "look-impossible": (*FAILED, *OVERDUE),
    "destination-changed": (
        "copies-vanished",
        "copy-not-there",
        "last-good-pruned",
        "rewritten",
        "retention-changed",
        "protection-weakened",
        *FAILED,
    ),
    "clock-wrong": ("copy-not-there", "schedule-moved"),
    "copy-not-there": ("run-overdue", "last-good-pruned"),
    "copies-vanished": ("copy-not-there", "last-good-pruned"),
    "run-failed": ("run-overdue",),
    "run-too-long": ("run-overdue", "duration-growth"),
    "run-overdue": ("no-longer-reported", "schedule-moved"),
    **{f"{name}-failed": (f"{name}-overdue",) for name in LEVELS.values()},
}
# What keeps new copies from being there makes a drill miss the RPO as well.
for _cause in (
    "run-failed",
    "run-overdue",
    "run-too-long",
    "copy-not-there",
    "copies-vanished",
    "key-refused",
    "room-full",
    "repository-away",
    "destination-changed",
    "clock-wrong",
    "repository-damaged",
    "tool-too-old",
):
    EXPLAINS[_cause] = (*EXPLAINS[_cause], "objective-missed")
