"""Mail of billing: issued documents, and reminders of what is overdue. Each goes once; a mail whose sending
was cut off goes again after ten minutes, under the same Message-ID."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from forestall.agreements.money import written
from forestall.estate.tenancy import Scope
from forestall.invoices.models import Invoice, Paper, Reminder, Run
from forestall.invoices.values import Kind, RunState
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.mail.sending import NotSent

REMINDERS = (7, 14, 28)  # days after the due day
SENDING_LEASE = timedelta(minutes=10)
OPEN_MAX = 5_000
SAID_MAX = 20
Send = Callable[[EmailMessage, str, list[str]], None]
"""Hands a mail to a server: the mail, the envelope's sender, its recipients. Raises NotSent or OSError."""

TITLES = {Kind.INVOICE: "Invoice", Kind.CREDIT: "Credit note", Kind.LATE_FEE: "Invoice"}


def send_run(scope: Scope, run: Run, *, now: datetime, send: Send, sender: str) -> tuple[int, list[str]]:
    """Mail every document of an issued run that was not sent; how many went, and what did not."""
    run = Run.objects.get(pk=run.pk)
    if run.state not in (RunState.ISSUED, RunState.SENT):
        raise Trouble(f"the run of {run.period} is {run.state}", "Issue it first.")
    rows = Invoice.objects.of(scope).filter(run=run, sealed=True, sent_at=None)
    gone, not_sent = _send_all(scope, rows, now=now, send=send, sender=sender)
    if not not_sent and not rows.exists():
        with transaction.atomic():
            if Run.objects.filter(pk=run.pk, state=RunState.ISSUED).update(state=RunState.SENT):
                body = {"period": run.period}
                append("billing.run_sent", subject=run.pk, actor=scope.actor, at=now, body=body)
    return gone, not_sent


def send_invoice(scope: Scope, invoice: Invoice, *, now: datetime, send: Send, sender: str) -> bool:
    """Mail one document, a credit note or a late fee too; False when it was sent before. Raises Trouble."""
    rows = Invoice.objects.of(scope).filter(pk=invoice.pk, sealed=True, sent_at=None)
    gone, not_sent = _send_all(scope, rows, now=now, send=send, sender=sender)
    if not_sent:
        raise Trouble(f"it was not sent: {not_sent[0]}", "Mend it, and send it again.")
    return gone > 0


def remind(scope: Scope, *, today: date, now: datetime) -> list[Reminder]:
    """The reminders that are due, each level of each invoice once; `send_reminders` mails them."""
    made = []
    rows = Invoice.objects.of(scope).filter(open_minor__gt=0, sealed=True, due_on__lt=today)
    for row in rows.exclude(kind=Kind.CREDIT).order_by("due_on")[:OPEN_MAX]:
        level = sum(1 for days in REMINDERS if row.due_on + timedelta(days=days) <= today)
        if not level:
            continue
        with transaction.atomic():
            found, new = Reminder.objects.get_or_create(invoice=row, level=level, defaults={"at": now})
            if new:
                append("invoice.reminded", client=row.client_id, subject=row.pk, actor=scope.actor, at=now,
                       body={"number": row.number, "level": level})  # fmt: skip
                made.append(found)
    return made


def send_reminders(scope: Scope, *, now: datetime, send: Send, sender: str) -> tuple[int, list[str]]:
    """Mail the reminders that were not mailed and whose invoice is still open; how many, and what was not."""
    gone, not_sent = 0, list[str]()
    mine = Invoice.objects.of(scope).filter(open_minor__gt=0)
    rows = Reminder.objects.filter(invoice__in=mine, sent_at=None)
    for row in rows.select_related("invoice__agreement").order_by("pk")[:OPEN_MAX]:
        if not row.invoice.agreement.email:
            not_sent.append(f"{row.invoice.number}: the agreement has no address")
            continue
        free = Q(sending_at=None) | Q(sending_at__lt=now - SENDING_LEASE)
        if not Reminder.objects.filter(free, pk=row.pk, sent_at=None).update(sending_at=now):
            continue
        try:
            send(_reminder(row, sender), sender, [row.invoice.agreement.email])
        except (NotSent, OSError) as error:
            Reminder.objects.filter(pk=row.pk).update(sending_at=None)
            not_sent.append(f"{row.invoice.number}: {error}")
            continue
        Reminder.objects.filter(pk=row.pk).update(sent_at=now)
        gone += 1
    return gone, not_sent[:SAID_MAX]


def _send_all(
    scope: Scope, rows: "QuerySet[Any]", *, now: datetime, send: Send, sender: str
) -> tuple[int, list[str]]:
    gone, not_sent = 0, list[str]()
    keys = list(rows.order_by("series", "index").values_list("pk", flat=True))
    for key in keys:
        row = Invoice.objects.of(scope).select_related("agreement").get(pk=key)
        if not row.agreement.email:
            not_sent.append(f"{row.number}: the agreement has no address")
            continue
        free = Q(sending_at=None) | Q(sending_at__lt=now - SENDING_LEASE)
        if not Invoice.objects.of(scope).filter(free, pk=key, sent_at=None).update(sending_at=now):
            continue
        try:
            send(_mail(row, sender), sender, [row.agreement.email])
        except (NotSent, OSError) as error:
            # the server said that it did not take it, so nothing has to be waited for
            Invoice.objects.of(scope).filter(pk=key).update(sending_at=None)
            not_sent.append(f"{row.number}: {error}")
            continue
        with transaction.atomic():
            Invoice.objects.of(scope).filter(pk=key).update(sent_at=now)
            append("invoice.sent", client=row.client_id, subject=key, actor=scope.actor, at=now,
                   body={"number": row.number, "to": row.agreement.email})  # fmt: skip
        gone += 1
    return gone, not_sent[:SAID_MAX]


def _headed(row: Invoice, sender: str, *, subject: str, name: str) -> EmailMessage:
    """A mail's head; all mails of an agreement are one thread."""
    domain = sender.rpartition("@")[2].rstrip("> ") or "localhost"
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, row.agreement.email
    mail["Subject"] = " ".join(subject.split())
    mail["Message-ID"] = f"<{name}@{domain}>"
    mail["References"] = mail["In-Reply-To"] = f"<agreement.{row.agreement_id.lower()}@{domain}>"
    return mail


def _mail(row: Invoice, sender: str) -> EmailMessage:
    """A document with its papers."""
    title = TITLES[Kind(row.kind)]
    subject = f"{title} {row.number} · {row.agreement.name} · {row.period}"
    mail = _headed(row, sender, subject=subject, name=f"invoice.{row.pk.lower()}")
    due = "" if row.kind == Kind.CREDIT else f" It is due on {row.due_on}."
    mail.set_content(
        f"{title} {row.number} over {written(row.total_minor, row.currency)} {row.currency} is attached as"
        f" PDF, with the e-invoice inside, and as UBL.{due}\n"
    )
    for paper in Paper.objects.filter(invoice=row, kind__in=("pdf", "ubl")).order_by("kind"):
        pdf = paper.kind == "pdf"
        mail.add_attachment(
            bytes(paper.data), maintype="application", subtype="pdf" if pdf else "xml",
            filename=f"{row.number}.{'pdf' if pdf else 'ubl.xml'}",
        )  # fmt: skip
    return mail


def _reminder(reminder: Reminder, sender: str) -> EmailMessage:
    row = reminder.invoice
    subject = f"Reminder {reminder.level}: {row.number} · {row.agreement.name}"
    mail = _headed(row, sender, subject=subject, name=f"reminder.{reminder.level}.{row.pk.lower()}")
    mail.set_content(
        f"{row.number} was due on {row.due_on}. {written(row.open_minor, row.currency)} {row.currency} of it"
        " is still open. If you paid it meanwhile, nothing is left to do.\n"
    )
    for paper in Paper.objects.filter(invoice=row, kind="pdf"):
        mail.add_attachment(
            bytes(paper.data), maintype="application", subtype="pdf", filename=f"{row.number}.pdf"
        )
    return mail
