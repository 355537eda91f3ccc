"""Rows of the estate for tests: a client with a site, assets that hang on each other, people."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from forestall.estate.models import Asset, Client, Person, Site
from forestall.estate.tenancy import Scope, system_scope
from forestall.estate.values import Role

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
EVERYTHING = system_scope("test")

_numbers = count(1)


def make_client(name: str = "", **fields: Any) -> Client:
    """A client; its name is unique unless given."""
    return Client.objects.create(name=name or f"Client {next(_numbers)}", **fields)


def make_site(client: Client, name: str = "", **fields: Any) -> Site:
    """A site of a client."""
    return Site.objects.create(client=client, name=name or f"Site {next(_numbers)}", **fields)


def make_asset(
    client: Client | None = None,
    name: str = "",
    *,
    kind: str = "server",
    parent: Asset | None = None,
    **fields: Any,
) -> Asset:
    """An asset, of a new client unless one (or a parent) is given."""
    owner = client or (parent.client if parent else make_client())
    return Asset.objects.create(
        client=owner, name=name or f"asset-{next(_numbers)}", kind=kind, parent=parent, **fields
    )


def make_person(
    email: str = "", *, role: Role = Role.TECHNICIAN, clients: tuple[Client, ...] = (), **fields: Any
) -> Person:
    """Somebody who may sign in; staff of all clients unless clients are given."""
    number = next(_numbers)
    person = Person(
        email=email or f"person{number}@provider.example",
        role=role,
        all_clients=not clients,
        **{"name": f"Person {number}"} | fields,
    )
    person.set_unusable_password()
    person.save()
    person.clients.set(clients)
    return person


def scope_for(*clients: Client) -> Scope:
    """A reader who sees these clients alone."""
    return Scope(actor="reader@provider.example", clients=frozenset(client.pk for client in clients))
