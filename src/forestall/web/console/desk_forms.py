"""Forms of the desk's set-up: what people write → terms, and back. What cannot be read is said by field."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from forestall.tickets.clock import zone_of
from forestall.tickets.decide import PRIORITIES
from forestall.tickets.models import Recurring, ServiceLevel, Template
from forestall.tickets.setting_up import LevelTerms, TemplateTerms, Wrong
from forestall.web.console.common import lines_of

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TARGETS = tuple(f"{kind}_{priority}" for priority in PRIORITIES for kind in ("first", "solve"))
EVERY = {"day": "every day", "week": "every week", "month": "every month"}
NEW_LEVEL = {
    **{f"hours_{at}": "08:00-12:00, 13:00-17:00" for at in range(5)},
    "timezone": "Europe/Berlin", "warn_percent": "75", "first_1": "30 min", "solve_1": "4 h",
    "first_2": "2 h", "solve_2": "8 h", "first_3": "4 h", "solve_3": "24 h",
}  # fmt: skip
UNIT_S = {"min": 60, "m": 60, "h": 3600, "": 3600}
_SPAN = re.compile(r"(\d{1,2}):(\d\d)\s*(?:-|–|to)\s*(\d{1,2}):(\d\d)")
_LASTS = re.compile(r"(\d{1,5}(?:[.,]\d{1,2})?)\s*(min|m|h)?")


def level_given(given: Mapping[str, Any]) -> LevelTerms:
    """The terms of a service level. Raises Wrong for what cannot be read."""
    wrong: dict[str, str] = {}
    hours = []
    for at in range(len(DAYS)):
        day = _spans(str(given.get(f"hours_{at}", "")))
        if day is None:
            wrong[f"hours_{at}"] = "Write times as 08:00-12:00, 13:00-17:00, or nothing for a day off."
        hours.append(day or [])
    targets = {}
    for priority in PRIORITIES:
        both = []
        for kind in ("first", "solve"):
            seconds = _lasts(str(given.get(f"{kind}_{priority}", "")))
            if seconds is False:
                wrong[f"{kind}_{priority}"] = "Write 30 min or 4 h of business time, or nothing."
            both.append(seconds or None)
        if any(both):
            targets[str(priority)] = both
    warn = str(given.get("warn_percent", "")).strip().rstrip("% ")
    if wrong:
        raise Wrong(wrong)
    return LevelTerms(
        name=given.get("name", ""), timezone=str(given.get("timezone", "")).strip(), hours=hours,
        country=str(given.get("country", "")).strip().upper(),
        subdivision=str(given.get("subdivision", "")).strip().upper(), targets=targets,
        warn_percent=int(warn) if warn.isascii() and warn.isdecimal() and len(warn) < 4 else 0,
    )  # fmt: skip


def level_as_given(row: ServiceLevel) -> dict[str, str]:
    """What the form of a service level shows."""
    shown = {
        "name": row.name, "timezone": row.timezone, "country": row.country, "subdivision": row.subdivision,
        "warn_percent": str(row.warn_percent),
    }  # fmt: skip
    for at, day in enumerate(row.hours):
        shown[f"hours_{at}"] = say_hours(day)
    for priority, (first, solve) in row.targets.items():
        shown |= {f"first_{priority}": _say_lasts(first), f"solve_{priority}": _say_lasts(solve)}
    return shown


def say_hours(day: list[list[int]]) -> str:
    """Business hours of a day, as they are written."""
    return ", ".join(f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}" for begin, end in day)


def template_given(given: Mapping[str, Any]) -> TemplateTerms:
    """The terms of a template."""
    return TemplateTerms(
        name=given.get("name", ""), title=given.get("title", ""), text=given.get("text", ""),
        reply=given.get("reply", ""), impact=_one_digit(given.get("impact", "")),
        urgency=_one_digit(given.get("urgency", "")), queue=given.get("queue") or None,
        checklist=lines_of(given.get("checklist", "")), tags=str(given.get("tags", "")).split(","),
    )  # fmt: skip


def template_as_given(row: Template) -> dict[str, str]:
    """What the form of a template shows."""
    return {
        "name": row.name, "title": row.title, "text": row.text, "reply": row.reply,
        "impact": str(row.impact), "urgency": str(row.urgency), "queue": row.queue_id or "",
        "checklist": "\n".join(row.checklist), "tags": ", ".join(row.tags),
    }  # fmt: skip


def next_given(given: Mapping[str, Any], zone: str) -> datetime:
    """When a recurring ticket opens next, in the client's zone. Raises Wrong."""
    try:
        at = parse_datetime(str(given.get("next_at", "")))
    except ValueError:
        at = None
    if at is None:
        raise Wrong({"next_at": "Choose a day and a time."})
    return at if at.tzinfo else at.replace(tzinfo=zone_of(zone))


def recurring_as_given(row: Recurring) -> dict[str, str]:
    """What the form of a recurring ticket shows."""
    local = row.next_at.astimezone(zone_of(row.client.timezone))
    return {
        "ticket_template": row.template_id, "every": row.every,
        "asset_name": row.asset.name if row.asset else "", "next_at": f"{local:%Y-%m-%dT%H:%M}",
    }  # fmt: skip


def _spans(text: str) -> list[list[int]] | None:
    spans = []
    for part in (one.strip() for one in text.split(",") if one.strip()):
        match = _SPAN.fullmatch(part)
        if match is None:
            return None
        hour, minute, to_hour, to_minute = (int(one) for one in match.groups())
        if minute > 59 or to_minute > 59:
            return None
        spans.append([hour * 60 + minute, to_hour * 60 + to_minute])
    return spans


def _lasts(text: str) -> int | bool | None:
    text = text.strip().lower()
    if not text:
        return None
    match = _LASTS.fullmatch(text)
    if match is None:
        return False
    return round(float(match[1].replace(",", ".")) * UNIT_S[match[2] or ""])


def _say_lasts(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds / 60:g} min"


def _one_digit(text: str) -> int:
    return int(text) if text in ("1", "2", "3") else 0
