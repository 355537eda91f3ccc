"""What an asset says in its log lines, by templates (kernel.templates): how often in a time, which are new,
and which are no longer there. Read from the shapes that are stored: a million lines alike are one row.

    templates = learn_templates(store, clients)       # one client's; keep them, they learn on
    told = compare(store, clients, asset=…, templates=templates, from_ms=…, at_ms=…, to_ms=…)
    told.new, told.vanished                           # before `at_ms` never, since then never
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from forestall.kernel.shapes import UNSHAPED, shape_text
from forestall.kernel.templates import SHAPES_MAX, Templates
from forestall.telemetry.client import QUERY_S, Store
from forestall.telemetry.schema import DATABASE, SHAPE
from forestall.telemetry.scope import Clients, sql_of

SHAPES_READ_MAX = 5_000  # of an asset in a time, the most frequent
WHOLE_READ_MAX = 2_000  # lines that are kept whole, the newest: rare ones, and those beyond a client's shapes
_AT = (
    "at >= fromUnixTimestamp64Milli({from:Int64}) AND at < fromUnixTimestamp64Milli({to:Int64})"
    " AND asset = {asset:UInt64}"
)


@dataclass(frozen=True, slots=True)
class Said:
    """A template in a time. `severity`: the worst, as syslog counts (0 is the worst)."""

    fingerprint: int
    text: str
    count: int
    first_ms: int
    last_ms: int
    severity: int


@dataclass(frozen=True, slots=True)
class Listed:
    """The most frequent first. Not `complete`: there were more than are read, so one may be missing."""

    said: tuple[Said, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """`new`: since `at_ms` and not before; `vanished`: before and not since. Nothing is called new when what
    was before is not known completely, nothing vanished when what is since is not."""

    new: tuple[Said, ...]
    vanished: tuple[Said, ...]
    complete: bool


def learn_templates(store: Store, clients: Clients, *, timeout_s: float = QUERY_S) -> Templates:
    """Templates of all shapes that the clients' lines have. Not to be used by two threads at once.

    Raises as Store.select.
    """
    rows = store.select(
        f"SELECT DISTINCT text FROM {DATABASE}.vocabulary WHERE {sql_of(clients)} AND kind = {SHAPE}"
        f" ORDER BY text LIMIT {SHAPES_MAX}",
        timeout_s=timeout_s,
    )
    templates = Templates()
    templates.learn(str(row[0]) for row in rows)
    return templates


def list_templates(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    templates: Templates,
    from_ms: int,
    to_ms: int,
    timeout_s: float = QUERY_S,
) -> Listed:
    """What the asset said in from_ms ≤ at < to_ms; `templates` learn what they did not know.

    Raises as Store.select.
    """
    span = {"from": from_ms, "to": to_ms, "asset": asset}
    told = "toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)), min(severity)"
    scope = sql_of(clients)
    shaped = store.select(
        f"SELECT texts.text, n, first, last, worst FROM (SELECT shape AS number, count() AS n,"
        " toUnixTimestamp64Milli(min(at)) AS first, toUnixTimestamp64Milli(max(at)) AS last,"
        f" min(severity) AS worst FROM {DATABASE}.logs WHERE {scope} AND {_AT} AND shape != {UNSHAPED}"
        f" GROUP BY shape ORDER BY n DESC, shape LIMIT {SHAPES_READ_MAX + 1}) AS found ANY INNER JOIN"
        f" (SELECT number, any(text) AS text FROM {DATABASE}.vocabulary WHERE {scope} AND kind = {SHAPE}"
        " GROUP BY number) AS texts USING (number) ORDER BY n DESC, number",
        span,
        timeout_s=timeout_s,
    )
    whole = store.select(
        f"SELECT words, count(), {told} FROM (SELECT words, at, severity FROM {DATABASE}.logs WHERE {scope}"
        f" AND {_AT} AND shape = {UNSHAPED} ORDER BY at DESC LIMIT {WHOLE_READ_MAX + 1})"
        " GROUP BY words ORDER BY words",
        span,
        timeout_s=timeout_s,
    )
    complete = len(shaped) <= SHAPES_READ_MAX and sum(int(row[1]) for row in whole) <= WHOLE_READ_MAX
    rows = [(str(row[0]), *_numbers(row[1:5])) for row in shaped]
    rows += [(shape_text(str(row[0])) or str(row[0]), *_numbers(row[1:5])) for row in whole]
    templates.learn(row[0] for row in rows)
    return Listed(_counted(rows, templates), complete)


def compare(
    store: Store,
    clients: Clients,
    *,
    asset: int,
    templates: Templates,
    from_ms: int,
    at_ms: int,
    to_ms: int,
    timeout_s: float = QUERY_S,
) -> Compared:
    """What the asset says in at_ms ≤ at < to_ms, against from_ms ≤ at < at_ms.

    Raises as Store.select.
    """
    asked = {"asset": asset, "templates": templates, "timeout_s": timeout_s}
    before = list_templates(store, clients, from_ms=from_ms, to_ms=at_ms, **asked)  # type: ignore[arg-type]
    since = list_templates(store, clients, from_ms=at_ms, to_ms=to_ms, **asked)  # type: ignore[arg-type]
    earlier = {templates.now(one.fingerprint) for one in before.said}  # the second time may have joined some
    later = {one.fingerprint for one in since.said}
    new = tuple(one for one in since.said if one.fingerprint not in earlier) if before.complete else ()
    gone = (
        tuple(one for one in before.said if templates.now(one.fingerprint) not in later)
        if since.complete
        else ()
    )
    return Compared(new, gone, before.complete and since.complete)


def _numbers(row: Iterable[object]) -> tuple[int, int, int, int]:
    count, first, last, severity = (int(str(value)) for value in row)
    return count, first, last, severity


def _counted(rows: Iterable[tuple[str, int, int, int, int]], templates: Templates) -> tuple[Said, ...]:
    found: dict[int, Said] = {}
    for text, count, first_ms, last_ms, severity in rows:
        template = templates.of(text)
        one = found.get(template.fingerprint)
        if one is None:
            one = Said(template.fingerprint, template.text, 0, first_ms, last_ms, severity)
        found[template.fingerprint] = replace(
            one,
            count=one.count + count,
            first_ms=min(one.first_ms, first_ms),
            last_ms=max(one.last_ms, last_ms),
            severity=min(one.severity, severity),
        )
    return tuple(sorted(found.values(), key=lambda one: (-one.count, one.fingerprint)))
