"""What the form of an agreement says, as terms; every mistake at its field."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from forestall.agreements.checks import Wrong
from forestall.agreements.money import known_currency, read_amount
from forestall.agreements.values import Basis, Item, LateFee, Proration, Terms, Uplift, UpliftKind
from forestall.kernel.errors import Trouble

ROWS = 5  # parts of the fee that the form offers
PERCENT_DIGITS = "EUR"  # a percentage has two digits after the point, like a euro


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
        if not text.isdecimal() or len(text) > 7:
            self.wrong[name] = "a whole number, 0 for none"
            return default
        return int(text)

    def amount(self, name: str, currency: str) -> int:
        """Minor units."""
        try:
            return read_amount(self.text(name) or "0", currency)
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
    items = []
    for row in range(ROWS):
        if not read.text(f"name_{row}") and not read.text(f"price_{row}"):
            continue
        basis = read.text(f"basis_{row}")
        kind = read.text(f"kind_{row}")
        items.append(
            Item(
                key=f"part{row + 1}", name=read.text(f"name_{row}"),
                price_minor=read.amount(f"price_{row}", currency),
                basis=Basis(basis) if basis in set(Basis) else Basis.SEAT, tax=read.text(f"tax_{row}"),
                kinds=(kind,) if kind and basis == Basis.DEVICE else (),
                included=read.whole(f"included_{row}"), minimum=read.whole(f"minimum_{row}"),
            )
        )  # fmt: skip
    proration, uplift = read.text("proration"), read.text("uplift")
    tax = items[0].tax if items else ""
    terms = Terms(
        currency=currency, items=tuple(items), priced_at=starts_on or date(2000, 1, 1),
        proration=Proration(proration) if proration in set(Proration) else Proration.NONE,
        true_up=read.text("true_up") == "yes", in_advance=read.text("in_advance") != "no",
        minimum_minor=read.amount("minimum", currency), minimum_tax=tax,
        setup_fee_minor=read.amount("setup_fee", currency), setup_tax=tax,
        uplift=Uplift(
            UpliftKind(uplift) if uplift in set(UpliftKind) else UpliftKind.NONE,
            read.amount("uplift_percent", PERCENT_DIGITS), read.amount("uplift_percent", PERCENT_DIGITS),
        ),
        due_days=read.whole("due_days", 14),
        late_fee=LateFee(read.whole("late_after"), read.amount("late_fee", currency)),
        purchase_order=read.text("purchase_order"), term_months=read.whole("term_months"),
        notice_days=read.whole("notice_days"), renews=read.text("renews") != "no",
    )  # fmt: skip
    if read.wrong:
        raise Wrong(read.wrong)
    return terms, starts_on, ends_on


def by_field(wrong: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by the names of the form's fields (`items.0.price` is `price_0`)."""
    found = {}
    for name, text in wrong.items():
        parts = name.split(".")
        found[f"{parts[2]}_{parts[1]}" if len(parts) == 3 else name.replace(".", "_")] = text
    return found
