"""Search in all configurations that a reader sees, as they are now or were at an instant.

Texts are read and looked through, many at once: no index that could disagree with them. What it costs:
docs/performance.md. Beyond SEARCH_MOST_S the answer says how many it looked through.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from forestall.configs.matching import Matcher, Needle
from forestall.configs.models import Configuration, Version
from forestall.configs.texts import read_texts
from forestall.estate.tenancy import Scope
from forestall.kernel.sections import read_sections, split_lines

SEARCH_MOST_S = 6.0
CONFIGURATIONS_MAX = 200_000
PAGE = 50
LINES_OF_ONE = 6
CONTEXT = 2
BATCH = 256
DEVICES_MAX = 1_000
LINES_OF_A_DEVICE = 50


@dataclass(frozen=True, slots=True)
class Where:
    """Which configurations. `kind` may hold `*`; `at` None is now."""

    client: str = ""
    asset: str = ""
    asset_kind: str = ""
    tag: str = ""
    kind: str = ""
    at: datetime | None = None


class Place(NamedTuple):
    """A configuration in the version that is looked at."""

    asset: str
    asset_name: str
    asset_kind: str
    client: str
    client_name: str
    kind: str
    title: str
    version: str
    content: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was found; `number` from 1, `path` the headings above it, the lines before and after it."""

    number: int
    text: str
    path: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def surrounded(self) -> list[tuple[int, str, bool]]:
        """The line among those around it: number, text, whether it is the one."""
        lines = (*self.before, self.text, *self.after)
        first = self.number - len(self.before)
        return [(number, text, number == self.number) for number, text in enumerate(lines, first)]


@dataclass(frozen=True, slots=True)
class Hit:
    """A configuration that has it, or (of a search for what is missing) has it not."""

    place: Place
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits. `matched` of `looked` configurations are like that; `complete`: all were looked at."""

    hits: list[Hit]
    matched: int
    assets: int
    looked: int
    total: int
    took_s: float
    next: int | None

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return self.looked == self.total


def list_places(scope: Scope, where: Where) -> list[Place]:
    """The configurations that are meant, by client, asset and kind."""
    rows: QuerySet[Configuration] = Configuration.objects.of(scope)
    if where.client:
        rows = rows.filter(client=where.client)
    if where.asset:
        rows = rows.filter(asset=where.asset)
    if where.asset_kind:
        rows = rows.filter(asset__kind=where.asset_kind)
    if where.tag:
        rows = rows.filter(asset__tags__name=where.tag)
    if where.kind and "*" not in where.kind:
        rows = rows.filter(kind=where.kind)
    alive = Q(asset__archived_at=None)
    version: Any = F("newest")
    content: Any = F("newest__content")
    if where.at is not None:
        alive |= Q(asset__archived_at__gt=where.at)
        then = Version.objects.filter(
            asset=OuterRef("asset"), kind=OuterRef("kind"), captured_at__lte=where.at
        ).order_by("-captured_at")
        version, content = Subquery(then.values("pk")[:1]), Subquery(then.values("content")[:1])
    columns = (
        rows.filter(alive)
        .annotate(found_version=version, found_content=content)
        .order_by("client__name", "asset__name", "kind")
        .values_list(
            "asset_id", "asset__name", "asset__kind", "client_id", "client__name", "kind", "title",
            "found_version", "found_content",
        )
    )  # fmt: skip
    found = [Place(*row) for row in columns[:CONFIGURATIONS_MAX] if row[-1] is not None]
    if "*" in where.kind:
        found = [one for one in found if fnmatchcase(one.kind, where.kind)]
    return found


def search(
    scope: Scope, needle: Needle, where: Where, *, absent: bool = False, start: int = 0, limit: int = PAGE
) -> Found:
    """Configurations that have a line like that, or with `absent` those of assets that have it in none.

    `start` is `next` of the page before. Raises Trouble for a needle that cannot be read.
    """
    begun = time.monotonic()
    matcher = Matcher(needle)
    places = list_places(scope, where)
    having, looked_at = _look(matcher, [one.content for one in places], begun + SEARCH_MOST_S)
    looked = [one for one in places if one.content in looked_at]
    if absent:
        have = {one.asset for one in looked if one.content in having}
        matched = [one for one in looked if one.asset not in have]
    else:
        matched = [one for one in looked if one.content in having]
    shown = matched[start : start + max(1, limit)]
    texts = dict(read_texts([one.content for one in shown])) if not absent else {}
    hits = [Hit(one, _lines(matcher, texts[one.content]) if one.content in texts else []) for one in shown]
    end = start + len(shown)
    return Found(
        hits=hits,
        matched=len(matched),
        assets=len({one.asset for one in matched}),
        looked=len(looked),
        total=len(places),
        took_s=time.monotonic() - begun,
        next=end if end < len(matched) else None,
    )


def _look(matcher: Matcher, contents: Sequence[int], until: float) -> tuple[set[int], set[int]]:
    """The contents that have it, and those that were looked at before time was up."""
    having: set[int] = set()
    looked: set[int] = set()
    for keys, texts in _batches(contents):
        having.update(key for key, hit in zip(keys, matcher.match(texts), strict=True) if hit)
        looked.update(keys)
        if time.monotonic() > until:
            break
    return having, looked


def _batches(contents: Sequence[int]) -> Iterator[tuple[list[int], list[bytes]]]:
    keys: list[int] = []
    texts: list[bytes] = []
    for key, text in read_texts(contents):
        keys.append(key)
        texts.append(text)
        if len(keys) >= BATCH:
            yield keys, texts
            keys, texts = [], []
    if keys:
        yield keys, texts


def _lines(matcher: Matcher, text: bytes) -> list[Line]:
    sections = read_sections(text.decode())
    found = []
    for number in matcher.lines(text, most=LINES_OF_ONE):
        if number >= len(sections.lines):
            continue
        low, high = max(0, number - CONTEXT), number + 1 + CONTEXT
        found.append(
            Line(
                number=number + 1,
                text=sections.lines[number],
                path=sections.path(number),
                before=tuple(sections.lines[low:number]),
                after=tuple(sections.lines[number + 1 : high]),
            )
        )
    return found


def lines_of_devices(scope: Scope, needle: Needle, where: Where) -> list[tuple[Place, list[str]]]:
    """What each configuration says: its lines that are like the needle, at most LINES_OF_A_DEVICE, of at most
    DEVICES_MAX configurations. When no kind is asked for, kinds of which none says anything are left out.
    Raises Trouble for a needle that cannot be read."""
    matcher = Matcher(needle)
    places = list_places(scope, where)[:DEVICES_MAX]
    said: dict[int, list[str]] = {}
    for key, text in read_texts([one.content for one in places]):
        numbers = matcher.lines(text, most=LINES_OF_A_DEVICE)
        lines = split_lines(text.decode())
        said[key] = [lines[number].strip() for number in numbers if number < len(lines)]
    telling = {one.kind for one in places if said.get(one.content)}
    return [
        (one, said[one.content])
        for one in places
        if one.content in said and (where.kind or one.kind in telling)
    ]


def list_kinds(scope: Scope) -> list[str]:
    """The kinds of configurations that are captured."""
    return sorted(Configuration.objects.of(scope).values_list("kind", flat=True).distinct()[:500])
