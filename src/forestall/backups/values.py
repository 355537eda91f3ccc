"""What a backup plan may hold, and the words of its parts. No database."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from forestall.judge.backups import Keep
from forestall.kernel.backups import SOURCES_MAX, Work
from forestall.kernel.errors import Trouble

HOUR_S = 3_600
DAY_S = 86_400
EVERY_LEAST_S, EVERY_MOST_S = 300, 366 * DAY_S
GRACE_MOST_S = 90 * DAY_S
RTO_MOST_S = 90 * DAY_S
CADENCE_LEAST_S, CADENCE_MOST_S = 300, 366 * DAY_S
SLICES_MOST = 366
COPIES_MAX = 10
NAME_MAX_CHARS = 100
PLACE_MAX_CHARS = 160
REPOSITORY_MAX_CHARS = 1024
KEEP_MOST = 100_000
WITHIN_MAX_CHARS = 32
SIZE_MOST = 1 << 52
CREDIT_MOST_DAYS = 3_650
CREDIT_MOST_MINOR = 2_000_000_000
WANTED_MAX = 10  # of one plan at a time
WANTED_FOR_MS = 7 * 86_400_000  # what nobody did by then is not wanted any more

WORKS: tuple[Work, ...] = get_args(Work)
WORK_TITLES: Mapping[Work, str] = {
    "look": "Look into the repository",
    "check": "Check its structure",
    "read": "Read all data back",
    "drill": "Restore and compare",
    "service": "Run the service on restored data",
    "elsewhere": "Restore on another machine",
}
# design/backups.md, the ladder of proof; a slice of the reading each day makes the whole in `slices` days.
CADENCES: Mapping[Work, int] = {
    "look": 6 * HOUR_S,
    "check": DAY_S,
    "read": DAY_S,
    "drill": 7 * DAY_S,
    "service": 30 * DAY_S,
    "elsewhere": 91 * DAY_S,
}
TIMEOUTS_S: Mapping[Work, float] = {
    "look": 900.0,
    "check": 6 * HOUR_S,
    "read": 12 * HOUR_S,
    "drill": 24 * HOUR_S,
    "service": 24 * HOUR_S,
    "elsewhere": 24 * HOUR_S,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy lies: `offsite` not where the source is, `unchangeable` nobody can alter or delete it."""

    place: str
    offsite: bool = False
    unchangeable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms:
    """What a person decides about a plan. `every_s`: how old the newest good copy may become (RPO). `keep`:
    the job's own rules of pruning, None when nobody knows. `cadences`: work → seconds; a work that is not
    among them is not done. `least_files`, `least_size`: floors. `credit_after_days`: after how many days
    without proof a fee credit of `credit_minor` is proposed, None never."""

    name: str
    tool: str
    every_s: int
    repository: str = ""
    sources: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    grace_s: int = 0
    rto_s: int = 0
    keep: Keep | None = None
    cadences: Mapping[Work, int] = field(default_factory=lambda: dict(CADENCES))
    slices: int = 30
    sandbox_max: int = 0
    least_files: int | None = None
    least_size: int | None = None
    copies: tuple[Place, ...] = ()
    credit_after_days: int | None = None
    credit_minor: int = 0


def check_terms(terms: PlanTerms) -> None:
    """Raises Trouble for what cannot be: the tool's own settings are checked by its adapter."""
    name = terms.name.strip()
    _require(0 < len(name) <= NAME_MAX_CHARS, f"a name has 1 to {NAME_MAX_CHARS} characters")
    _within("how often it runs", terms.every_s, EVERY_LEAST_S, EVERY_MOST_S)
    _within("how much later is still in time", terms.grace_s, 0, GRACE_MOST_S)
    _within("how fast it must be back", terms.rto_s, 0, RTO_MOST_S)
    _within("the number of slices", terms.slices, 1, SLICES_MOST)
    _within("the room for restores", terms.sandbox_max, 0, SIZE_MOST)
    _within("the least number of files", terms.least_files or 0, 0, SIZE_MOST)
    _within("the least size", terms.least_size or 0, 0, SIZE_MOST)
    _require(len(terms.repository) <= REPOSITORY_MAX_CHARS, "the place of the repository is too long")
    _require(not terms.repository.startswith("-"), "a repository cannot begin with a dash")
    _require(len(terms.sources) <= SOURCES_MAX, f"a plan has at most {SOURCES_MAX} sources")
    for source in terms.sources:
        _require(0 < len(source) <= REPOSITORY_MAX_CHARS, "a source has 1 to 1024 characters")
        _require(not source.startswith("-"), f"a source cannot begin with a dash: {source}")
        _require("\0" not in source and "\n" not in source, "a source is one line of text")
    for work, seconds in terms.cadences.items():
        _require(work in WORKS, f"there is no work {work!r}; works are {', '.join(WORKS)}")
        _within(f"the interval of {work}", seconds, CADENCE_LEAST_S, CADENCE_MOST_S)
    _require(len(terms.copies) <= COPIES_MAX, f"at most {COPIES_MAX} places of copies are kept")
    for one in terms.copies:
        _require(
            0 < len(one.place.strip()) <= PLACE_MAX_CHARS, f"a place has 1 to {PLACE_MAX_CHARS} characters"
        )
    if terms.keep is not None:
        _check_keep(terms.keep)
    if terms.credit_after_days is not None:
        _within("the days until a credit", terms.credit_after_days, 1, CREDIT_MOST_DAYS)
    _within("the credit", terms.credit_minor, 0, CREDIT_MOST_MINOR)


def keep_of(stored: Mapping[str, Any] | None) -> Keep | None:
    """The rules of pruning as they are stored."""
    if stored is None:
        return None
    known = {one.name for one in fields(Keep)}
    return Keep(**{name: value for name, value in stored.items() if name in known})


def stored_keep(keep: Keep | None) -> dict[str, Any] | None:
    """What of them is stored: those that are set."""
    return None if keep is None else {name: value for name, value in asdict(keep).items() if value}


def _check_keep(keep: Keep) -> None:
    for one in fields(Keep):
        value = getattr(keep, one.name)
        if isinstance(value, str):
            _require(len(value) <= WITHIN_MAX_CHARS, f"keep {one.name} is too long")
        else:
            _within(f"keep {one.name}", value, -1, KEEP_MOST)


def _within(what: str, value: int, least: int, most: int) -> None:
    _require(least <= value <= most, f"{what} must be from {least} to {most}, not {value}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Trouble(otherwise, "Correct this field of the plan.")
