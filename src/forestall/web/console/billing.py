"""The pages of billing: agreements, a month's run, a document, open items. They know nothing of tickets."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.agreements import actions as agreeing
from forestall.agreements import queries as agreements
from forestall.agreements.calendar import month_of, read_month
from forestall.agreements.checks import Wrong, check_terms
from forestall.agreements.values import BASIS_TITLES, PRORATION_TITLES, UPLIFT_TITLES
from forestall.estate.queries import client_called, find_client
from forestall.invoices import actions, queries
from forestall.invoices.bank import BODY_MAX_BYTES, read_statement
from forestall.invoices.exports import DIALECTS, ledger, quickbooks, xero
from forestall.invoices.runs import approve, issue, open_run, reckon
from forestall.invoices.values import RunState, to_content
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import new_id
from forestall.web.access.gate import needs
from forestall.web.console.billing_changes import form_context, sender, tried_on
from forestall.web.console.billing_credits import proposals
from forestall.web.console.billing_forms import by_field, terms_given
from forestall.web.console.common import Asked, attempt, seen_or_404

PAGE = 100
DOCUMENTS_AT_ONCE = 200  # more are issued from the shell, with progress
STEPS = {"reckon": reckon, "approve": approve, "issue": issue}
PAPERS = {
    "pdf": ("application/pdf", "pdf"),
    "xml": ("application/xml", "xml"),
    "ubl": ("application/xml", "ubl.xml"),
}


@needs("billing:read")
def agreement_list(request: Asked) -> HttpResponse:
    """Agreements by number."""
    words = request.GET.get("q", "")[:200]
    rows = agreements.list_agreements(
        request.scope, words=words, after=request.GET.get("after", "")[:20], limit=PAGE + 1
    )
    context = {"nav": "billing", "rows": rows[:PAGE], "q": words}
    context["next"] = rows[PAGE - 1].number if len(rows) > PAGE else ""
    return render(request, "console/agreements.html", context)


@needs("billing:read")
def agreement_page(request: Asked, agreement: str) -> HttpResponse:
    """One agreement: its versions, what it was billed, when it goes on."""
    row = seen_or_404(lambda: agreements.find_agreement(request.scope, agreement))
    versions = agreements.versions_of(request.scope, row)
    context = {
        "nav": "billing",
        "agreement": row,
        "versions": [(one, agreements.terms_in(one.terms)) for one in reversed(versions)],
        "renewal": agreements.renewals(request.scope, row, timezone.now().date()),
        "invoices": [
            one for one in queries.list_invoices(request.scope, client=row.client_id, limit=PAGE)
            if one.agreement_id == row.pk
        ],
        "titles": BASIS_TITLES, "prorations": PRORATION_TITLES, "uplifts": UPLIFT_TITLES,
        "credits": agreements.list_credits(request.scope, agreement=row.pk, limit=PAGE),
        "currency": agreements.terms_in(versions[-1].terms).currency,
    }  # fmt: skip
    return render(request, "console/agreement.html", context)


@needs("billing:write")
def agreement_new(request: Asked) -> HttpResponse:
    """The form of an agreement; it can be tried against the last twelve months before it is made."""
    given, wrong, tried = request.POST, dict[str, str](), []
    if request.method == "POST":
        try:
            terms, starts_on, ends_on = terms_given(given)
            client = client_called(request.scope, given.get("client", ""))
            if given.get("do") == "try":
                if bad := check_terms(terms):
                    raise Wrong(bad)
                tried = tried_on(request.scope, client, terms)
            else:
                row = agreeing.add_agreement(
                    request.scope, client=client.pk, name=given.get("name", ""), starts_on=starts_on,
                    ends_on=ends_on, terms=terms, buyer=given.dict(), email=given.get("email", ""),
                    now=timezone.now(),
                )  # fmt: skip
                messages.success(request, f"{row.number} is made. The next run bills it.")
                return redirect("agreement", agreement=row.pk)
        except Wrong as error:
            wrong = by_field(error.fields)
        except Trouble as trouble:
            wrong = {"client": str(trouble)}
    chosen = find_client(request.scope, request.GET.get("client", ""))
    context = form_context(request.scope, given, wrong) | {
        "tried": tried, "client_name": given.get("client") or (chosen.name if chosen else ""),
    }  # fmt: skip
    return render(request, "console/agreement_new.html", context, status=400 if wrong else 200)


@needs("billing:read")
def billing_page(request: Asked) -> HttpResponse:
    """Runs by month, and what is open."""
    context = {
        "nav": "billing",
        "runs": [
            (run, queries.sum_of_drafts(request.scope, run)) for run in queries.list_runs(request.scope)[:24]
        ],
        "open": queries.balances(request.scope, open_only=True),
        "month": str(month_of(timezone.now().date())),
        "seller": queries.seller_or_none(request.scope),
        "tables": agreements.list_tax_tables(request.scope)[:5],
    }
    return render(request, "console/billing.html", context)


@needs("billing:write")
def billing_open(request: Asked) -> HttpResponse:
    """Make the month's run, and reckon it."""
    found = []

    def act() -> None:
        run = open_run(request.scope, request.POST.get("month", ""), now=timezone.now())
        found.append(run)
        if run.state == RunState.DRAFT:
            reckon(request.scope, run, now=timezone.now())

    if attempt(request, act):
        return redirect("billing-run", billing=found[0].pk)
    return redirect("billing")


@needs("billing:read")
def billing_run(request: Asked, billing: str) -> HttpResponse:
    """A run: each agreement with its differences to last month by name, and what to do next."""
    run = seen_or_404(lambda: queries.find_run(request.scope, billing))
    start = request.GET.get("start", "")
    begin = min(int(start), 1_000_000) if start.isdecimal() else 0
    drafts = queries.drafts_of(request.scope, run, start=begin, limit=PAGE + 1)
    context = {
        "nav": "billing", "run": run, "drafts": drafts[:PAGE],
        "sums": queries.sum_of_drafts(request.scope, run),
        "next": begin + PAGE if len(drafts) > PAGE else None,
        "troubled": queries.count_troubled(request.scope, run),
        "balances": queries.balances(request.scope, run=run.pk),
        "sender": sender(),
        "to_send": queries.count_unsent(request.scope, run),
        "invoices": {one.agreement_id: one for one in queries.list_invoices(request.scope, run=run.pk)},
        "mismatches": agreements.billed_and_watched(request.scope, read_month(run.period))[:PAGE]
        if run.state == RunState.DRAFT else [],
        "proposals": proposals(request.scope, now=timezone.now())[:PAGE]
        if run.state == RunState.DRAFT else [],
    }  # fmt: skip
    return render(request, "console/billing_run.html", context)


@needs("billing:write")
def billing_step(request: Asked, billing: str, what: str) -> HttpResponse:
    """Reckon anew, approve, or issue."""
    run = seen_or_404(lambda: queries.find_run(request.scope, billing))
    if what not in STEPS:
        raise Http404

    def act() -> None:
        count = sum(one["count"] for one in queries.sum_of_drafts(request.scope, run))
        if what == "issue" and count > DOCUMENTS_AT_ONCE:
            raise Trouble(f"{count} documents take minutes", f"Run: forestall bill run {run.period}")
        STEPS[what](request.scope, run, now=timezone.now())

    said = {"reckon": "Reckoned anew.", "approve": "The figures are frozen.", "issue": "Issued."}
    attempt(request, act, said[what])
    return redirect("billing-run", billing=run.pk)


@needs("billing:read")
def invoice_page(request: Asked, invoice: str) -> HttpResponse:
    """A document with its lines, papers, seal and payments."""
    row = seen_or_404(lambda: queries.find_invoice(request.scope, invoice))
    context: dict[str, Any] = {
        "nav": "billing",
        "invoice": row,
        "content": to_content(row.content),
        "credited": getattr(row, "credited_by", None),
        "payments": [
            one
            for one in queries.waiting_payments(request.scope)
            if one.currency == row.currency and one.client_id in (None, row.client_id)
        ][:PAGE],
        "settled": queries.settled_of(request.scope, row),
        "key": new_id(),
        "today": timezone.now().date(),
        "can_mail": bool(row.agreement.email),
    }
    return render(request, "console/invoice.html", context)


@needs("billing:read")
def invoice_paper(request: Asked, invoice: str, paper: str) -> HttpResponse:
    """The bytes of a document, as they were issued."""
    row = seen_or_404(lambda: queries.find_invoice(request.scope, invoice))
    data = queries.paper_of(request.scope, row, paper) if paper in PAPERS else None
    if data is None:
        raise Http404
    kind, ending = PAPERS[paper]
    name = f'attachment; filename="{row.number}.{ending}"'
    return HttpResponse(data, content_type=kind, headers={"Content-Disposition": name})


@needs("billing:write")
def invoice_credit(request: Asked, invoice: str) -> HttpResponse:
    """Take an invoice back with a credit note."""
    row = seen_or_404(lambda: queries.find_invoice(request.scope, invoice))
    because = request.POST.get("because", "")
    attempt(
        request, lambda: actions.credit(request.scope, row, because=because, now=timezone.now()), "Credited."
    )
    return redirect("invoice", invoice=row.pk)


@needs("billing:read")
def open_items(request: Asked) -> HttpResponse:
    """What is not paid yet, payments that wait for a person, and the bank's statement."""
    today = timezone.now().date()
    context = {
        "nav": "billing",
        "rows": queries.list_invoices(request.scope, open_only=True, limit=PAGE),
        "balances": queries.balances(request.scope, open_only=True),
        "payments": queries.waiting_payments(request.scope)[:PAGE],
        "today": today,
        "dialects": DIALECTS,
    }
    return render(request, "console/open_items.html", context)


@needs("billing:write")
def statement_take(request: Asked) -> HttpResponse:
    """A bank statement: what it settles, what waits."""
    file = request.FILES.get("statement")

    def act() -> None:
        if file is None or file.size is None or file.size > BODY_MAX_BYTES:
            raise Trouble("there is no statement", f"Choose a file of at most {BODY_MAX_BYTES >> 20} MB.")
        entries = read_statement(file.read(), currency=request.POST.get("currency", "EUR"))
        found = actions.take_statement(request.scope, entries, now=timezone.now())
        messages.success(
            request,
            f"{found.taken} payments are new, {found.known} were known, {found.settled} settled an invoice,"
            f" {found.waiting} wait for you.",
        )

    attempt(request, act)
    return redirect("open-items")


@needs("billing:read")
def books_export(request: Asked, dialect: str) -> HttpResponse:
    """The books for a bookkeeping program."""
    documents = queries.booked(request.scope)
    made: dict[str, Any] = {"quickbooks": quickbooks, "xero": xero}
    if dialect in made:
        text, ending = made[dialect](documents), "csv"
    elif dialect in DIALECTS:
        text, ending = ledger(documents, queries.paid(request.scope), dialect=dialect), "ledger"
    else:
        raise Http404
    name = f'attachment; filename="{dialect}.{ending}"'
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers={"Content-Disposition": name})


@needs("billing:write")
def seller_save(request: Asked) -> HttpResponse:
    """Who sends the invoices."""
    attempt(
        request, lambda: actions.save_seller(request.scope, request.POST.dict(), now=timezone.now()), "Saved."
    )
    return redirect("billing")


@needs("billing:write")
def rates_sign(request: Asked, tax_table: str) -> HttpResponse:
    """Vouch for a table of tax rates."""
    table = seen_or_404(lambda: agreements.find_tax_table(request.scope, tax_table))
    attempt(request, lambda: agreeing.sign_tax_table(request.scope, table, now=timezone.now()), "Signed off.")
    return redirect("billing")
