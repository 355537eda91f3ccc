"""From the written form of a rule on backup plans to its check and states, noting every mistake."""

import difflib
from collections.abc import Iterable, Mapping
from itertools import pairwise

from forestall.judge.backups.checks import CHECKS, Check, Setting
from forestall.judge.marked import Marked, Mistakes
from forestall.judge.rules import Level
from forestall.judge.units import read_amount, read_duration_ms
from forestall.judge.values import State
from forestall.kernel.words import say_duration, say_number, say_share

STATES = (State.DRIFTING, State.SILENT, State.OUT_OF_SPEC, State.BREAKING)
COUNT_MAX = 1000


def read_backup(
    table: Mapping[str, Marked], *, tells: bool, mistakes: Mistakes
) -> tuple[str, tuple[Level, ...]]:
    """The name of the check and the states of a rule; ("", ()) after noting what is wrong."""
    at = table["backup"]
    check = CHECKS.get(str(at.value))
    if check is None:
        mistakes.add(at, f"there is no check of backups `{at.value}`", _known(str(at.value), CHECKS))
        return "", ()
    levels = []
    for state in STATES:
        one = table.get(str(state))
        if one is not None:
            levels.append(_level(one, state, check, tells=tells, mistakes=mistakes))
    if not levels:
        mistakes.add(
            at, "the rule never says when something is wrong",
            "Add `drifting`, `silent`, `out_of_spec` or `breaking`.",
        )  # fmt: skip
    for easy, hard in pairwise(levels):
        if not _harder(check, easy, hard):
            mistakes.add(
                table[str(hard.state)], f"`{hard.state}` is reached as easily as `{easy.state}`",
                f"Keep one, or choose a harder setting. {_settings(check) or 'It has none.'}",
            )  # fmt: skip
    return str(at.value), tuple(levels)


def _level(at: Marked, state: State, check: Check, *, tells: bool, mistakes: Mistakes) -> Level:
    if at.value is None or at.value is True:
        at = Marked({}, at.line)
    if not isinstance(at.value, dict):
        mistakes.add(
            at, f"`{state}` is a table of settings", f"Write `{state}: {{}}`. {_settings(check)}".strip()
        )
        return Level(state=state)
    asks: dict[str, float] = {}
    own = state is not State.DRIFTING
    for name, value in at.value.items():
        if name == "tells":
            if isinstance(value.value, bool):
                own = value.value
            else:
                mistakes.add(value, f"`tells` is yes or no, not {value.value!r}", "Write `tells: no`.")
        elif name not in check.settings:
            mistakes.add(value, f"this check has no `{name}`", _known(name, [*check.settings, "tells"]))
        else:
            try:
                asks[name] = _read(check.settings[name], value.value)
            except ValueError as error:
                mistakes.add(value, f"`{name}` {error}", f"Write `{name}: {check.settings[name].example}`.")
    return Level(state=state, tells=tells and own, asks=tuple(sorted(asks.items())))


def _read(setting: Setting, written: object) -> float:
    match setting.kind:
        case "duration":
            return float(read_duration_ms(written))
        case "share":
            found = read_amount(written, "ratio")
            if not 0 <= found <= 1:
                raise ValueError(f"{written!r} is not between 0% and 100%")
            return found
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 <= written <= COUNT_MAX:
        raise ValueError(f"{written!r} is not a number from 0 to {COUNT_MAX}")
    return float(written)


def _harder(check: Check, easy: Level, hard: Level) -> bool:
    """Whether a state is harder to reach than another, by at least one of its settings."""
    before, after = dict(easy.asks), dict(hard.asks)
    return any(
        (after.get(name, one.default) - before.get(name, one.default)) * one.harder > 0
        for name, one in check.settings.items()
    )


def _known(word: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    close = difflib.get_close_matches(word, listed, n=1)
    return f"Write `{close[0]}`." if close else f"Known are: {', '.join(listed)}."


def _settings(check: Check) -> str:
    said = ", ".join(f"`{name}: {one.example}`" for name, one in check.settings.items())
    return f"Its settings are {said}." if said else ""


def check_words(name: str, level: Level) -> str:
    """When a state is reached, for the summary of a pack."""
    check = CHECKS[name]
    asks = {setting: one.default for setting, one in check.settings.items()} | dict(level.asks)
    spoken = {setting: _spoken(one, asks[setting]) for setting, one in check.settings.items()}
    return check.said.format(**spoken)


def _spoken(setting: Setting, value: float) -> str:
    match setting.kind:
        case "duration":
            return say_duration(value / 1000)
        case "share":
            return say_share(value)
    return say_number(value)
