"""What stands on a document, frozen: papers and books are made from this alone. No framework, no clock."""

import hashlib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import msgspec

from forestall.agreements.values import Line, TaxSum


class Kind(StrEnum):
    """Kinds of documents; amounts of a credit note are written positive and count negative."""

    INVOICE = "invoice"
    CREDIT = "credit"
    LATE_FEE = "late_fee"

    @property
    def sign(self) -> int:
        """1, or -1 for a credit note."""
        return -1 if self is Kind.CREDIT else 1


class RunState(StrEnum):
    """States of a billing run, in their order."""

    DRAFT = "draft"
    APPROVED = "approved"
    ISSUING = "issuing"
    ISSUED = "issued"
    SENT = "sent"


PREFIXES = {Kind.INVOICE: "INV", Kind.CREDIT: "CN", Kind.LATE_FEE: "INV"}


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends or gets a document."""

    name: str
    street: str
    postcode: str
    city: str
    country: str
    vat: str = ""
    registration: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The provider's colour (#rrggbb) and logo (the text of an SVG; "" for none)."""

    colour: str = "#0f6b52"
    logo: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A document. Amounts in minor units; `preceding`: the number of what a credit note credits."""

    kind: Kind
    number: str
    issued_on: date
    due_on: date
    first: date
    last: date
    currency: str
    language: str
    seller: Party
    buyer: Party
    iban: str
    bic: str
    agreement: str
    agreement_name: str
    purchase_order: str
    lines: tuple[Line, ...]
    taxes: tuple[TaxSum, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    rounding: str
    look: Look
    said: tuple[str, ...] = ()
    preceding: str = ""


@dataclass(frozen=True, slots=True)
class Papers:
    """The documents of one content."""

    pdf: bytes
    xml: bytes
    ubl: bytes
    rules_fired: int


def to_text(content: Content) -> str:
    """The content as JSON: always the same text for the same content."""
    return msgspec.json.encode(content).decode()


def to_content(text: str) -> Content:
    """The content of `to_text`."""
    return msgspec.json.decode(text.encode(), type=Content)


def digest(data: bytes | str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
