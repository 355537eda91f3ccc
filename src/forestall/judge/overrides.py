"""Overrides: other settings for a rule at a client, a site or an asset, written as in a pack.

An override names only what differs: `{"out_of_spec": {"above": "95%"}}`, `{"breaking": None}` removes
a state, `{"off": True}` silences the rule. Broad overrides are laid first and narrow ones over them,
so the narrowest wins, key by key. The result is checked like a rule of a pack.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from forestall.judge.marked import Mistakes, PackMistakes, mark_plain
from forestall.judge.reading import read_rule, suggest
from forestall.judge.reading_texts import TEXT_KEYS
from forestall.judge.rules import Book, Rule
from forestall.judge.values import RuleOverride
from forestall.kernel.errors import Trouble

MAY_OVERRIDE = (
    "drifting",
    "out_of_spec",
    "breaking",
    "silent",
    "back",
    "back_for",
    "full_within",
    "ends_after",
    "except",
    "item",
    "tells",
    "off",
    "first",
    *TEXT_KEYS,
)
BREADTH = {"client": 0, "site": 1, "asset": 2}


def decide_override(rule: Rule, settings: Mapping[str, Any]) -> Rule:
    """The rule with these settings. Raises PackMistakes (a Trouble) that says what to write instead."""
    mistakes = Mistakes(f"override of {rule.name}")
    for key in settings:
        if key not in MAY_OVERRIDE:
            mistakes.add(0, f"`{key}` cannot be overridden", suggest(str(key), MAY_OVERRIDE))
    if mistakes.found:
        raise PackMistakes(mistakes.found)
    merged = _merge(rule.written, settings)
    changed = read_rule(mark_plain(merged), pack=rule.pack, version=rule.pack_version, mistakes=mistakes)
    if changed is None:
        raise PackMistakes(mistakes.found)
    return changed


def check_override(book: Book, rule: str, settings: Mapping[str, Any]) -> None:
    """Check settings against every rule of that name. Raises Trouble that says what to write instead."""
    rules = book.named(rule)
    if not rules:
        known = sorted({one.name for pack in book.packs for one in pack.rules})
        raise Trouble(f"there is no rule {rule!r}", suggest(rule, known))
    for one in rules:
        decide_override(one, settings)


def resolve(rule: Rule, overrides: Iterable[RuleOverride], troubles: list[str]) -> Rule:
    """The rule as it holds at an asset. An override that no longer fits its pack is left out and noted."""
    for override in sorted(overrides, key=lambda one: BREADTH[one.place]):
        if override.rule == rule.name:
            try:
                rule = decide_override(rule, override.settings)
            except PackMistakes as error:
                troubles.append(f"the override of {rule.name} at this {override.place} is left out: {error}")
    return rule


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif key == "except":
            result[key] = [*_as_list(base.get(key)), *_as_list(value)]
        elif isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            result[key] = _merge(base[key], value)
        else:
            result[key] = value
    return result


def _as_list(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
