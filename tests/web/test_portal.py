"""The client portal: in by a link that works once, a report in a minute, and nothing internal in sight."""

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import EVERYTHING, make_asset, make_client, make_person
from forestall.estate.models import Client, Contact, Person
from forestall.estate.values import Role
from forestall.judge.values import State
from forestall.mail.models import Attachment, SignInLink
from forestall.mail.sign_in import LASTS, MADE_MOST, make_link, use_link
from forestall.tickets import actions, working
from forestall.tickets.models import Entry, Ticket
from road_factories import Road, transition

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89"


def contact_at(client: Client, email: str = "pat@bakery.example") -> Contact:
    return Contact.objects.create(client=client, name="Pat Miller", email=email)


def signed_in(email: str = "pat@bakery.example") -> Browser:
    made = make_link(email, now=timezone.now())
    assert made is not None
    browser = Browser()
    assert browser.post(f"/portal/sign-in/{made.secret}/")["Location"] == "/portal/"
    return browser


def page(browser: Browser, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return answer.content.decode()


def test_a_link_opens_by_a_button_and_once() -> None:
    client = make_client("Bakery")
    contact_at(client)
    made = make_link("PAT@bakery.example", now=timezone.now())
    assert made is not None
    assert made.secret.encode() not in bytes(SignInLink.objects.get().token_hash)
    address = f"/portal/sign-in/{made.secret}/"
    for _ in range(3):  # what looks into mail opens links
        assert "Open the portal" in page(Browser(), address)
    browser = Browser()
    assert browser.post(address)["Location"] == "/portal/"
    assert "Bakery" in page(browser, "/portal/")
    assert browser.session.get_expiry_age() > 80 * 86_400
    person = Person.objects.get(email="pat@bakery.example")
    assert person.role == Role.CLIENT_CONTACT and list(person.clients.all()) == [client]
    assert not person.has_usable_password()
    assert Browser().post(address).status_code == 410
    for closed in ("/", "/tickets/", "/clients/", "/api/v1/tickets"):
        assert browser.get(closed).status_code in (401, 403), closed
    browser.post("/portal/sign-in-end")
    assert browser.get("/portal/")["Location"] == "/portal/sign-in/"


def test_the_answer_does_not_tell_who_is_known_and_asking_is_limited() -> None:
    contact_at(make_client())
    make_person(email="ana@provider.example")
    said = set()
    for email in ("pat@bakery.example", "nobody@bakery.example", "ana@provider.example"):
        answer = Browser().post("/portal/sign-in/", {"email": email})
        text = re.sub(r'value="[^"]*"', "", answer.content.decode())
        said.add((answer.status_code, text.replace(email, "ADDRESS")))
    assert len(said) == 1
    codes = [Browser().post("/portal/sign-in/", {"email": "x@y.example"}).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]


def test_who_gets_no_link() -> None:
    now, client = timezone.now(), make_client()
    contact = contact_at(client)
    make_person(email="ana@provider.example")
    contact_at(client, "ana@provider.example")
    assert make_link("ana@provider.example", now=now) is None  # staff have passwords
    late = make_link(contact.email, now=now - LASTS)
    assert late is not None and use_link(late.secret, now=now) is None
    made = [make_link(contact.email, now=now) for _ in range(MADE_MOST + 1)]
    assert made[-1] is None and all(made[:-1])
    other = make_person(role=Role.CLIENT_CONTACT, clients=(make_client(),), email="sam@bakery.example")
    contact_at(client, "sam@bakery.example")
    assert make_link("sam@bakery.example", now=now) is None  # of another client, and stays there
    assert client not in other.clients.all()
    browser = signed_in_as(contact)
    contact.delete()
    assert browser.get("/portal/").status_code == 403


def signed_in_as(contact: Contact) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=Role.CLIENT_CONTACT, clients=(contact.client,), email=contact.email))
    return browser


def test_a_report_and_nothing_internal() -> None:
    client, other = make_client("Bakery"), make_client("Smithy")
    contact_at(client)
    asset = make_asset(client, name="till-1")
    foreign = make_asset(other, name="anvil-9")
    browser = signed_in()
    form = page(browser, "/portal/")
    assert "till-1" in form and "anvil-9" not in form and "Smithy" not in form
    given = {"text": "The till is dark.\nSince the morning.", "how_bad": "stopped", "asset": asset.pk,
             "file": SimpleUploadedFile("till.png", PNG, "image/png")}  # fmt: skip
    place = browser.post("/portal/", given)["Location"]
    ticket = Ticket.objects.get()
    assert (ticket.title, ticket.came_by, ticket.impact, ticket.urgency, ticket.asset) == (
        "The till is dark.", "portal", 3, 1, asset,
    )  # fmt: skip
    assert Attachment.objects.get().name == "till.png"
    text = page(browser, place)
    assert f"it is ticket #{ticket.number}" in text and "What happens next" in text and "till.png" in text
    file = browser.get(f"/portal/files/{Attachment.objects.get().pk}")
    assert file.content == PNG and file["Content-Type"] == "image/png"
    assert "sandbox" in file["Content-Security-Policy"] and file["X-Content-Type-Options"] == "nosniff"
    theirs = signed_in_as(contact_at(other, "smith@smithy.example"))
    assert theirs.get(f"/portal/files/{Attachment.objects.get().pk}").status_code == 404
    ana, now = make_person(), timezone.now()
    working.note(EVERYTHING, ticket.pk, text="They never pay on time.", now=now)
    working.log_effort(
        EVERYTHING, ticket.pk, person=ana, minutes=37, cost_class="travel", note="drove by", now=now
    )
    working.reply(EVERYTHING, ticket.pk, text="Please press the green button.", now=now)
    mine = make_asset(other)
    actions.open_by_hand(EVERYTHING, client=other.pk, title="Forge cold", asset=mine.pk, now=now)
    hidden = actions.open_by_hand(EVERYTHING, client=client.pk, title="A colleague's matter", now=now)
    for address in (place, "/portal/", "/portal/tickets/"):
        text = page(browser, address)
        for word in ("never pay", "37 min", "drove by", "Travel", "Worked", "Forge", "colleague", "Smithy"):
            assert word not in text, (address, word)
    assert "green button" in page(browser, place)
    assert browser.get(f"/portal/tickets/{hidden.pk}/").status_code == 404
    assert browser.post(f"/portal/tickets/{hidden.pk}/", {"text": "x"}).status_code == 404
    refused = browser.post("/portal/", {"text": "x", "asset": foreign.pk})
    assert refused.status_code == 404 and Ticket.objects.count() == 3
    browser.post(place, {"do": "close"})
    ticket.refresh_from_db()
    assert ticket.status == "closed"
    browser.post(place, {"do": "back"})
    ticket.refresh_from_db()
    assert ticket.status == "open" and ticket.closed_at is None
    assert Entry.objects.filter(ticket=ticket, kind="mail_in").get().text.startswith("It is not solved")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": " "}, "we need a few words"),
        ({"text": "x", "how_bad": "very"}, "how bad is it?"),
        ({"text": "x", "file": SimpleUploadedFile("a.png", b"MZ\x90\0", "image/png")}, "Windows program"),
        (
            {"text": "x", "file": SimpleUploadedFile("a.svg", b"<svg onload=1>", "image/png")},
            "cannot be taken",
        ),
    ],
)
def test_what_is_wrong_with_a_report_is_said(given: dict[str, object], said: str) -> None:
    contact_at(make_client())
    text = signed_in().post("/portal/", given).content.decode()
    assert said in text and not Ticket.objects.exists()


def test_known_trouble_is_shown_and_joined() -> None:
    client = make_client()
    contact_at(client)
    asset = make_asset(client, name="till-1")
    road = Road()
    road.now = timezone.now() - timedelta(minutes=12)
    road.feed(transition(asset, State.BREAKING, at=road.now))
    road.wait(300)
    ticket = Ticket.objects.get()
    browser = signed_in()
    assert browser.get(f"/portal/tickets/{ticket.pk}/").status_code == 404
    assert "We know already" in page(browser, "/portal/")
    assert f"ticket #{ticket.number}" in browser.post("/portal/known", {"text": "till"}).content.decode()
    place = browser.post(f"/portal/tickets/{ticket.pk}/join")["Location"]
    assert place == f"/portal/tickets/{ticket.pk}/" and "This is mine too." in page(browser, place)
    assert Ticket.objects.count() == 1
    foreign = make_client()
    other = actions.open_by_hand(EVERYTHING, client=foreign.pk, title="Forge", now=timezone.now())
    assert browser.post(f"/portal/tickets/{other.pk}/join").status_code == 404
