"""A billing run: reckon, approve, issue. Each step may be killed anywhere and begun again: it goes on where
it stopped, with the same numbers and the same bytes.

`draft` → `approved` → `issuing` → `issued` → `sent`.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from multiprocessing import get_context
from threading import current_thread, main_thread
from typing import Any

import msgspec
from django.db import transaction

from forestall.agreements import queries as agreements
from forestall.agreements.calendar import Month, count_day, counting_instant, read_month
from forestall.agreements.counting import as_of, frozen, thawed, things_of
from forestall.agreements.credits import settle_credits
from forestall.agreements.decide import CREDIT, decide_bill
from forestall.agreements.models import Agreement
from forestall.agreements.money import RULE
from forestall.agreements.values import Bill, Counts, NotBilled, Rates, Terms
from forestall.estate.tenancy import Scope
from forestall.invoices.differences import explain
from forestall.invoices.models import Draft, Invoice, Paper, Run, Seller, Series
from forestall.invoices.papers import made_or_why
from forestall.invoices.values import PREFIXES, Content, Kind, Look, Papers, Party, RunState, digest, to_text
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

CHUNK = 200  # agreements that are read at once
BATCH = 25  # documents that are made before they are written
WORKERS_MAX = 16
Progress = Callable[[str, int, int], None]


def open_run(scope: Scope, period: str, *, now: datetime, issue_on: date | None = None) -> Run:
    """The run of a month; a new one when there is none. Raises Trouble."""
    month = read_month(period)
    if not scope.everything:
        raise Trouble("a run bills every client", "Ask somebody who sees all clients.")
    with transaction.atomic():
        run, made = Run.objects.get_or_create(
            period=str(month),
            defaults={"issue_on": issue_on or now.date(), "made_at": now, "made_by": scope.actor},
        )
        if made:
            _note(scope, "run_opened", run, now, {"issue_on": run.issue_on.isoformat()})
    return run


def reckon(scope: Scope, run: Run, *, now: datetime, progress: Progress | None = None) -> Run:
    """Reckon every agreement's month anew (a preview changes nothing else). Raises Trouble once it is
    approved, and while two do it at once the later one's figures stand."""
    if run.state != RunState.DRAFT:
        raise Trouble(f"the run of {run.period} is {run.state}", "Its figures are frozen; use a credit note.")
    month = read_month(run.period)
    running = agreements.running_in(scope, month)
    rates, cpi = agreements.rates_on(scope, month.first), agreements.indices(scope)
    for start in range(0, len(running), CHUNK):
        part = running[start : start + CHUNK]
        rows = _drafts(scope, run, month, part, start, rates=rates, cpi=cpi, now=now)
        with transaction.atomic():
            Draft.objects.filter(run=run, agreement__in=part).delete()
            Draft.objects.bulk_create(rows)
        if progress:
            progress("reckoned", min(start + CHUNK, len(running)), len(running))
    Draft.objects.filter(run=run).exclude(agreement__in=[one.pk for one in running]).delete()
    Run.objects.filter(pk=run.pk).update(reckoned_at=now)
    run.reckoned_at = now
    return run


def approve(scope: Scope, run: Run, *, now: datetime) -> Run:
    """Freeze the figures. Raises Trouble when an agreement cannot be billed, or nothing was reckoned."""
    with transaction.atomic():
        row = Run.objects.select_for_update().get(pk=run.pk)
        if row.state != RunState.DRAFT:
            return row
        seller(scope)
        if row.reckoned_at is None:
            raise Trouble(f"the run of {row.period} was not reckoned", "Look at its preview first.")
        bad = Draft.objects.of(scope).filter(run=row).exclude(trouble="")
        if first := bad.select_related("agreement").first():
            raise Trouble(
                f"{bad.count()} agreements cannot be billed, the first: {first.agreement}: {first.trouble}",
                "Mend them and reckon again.",
            )
        last = read_month(row.period).last
        held = Draft.objects.of(scope).filter(run=row).values("agreement")
        Agreement.objects.of(scope).filter(pk__in=held).exclude(billed_through__gt=last).update(
            billed_through=last
        )
        settle_credits(scope, row.period, _credits_in(scope, row))
        row.state, row.approved_at, row.approved_by = RunState.APPROVED, now, scope.actor
        row.save(update_fields=["state", "approved_at", "approved_by"])
        sums = digest("".join(Draft.objects.of(scope).filter(run=row).order_by("place").values_list(
            "counts_sha256", flat=True)))  # fmt: skip
        _note(scope, "run_approved", row, now, {"drafts": held.count(), "counts_sha256": sums})
    return row


def issue(
    scope: Scope, run: Run, *, now: datetime, workers: int = 1, progress: Progress | None = None
) -> Run:
    """Number every document in the run's order, then make its papers. Raises Trouble when it is not approved;
    a document that cannot be made keeps its number and is said in `trouble`."""
    run = Run.objects.get(pk=run.pk)
    if run.state == RunState.DRAFT:
        raise Trouble(f"the run of {run.period} is not approved", "Approve it first.")
    if run.state in (RunState.ISSUED, RunState.SENT):
        return run
    Run.objects.filter(pk=run.pk).update(state=RunState.ISSUING)
    _number_all(scope, run, progress)
    failed = seal_all(
        scope, Invoice.objects.of(scope).filter(run=run), now=now, workers=workers, progress=progress
    )
    run.state = RunState.ISSUING if failed else RunState.ISSUED
    run.trouble, run.issued_at = failed[:500], None if failed else now
    with transaction.atomic():
        run.save(update_fields=["state", "trouble", "issued_at"])
        if not failed:
            count = Invoice.objects.of(scope).filter(run=run).count()
            _note(scope, "run_issued", run, now, {"documents": count})
    return run


def seal_all(
    scope: Scope, rows: Any, *, now: datetime, workers: int = 1, progress: Progress | None = None
) -> str:
    """Make the papers of documents that have none yet; what was wrong with the first that failed, or ""."""
    waiting = list(rows.filter(sealed=False).order_by("series", "index").values_list("pk", flat=True))
    failed = ""
    if not waiting:
        return failed
    with _maker(min(workers, WORKERS_MAX)) as make:
        for start in range(0, len(waiting), BATCH):
            batch = list(Invoice.objects.of(scope).filter(pk__in=waiting[start : start + BATCH]))
            batch.sort(key=lambda one: (one.series, one.index))
            for row, made in zip(batch, make([row.content for row in batch]), strict=True):
                if isinstance(made, Papers):
                    _seal(scope, row, made, now)
                else:
                    failed = failed or f"{row.number}: {made}"
                    Invoice.objects.of(scope).filter(pk=row.pk).update(trouble=made[:500])
            if progress:
                progress("made", min(start + BATCH, len(waiting)), len(waiting))
    return failed


def take_number(kind: Kind, on: date) -> tuple[str, int]:
    """The next number of the kind's series of the year, inside the caller's transaction."""
    name = f"{PREFIXES[kind]}-{on.year}"
    Series.objects.get_or_create(name=name)
    row = Series.objects.select_for_update().get(name=name)
    index = row.next
    Series.objects.filter(name=name).update(next=index + 1)
    return name, index


def write_invoice(
    scope: Scope, content: Content, *, agreement: Agreement, period: str, **fields: Any
) -> Invoice:
    """A document's row with its number, inside the caller's transaction. `content.number` is filled in."""
    series, index = take_number(content.kind, content.issued_on)
    numbered = replace(content, number=f"{series}-{index:05d}")
    text = to_text(numbered)
    return Invoice.objects.create(
        client_id=agreement.client_id, agreement=agreement, kind=content.kind, period=period, series=series,
        index=index, number=numbered.number, issued_on=content.issued_on, due_on=content.due_on,
        currency=content.currency, net_minor=content.net_minor, tax_minor=content.tax_minor,
        total_minor=content.total_minor, open_minor=content.kind.sign * content.total_minor, content=text,
        content_sha256=digest(text), **fields,
    )  # fmt: skip


def seller(scope: Scope) -> Seller:
    """Who sends the invoices. Raises Trouble when nobody said it."""
    row = Seller.objects.filter(id=1).first()
    if row is None:
        raise Trouble("nobody said who sends the invoices", "Fill in your company under Billing, Settings.")
    return row


def content_of(
    agreement: Agreement,
    bill: Bill,
    terms: Terms,
    *,
    kind: Kind,
    month: Month,
    issued_on: date,
    from_: Seller,
) -> Content:
    """A document without its number."""
    first, ends = max(month.first, agreement.starts_on), agreement.ends_on
    return Content(
        kind=kind, number="", issued_on=issued_on, due_on=issued_on + timedelta(days=terms.due_days),
        first=first, last=max(first, min(month.last, ends)) if ends else month.last,
        currency=bill.currency, language=agreement.language,
        seller=Party(from_.name, from_.street, from_.postcode, from_.city, from_.country, from_.vat,
                     from_.registration, from_.email),
        buyer=Party(agreement.buyer_name, agreement.buyer_street, agreement.buyer_postcode,
                    agreement.buyer_city, agreement.buyer_country, agreement.buyer_vat),
        iban=from_.iban, bic=from_.bic, agreement=agreement.number, agreement_name=agreement.name,
        purchase_order=terms.purchase_order, lines=bill.lines, taxes=bill.taxes, net_minor=bill.net_minor,
        tax_minor=bill.tax_minor, total_minor=bill.total_minor, rounding=RULE,
        look=Look(from_.colour, from_.logo), said=bill.said,
    )  # fmt: skip


def bill_in(stored: object) -> Bill:
    """A bill from a draft."""
    return msgspec.convert(stored, Bill)


def _drafts(
    scope: Scope, run: Run, month: Month, part: Sequence[Agreement], start: int, *, rates: Rates,
    cpi: dict[int, int], now: datetime,
) -> list[Draft]:  # fmt: skip
    clients = list({one.client_id: one.client for one in part}.values())
    things = things_of(scope, clients)
    terms = agreements.terms_by_agreement(scope, part, month)
    former = agreements.terms_by_agreement(scope, part, month.before)
    credits = agreements.credits_by_agreement(scope, part, month)
    last = {
        one.agreement_id: one
        for one in Draft.objects.of(scope).filter(run__period=str(month.before), agreement__in=list(part))
    }
    rows = []
    for place, agreement in enumerate(part, start=start):
        if agreement.pk not in terms:
            continue
        agreed, zone = terms[agreement.pk], agreement.client.timezone or "UTC"
        day = count_day(
            month, in_advance=agreed.in_advance, starts_on=agreement.starts_on, ends_on=agreement.ends_on
        )
        counts = as_of(things[agreement.client_id], day=day, window=month.before.first)
        text, sha256 = frozen(counts)
        made = decide_bill(
            agreed, agreements.life_of(agreement), month, counts=counts, rates=rates, cpi=cpi,
            before=former.get(agreement.pk), credits=credits.get(agreement.pk, ()),
        )  # fmt: skip
        if isinstance(made, NotBilled) and not made.reason:
            continue  # nothing to bill in this month
        row = Draft(
            client_id=agreement.client_id, run=run, agreement=agreement, place=place, counts=text,
            counts_sha256=sha256, terms=msgspec.to_builtins(agreed), currency=agreed.currency,
        )  # fmt: skip
        if isinstance(made, NotBilled):
            row.trouble = f"{made.reason}. {made.remedy}"[:500]
        else:
            _fill(row, made, counts, last.get(agreement.pk))
            if counting_instant(day, zone) > now:
                row.trouble = f"the counting day {day} is not over yet: this is a look ahead"
        rows.append(row)
    return rows


def _credits_in(scope: Scope, run: Run) -> set[str]:
    """The credits that the figures of a run have."""
    owners = {
        one.agreement_id for one in agreements.list_credits(scope, waiting=True, limit=agreements.ALL_MAX)
    }
    bills = Draft.objects.of(scope).filter(run=run, agreement__in=owners).values_list("bill", flat=True)
    keys = (line.key for bill in bills if bill for line in bill_in(bill).lines)
    return {key.removeprefix(CREDIT) for key in keys if key.startswith(CREDIT)}


def _fill(row: Draft, bill: Bill, counts: Counts, last: Draft | None) -> None:
    was = (thawed(last.counts), bill_in(last.bill)) if last and last.bill else None
    row.bill, row.total_minor = msgspec.to_builtins(bill), bill.total_minor
    row.before_minor = last.total_minor if last else None
    row.differences = explain(was, (counts, bill))


def _number_all(scope: Scope, run: Run, progress: Progress | None) -> None:
    from_, month = seller(scope), read_month(run.period)
    numbered = Invoice.objects.of(scope).filter(run=run).values("agreement")
    waiting = list(
        Draft.objects.of(scope).filter(run=run).exclude(agreement__in=numbered).order_by("place")
        .values_list("pk", flat=True)
    )  # fmt: skip
    for start in range(0, len(waiting), CHUNK):
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=run.pk)
            drafts = Draft.objects.of(scope).filter(pk__in=waiting[start : start + CHUNK])
            for draft in drafts.select_related("agreement").order_by("place"):
                if Invoice.objects.of(scope).filter(run=run, agreement=draft.agreement_id).exists():
                    continue  # another one that issues was faster
                content = content_of(
                    draft.agreement, bill_in(draft.bill), agreements.terms_in(draft.terms), kind=Kind.INVOICE,
                    month=month, issued_on=run.issue_on, from_=from_,
                )  # fmt: skip
                write_invoice(scope, content, agreement=draft.agreement, period=run.period, run=run)
        if progress:
            progress("numbered", min(start + CHUNK, len(waiting)), len(waiting))


def _seal(scope: Scope, row: Invoice, made: Papers, now: datetime) -> None:
    """The papers, their hashes in the row and in the journal: from here on it never changes."""
    hashes = {f"{kind}_sha256": digest(getattr(made, kind)) for kind in ("pdf", "xml", "ubl")}
    with transaction.atomic():
        taken = Invoice.objects.of(scope).filter(pk=row.pk, sealed=False).update(
            sealed=True, rules_fired=made.rules_fired, trouble="", **hashes
        )  # fmt: skip
        if not taken:
            return
        Paper.objects.bulk_create(
            Paper(invoice=row, kind=kind, data=getattr(made, kind)) for kind in ("pdf", "xml", "ubl")
        )
        seq = append(
            "invoice.issued", client=row.client_id, subject=row.pk, actor=scope.actor, at=now,
            body={"number": row.number, "total_minor": row.total_minor, "currency": row.currency,
                  "content_sha256": row.content_sha256, **hashes},
        )  # fmt: skip
        Invoice.objects.of(scope).filter(pk=row.pk).update(seq=seq)


@contextmanager
def _maker(workers: int) -> Iterator[Callable[[list[str]], Iterator[Papers | str]]]:
    """Makes papers here, or in so many processes of their own. The checker of EN 16931 ends the process that
    calls it from a second thread, so a thread of the web never makes papers itself."""
    if workers <= 1 and current_thread() is main_thread():
        yield lambda texts: map(made_or_why, texts)
        return
    with ProcessPoolExecutor(max(workers, 1), mp_context=get_context("spawn")) as pool:
        yield lambda texts: pool.map(made_or_why, texts)


def _note(scope: Scope, what: str, run: Run, now: datetime, body: dict[str, Any]) -> None:
    append(f"billing.{what}", subject=run.pk, actor=scope.actor, at=now, body={"period": run.period, **body})
