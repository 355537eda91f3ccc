"""What an occurrence means for a problem, and how long a fix is watched. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from forestall.kernel.words import say_duration

EPISODE = timedelta(hours=1)  # what comes again within it is the same time still
PROPOSE_AT = 2  # times
PROPOSE_WITHIN = timedelta(days=90)
WATCH_LEAST = timedelta(days=2)
WATCH_MOST = timedelta(days=120)
WATCH_UNKNOWN = timedelta(days=30)  # after one time alone
MEANS = 3  # mean gaps: a memoryless trouble stays away so long by chance in exp(-3) = 5% of cases


@dataclass(frozen=True, slots=True)
class Watch:
    """How long a fix is watched, and why in words."""

    lasts: timedelta
    because: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a problem, because of `why`."""

    does: Literal["propose", "count", "reopen", "nothing"]
    why: str


def is_episode(at: datetime, before: datetime | None) -> bool:
    """Whether an onset is a time of its own."""
    return before is None or abs(at - before) > EPISODE


def decide_watch(onsets: Sequence[datetime]) -> Watch:
    """Twice the longest gap or MEANS mean gaps, whichever is longer, from WATCH_LEAST to WATCH_MOST."""
    ordered = sorted(onsets)
    gaps = [(later - at).total_seconds() for at, later in pairwise(ordered)]
    if not gaps:
        return Watch(WATCH_UNKNOWN, f"{WATCH_UNKNOWN.days} days: it was seen once, so it has no rhythm yet")
    mean, longest = sum(gaps) / len(gaps), max(gaps)
    lasts = min(max(timedelta(seconds=max(2 * longest, MEANS * mean)), WATCH_LEAST), WATCH_MOST)
    said = f"{say_duration(lasts.total_seconds())}: it came {len(ordered)} times, every {say_duration(mean)}"
    said += f" in the mean, {say_duration(longest)} apart at most; twice the longest gap and"
    said += f" {MEANS} mean gaps are covered"
    if lasts == WATCH_MOST:
        said += f" up to the limit of {WATCH_MOST.days} days"
    return Watch(lasts, said)


def decide_occurrence(
    *, status: str, times: Sequence[datetime], at: datetime, done_at: datetime | None, episode: bool
) -> Verdict:
    """What an occurrence at `at` does. `status` "" when there is no problem yet; `times`: the onsets of that
    fingerprint, this one among them; `done_at`: when the last fix was made."""
    if status == "":
        recent = [one for one in times if at - one <= PROPOSE_WITHIN]
        if len(recent) >= PROPOSE_AT:
            first = min(recent)
            span = say_duration((at - first).total_seconds())
            return Verdict("propose", f"the same trouble came {len(recent)} times within {span}")
        return Verdict("nothing", "it was seen once")
    if status in {"on_watch", "proven"}:
        if done_at is not None and at > done_at:
            after = say_duration((at - done_at).total_seconds())
            held = "after the fix had held for its watch" if status == "proven" else "within its watch"
            return Verdict("reopen", f"it came back {after} after the fix, {held}")
        return Verdict("count", "it began before the fix")
    if status == "dismissed" or not episode:
        return Verdict("count", "it is known")
    return Verdict("count", "one more time")


def unseen_within(
    spans: Sequence[tuple[datetime, datetime | None]], *, since: datetime, until: datetime
) -> timedelta:
    """How much of a time lies in any of `spans` (from, to; None: still)."""
    inside = sorted((max(begin, since), min(end or until, until)) for begin, end in spans)
    total, reached = timedelta(), since
    for begin, end in inside:
        if end > max(begin, reached):
            total += end - max(begin, reached)
            reached = end
    return total


def decide_end(
    *,
    done_at: datetime,
    watch_until: datetime,
    unseen: timedelta,
    spans: Sequence[tuple[datetime, datetime | None]],
    now: datetime,
) -> timedelta:
    """By how much a watch is made longer that would be over now: the time in which the asset was not observed
    (`spans`), as far as it is not in `unseen` yet. Zero: the fix is proven. A watch never lasts longer than
    twice WATCH_MOST; what was not observed by then is not asked any more."""
    silent = unseen_within(spans, since=done_at, until=min(now, watch_until))
    latest = done_at + 2 * WATCH_MOST
    return max(timedelta(), min(silent - unseen, latest - watch_until))
