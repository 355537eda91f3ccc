"""Rules as the judge holds them, after a pack was read: plain values, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from typing import Any

from forestall.judge.compliance import Demand
from forestall.judge.values import State

# The asset kinds of the estate (a unit test holds the two lists together; the judge imports no tables).
KINDS = frozenset(
    {
        "server",
        "workstation",
        "switch",
        "firewall",
        "router",
        "access_point",
        "website",
        "certificate",
        "domain",
        "service",
        "ups",
        "printer",
        "storage",
        "mailbox_domain",
        "backup_plan",
        "forestall",
        "other",
    }
)
GRADES = (State.DRIFTING, State.OUT_OF_SPEC, State.BREAKING)


class Look(StrEnum):
    """What a rule looks at."""

    METRIC = "look_at"
    LOG = "log"
    EXPECTED = "expected"
    CHANGE = "change"
    CAPTURE = "capture"
    CONFIGURATION = "configuration"
    BASELINE = "baseline"
    BACKUP = "backup"


class Op(IntEnum):
    """How a value is compared with a limit."""

    ABOVE = 0
    BELOW = 1
    EQUALS = 2
    RISES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """When a rule is in one state. `limit`: in the metric's unit, or a count of lines in `within_ms`."""

    state: State
    limit: float = 0.0
    for_ms: int = 0
    times: int = 1
    within_ms: int = 0
    full_within_days: float = 0.0
    after_ms: int = 0
    intervals: int = 0
    has_limit: bool = True
    tells: bool = True
    asks: tuple[tuple[str, float], ...] = ()  # what a check of backup plans is told

    def with_forecast(self, days: float) -> "Level":
        """The same level that is also reached when the thing is full within so many days."""
        return replace(self, full_within_days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `levels` are in the order of concern; `back` is the hysteresis in the metric's unit."""

    name: str
    pack: str
    pack_version: str
    look: Look
    why: str
    first: str
    levels: tuple[Level, ...]
    metric: str = ""
    says: str = ""
    op: Op = Op.ABOVE
    items: tuple[str, ...] = ("*",)
    excepted: tuple[str, ...] = ()
    back: float = 0.0
    back_ms: int = 0
    ends_after_ms: int = 0
    expected: str = ""
    check: str = ""
    pattern: str = ""
    sources: tuple[str, ...] = ()
    severity: int = 7
    cause: str = ""
    demand: Demand | None = None
    tags: tuple[str, ...] = ()
    off: bool = False
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # for overrides

    def covers(self, item: str) -> bool:
        """Whether an item (mount, unit, kind of configuration …) is meant."""
        return any(fnmatchcase(item, glob) for glob in self.items) and not any(
            fnmatchcase(item, glob) for glob in self.excepted
        )

    def level(self, state: State) -> Level | None:
        """The level of a state, when the rule has one."""
        return next((level for level in self.levels if level.state is state), None)

    @property
    def forecasts(self) -> bool:
        """Whether it asks when something will be full."""
        return any(level.full_within_days for level in self.levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A file of rules for some kinds of assets. `version` is the short SHA-256 of its text."""

    name: str
    title: str
    version: str
    kinds: frozenset[str]
    rules: tuple[Rule, ...]
    file: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """All packs. Within one kind of asset a rule's name is unique."""

    packs: tuple[Pack, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # pack name → its text, for evidence

    def rules_for(self, kind: str) -> dict[str, Rule]:
        """The rules of a kind of asset, by name."""
        return {rule.name: rule for pack in self.packs if kind in pack.kinds for rule in pack.rules}

    def named(self, rule: str) -> list[Rule]:
        """Every rule of that name (packs of different kinds may share one)."""
        return [one for pack in self.packs for one in pack.rules if one.name == rule]
