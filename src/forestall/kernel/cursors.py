"""Pages of lists: the place of a page's last row as an opaque text, the same for every list."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from forestall.kernel.errors import Trouble

CURSOR_MAX_CHARS = 1000

Row = TypeVar("Row")
Place = TypeVar("Place", bound=tuple[object, ...])
ByName = tuple[str, str]  # name, identifier
ByTime = tuple[datetime, str]  # aware time, identifier


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list. `next` is the cursor of the page after it; None: that was all."""

    items: list[Row]
    next: str | None


def cut(rows: Sequence[Row], most: int, place: Callable[[Row], tuple[object, ...]]) -> Page[Row]:
    """A page from rows of which one more than `most` was read. `place` is what the list is ordered by."""
    page = list(rows[:most])
    return Page(page, write_cursor(place(page[-1])) if len(rows) > most else None)


def write_cursor(place: tuple[object, ...]) -> str:
    """A place (texts, numbers, aware times) as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(text: str, shape: type[Place]) -> Place:
    """The place that was written, as a tuple of that shape. Raises Trouble for what is no cursor of it."""
    try:
        if len(text) <= CURSOR_MAX_CHARS:
            written = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            place = msgspec.json.decode(written, type=shape)
            if not any(isinstance(part, datetime) and part.tzinfo is None for part in place):
                return place
    except (ValueError, binascii.Error):  # what msgspec raises is a ValueError
        pass
    raise Trouble("that is not a cursor of this list", "Begin again without a cursor.")
