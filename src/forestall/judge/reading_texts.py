"""From the written form of a rule on configurations to its `Demand`, noting every mistake."""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forestall.judge.compliance import VALUE_GROUP, CountDemand, Demand, ValueDemand, named_groups_only
from forestall.judge.marked import Marked, Mistakes, words_of

PATTERNS_MAX = 20
VALUES_MAX = 200
PATTERN_MAX_CHARS = 500
TEXT_KEYS = ("if", "within", "where", "must_contain", "must_not_contain", "count", "value", "tags")
COUNT_KEYS = ("of", "at_least", "at_most")
VALUE_KEYS = ("of", "one_of", "none_of", "at_least", "at_most")


def read_demand(table: Mapping[str, Marked], at: Marked, mistakes: Mistakes) -> Demand:
    """What the rule demands; an empty one after noting what is wrong."""
    reader = _DemandReader(table, mistakes)
    says = table.get("says")
    demand = Demand(
        only_if=reader.pattern("if"),
        within=reader.pattern("within"),
        where=reader.patterns("where"),
        must=reader.patterns("must_contain"),
        must_not=reader.patterns("must_not_contain"),
        count=reader.count(),
        value=reader.value(),
        says=str(says.value) if says is not None else "",
    )
    if not any(key in table for key in ("must_contain", "must_not_contain", "count", "value")):
        mistakes.add(
            at,
            "the rule demands nothing of the configuration",
            "Add `must_contain`, `must_not_contain`, `count` or `value`.",
        )
    return demand


class _DemandReader:
    def __init__(self, table: Mapping[str, Marked], mistakes: Mistakes) -> None:
        self.table = table
        self.mistakes = mistakes

    def pattern(self, key: str) -> str:
        found = self.patterns(key)
        if len(found) > 1:
            self.mistakes.add(self.table[key], f"`{key}` is one regular expression", "Join them with `|`.")
        return found[0] if found else ""

    def patterns(self, key: str) -> tuple[str, ...]:
        at = self.table.get(key)
        if at is None:
            return ()
        ones = at.value if isinstance(at.value, list) else [at]
        if not 1 <= len(ones) <= PATTERNS_MAX:
            self.mistakes.add(at, f"`{key}` has 1 to {PATTERNS_MAX} patterns", "Make two rules of it.")
            return ()
        return tuple(self._checked(key, one) for one in ones)

    def count(self) -> CountDemand | None:
        at = self._table("count", COUNT_KEYS)
        if at is None:
            return None
        least, most = self._limit(at, "at_least"), self._limit(at, "at_most")
        if least is None and most is None:
            self.mistakes.add(at, "`count` says how many", "Add `at_least: 1` or `at_most: 2`.")
        return CountDemand(
            pattern=self._of("count", at),
            at_least=math.ceil(least or 0),
            at_most=None if most is None else math.floor(most),
        )

    def value(self) -> ValueDemand | None:
        at = self._table("value", VALUE_KEYS)
        if at is None:
            return None
        pattern = self._of("value", at)
        if pattern and f"(?P<{VALUE_GROUP}>" not in pattern:
            self.mistakes.add(
                at.value["of"], "`of` does not say which part is the value",
                f"Write it as a group: ntp server (?P<{VALUE_GROUP}>\\S+).",
            )  # fmt: skip
        demand = ValueDemand(
            pattern=pattern,
            one_of=self._words(at, "one_of"),
            none_of=self._words(at, "none_of"),
            at_least=self._limit(at, "at_least"),
            at_most=self._limit(at, "at_most"),
        )
        if not any(key in at.value for key in VALUE_KEYS[1:]):
            self.mistakes.add(
                at, "`value` does not say what it should be", "Add `one_of: [a, b]`, `none_of` or `at_most`."
            )
        return demand

    def _table(self, key: str, known: tuple[str, ...]) -> Marked | None:
        at = self.table.get(key)
        if at is None:
            return None
        if not isinstance(at.value, dict):
            self.mistakes.add(
                at, f"`{key}` is a table", f"Write `{key}: {{of: '^ntp server', at_least: 1}}`."
            )
            return None
        for word, inner in at.value.items():
            if word not in known:
                self.mistakes.add(inner, f"`{key}` has no `{word}`", f"Known are: {', '.join(known)}.")
        return at

    def _of(self, key: str, at: Marked) -> str:
        one = at.value.get("of")
        if one is None:
            self.mistakes.add(at, f"`{key}` has no `of`", "Add the regular expression of the lines.")
            return ""
        return self._checked(key, one)

    def _checked(self, key: str, at: Marked) -> str:
        pattern = str(at.value)
        if not pattern or len(pattern) > PATTERN_MAX_CHARS:
            self.mistakes.add(
                at, f"`{key}` has a pattern of 1 to {PATTERN_MAX_CHARS} letters", "Write it shorter."
            )
            return ""
        try:
            empty = pa.array([""], pa.string())
            pc.match_substring_regex(empty, pattern)
            if "(?P<" in pattern:
                pc.extract_regex(empty, named_groups_only(pattern))
        except pa.ArrowInvalid as error:
            said = str(error).removeprefix("Invalid regular expression: ")
            self.mistakes.add(at, f"`{key}` is no regular expression (RE2): {said}", "Mend it.")
            return ""
        return pattern

    def _words(self, at: Marked, key: str) -> tuple[str, ...]:
        inner = at.value.get(key)
        if inner is None:
            return ()
        found = tuple(word.value for word in words_of(inner))
        if not 1 <= len(found) <= VALUES_MAX:
            self.mistakes.add(inner, f"`{key}` is a list of 1 to {VALUES_MAX} words", f"Write `{key}: [a]`.")
        return found

    def _limit(self, at: Marked, key: str) -> float | None:
        inner = at.value.get(key)
        if inner is None:
            return None
        if isinstance(inner.value, bool) or not isinstance(inner.value, int | float):
            self.mistakes.add(inner, f"`{key}` is a number, not {inner.value!r}", f"Write `{key}: 2`.")
            return None
        return float(inner.value)


def level_words(demand: Demand) -> str:
    """A demand in words, for the summary of a pack."""
    parts: list[Any] = [f"has no line like {one}" for one in demand.must]
    parts += [f"has a line like {one}" for one in demand.must_not]
    if demand.count is not None:
        parts.append(f"has too few or too many lines like {demand.count.pattern}")
    if demand.value is not None:
        parts.append(f"has another value in {demand.value.pattern} than it should")
    within = f"a block under {demand.within}" if demand.within else "it"
    return f"{within} {' or '.join(parts)}"
