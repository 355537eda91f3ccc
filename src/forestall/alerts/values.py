"""The words of alerts: the situation that is decided on, the changes that come out, the message told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from forestall.judge.values import State

REACHABILITY = "reachability"  # the cause of findings that explain others


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An asset as alerts see it: whose it is, where it stands, what it hangs on."""

    id: str
    client: str
    name: str
    site: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """An open finding that may be told. `began_at` and `changed_at` are in the data's time: when the
    disagreement began, and when it last became worse or better."""

    id: str
    client: str
    asset: str
    rule: str
    item: str
    state: State
    cause: str
    opened_at: datetime
    began_at: datetime
    changed_at: datetime
    reason: str
    first_step: str = ""
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A maintenance window that is on: over a client, a site, or an asset with all that hangs on it."""

    client: str
    title: str
    ends_at: datetime
    site: str | None = None
    asset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert as it stands: open, or recovered a short while ago."""

    id: str
    client: str
    asset: str
    cause_key: str
    severity: State
    title: str
    reason: str
    opened_at: datetime
    tell_at: datetime
    told_at: datetime | None = None
    last_told_at: datetime | None = None
    acknowledged_at: datetime | None = None
    recovered_at: datetime | None = None
    repeats: int = 0
    occurrence: int = 1
    explained_by: str | None = None
    quiet_because: str = ""
    findings: frozenset[str] = frozenset()
    seen: frozenset[tuple[str, str]] = frozenset()  # (rule, item) of all findings that were ever in it

    @property
    def settled(self) -> bool:
        """Whether a person knows of it: what is in it stays in it."""
        return self.told_at is not None or self.acknowledged_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that the decisions of one round stand on."""

    now: datetime
    findings: Mapping[str, Wrong]
    alerts: tuple[Standing, ...]
    places: Mapping[str, Place]
    windows: tuple[Quiet, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings with one cause. `root` is where the cause lies; `why` names the reason of the grouping."""

    cause_key: str
    client: str
    root: str
    why: str
    findings: tuple[Wrong, ...]

    @property
    def severity(self) -> State:
        """The worst state in it."""
        return max((finding.state for finding in self.findings), key=lambda state: state.concern)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A new alert."""

    group: Group
    title: str
    reason: str
    tell_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """It came back soon after its recovery: the same alert, its next occurrence."""

    alert: str
    group: Group
    title: str
    reason: str
    tell_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """Findings joined or left; title, reason or severity follow. `worse`: it is to be told that it got worse;
    `more`: that something joined which has nothing to do with what was told long ago.

    `cause_key` and `root` differ from before when a larger cause was found for what was told already.
    """

    alert: str
    cause_key: str
    root: str
    title: str
    reason: str
    severity: State
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    worse: bool = False
    larger_cause: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hushed:
    """Nobody is told for the moment, because of a window."""

    alert: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhushed:
    """The window is over and it is still wrong; `tell_at` is now for what nobody was told of."""

    alert: str
    tell_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Another alert explains this one (or no longer does: `by` is None): repeats stop (or go on)."""

    alert: str
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A person is to be told: `step` is opened or repeat."""

    alert: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Nothing of it is wrong any more; told if its opening was. `into`: the cause that took its findings."""

    alert: str
    tell: bool
    into: str = ""


Change = Opened | Reopened | Reshaped | Hushed | Unhushed | Explained | Told | Recovered


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a notifier sends. `id` is the same at every attempt (the idempotency key), `thread` for all
    messages of one alert. Times are RFC 3339."""

    id: str
    thread: str
    step: str
    severity: str
    client: str
    asset: str
    title: str
    reason: str
    subject: str
    text: str
    url: str = ""
    first_step: str = ""
    evidence: list[str] = []
    alerts: list[str] = []
    at: str = ""


class SendFailed(Exception):
    """A notifier could not send. `permanent`: trying again cannot help; `reason` names no secret."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


@dataclass(slots=True)
class Round:
    """What a round of decisions did, as identifiers of alerts."""

    opened: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def step_name(step: str, occurrence: int, number: int = 0) -> str:
    """The name of a delivery's step, unique within an alert: `opened`, `repeat-2`, `opened.3`."""
    name = f"{step}-{number}" if number else step
    return name if occurrence == 1 else f"{name}.{occurrence}"
