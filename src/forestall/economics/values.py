"""What economics reckons with, as values: no framework, no clock. Money is minor units of one currency,
time is seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

HOUR_S = 3_600
PLANNED = ("recurring",)  # how a ticket came that nobody's trouble made; every other one is reactive
OUT_OF_HOURS = "out_of_hours"
ONCE_KEYS = ("setup", "project-")  # lines of an invoice that do not come every month
ACTIONS = ("note", "reply", "checklist")  # entries by which a person shows that an alert led to something
LOGGED_LEAST = 5  # tickets with logged time from which a median is taken
GUESS_S = 900  # a ticket that somebody worked on and nobody logged, where too few were logged
REACTIVE_GOOD = 0.25  # hours per endpoint and month
NOISE_LEAST = 10  # alerts of a rule from which its share of actions says something
NOISE_GOOD, NOISE_RETIRE = 0.5, 0.1  # share of alerts that led to an action
RISK_DAYS = 90
MARGIN_GOOD = 0.49  # the trade's top quartile; its bottom is at 0.38
MARGIN_LOW = 0.38
# The pain index: 0 (none) to 100. Each part is 1 at its limit and beyond.
PAIN_WEIGHTS = {"reactive": 40, "tickets": 30, "repeats": 20, "out_of_hours": 10}
PAIN_LIMITS = {"reactive": 1.0, "tickets": 1.0, "repeats": 0.5, "out_of_hours": 0.3}
PAIN_HIGH = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """What an hour costs from a day on. `person` "": of everybody, `cost_class` "": of every class."""

    person: str
    cost_class: str
    from_on: date
    per_hour_minor: int


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour is offered for to those who pay by the hour, from a day on."""

    from_on: date
    per_hour_minor: int


@dataclass(frozen=True, slots=True)
class Tool:
    """What a tool costs each month and unit: `client`, `seat`, `device` (of `kinds`, empty: all)."""

    name: str
    basis: str
    kinds: tuple[str, ...]
    from_on: date
    until_on: date | None
    per_month_minor: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Effort of one person on one ticket; `kind` of its asset and `rule` of its alert are "" for none."""

    ticket: str
    person: str
    cost_class: str
    day: date
    seconds: int
    kind: str
    rule: str
    reactive: bool


@dataclass(frozen=True, slots=True)
class Touched:
    """A ticket that was opened in the month. `worked`: somebody did something on it."""

    ticket: str
    reactive: bool
    worked: bool
    repeated: bool


@dataclass(frozen=True, slots=True)
class Earned:
    """A net line of an issued document, negative on a credit note."""

    agreement: str
    key: str
    kind: str
    net_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything of one client in one month. `devices`: kind → how many at its end."""

    spent: tuple[Spent, ...]
    touched: tuple[Touched, ...]
    earned: tuple[Earned, ...]
    devices: Mapping[str, int]
    seats: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Rates and prices as they were entered, in one currency."""

    currency: str
    rates: tuple[Rate, ...]
    prices: tuple[Price, ...]
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A stored row: exact seconds of one kind of asset, rule, person and class; its cost is rounded once."""

    kind: str
    rule: str
    person: str
    cost_class: str
    reactive: bool
    seconds: int
    cost_minor: int
    hourly_minor: int
    unrated_s: int


@dataclass(frozen=True, slots=True)
class MonthSum:
    """A client's month, or several: everything that the formulas are made of."""

    recurring_minor: int = 0
    once_minor: int = 0
    work_minor: int = 0
    tools_minor: int = 0
    hourly_minor: int = 0
    seconds: int = 0
    reactive_s: int = 0
    out_of_hours_s: int = 0
    unrated_s: int = 0
    estimated_s: int = 0
    estimated_minor: int = 0
    tickets: int = 0
    repeats: int = 0
    endpoint_months: int = 0
    months: int = 1

    @property
    def cost_minor(self) -> int:
        """Cost to serve: logged work and tools; what was only estimated is not in it."""
        return self.work_minor + self.tools_minor

    @property
    def left_minor(self) -> int:
        """What is left of the recurring fee."""
        return self.recurring_minor - self.cost_minor

    @property
    def margin(self) -> float | None:
        """(fee - cost) / fee, or None without a fee."""
        return self.left_minor / self.recurring_minor if self.recurring_minor > 0 else None

    @property
    def rate_minor(self) -> int | None:
        """Effective hourly rate: what one hour of work earned after tools; None without hours."""
        if not self.seconds:
            return None
        return round((self.recurring_minor - self.tools_minor) * HOUR_S / self.seconds)

    @property
    def reactive_per_endpoint(self) -> float | None:
        """Reactive hours per endpoint and month; None without endpoints."""
        return self.reactive_s / HOUR_S / self.endpoint_months if self.endpoint_months else None


@dataclass(frozen=True, slots=True)
class Month:
    """What was reckoned of one client and month. `other`: currency → earned in it, which has no rate here."""

    sums: MonthSum
    work: tuple[WorkRow, ...]
    by_agreement: Mapping[str, int]
    other: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with how it came to be: `formula` in words, `with_figures` the same with its numbers."""

    name: str
    value: str
    formula: str
    with_figures: str
    good: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class RuleSum:
    """A rule over some months: alerts, how many were told, how many led to an action, and what they cost."""

    rule: str
    alerts: int = 0
    told: int = 0
    acted: int = 0
    seconds: int = 0
    cost_minor: int = 0

    @property
    def share(self) -> float:
        """Of its alerts, those that led to an action."""
        return self.acted / self.alerts if self.alerts else 0.0


@dataclass(frozen=True, slots=True)
class KindSum:
    """Work on assets of a kind at one client; `device_months` of them were there."""

    kind: str
    seconds: int
    cost_minor: int
    device_months: int


@dataclass(frozen=True, slots=True)
class Portrait:
    """A client as it is compared with the others."""

    client: str
    sums: MonthSum
    kinds: tuple[KindSum, ...] = ()
    rules: tuple[RuleSum, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a client loses money: `what` ∈ rule, kind, price, work; `minor` is how much it explains."""

    what: str
    key: str
    minor: int
    text: str
    do: str


@dataclass(frozen=True, slots=True)
class Risk:
    """An agreement that is renewed soon, and why that is a risk. `by`: notice must be given by then."""

    agreement: str
    client: str
    by: date
    reasons: tuple[str, ...]
