"""What leaves for others to judge: EN 16931's rules, PDF/A-3 with Factur-X, three keepers of books."""

import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pikepdf
import pytest
from facturx import get_xml_from_pdf, xml_check_xsd

from forestall.agreements.decide import balanced
from forestall.agreements.money import RULE
from forestall.agreements.values import Line, Rate, Rates
from forestall.invoices.bank import read_statement
from forestall.invoices.exports import Booked, Paid, ledger, quickbooks, xero
from forestall.invoices.facturx import cii, ubl
from forestall.invoices.papers import make_papers
from forestall.invoices.validate import Invalid, check
from forestall.invoices.values import Content, Kind, Look, Party, to_content, to_text
from forestall.kernel.errors import Trouble

RATES = Rates("x", (Rate("s", "S", 1900), Rate("r", "S", 700), Rate("e", "E", 0, "Exempt")), "Jo")
LINES = (
    Line(
        "care",
        "Complete care, per user",
        "46 seats counted on 1 Nov: Ana B.",
        46,
        9500,
        437_000,
        "s",
        "S",
        1900,
    ),
    Line("ins", "Insurance & <more>", "", 1, 3333, 3333, "e", "E", 0),
    Line("book", "Printed matter", "", 3, 333, 999, "r", "S", 700),
    Line("left", "Complete care: left", "Tom K. left 22 Oct", -1, 1000, -1000, "s", "S", 1900),
)
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'


def document(kind: Kind = Kind.INVOICE, number: str = "INV-2026-00001", **more: object) -> Content:
    bill = balanced("EUR", LINES, RATES)
    content = Content(
        kind=kind,
        number=number,
        issued_on=date(2026, 11, 3),
        due_on=date(2026, 11, 17),
        first=date(2026, 11, 1),
        last=date(2026, 11, 30),
        currency="EUR",
        language="en",
        seller=Party("Northgate", "Kaistraße 12", "20457", "Hamburg", "DE", "DE136695976", "HRB 1"),
        buyer=Party("Harbor Credit Union", "14 Pier Road", "20459", "Hamburg", "DE"),
        iban="DE02120300000000202051",
        bic="",
        agreement="AGR-0042",
        agreement_name="Complete care",
        purchase_order="PO 7781",
        lines=bill.lines,
        taxes=bill.taxes,
        net_minor=bill.net_minor,
        tax_minor=bill.tax_minor,
        total_minor=bill.total_minor,
        rounding=RULE,
        look=Look(logo=LOGO),
        preceding="INV-2026-00001" if kind is Kind.CREDIT else "",
    )
    return replace(content, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_papers_are_facturx_in_a_pdf_a_and_always_the_same_bytes(language: str) -> None:
    content = document(language=language)
    text = to_text(content)
    assert to_content(text) == content
    papers = make_papers(text)
    assert make_papers(text) == papers and papers.rules_fired > 80
    name, xml = get_xml_from_pdf(papers.pdf)
    assert name == "factur-x.xml" and xml == papers.xml and xml_check_xsd(papers.xml)
    with pikepdf.open(io.BytesIO(papers.pdf)) as pdf:
        meta = bytes(pdf.Root.Metadata.read_bytes()).decode()
        assert (
            re.search(r"pdfaid:part>3<", meta)
            and "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#" in meta
        )
        assert pdf.Root.AF[0].AFRelationship == "/Alternative" and "/OutputIntents" in pdf.Root
        assert not pdf.check_pdf_syntax()


def test_credit_notes_pass_the_rules_in_both_syntaxes() -> None:
    papers = make_papers(to_text(document(Kind.CREDIT, "CN-2026-00001")))
    assert b"381" in papers.xml and b"<CreditNote" in papers.ubl


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (r"GrandTotalAmount>[\d.]+", "GrandTotalAmount>1.00"),
        (r"CalculatedAmount>[\d.]+", "CalculatedAmount>9.99"),
        (r"<ram:LineTotalAmount>4370.00", "<ram:LineTotalAmount>4371.00"),
        (r"<ram:SpecifiedTaxRegistration>.*?</ram:SpecifiedTaxRegistration>", ""),
        (r"InvoiceCurrencyCode>EUR", "InvoiceCurrencyCode>EUX"),
        (r"CountryID>DE", "CountryID>XX"),
        (r"<ram:ID>INV-2026-00001</ram:ID>", ""),
    ],
)
def test_a_corrupt_document_is_refused(was: str, becomes: str) -> None:
    good = cii(document()).decode()
    assert check(good.encode(), syntax="cii") > 80
    bad = re.sub(was, becomes, good, count=1, flags=re.S)
    assert bad != good
    with pytest.raises(Invalid):
        check(bad.encode(), syntax="cii")


def test_what_no_rule_looks_at_is_refused() -> None:
    for text in (b"<other/>", b"no xml", ubl(document())):
        with pytest.raises(Invalid):
            check(text, syntax="cii")
    with pytest.raises(Invalid):
        check(cii(document()), syntax="ubl")


def books() -> tuple[list[Booked], list[Paid]]:
    first, second = document(), document(number="INV-2026-00002")
    note = document(Kind.CREDIT, "CN-2026-00001")
    documents = [Booked("A1", first), Booked("B2", second), Booked("A1", note)]
    return documents, [Paid("P1", date(2026, 11, 20), "EUR", 100_001, "B2", 'Harbor "Credit" ; Union')]


def ours() -> dict[str, int]:
    """The balances in cents, by our own reckoning."""
    one = document()
    found = {"Assets:Receivable:CB2": one.total_minor - 100_001, "Assets:Bank": 100_001}
    found |= {"Income:Services": -one.net_minor}
    return found | {
        f"Liabilities:Tax:{t.category}{t.percent}": -t.tax_minor for t in one.taxes if t.tax_minor
    }


def test_hledger_ledger_and_beancount_agree_with_our_balances(tmp_path: Path) -> None:
    documents, payments = books()
    for tool in ("hledger", "ledger", "bean-query"):
        assert shutil.which(tool), f"{tool} is missing: sh tests/install_daemons.sh"
    for dialect in ("hledger", "ledger", "beancount"):
        (tmp_path / dialect).write_text(ledger(documents, payments, dialect=dialect))
    commands = {
        "hledger": ["hledger", "-f", "hledger", "balance", "--flat", "-O", "csv"],
        "ledger": [
            "ledger",
            "-f",
            "ledger",
            "balance",
            "--flat",
            "--no-total",
            "--format",
            '"%(account)","%(amount)"\n',
        ],
        "beancount": [
            "bean-query",
            "-f",
            "csv",
            "beancount",
            "select account, sum(position) group by account",
        ],
    }
    subprocess.run(["hledger", "-f", "hledger", "check"], cwd=tmp_path, check=True, timeout=120)
    subprocess.run(["bean-check", "beancount"], cwd=tmp_path, check=True, timeout=120)
    for dialect, command in commands.items():
        done = subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True)
        found = {
            match[1]: int(match[2].replace(".", "").replace(",", ""))
            for match in re.finditer(r'"?([A-Z]\w+(?::\w+)+)"?\s*,\s*"?\s*(-?[\d.,]+) EUR', done.stdout)
        }
        assert {name: cents for name, cents in found.items() if cents} == ours(), (dialect, done.stdout)


def test_csv_for_quickbooks_and_xero_adds_up_and_holds_no_formula() -> None:
    import csv

    sly = document(buyer=Party("=HYPERLINK(1)", "a", "1", "b", "DE"))
    for text in (quickbooks([Booked("A", sly)]), xero([Booked("A", sly)])):
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == len(LINES) and all("'=HYPERLINK(1)" in row.values() for row in rows)
    rows = list(csv.DictReader(io.StringIO(quickbooks([Booked("A", sly)]))))
    assert round(sum(float(row["*ItemAmount"]) for row in rows) * 100) == sly.net_minor
    assert round(sum(float(row["ItemTaxAmount"]) for row in rows) * 100) == sly.tax_minor


CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Ntry><Amt Ccy="EUR">65.21</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2026-11-30</Dt></BookgDt>
<AcctSvcrRef>R1</AcctSvcrRef><NtryDtls><TxDtls>
<RltdPties><Dbtr><Pty><Nm>Häfen AG</Nm></Pty></Dbtr></RltdPties>
<RmtInf><Ustrd>INV-2026-00001</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><DtTm>2026-11-30T09:00:00</DtTm></BookgDt>
</Ntry></Stmt></BkToCstmrStmt></Document>"""


def test_statements_are_read_and_a_wrong_encoding_is_told() -> None:
    first, second = read_statement(CAMT.encode(), currency="EUR")
    assert (first.amount_minor, first.payer, first.text) == (6521, "Häfen AG", "INV-2026-00001")
    assert second.amount_minor == -900 and first.key != second.key
    csv_text = "Buchungstag;Betrag;Verwendungszweck;Name\n30.11.2026;1.234,50;Für März;Müller\n"
    (entry,) = read_statement(csv_text.encode(), currency="EUR")
    assert entry.amount_minor == 123_450 and entry.on == date(2026, 11, 30)
    for data, said in (
        (csv_text.encode("latin-1"), "line 2 is not UTF-8"),
        (csv_text.encode("utf-16"), "UTF-16"),
        (CAMT.encode("latin-1"), "encoding"),
        (b"", "empty"),
        (b"date;text\n1;2\n", "column for the amount"),
        (b"date;amount;text\nyesterday;1;x\n", "no date"),
        (b"date;amount;text\n2026-01-01;x;y\n", "line 2"),
        (b"<a/>", "camt.053"),
    ):
        with pytest.raises(Trouble, match=said):
            read_statement(data, currency="EUR")
