"""Terms, counts, rates and bills as values: no framework, no clock."""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

ITEMS_MAX = 60
TIERS_MAX = 12
PROJECTS_MAX = 60
NAME_MAX_CHARS = 160
NOTE_MAX_CHARS = 400
NAMED_MAX = 12  # names in a line's note; the rest is a number


class Basis(StrEnum):
    """What a part of the fee is counted by."""

    SEAT = "seat"
    DEVICE = "device"
    SITE = "site"
    FLAT = "flat"


class Proration(StrEnum):
    """What somebody pays who is there for a part of the month."""

    NONE = "none"
    ACTUAL = "actual"
    THIRTY = "thirty"


class UpliftKind(StrEnum):
    """How prices rise at the anniversary."""

    NONE = "none"
    FIXED = "fixed"
    CPI = "cpi"  # the greater of the year's CPI and the floor


BASIS_TITLES = {
    Basis.SEAT: "per seat",
    Basis.DEVICE: "per device",
    Basis.SITE: "per site",
    Basis.FLAT: "flat",
}
PRORATION_TITLES = {
    Proration.NONE: "none: who is there at the counting instant counts in full",
    Proration.ACTUAL: "by the days of the month",
    Proration.THIRTY: "by a month of 30 days",
}
UPLIFT_TITLES = {
    UpliftKind.NONE: "none",
    UpliftKind.FIXED: "a fixed percentage",
    UpliftKind.CPI: "the greater of CPI and a floor",
}


@dataclass(frozen=True, slots=True)
class Tier:
    """Up to this position (None: without end) one costs so much."""

    up_to: int | None
    price_minor: int


@dataclass(frozen=True, slots=True)
class Item:
    """A part of the fee. `kinds` are kinds of assets (empty: all); `site` limits it to one ("": all)."""

    key: str
    name: str
    basis: Basis
    price_minor: int
    tax: str
    kinds: tuple[str, ...] = ()
    site: str = ""
    tiers: tuple[Tier, ...] = ()
    included: int = 0
    minimum: int = 0
    uplifted: bool = True


@dataclass(frozen=True, slots=True)
class Project:
    """Work outside the fee, quoted as one sum and billed in the month of `on`."""

    name: str
    amount_minor: int
    on: date
    tax: str


@dataclass(frozen=True, slots=True)
class Credited:
    """Money back on a bill, once."""

    id: str
    name: str
    note: str
    amount_minor: int
    tax: str


@dataclass(frozen=True, slots=True)
class Uplift:
    """`percent` and `floor` in hundredths of a percent."""

    kind: UpliftKind = UpliftKind.NONE
    percent: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class LateFee:
    """Once per invoice, so many days after it was due: a sum and a share (hundredths of a percent)."""

    after_days: int = 0
    fixed_minor: int = 0
    percent: int = 0

    @property
    def agreed(self) -> bool:
        """Whether there is one."""
        return bool(self.fixed_minor or self.percent)


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed, as it stands in one version. `priced_at`: from when the prices count, so that every
    later anniversary raises them once."""

    currency: str
    items: tuple[Item, ...]
    priced_at: date
    proration: Proration = Proration.NONE
    true_up: bool = False
    in_advance: bool = True
    minimum_minor: int = 0
    minimum_tax: str = ""
    setup_fee_minor: int = 0
    setup_tax: str = ""
    projects: tuple[Project, ...] = ()
    uplift: Uplift = field(default_factory=Uplift)
    due_days: int = 14
    late_fee: LateFee = field(default_factory=LateFee)
    purchase_order: str = ""
    term_months: int = 0
    notice_days: int = 0
    renews: bool = True


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when an agreement runs (last day; None: on and on)."""

    starts_on: date
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A seat, device or site with its name, from which local day to which (exclusive; None: still there)."""

    id: str
    basis: Basis
    name: str
    since: date
    until: date | None = None
    kind: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was there at any time from `window` on up to the counting instant; `day` is the local day that
    begins with that instant."""

    day: date
    window: date
    things: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """A tax rate: UNCL 5305 category (S, Z, E, AE, O), hundredths of a percent, and why when it is not S."""

    code: str
    category: str
    percent: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """A version of the table of rates. Without `signed_by` it bills nothing."""

    version: str
    rates: tuple[Rate, ...]
    signed_by: str = ""

    def of(self, code: str) -> Rate | None:
        """The rate of that code, or None."""
        return next((rate for rate in self.rates if rate.code == code), None)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill: quantity × price is the amount, exactly. A credit has a negative quantity."""

    key: str
    name: str
    note: str
    quantity: int
    price_minor: int
    amount_minor: int
    tax: str
    category: str
    percent: int
    tax_minor: int = 0


@dataclass(frozen=True, slots=True)
class TaxSum:
    """Tax of one category and rate over the whole bill."""

    category: str
    percent: int
    base_minor: int
    tax_minor: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a month costs. `said` are the reasons in words that stand on no line."""

    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[TaxSum, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotBilled:
    """Why a month cannot be billed, and what to do."""

    reason: str
    remedy: str = ""
