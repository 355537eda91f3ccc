"""Which accounts on clients' machines are ours: of a person wherever they work, and of a client's machines.

Who is signed in when something changes is theirs or ours by these names alone, so they are journalled.
"""

import re
from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from forestall.estate.access import Bearer, Refused
from forestall.estate.models import Client, Person
from forestall.estate.tenancy import Scope
from forestall.estate.values import Role
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

NAMES_MAX = 50
NAME_MAX_CHARS = 64
_NAME = re.compile(r"[^\s/:*?\"<>|\[\]]+")


def name_logins_of_person(by: Bearer, person: Person, *, names: Iterable[str]) -> Person:
    """As whom a person of ours signs in. Raises Refused for another person without the right to change
    people, Trouble for what is no name."""
    if by.scope.actor != person.email and "people:write" not in by.rights:
        raise Refused("only who may change people says how somebody else signs in")
    if person.role == Role.CLIENT_CONTACT:
        raise Trouble("a client contact is none of ours", "Only our own people have login names here.")
    chosen = read_names(names)
    with transaction.atomic():
        Person.objects.filter(pk=person.pk).update(login_names=chosen)
        append(
            "access.logins_named", subject=person.pk, actor=by.scope.actor,
            body={"email": person.email, "login_names": chosen}, at=timezone.now(),
        )  # fmt: skip
    person.login_names = chosen
    return person


def name_logins_of_client(scope: Scope, client: str, *, names: Iterable[str]) -> Client:
    """The accounts on a client's machines that only we use. Raises Trouble for what is no name, or no such
    client."""
    row = Client.objects.of(scope).filter(pk=client).first()
    if row is None:
        raise Trouble("there is no such client", "Choose a client that you see.")
    chosen = read_names(names)
    with transaction.atomic():
        Client.objects.of(scope).filter(pk=client).update(login_names=chosen)
        append(
            "client.logins_named", client=client, subject=client, actor=scope.actor,
            body={"login_names": chosen}, at=timezone.now(),
        )  # fmt: skip
    row.login_names = chosen
    return row


def our_logins(scope: Scope, clients: Iterable[str]) -> dict[str, frozenset[str]]:
    """By client the login names that are ours there, in small letters and without a domain."""
    staff = Person.objects.exclude(role=Role.CLIENT_CONTACT).exclude(login_names=[])
    everywhere = {bare_login(name) for names in staff.values_list("login_names", flat=True) for name in names}
    rows = Client.objects.of(scope).filter(pk__in=set(clients)).values_list("pk", "login_names")
    return {client: frozenset(everywhere | set(map(bare_login, names))) for client, names in rows}


def bare_login(name: str) -> str:
    """`BAKERY\\Anna` and `anna@bakery.example` as `anna`."""
    return name.rpartition("\\")[2].partition("@")[0].strip().lower()


def read_names(names: Iterable[str]) -> list[str]:
    """Each once, sorted. Raises Trouble that names the wrong one."""
    chosen = sorted({name.strip() for name in names if name.strip()}, key=str.lower)
    if len(chosen) > NAMES_MAX:
        raise Trouble(f"at most {NAMES_MAX} login names", "Leave out those of people who left.")
    for name in chosen:
        if len(name) > NAME_MAX_CHARS or not _NAME.fullmatch(name) or not bare_login(name):
            raise Trouble(f"{name!r} is no login name", "Write one a line, as `whoami` prints it.")
    return chosen
