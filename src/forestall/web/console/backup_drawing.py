"""What the page of a backup plan draws: the ladder's steps, the strip of days, and the sentence on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from forestall.backups.models import BackupPlan, BackupRun, PlanStanding, Proof
from forestall.backups.values import keep_of
from forestall.judge.backups.retention import days_until_each_is_pruned
from forestall.judge.backups.values import DAY_MS, LEVEL_NAMES
from forestall.judge.values import State
from forestall.kernel.backups import CopySeen, RepositoryReport
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.words import say_duration

STRIP_DAYS = 60
COPIES_SIMULATED_MAX = 400  # 60 days of them cost 30 ms
MISSED_MAX = 3  # so many runs late, and copies are taken to be made no more
WORST = ("failed", "doubtful", "warning", "success", "running", "unknown")


@dataclass(frozen=True, slots=True)
class Now:
    """Is the data back if it burns now? `face`: "ok", "warn" or "bad"; `answer` in a few words, `because` in
    a sentence, `lost` what would be lost and how fast the rest is back, against what was promised."""

    face: str
    answer: str
    because: str
    lost: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the ladder as it is drawn: `face` is its colour's class, `mark` says the same in a sign."""

    level: int
    name: str
    status: str
    said: str
    mark: str
    at: datetime | None
    due: datetime | None
    overdue: bool
    copy: str


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the strip: the worst of its runs, "none" when there was none."""

    day: str
    said: str
    count: int
    title: str


MARKS = {"proved": "✓", "failed": "✗", "late": "!", "never": "–", "off": "·"}


def steps_of(standing: PlanStanding | None) -> list[Step]:
    """The ladder, level 0 first."""
    rungs = standing.rungs if standing else []
    found = []
    for level, name in enumerate(LEVEL_NAMES):
        rung: dict[str, Any] = rungs[level] if level < len(rungs) else {}
        status = rung.get("status", "never")
        found.append(
            Step(
                level, rung.get("name", name), status, rung.get("said", "not judged yet"),
                MARKS.get(status, "?"), at_of(rung.get("at_ms")), at_of(rung.get("due_ms")),
                bool(rung.get("overdue")), rung.get("copy", ""),
            )
        )  # fmt: skip
    return found


def strip_of(runs: list[BackupRun], doubtful: Mapping[str, str], *, zone: str, now: datetime) -> list[Day]:
    """The last STRIP_DAYS days in the client's time, the oldest first. `doubtful`: runs that are not
    plausible, whatever they say."""
    place = ZoneInfo(zone)
    by_day: dict[str, list[BackupRun]] = {}
    for run in runs:
        by_day.setdefault(run.at.astimezone(place).date().isoformat(), []).append(run)
    found = []
    today = now.astimezone(place).date()
    for back in range(STRIP_DAYS - 1, -1, -1):
        day = today - timedelta(days=back)
        there = by_day.get(day.isoformat(), [])
        said_of = {"doubtful" if run.run in doubtful else run.said for run in there}
        said = next((one for one in WORST if one in said_of), "none")
        words = f"{len(there)} run{'' if len(there) == 1 else 's'}, the worst: {said}" if there else "no run"
        found.append(Day(day.isoformat(), said, len(there), f"{day:%a %d %b}: {words}"))
    return found


SAID = {
    "success": "with a good run",
    "warning": "with a warning",
    "failed": "with a failed run",
    "doubtful": "with a run that is not plausible",
    "running": "with a run that goes on",
    "unknown": "with a run that nobody can read",
    "none": "without a run",
}


def said_of_strip(days: Sequence[Day]) -> str:
    """The strip in words: how many days went how; days before the first run are not counted."""
    begun = next((number for number, day in enumerate(days) if day.count), len(days))
    there = [day.said for day in days[begun:]]
    counts = [(there.count(said), words) for said, words in SAID.items()]
    return ", ".join(f"{count} day{'' if count == 1 else 's'} {words}" for count, words in counts if count)


def said_now(
    plan: BackupPlan,
    standing: PlanStanding | None,
    drill: Proof | None,
    *,
    last: BackupRun | None,
    now: datetime,
) -> Now:
    """The sentence on top. `drill`: the newest restore that held; `last`: the newest run."""
    lost = _lost(plan, standing, drill, now)
    if standing is None or standing.judged_at is None:
        return Now("warn", "Not known yet", "the plan is new: it is judged as soon as something comes", lost)
    proved = "nothing was ever restored to prove it"
    if drill is not None:
        age = say_duration((now - drill.ended_at).total_seconds())
        proved = f"the last restore that held was {age} ago"
    if standing.concern >= State.OUT_OF_SPEC.concern:
        return Now("bad", "Do not count on it", f"something is wrong, see below; {proved}", lost)
    if drill is None:
        seen = "runs come" if last is not None else "no run was seen yet"
        return Now("warn", "Nobody knows", f"{seen}, and {proved}", lost)
    if standing.concern == State.SILENT.concern:
        return Now("warn", "Perhaps not", f"what was expected did not come; {proved}", lost)
    if standing.overdue:
        return Now("warn", "It did when it was tried", f"{proved}, and a newer proof is overdue", lost)
    if standing.concern:
        return Now("warn", "Yes, for now", f"{proved}; something drifts, see below", lost)
    return Now("ok", "Yes", proved, lost)


def _lost(plan: BackupPlan, standing: PlanStanding | None, drill: Proof | None, now: datetime) -> str:
    promised = f"promised: {say_duration(plan.every_s)}"
    if standing is None or standing.last_good_at is None:
        words = f"No good run is known, so everything would be lost ({promised})."
    else:
        age = say_duration((now - standing.last_good_at).total_seconds())
        words = f"What was made in the last {age} would be lost ({promised})"
        if drill is not None and drill.rpo_ms is not None:
            words += f"; the restore that held brought back data {say_duration(drill.rpo_ms / 1000)} old"
        words += "."
    if drill is not None and drill.rto_ms is not None:
        agreed = f"promised: {say_duration(plan.rto_s)}" if plan.rto_s else "nothing is promised"
        words += f" It was back within {say_duration(max(1.0, drill.rto_ms / 1000))} ({agreed})."
    return words


@dataclass(frozen=True, slots=True)
class CopyShown:
    """A copy in the repository. `pruned`: when the rules let it go if things go on as now; `proved`: it is
    what the last restore that held came from."""

    seen: CopySeen
    at: datetime
    pruned: str
    proved: bool


def copies_of(
    plan: BackupPlan, look: RepositoryReport | None, *, drill: Proof | None, shown: int, now: datetime
) -> list[CopyShown]:
    """The newest `shown` of the copies that a look found, with when each is pruned."""
    if look is None:
        return []
    ordered = sorted(look.copies, key=lambda one: -one.at_ms)
    pruned = _pruned(plan, ordered, look.version, now)
    proved = drill.copy if drill else ""
    return [
        CopyShown(one, from_ms(one.at_ms), pruned.get(one.key, ""), bool(proved) and one.key == proved)
        for one in ordered[:shown]
    ]


def last_proved_goes(copies: Sequence[CopyShown]) -> str:
    """When the copy that was last proved is pruned, in a sentence; "" when that is not known to come."""
    proved = next((one for one in copies if one.proved), None)
    if proved is None or not proved.pruned.startswith(("in ", "at ")):
        return ""
    when = proved.pruned[0].upper() + proved.pruned[1:]
    return f"{when} the copy that was last proved is pruned."


def _pruned(plan: BackupPlan, ordered: Sequence[CopySeen], version: str, now: datetime) -> dict[str, str]:
    """Copy → words. Of the group that is pruned with the newest copy: restic groups by machine and paths."""
    keep, now_ms, every_ms = keep_of(plan.keep), to_ms(now), plan.every_s * 1000
    made = [one for one in ordered if one.at_ms <= now_ms]
    if keep is None or not made or len(made) > COPIES_SIMULATED_MAX:
        return {}
    newest = made[0]
    if plan.tool == "restic":
        group = (newest.host, sorted(newest.paths))
        made = [one for one in made if (one.host, sorted(one.paths)) == group]
    days = days_until_each_is_pruned(
        keep,
        [one.at_ms for one in made],
        every_ms=every_ms,
        goes_on=plan.paused_at is None and now_ms - newest.at_ms < MISSED_MAX * every_ms,
        tool=plan.tool,
        zone=plan.client.timezone or "UTC",
        now_ms=now_ms,
        version=version,
    )
    return {one.key: _say_pruned(left) for one, left in zip(made, days, strict=True)}


def _say_pruned(days: float | None) -> str:
    if days is None:
        return "not soon"
    return f"in {say_duration(days * DAY_MS / 1000)}" if days else "at the next pruning"


def at_of(at_ms: int | None) -> datetime | None:
    """Milliseconds since 1970 as an instant."""
    return None if at_ms is None else from_ms(at_ms)
