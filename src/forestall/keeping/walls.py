"""Walls between clients inside of PostgreSQL, behind the gate in the queries: row-level security, forced.

Every table that foreign keys lead to a client from (keeping.reach) gets one policy: a session sees and writes
the rows of the clients in its setting (estate.postgres sets it), all of them at `*`, and none when nothing is
set. A row that is of no client (a channel of the provider) is seen by every session that has set anything.
Raised anew after each migration, so a new table cannot be forgotten.
"""

from collections.abc import Iterator

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from forestall.estate.models import Client
from forestall.estate.tenancy import INSTALLATION, SETTING
from forestall.keeping.reach import tables

POLICY = "forestall_client"
SAID = f"(SELECT current_setting('{SETTING}', true))"  # in a query of its own: asked once, not once a row


def raise_walls(connection: BaseDatabaseWrapper) -> None:
    """Put the policy on every table with rows of clients, in one transaction."""
    with connection.schema_editor() as editor:
        for model, condition in conditions():
            table = editor.quote_name(model._meta.db_table)
            editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            editor.execute(f"DROP POLICY IF EXISTS {POLICY} ON {table}")
            editor.execute(f"CREATE POLICY {POLICY} ON {table} USING ({condition}) WITH CHECK ({condition})")


def conditions() -> Iterator[tuple[type[models.Model], str]]:
    """Tables with rows of clients, and what must hold in SQL for a row to be in reach."""
    yield Client, _any(_in_reach('"id"'))
    for model, ways in tables():
        columns = {way: _field(model, way.partition("__")[0]) for way in ways}
        seen = [
            _in_reach(f'"{field.column}"') if way == field.name else _parent_in_reach(model, field)
            for way, field in columns.items()
        ]
        if all(field.null for field in columns.values()):
            empty = " AND ".join(f'"{field.column}" IS NULL' for field in columns.values())
            seen.append(f"({empty} AND {SAID} <> '')")
        yield model, _any(*seen)


def _field(model: type[models.Model], name: str) -> "models.ForeignKey[models.Model, models.Model]":
    field = model._meta.get_field(name)
    if not isinstance(field, models.ForeignKey):
        raise TypeError(f"{model._meta.label}.{name} is no foreign key")
    return field


def _in_reach(column: str) -> str:
    return f"{column} = ANY (string_to_array({SAID}, ','))"


def _parent_in_reach(
    model: type[models.Model], field: "models.ForeignKey[models.Model, models.Model]"
) -> str:
    parent, own = field.related_model._meta, model._meta.db_table
    joined = f'p."{parent.pk.column}" = "{own}"."{field.column}"'
    return f'EXISTS (SELECT 1 FROM "{parent.db_table}" p WHERE {joined})'  # noqa: S608 - names of models


def _any(*conditions_of_it: str) -> str:
    return " OR ".join((f"{SAID} = '{INSTALLATION}'", *conditions_of_it))
