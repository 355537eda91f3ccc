"""Which rows are a client's: found by walking the foreign keys, so that a new table is never forgotten.

A table that no foreign key leads to a client from stands in `NOT_OF_A_CLIENT`, with the reason; a house test
fails for one that stands in neither.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import SET_NULL, ForeignKey, Model, Q, QuerySet

from forestall.estate.models import Client

DEPTH_MAX = 6
# Label → why no foreign key leads to a client, and who sees to what it holds of one.
NOT_OF_A_CLIENT = {
    "estate.Client": "the client itself, deleted last",
    "estate.Provider": "the provider",
    "estate.Person": "deleted by keeping.deletion when they see this client alone, as its contact",
    "estate.SetupLink": "the installation's",
    "estate.SignInFailures": "hashed persons and addresses, forgotten after a day",
    "intake.FeedBlock": "a number",
    "problems.Round": "identifiers up to which was looked",
    "journal.Entry": "append-only: contents are erased by keeping.erasing, hashes stay",
    "journal.Node": "hashes alone",
    "journal.Head": "a number",
    "journal.Checkpoint": "hashes alone",
    "tickets.Queue": "the provider's",
    "tickets.SavedView": "goes with its person",
    "invoices.Seller": "the provider's",
    "invoices.Series": "numbers alone",
    "invoices.Run": "of all clients; its drafts go with each client",
    "agreements.PriceItem": "the provider's",
    "agreements.TaxTable": "the provider's",
    "agreements.PriceIndex": "the provider's",
    "economics.CostRate": "the provider's",
    "economics.HourlyPrice": "the provider's",
    "economics.ToolCost": "the provider's",
    "keeping.Deletion": "the record that a client was deleted: its identifier alone",
    "sessions.Session": "who is signed in; ended by keeping.deletion for deleted people",
    "account.EmailAddress": "goes with its person",
    "account.EmailConfirmation": "goes with its person",
    "mfa.Authenticator": "goes with its person",
    "auth.Permission": "Django's, not used",
    "auth.Group": "Django's, not used",
    "auth.Group_permissions": "Django's, not used",
    "contenttypes.ContentType": "Django's list of tables",
}


def tables() -> list[tuple[type[Model], tuple[str, ...]]]:
    """Every table that holds rows of clients, with the look-ups that lead from it to a client; those from
    which the way is longest come first, because they are found through the others."""
    found = [
        (model, tuple(_lookups(model)))
        for model in apps.get_models(include_auto_created=True)
        if model is not Client
    ]
    reached = [(model, ways) for model, ways in found if ways]
    return sorted(reached, key=lambda one: (-max(way.count("__") for way in one[1]), one[0]._meta.label))


def rows_of(model: type[Model], ways: tuple[str, ...], client: str) -> "QuerySet[Model]":
    """The rows of one table that are the client's."""
    condition = Q()
    for way in ways:
        condition |= Q(**{way: client})
    return model._base_manager.filter(condition)


def _lookups(model: type[Model], depth: int = 0) -> Iterator[str]:
    if depth > DEPTH_MAX:
        return
    fields = [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, ForeignKey) and field.remote_field.on_delete is not SET_NULL
    ]
    own = [field for field in fields if field.related_model is Client]
    yield from (field.name for field in own)
    if any(not field.null for field in own):
        return  # a row has one client, and what it points to has the same
    for field in fields:
        if field not in own and field.related_model is not model:
            yield from (f"{field.name}__{way}" for way in _lookups(field.related_model, depth + 1))
