"""Money back on the next bill: what somebody gives by hand, and what overdue proofs of backups propose."""

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from forestall.agreements import queries as agreements
from forestall.agreements.calendar import month_of
from forestall.agreements.credits import give_credit, take_back_credit
from forestall.agreements.models import Agreement
from forestall.agreements.money import read_amount
from forestall.backups.models import BackupPlan
from forestall.backups.queries import OverdueProof, creditable_proofs
from forestall.estate.tenancy import Scope
from forestall.invoices import queries
from forestall.kernel.errors import Trouble
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, seen_or_404

PROPOSALS_MAX = 500  # on one page; the next ones follow when these are given


@dataclass(frozen=True, slots=True)
class Proposal:
    """A credit for a restore that was not proved in time. `agreement` None: the client has none now."""

    plan: BackupPlan
    agreement: Agreement | None
    currency: str
    amount_minor: int
    about: str
    name: str
    note: str


def proposals(scope: Scope, *, now: datetime) -> list[Proposal]:
    """What overdue proofs propose and nobody has credited yet, one for a plan, the most overdue first."""
    worst: dict[str, OverdueProof] = {}
    for late in creditable_proofs(scope, now=now):
        worst.setdefault(late.plan.pk, late)
    abouts = {key: f"proof:{key}:{late.due_at:%Y-%m-%d}" for key, late in worst.items()}
    done = agreements.credited_about(scope, list(abouts.values()))
    month = month_of(now.date())
    found: list[Proposal] = []
    running = {one.client_id: one for one in reversed(agreements.running_in(scope, month))}
    terms = agreements.terms_by_agreement(scope, list(running.values()), month)
    for key, late in worst.items():
        if abouts[key] in done:
            continue
        if len(found) == PROPOSALS_MAX:
            break
        owner = running.get(late.plan.client_id)
        agreed = terms.get(owner.pk) if owner else None
        last = (
            f"the last one was proved on {late.proved_at:%Y-%m-%d}"
            if late.proved_at
            else "none was proved yet"
        )
        found.append(
            Proposal(
                late.plan, owner if agreed else None, agreed.currency if agreed else "", late.credit_minor,
                abouts[key], name=f"Fee credit: restore of {late.plan.name} not proved in time",
                note=f"{late.plan.asset.name}: a restore was to be proved by {late.due_at:%Y-%m-%d}; {last}.",
            )
        )  # fmt: skip
    return found


@needs("billing:write")
def credit_give(request: Asked, agreement: str) -> HttpResponse:
    """By hand, or what a plan proposes (`about`)."""
    row = seen_or_404(lambda: agreements.find_agreement(request.scope, agreement))
    about, now = request.POST.get("about", "")[:80], timezone.now()

    def act() -> None:
        if about:
            one = next(
                (
                    one
                    for one in proposals(request.scope, now=now)
                    if one.about == about and one.agreement == row
                ),
                None,
            )
            if one is None:
                raise Trouble("this is not proposed any more", "It was credited, or the restore was proved.")
            name, note, amount = one.name, one.note, one.amount_minor
        else:
            last = agreements.terms_in(agreements.versions_of(request.scope, row)[-1].terms)
            name, note = request.POST.get("name", ""), request.POST.get("note", "")
            amount = read_amount(request.POST.get("amount", ""), last.currency)
        give_credit(request.scope, row, name=name, note=note, amount_minor=amount, about=about, now=now)

    attempt(request, act, "It is taken off the next bill; a run that is a draft needs to be reckoned anew.")
    if run := queries.find_run(request.scope, request.POST.get("run", "")):
        return redirect("billing-run", billing=run.pk)
    return redirect("agreement", agreement=row.pk)


@needs("billing:write")
def credit_take_back(request: Asked, credit: str) -> HttpResponse:
    """Not given after all."""
    row = seen_or_404(lambda: agreements.find_credit(request.scope, credit))
    attempt(request, lambda: take_back_credit(request.scope, row, now=timezone.now()), "It is taken back.")
    return redirect("agreement", agreement=row.agreement_id)
