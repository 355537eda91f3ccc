"""The PDF/A-3 with Factur-X inside and the UBL beside it, from the frozen content alone: the same bytes.

Runs in processes of its own, so it knows no framework. Source: Factur-X 1.0, chapter 6 (XMP, attachment).
"""

import json
from datetime import UTC, datetime, time
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import typst
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from facturx.facturx import generate_xmp_object
from lxml import etree
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject

from forestall.agreements.money import to_decimal
from forestall.invoices.facturx import cii, ubl
from forestall.invoices.validate import Invalid, check
from forestall.invoices.values import Content, Kind, Papers, to_content

TEMPLATE = "invoice.typ"
ATTACHED = "factur-x.xml"
NOTE_SHOWN = 240
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "invoice": "Invoice",
        "credit": "Credit note",
        "late_fee": "Invoice",
        "to": "Bill to",
        "issued": "Issued",
        "period": "Period",
        "due": "Due",
        "agreement": "Agreement",
        "order": "Your reference",
        "vat": "VAT",
        "description": "Description",
        "quantity": "Qty",
        "price": "Unit price",
        "amount": "Amount",
        "net": "Net",
        "total": "Total",
        "page": "Page",
        "credits": "Credits",
        "fixed": "One fixed monthly fee.",
        "rounding": "Rounding",
    },
    "de": {
        "invoice": "Rechnung",
        "credit": "Gutschrift",
        "late_fee": "Rechnung",
        "to": "An",
        "issued": "Datum",
        "period": "Zeitraum",
        "due": "Fällig",
        "agreement": "Vertrag",
        "order": "Ihr Zeichen",
        "vat": "USt",
        "description": "Leistung",
        "quantity": "Menge",
        "price": "Einzelpreis",
        "amount": "Betrag",
        "net": "Netto",
        "total": "Gesamt",
        "page": "Seite",
        "credits": "Zu Rechnung",
        "fixed": "Ein fester Monatsbetrag.",
        "rounding": "Rundung",
    },
    "fr": {
        "invoice": "Facture",
        "credit": "Avoir",
        "late_fee": "Facture",
        "to": "À",
        "issued": "Date",
        "period": "Période",
        "due": "Échéance",
        "agreement": "Contrat",
        "order": "Votre référence",
        "vat": "TVA",
        "description": "Prestation",
        "quantity": "Qté",
        "price": "Prix unitaire",
        "amount": "Montant",
        "net": "Total HT",
        "total": "Total TTC",
        "page": "Page",
        "credits": "Facture créditée",
        "fixed": "Un forfait mensuel fixe.",
        "rounding": "Arrondi",
    },
}


def make_papers(text: str) -> Papers:
    """All documents of a content (values.to_text). Raises validate.Invalid when EN 16931 refuses one."""
    content = to_content(text)
    xml, other = cii(content), ubl(content)
    fired = check(xml, syntax="cii")
    check(other, syntax="ubl")
    return Papers(_pdf(content, xml), xml, other, fired)


def made_or_why(text: str) -> Papers | str:
    """The documents, or why EN 16931 refuses them."""
    try:
        return make_papers(text)
    except Invalid as error:
        return str(error)


def _pdf(one: Content, xml: bytes) -> bytes:
    at = datetime.combine(one.issued_on, time(12), UTC)
    made: bytes = typst.compile(
        _template(),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={
            "data": json.dumps(page_of(one)),
            "xml": xml.decode(),
            "logo": one.look.logo,
        },
        timestamp=int(at.timestamp()),
        pdf_standards=["a-3b"],
    )
    return _with_xmp(made, one, at)


@cache
def _template() -> bytes:
    return files("forestall.invoices").joinpath(TEMPLATE).read_bytes()


def page_of(one: Content) -> dict[str, Any]:
    """What the page says, in the client's language."""
    words, tongue = WORDS[one.language], one.language

    def money(amount: int) -> str:
        return str(format_currency(to_decimal(amount, one.currency), one.currency, locale=tongue))

    def day(value: Any) -> str:
        return str(format_date(value, "medium", locale=tongue))

    meta = [[words["issued"], day(one.issued_on)], [words["period"], f"{day(one.first)} – {day(one.last)}"]]
    if one.kind is not Kind.CREDIT:
        meta.append([words["due"], day(one.due_on)])
    meta.append([words["agreement"], one.agreement])
    if one.purchase_order:
        meta.append([words["order"], one.purchase_order])
    if one.preceding:
        meta.append([words["credits"], one.preceding])
    seller = one.seller
    return {
        "words": words, "language": tongue, "number": one.number, "title": words[one.kind.value],
        "year": one.issued_on.year, "month": one.issued_on.month, "day": one.issued_on.day,
        "colour": one.look.colour, "logo": bool(one.look.logo),
        "seller": seller.name, "seller_address": f"{seller.street}, {seller.postcode} {seller.city}",
        "footer": " · ".join(filter(None, (
            seller.name, seller.registration, f"{words['vat']} {seller.vat}" if seller.vat else "",
            f"IBAN {one.iban}" if one.iban else "",
        ))),
        "buyer": one.buyer.name,
        "buyer_lines": [one.buyer.street, f"{one.buyer.postcode} {one.buyer.city}", one.buyer.country],
        "buyer_vat": f"{words['vat']} {one.buyer.vat}" if one.buyer.vat else "", "meta": meta,
        "agreement": one.agreement_name, "fixed": words["fixed"], "total": money(one.total_minor),
        "lines": [
            {
                "name": line.name, "note": line.note[:NOTE_SHOWN], "quantity": _number(line.quantity, tongue),
                "price": money(line.price_minor), "rate": _percent(line.percent, tongue),
                "amount": money(line.amount_minor),
            }
            for line in one.lines
        ],
        "totals": [
            [words["net"], money(one.net_minor)],
            *(
                [f"{words['vat']} {_percent(tax.percent, tongue)}{f' ({tax.reason})' if tax.reason else ''}",
                 money(tax.tax_minor)]
                for tax in one.taxes
            ),
        ],
        "said": "; ".join((*one.said, f"{words['rounding']}: {one.rounding}")),
    }  # fmt: skip


def _with_xmp(pdf: bytes, one: Content, at: datetime) -> bytes:
    """The same PDF whose metadata says that it is a Factur-X; no date but the document's."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf)))
    root = generate_xmp_object(
        {
            "pdfa3_flavor": "B",
            "title": f"{one.number}",
            "author": one.seller.name,
            "subject": f"{one.number}, {one.buyer.name}",
            "producer": "Forestall",
            "creator_tool": "Forestall",
            "timestamp": at.isoformat(),
            "version": "1.0",
            "documenttype": "INVOICE",
            "xml_filename": ATTACHED,
            "xmp_level": "EN 16931",
            "urn": "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#",
        }
    )
    body = etree.tostring(root, encoding="unicode").strip()
    stream = DecodedStreamObject()
    stream.update({NameObject("/Subtype"): NameObject("/XML"), NameObject("/Type"): NameObject("/Metadata")})
    head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    stream.set_data(f'{head}\n{body}\n<?xpacket end="w"?>'.encode())
    catalogue = writer._root_object
    writer._replace_object(catalogue.raw_get("/Metadata"), stream)
    writer.metadata = {
        "/Title": one.number,
        "/Author": one.seller.name,
        "/Subject": f"{one.number}, {one.buyer.name}",
        "/Producer": "Forestall",
        "/Creator": "Forestall",
        "/CreationDate": f"D:{at:%Y%m%d%H%M%S}+00'00'",
        "/ModDate": f"D:{at:%Y%m%d%H%M%S}+00'00'",
    }
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def _number(value: int, tongue: str) -> str:
    return str(format_decimal(value, locale=tongue))


def _percent(value: int, tongue: str) -> str:
    return f"{format_decimal(value / 100, locale=tongue)} %"
