"""A billing run from its preview to the books: numbers, bytes, credit notes, payments, late fees."""

import os
import signal
import subprocess
import sys
from datetime import date, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, connection

from billing_seed import NOW, SELLER, contact, issued, small_provider, terms
from estate_factories import EVERYTHING
from forestall.agreements.actions import add_version
from forestall.agreements.checks import Wrong
from forestall.agreements.credits import give_credit, take_back_credit
from forestall.agreements.values import LateFee
from forestall.invoices import actions, queries, sending
from forestall.invoices.bank import read_statement
from forestall.invoices.models import Draft, Invoice, Paper, Payment, Run, Series
from forestall.invoices.runs import approve, bill_in, issue, open_run, reckon
from forestall.invoices.values import Kind, RunState, to_content
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db
CSV = "date;amount;text;payer\n30.11.2026;{amount};Thank you {number};Client 0 Ltd\n"


def test_a_run_numbers_without_gaps_and_seals_with_the_journal() -> None:
    run = issued()
    rows = list(Invoice.objects.order_by("index"))
    assert run.state == RunState.ISSUED and [row.number for row in rows] == [
        "INV-2026-00001", "INV-2026-00002", "INV-2026-00003",
    ]  # fmt: skip
    assert all(row.sealed and row.rules_fired > 50 and row.seq is not None for row in rows)
    assert queries.verify(EVERYTHING) == []
    again = issue(EVERYTHING, run, now=NOW + timedelta(days=1))
    assert again.state == RunState.ISSUED and Invoice.objects.count() == 3
    with pytest.raises(Trouble, match="frozen"):
        reckon(EVERYTHING, again, now=NOW)
    Paper.objects.filter(invoice=rows[0], kind="pdf").update(data=b"%PDF other")
    Invoice.objects.filter(pk=rows[1].pk).update(content=rows[1].content.replace("Client", "Clyent"))
    wrong = " ".join(queries.verify(EVERYTHING))
    assert "INV-2026-00001: its papers" in wrong and "INV-2026-00002: its content" in wrong


def test_an_agreement_is_billed_once_a_period_by_the_database() -> None:
    issued(clients=1)
    row = Invoice.objects.get()
    row.pk, row.index, row.number = "0" * 13, 77, "INV-2026-00077"
    with pytest.raises(IntegrityError):
        row.save(force_insert=True)


def test_a_preview_names_who_joined_since_the_last_month() -> None:
    actions.save_seller(EVERYTHING, SELLER, now=NOW)
    agreements = small_provider(1)
    october = open_run(EVERYTHING, "2026-10", now=NOW)
    reckon(EVERYTHING, october, now=NOW)
    contact(agreements[0].client, "Tom K.", date(2026, 10, 11))
    november = open_run(EVERYTHING, "2026-11", now=NOW)
    reckon(EVERYTHING, november, now=NOW)
    draft = Draft.objects.get(run=november)
    assert draft.differences[0] == "2 seats joined: Ana B. on 4 Oct, Tom K. on 11 Oct"
    assert draft.before_minor is not None and draft.total_minor > draft.before_minor


def test_a_run_that_cannot_bill_everything_is_not_approved() -> None:
    actions.save_seller(EVERYTHING, SELLER, now=NOW)
    agreements = small_provider(1)
    run = open_run(EVERYTHING, "2026-12", now=NOW)
    reckon(EVERYTHING, run, now=NOW)
    with pytest.raises(Trouble, match="not over yet"):
        approve(EVERYTHING, run, now=NOW)
    with pytest.raises(Trouble, match="not approved"):
        issue(EVERYTHING, run, now=NOW)
    assert not Invoice.objects.exists()
    later = NOW + timedelta(days=30)
    reckon(EVERYTHING, run, now=later)
    approve(EVERYTHING, run, now=later)
    with pytest.raises(Trouble, match="billed up to"):
        add_version(EVERYTHING, agreements[0], from_on=date(2026, 12, 1), terms=terms(), now=later)


def test_an_invoice_and_its_credit_note_are_nothing() -> None:
    issued(clients=1)
    row = Invoice.objects.get()
    note = actions.credit(EVERYTHING, row, because="Billed twice", now=NOW)
    assert actions.credit(EVERYTHING, row, because="Again", now=NOW).pk == note.pk
    row.refresh_from_db()
    assert (note.number, note.total_minor, note.open_minor, row.open_minor) == (
        "CN-2026-00001",
        row.total_minor,
        0,
        0,
    )
    (sums,) = queries.balances(EVERYTHING)
    assert (sums.net_minor, sums.tax_minor, sums.total_minor, sums.open_minor) == (0, 0, 0, 0)
    with pytest.raises(Trouble):
        actions.credit(EVERYTHING, note, because="Back", now=NOW)


def test_a_credit_is_billed_once_and_what_came_after_the_approval_waits() -> None:
    actions.save_seller(EVERYTHING, SELLER, now=NOW)
    (row,) = small_provider(1)
    given = give_credit(
        EVERYTHING, row, name="Proof late", note="", amount_minor=1_000, now=NOW, about="proof:1"
    )
    with pytest.raises(Wrong, match="already"):
        give_credit(EVERYTHING, row, name="Proof late", note="", amount_minor=1_000, now=NOW, about="proof:1")
    run = reckon(EVERYTHING, open_run(EVERYTHING, "2026-11", now=NOW), now=NOW)
    later = give_credit(EVERYTHING, row, name="Goodwill", note="late visit", amount_minor=700, now=NOW)
    issue(EVERYTHING, approve(EVERYTHING, run, now=NOW), now=NOW)
    given.refresh_from_db()
    later.refresh_from_db()
    assert (given.billed_in, later.billed_in) == ("2026-11", "")
    first = to_content(Invoice.objects.get().content)
    assert [line.amount_minor for line in first.lines if line.key.startswith("credit-")] == [-1_000]
    with pytest.raises(Trouble, match="billed in 2026-11"):
        take_back_credit(EVERYTHING, given, now=NOW)
    december = reckon(EVERYTHING, open_run(EVERYTHING, "2026-12", now=NOW), now=NOW)
    bill = bill_in(Draft.objects.get(run=december).bill)
    assert [line.name for line in bill.lines if line.key.startswith("credit-")] == ["Goodwill"]
    take_back_credit(EVERYTHING, later, now=NOW)
    reckon(EVERYTHING, december, now=NOW)
    bill = bill_in(Draft.objects.get(run=december).bill)
    assert not [line for line in bill.lines if line.key.startswith("credit-")]


def test_a_payment_told_twice_is_one_and_settles_what_it_names() -> None:
    issued()
    row = Invoice.objects.order_by("index").first()
    assert row
    text = CSV.format(amount=f"{row.total_minor / 100:.2f}", number=row.number)
    entries = read_statement(text.encode(), currency="EUR")
    first = actions.take_statement(EVERYTHING, entries, now=NOW)
    again = actions.take_statement(EVERYTHING, entries, now=NOW)
    assert (first.taken, first.settled, again.taken, again.known) == (1, 1, 0, 1)
    row.refresh_from_db()
    assert row.open_minor == 0 and Payment.objects.get().left_minor == 0
    late = read_statement(b"date,amount,text\n2026-11-30,5.00,unknown\n", currency="EUR")
    assert actions.take_statement(EVERYTHING, late, now=NOW).waiting == 1
    (open_ones,) = queries.balances(EVERYTHING, open_only=True)
    total = sum(one.total_minor for one in Invoice.objects.all())
    assert open_ones.open_minor == total - row.total_minor  # receivables are the sum of open invoices


def test_a_reminder_and_a_late_fee_come_once() -> None:
    issued(clients=1)
    row = Invoice.objects.get()
    version = row.agreement.versions.get()
    version.terms["late_fee"] = {"after_days": 10, "fixed_minor": 4000, "percent": 0}
    version.save()
    assert LateFee(10, 4000).agreed
    day = row.due_on + timedelta(days=15)
    for _ in range(3):
        sending.remind(EVERYTHING, today=day, now=NOW)
        actions.charge_late_fees(EVERYTHING, today=day, now=NOW)
    fees = Invoice.objects.filter(kind=Kind.LATE_FEE)
    assert [one.total_minor for one in fees] == [4000] and row.reminders.count() == 1
    assert fees[0].late_for_id == row.pk and fees[0].sealed


def test_mail_goes_once_and_keeps_its_thread() -> None:
    run, sent = issued(), []

    def send(mail: EmailMessage, sender: str, to: list[str]) -> None:
        if len(sent) == 1 and not any(seen is None for seen in sent):
            sent.append(None)
            raise OSError("451 try later")
        sent.append(mail)

    gone, not_sent = sending.send_run(EVERYTHING, run, now=NOW, send=send, sender="billing@provider.example")
    assert gone == 2 and "451" in not_sent[0]
    later = NOW + timedelta(minutes=11)
    assert sending.send_run(EVERYTHING, run, now=later, send=send, sender="billing@provider.example")[0] == 1
    mails = [mail for mail in sent if mail]
    assert len({mail["Message-ID"] for mail in mails}) == 3 == len(mails)
    assert {part.get_content_type() for part in mails[0].iter_attachments()} == {
        "application/pdf",
        "application/xml",
    }
    assert Run.objects.get().state == RunState.SENT


def test_a_payment_service_is_asked_again_under_the_same_key_and_charges_once() -> None:
    """A real HTTP server plays the service: its answer to the first charge is lost."""
    import json
    from threading import Thread

    charged: dict[str, str] = {}
    asked: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Idempotency-Key"]
            asked.append(key)
            charged.setdefault(key, f"ref-{len(charged)}-{body['amount_minor']}")
            lost = len(asked) == 1 or self.headers["Authorization"] != "Bearer s3cret"
            answer = b"" if lost else json.dumps({"reference": charged[key]}).encode()
            self.send_response(503 if lost else 200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    issued(clients=1)
    row = Invoice.objects.get()
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/charge"
        given = {"url": url, "secret": "s3cret"}
        try:
            with pytest.raises(Trouble, match="not https"):
                actions.charge(EVERYTHING, row, provider="webhook", settings=given, now=NOW)
            given["allow_plain"] = "yes"
            with pytest.raises(Trouble, match="did not take"):
                actions.charge(EVERYTHING, row, provider="webhook", settings=given, now=NOW)
            assert not Payment.objects.exists()
            for _ in range(2):
                paid = actions.charge(EVERYTHING, row, provider="webhook", settings=given, now=NOW)
                assert paid.text == f"ref-0-{row.total_minor}"
        finally:
            server.shutdown()
            thread.join(60)
    row.refresh_from_db()
    assert row.open_minor == 0 and Payment.objects.count() == 1 and len(charged) == 1 and len(asked) == 2


@pytest.mark.django_db(transaction=True)
def test_killed_at_any_step_it_comes_to_the_same_numbers_and_bytes(tmp_path: Path) -> None:
    """A process that issues is killed by a signal at its n-th write; what goes on must end as if nothing had
    been."""
    if connection.vendor != "sqlite":
        pytest.skip("the child opens the database file")
    actions.save_seller(EVERYTHING, SELLER, now=NOW)
    small_provider(4)
    run = open_run(EVERYTHING, "2026-11", now=NOW, issue_on=NOW.date())
    reckon(EVERYTHING, run, now=NOW)
    approve(EVERYTHING, run, now=NOW)
    start = tmp_path / "start.sqlite3"
    connection.cursor().execute(f"VACUUM INTO '{start}'")
    whole, at = None, []
    for writes in (0, 5, 24):
        copy = tmp_path / f"killed-{writes}.sqlite3"
        copy.write_bytes(start.read_bytes())
        if writes:
            assert _issue(copy, writes).returncode == -signal.SIGKILL
            at.append(_figures(copy)[0])
        assert _issue(copy, 0).returncode == 0
        found = _figures(copy)[1]
        whole = whole or found
        assert found == whole and len(found) == 4
    assert 0 in at and any(0 < sealed < 4 for sealed in at), at  # it was killed in the middle, too


def _issue(database: Path, writes: int) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"ISSUE_DATABASE": str(database), "ISSUE_KILL_AT": str(writes)}
    environment |= {"FORESTALL_DATA": str(settings.DATA.root)}
    script = Path(__file__).parents[1] / "billing_issue.py"
    return subprocess.run([sys.executable, str(script)], env=environment, timeout=300, check=False)


def _figures(database: Path) -> tuple[int, list[tuple[object, ...]]]:
    import sqlite3

    rows = sqlite3.connect(database).execute(
        "select number, sealed, content_sha256, pdf_sha256, xml_sha256, ubl_sha256 from invoices_invoice"
        " order by number"
    )  # fmt: skip
    found = [tuple(row) for row in rows]
    return sum(1 for row in found if row[1]), found


def test_the_same_month_without_tickets_effort_and_alerts_is_the_same_to_the_byte() -> None:
    """Invariant 1: nothing of the desk can reach an invoice."""
    from forestall.invoices.exports import ledger, quickbooks, xero
    from forestall.invoices.papers import make_papers
    from forestall.judge.values import State
    from road_factories import Road, transition

    agreements = small_provider(2)
    actions.save_seller(EVERYTHING, SELLER, now=NOW)
    asset = agreements[0].client.assets.first()
    road = Road()
    road.feed(transition(asset, State.BREAKING, at=road.now))
    road.wait(300)
    run = open_run(EVERYTHING, "2026-11", now=NOW, issue_on=NOW.date())
    made = []
    for _ in range(2):
        reckon(EVERYTHING, run, now=NOW)
        approve(EVERYTHING, run, now=NOW)
        issue(EVERYTHING, run, now=NOW)
        documents = queries.booked(EVERYTHING)
        papers = [
            make_papers(text) for text in Invoice.objects.order_by("index").values_list("content", flat=True)
        ]
        made.append(
            (papers, quickbooks(documents), xero(documents), ledger(documents, [], dialect="hledger"))
        )
        _forget_the_desk()
        for table in (Paper, Invoice, Draft, Series):
            table.objects.all().delete()
        Run.objects.update(state=RunState.DRAFT, issued_at=None)
    assert made[0] == made[1] and len(made[0][0]) == 2


def _forget_the_desk() -> None:
    from django.apps import apps

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA defer_foreign_keys = ON")
        for room in ("tickets", "alerts", "problems"):
            for model in apps.get_app_config(room).get_models(include_auto_created=True):
                cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
