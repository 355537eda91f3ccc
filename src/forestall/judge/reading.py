"""From the written form of one rule to a `Rule`, noting every mistake with what to write instead.

The same functions read a rule of a pack and a rule with an override laid over it.
"""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forestall.judge.marked import Marked, Mistakes, words_of
from forestall.judge.metrics import METRICS, UNITS, find_metric, similar_metric, suffix_unit
from forestall.judge.rules import GRADES, Level, Look, Op, Rule
from forestall.judge.units import read_amount, read_duration_ms
from forestall.judge.values import State

RULE_KEYS = (
    "name look_at item except log expected change capture drifting out_of_spec breaking silent back back_for"
    " full_within ends_after cause tells why first says off"
).split()
LEVEL_KEYS = {
    Look.METRIC: ("above", "below", "equals", "rises_by", "for", "times", "tells"),
    Look.LOG: ("at_least", "within", "tells"),
    Look.CHANGE: ("tells",),
    Look.CAPTURE: ("tells",),
    Look.EXPECTED: (),
}
OPS = {"above": Op.ABOVE, "below": Op.BELOW, "equals": Op.EQUALS, "rises_by": Op.RISES}
EXPECTED = ("asset", "probe", "log_source", "logs", "job")
CAUSES = ("reachability",)
SEVERITIES = "emergency alert critical error warning notice information debug".split()
WHY_MAX_CHARS = 300
AT_LEAST_MAX = 1000
TIMES_MAX = 100


def suggest(word: str, known: Iterable[str]) -> str:
    """What was probably meant, or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"Write `{close[0]}`." if close else f"Known are: {', '.join(known)}."


def check_keys(table: Marked, known: Iterable[str], where: str, mistakes: Mistakes) -> None:
    """Note every key that is not known there."""
    known = list(known)
    for key, value in table.value.items():
        if key not in known:
            mistakes.add(value, f"{where} has no `{key}`", suggest(key, known))


class RuleReader:
    """Reads one rule; `mistakes` grows by what is wrong with it."""

    def __init__(self, table: Marked, *, pack: str, version: str, mistakes: Mistakes) -> None:
        self.table: dict[str, Marked] = table.value
        self.at = table
        self.pack = pack
        self.version = version
        self.mistakes = mistakes
        self.name = self._text("name", "") or "?"

    def read(self) -> Rule | None:
        """The rule, or None when something is wrong with it."""
        before = len(self.mistakes.found)
        check_keys(self.at, RULE_KEYS, f"the rule {self.name}", self.mistakes)
        why = self._text("why", f"Add `why: one sentence that says why {self.name} matters`.")
        if "\n" in why.strip() or len(why) > WHY_MAX_CHARS:
            self.mistakes.add(
                self.table["why"], "`why` is longer than a sentence", f"At most {WHY_MAX_CHARS} letters."
            )
        first = self._text("first", f"Add `first: what to do first when {self.name} is found`.")
        look = self._look()
        if look is None:
            return None
        rule = Rule(
            name=self.name,
            pack=self.pack,
            pack_version=self.version,
            look=look,
            why=why.strip(),
            first=first.strip(),
            levels=(),
            items=self._globs("item", ("*",)),
            excepted=self._globs("except", ()),
            cause=self._choice("cause", CAUSES),
            off=self._yes("off", default=False),
            back_ms=self._duration(self.table, "back_for", 0),
            **self._particulars(look),
        )
        if len(self.mistakes.found) > before:
            return None
        return rule

    # what a rule looks at

    def _look(self) -> Look | None:
        present = [look for look in Look if look.value in self.table]
        if len(present) == 1:
            return present[0]
        said = " and ".join(f"`{look.value}`" for look in present) or "nothing"
        self.mistakes.add(
            self.at,
            f"the rule {self.name} looks at {said}",
            "Keep exactly one of `look_at`, `log`, `expected`, `change`, `capture`.",
        )
        return None

    def _particulars(self, look: Look) -> dict[str, Any]:
        # `levels=()` above is a placeholder that each kind of rule fills
        reader: dict[Look, Callable[[], dict[str, Any]]] = {
            Look.METRIC: self._metric,
            Look.LOG: self._log,
            Look.EXPECTED: self._expected,
            Look.CHANGE: self._change,
            Look.CAPTURE: self._change,
        }
        return reader[look]()
