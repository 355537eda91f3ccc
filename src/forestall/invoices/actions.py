"""Writes after issue: credit notes, payments and what they settle, late fees. Each stands in the
journal; each can be done again without doing it twice."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from forestall.agreements.calendar import read_month
from forestall.agreements.checks import Wrong, vat_problem
from forestall.agreements.decide import balanced, late_fee_of
from forestall.agreements.queries import rates_on, terms_by_agreement
from forestall.agreements.values import Line
from forestall.estate.tenancy import Scope
from forestall.invoices.bank import BankEntry
from forestall.invoices.models import Invoice, Payment, Seller, Settled
from forestall.invoices.runs import content_of, seal_all, seller, write_invoice
from forestall.invoices.values import Kind, to_content
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import OnDemand

PROVIDERS = "forestall.invoices.payment_providers"
OPEN_MAX = 5_000
NUMBER = re.compile(r"(?:INV|CN)-\d{4}-\d{5,}")


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of a statement's entries."""

    taken: int
    known: int
    settled: int
    waiting: int


def save_seller(scope: Scope, given: Mapping[str, str], *, now: datetime) -> Seller:
    """Who sends the invoices. Raises Wrong."""
    wrong = {
        name: "is missing"
        for name in ("name", "street", "postcode", "city", "country", "vat")
        if not given.get(name, "").strip()
    }
    if problem := vat_problem(given.get("vat", "")):
        wrong["vat"] = problem
    logo = given.get("logo", "")
    if logo and "<svg" not in logo[:1000]:
        wrong["logo"] = "the logo is an SVG file"
    if wrong:
        raise Wrong(wrong)
    if not scope.everything:
        raise Trouble("the provider is seen by those who see every client", "Ask one of them.")
    names = [field.name for field in Seller._meta.concrete_fields if field.name != "id"]
    fields = {name: given[name].strip() for name in names if given.get(name)}
    fields["country"], fields["vat"] = fields["country"].upper(), fields["vat"].replace(" ", "").upper()
    with transaction.atomic():
        row, _ = Seller.objects.update_or_create(id=1, defaults=fields)
        append(
            "billing.seller_saved",
            subject="seller",
            actor=scope.actor,
            at=now,
            body={key: text for key, text in fields.items() if key != "logo"},
        )
    return row


def credit(scope: Scope, invoice: Invoice, *, because: str, now: datetime) -> Invoice:
    """A credit note over all of an invoice; the same one when it is credited already. Raises Trouble."""
    if not because.strip():
        raise Trouble("a credit note needs a reason", "Say why the invoice is taken back.")
    with transaction.atomic():
        row = Invoice.objects.of(scope).select_for_update().get(pk=invoice.pk)
        if row.kind == Kind.CREDIT or not row.sealed:
            raise Trouble(f"{row.number or 'this'} cannot be credited", "Only an issued invoice can.")
        note = Invoice.objects.of(scope).filter(credits=row).first()
        if note is None:
            before = to_content(row.content)
            fields = {name: getattr(before, name) for name in before.__slots__} | {
                "kind": Kind.CREDIT,
                "number": "",
                "issued_on": now.date(),
                "due_on": now.date(),
                "preceding": row.number,
                "said": (because.strip()[:300],),
            }
            note = write_invoice(
                scope, type(before)(**fields), agreement=row.agreement, period=row.period, credits=row
            )
            cancelled = min(row.open_minor, note.total_minor) if row.open_minor > 0 else 0
            Invoice.objects.of(scope).filter(pk=row.pk).update(open_minor=F("open_minor") - cancelled)
            Invoice.objects.of(scope).filter(pk=note.pk).update(open_minor=F("open_minor") + cancelled)
            append(
                "invoice.credited",
                client=row.client_id,
                subject=row.pk,
                actor=scope.actor,
                at=now,
                body={"number": row.number, "by": note.number, "because": because.strip()[:300]},
            )
    failed = seal_all(scope, Invoice.objects.of(scope).filter(pk=note.pk), now=now)
    if failed:
        raise Trouble(failed, "The number is kept; mend it and credit again.")
    return Invoice.objects.of(scope).get(pk=note.pk)


def take_payment(
    scope: Scope,
    *,
    key: str,
    source: str,
    on: date,
    currency: str,
    amount_minor: int,
    now: datetime,
    client: str = "",
    payer: str = "",
    text: str = "",
    invoices: Sequence[str] = (),
) -> tuple[Payment, bool]:
    """A payment, and whether it is new: the same `key` again is the same payment. It settles these invoices,
    in their order, as far as it reaches."""
    with transaction.atomic():
        row, made = Payment.objects.get_or_create(
            key=f"{source}:{key}"[:200],
            defaults={
                "client_id": client or None,
                "source": source,
                "on": on,
                "currency": currency,
                "amount_minor": amount_minor,
                "left_minor": amount_minor,
                "payer": payer[:160],
                "text": text[:500],
                "made_at": now,
                "made_by": scope.actor,
            },
        )
        if made:
            append(
                "payment.taken",
                client=client,
                subject=row.pk,
                actor=scope.actor,
                at=now,
                body={"source": source, "amount_minor": amount_minor, "currency": currency},
            )
            for identifier in invoices:
                _settle(scope, row, identifier, now)
    return row, made


def settle(scope: Scope, payment: Payment, invoice: Invoice, *, now: datetime) -> int:
    """What is left of the payment goes to that invoice; how much it took."""
    with transaction.atomic():
        row = Payment.objects.select_for_update().get(pk=payment.pk)
        if row.client_id and row.client_id != invoice.client_id:
            raise Trouble("the payment is another client's", "Choose an invoice of the same client.")
        if not row.client_id:
            Payment.objects.filter(pk=row.pk).update(client=invoice.client_id)
        return _settle(scope, row, invoice.pk, now)


def take_statement(scope: Scope, entries: Sequence[BankEntry], *, now: datetime) -> Matched:
    """Entries of a bank statement: what names an invoice's number, or is exactly what the one open invoice of
    that payer asks for, settles it; the rest waits for a person. The same file again changes nothing."""
    if not scope.everything:
        raise Trouble("a statement is of every client", "Ask somebody who sees all clients.")
    taken = known = settled = waiting = 0
    for entry in entries:
        if entry.amount_minor <= 0:
            continue  # what we paid is no business of the open items
        with transaction.atomic():
            found = _meant(scope, entry)
            row, made = take_payment(
                scope,
                key=entry.key,
                source="bank",
                on=entry.on,
                currency=entry.currency,
                amount_minor=entry.amount_minor,
                now=now,
                client=found[0].client_id if found else "",
                payer=entry.payer,
                text=entry.text,
                invoices=[one.pk for one in found],
            )
            row.refresh_from_db()
        taken, known = taken + made, known + (not made)
        settled += made and bool(found)
        waiting += made and row.left_minor > 0
    return Matched(taken, known, settled, waiting)


def charge(
    scope: Scope, invoice: Invoice, *, provider: str, settings: dict[str, Any], now: datetime
) -> Payment:
    """Have a payment provider charge what is open. A retry carries the same key and is one payment."""
    plugin = OnDemand(PROVIDERS)[provider]
    row = Invoice.objects.of(scope).get(pk=invoice.pk)
    before = Payment.objects.filter(key=f"{provider}:{row.pk}").first()
    if before is not None:
        return before
    if row.open_minor <= 0 or not row.sealed:
        raise Trouble(f"nothing of {row.number} is open", "There is nothing to charge.")
    reference = plugin.charge(
        settings,
        key=f"forestall-{row.pk}",
        number=row.number,
        amount_minor=row.open_minor,
        currency=row.currency,
    )
    payment, _ = take_payment(
        scope,
        key=row.pk,
        source=provider,
        on=now.date(),
        currency=row.currency,
        amount_minor=row.open_minor,
        now=now,
        client=row.client_id,
        text=reference,
        invoices=[row.pk],
    )
    return payment


def charge_late_fees(scope: Scope, *, today: date, now: datetime) -> list[Invoice]:
    """A late fee for each overdue invoice whose terms have one: at most once, whatever happens."""
    made: list[Invoice] = []
    rows = Invoice.objects.of(scope).filter(
        kind=Kind.INVOICE, open_minor__gt=0, sealed=True, due_on__lt=today, late_fee=None
    )
    for row in rows.select_related("agreement").order_by("due_on")[:OPEN_MAX]:
        month = read_month(row.period)
        terms = terms_by_agreement(scope, [row.agreement], month).get(row.agreement_id)
        if terms is None or not terms.late_fee.agreed:
            continue
        if row.due_on + timedelta(days=terms.late_fee.after_days) > today:
            continue
        amount, rates = late_fee_of(terms, row.open_minor), rates_on(scope, month.first)
        if amount <= 0:
            continue
        with transaction.atomic():
            Invoice.objects.of(scope).select_for_update().get(pk=row.pk)
            if Invoice.objects.of(scope).filter(late_for=row).exists():
                continue
            # compensation for a delay is no supply: no tax is charged on it (zero rate on the document)
            note = f"due on {row.due_on}"
            line = Line("late", f"Late fee for {row.number}", note, 1, amount, amount, "", "Z", 0)
            bill = balanced(terms.currency, [line], rates)
            content = content_of(
                row.agreement,
                bill,
                terms,
                kind=Kind.LATE_FEE,
                month=month,
                issued_on=today,
                from_=seller(scope),
            )
            fee = write_invoice(scope, content, agreement=row.agreement, period=row.period, late_for=row)
        made.append(fee)
    failed = seal_all(scope, Invoice.objects.of(scope).filter(pk__in=[one.pk for one in made]), now=now)
    if failed:
        raise Trouble(failed, "The number is kept; it is made at the next time.")
    return made


def _meant(scope: Scope, entry: BankEntry) -> list[Invoice]:
    """The open invoices that an entry pays, by number in its text or by payer and exact sum."""
    open_ones = Invoice.objects.of(scope).filter(open_minor__gt=0, sealed=True, currency=entry.currency)
    words = entry.text.upper().replace(" ", "")
    named = list(open_ones.filter(number__in=_numbers_in(words)).order_by("due_on", "pk")[:50])
    if named and len({one.client_id for one in named}) == 1:
        return named
    if named or not entry.payer.strip():
        return []
    same = open_ones.filter(open_minor=entry.amount_minor, agreement__buyer_name__iexact=entry.payer.strip())
    found = list(same[:2])
    return found if len(found) == 1 else []


def _numbers_in(words: str) -> list[str]:
    return NUMBER.findall(words)[:50]


def _settle(scope: Scope, payment: Payment, identifier: str, now: datetime) -> int:
    payment.refresh_from_db()
    invoice = Invoice.objects.of(scope).select_for_update().get(pk=identifier)
    amount = min(payment.left_minor, invoice.open_minor)
    if amount <= 0 or invoice.currency != payment.currency:
        return 0
    row, made = Settled.objects.get_or_create(
        payment=payment, invoice=invoice, defaults={"amount_minor": amount, "at": now}
    )
    if not made:
        Settled.objects.filter(pk=row.pk).update(amount_minor=F("amount_minor") + amount)
    Payment.objects.filter(pk=payment.pk).update(left_minor=F("left_minor") - amount)
    Invoice.objects.of(scope).filter(pk=invoice.pk).update(open_minor=F("open_minor") - amount)
    append(
        "payment.settled",
        client=invoice.client_id,
        subject=invoice.pk,
        actor=scope.actor,
        at=now,
        body={"number": invoice.number, "payment": payment.pk, "amount_minor": amount},
    )
    return amount
