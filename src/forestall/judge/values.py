"""The judge's words: states of a rule, the transitions between them, and what it is told of the estate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class State(StrEnum):
    """How far a rule and an asset disagree; in the order of concern."""

    IN_SPEC = "in_spec"
    DRIFTING = "drifting"
    SILENT = "silent"
    OUT_OF_SPEC = "out_of_spec"
    BREAKING = "breaking"

    @property
    def concern(self) -> int:
        """0 in spec, 4 breaking."""
        return list(State).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A rule on an asset went from one state to another. The pair (`place`, `at_ms`, `to`) is unique:
    the same observations judged again give the same transitions.

    `began_at_ms`: when the disagreement began (in the data's time, before any for-duration).
    `cause`: "reachability" when this finding explains others of the asset and of what hangs on it;
    "collector" when it is explained by the silence of the collector that asks. `tells` of an end says
    whether the finding ever told. `was` and `to` are equal (silent) only when a silence that was explained
    by its collector goes on after the collector is back: then it tells.
    `numbers`: the values that the reason stands on, by name. `answer`: a probe's raw answer, or log lines.
    """

    client: str
    asset: str
    rule: str
    item: str
    pack: str
    pack_version: str
    was: State
    to: State
    began_at_ms: int
    at_ms: int
    metric: str
    reason: str
    why: str
    first_step: str
    cause: str = ""
    tells: bool = True
    numbers: dict[str, float] = field(default_factory=dict)
    answer: str = ""

    @property
    def place(self) -> str:
        """What the finding is about: asset, rule and item."""
        return f"{self.asset}/{self.rule}/{self.item}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Something that must come regularly from or about an asset.

    `what`: "asset" (its own agent), "probe" (`name` is "<kind> <target>"), "source" (a log source by name),
    "logs" (any line at all), "job" (one of ours), "heartbeat" (a job of the client's, `name` is "heartbeat
    <name>") or "heartbeat_end" (the end of a run of it that has begun). `by` is the number of the asset whose
    collector asks (0: the server), so that a silent collector explains its probes. `heard_ms`: when it was
    last heard, where that is known from elsewhere; a later one is no other expectation.
    """

    what: Literal["asset", "probe", "source", "logs", "job", "heartbeat", "heartbeat_end"]
    name: str = ""
    interval_ms: int = 60_000
    by: int = 0
    heard_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOverride:
    """Other settings for a rule at one place; `settings` are written as in a pack (see `overrides`)."""

    rule: str
    place: Literal["client", "site", "asset"]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAsset:
    """What the judge knows of an asset. `number` is `kernel.ids.to_number(id)`."""

    id: str
    number: int
    client: str
    name: str
    kind: str
    created_at_ms: int = 0
    expects: tuple[Expected, ...] = ()
    overrides: tuple[RuleOverride, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOutcome:
    """One run of a probe on the asset with this number; fields as in `kernel.observations.Outcome`."""

    asset: int
    at_ms: int
    kind: str
    target: str
    ok: bool
    reason: str
    answer: str = ""

    @property
    def item(self) -> str:
        """The item of `probe.up`: kind and target."""
        return f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedChange:
    """A difference between two captures of a configuration. `before` and `after` name the contents
    (any digest); `planned` says that it fell into a maintenance window."""

    asset: int
    kind: str
    at_ms: int
    after_at_ms: int
    before: str
    after: str
    title: str = ""
    summary: str = ""
    signed_in: tuple[str, ...] = ()
    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCapture:
    """A capture of a configuration. `problem`: why it was refused or cut short, "" when it is whole."""

    asset: int
    kind: str
    at_ms: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedText:
    """The newest version of a configuration. `content` and `baseline` name texts (any digest; `baseline` ""
    when none was named); `drift` says in a few words what is different from the baseline. `at_ms`: since when
    it is so as far as is known: the capture, or the instant when the spec or the baseline changed."""

    asset: int
    kind: str
    at_ms: int
    text: str
    content: str
    version: int
    title: str = ""
    baseline: str = ""
    baseline_version: int = 0
    drift: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFinding:
    """A finding that the database holds open, for `Judge.reconcile`."""

    client: str
    asset: str
    rule: str
    item: str
    state: State
    began_at_ms: int
    tells: bool = True
