"""Rights and scopes: a token never exceeds its maker, nobody hands out more than they have."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estate_factories import make_client, make_person
from forestall.estate.access import (
    Refused,
    bearer_of,
    bearer_of_person,
    is_setup_link,
    make_setup_link,
    make_token,
    revoke_token,
    rights_of,
    scope_of,
    use_setup_link,
)
from forestall.estate.models import ApiToken, Person, Provider, SetupLink
from forestall.estate.staffing import add_person, change_person
from forestall.estate.values import RIGHTS, ROLE_RIGHTS, Role
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


def test_nobody_and_the_inactive_see_nothing() -> None:
    person = make_person(role=Role.OWNER, is_active=False)
    assert not scope_of(person).everything and not scope_of(person).clients and not rights_of(person)
    assert not scope_of(None).everything and not rights_of(None)


def test_a_client_contact_never_sees_all_clients() -> None:
    client = make_client()
    person = make_person(role=Role.CLIENT_CONTACT, clients=(client,))
    Person.objects.filter(pk=person.pk).update(all_clients=True)
    person.refresh_from_db()
    assert scope_of(person).clients == {client.pk} and not scope_of(person).everything


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made_as=st.sampled_from(list(Role)),
    becomes=st.sampled_from(list(Role)),
    may=st.sets(st.sampled_from(RIGHTS)),
    bound=st.booleans(),
    keeps_client=st.booleans(),
)
def test_a_token_never_exceeds_what_its_maker_may_now(
    made_as: Role, becomes: Role, may: set[str], bound: bool, keeps_client: bool
) -> None:
    client, other = make_client(), make_client()
    person = make_person(role=made_as, clients=(client, other))
    if not may <= ROLE_RIGHTS[made_as]:
        with pytest.raises(Trouble):
            make_token(person, name="x", may=may)
        may &= ROLE_RIGHTS[made_as]
    _, secret = make_token(person, name="x", may=may, client=client.pk if bound else None)
    person.role = becomes
    person.save()
    person.clients.set([client, other] if keeps_client else [other])
    bearer = bearer_of(f"Bearer {secret}")
    assert bearer.rights == may & ROLE_RIGHTS[becomes]
    assert bearer.scope.clients == (
        ({client.pk} if keeps_client else set()) if bound else scope_of(person).clients
    )
    assert not bearer.scope.everything


def test_a_token_cannot_make_a_stronger_one() -> None:
    owner, client = make_person(role=Role.OWNER), make_client()
    _, secret = make_token(owner, name="narrow", may=["estate:read"], client=client.pk)
    narrow = bearer_of(f"Bearer {secret}")
    with pytest.raises(Trouble, match="may not tickets:read"):
        make_token(owner, name="x", may=["tickets:read"], client=client.pk, by=narrow)
    with pytest.raises(Trouble, match="bound to a client"):
        make_token(owner, name="x", may=["estate:read"], by=narrow)
    with pytest.raises(Trouble, match="no such client"):
        make_token(owner, name="x", may=["estate:read"], client=make_client().pk, by=narrow)
    make_token(owner, name="x", may=["estate:read"], client=client.pk, by=narrow)


def test_a_token_is_hashed_ends_and_is_revoked() -> None:
    person = make_person(role=Role.OWNER)
    token, secret = make_token(person, name="ends", may=["estate:read"])
    row = ApiToken.objects.get(pk=token.pk)
    assert secret.encode() not in bytes(row.token_hash) and len(bytes(row.token_hash)) == 32
    assert bearer_of(f"Bearer {secret}").person == person
    assert bearer_of(f"Bearer {secret}x").person is None
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert bearer_of(f"Bearer {secret}").person is None
    token, secret = make_token(person, name="revoked", may=["estate:read"])
    revoke_token(token, actor=person.email)
    assert bearer_of(f"Bearer {secret}").person is None
    assert Entry.objects.filter(kind="access.token_revoked", subject=token.pk).count() == 1
    person.is_active = False
    person.save()
    with pytest.raises(Trouble):
        make_token(person, name="x", may=["estate:read"])


def test_the_set_up_link_works_once_and_never_again() -> None:
    first, secret = make_setup_link(), make_setup_link()
    assert not is_setup_link(first) and is_setup_link(secret)
    assert secret.encode() not in bytes(SetupLink.objects.get().token_hash)
    fields = {"provider": "Seed MSP", "name": "Ada", "email": "Ada@Example.org"}
    with pytest.raises(ValidationError):
        use_setup_link(secret, **fields, password="short")
    assert is_setup_link(secret), "a weak password does not use it up"
    owner = use_setup_link(secret, **fields, password=PASSWORD)
    assert owner.role == Role.OWNER and owner.email == "ada@example.org" and owner.check_password(PASSWORD)
    assert Provider.objects.get().name == "Seed MSP"
    assert not is_setup_link(secret) and make_setup_link() == ""
    with pytest.raises(Refused):
        use_setup_link(secret, **fields, password=PASSWORD)


def test_an_unused_link_is_dead_once_there_is_an_owner() -> None:
    secret = make_setup_link()
    make_person(role=Role.OWNER)
    assert not is_setup_link(secret)
    with pytest.raises(Refused):
        use_setup_link(secret, provider="x", name="y", email="z@example.org", password=PASSWORD)
    assert Person.objects.count() == 1


@pytest.mark.parametrize("maker", list(Role))
@pytest.mark.parametrize("wanted", list(Role))
def test_nobody_makes_somebody_who_may_more(maker: Role, wanted: Role) -> None:
    client = make_client()
    by = bearer_of_person(make_person(role=maker, clients=(client,)))
    fields = {"name": "New", "email": "new@example.org", "role": wanted.value, "clients": [client.pk]}
    if ROLE_RIGHTS[wanted] <= by.rights:
        assert add_person(by, **fields).role == wanted
    else:
        with pytest.raises(Refused):
            add_person(by, **fields)


def test_nobody_hands_out_clients_that_they_do_not_see() -> None:
    mine, other = make_client(), make_client()
    by = bearer_of_person(make_person(role=Role.OWNER, clients=(mine,)))
    fields = {"name": "New", "email": "new@example.org", "role": "read_only"}
    with pytest.raises(Refused):
        add_person(by, **fields, all_clients=True)
    with pytest.raises(Trouble, match="no such client"):
        add_person(by, **fields, clients=[other.pk])
    both = make_person(role=Role.READ_ONLY, clients=(mine, other))
    make_person(role=Role.OWNER)
    change_person(by, both, clients=[])
    assert set(both.clients.all()) == {other}, "what the changer does not see stays"


def test_somebody_stays_owner_and_the_weaker_do_not_change_the_stronger() -> None:
    owner = make_person(role=Role.OWNER)
    manager = make_person(role=Role.SERVICE_MANAGER)
    with pytest.raises(Trouble, match="must stay an owner"):
        change_person(bearer_of_person(owner), owner, active=False)
    owner.refresh_from_db()
    assert owner.is_active
    with pytest.raises(Refused):
        change_person(bearer_of_person(manager), owner, name="Nobody")
    with pytest.raises(Refused):
        change_person(bearer_of_person(manager), manager, role="owner")
