"""Signing in: lock-out in the database, nobody signs up alone, second factors with sealed secrets."""

from datetime import timedelta

import pytest
from allauth.core.context import request_context
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core.cache import cache
from django.test import Client as Browser
from django.test import RequestFactory
from django.utils import timezone

from estate_factories import make_person
from forestall.estate.lockout import (
    FROM_ALL_ADDRESSES,
    FROM_ONE_ADDRESS,
    LOCKED_FOR,
    forget_failures,
    locked_until,
    note_failure,
)
from forestall.estate.models import Person, SignInFailures
from forestall.journal.models import Entry
from forestall.web.access.links import password_link

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _fresh_limits() -> None:
    cache.clear()


@pytest.fixture
def person() -> Person:
    somebody = make_person("ada@provider.example")
    somebody.set_password(PASSWORD)
    somebody.save()
    return somebody


def sign_in(browser: Browser, email: str, password: str, address: str = "192.0.2.1") -> bool:
    browser.post("/accounts/login/", {"login": email, "password": password}, REMOTE_ADDR=address)
    return "_auth_user_id" in browser.session


def test_signing_in_is_in_the_journal(person: Person) -> None:
    assert sign_in(Browser(), person.email, PASSWORD)
    assert Entry.objects.get(kind="access.signed_in").subject == person.pk


def test_after_some_wrong_passwords_the_right_one_does_not_open(person: Person) -> None:
    for _ in range(FROM_ONE_ADDRESS):
        assert not sign_in(Browser(), person.email, "wrong")
    assert not sign_in(Browser(), person.email, PASSWORD)
    cache.clear()  # a restart of the process
    assert not sign_in(Browser(), person.email, PASSWORD), "the database remembers"
    assert sign_in(Browser(), person.email, PASSWORD, "192.0.2.2"), "a stranger elsewhere locks nobody out"
    assert Entry.objects.filter(kind="access.locked_out", subject=person.pk).count() == 1


def test_a_right_password_forgets_the_wrong_ones_from_there(person: Person) -> None:
    for _ in range(FROM_ONE_ADDRESS - 1):
        note_failure(person.email, address="a", now=NOW)
    forget_failures(person.email, address="a")
    note_failure(person.email, address="a", now=NOW)
    assert locked_until(person.email, address="a", now=NOW) is None


def test_the_lock_ends_and_old_failures_do_not_count() -> None:
    for _ in range(FROM_ONE_ADDRESS):
        note_failure("eve@example.org", address="a", now=NOW)
    assert locked_until("Eve@example.org ", address="a", now=NOW) == NOW + LOCKED_FOR
    assert locked_until("eve@example.org", address="a", now=NOW + LOCKED_FOR) is None
    for hour in range(FROM_ONE_ADDRESS + 1):
        note_failure("bob@example.org", address="a", now=NOW + timedelta(hours=2 * hour))
    assert locked_until("bob@example.org", address="a", now=NOW + timedelta(hours=11)) is None
    assert not Entry.objects.exists(), "names that nobody has do not fill the journal"


def test_guessing_from_many_addresses_is_locked_too() -> None:
    for number in range(FROM_ALL_ADDRESSES):
        note_failure("eve@example.org", address=f"198.51.100.{number}", now=NOW)
    assert locked_until("eve@example.org", address="203.0.113.7", now=NOW) is not None
    assert not SignInFailures.objects.filter(key__contains="eve").exists(), "names are hashed"


def test_nobody_signs_up_alone() -> None:
    fields = {"email": "new@example.org", "password1": PASSWORD}
    Browser(raise_request_exception=False).post("/accounts/signup/", fields)
    assert not Person.objects.exists()


def test_a_link_lets_a_new_person_choose_a_password_once() -> None:
    newcomer = make_person("new@provider.example")
    link = password_link(newcomer)
    browser = Browser(raise_request_exception=False)
    answer = browser.get(link, follow=True)
    place = answer.redirect_chain[-1][0]
    browser.post(place, {"password1": PASSWORD, "password2": PASSWORD})
    newcomer.refresh_from_db()
    assert newcomer.check_password(PASSWORD)
    other = Browser(raise_request_exception=False)
    other.get(link, follow=True)
    other.post(place, {"password1": PASSWORD + "2", "password2": PASSWORD + "2"})
    newcomer.refresh_from_db()
    assert newcomer.check_password(PASSWORD), "the link works once"


def test_who_left_is_out_at_once(person: Person) -> None:
    browser = Browser()
    assert sign_in(browser, person.email, PASSWORD)
    assert browser.get("/api/v1/me").status_code == 200
    Person.objects.filter(pk=person.pk).update(is_active=False)
    assert browser.get("/api/v1/me").status_code == 401
    assert not sign_in(Browser(), person.email, PASSWORD)


def activate(somebody: Person, secret: str) -> None:
    """Set up TOTP as its page does: in a request of who is signed in."""
    from allauth.mfa.totp.internal.auth import TOTP

    request = RequestFactory().post("/accounts/2fa/totp/activate/")
    request.user = somebody
    with request_context(request):
        TOTP.activate(somebody, secret)


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def test_a_second_factor_is_asked_for_and_its_secret_is_sealed(person: Person) -> None:
    secret = generate_totp_secret()
    activate(person, secret)
    assert secret not in str(Authenticator.objects.get(user=person).data)
    browser = Browser(raise_request_exception=False)
    assert not sign_in(browser, person.email, PASSWORD), "the password alone is not enough"
    browser.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert "_auth_user_id" not in browser.session
    browser.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert "_auth_user_id" in browser.session
    assert Entry.objects.filter(kind="access.signed_in").count() == 1


def test_a_second_factor_that_was_put_into_another_persons_row_does_not_open(person: Person) -> None:
    """Who can write to the database, and has a second factor of their own, gets in nowhere with it."""
    mallory = make_person("mallory@provider.example")
    known = generate_totp_secret()
    activate(mallory, known)
    activate(person, generate_totp_secret())
    moved = Authenticator.objects.get(user=mallory).data
    Authenticator.objects.filter(user=person).update(data=moved)
    browser = Browser(raise_request_exception=False)
    sign_in(browser, person.email, PASSWORD)
    browser.post("/accounts/2fa/authenticate/", {"code": code_of(known)})
    assert "_auth_user_id" not in browser.session
