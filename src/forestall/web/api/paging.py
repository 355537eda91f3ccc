"""Lists: `{"items": […], "next": cursor or null}`. A cursor is opaque; it names the last item of a page."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.http import Http404
from ninja import Schema
from ninja.params.functions import Query

from forestall.kernel.errors import Trouble

LIMIT = 50
LIMIT_MAX = 200
CURSOR_MAX_CHARS = 1000

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


def cut(rows: Sequence[Row], limit: int, key: Callable[[Row], Sequence[str]]) -> dict[str, Any]:
    """A page from rows of which one more than `limit` was read."""
    more = len(rows) > limit
    page = list(rows[:limit])
    return {"items": page, "next": write_cursor(*key(page[-1])) if more else None}


def write_cursor(*parts: str) -> str:
    """Parts as an opaque text."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def read_cursor(text: str, count: int) -> list[str] | None:
    """The parts of a cursor; None for "". Raises Trouble when it is none of this list."""
    if not text:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(parts, list) and len(parts) == count and all(isinstance(part, str) for part in parts):
            return parts
    except (ValueError, binascii.Error):
        pass
    raise Trouble("that is not a cursor of this list", "Begin again without a cursor.")


def after_name(cursor: str) -> tuple[str, str] | None:
    """A cursor of a list that is ordered by name and identifier."""
    parts = read_cursor(cursor, 2)
    return (parts[0], parts[1]) if parts else None


def after_time(cursor: str) -> tuple[datetime, str] | None:
    """A cursor of a list that is ordered by time and identifier."""
    parts = read_cursor(cursor, 2)
    if not parts:
        return None
    try:
        return datetime.fromisoformat(parts[0]), parts[1]
    except ValueError as error:
        raise Trouble("that is not a cursor of this list", "Begin again without a cursor.") from error


def found(row: Row | None) -> Row:
    """What was found. Raises Http404 when it is not there, or not for this reader."""
    if row is None:
        raise Http404
    return row
