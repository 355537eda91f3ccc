"""The set-up page lets the first owner in once; nobody signs up alone."""

import pytest
from django.test import Client as Browser

from estate_factories import make_person
from forestall.estate.access import make_setup_link
from forestall.estate.models import Person, Provider
from forestall.estate.values import Role

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
