"""What must hold in a restored database: one question a line, and what its answer must be. Pure.

`SELECT count(*) FROM orders -> least 1000`, `SELECT max(at) FROM orders -> age 26h`, `SELECT 1 -> 1`. A
question only reads: it is asked by a role that may do nothing else.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

LINES_MAX = 50
LINE_MAX_CHARS = 2_000
_LINE = re.compile(
    r"(?:(?P<database>[\w-]+):\s*)?(?P<sql>(?:SELECT|WITH|VALUES)\b.*?);?\s*->\s*"
    r"(?:(?P<kind>least|most|age)\s+)?(?P<value>[^>]*)", re.I | re.S,
)  # fmt: skip
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(min|m|h|d|hours?|days?|minutes?)", re.I)
_UNIT_S = {"m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Invariant:
    """`database` empty: the plan's. `age_s` is set for age only."""

    sql: str
    kind: Literal["is", "least", "most", "age"]
    value: str
    database: str = ""
    age_s: float = 0.0


def parse(line: str) -> Invariant:
    """Raises ValueError with what to write instead."""
    found = _LINE.fullmatch(line.strip())
    if found is None or len(line) > LINE_MAX_CHARS or "\0" in line:
        raise ValueError(
            f"{line[:200]!r} is no invariant: write SELECT … -> what it must be (a value, least N, most N, "
            "age 26h)"
        )
    kind, value = (found["kind"] or "is").lower(), found["value"].strip()
    age_s = 0.0
    if kind == "age":
        age = _AGE.fullmatch(value)
        if age is None:
            raise ValueError(f"{value!r} is no age: write 30m, 26h or 8d")
        age_s = float(age[1]) * _UNIT_S[age[2][0].lower()]
    elif kind != "is" and _number(value) is None:
        raise ValueError(f"{value!r} is no number, and {kind} needs one")
    return Invariant(found["sql"].strip(), kind, value, found["database"] or "", age_s)  # type: ignore[arg-type]


def hold(invariant: Invariant, answer: str, *, now_ms: int) -> tuple[bool, str]:
    """Whether the first field of the answer is what it must be, and that in words."""
    got = answer.strip()
    shown = got[:200] or "nothing"
    match invariant.kind:
        case "is":
            return got == invariant.value, f"{invariant.sql[:300]} is {shown}, and must be {invariant.value}"
        case "age":
            at = _time(got)
            if at is None:
                return False, f"{invariant.sql[:300]} is {shown}, which is no time"
            age_s = now_ms / 1000 - at.timestamp()
            said = f"{invariant.sql[:300]} is {shown}: {age_s / 3600:.1f} h old, at most {invariant.value}"
            return age_s <= invariant.age_s, said
    number, bound = _number(got), _number(invariant.value)
    said = f"{invariant.sql[:300]} is {shown}, {'at least' if invariant.kind == 'least' else 'at most'} {invariant.value}"  # fmt: skip  # noqa: E501
    if number is None or bound is None:
        return False, said
    return (number >= bound if invariant.kind == "least" else number <= bound), said


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _time(text: str) -> datetime | None:
    """ISO as databases write it (`2026-11-23 14:00:00+00`), or seconds since 1970; UTC without a zone."""
    if (number := _number(text)) is not None:
        return datetime.fromtimestamp(float(number), UTC) if 0 <= number < 1 << 40 else None
    try:
        found = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text.replace(" ", "T", 1)))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
