"""Every read of runs, documents and open items, tenant-scoped; runs and the books are of all clients."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, QuerySet, Sum

from forestall.estate.tenancy import Scope
from forestall.invoices.exports import Booked, Paid
from forestall.invoices.models import Draft, Invoice, Paper, Payment, Run, Seller, Series, Settled
from forestall.invoices.values import Kind, digest, to_content
from forestall.journal.queries import read_after

PAGE_MAX = 500
BOOKS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Balance:
    """What a run or the open items come to, per currency."""

    currency: str
    count: int
    net_minor: int
    tax_minor: int
    total_minor: int
    open_minor: int


@dataclass(frozen=True, slots=True)
class Revenue:
    """A line of a sealed document, net, in minor units; negative on a credit note."""

    client: str
    agreement: str
    period: str
    kind: Kind
    key: str
    name: str
    quantity: int
    net_minor: int
    currency: str


def list_runs(scope: Scope) -> list[Run]:
    """Runs, the newest first: for those who see every client."""
    return list(Run.objects.all()[:PAGE_MAX]) if scope.everything else []


def find_run(scope: Scope, identifier: str) -> Run | None:
    """A run by identifier or month, or None."""
    if not scope.everything:
        return None
    return Run.objects.filter(pk=identifier).first() or Run.objects.filter(period=identifier).first()


def drafts_of(scope: Scope, run: Run, *, start: int = 0, limit: int = PAGE_MAX) -> list[Draft]:
    """Drafts in the run's order, those that cannot be billed first."""
    rows = Draft.objects.of(scope).filter(run=run).select_related("agreement", "client").defer("counts")
    return list(rows.order_by("-trouble", "place")[start : start + min(limit, PAGE_MAX)])


def sum_of_drafts(scope: Scope, run: Run) -> list[dict[str, Any]]:
    """Per currency: how many, their total and that of the month before."""
    rows = Draft.objects.of(scope).filter(run=run).order_by().values("currency")
    summed = rows.annotate(count=Count("pk"), total=Sum("total_minor"), before=Sum("before_minor"))
    return [dict(row) for row in summed]


def count_troubled(scope: Scope, run: Run) -> int:
    """How many agreements cannot be billed."""
    return Draft.objects.of(scope).filter(run=run).exclude(trouble="").count()


def count_unsent(scope: Scope, run: Run) -> int:
    """How many documents of a run were not mailed yet."""
    return Invoice.objects.of(scope).filter(run=run, sealed=True, sent_at=None).count()


def settled_of(scope: Scope, invoice: Invoice) -> list[Settled]:
    """What payments settled of a document."""
    mine = Invoice.objects.of(scope).filter(pk=invoice.pk)
    return list(Settled.objects.filter(invoice__in=mine).select_related("payment").order_by("pk")[:PAGE_MAX])


def revenue(
    scope: Scope, *, since: date, until: date, client: str = "", agreement: str = ""
) -> list[Revenue]:
    """Net lines of sealed documents whose period is in `since`'s to `until`'s month; credits are negative."""
    rows = Invoice.objects.of(scope).filter(
        sealed=True, period__gte=f"{since:%Y-%m}", period__lte=f"{until:%Y-%m}"
    )
    rows = rows.filter(client=client) if client else rows
    rows = rows.filter(agreement=agreement) if agreement else rows
    found = []
    wanted = rows.order_by("period", "client", "number").values_list(
        "client", "agreement", "period", "content"
    )
    for owner, agreed, period, text in wanted.iterator(chunk_size=500):
        content = to_content(text)
        sign = content.kind.sign
        found += [
            Revenue(owner, agreed, period, content.kind, line.key, line.name, sign * line.quantity,
                    sign * line.amount_minor, content.currency)
            for line in content.lines
        ]  # fmt: skip
    return found


def list_invoices(
    scope: Scope, *, client: str = "", run: str = "", open_only: bool = False, overdue_on: date | None = None,
    after: str = "", limit: int = PAGE_MAX,
) -> list[Invoice]:  # fmt: skip
    """Documents, the newest first; `after` is the identifier of the last one seen."""
    rows = Invoice.objects.of(scope).select_related("client", "agreement").defer("content")
    rows = rows.filter(client=client) if client else rows
    rows = rows.filter(run=run) if run else rows
    rows = rows.exclude(open_minor=0) if open_only else rows
    rows = rows.filter(due_on__lt=overdue_on) if overdue_on else rows
    rows = rows.filter(pk__lt=after) if after else rows
    return list(rows.order_by("-pk")[: min(limit, PAGE_MAX)])


def find_invoice(scope: Scope, identifier: str) -> Invoice | None:
    """A document with client and agreement, or None."""
    rows = Invoice.objects.of(scope).filter(pk=identifier)
    return rows.select_related("client", "agreement", "run", "credits", "late_for").first()


def paper_of(scope: Scope, invoice: Invoice, kind: str) -> bytes | None:
    """The bytes of a document, or None before it is made."""
    row = Paper.objects.filter(invoice__in=Invoice.objects.of(scope).filter(pk=invoice.pk), kind=kind).first()
    return bytes(row.data) if row else None


def balances(scope: Scope, *, run: str = "", open_only: bool = False) -> list[Balance]:
    """Sums of documents per currency, credit notes counted negative."""
    rows = Invoice.objects.of(scope).order_by()
    rows = rows.filter(run=run) if run else rows
    rows = rows.exclude(open_minor=0) if open_only else rows
    sums: dict[str, list[int]] = {}
    for row in rows.values("currency", "kind").annotate(
        count=Count("pk"),
        net=Sum("net_minor"),
        tax=Sum("tax_minor"),
        total=Sum("total_minor"),
        open=Sum("open_minor"),
    ):
        sign = Kind(row["kind"]).sign
        parts = (row["count"], sign * row["net"], sign * row["tax"], sign * row["total"], row["open"])
        old = sums.get(row["currency"], [0] * 5)
        sums[row["currency"]] = [a + b for a, b in zip(old, parts, strict=True)]
    return [Balance(currency, *parts) for currency, parts in sorted(sums.items())]


def waiting_payments(scope: Scope) -> list[Payment]:
    """Payments of which something is left."""
    return list(Payment.objects.of(scope).exclude(left_minor=0).select_related("client")[:PAGE_MAX])


def find_payment(scope: Scope, identifier: str) -> Payment | None:
    """A payment, or None."""
    return Payment.objects.of(scope).filter(pk=identifier).first()


def booked(scope: Scope, *, since: date | None = None, until: date | None = None) -> list[Booked]:
    """Sealed documents by number."""
    rows = _between(Invoice.objects.of(scope).filter(sealed=True), "issued_on", since, until)
    return [Booked(client, to_content(text)) for client, text in
            rows.order_by("issued_on", "number").values_list("client", "content")[:BOOKS_MAX]]  # fmt: skip


def paid(scope: Scope, *, since: date | None = None, until: date | None = None) -> list[Paid]:
    """Payments by day."""
    rows = _between(Payment.objects.of(scope), "on", since, until).order_by("on", "pk")
    return [Paid(one.pk, one.on, one.currency, one.amount_minor, one.client_id or "", one.payer)
            for one in rows[:BOOKS_MAX]]  # fmt: skip


def seller_or_none(scope: Scope) -> Seller | None:
    """Who sends the invoices, or None."""
    return Seller.objects.filter(id=1).first()


def verify(scope: Scope) -> list[str]:
    """What does not hold: gaps in numbers, papers or contents that are not what the journal says."""
    wrong = []
    for series in Series.objects.order_by("name"):
        held = set(Invoice.objects.of(scope).filter(series=series.name).values_list("index", flat=True))
        missing = sorted(set(range(1, series.next)) - held) if scope.everything else []
        if missing or max(held, default=0) >= series.next:
            wrong.append(f"{series.name}: {len(missing)} numbers are missing, the first is {missing[:1]}")
    for row in Invoice.objects.of(scope).filter(sealed=True).order_by("seq").iterator(chunk_size=100):
        hashes = {paper.kind: digest(bytes(paper.data)) for paper in row.papers.all()}
        said = {"pdf": row.pdf_sha256, "xml": row.xml_sha256, "ubl": row.ubl_sha256}
        if hashes != said:
            wrong.append(f"{row.number}: its papers are not those that were issued")
        if digest(row.content) != row.content_sha256:
            wrong.append(f"{row.number}: its content is not what was issued")
        wrong += _against_journal(row)
    return wrong


def _against_journal(row: Invoice) -> list[str]:
    if row.seq is None:
        return [f"{row.number}: it has no entry in the journal"]
    entry = next(iter(read_after(row.seq - 1, most=1)), None)
    text = bytes(entry.body).decode() if entry and entry.seq == row.seq else ""
    wanted = (row.content_sha256, row.pdf_sha256, row.xml_sha256, row.ubl_sha256, row.number)
    if not all(one in text for one in wanted):
        return [f"{row.number}: the journal says something else"]
    return []


def _between(rows: "QuerySet[Any]", field: str, since: date | None, until: date | None) -> "QuerySet[Any]":
    rows = rows.filter(**{f"{field}__gte": since}) if since else rows
    return rows.filter(**{f"{field}__lte": until}) if until else rows
