"""What accounting changes beside a run: prices, rates, terms, payments, mail and reminders."""

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from forestall.agreements import actions as agreeing
from forestall.agreements import queries as agreements
from forestall.agreements.actions import CATEGORIES
from forestall.agreements.calendar import month_of
from forestall.agreements.checks import LANGUAGES, Wrong
from forestall.agreements.values import BASIS_TITLES, PRORATION_TITLES, UPLIFT_TITLES, Bill, Life, Terms
from forestall.estate.models import Client
from forestall.estate.tenancy import Scope
from forestall.estate.values import ASSET_KINDS
from forestall.invoices import actions, queries, sending
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import new_id
from forestall.mail.sending import hand_over
from forestall.web.access.gate import needs
from forestall.web.console.billing_forms import (
    FIELDS,
    PERCENT_DIGITS,
    ROWS,
    Read,
    by_field,
    fits_form,
    rates_given,
    terms_given,
    terms_shown,
)
from forestall.web.console.common import Asked, attempt, seen_or_404

MONTHS_TRIED = 12


def by_mail(mail: EmailMessage, sender: str, to: list[str]) -> None:
    """Through the installation's mail server."""
    hand_over(settings.CONFIG.mail, mail, sender=sender, to=to)


def sender() -> str:
    """From whom invoices come."""
    return str(settings.CONFIG.mail.sender)


def tried_on(scope: Scope, client: Client, terms: Terms) -> list[tuple[str, Bill | None, Any]]:
    """What these terms would have cost in each of the last twelve months."""
    now = month_of(timezone.now().date())
    months = [now.moved(-back) for back in range(MONTHS_TRIED, 0, -1)]
    life = Life(months[0].first.replace(year=months[0].year - 1))
    found = agreements.simulate(scope, client, terms, life, months)
    return [(str(month), one if isinstance(one, Bill) else None, one) for month, one in found]


def form_context(scope: Scope, given: Mapping[str, Any], wrong: Mapping[str, str]) -> dict[str, Any]:
    """What the form of terms shows."""
    tables = agreements.list_tax_tables(scope)
    return {
        "nav": "billing", "given": given, "wrong": wrong, "wrongs": list(wrong.values()),
        "titles": BASIS_TITLES,
        "rows": [
            {name: (f"{name}_{row}", given.get(f"{name}_{row}", ""), wrong.get(f"{name}_{row}", ""))
             for name in FIELDS}
            for row in range(ROWS)
        ],
        "kinds": ASSET_KINDS, "prorations": PRORATION_TITLES, "uplifts": UPLIFT_TITLES,
        "languages": LANGUAGES, "book": agreements.price_book(scope),
        "codes": [rate.code for rate in agreements.rates_of(tables[0]).rates] if tables else [],
    }  # fmt: skip


@needs("billing:read")
def agreement_change(request: Asked, agreement: str) -> HttpResponse:
    """Other terms from a day on: the form begins with those that hold last."""
    row = seen_or_404(lambda: agreements.find_agreement(request.scope, agreement))
    if "billing:write" not in request.rights:
        raise PermissionDenied("this needs the right billing:write; ask an owner of your installation for it")
    last = agreements.terms_in(agreements.versions_of(request.scope, row)[-1].terms)
    if not fits_form(last):
        messages.error(request, "These terms hold more than the form can show: change them through the API.")
        return redirect("agreement", agreement=row.pk)
    given: Mapping[str, Any] = request.POST if request.method == "POST" else terms_shown(last)
    wrong, tried = dict[str, str](), []
    if request.method == "POST":
        try:
            terms, _, _ = terms_given(given)
            read = Read(given)
            from_on = read.day("from_on")
            if read.wrong:
                raise Wrong(read.wrong)
            if given.get("do") == "try":
                tried = tried_on(request.scope, row.client, terms)
            else:
                agreeing.add_version(
                    request.scope, row, from_on=from_on, terms=terms, because=str(given.get("because", "")),
                    now=timezone.now(),
                )  # fmt: skip
                messages.success(request, f"Other terms hold from {from_on}.")
                return redirect("agreement", agreement=row.pk)
        except Wrong as error:
            wrong = by_field(error.fields)
        except Trouble as trouble:
            wrong = {"from_on": str(trouble)}
    context = form_context(request.scope, given, wrong) | {"agreement": row, "tried": tried}
    return render(request, "console/agreement_new.html", context, status=400 if wrong else 200)


@needs("billing:write")
def agreement_end(request: Asked, agreement: str) -> HttpResponse:
    """Its last day."""
    row = seen_or_404(lambda: agreements.find_agreement(request.scope, agreement))

    def act() -> None:
        day = Read(request.POST).day("ends_on")
        if day is None:
            raise Trouble("there is no last day", "Write it as 2026-11-30.")
        agreeing.end_agreement(request.scope, row, on=day, now=timezone.now())

    attempt(request, act, "Its last day is set.")
    return redirect("agreement", agreement=row.pk)


@needs("billing:read")
def prices_page(request: Asked) -> HttpResponse:
    """Price book, tax rates by date, price indices."""
    return _prices(request, {}, {})


@needs("billing:write")
def price_put(request: Asked) -> HttpResponse:
    """An entry of the price book."""

    def act(read: Read) -> None:
        currency = read.text("currency") or "EUR"
        agreeing.put_price(
            request.scope, key=read.text("key"), name=read.text("name"), basis=read.text("basis"),
            currency=currency, price_minor=read.amount("price", currency), tax=read.text("tax"),
            kinds=[read.text("kind")] if read.text("kind") else [], now=timezone.now(),
        )  # fmt: skip

    return _changed(request, act, "The price is in the book. Agreements keep what was agreed.")


@needs("billing:write")
def rates_add(request: Asked) -> HttpResponse:
    """A version of the tax rates, not signed off yet."""

    def act(read: Read) -> None:
        day = read.day("from_on")
        if day is None:
            raise Wrong({"from_on": "say from which day the rates hold", **read.wrong})
        agreeing.add_tax_table(
            request.scope, version=read.text("version"), from_on=day, now=timezone.now(),
            rates=rates_given(read.text("rates")),
        )  # fmt: skip

    return _changed(request, act, "The rates are written down. They bill nothing before they are signed off.")


@needs("billing:write")
def index_put(request: Asked) -> HttpResponse:
    """A year's rise of consumer prices."""

    def act(read: Read) -> None:
        percent = read.amount("percent", PERCENT_DIGITS)
        if read.wrong or not read.text("percent"):
            raise Wrong(read.wrong or {"percent": "write the rise in percent, for example 2.20"})
        agreeing.put_index(
            request.scope, year=read.whole("year"), percent=percent, source=read.text("source"),
            now=timezone.now(),
        )  # fmt: skip

    return _changed(request, act, "The index is entered.")


def _changed(request: Asked, act: Any, done: str) -> HttpResponse:
    try:
        act(Read(request.POST))
    except Wrong as error:
        return _prices(request, request.POST, error.fields)
    except Trouble as trouble:
        messages.error(request, str(trouble))
    else:
        messages.success(request, done)
    return redirect("prices")


def _prices(request: Asked, given: Mapping[str, Any], wrong: Mapping[str, str]) -> HttpResponse:
    tables = agreements.list_tax_tables(request.scope)
    context = {
        "nav": "billing", "given": given, "wrong": wrong, "book": agreements.price_book(request.scope),
        "tables": [(one, agreements.rates_of(one).rates) for one in tables[:20]],
        "indices": sorted(agreements.indices(request.scope).items(), reverse=True),
        "titles": BASIS_TITLES, "kinds": ASSET_KINDS, "categories": CATEGORIES,
    }  # fmt: skip
    return render(request, "console/billing_prices.html", context, status=400 if wrong else 200)


@needs("billing:write")
def run_send(request: Asked, billing: str) -> HttpResponse:
    """Mail the documents of a run."""
    run = seen_or_404(lambda: queries.find_run(request.scope, billing))

    def act() -> None:
        gone, not_sent = sending.send_run(
            request.scope, run, now=timezone.now(), send=by_mail, sender=sender()
        )
        messages.success(request, f"{gone} documents were mailed.")
        for one in not_sent:
            messages.error(request, f"Not mailed: {one}")

    attempt(request, act)
    return redirect("billing-run", billing=run.pk)


@needs("billing:write")
def invoice_send(request: Asked, invoice: str) -> HttpResponse:
    """Mail one document."""
    row = seen_or_404(lambda: queries.find_invoice(request.scope, invoice))
    now = timezone.now()
    attempt(
        request, lambda: sending.send_invoice(request.scope, row, now=now, send=by_mail, sender=sender()),
        "It was mailed.",
    )  # fmt: skip
    return redirect("invoice", invoice=row.pk)


@needs("billing:write")
def invoice_pay(request: Asked, invoice: str) -> HttpResponse:
    """A payment that a person tells: a new one, or one that waits."""
    row = seen_or_404(lambda: queries.find_invoice(request.scope, invoice))
    waiting = request.POST.get("payment", "")
    known = seen_or_404(lambda: queries.find_payment(request.scope, waiting)) if waiting else None

    def act() -> None:
        now = timezone.now()
        if known is not None:
            if not actions.settle(request.scope, known, row, now=now):
                raise Trouble("the payment settles nothing of it", "See its currency, and what is open.")
            return
        read = Read(request.POST)
        on, amount = read.day("on") or now.date(), read.amount("amount", row.currency)
        if read.wrong or amount <= 0:
            raise Trouble("; ".join(read.wrong.values()) or "a payment is above nothing", "Write the sum.")
        actions.take_payment(
            request.scope, key=read.text("key")[:40] or new_id(), source="hand", on=on, currency=row.currency,
            amount_minor=amount, client=row.client_id, payer=row.agreement.buyer_name,
            text=read.text("text"), invoices=[row.pk], now=now,
        )  # fmt: skip

    attempt(request, act, "The payment is written down.")
    return redirect("invoice", invoice=row.pk)


@needs("billing:write")
def dunning(request: Asked) -> HttpResponse:
    """Reminders that are due, and late fees that were agreed."""

    def act() -> None:
        now = timezone.now()
        sending.remind(request.scope, today=now.date(), now=now)
        fees = actions.charge_late_fees(request.scope, today=now.date(), now=now)
        gone, not_sent = sending.send_reminders(request.scope, now=now, send=by_mail, sender=sender())
        messages.success(request, f"{gone} reminders were mailed, {len(fees)} late fees are issued.")
        for one in not_sent:
            messages.error(request, f"Not mailed: {one}")

    attempt(request, act)
    return redirect("open-items")
