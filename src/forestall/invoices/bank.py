"""Bank statements → entries: CAMT.053 (ISO 20022) and CSV with a heading. Pure; nothing is taken in half.

Source: ISO 20022 camt.053.001.02 to .08; amounts are in the statement's currency.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, date, datetime

from defusedxml.ElementTree import ParseError, fromstring

from forestall.agreements.money import read_amount
from forestall.invoices.values import digest
from forestall.kernel.errors import Trouble

BODY_MAX_BYTES = 20 << 20
ENTRIES_MAX = 100_000
TEXT_MAX_CHARS = 500
NAMES = {
    "date": ("date", "booking date", "buchungstag", "buchungsdatum", "datum", "date de comptabilisation"),
    "amount": ("amount", "betrag", "montant", "betrag (eur)"),
    "text": ("text", "reference", "description", "verwendungszweck", "libellé", "libelle"),
    "payer": ("payer", "name", "auftraggeber", "beguenstigter/zahlungspflichtiger", "counterparty"),
    "currency": ("currency", "währung", "waehrung", "devise"),
    "id": ("id", "transaction id", "referenz"),
}
DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y")


@dataclass(frozen=True, slots=True)
class BankEntry:
    """Money that moved. `key` is the same for the same entry in another file."""

    key: str
    on: date
    currency: str
    amount_minor: int
    payer: str
    text: str


def read_statement(data: bytes, *, currency: str) -> list[BankEntry]:
    """The entries of a file. `currency` is taken where a CSV does not say one. Raises Trouble: what is wrong,
    in which line, and what to do."""
    if len(data) > BODY_MAX_BYTES:
        raise Trouble(f"the file has more than {BODY_MAX_BYTES >> 20} MB", "Export a shorter time.")
    if not data.strip():
        raise Trouble("the file is empty", "Export the statement again.")
    head = data[:200].lstrip(b"\xef\xbb\xbf \r\n\t")
    return _camt(data) if head.startswith(b"<") else _csv(data, currency)


def _camt(data: bytes) -> list[BankEntry]:
    try:
        root = fromstring(data)
    except (ParseError, ValueError, LookupError) as error:
        raise Trouble(
            f"the file is no XML that can be read: {error}",
            "It may be in another encoding than its first line says: export it again as camt.053 in UTF-8.",
        ) from error
    space = root.tag.partition("}")[0] + "}" if "}" in root.tag else ""
    if "camt.053" not in space:
        raise Trouble("the file is no bank statement (camt.053)", "Export it as camt.053 or CSV.")
    found: list[BankEntry] = []
    seen: dict[str, int] = {}
    for entry in root.iter(f"{space}Ntry"):
        amount = entry.find(f"{space}Amt")
        day = entry.find(f"{space}BookgDt/{space}Dt")
        moment = entry.find(f"{space}BookgDt/{space}DtTm")
        written = (
            day.text if day is not None else moment.text[:10] if moment is not None and moment.text else ""
        ) or ""
        if amount is None or not amount.text or not written:
            raise Trouble(f"entry {len(found) + 1} has no amount or no date", "Export the statement again.")
        sign = -1 if (entry.findtext(f"{space}CdtDbtInd") or "").strip() == "DBIT" else 1
        currency = amount.get("Ccy", "")
        minor = sign * read_amount(amount.text, currency, what=f"the amount of entry {len(found) + 1}")
        text = " ".join(" ".join((one.text or "").split()) for one in entry.iter(f"{space}Ustrd"))
        payer = next((one.text or "" for one in entry.iter(f"{space}Nm")), "")
        reference = entry.findtext(f"{space}AcctSvcrRef") or entry.findtext(f"{space}NtryRef") or ""
        on = _day(written, f"entry {len(found) + 1}")
        found.append(_entry(reference, on, currency, minor, payer, text, seen))
        if len(found) > ENTRIES_MAX:
            raise Trouble(f"more than {ENTRIES_MAX} entries", "Export a shorter time.")
    if not found:
        raise Trouble("the statement has no entries", "Choose another time.")
    return found


def _csv(data: bytes, currency: str) -> list[BankEntry]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Trouble("the file is in UTF-16", "Save it as CSV in UTF-8 and import it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Trouble(
            f"line {line} is not UTF-8 (byte {data[error.start]:#04x}): the file is in another encoding",
            "Save it as CSV in UTF-8 and import it again; nothing was taken in.",
        ) from error
    if "\x00" in text:
        raise Trouble("the file holds zero bytes: it is in UTF-16, or no CSV", "Save it as CSV in UTF-8.")
    heading = text.partition("\n")[0]
    mark = max(";,\t", key=heading.count)
    rows = list(csv.reader(io.StringIO(text), delimiter=mark))
    columns = _columns(rows[0])
    found: list[BankEntry] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < len(rows[0]):
            raise Trouble(f"line {number} has {len(row)} fields, not {len(rows[0])}", "Export it again.")
        cell = {name: row[place].strip() for name, place in columns.items()}
        money = cell.get("currency") or currency
        amount = cell["amount"]
        if "." in amount and "," in amount:
            amount = amount.replace("." if amount.rfind(",") > amount.rfind(".") else ",", "")
        minor = read_amount(amount, money, what=f"the amount in line {number}")
        on = _day(cell["date"], f"line {number}")
        found.append(
            _entry(cell.get("id", ""), on, money, minor, cell.get("payer", ""), cell.get("text", ""), seen)
        )
        if len(found) > ENTRIES_MAX:
            raise Trouble(f"more than {ENTRIES_MAX} lines", "Export a shorter time.")
    if not found:
        raise Trouble("the file has no entries under its heading", "Export it again.")
    return found


def _columns(heading: list[str]) -> dict[str, int]:
    given = [cell.strip().strip('"').lower() for cell in heading]
    found = {
        name: next(place for place, cell in enumerate(given) if cell in known)
        for name, known in NAMES.items()
        if any(cell in known for cell in given)
    }
    for name in ("date", "amount", "text"):
        if name not in found:
            raise Trouble(
                f"the first line names no column for the {name}: {', '.join(heading)[:200]}",
                f"Name it one of {', '.join(NAMES[name])}.",
            )
    return found


def _entry(
    reference: str, on: date, currency: str, minor: int, payer: str, text: str, seen: dict[str, int]
) -> BankEntry:
    """The same entry has the same key; two that are equal to the letter in one file are two."""
    base = reference.strip() or f"{on}|{currency}|{minor}|{payer}|{text}"
    seen[base] = seen.get(base, 0) + 1
    key = digest(f"{base}|{seen[base]}")[:40]
    return BankEntry(key, on, currency, minor, payer.strip()[:160], text.strip()[:TEXT_MAX_CHARS])


def _day(text: str, where: str) -> date:
    for form in DATES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise Trouble(f"{where}: {text!r} is no date", "Dates are written 2026-11-30 or 30.11.2026.")
