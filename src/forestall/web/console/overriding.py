"""A rule's limits as fields of a form, and what a person changed in them as the settings of an override."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forestall.judge.rules import Rule
from forestall.judge.values import State
from forestall.kernel.errors import Trouble

PREFIX = "level."
TEXT_MAX_CHARS = 4000
EXAMPLE = '{"out_of_spec": {"above": "95%"}}'


@dataclass(frozen=True, slots=True)
class Field:
    """One limit of one state: `level.out_of_spec.above`, what the pack says."""

    name: str
    state: str
    key: str
    value: str


def fields_of(rule: Rule) -> list[Field]:
    """The limits of a rule that a form can change, in the order of concern."""
    return [
        Field(f"{PREFIX}{state.value}.{key}", state.value, key, str(value))
        for state in State
        for key, value in _level(rule.written.get(state.value)).items()
    ]


def settings_of(given: Mapping[str, str], rule: Rule | None) -> dict[str, Any]:
    """What an override says: off, the JSON that was written, or the fields that differ from the pack.

    Raises Trouble when the JSON is none, or nothing differs.
    """
    if given.get("off"):
        return {"off": True}
    if text := given.get("settings", "").strip():
        return _read(text)
    changed: dict[str, Any] = {}
    for field in fields_of(rule) if rule else []:
        value = given.get(field.name, "").strip()[:TEXT_MAX_CHARS]
        if value and value != field.value:
            changed.setdefault(field.state, {})[field.key] = _value(value)
    if not changed:
        raise Trouble("nothing differs from the pack", "Change a limit, or tick that it is off.")
    return changed


def _level(written: object) -> dict[str, object]:
    if not isinstance(written, Mapping):
        return {}
    return {
        str(key): value
        for key, value in written.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }


def _read(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text[:TEXT_MAX_CHARS])
    except ValueError as error:
        raise Trouble(f"the settings are not JSON: {error}", f"Write for example {EXAMPLE}.") from error
    if not isinstance(settings, dict):
        raise Trouble("the settings are not an object", f"Write for example {EXAMPLE}.")
    return settings


def _value(text: str) -> str | int | float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
