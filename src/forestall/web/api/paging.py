"""Lists: `{"items": […], "next": cursor or null}`. A cursor is opaque; it names the last item of a page."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.http import Http404, HttpRequest
from ninja import Schema
from ninja.params.functions import Query

from forestall.estate.tenancy import Scope
from forestall.kernel.cursors import CURSOR_MAX_CHARS, ByName, ByTime, read_cursor
from forestall.web.api.auth import seen_by

LIMIT = 50
LIMIT_MAX = 200

Item = TypeVar("Item")
Row = TypeVar("Row")


class Listed(Schema, Generic[Item]):
    """A page of a list. `next`: give it as `cursor` for the following page; null at the end."""

    items: list[Item]
    next: str | None = None


def limit_of() -> Any:
    """The query parameter `limit`."""
    return Query(LIMIT, ge=1, le=LIMIT_MAX, description="How many items at most.")


def cursor_of() -> Any:
    """The query parameter `cursor`."""
    return Query("", max_length=CURSOR_MAX_CHARS, description="`next` of the page before.")


def after_name(cursor: str) -> ByName | None:
    """A cursor of a list that is ordered by name and identifier."""
    return read_cursor(cursor, tuple[str, str]) if cursor else None


def after_time(cursor: str) -> ByTime | None:
    """A cursor of a list that is ordered by time and identifier."""
    return read_cursor(cursor, tuple[datetime, str]) if cursor else None


def one(request: HttpRequest, find: Callable[[Scope, str], Row | None], identifier: str) -> Row:
    """What a query finds for this reader. Raises Http404 when it is not there, or not for them."""
    return found(find(seen_by(request), identifier))


def found(row: Row | None) -> Row:
    """What was found. Raises Http404 when it is not there, or not for this reader."""
    if row is None:
        raise Http404
    return row
