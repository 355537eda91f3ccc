"""What a backup product says of its own runs, in a mail, a log or an answer of its API: one value for all.

It is a claim, not a proof: at best it is level 0 of the ladder. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

from forestall.kernel.backups import RunReport, Said

TEXT_MAX_CHARS = 1 << 20
RUNS_MAX = 500
KEPT_CHARS = 4_000
_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40, "PB": 1 << 50,
          "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "BYTES": 1, "BYTE": 1}  # fmt: skip
_SIZE = re.compile(r"([\d.,]+)\s*([KMGTP]i?B|bytes?|B)\b", re.I)
_DURATION = re.compile(r"(\d+)\s*(d|h|m|s)[a-z]*", re.I)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeard:
    """A run as its product tells it. `job` and `host` find the plan; `key` is the product's own identifier,
    or made of what is stable. `text` is what it was read from, for a person: cut, not masked."""

    tool: str
    said: Said
    reason: str
    by: Literal["mail", "log"]
    job: str = ""
    host: str = ""
    key: str = ""
    began_ms: int | None = None
    ended_ms: int | None = None
    size: int | None = None
    added: int | None = None
    files: int | None = None
    files_new: int | None = None
    files_changed: int | None = None
    warnings: int | None = None
    copy: str = ""
    text: str = ""

    def report(self, plan: str, at_ms: int) -> RunReport:
        """For a plan; `at_ms`: when it came here."""
        ended_ms = None if self.said == "running" else self.ended_ms or at_ms
        name = self.key or f"{self.tool}@{self.began_ms or ended_ms or at_ms}"
        return RunReport(
            plan=plan, run=name[:160], at_ms=at_ms, by=self.by, said=self.said, began_ms=self.began_ms,
            ended_ms=ended_ms, reason=self.reason[:2048], tool=self.tool[:128], output=self.text[:KEPT_CHARS],
            copy=self.copy[:160], files=self.files, size=self.size, files_new=self.files_new,
            files_changed=self.files_changed, added=self.added,
        )  # fmt: skip


def size_of(text: str) -> int | None:
    """`12.34 GB` in bytes; None for what is none. Products mean 1024 by KB."""
    found = _SIZE.search(text)
    if found is None:
        return None
    number = found[1]
    number = number.replace(",", "") if "." in number or not re.search(r",\d{1,2}$", number) else (
        number.replace(",", ".")
    )  # fmt: skip
    try:
        return round(float(number) * _UNITS[found[2].upper()])
    except (ValueError, KeyError):
        return None


def duration_s(text: str) -> int | None:
    """`00:01:23`, `1h 2m 3s`, `5 Minute 12 Second`; None for what is none."""
    if clock := re.search(r"(?:(\d+)[.d]\s*)?(\d+):(\d\d):(\d\d)", text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    found = _DURATION.findall(text)
    return sum(int(number) * _SECONDS[unit.lower()] for number, unit in found) if found else None


_FORMS = (
    "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y-%H:%M",
    "%d.%m.%Y %H:%M:%S", "%a, %b %d %Y %H:%M:%S", "%a, %b %d %Y %H:%M", "%A, %B %d, %Y %I:%M:%S %p",
    "%A, %d %B %Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M",
)  # fmt: skip


def time_ms(text: str, zone: tzinfo = UTC) -> int | None:
    """In ms since 1970; what has no zone is in `zone`. None for what is none."""
    text = text.strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in _FORMS:
            try:
                found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is given
                break
            except ValueError:
                continue
        else:
            return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    at_ms = round(found.timestamp() * 1000)
    return at_ms if 0 <= at_ms < 1 << 53 else None


def whole(values: Mapping[str, object], name: str) -> int | None:
    """A count from an answer of an API."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
