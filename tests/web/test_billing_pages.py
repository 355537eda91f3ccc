"""Pages and API of billing: what accounting can do there, and that bad input is said at its field."""

import json
from datetime import date
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser

from billing_seed import BUYER, SELLER, contact, issued, signed_rates
from estate_factories import EVERYTHING, make_client, make_person
from forestall.agreements.models import Agreement, PriceIndex, PriceItem, TaxTable, TermsVersion
from forestall.agreements.queries import terms_in
from forestall.estate.access import make_token
from forestall.estate.values import ROLE_RIGHTS, Role
from forestall.invoices import queries
from forestall.invoices.models import Invoice, Payment
from forestall.web.console.billing_forms import terms_given, terms_shown

pytestmark = pytest.mark.django_db
FORM = BUYER | {
    "name": "Complete care", "starts_on": "2026-11-01", "currency": "EUR", "email": "accounts@client.example",
    "name_0": "Complete care, per user", "basis_0": "seat", "price_0": "95.00", "tax_0": "standard",
}  # fmt: skip


@pytest.fixture
def browser() -> Browser:
    found = Browser()
    found.force_login(make_person(role=Role.ACCOUNTING))
    return found


@pytest.fixture
def program() -> Browser:
    person = make_person(role=Role.ACCOUNTING)
    _, secret = make_token(person, name="books", may=ROLE_RIGHTS[Role.ACCOUNTING], client=None)
    return Browser(headers={"authorization": f"Bearer {secret}"})


def send(program: Browser, path: str, body: Any, status: int, method: str = "post") -> Any:
    answer = getattr(program, method)(f"/api/v1/{path}", json.dumps(body), content_type="application/json")
    assert answer.status_code == status, answer.content
    return json.loads(answer.content or b"null")


BAD = [
    ({"starts_on": ""}, "an agreement needs its first day"),
    ({"price_0": "0"}, "a price is above nothing"),
    ({"price_0": ""}, "a price is above nothing"),
    ({"price_0": "ninety"}, "is no number"),
    ({"buyer_vat": "DE123456789"}, "is no VAT number of that country"),
    ({"currency": "EUX"}, "there is no currency"),
    ({"tiers_0": "10 for 95"}, "write tiers as"),
    ({"projects": "tomorrow"}, "write day; name; sum; tax"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_bad_input_is_said_at_its_field_and_nothing_is_made(
    browser: Browser, change: dict[str, str], said: str
) -> None:
    client = make_client("Harbor")
    signed_rates()
    answer = browser.post("/agreements/new", FORM | {"client": client.name} | change)
    text = answer.content.decode()
    field = next(iter(change))
    assert answer.status_code == 400 and not Agreement.objects.exists()
    at = text.index(f'name="{field}"')
    assert said in text[at : at + 700], f"it is not said at {field}"


def test_terms_change_by_version_and_two_cannot_hold_at_once(browser: Browser) -> None:
    client = make_client("Harbor")
    signed_rates()
    more = {"tiers_0": "10: 95.00, more: 80.00", "projects": "2026-12-15; Office move; 1200.00; standard"}
    assert browser.post("/agreements/new", FORM | more | {"client": client.name}).status_code == 302
    row = Agreement.objects.get()
    place = f"/agreements/{row.pk}/change"
    assert "10: 95.00, more: 80.00" in browser.get(place).content.decode()
    terms = terms_in(TermsVersion.objects.get().terms)
    shown = terms_shown(terms)
    assert terms_given(shown)[0] == terms, "what the form shows is what it reads"
    for day, status, said in (
        ("", 400, "from which day"), ("2027-02-03", 400, "first day of a month"), ("2027-01-01", 302, ""),
        ("2027-01-01", 400, "two versions cannot hold at once"),
    ):  # fmt: skip
        answer = browser.post(place, shown | {"from_on": day, "price_0": "99.00"})
        assert answer.status_code == status and said in answer.content.decode()
    assert TermsVersion.objects.count() == 2
    tried = browser.post(place, shown | {"do": "try"})
    assert "What it would have cost" in tried.content.decode() and TermsVersion.objects.count() == 2
    browser.post(f"/agreements/{row.pk}/end", {"ends_on": "2027-06-30"})
    row.refresh_from_db()
    assert row.ends_on == date(2027, 6, 30)


def test_prices_rates_and_indices_are_made_and_refused_at_their_field(browser: Browser) -> None:
    price = {
        "key": "care",
        "name": "Care",
        "basis": "seat",
        "currency": "EUR",
        "price": "95",
        "tax": "standard",
    }
    for change, said in (({"price": "0"}, "above nothing"), ({"key": "Care seat"}, "small letters")):
        answer = browser.post("/billing/prices/put", price | change)
        assert answer.status_code == 400 and said in answer.content.decode()
    assert browser.post("/billing/prices/put", price).status_code == 302
    assert PriceItem.objects.get().price_minor == 9500
    table = {
        "version": "DE 2026",
        "from_on": "2026-01-01",
        "rates": "standard; S; 19.00\nex; E; 0; Insurance",
    }
    for change, said in (
        ({"from_on": ""}, "from which day"), ({"rates": "standard"}, "write code; category"),
        ({"rates": "ex; E; 0"}, "why it is not taxed"),
    ):  # fmt: skip
        answer = browser.post("/billing/prices/rates", table | change)
        assert answer.status_code == 400 and said in answer.content.decode()
    assert not TaxTable.objects.exists()
    browser.post("/billing/prices/rates", table)
    made = TaxTable.objects.get()
    assert [rate["percent"] for rate in made.rates] == [1900, 0] and not made.signed_by
    browser.post(f"/billing/rates/{made.pk}/sign")
    assert TaxTable.objects.get().signed_by
    index = {"year": "2026", "percent": "2.20", "source": ""}
    assert "where the figure was read" in browser.post("/billing/prices/index", index).content.decode()
    browser.post("/billing/prices/index", index | {"source": "destatis.de"})
    assert PriceIndex.objects.get().percent == 220


def test_a_bank_file_in_another_encoding_is_refused_whole(browser: Browser, program: Browser) -> None:
    issued(clients=1)
    row = Invoice.objects.get()
    amount = f"{row.total_minor / 100:.2f}"
    text = f"date;amount;text;payer\n2026-11-30;{amount};{row.number};Müller\n"
    for data, said in ((text.encode("latin-1"), "not UTF-8"), (text.encode("utf-16"), "UTF-16")):
        file = SimpleUploadedFile("statement.csv", data)
        answer = browser.post("/billing/statement", {"statement": file, "currency": "EUR"}, follow=True)
        assert said in answer.content.decode() and not Payment.objects.exists()
        refused = program.post("/api/v1/bank-statements", data, content_type="text/csv")
        assert refused.status_code == 422 and said in json.loads(refused.content)["detail"]
    for _ in range(2):
        file = SimpleUploadedFile("statement.csv", text.encode())
        browser.post("/billing/statement", {"statement": file, "currency": "EUR"})
    row.refresh_from_db()
    assert row.open_minor == 0 and Payment.objects.count() == 1


def test_a_payment_by_hand_counts_once(browser: Browser) -> None:
    issued(clients=1)
    row = Invoice.objects.get()
    for _ in range(2):
        browser.post(f"/invoices/{row.pk}/pay", {"amount": "100.00", "key": "k1", "on": "2026-11-20"})
    browser.post(f"/invoices/{row.pk}/pay", {"amount": "-5", "key": "k2"})
    row.refresh_from_db()
    assert row.open_minor == row.total_minor - 10_000 and Payment.objects.count() == 1
    assert "100.00" in browser.get(f"/invoices/{row.pk}/").content.decode()


def test_the_api_says_what_is_wrong_at_its_field_and_does_the_month(program: Browser) -> None:
    from billing_seed import NOW
    from forestall.invoices.actions import save_seller

    client = make_client("Harbor")
    contact(client, "Ana B.", date(2026, 2, 1))
    save_seller(EVERYTHING, SELLER, now=NOW)
    signed_rates()
    item = {"key": "care", "name": "Care", "basis": "seat", "price_minor": 9500, "tax": "standard"}
    terms = {"currency": "EUR", "items": [item], "priced_at": "2026-01-01"}
    body = {"client": client.pk, "name": "Care", "starts_on": "2026-01-01", "buyer": BUYER, "terms": terms}
    for change, field in (
        ({"starts_on": None}, "body.starts_on"),
        ({"terms": terms | {"items": [item | {"price_minor": 0}]}}, "body.items.0.price"),
        ({"buyer": BUYER | {"buyer_vat": "DE123456789"}}, "body.buyer_vat"),
    ):
        refused = send(program, "agreements", body | change, 422)
        assert field in [one["at"] for one in refused["errors"]]
    assert not Agreement.objects.exists()
    made = send(program, "agreements", body, 201)
    place = f"agreements/{made['id']}"
    refused = send(program, f"{place}/versions", {"from_on": "2026-01-01", "terms": terms}, 422)
    assert refused["errors"][0]["at"] == "body.from_on"
    found = json.loads(program.get(f"/api/v1/{place}").content)
    assert found["versions"][0]["terms"]["items"][0]["price_minor"] == 9500
    tried = send(program, "agreements/try", {"client": client.pk, "terms": terms}, 200)
    assert len(tried) == 12
    run = send(program, "billing-runs", {"period": "2026-10"}, 201)
    assert send(program, f"billing-runs/{run['id']}/approve", {}, 200)["state"] == "approved"
    assert send(program, f"billing-runs/{run['id']}/issue", {}, 200)["state"] == "issued"
    (document,) = json.loads(program.get("/api/v1/invoices").content)["items"]
    assert program.get(f"/api/v1/invoices/{document['id']}/pdf").content.startswith(b"%PDF")
    lines = queries.revenue(EVERYTHING, since=date(2026, 10, 1), until=date(2026, 10, 31))
    assert [(one.client, one.period, one.net_minor) for one in lines] == [(client.pk, "2026-10", 9500)]
    pay = {"key": "a", "invoice": document["id"], "on": "2026-11-02", "amount_minor": 1000}
    assert send(program, "payments", pay, 201)["id"] == send(program, "payments", pay, 201)["id"]
    note = send(program, f"invoices/{document['id']}/credit", {"because": "agreed"}, 201)
    assert note["kind"] == "credit" and note["total_minor"] == document["total_minor"]
    lines = queries.revenue(EVERYTHING, since=date(2026, 10, 1), until=date(2026, 10, 31))
    assert sum(one.net_minor for one in lines) == 0
