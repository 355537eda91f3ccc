"""Pages that say whose a change was (ticket, client, asset, people), and the collector's own page."""

import pytest
from django.test import Client as Browser
from django.utils import timezone

import console_seed
from console_seed import Seeded
from estate_factories import EVERYTHING, make_person
from forestall.configs.models import Change
from forestall.estate.models import Client, Person
from forestall.estate.values import Role
from forestall.tickets import actions

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> Seeded:
    return console_seed.fill(timezone.now(), clients=2)


def browser_of(person: Person) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


def test_a_ticket_says_what_happened_before_it_and_nothing_once_it_is_ours(seeded: Seeded) -> None:
    person = make_person(role=Role.OWNER)
    browser = browser_of(person)
    change = Change.objects.get(pk=seeded.ids["change"])
    Change.objects.filter(asset=change.asset_id).update(
        signed_in=["anna from 10.4.0.77 since 2026-11-23 08:50"]
    )
    ticket = actions.open_by_hand(
        EVERYTHING, client=seeded.ids["client"], asset=change.asset_id, title="It is slow",
        now=timezone.now(),
    )  # fmt: skip
    address = f"/tickets/{ticket.pk}/"
    page = browser.get(address).content.decode()
    assert "by anna (signed in); nobody of ours was working on it." in page
    assert "Not ours" in page
    assert "Not ours" in browser.get(f"/clients/{seeded.ids['client']}/").content.decode()
    assert "Not ours" in browser.get(f"/assets/{change.asset_id}/").content.decode()
    browser.post(f"/clients/{seeded.ids['client']}/add/logins", {"login_names": "Anna\n\nmsp-admin"})
    assert Client.objects.get(pk=seeded.ids["client"]).login_names == ["Anna", "msp-admin"]
    assert "nobody of ours" not in browser.get(address).content.decode()


def test_it_is_said_as_whom_a_person_signs_in(seeded: Seeded) -> None:
    person = make_person(role=Role.TECHNICIAN)
    browser = browser_of(make_person(role=Role.SERVICE_MANAGER))
    given = {"what": "logins", "person": person.pk}
    browser.post("/people/", given | {"login_names": "mia\nBAKERY\\mia.admin"})
    person.refresh_from_db()
    assert person.login_names == ["BAKERY\\mia.admin", "mia"]
    browser.post("/people/", given | {"login_names": "two words"})
    person.refresh_from_db()
    assert len(person.login_names) == 2


def test_a_collectors_page_says_what_it_asks_and_from_where(seeded: Seeded) -> None:
    browser = browser_of(make_person(role=Role.OWNER))
    page = browser.get(f"/collectors/{seeded.ids['collector']}/").content.decode()
    assert "10.4.0.0/24" in page and "10.4.0.1:22" in page and "1 tcp" in page
    assert "forestall agent enrol --ca authority.pem http" in page
    assert "numbers cannot be read" in page  # no store in this test: said, not hidden


def test_the_api_tells_of_a_ticket_what_happened_before(seeded: Seeded) -> None:
    browser = browser_of(make_person(role=Role.OWNER))
    change = Change.objects.get(pk=seeded.ids["change"])
    ticket = actions.open_by_hand(
        EVERYTHING, client=seeded.ids["client"], asset=change.asset_id, title="Slow", now=timezone.now()
    )
    told = browser.get(f"/api/v1/tickets/{ticket.pk}").json()
    assert change.pk in told["before"]["changes"]
    assert told["before"]["text"].startswith("Before this ticket: ")
