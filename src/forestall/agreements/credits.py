"""One-off credits: agreed money back on the next bill, each once for what it is given for."""

from datetime import datetime

from django.db import IntegrityError, transaction

from forestall.agreements.calendar import month_of
from forestall.agreements.checks import Wrong
from forestall.agreements.models import Agreement, Credit
from forestall.agreements.money import AMOUNT_MAX
from forestall.agreements.queries import terms_by_agreement
from forestall.agreements.values import NAME_MAX_CHARS, NOTE_MAX_CHARS
from forestall.estate.tenancy import Scope
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

WAITING_MAX = 100  # of one agreement


def give_credit(
    scope: Scope,
    agreement: Agreement,
    *,
    name: str,
    note: str,
    amount_minor: int,
    now: datetime,
    about: str = "",
) -> Credit:
    """A line less on the next bill whose fee is high enough, in the agreement's currency, taxed as its first
    part. `about` names what it is for: only one credit of an agreement is about the same. Raises Wrong."""
    wrong: dict[str, str] = {}
    if not 0 < amount_minor <= AMOUNT_MAX:
        wrong["amount"] = "a credit is above nothing: write it without a sign"
    if not name.strip():
        wrong["name"] = "say what it is for: it stands on the invoice"
    terms = terms_by_agreement(scope, [agreement], month_of(now.date())).get(agreement.pk)
    if terms is None or not terms.items:
        wrong["amount"] = "the agreement bills nothing this month that it could be taken off"
    if wrong or terms is None:
        raise Wrong(wrong)
    with transaction.atomic():
        row = Agreement.objects.of(scope).select_for_update().get(pk=agreement.pk)
        if Credit.objects.of(scope).filter(agreement=row, billed_in="").count() >= WAITING_MAX:
            raise Wrong({"amount": f"{WAITING_MAX} credits wait already: take some back"})
        credit = Credit(
            client_id=row.client_id, agreement=row, about=about[:80], amount_minor=amount_minor,
            name=" ".join(name.split())[:NAME_MAX_CHARS], note=" ".join(note.split())[:NOTE_MAX_CHARS],
            tax=terms.items[0].tax, made_at=now, made_by=scope.actor,
        )  # fmt: skip
        try:
            with transaction.atomic():
                credit.save(force_insert=True)
        except IntegrityError as error:
            raise Wrong({"name": "this was credited already, or is waiting for the next bill"}) from error
        _note(scope, "given", credit, now)
    return credit


def take_back_credit(scope: Scope, credit: Credit, *, now: datetime) -> None:
    """It is not given after all. Raises Trouble when a bill has it."""
    with transaction.atomic():
        row = Credit.objects.of(scope).select_for_update().get(pk=credit.pk)
        if row.billed_in:
            raise Trouble(f"it was billed in {row.billed_in}", "What was approved stays.")
        _note(scope, "taken_back", row, now)
        row.delete()


def settle_credits(scope: Scope, period: str, billed: set[str]) -> None:
    """The figures of a month are frozen: these credits are in them. Inside the caller's transaction."""
    Credit.objects.of(scope).filter(pk__in=billed, billed_in="").update(billed_in=period)


def _note(scope: Scope, what: str, row: Credit, now: datetime) -> None:
    body = {"credit": row.pk, "amount_minor": row.amount_minor, "about": row.about}
    append(f"agreement.credit_{what}", client=row.client_id, subject=row.agreement_id, actor=scope.actor,
           at=now, body=body)  # fmt: skip
