"""What all checks of a plan look at: its runs put together, its copies, and what is usual for it.

A run that its job reported and the copy that a look found are one run when they name one copy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, TypeVar

from forestall.judge.backups.putting import (
    NEAR_MS,
    CopyIndex,
    begin_of,
    end_of,
    filled_from,
    put_together,
    without_neighbours,
    without_other_machines,
)
from forestall.judge.backups.values import HOUR_MS, JudgedPlan, PlanHistory
from forestall.kernel.backups import COPIES_MAX, RepositoryReport, RunReport

BASE_MAX = 60  # runs that say what is usual
BASE_LEAST = 3  # fewer say nothing: only floors hold
GRACE_SHARE = 0.1
GRACE_LEAST_MS = HOUR_MS // 2
T = TypeVar("T")
GOOD = ("success", "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a check found. `run` and `copy`: the newest that is meant. `since_run_ms`: runs that ended from
    then on are no proof of level 1. `usual`: what was usual, kept while the finding is open."""

    reason: str
    began_ms: int
    run: str = ""
    copy: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    evidence: Sequence[str] = ()
    since_run_ms: int | None = None
    usual: Mapping[str, float] = field(default_factory=dict)
    explained: bool = False


class Facts:
    """Everything that checks ask about. `runs` ended since a person last accepted what is normal; `ended` are
    all; `copies` are the plan's own, `everybodys` with those of other machines; `waits` collects when a check
    may come to another answer although nothing new is seen."""

    def __init__(
        self, plan: JudgedPlan, history: PlanHistory, *, now_ms: int, usual: Mapping[str, float] | None = None
    ) -> None:
        self.plan = plan
        self.history = history
        self.now_ms = now_ms
        self.usual = usual or {}
        self.waits: list[int] = []
        self._made: dict[str, Any] = {}
        self.looks = history.looks
        self.look: RepositoryReport | None = history.looks[-1] if history.looks else None
        self.opened = next((one for one in reversed(history.looks) if one.opened), None)
        copies = sorted(self.opened.copies, key=lambda c: c.at_ms) if self.opened else []
        self.whole = self.opened is not None and len(copies) >= min(self.opened.copies_total, COPIES_MAX)
        self.everybodys, runs = without_neighbours(copies, history.runs, plan.sources)
        self.copies, runs = without_other_machines(self.everybodys, runs)
        self.index = CopyIndex(self.copies)
        merged = put_together(runs)
        self.ended = filled_from(ended_of(merged, now_ms), self.index)
        self.running = _still_running(merged, self.ended)
        accepted = plan.accepted_ms
        self.runs = [one for one in self.ended if end_of(one) >= accepted] if accepted else self.ended
        self.made = [one for one in self.runs if is_good(one) or (one.said == "failed" and one.copy)]
        self.newest = self.runs[-1] if self.runs else None
        self.last_made = self.made[-1] if self.made else None
        self.grace_ms = plan.grace_ms or max(int(plan.rpo_ms * GRACE_SHARE), GRACE_LEAST_MS)
        # a look by the agent on the machine of the job has the job's clock
        self.near_ms = 0 if plan.by in (0, plan.asset) else NEAR_MS
        self.bad_since_ms: int | None = None  # set by judging: since when runs are implausible

    def memo(self, name: str, make: Callable[[], T]) -> T:
        """What several checks ask for, made once."""
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found

    def wait(self, until_ms: int) -> None:
        """Ask for another judging then."""
        if until_ms > self.now_ms:
            self.waits.append(until_ms)

    def last_good_ms(self) -> int | None:
        """When the newest run that made a copy ended, or the newest copy was made."""
        found = [end_of(one) for one in reversed(self.ended) if is_good(one)][:1]
        horizon = self.opened.at_ms + NEAR_MS if self.opened else 0
        found += [one.at_ms for one in self.copies[::-1] if one.at_ms <= horizon and not one.problem][:1]
        return max(found, default=None)

    def longest_ms(self) -> int | None:
        """The longest of the good runs, None when fewer than BASE_LEAST lengths are known."""
        return self.memo("longest", self._longest)

    def _longest(self) -> int | None:
        spans = [
            one.ended_ms - one.began_ms
            for one in self.ended
            if one.began_ms is not None and one.ended_ms is not None and is_good(one)
        ]
        return max(spans) if len(spans) >= BASE_LEAST else None

    def interval_ms(self) -> int:
        """How often runs come in truth; the plan's RPO when too few are known."""
        ends = [end_of(one) for one in self.ended[-15:]]
        gaps = [later - sooner for sooner, later in pairwise(ends)]
        return int(median(gaps)) if len(gaps) >= BASE_LEAST else self.plan.rpo_ms


def is_good(run: RunReport) -> bool:
    """Whether a run says that it made a copy, or its copy was found. A warning is good only for that."""
    return run.said in GOOD or (run.said == "unknown" and run.by == "repository" and bool(run.copy))


def ended_of(merged: Sequence[RunReport], now_ms: int) -> list[RunReport]:
    """Those that ended, oldest first. A copy that is dated in the future says nothing of when a run ended."""
    ended = [one for one in merged if one.said != "running" and end_of(one) <= now_ms + NEAR_MS]
    return sorted(ended, key=end_of)


def _still_running(merged: Sequence[RunReport], ended: Sequence[RunReport]) -> RunReport | None:
    """The newest run whose end was not seen, unless another one has ended since it began."""
    begun = [one for one in merged if one.said == "running"]
    if not begun:
        return None
    newest = max(begun, key=begin_of)
    if ended and end_of(ended[-1]) > begin_of(newest):
        return None
    return newest


@dataclass(frozen=True, slots=True)
class Fall:
    """A level that fell: from the run at `first` on, from `usual` (the median before)."""

    first: int
    usual: float
    now: float


def fallen(values: Sequence[float], share: float, *, known: float | None = None) -> Fall | None:
    """Whether the newest value is below `share` of what was usual before it fell, from one run to the next.

    A low level that goes on never becomes the usual one by itself: the runs before it stay the measure
    (`known`: what it was, when they are no longer in the history). Values that come in several sizes (a full
    copy on Sundays) are measured by the low ones of the last BASE_MAX; a slow decline is none.
    """
    if not values:
        return None
    now = values[-1]
    first, limit = len(values) - 1, max(now, 1.0) / share
    while first > 0 and values[first - 1] <= limit:
        first -= 1
    base = values[max(0, first - BASE_MAX) : first]
    if len(base) < BASE_LEAST:
        return Fall(0, known, now) if known is not None and now < share * known else None
    low = sorted(base)[(len(base) - 1) // 10]
    if now >= share * low or values[first] >= share * min(base[-10:]):
        return None
    return Fall(first, float(median(base)), now)
