"""The tenancy gate with the type of its rows, for the rooms from findings downwards."""

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from forestall.estate.tenancy import Scope, system_scope

Row = TypeVar("Row", bound=Model)

SYSTEM = system_scope("road")


def seen(model: type[Row], scope: Scope) -> "QuerySet[Row]":
    """The rows of a tenanted table that the scope sees (`objects.of`)."""
    table: Any = model
    rows: QuerySet[Row] = table.objects.of(scope)
    return rows


def every(model: type[Row]) -> "QuerySet[Row]":
    """All rows: for the installation's own work, never for an answer to a person."""
    return seen(model, SYSTEM)
