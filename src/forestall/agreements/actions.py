"""Writes of agreements: each with its journal entry, each refused whole with what is wrong at which field."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from django.db import IntegrityError, transaction

from forestall.agreements.calendar import renewal
from forestall.agreements.checks import Wrong, check_buyer, check_days, check_terms
from forestall.agreements.models import Agreement, PriceIndex, PriceItem, TaxTable, TermsVersion
from forestall.agreements.money import PERCENT, known_currency
from forestall.agreements.values import NAME_MAX_CHARS, Basis, Rate, Terms
from forestall.estate.actions import client_of
from forestall.estate.checks import email_or_none
from forestall.estate.tenancy import Scope
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

BUYER = (
    "buyer_name",
    "buyer_street",
    "buyer_postcode",
    "buyer_city",
    "buyer_country",
    "buyer_vat",
    "language",
)
CATEGORIES = {"S": "taxed", "Z": "zero rate", "E": "exempt", "AE": "reverse charge", "O": "outside of VAT"}
YEARS = range(2000, 2200)
_SLUG = re.compile(r"[a-z0-9-]{1,40}")


def add_agreement(
    scope: Scope,
    *,
    client: str,
    name: str,
    starts_on: date | None,
    terms: Terms,
    buyer: Mapping[str, str],
    now: datetime,
    ends_on: date | None = None,
    email: str = "",
    number: str = "",
) -> Agreement:
    """A new agreement with its first terms. Raises Wrong with what is wrong at which field."""
    wrong = check_days(starts_on, ends_on) | check_buyer(buyer) | check_terms(terms)
    if not name.strip():
        wrong["name"] = "an agreement needs a name: it stands on the invoice"
    try:
        address = email_or_none(email)
    except Trouble as trouble:
        wrong["email"], address = str(trouble), ""
    if wrong or starts_on is None:
        raise Wrong(wrong)
    if not terms.renews and ends_on is None:
        term = renewal(starts_on, months=terms.term_months, notice_days=0, today=starts_on)
        ends_on = term.ends_on if term else None
    owner = client_of(scope, client)
    fields = {one: " ".join(buyer.get(one, "").split()) for one in BUYER}
    fields["buyer_country"] = fields["buyer_country"].upper()
    fields["buyer_vat"] = fields["buyer_vat"].replace(" ", "").upper()
    fields["language"] = fields["language"] or "en"
    with transaction.atomic():
        row = Agreement(
            client=owner, number=number.strip() or _next_number(),
            name=" ".join(name.split())[:NAME_MAX_CHARS],
            starts_on=starts_on, ends_on=ends_on, email=address, made_at=now, made_by=scope.actor, **fields,
        )  # fmt: skip
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:
            raise Wrong({"number": f"there is an agreement {row.number} already"}) from error
        version = _version(scope, row, row.starts_on, terms, "as agreed", now)
        _note(scope, "made", row, now, {"number": row.number, "version": version.pk})
    return row


def add_version(
    scope: Scope,
    agreement: Agreement,
    *,
    from_on: date | None,
    terms: Terms,
    now: datetime,
    because: str = "",
) -> TermsVersion:
    """Other terms from a day on. Raises Wrong: a day that has terms already, that was billed, or within a
    month."""
    wrong = check_terms(terms)
    if from_on is None:
        raise Wrong(wrong | {"from_on": "say from which day these terms hold"})
    with transaction.atomic():
        row = Agreement.objects.of(scope).select_for_update().get(pk=agreement.pk)
        if from_on <= row.starts_on:
            wrong["from_on"] = f"the agreement begins on {row.starts_on}: its first terms hold from then"
        elif from_on.day != 1:
            wrong["from_on"] = "terms change on the first day of a month"
        elif row.billed_through and from_on <= row.billed_through:
            wrong["from_on"] = f"it is billed up to {row.billed_through}: choose a later day"
        elif row.ends_on and from_on > row.ends_on:
            wrong["from_on"] = f"the agreement ends on {row.ends_on}"
        elif TermsVersion.objects.of(scope).filter(agreement=row, from_on=from_on).exists():
            wrong["from_on"] = f"there are terms from {from_on} already: two versions cannot hold at once"
        if wrong:
            raise Wrong(wrong)
        version = _version(scope, row, from_on, terms, because, now)
        _note(scope, "changed", row, now, {"from": from_on.isoformat(), "version": version.pk})
    return version


def end_agreement(scope: Scope, agreement: Agreement, *, on: date, now: datetime) -> None:
    """Its last day. Raises Wrong for a day that was billed already."""
    with transaction.atomic():
        row = Agreement.objects.of(scope).select_for_update().get(pk=agreement.pk)
        if on < row.starts_on:
            raise Wrong({"ends_on": "the last day is not before the first"})
        if row.billed_through and on < row.billed_through:
            raise Wrong({"ends_on": f"it is billed up to {row.billed_through}: credit that first"})
        row.ends_on = on
        row.save(update_fields=["ends_on"])
        _note(scope, "ended", row, now, {"on": on.isoformat()})


def add_tax_table(
    scope: Scope, *, version: str, from_on: date, rates: Sequence[Rate], now: datetime
) -> TaxTable:
    """A new version of the rates, not signed off yet. Raises Wrong."""
    _own(scope)
    wrong: dict[str, str] = {}
    if not version.strip():
        wrong["version"] = "give the table a name, for example DE 2026"
    if not rates or len({rate.code for rate in rates}) != len(rates):
        wrong["rates"] = "at least one rate, each with a code of its own"
    for rate in rates:
        if rate.category not in CATEGORIES or not 0 <= rate.percent <= PERCENT:
            wrong["rates"] = f"{rate.code}: a category ({', '.join(CATEGORIES)}) and a rate of 0% to 100%"
        elif (rate.category == "S") != (rate.percent > 0):
            wrong["rates"] = f"{rate.code}: only category S has a rate above 0%"
        elif rate.category in ("E", "AE", "O") and not rate.reason.strip():
            wrong["rates"] = f"{rate.code}: say why it is not taxed; the invoice needs the reason"
    if wrong:
        raise Wrong(wrong)
    try:
        with transaction.atomic():
            row = TaxTable.objects.create(
                version=version.strip()[:40], from_on=from_on, rates=msgspec.to_builtins(list(rates)),
                made_by=scope.actor, made_at=now,
            )  # fmt: skip
            _note_own(scope, "tax_table_made", row.pk, now, {"version": row.version})
    except IntegrityError as error:
        raise Wrong({"version": "there is a table of that name or from that day already"}) from error
    return row


def sign_tax_table(scope: Scope, table: TaxTable, *, now: datetime) -> None:
    """A person vouches for the rates; from now on they bill."""
    _own(scope)
    with transaction.atomic():
        row = TaxTable.objects.select_for_update().get(pk=table.pk)
        if row.signed_by:
            return
        row.signed_by, row.signed_at = scope.actor, now
        row.save(update_fields=["signed_by", "signed_at"])
        _note_own(scope, "tax_table_signed", row.pk, now, {"version": row.version, "rates": row.rates})


def put_price(
    scope: Scope, *, key: str, name: str, basis: str, currency: str, price_minor: int, tax: str,
    now: datetime, kinds: Sequence[str] = (),
) -> PriceItem:  # fmt: skip
    """An entry of the price book, new or changed. Agreements keep what was agreed."""
    _own(scope)
    if basis not in {one.value for one in Basis}:
        raise Wrong({"basis": "seat, device, site or flat"})
    wrong = (
        {} if _SLUG.fullmatch(key) else {"key": "small letters, digits and - alone, for example care-seat"}
    )
    if price_minor <= 0:
        wrong["price"] = "a price is above nothing"
    if not name.strip() or not tax.strip():
        wrong["tax" if name.strip() else "name"] = "is missing"
    try:
        known_currency(currency)
    except Trouble as trouble:
        wrong["currency"] = str(trouble)
    if wrong:
        raise Wrong(wrong)
    with transaction.atomic():
        row, _ = PriceItem.objects.update_or_create(
            key=key, defaults={
                "name": name, "basis": basis, "currency": known_currency(currency),
                "price_minor": price_minor, "tax": tax, "kinds": list(kinds),
            },
        )  # fmt: skip
        _note_own(scope, "price_put", row.pk, now, {"key": key, "price_minor": price_minor})
    return row


def put_index(scope: Scope, *, year: int, percent: int, source: str, now: datetime) -> None:
    """A year's rise of consumer prices. Raises Wrong without the place where it was read."""
    _own(scope)
    if year not in YEARS or not -PERCENT <= percent <= PERCENT:
        raise Wrong({"year": "a year and a percentage"})
    if not source.strip():
        raise Wrong({"source": "say where the figure was read"})
    with transaction.atomic():
        PriceIndex.objects.update_or_create(
            year=year, defaults={"percent": percent, "source": source.strip()[:300], "made_by": scope.actor}
        )
        _note_own(scope, "index_put", str(year), now, {"percent": percent, "source": source.strip()[:300]})


def _own(scope: Scope) -> None:
    if not scope.everything:
        raise Trouble(
            "prices, rates and indices are the provider's own", "Ask somebody who sees all clients."
        )


def _version(
    scope: Scope, row: Agreement, from_on: date, terms: Terms, because: str, now: datetime
) -> TermsVersion:
    return TermsVersion.objects.create(
        client_id=row.client_id, agreement=row, from_on=from_on, terms=msgspec.to_builtins(terms),
        because=because.strip()[:300], made_at=now, made_by=scope.actor,
    )  # fmt: skip


def _next_number() -> str:
    last = Agreement.objects.filter(number__regex=r"^AGR-\d{4,}$").order_by("-number").first()
    return f"AGR-{int(last.number[4:]) + 1 if last else 1:04d}"


def _note(scope: Scope, what: str, row: Agreement, now: datetime, body: dict[str, Any]) -> None:
    append(f"agreement.{what}", client=row.client_id, subject=row.pk, actor=scope.actor, at=now, body=body)


def _note_own(scope: Scope, what: str, subject: str, now: datetime, body: dict[str, Any]) -> None:
    append(f"billing.{what}", subject=subject, actor=scope.actor, at=now, body=body)
