"""Reading texts of contents, one or ten thousand: bases are fetched for all of them at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import zstandard
from django.db import connection

from forestall.configs.models import Content, Version
from forestall.configs.packing import BASES_MOST, digest_of, unpack
from forestall.kernel.errors import Trouble

IDS_IN_A_QUERY = 2_000
AT_ONCE = 400  # contents of which the texts are held at a time
AT_ONCE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """What is stored of a content."""

    size_bytes: int
    packed: bytes
    base: int | None
    place: int


@dataclass(frozen=True, slots=True)
class Link:
    """A content on the way from the first of its run to the one that is read."""

    key: int
    place: int
    packed_bytes: int
    text: bytes


def text_of(version: Version) -> str:
    """The text of a version."""
    return bytes_of(version.content).decode()


def bytes_of(content: Content) -> bytes:
    """The plain text of a content. Raises Trouble when what is stored is damaged."""
    return chain_of(content)[-1].text


def chain_of(content: Content) -> list[Link]:
    """A content with all its bases, from the one that stands for itself to its own, which is checked against
    its digest. Raises Trouble when what is stored is damaged."""
    return chains_of([content])[content.pk]


def chains_of(contents: Sequence[Content]) -> dict[int, list[Link]]:
    """The chains of contents, by their keys. Raises Trouble when what is stored of one is damaged."""
    rows: dict[int, Row] = {}
    keys = [one.pk for one in contents]
    for start in range(0, len(keys), IDS_IN_A_QUERY):
        rows |= _fetch(keys[start : start + IDS_IN_A_QUERY])
    _fetch_bases(rows)
    return {one.pk: _chain(one, rows) for one in contents}


def _chain(content: Content, rows: dict[int, Row]) -> list[Link]:
    order = []
    at: int | None = content.pk
    while at is not None and at in rows:
        order.append(at)
        at = rows[at].base
    links: list[Link] = []
    try:
        frames: list[bytes] = []
        for key in reversed(order):
            row = rows[key]
            frames.append(row.packed)
            text = unpack(frames, size_bytes=row.size_bytes)
            links.append(Link(key, row.place, len(row.packed), text))
    except zstandard.ZstdError as error:
        raise _damaged(content) from error
    if digest_of(links[-1].text) != bytes(content.digest):
        raise _damaged(content)
    return links


def _damaged(content: Content) -> Trouble:
    return Trouble(
        f"the stored configuration text {content.pk} is damaged",
        "Its other versions may be readable; restore the database from its backup to get it back.",
    )


def read_texts(contents: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The plain texts of many contents, in the order of `contents` (each once). What cannot be read is left
    out; `bytes_of` says what is wrong with it."""
    wanted = list(dict.fromkeys(contents))
    start = 0
    for step in _portions(wanted):
        rows = _fetch(wanted[start : start + step])
        _fetch_bases(rows)
        for key in wanted[start : start + step]:
            text = _text(key, rows)
            if text is not None:
                yield key, text
        start += step


def _portions(wanted: Sequence[int]) -> Iterator[int]:
    """How many of the contents are read at a time, so that their texts fit."""
    sizes: list[int] = []
    for start in range(0, len(wanted), IDS_IN_A_QUERY):
        part = wanted[start : start + IDS_IN_A_QUERY]
        known = dict(_select("id, size_bytes", part))
        sizes += [known.get(key, 0) for key in part]
    count = held = 0
    for size in sizes:
        if count and (count >= AT_ONCE or held + size > AT_ONCE_BYTES):
            yield count
            count = held = 0
        count, held = count + 1, held + size
    if count:
        yield count


def _text(key: int, rows: dict[int, Row]) -> bytes | None:
    chain: list[bytes] = []
    at: int | None = key
    while at is not None:
        row = rows.get(at)
        if row is None or len(chain) > BASES_MOST:
            return None
        chain.append(row.packed)
        at = row.base
    try:
        return unpack(chain[::-1], size_bytes=rows[key].size_bytes)
    except zstandard.ZstdError:
        return None


def _fetch(keys: Iterable[int]) -> dict[int, Row]:
    columns = "id, size_bytes, compressed, base_id, place"
    return {
        key: Row(size_bytes, bytes(packed), base, place)
        for key, size_bytes, packed, base, place in _select(columns, keys)
    }


def _select(columns: str, keys: Iterable[int]) -> Iterator[tuple[Any, ...]]:
    """Columns of contents by their keys: numbers, written out, because of ten thousand of them binding is
    most of the cost. The keys come from rows that the reader's scope sees."""
    listed = ",".join(str(int(key)) for key in keys)
    if listed:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM configs_content WHERE id IN ({listed})")  # noqa: S608
            yield from cursor.fetchall()


def _fetch_bases(rows: dict[int, Row]) -> None:
    """Add every base that is missing, level by level, at most BASES_MOST."""
    for _ in range(BASES_MOST):
        missing = sorted({row.base for row in rows.values() if row.base is not None and row.base not in rows})
        if not missing:
            return
        for start in range(0, len(missing), IDS_IN_A_QUERY):
            rows.update(_fetch(missing[start : start + IDS_IN_A_QUERY]))
