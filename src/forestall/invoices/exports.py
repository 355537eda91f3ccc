"""What bookkeeping reads: a plain-text ledger (hledger, ledger, beancount), QuickBooks and Xero CSV. Pure.

The ledger holds every sealed document and every payment; receivables are a sub-account per client.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from forestall.agreements.money import written
from forestall.invoices.values import Content

DIALECTS = ("hledger", "ledger", "beancount")
RECEIVABLE, BANK, INCOME, TAX = "Assets:Receivable", "Assets:Bank", "Income:Services", "Liabilities:Tax"
UNKNOWN = "Unassigned"


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment as the books need it. `client` is its identifier, "" when nobody said whose it is."""

    id: str
    on: date
    currency: str
    amount_minor: int
    client: str
    payer: str


@dataclass(frozen=True, slots=True)
class Booked:
    """A sealed document with its client's identifier."""

    client: str
    content: Content


def ledger(documents: Sequence[Booked], payments: Sequence[Paid], *, dialect: str) -> str:
    """The books as text. Raises ValueError for a dialect that is none."""
    if dialect not in DIALECTS:
        raise ValueError(f"{dialect} is none of {', '.join(DIALECTS)}")
    entries = [*(_document(one) for one in documents), *(_payment(one) for one in payments)]
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    if dialect == "beancount":
        return _beancount(entries)
    return "\n".join(
        f"{day} ({_plain(code)}) {_plain(words)}\n"
        + "".join(f"    {account}  {amount} {currency}\n" for account, amount, currency in postings)
        for day, code, words, postings in entries
    )


Entry = tuple[date, str, str, list[tuple[str, str, str]]]


def _document(one: Booked) -> Entry:
    content = one.content
    sign, currency = content.kind.sign, content.currency
    postings = [(f"{RECEIVABLE}:{_client(one.client)}", sign * content.total_minor)]
    postings += [(f"{TAX}:{tax.category}{tax.percent}", -sign * tax.tax_minor) for tax in content.taxes]
    postings.append((INCOME, -sign * content.net_minor))
    return (
        content.issued_on,
        content.number,
        f"{content.buyer.name}, {content.agreement_name}",
        [(account, written(amount, currency), currency) for account, amount in postings],
    )


def _payment(one: Paid) -> Entry:
    account = f"{RECEIVABLE}:{_client(one.client)}" if one.client else f"{RECEIVABLE}:{UNKNOWN}"
    amounts = ((BANK, one.amount_minor), (account, -one.amount_minor))
    return (
        one.on,
        f"PAY-{one.id}",
        f"Payment {one.payer}".strip(),
        [(account, written(amount, one.currency), one.currency) for account, amount in amounts],
    )


def _beancount(entries: Sequence[Entry]) -> str:
    accounts: dict[str, date] = {}
    for day, _, _, postings in entries:
        for account, _, _ in postings:
            accounts[account] = min(day, accounts.get(account, day))
    opened = "".join(f"{day} open {account}\n" for account, day in sorted(accounts.items()))
    text = "".join(
        f'\n{day} * "{_plain(code)}" "{_plain(words)}"\n'
        + "".join(f"  {account}  {amount} {currency}\n" for account, amount, currency in postings)
        for day, code, words, postings in entries
    )
    return opened + text


def quickbooks(documents: Iterable[Booked]) -> str:
    """Invoice lines as QuickBooks Online imports them. Source: Intuit's "Import invoices" template."""
    heading = (
        "*InvoiceNo",
        "*Customer",
        "*InvoiceDate",
        "*DueDate",
        "Terms",
        "Memo",
        "Item(Product/Service)",
        "ItemDescription",
        "ItemQuantity",
        "ItemRate",
        "*ItemAmount",
        "*ItemTaxCode",
        "ItemTaxAmount",
        "Currency",
    )
    rows = [
        (
            content.number,
            content.buyer.name,
            content.issued_on.isoformat(),
            content.due_on.isoformat(),
            "",
            content.purchase_order,
            line.name,
            line.note,
            str(content.kind.sign * line.quantity),
            written(line.price_minor, content.currency),
            written(content.kind.sign * line.amount_minor, content.currency),
            line.tax,
            written(content.kind.sign * line.tax_minor, content.currency),
            content.currency,
        )
        for content in (one.content for one in documents)
        for line in content.lines
    ]
    return _table(heading, rows)


def xero(documents: Iterable[Booked], *, account: str = "200") -> str:
    """Invoice lines as Xero imports them. Source: Xero's sales invoice import template."""
    heading = (
        "*ContactName",
        "EmailAddress",
        "*InvoiceNumber",
        "Reference",
        "*InvoiceDate",
        "*DueDate",
        "*Description",
        "*Quantity",
        "*UnitAmount",
        "*AccountCode",
        "*TaxType",
        "TaxAmount",
        "Currency",
    )
    rows = [
        (
            content.buyer.name,
            content.buyer.email,
            content.number,
            content.purchase_order,
            content.issued_on.isoformat(),
            content.due_on.isoformat(),
            f"{line.name}. {line.note}".strip(),
            str(content.kind.sign * line.quantity),
            written(line.price_minor, content.currency),
            account,
            line.tax,
            written(content.kind.sign * line.tax_minor, content.currency),
            content.currency,
        )
        for content in (one.content for one in documents)
        for line in content.lines
    ]
    return _table(heading, rows)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(heading)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if cell[:1] in ("=", "@", "\t", "\r") or (cell[:1] in ("+", "-") and not re.fullmatch(r"-?[\d.]+", cell)):
        return f"'{cell}"
    return cell


def _client(identifier: str) -> str:
    return f"C{identifier}"


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w .,&:/+-]", " ", text).split()) or "-"
