"""What the judge is told of a backup plan, and what it answers. The history is made of the wire's own
types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from forestall.judge.values import State
from forestall.kernel.backups import ProofReport, RepositoryReport, RunReport, Work

Status = Literal["proved", "failed", "late", "never", "off"]
RUNS_MAX = 400  # of a plan: the newest are enough for two weeks of hourly runs and a year of daily ones
LOOKS_MAX = 400
PROOFS_MAX = 200
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WORK_OF_LEVEL: Mapping[int, Work] = {2: "check", 3: "read", 4: "drill", 5: "service", 6: "elsewhere"}
LEVEL_NAMES = (
    "a run happened",
    "the run is plausible",
    "the repository's structure is sound",
    "all stored data was read back",
    "restored, every file as at the source",
    "the service runs on the restored data",
    "restored elsewhere with the escrowed key",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Which copies the job's own pruning keeps, as its tool counts them. -1: all. `within`: as the tool
    writes it (restic `1y5m7d2h`, borg `2w`); "" none. `rules_known` of the plan is `JudgedPlan.keep is
    not None`."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: str = ""
    within_hourly: str = ""
    within_daily: str = ""
    within_weekly: str = ""
    within_monthly: str = ""
    within_yearly: str = ""
    minutely: int = 0  # borg
    secondly: int = 0  # borg


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often a level is to be proved. `grace_ms`: how much later is still in time (0: a tenth of
    `every_ms`, at least an hour)."""

    level: int
    every_ms: int
    grace_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPlan:
    """A plan as the judge knows it. `asset` and `by` are numbers (`kernel.ids.to_number`): the asset
    that it is on, and the one whose collector watches it (0: the server). `name` is the item of its
    findings: unique on its asset.

    `rpo_ms`: how old the newest good copy may become; `grace_ms`: how much later is still in time (0: a
    tenth, at least half an hour). `accepted_ms`: a person said that what came from then on is normal, so
    earlier runs are no measure any more and what was found before counts no more. `zone`: where the job
    runs, for days and weekdays. `least_files`, `least_size`: floors that a person gave. `cadences`:
    levels 2 to 6. `started_ms`: since when anything of it can be expected (made, or resumed).
    """

    id: str
    asset: int
    name: str
    tool: str
    rpo_ms: int
    started_ms: int
    grace_ms: int = 0
    rto_ms: int = 0  # how fast it must be back; 0: nothing was agreed
    by: int = 0
    collector: str = ""  # its name, for reasons
    sources: tuple[str, ...] = ()
    keep: Keep | None = None
    cadences: tuple[Cadence, ...] = ()
    slices: int = 30
    accepted_ms: int = 0
    zone: str = "UTC"
    least_files: int | None = None
    least_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHistory:
    """What is known of a plan, each oldest first by `at_ms` (proofs by `ended_ms`), at most the newest
    RUNS_MAX, LOOKS_MAX, PROOFS_MAX.

    `looks`: the newest and the newest that opened must be whole; of older ones `at_ms`, `opened`, `why`,
    `copies_total`, `used`, `free`, `room`, `mount` and `settings` are enough. `proofs`: for each level the
    newest and the newest good one, and of level 3 the newest good one of each slice. `silent_since_ms`:
    since when nothing came from the collector (None: it is heard; `Judge.observe_plan` fills it in).
    """

    runs: Sequence[RunReport] = ()
    looks: Sequence[RepositoryReport] = ()
    proofs: Sequence[ProofReport] = ()
    silent_since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A rule and a plan that disagree. `began_ms`: since when, in the data's time. `copy`, `run`: which
    one is meant, where it is about one. `explained`: the collector's silence explains it."""

    rule: str
    check: str
    state: State
    reason: str
    began_ms: int
    tells: bool = True
    explained: bool = False
    copy: str = ""
    run: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)  # what was usual before, while it is known
    answer: str = ""  # the evidence: reports' own words, a line each


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One level of the ladder. `status`: "proved", "failed" (the newest attempt), "late" (proved, and
    too long ago), "never" (it was to be proved, and was not), "off" (no cadence, never proved). `at_ms`,
    `copy`: of the newest success, whatever the status. `due_ms`: when the next one is due, None when
    nothing is."""

    level: int
    name: str
    status: Status
    said: str
    at_ms: int | None = None
    copy: str = ""
    due_ms: int | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """All seven rungs, 0 to 6. `highest`: the highest level whose proof stands (-1: none), proved at
    `highest_at_ms`. `said`: the same in a sentence with the age."""

    rungs: tuple[Rung, ...]
    highest: int
    highest_at_ms: int | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVerdict:
    """What the judge says of a plan at one instant. `next_judging_ms`: when it must be judged again
    although nothing more comes. `implausible`: runs of the newest ones that are no proof of level 1,
    with why."""

    disagreements: tuple[Disagreement, ...]
    ladder: Ladder
    next_judging_ms: int
    implausible: Mapping[str, str] = field(default_factory=dict)
