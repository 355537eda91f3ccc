"""The API of billing: agreements and their terms, rates and prices, runs, documents, payments."""

from datetime import date, datetime
from typing import Any

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema

from forestall.agreements import actions as agreeing
from forestall.agreements import credits
from forestall.agreements import queries as agreements
from forestall.agreements.calendar import month_of
from forestall.agreements.checks import Wrong, check_terms
from forestall.agreements.models import Agreement, Credit, PriceItem, TaxTable, TermsVersion
from forestall.agreements.values import Bill, Life, Rate, Terms
from forestall.estate.queries import find_client
from forestall.invoices import actions, queries, runs
from forestall.invoices.bank import read_statement
from forestall.invoices.models import Draft, Invoice, Payment, Run
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, cursor_of, found, limit_of, one

router = Router(tags=["billing"])
READ, WRITE = May("billing:read"), May("billing:write")
MONTHS_MAX = 24
PAPERS = {"pdf": "application/pdf", "xml": "application/xml", "ubl": "application/xml"}


class Buyer(Schema):
    """Whom the invoices go to. `language`: en, de or fr."""

    buyer_name: str = ""
    buyer_street: str = ""
    buyer_postcode: str = ""
    buyer_city: str = ""
    buyer_country: str = ""
    buyer_vat: str = ""
    language: str = "en"


class AgreementIn(Schema):
    """A new agreement with its first terms; money in minor units, percentages in hundredths of a percent."""

    client: str
    name: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    email: str = ""
    buyer: Buyer
    terms: Terms


class VersionIn(Schema):
    """Other terms from the first day of a month on; `terms` as in a new agreement."""

    from_on: date | None = None
    because: str = ""
    terms: dict[str, Any]


class EndIn(Schema):
    """The last day."""

    on: date


class AgreementOut(Schema):
    """An agreement. `billed_through`: the last day that a run has frozen figures for."""

    id: str
    client: str
    number: str
    name: str
    starts_on: date
    ends_on: date | None
    billed_through: date | None
    email: str
    buyer_name: str
    buyer_vat: str
    language: str

    @staticmethod
    def resolve_client(row: Agreement) -> str:
        """Its identifier."""
        return row.client_id


class VersionOut(Schema):
    """Terms from a day on, until the next version begins."""

    id: str
    from_on: date
    because: str
    made_by: str
    terms: dict[str, Any]


class AgreementDetails(Schema):
    """An agreement with all its versions, the oldest first."""

    agreement: AgreementOut
    versions: list[VersionOut]


class TryIn(Schema):
    """Terms to be tried on what was there in the last months."""

    client: str
    terms: Terms
    months: int = 12


class Tried(Schema):
    """What a month would have cost; `reason` says why there is no bill."""

    month: str
    net_minor: int | None = None
    tax_minor: int | None = None
    total_minor: int | None = None
    notes: list[str] = []
    reason: str = ""


class TableIn(Schema):
    """A version of the tax rates; it bills nothing before it is signed off."""

    version: str
    from_on: date
    rates: list[Rate]


class TableOut(Schema):
    """Rates from a day on. `signed_by` empty: nobody vouches for them yet."""

    id: str
    version: str
    from_on: date
    rates: list[dict[str, Any]]
    signed_by: str
    signed_at: datetime | None


class PriceIn(Schema):
    """An entry of the price book."""

    key: str
    name: str
    basis: str
    currency: str
    price_minor: int
    tax: str
    kinds: list[str] = []


class IndexIn(Schema):
    """A year's rise of consumer prices in hundredths of a percent, and where it was read."""

    year: int
    percent: int
    source: str


class RunIn(Schema):
    """The month, as 2026-11."""

    period: str


class RunOut(Schema):
    """A billing run. `state`: draft, approved, issuing, issued, sent."""

    id: str
    period: str
    state: str
    issue_on: date
    reckoned_at: datetime | None
    approved_at: datetime | None
    issued_at: datetime | None
    trouble: str


class DraftOut(Schema):
    """An agreement's month in a run, with what is not as last month."""

    id: str
    client: str
    agreement: str
    currency: str
    total_minor: int
    before_minor: int | None
    differences: list[str]
    trouble: str

    @staticmethod
    def resolve_client(row: Draft) -> str:
        """Its identifier."""
        return row.client_id

    @staticmethod
    def resolve_agreement(row: Draft) -> str:
        """Its identifier."""
        return row.agreement_id


class InvoiceOut(Schema):
    """A document. `kind`: invoice, credit or late_fee; amounts of a credit note are positive."""

    id: str
    client: str
    agreement: str
    kind: str
    number: str
    period: str
    issued_on: date
    due_on: date
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    open_minor: int
    sealed: bool
    pdf_sha256: str
    sent_at: datetime | None

    @staticmethod
    def resolve_client(row: Invoice) -> str:
        """Its identifier."""
        return row.client_id

    @staticmethod
    def resolve_agreement(row: Invoice) -> str:
        """Its identifier."""
        return row.agreement_id


class CreditIn(Schema):
    """Why the invoice is taken back."""

    because: str


class OneOffIn(Schema):
    """Money back on the next bill, in minor units of the agreement's currency, before tax."""

    name: str
    note: str = ""
    amount_minor: int


class OneOffOut(Schema):
    """A credit. `billed_in`: the month whose figures have it, "" while it waits; `about`: what it is for."""

    id: str
    name: str
    note: str
    amount_minor: int
    about: str
    billed_in: str
    made_by: str


class PaymentIn(Schema):
    """Money that came. The same `key` again is the same payment."""

    key: str
    invoice: str
    on: date
    amount_minor: int
    text: str = ""


class PaymentOut(Schema):
    """A payment, and how much of it settles nothing yet."""

    id: str
    on: date
    currency: str
    amount_minor: int
    left_minor: int
    payer: str
    text: str


class Matched(Schema):
    """What became of a statement's entries."""

    taken: int
    known: int
    settled: int
    waiting: int


@router.get("/agreements", auth=READ, response=Listed[AgreementOut])
def list_agreements(
    request: HttpRequest, client: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Agreements by number."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = agreements.list_agreements(seen_by(request), client=client, after=after, limit=limit + 1)
    return cut(rows, limit, lambda row: (row.number,))


@router.post("/agreements", auth=WRITE, response={201: AgreementOut})
def add_agreement(request: HttpRequest, body: AgreementIn) -> tuple[int, Agreement]:
    """A new agreement with its first terms."""
    client = found(find_client(seen_by(request), body.client))
    return 201, agreeing.add_agreement(
        seen_by(request), client=client.pk, name=body.name, starts_on=body.starts_on, ends_on=body.ends_on,
        terms=body.terms, buyer=body.buyer.dict(), email=body.email, now=timezone.now(),
    )  # fmt: skip


@router.post("/agreements/try", auth=WRITE, response=list[Tried])
def try_terms(request: HttpRequest, body: TryIn) -> list[Tried]:
    """What terms would have cost in the last months; nothing is kept."""
    client = found(find_client(seen_by(request), body.client))
    if wrong := check_terms(body.terms):
        raise Wrong(wrong)
    now = month_of(timezone.now().date())
    months = [now.moved(-back) for back in range(min(max(body.months, 1), MONTHS_MAX), 0, -1)]
    life = Life(months[0].first.replace(year=months[0].year - 1))
    made = []
    for month, bill in agreements.simulate(seen_by(request), client, body.terms, life, months):
        if isinstance(bill, Bill):
            notes = [line.note for line in bill.lines]
            made.append(
                Tried(month=str(month), net_minor=bill.net_minor, tax_minor=bill.tax_minor,
                      total_minor=bill.total_minor, notes=notes)
            )  # fmt: skip
        else:
            made.append(Tried(month=str(month), reason=bill.reason or "nothing to bill"))
    return made


@router.get("/agreements/{agreement}", auth=READ, response=AgreementDetails)
def get_agreement(request: HttpRequest, agreement: str) -> Any:
    """An agreement with its versions."""
    row = one(request, agreements.find_agreement, agreement)
    return {"agreement": row, "versions": agreements.versions_of(seen_by(request), row)}


@router.post("/agreements/{agreement}/versions", auth=WRITE, response={201: VersionOut})
def add_version(request: HttpRequest, agreement: str, body: VersionIn) -> tuple[int, TermsVersion]:
    """Other terms from a day on."""
    row = one(request, agreements.find_agreement, agreement)
    try:
        terms = msgspec.convert(body.terms, Terms)
    except msgspec.ValidationError as error:
        raise Wrong({"terms": str(error)}) from error
    return 201, agreeing.add_version(
        seen_by(request), row, from_on=body.from_on, terms=terms, because=body.because, now=timezone.now()
    )


@router.post("/agreements/{agreement}/end", auth=WRITE, response=AgreementOut)
def end_agreement(request: HttpRequest, agreement: str, body: EndIn) -> Agreement:
    """Its last day."""
    row = one(request, agreements.find_agreement, agreement)
    agreeing.end_agreement(seen_by(request), row, on=body.on, now=timezone.now())
    return one(request, agreements.find_agreement, agreement)


@router.get("/agreements/{agreement}/credits", auth=READ, response=list[OneOffOut])
def list_credits(request: HttpRequest, agreement: str) -> list[Credit]:
    """Money back, the newest first."""
    row = one(request, agreements.find_agreement, agreement)
    return agreements.list_credits(seen_by(request), agreement=row.pk)


@router.post("/agreements/{agreement}/credits", auth=WRITE, response={201: OneOffOut})
def give_credit(request: HttpRequest, agreement: str, body: OneOffIn) -> tuple[int, Credit]:
    """Money back on the next bill that is high enough."""
    row = one(request, agreements.find_agreement, agreement)
    return 201, credits.give_credit(
        seen_by(request), row, name=body.name, note=body.note, amount_minor=body.amount_minor,
        now=timezone.now(),
    )  # fmt: skip


@router.delete("/agreements/credits/{credit}", auth=WRITE, response={204: None})
def take_back_credit(request: HttpRequest, credit: str) -> tuple[int, None]:
    """Not given after all; what was billed stays."""
    credits.take_back_credit(
        seen_by(request), one(request, agreements.find_credit, credit), now=timezone.now()
    )
    return 204, None


@router.get("/tax-tables", auth=READ, response=list[TableOut])
def list_tables(request: HttpRequest) -> list[TaxTable]:
    """The versions of the tax rates, the newest first."""
    return agreements.list_tax_tables(seen_by(request))


@router.post("/tax-tables", auth=WRITE, response={201: TableOut})
def add_table(request: HttpRequest, body: TableIn) -> tuple[int, TaxTable]:
    """Tax rates from a day on, not signed off yet: a person does that in the console."""
    return 201, agreeing.add_tax_table(
        seen_by(request), version=body.version, from_on=body.from_on, rates=body.rates, now=timezone.now()
    )


@router.put("/price-book", auth=WRITE, response={204: None})
def put_price(request: HttpRequest, body: PriceIn) -> tuple[int, None]:
    """An entry of the price book, new or changed."""
    agreeing.put_price(seen_by(request), **body.dict(), now=timezone.now())
    return 204, None


@router.get("/price-book", auth=READ, response=list[PriceIn])
def price_book(request: HttpRequest) -> list[PriceItem]:
    """What the provider offers."""
    return agreements.price_book(seen_by(request))


@router.put("/price-indices", auth=WRITE, response={204: None})
def put_index(request: HttpRequest, body: IndexIn) -> tuple[int, None]:
    """A year's rise of consumer prices."""
    agreeing.put_index(seen_by(request), **body.dict(), now=timezone.now())
    return 204, None


@router.post("/billing-runs", auth=WRITE, response={201: RunOut})
def open_run(request: HttpRequest, body: RunIn) -> tuple[int, Run]:
    """The run of a month, reckoned anew while it is a draft."""
    run = runs.open_run(seen_by(request), body.period, now=timezone.now())
    if run.state == "draft":
        run = runs.reckon(seen_by(request), run, now=timezone.now())
    return 201, run


@router.get("/billing-runs", auth=READ, response=list[RunOut])
def list_runs(request: HttpRequest) -> list[Run]:
    """Runs, the newest first."""
    return queries.list_runs(seen_by(request))


@router.get("/billing-runs/{billing}/drafts", auth=READ, response=list[DraftOut])
def list_drafts(request: HttpRequest, billing: str, start: int = 0) -> list[Draft]:
    """At most 500 drafts from `start` on, those that cannot be billed first."""
    row = one(request, queries.find_run, billing)
    return queries.drafts_of(seen_by(request), row, start=min(max(start, 0), 1_000_000))


@router.post("/billing-runs/{billing}/reckon", auth=WRITE, response=RunOut)
def reckon(request: HttpRequest, billing: str) -> Run:
    """Reckon every bill anew, while it is a draft."""
    return runs.reckon(seen_by(request), one(request, queries.find_run, billing), now=timezone.now())


@router.post("/billing-runs/{billing}/approve", auth=WRITE, response=RunOut)
def approve(request: HttpRequest, billing: str) -> Run:
    """Freeze the figures."""
    return runs.approve(seen_by(request), one(request, queries.find_run, billing), now=timezone.now())


@router.post("/billing-runs/{billing}/issue", auth=WRITE, response=RunOut)
def issue(request: HttpRequest, billing: str) -> Run:
    """Number the documents and make their papers; stopped anywhere it goes on where it was."""
    return runs.issue(seen_by(request), one(request, queries.find_run, billing), now=timezone.now())


@router.get("/invoices", auth=READ, response=Listed[InvoiceOut])
def list_invoices(
    request: HttpRequest, client: str = "", billing: str = "", unpaid: bool = False,
    cursor: str = cursor_of(), limit: int = limit_of(),
) -> Page[Any]:  # fmt: skip
    """Documents, the newest first."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_invoices(
        seen_by(request), client=client, run=billing, open_only=unpaid, after=after, limit=limit + 1
    )
    return cut(rows, limit, lambda row: (row.pk,))


@router.get("/invoices/{invoice}", auth=READ, response=InvoiceOut)
def get_invoice(request: HttpRequest, invoice: str) -> Invoice:
    """A document."""
    return one(request, queries.find_invoice, invoice)


@router.get("/invoices/{invoice}/pdf", auth=READ)
def get_pdf(request: HttpRequest, invoice: str) -> HttpResponse:
    """The PDF as it was issued, with the e-invoice inside."""
    return _paper(request, invoice, "pdf")


@router.get("/invoices/{invoice}/xml", auth=READ)
def get_xml(request: HttpRequest, invoice: str) -> HttpResponse:
    """The Factur-X document as it was issued."""
    return _paper(request, invoice, "xml")


@router.get("/invoices/{invoice}/ubl", auth=READ)
def get_ubl(request: HttpRequest, invoice: str) -> HttpResponse:
    """The UBL document as it was issued."""
    return _paper(request, invoice, "ubl")


@router.post("/invoices/{invoice}/credit", auth=WRITE, response={201: InvoiceOut})
def credit(request: HttpRequest, invoice: str, body: CreditIn) -> tuple[int, Invoice]:
    """Take an invoice back, whole; the same credit note when it is credited already."""
    row = one(request, queries.find_invoice, invoice)
    return 201, actions.credit(seen_by(request), row, because=body.because, now=timezone.now())


@router.post("/payments", auth=WRITE, response={201: PaymentOut})
def add_payment(request: HttpRequest, body: PaymentIn) -> tuple[int, Payment]:
    """Money that came for an invoice."""
    row = one(request, queries.find_invoice, body.invoice)
    if body.amount_minor <= 0:
        raise Wrong({"amount_minor": "a payment is above nothing"})
    payment, _ = actions.take_payment(
        seen_by(request), key=body.key, source="api", on=body.on, currency=row.currency,
        amount_minor=body.amount_minor, client=row.client_id, payer=row.agreement.buyer_name, text=body.text,
        invoices=[row.pk], now=timezone.now(),
    )  # fmt: skip
    return 201, found(queries.find_payment(seen_by(request), payment.pk))


@router.post("/bank-statements", auth=WRITE, response=Matched)
def take_statement(request: HttpRequest, currency: str = "EUR") -> Any:
    """The body is the file, CAMT.053 or CSV: what names an invoice settles it."""
    entries = read_statement(request.body, currency=currency)
    return actions.take_statement(seen_by(request), entries, now=timezone.now())


def _paper(request: HttpRequest, invoice: str, paper: str) -> HttpResponse:
    row = one(request, queries.find_invoice, invoice)
    data = queries.paper_of(seen_by(request), row, paper)
    if data is None:
        raise Http404
    return HttpResponse(data, content_type=PAPERS[paper])
