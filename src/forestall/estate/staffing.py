"""Who works here and what they may see: adding and changing people. Nobody hands out more than they have."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from forestall.estate.access import Bearer, Refused, make_person
from forestall.estate.models import Client, Person
from forestall.estate.queries import find_person
from forestall.estate.tenancy import system_scope
from forestall.estate.values import RIGHTS, ROLE_RIGHTS, Role
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble

NAME_MAX_CHARS = 160
COMMAND_LINE = Bearer(system_scope("command line"), frozenset(RIGHTS))


def add_person(
    by: Bearer,
    *,
    name: str,
    email: str,
    role: str,
    all_clients: bool = False,
    clients: Iterable[str] = (),
    password: str | None = None,
) -> Person:
    """A new person. Without a password they choose one through a link (`web.access.links.password_link`).

    Raises Refused for more rights or clients than the maker has, Trouble for what does not fit,
    ValidationError for a weak password.
    """
    wanted = _role(role)
    chosen = _clients(by, clients)
    _may_grant(by, wanted, all_clients=all_clients)
    if not all_clients and not chosen:
        raise Trouble("this person would see no client at all", "Name clients, or let them see all.")
    return make_person(
        name=_name(name),
        email=email,
        role=wanted,
        actor=by.scope.actor,
        password=password,
        all_clients=all_clients,
        clients=chosen,
    )


def change_person(
    by: Bearer,
    person: Person,
    *,
    name: str | None = None,
    role: str | None = None,
    all_clients: bool | None = None,
    clients: Iterable[str] | None = None,
    active: bool | None = None,
) -> Person:
    """Other particulars of a person; what is None stays. Clients that the changer does not see stay too.

    Raises Refused for somebody who may more than the changer, and as `add_person` does.
    """
    if find_person(by.scope, person.pk) is None:
        raise Trouble("there is no such person", "See the list of people.")
    if not ROLE_RIGHTS[Role(person.role)] <= by.rights:
        raise Refused(f"{person.email} may more than you do; ask an owner")
    wanted = Role(person.role) if role is None else _role(role)
    everything = person.all_clients if all_clients is None else all_clients
    _may_grant(by, wanted, all_clients=everything)
    chosen = None if clients is None else _clients(by, clients)
    with transaction.atomic():
        row = Person.objects.select_for_update().get(pk=person.pk)
        row.name = row.name if name is None else _name(name)
        row.role, row.all_clients = wanted.value, everything
        row.is_active = row.is_active if active is None else active
        row.save(update_fields=["name", "role", "all_clients", "is_active"])
        if chosen is not None:
            unseen = [pk for pk in row.clients.values_list("pk", flat=True) if not by.scope.sees(pk)]
            row.clients.set(Client.objects.filter(pk__in=[*chosen, *unseen]))
        if not Person.objects.filter(role=Role.OWNER, is_active=True, all_clients=True).exists():
            raise Trouble("somebody must stay an owner of all clients", "Make another person owner first.")
        _journal(by, row)
    return row


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        roles = ", ".join(role.value for role in Role)
        raise Trouble(f"there is no role {text!r}", f"Roles are {roles}.") from error


def _may_grant(by: Bearer, role: Role, *, all_clients: bool) -> None:
    if not ROLE_RIGHTS[role] <= by.rights:
        raise Refused(f"a {role.title.lower()} may more than you do; ask an owner")
    if all_clients and not by.scope.everything:
        raise Refused("only somebody who sees every client lets others see every client")
    if all_clients and role is Role.CLIENT_CONTACT:
        raise Trouble("a client contact does not see all clients", "Name the client.")


def _clients(by: Bearer, wanted: Iterable[str]) -> list[str]:
    identifiers = list(dict.fromkeys(wanted))
    found = set(Client.objects.of(by.scope).filter(pk__in=identifiers).values_list("pk", flat=True))
    if len(found) != len(identifiers):
        raise Trouble("there is no such client", "Choose clients that you see.")
    return identifiers


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX_CHARS:
        raise Trouble(f"a name has 1 to {NAME_MAX_CHARS} characters", "Write another one.")
    return name


def _journal(by: Bearer, person: Person) -> None:
    body = {
        "email": person.email,
        "role": person.role,
        "all_clients": person.all_clients,
        "active": person.is_active,
        "clients": sorted(person.clients.values_list("pk", flat=True)),
    }
    append("access.person_changed", subject=person.pk, actor=by.scope.actor, body=body, at=timezone.now())
