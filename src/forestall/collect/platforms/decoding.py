"""Output of commands as text and rows: byte order marks, UTF-16, old code pages, lists of one. Pure."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

OEM = "cp850"  # what is left when a tool speaks neither UTF-8 nor UTF-16: letters of Western Europe
SAID_CHARS = 200
_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def to_text(output: bytes) -> str:
    """Text of a tool of Windows: by its byte order mark, by the zeros of UTF-16, as UTF-8, else as OEM."""
    if output.startswith((b"\xff\xfe", b"\xfe\xff")):
        return output.decode("utf-16", errors="replace")
    head = output[:400]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 4:
        return output.decode("utf-16-le", errors="replace")
    try:
        return output.decode("utf-8-sig")
    except UnicodeDecodeError:
        return output.decode(OEM, errors="replace")


def to_rows(output: bytes, *, of: str) -> list[dict[str, Any]]:
    """The objects of a `ConvertTo-Json`: none for nothing and null, one that stands alone as a list of one.

    Raises ValueError with what was said instead of JSON; `of` names the question.
    """
    text = to_text(output).strip().lstrip("\ufeff")
    if not text:
        return []
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        said = " ".join(text.split())
        if text[:1] in "[{" and len(said) > SAID_CHARS:
            said = f"JSON that breaks off: … {said[-SAID_CHARS:]}"
        raise ValueError(f"{of}: the answer is no JSON: {said[: SAID_CHARS + 30]}") from None
    return [row for row in as_list(found) if isinstance(row, dict)]


def as_list(value: Any) -> list[Any]:
    """A list, whatever ConvertTo-Json made of it: null, a single value, {"value": […], "Count": n}."""
    if value is None:
        return []
    if isinstance(value, dict) and set(value) == {"value", "Count"}:
        value = value["value"]
    if isinstance(value, list):
        return [one for one in value if one is not None]
    return [value]


def as_text(value: Any) -> str:
    """A field as one line of text: "" for null, `2026-11-23` for /Date(…)/, yes and no for true and false."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):  # a date with notes: {"value": "/Date(…)/", "DateTime": "…"}
        value = value.get("value", "")
    text = str(value)
    if found := _DATE.fullmatch(text):
        return _day(int(found[1]))
    return " ".join(text.split())


def as_number(value: Any) -> float | None:
    """A field as a number; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None if value is None else float(value)
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return None


def date_ms(value: Any) -> int | None:
    """The time of a /Date(ms)/ (as ConvertTo-Json of PowerShell 5 writes it) in ms; None for none."""
    if isinstance(value, dict):
        value = value.get("value")
    found = _DATE.fullmatch(str(value))
    return int(found[1]) if found else None


def as_state(value: Any) -> bool | None:
    """A switch that may come as true, 1, "True", "Enabled", "On"; None for what is neither."""
    word = str(value).lower()
    if word in {"true", "1", "enabled", "on", "yes"}:
        return True
    if word in {"false", "0", "disabled", "off", "no"}:
        return False
    return None


def _day(at_ms: int) -> str:
    try:
        return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).date())
    except OverflowError:
        return ""
