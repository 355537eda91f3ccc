"""The set-up page lets the first owner in once; nobody signs up alone; who forgot a password gets a link."""

import time
from collections.abc import Callable

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client as Browser

from estate_factories import EVERYTHING, START, make_client, make_person
from forestall.alerts.channels import create_channel, mail_settings
from forestall.estate.access import make_setup_link
from forestall.estate.models import Person, Provider
from forestall.estate.values import Role
from notifier_servers import MailServer

pytestmark = pytest.mark.django_db
GIVEN = {
    "provider": "Seed MSP",
    "name": "Ada",
    "email": "ada@example.org",
    "password": "correct horse battery staple",
}


def test_the_first_owner_is_in_and_the_link_is_used_up() -> None:
    address, browser = f"/set-up/{make_setup_link()}/", Browser()
    page = browser.get(address)
    assert page.status_code == 200
    for name in GIVEN:
        assert f'name="{name}"' in page.content.decode()
    done = browser.post(address, GIVEN)
    assert done.status_code == 302 and done["Location"] == "/"
    assert Person.objects.get().role == Role.OWNER and Provider.objects.get().name == "Seed MSP"
    assert browser.get("/people/").status_code == 200, "they are signed in"
    for again in (Browser().get(address), Browser().post(address, GIVEN | {"email": "eve@example.org"})):
        assert again.status_code == 410 and "restart Forestall" in again.content.decode()
    assert Person.objects.count() == 1


def test_a_link_that_never_was_and_one_with_an_owner_are_the_same_answer() -> None:
    secret = make_setup_link()
    make_person(role=Role.OWNER)
    unknown, late = Browser().get("/set-up/never/"), Browser().get(f"/set-up/{secret}/")
    assert unknown.status_code == late.status_code == 410 and unknown.content == late.content


def test_a_weak_password_is_said_and_uses_nothing_up() -> None:
    address = f"/set-up/{make_setup_link()}/"
    answer = Browser().post(address, GIVEN | {"password": "short"})
    assert answer.status_code == 200 and 'role="alert"' in answer.content.decode()
    assert 'value="short"' not in answer.content.decode()
    assert Browser().post(address, GIVEN).status_code == 302


def test_the_form_is_protected_against_other_sites() -> None:
    address = f"/set-up/{make_setup_link()}/"
    assert Browser(enforce_csrf_checks=True).post(address, GIVEN).status_code == 403
    assert not Person.objects.exists()


def test_nobody_signs_up_alone() -> None:
    browser = Browser()
    browser.post("/accounts/signup/", {"email": "eve@example.org", "password1": GIVEN["password"]})
    assert not Person.objects.exists()
    assert "password1" not in browser.get("/accounts/signup/").content.decode()


def poll(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_forgotten_password_is_chosen_anew_through_a_mailed_link() -> None:
    """By the mail channel for all clients. The link is under our own address, whatever the request says."""
    cache.clear()
    person = make_person("ada@provider.example")
    person.set_password("the one that was forgotten")
    person.save()
    with MailServer() as server:
        given = {"to": ["desk@provider.example"], "host": "127.0.0.1", "port": server.port}
        given |= {"sender": "forestall@provider.example"}
        create_channel(EVERYTHING, notifier="smtp", title="Desk", given=given, now=START)
        stranger = Browser().post("/accounts/password/reset/", {"email": "nobody@provider.example"})
        known = Browser().post(
            "/accounts/password/reset/", {"email": "Ada@provider.example"}, headers={"host": "203.0.113.9"}
        )
        assert (stranger.status_code, stranger.url) == (known.status_code, known.url)
        poll(lambda: server.inbox)
    (mail,) = server.inbox
    assert (mail["To"].lower(), mail["From"]) == ("ada@provider.example", "forestall@provider.example")
    link = next(word for word in mail.get_content().split() if word.startswith("http"))
    assert link.startswith(settings.CONFIG.url) and "203.0.113.9" not in mail.get_content()
    browser = Browser()
    place = browser.get(link.removeprefix(settings.CONFIG.url.rstrip("/")), follow=True).request["PATH_INFO"]
    browser.post(place, {"password1": GIVEN["password"], "password2": GIVEN["password"]})
    person.refresh_from_db()
    assert person.check_password(GIVEN["password"])


def test_without_a_mail_server_the_page_says_who_can_help() -> None:
    cache.clear()
    make_person("ada@provider.example")
    address = "/accounts/password/reset/"
    for answer in (Browser().get(address), Browser().post(address, {"email": "ada@provider.example"})):
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "forestall user link" in text and "Ask an owner" in text
        assert 'name="email"' not in text
    assert address in Browser().get("/accounts/login/").content.decode()


def test_a_channel_of_one_client_mails_no_links() -> None:
    client = make_client()
    given = {"to": ["a@client.example"], "host": "127.0.0.1", "port": 9}
    create_channel(EVERYTHING, notifier="smtp", title="Theirs", given=given, client=client.pk, now=START)
    assert mail_settings() is None
