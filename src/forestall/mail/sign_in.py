"""One-time links with which contacts get into the portal: made, mailed by who asked for them, used once.

A link opens nothing by being opened: the page behind it has a button, because programs that look into mail
open links.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from forestall.estate.access import hash_secret, make_person
from forestall.estate.models import Contact, Person
from forestall.estate.values import Role
from forestall.mail.models import SignInLink

LASTS = timedelta(minutes=20)
MADE_MOST = 5  # of one contact, within LASTS
KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Made:
    """To whom it goes, and its secret."""

    email: str
    name: str
    secret: str


def make_link(email: str, *, now: datetime) -> Made | None:
    """A fresh link for the contact of that address; None when there is nobody who may come in this way: staff
    have passwords, somebody with a second factor uses it, and a person who was made for other clients stays
    there. Of somebody who is a contact of several clients the first one counts."""
    address = email.strip().lower()
    contact = Contact.objects.filter(email__iexact=address, client__archived_at=None).order_by("pk").first()
    if contact is None or not _may(_person(address), contact):
        return None
    with transaction.atomic():
        SignInLink.objects.filter(made_at__lt=now - KEPT_FOR).delete()
        if SignInLink.objects.filter(contact=contact, made_at__gt=now - LASTS).count() >= MADE_MOST:
            return None
        secret = secrets.token_urlsafe(32)
        SignInLink.objects.create(token_hash=hash_secret(secret), contact=contact, made_at=now)
    return Made(contact.email, contact.name, secret)


def is_good(secret: str, *, now: datetime) -> bool:
    """Whether the link would still open."""
    return SignInLink.objects.filter(
        token_hash=hash_secret(secret), used_at=None, made_at__gt=now - LASTS
    ).exists()


def use_link(secret: str, *, now: datetime) -> Person | None:
    """Use the link up; the person to sign in, made when they come for the first time. None for a link that
    opens nothing (any more)."""
    with transaction.atomic():
        mine = SignInLink.objects.filter(
            token_hash=hash_secret(secret), used_at=None, made_at__gt=now - LASTS
        )
        if not mine.update(used_at=now):
            return None
        contact = SignInLink.objects.select_related("contact").get(token_hash=hash_secret(secret)).contact
        address = contact.email.strip().lower()
        person = _person(address)
        if not _may(person, contact):
            return None
        return person or make_person(
            name=contact.name, email=address, role=Role.CLIENT_CONTACT, actor=address,
            clients=[contact.client_id],
        )  # fmt: skip


def _person(address: str) -> Person | None:
    return Person.objects.filter(email__iexact=address).first()


def _may(person: Person | None, contact: Contact) -> bool:
    if person is None:
        return True
    return (
        person.is_active
        and person.role == Role.CLIENT_CONTACT
        and not person.authenticator_set.exists()  # type: ignore[attr-defined]
        and person.clients.filter(pk=contact.client_id).exists()
    )
