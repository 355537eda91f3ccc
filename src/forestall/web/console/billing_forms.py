"""The form of an agreement as terms, and terms as the form shows them; every mistake at its field."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from forestall.agreements.checks import Wrong
from forestall.agreements.money import known_currency, read_amount, written
from forestall.agreements.values import (
    Basis,
    Item,
    LateFee,
    Project,
    Proration,
    Rate,
    Terms,
    Tier,
    Uplift,
    UpliftKind,
)
from forestall.kernel.errors import Trouble

ROWS = 5  # parts of the fee that the form offers; terms with more are changed through the API
PERCENT_DIGITS = "EUR"  # a percentage has two digits after the point, like a euro
FIELDS = ("name", "basis", "price", "tax", "kind", "included", "minimum", "tiers")


class Read:
    """Reads fields and collects what is wrong with each."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given, self.wrong = given, dict[str, str]()

    def text(self, name: str) -> str:
        """A field's text."""
        return str(self.given.get(name, "")).strip()

    def day(self, name: str) -> date | None:
        """A date, or None when it is empty or none."""
        try:
            return date.fromisoformat(self.text(name)) if self.text(name) else None
        except ValueError:
            self.wrong[name] = "write the day as 2026-11-30"
            return None

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdecimal() or len(text) > 7:
            self.wrong[name] = "a whole number, 0 for none"
            return default
        return int(text)

    def amount(self, name: str, currency: str) -> int:
        """Minor units."""
        return self.money(name, self.text(name) or "0", currency)

    def money(self, name: str, text: str, currency: str) -> int:
        """Minor units of a text; what is wrong is said at the field of that name."""
        try:
            return read_amount(text, currency)
        except Trouble as trouble:
            self.wrong[name] = str(trouble)
            return 0


def terms_given(given: Mapping[str, Any]) -> tuple[Terms, date | None, date | None]:
    """Terms, first and last day from the form. Raises Wrong."""
    read = Read(given)
    currency = read.text("currency") or "EUR"
    try:
        currency = known_currency(currency)
    except Trouble as trouble:
        read.wrong["currency"], currency = str(trouble), "EUR"
    starts_on, ends_on = read.day("starts_on"), read.day("ends_on")
    items = [
        _item(read, row, currency)
        for row in range(ROWS)
        if read.text(f"name_{row}") or read.text(f"price_{row}")
    ]
    proration, uplift = read.text("proration"), read.text("uplift")
    tax = items[0].tax if items else ""
    terms = Terms(
        currency=currency, items=tuple(items),
        priced_at=read.day("priced_at") or starts_on or date(2000, 1, 1),
        proration=Proration(proration) if proration in set(Proration) else Proration.NONE,
        true_up=read.text("true_up") == "yes", in_advance=read.text("in_advance") != "no",
        minimum_minor=read.amount("minimum", currency), minimum_tax=tax,
        setup_fee_minor=read.amount("setup_fee", currency), setup_tax=tax,
        projects=_projects(read, currency),
        uplift=Uplift(
            UpliftKind(uplift) if uplift in set(UpliftKind) else UpliftKind.NONE,
            read.amount("uplift_percent", PERCENT_DIGITS), read.amount("uplift_percent", PERCENT_DIGITS),
        ),
        due_days=read.whole("due_days", 14),
        late_fee=LateFee(read.whole("late_after"), read.amount("late_fee", currency),
                         read.amount("late_percent", PERCENT_DIGITS)),
        purchase_order=read.text("purchase_order")[:60], term_months=read.whole("term_months"),
        notice_days=read.whole("notice_days"), renews=read.text("renews") != "no",
    )  # fmt: skip
    if read.wrong:
        raise Wrong(read.wrong)
    return terms, starts_on, ends_on


def _item(read: Read, row: int, currency: str) -> Item:
    basis, kind = read.text(f"basis_{row}"), read.text(f"kind_{row}")
    tiers = _tiers(read, f"tiers_{row}", currency)
    price = read.amount(f"price_{row}", currency)
    return Item(
        key=f"part{row + 1}", name=read.text(f"name_{row}"),
        price_minor=price or (tiers[0].price_minor if tiers and not read.text(f"price_{row}") else 0),
        basis=Basis(basis) if basis in set(Basis) else Basis.SEAT, tax=read.text(f"tax_{row}"),
        kinds=(kind,) if kind and basis == Basis.DEVICE else (), tiers=tiers,
        included=read.whole(f"included_{row}"), minimum=read.whole(f"minimum_{row}"),
    )  # fmt: skip


def _tiers(read: Read, name: str, currency: str) -> tuple[Tier, ...]:
    """`10: 95, 25: 90, more: 80`."""
    found = []
    for part in filter(str.strip, read.text(name).replace(";", ",").split(",")):
        end, mark, price = part.strip().partition(":")
        if not mark or not (end.strip() == "more" or end.strip().isdecimal()):
            read.wrong[name] = "write tiers as 10: 95.00, 25: 90.00, more: 80.00 (prices with a point)"
            return ()
        up_to = None if end.strip() == "more" else int(end.strip()[:7])
        found.append(Tier(up_to, read.money(name, price, currency)))
    return tuple(found)


def _projects(read: Read, currency: str) -> tuple[Project, ...]:
    """A line each: `2026-11-15; Office move; 1200.00; standard`."""
    found = []
    for number, line in enumerate(filter(str.strip, read.text("projects").splitlines()), start=1):
        parts = [part.strip() for part in line.split(";")]
        try:
            on, name, amount, tax = parts
            day = date.fromisoformat(on)
        except ValueError:
            read.wrong["projects"] = f"line {number}: write day; name; sum; tax"
            return ()
        found.append(Project(name, read.money("projects", amount, currency), day, tax))
    return tuple(found)


def rates_given(text: str) -> list[Rate]:
    """A rate a line: `code; category; percent; reason`. Raises Wrong."""
    read, found = Read({}), []
    for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
        parts = [part.strip() for part in line.split(";")]
        if not 3 <= len(parts) <= 4:
            raise Wrong({"rates": f"line {number}: write code; category; percent; reason"})
        percent = read.money("rates", parts[2].rstrip("% "), PERCENT_DIGITS)
        found.append(Rate(parts[0], parts[1].upper(), percent, parts[3] if len(parts) == 4 else ""))
    if read.wrong:
        raise Wrong(read.wrong)
    return found


def terms_shown(terms: Terms) -> dict[str, str]:
    """The form's fields for these terms."""

    def money(amount: int) -> str:
        return written(amount, terms.currency) if amount else ""

    found = {
        "currency": terms.currency, "priced_at": terms.priced_at.isoformat(), "proration": terms.proration,
        "true_up": "yes" if terms.true_up else "no", "in_advance": "yes" if terms.in_advance else "no",
        "minimum": money(terms.minimum_minor), "setup_fee": money(terms.setup_fee_minor),
        "uplift": terms.uplift.kind,
        "uplift_percent": written(terms.uplift.percent or terms.uplift.floor, PERCENT_DIGITS),
        "due_days": str(terms.due_days), "late_fee": money(terms.late_fee.fixed_minor),
        "late_percent": written(terms.late_fee.percent, PERCENT_DIGITS),
        "late_after": str(terms.late_fee.after_days), "purchase_order": terms.purchase_order,
        "term_months": str(terms.term_months), "notice_days": str(terms.notice_days),
        "renews": "yes" if terms.renews else "no",
        "projects": "\n".join(
            f"{one.on}; {one.name}; {written(one.amount_minor, terms.currency)}; {one.tax}"
            for one in terms.projects
        ),
    }  # fmt: skip
    for row, item in enumerate(terms.items[:ROWS]):
        tiers = ", ".join(
            f"{'more' if one.up_to is None else one.up_to}: {written(one.price_minor, terms.currency)}"
            for one in item.tiers
        )
        values = (
            item.name, item.basis.value, money(item.price_minor), item.tax, "".join(item.kinds[:1]),
            str(item.included or ""), str(item.minimum or ""), tiers,
        )  # fmt: skip
        found |= {f"{name}_{row}": value for name, value in zip(FIELDS, values, strict=True)}
    return found


def fits_form(terms: Terms) -> bool:
    """Whether the form can show all of these terms: else a change through it would lose something."""
    given, _, _ = terms_given(terms_shown(terms))
    return terms_shown(given) == terms_shown(terms) and len(terms.items) <= ROWS and not any(
        len(item.kinds) > 1 or item.site or not item.uplifted or item.tax == "" for item in terms.items
    )  # fmt: skip


def by_field(wrong: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by the names of the form's fields (`items.0.price` is `price_0`)."""
    found = {}
    for name, text in wrong.items():
        parts = name.split(".")
        if len(parts) == 3:
            found[f"{parts[2].rstrip('s') if parts[2] == 'kinds' else parts[2]}_{parts[1]}"] = text
        elif parts[0] == "projects":
            found["projects"] = text
        else:
            found[{"uplift": "uplift_percent"}.get(name, name.replace(".", "_"))] = text
    return found
