"""Searching logs: newest first, with a histogram and the most frequent values of fields. Bounded in time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any as Anything
from typing import TypeVar

from forestall.collect.parsers.syslog_original import original
from forestall.kernel.shapes import rebuild
from forestall.telemetry.client import Store, StoreRefused
from forestall.telemetry.conditions import Conditions, Found, source_of
from forestall.telemetry.language import Node, SearchError, parse
from forestall.telemetry.schema import BUCKET
from forestall.telemetry.scope import Clients, sql_of

LINES_MAX = 1000
TIMEOUT_S = 10.0
BUCKETS_MAX = 1500
FACETS = ("source", "host", "severity")
FACET_VALUES = 10
# Reading the time first, to know what cannot be among the newest, costs more than it saves here.
SETTINGS = {"use_top_k_dynamic_filtering": 0}
# Windows that are tried one after the other, so that the newest lines are found without reading everything.
WINDOWS_MS = (60_000, 15 * 60_000, 3 * 3_600_000, 86_400_000, 8 * 86_400_000)

# A line whose shape's text is not there: never seen, and never hidden.
MISSING = "[the text of shape %d is missing from the vocabulary; what varied: %s %s]"
CODE_TIMEOUT, CODE_TOO_SLOW, CODE_REGEX = 159, 160, 427

Query = Node
Answer = TypeVar("Answer")
__all__ = ["Line", "Page", "Query", "SearchError", "around", "facets", "histogram", "parse", "search_logs"]


@dataclass(frozen=True, slots=True)
class Line:
    """A stored log line; `client` and `asset` are numbers of identifiers (kernel.ids.from_number).

    `received_at_ms` is `at_ms` for a line that came in time (write.LATE_MS). `raw` is the line as it was
    received, "" for records that never were one.
    """

    client: int
    asset: int
    at_ms: int
    received_at_ms: int
    severity: int
    facility: int
    source: str
    host: str
    message: str
    raw: str
    attrs: str


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, newest first; `next` is the cursor of the following page, None at the end."""

    lines: list[Line]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query, ready to be asked: where from, under which condition, and whether few rows are expected."""

    source: str
    condition: str
    parameters: dict[str, str | int]
    rare: bool
    written: str  # how far the vocabulary was written that the condition stands on; "": as far as it is


_COLUMNS = (
    "client, asset, toUnixTimestamp64Milli(at), toUInt32(late_at), severity, facility, source, host, shape,"
    " numbers, words, addresses, raw, attrs, form, rest"
)
_NEWEST = "ORDER BY at DESC"
_EXACT = "ORDER BY at DESC, asset DESC, shape DESC, numbers DESC, words DESC"
_SPAN = (
    f"{BUCKET} >= {BUCKET.replace('at', '{from}')} AND {BUCKET} <= {BUCKET.replace('at', '{to}')}"
    " AND at >= {from} AND at <= {to}"
).format(**{"from": "fromUnixTimestamp64Milli({from:Int64})", "to": "fromUnixTimestamp64Milli({to:Int64})"})


def search_logs(
    store: Store,
    query: Node | str,
    *,
    clients: Clients,
    from_ms: int,
    to_ms: int,
    asset: int | None = None,
    limit: int = 100,
    before: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Page:
    """The newest lines that match, from_ms ≤ at < to_ms.

    Raises SearchError (what is wrong with the query, or that it takes too long), StoreUnavailable.
    """
    limit = max(1, min(limit, LINES_MAX))
    deadline = time.monotonic() + timeout_s
    last_ms, skip = _read_cursor(before, to_ms)
    span = (from_ms, last_ms)

    def newest(asked: _Asked) -> tuple[list[Sequence[Anything]], bool]:
        rows = _newest(store, asked, span, limit + 1, skip, deadline, order=_EXACT if skip else _NEWEST)
        exact = skip > 0
        if not exact and len(rows) > limit and rows[limit][2] == rows[limit - 1][2]:
            # The page ends within a millisecond: from here on the order of its lines must be a settled one.
            rows = _newest(store, asked, span, limit + 1, 0, deadline, order=_EXACT)
            exact = True
        return rows, exact

    rows, exact = _asked_for(store, query, clients, asset, timeout_s=timeout_s, run=newest)
    lines = _lines(store, clients, rows[:limit])
    if len(rows) <= limit:
        return Page(lines, None)
    oldest_ms = lines[-1].at_ms
    if not exact:
        return Page(lines, f"{oldest_ms - 1}.0")
    seen = sum(line.at_ms == oldest_ms for line in lines) + (skip if oldest_ms == last_ms else 0)
    return Page(lines, f"{oldest_ms}.{seen}")


def _newest(
    store: Store,
    asked: "_Asked",
    span: tuple[int, int],
    count: int,
    skip: int,
    deadline: float,
    *,
    order: str,
) -> list[Sequence[Anything]]:
    """The newest rows: stretch by stretch, or all at once where few are expected."""
    from_ms, until_ms = span
    rows: list[Sequence[Anything]] = []
    for start_ms in [from_ms] if asked.rare else _windows(from_ms, until_ms):
        sql = (
            f"SELECT {_COLUMNS} FROM {asked.source} WHERE {_SPAN} AND {asked.condition} {order}"
            f" LIMIT {count - len(rows)} OFFSET {skip}"
        )
        given = asked.parameters | {"from": start_ms, "to": until_ms}
        rows += _select(store, sql, given, deadline - time.monotonic())
        if len(rows) >= count:
            break
        until_ms, skip = start_ms - 1, 0
    return rows


def histogram(
    store: Store,
    query: Node | str,
    *,
    clients: Clients,
    from_ms: int,
    to_ms: int,
    buckets: int = 60,
    asset: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[tuple[int, int, int]]:
    """How many lines match over time: (start of bucket in ms, severity, count), only where there are any."""
    width_ms = max(1, (to_ms - from_ms) // max(1, min(buckets, BUCKETS_MAX)))

    def count(asked: _Asked) -> Sequence[Sequence[Anything]]:
        sql = (
            "SELECT {from:Int64} + {width:Int64} * intDiv(toUnixTimestamp64Milli(at) - {from:Int64},"
            f" {{width:Int64}}) AS start, severity, count() FROM {asked.source}"
            f" WHERE {_SPAN} AND {asked.condition}"
            f" GROUP BY start, severity ORDER BY start, severity LIMIT {8 * (BUCKETS_MAX + 2)}"
        )
        given = asked.parameters | {"from": from_ms, "to": to_ms - 1, "width": width_ms}
        return _select(store, sql, given, timeout_s)

    rows = _asked_for(store, query, clients, asset, timeout_s=timeout_s, run=count)
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows]


def facets(
    store: Store,
    query: Node | str,
    *,
    clients: Clients,
    from_ms: int,
    to_ms: int,
    asset: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, list[tuple[str, int]]]:
    """The most frequent values of source, host and severity among the matching lines, with their counts; at
    most FACET_VALUES each, the most frequent first."""

    def count(asked: _Asked) -> Sequence[Sequence[Anything]]:
        sql = (
            "SELECT multiIf(grouping(source) = 0, 'source', grouping(host) = 0, 'host', 'severity') AS facet,"
            " source, host, severity, count() AS lines"
            f" FROM {asked.source} WHERE {_SPAN} AND {asked.condition}"
            " GROUP BY GROUPING SETS ((source), (host), (severity))"
            f" ORDER BY lines DESC, source, host, severity LIMIT {FACET_VALUES} BY facet"
        )
        return _select(store, sql, asked.parameters | {"from": from_ms, "to": to_ms - 1}, timeout_s)

    rows = _asked_for(store, query, clients, asset, timeout_s=timeout_s, run=count)
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in FACETS}
    for facet, source, host, severity, lines in rows:
        value = {"source": source, "host": host, "severity": severity}[facet]
        found[facet].append((str(value), int(lines)))
    return found


def around(
    store: Store, clients: Clients, *, asset: int, from_ms: int, to_ms: int, limit: int = LINES_MAX
) -> list[Line]:
    """The lines of an asset in a span of time, oldest first; the newest `limit` of them."""
    page = search_logs(store, "", clients=clients, asset=asset, from_ms=from_ms, to_ms=to_ms, limit=limit)
    return page.lines[::-1]


def _asked_for(
    store: Store,
    query: Node | str,
    clients: Clients,
    asset: int | None,
    *,
    timeout_s: float,
    run: Callable[[_Asked], Answer],
) -> Answer:
    """What `run` answers to a condition that stands on the vocabulary of its time: what is known by heart is
    tried first, and again when the store says that more was written in the meantime."""
    not_older = ""
    for by_heart in (True, True, False):
        asked = _ask(store, query, clients, asset, timeout_s, by_heart=by_heart, not_older=not_older)
        answer = run(asked)
        not_older = store.said.after
        if asked.written in ("", not_older):
            break
    return answer


def _ask(
    store: Store,
    query: Node | str,
    clients: Clients,
    asset: int | None,
    timeout_s: float,
    *,
    by_heart: bool,
    not_older: str,
) -> _Asked:
    """Make the condition; words are looked up in the vocabulary for it."""
    scope = sql_of(clients)
    made = Conditions(scope)
    part = made.of(parse(query) if isinstance(query, str) else query)
    found: Found = {}
    written = ""
    if made.lookups:
        lexicon = store.lexicons.of(store, not_older=not_older) if by_heart else None
        if lexicon is not None:
            found, written = lexicon.find(made.lookups, clients), lexicon.written
        else:
            rows = _select(store, made.lookup_sql(), made.parameters, timeout_s)
            found = made.found([tuple(int(value) for value in row) for row in rows])
    condition = f"{scope} AND {made.sql(part, found)}"
    if asset is not None:
        condition += f" AND asset = {int(asset)}"
    source = source_of(scope, needs_message=made.needs_message)
    return _Asked(source, condition, made.parameters, made.is_rare(part, found), written)


def _lines(store: Store, clients: Clients, rows: Sequence[Sequence[Anything]]) -> list[Line]:
    """The rows with their messages put together."""
    texts = store.shapes.of(store, clients, {(int(row[0]), int(row[8])) for row in rows if row[8]})
    lines = []
    for client, asset, at_ms, late_s, severity, facility, source, host, shape, *rest in rows:
        numbers, words, addresses, raw, attrs, form, fraction = rest
        message = words
        if shape:
            text = texts.get((int(client), int(shape)))
            message = MISSING % (shape, numbers, words)
            if text is not None:
                message = rebuild(text, numbers, words, addresses)
        received_at_ms = int(late_s) * 1000 if late_s else at_ms
        raw = original(
            form, fraction, at_ms=at_ms, severity=severity, facility=facility, source=source, host=host,
            message=message, raw=raw, attrs=attrs,
        )  # fmt: skip
        lines.append(
            Line(client, asset, at_ms, received_at_ms, severity, facility, source, host, message, raw, attrs)
        )
    return lines


def _windows(from_ms: int, to_ms: int) -> list[int]:
    """Where the stretches begin that are searched one after the other, the last at `from_ms`."""
    return [to_ms - width for width in WINDOWS_MS if to_ms - width > from_ms] + [from_ms]


def _read_cursor(before: str | None, to_ms: int) -> tuple[int, int]:
    """(the last millisecond to look at, how many lines of it were shown). Raises SearchError."""
    if before is None:
        return to_ms - 1, 0
    at, _, seen = before.partition(".")
    if not (at.isdigit() and seen.isdigit() and len(at) < 16 and len(seen) < 9):
        raise SearchError("this is not a cursor of a search: begin again without it", 0)
    return min(int(at), to_ms - 1), int(seen)


def _select(
    store: Store, sql: str, parameters: dict[str, str | int], timeout_s: float
) -> Sequence[Sequence[Anything]]:
    try:
        return store.select(sql, parameters, timeout_s=max(0.0, timeout_s), settings=SETTINGS)
    except StoreRefused as refused:
        if refused.code in (CODE_TIMEOUT, CODE_TOO_SLOW) or "TIMEOUT_EXCEEDED" in str(refused):
            raise SearchError(
                "this takes too long: choose a shorter time, an asset, or rarer words",
                0,
            ) from refused
        if refused.code == CODE_REGEX or "CANNOT_COMPILE_REGEXP" in str(refused):
            raise SearchError(
                "this regular expression is not one that the store knows (RE2 syntax)", 0
            ) from refused
        raise
