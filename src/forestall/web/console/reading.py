"""A sealed bundle as a person reads it: what was wrong first, texts as texts, nothing that is empty."""

import json
from collections.abc import Mapping
from typing import Any

from forestall.kernel.clock import from_ms

PARTS = (
    ("finding", "What was wrong"),
    ("answer", "The raw answer"),
    ("missing", "What could not be gathered"),
    ("log_lines", "Log lines around it"),
    ("changes", "Changes before it"),
    ("series", "Numbers around it"),
    ("snapshots", "Configurations at the time"),
    ("pack", "The spec that judged"),
)
POINTS_SHOWN = 24


def readable(bundle: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title, text) of each part that has something in it."""
    known = {name for name, _ in PARTS}
    others = {name: value for name, value in bundle.items() if name not in known}
    parts = [(title, _say(name, bundle.get(name))) for name, title in PARTS if bundle.get(name)]
    return [*parts, ("Everything else", _say("", others))] if others else parts


def _say(name: str, value: Any) -> str:
    match name, value:
        case "log_lines", list():
            return "\n".join(_line(one) for one in value)
        case "snapshots", list():
            return "\n\n".join(_snapshot(one) for one in value)
        case "series", list():
            return "\n".join(_series(one) for one in value)
        case "pack", {"text": str(text)}:
            return text
        case _, str():
            return value
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _line(line: Mapping[str, Any]) -> str:
    at = from_ms(line["at_ms"]).isoformat(" ", "seconds") if "at_ms" in line else line.get("at", "")
    return " ".join(str(part) for part in (at, line.get("source", ""), line.get("message", "")) if part)


def _snapshot(snapshot: Mapping[str, Any]) -> str:
    title = snapshot.get("title") or snapshot.get("kind", "")
    return (
        f"── {title} {snapshot.get('captured_at', '')}\n{snapshot.get('text', snapshot.get('left_out', ''))}"
    )


def _series(series: Mapping[str, Any]) -> str:
    name = f"{series.get('metric', '')} {series.get('item', '')}".strip()
    points = [value for value in series.get("mean", []) if value is not None]
    said = ", ".join(f"{value:.4g}" for value in points[-POINTS_SHOWN:])
    latest = f" is {series['latest']:.4g}" if "latest" in series else ""
    return f"{name}{latest}{': … ' + said if said else ''}"
