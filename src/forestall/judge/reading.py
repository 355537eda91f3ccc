"""From the written form of one rule to a `Rule`, noting every mistake with what to write instead.

The same functions read a rule of a pack and a rule with an override laid over it.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forestall.judge.contradictions import note_contradictions
from forestall.judge.marked import Marked, Mistakes, words_of
from forestall.judge.metrics import UNITS, Metric, find_metric, similar_metric
from forestall.judge.reading_backups import read_backup
from forestall.judge.reading_texts import TEXT_KEYS, read_demand
from forestall.judge.rules import GRADES, Level, Look, Op, Rule
from forestall.judge.units import read_amount, read_duration_ms
from forestall.judge.values import State

RULE_KEYS = (
    "name",
    "look_at",
    "item",
    "except",
    "log",
    "expected",
    "change",
    "capture",
    "configuration",
    "baseline",
    "backup",
    *TEXT_KEYS,
    "drifting",
    "out_of_spec",
    "breaking",
    "silent",
    "back",
    "back_for",
    "full_within",
    "ends_after",
    "cause",
    "tells",
    "why",
    "first",
    "says",
    "off",
)
LEVEL_KEYS: Mapping[Look, tuple[str, ...]] = {
    Look.METRIC: ("above", "below", "equals", "rises_by", "for", "times", "tells"),
    Look.LOG: ("at_least", "within", "tells"),
    Look.CHANGE: ("tells",),
    Look.CAPTURE: ("tells",),
    Look.CONFIGURATION: ("tells",),
    Look.BASELINE: ("tells",),
    Look.EXPECTED: (),
    Look.BACKUP: (),
}
OPS = {"above": Op.ABOVE, "below": Op.BELOW, "equals": Op.EQUALS, "rises_by": Op.RISES}
EXPECTED = ("asset", "probe", "source", "logs", "job", "heartbeat", "heartbeat_end")
CAUSES = ("reachability",)
SEVERITIES = ["emergency", "alert", "critical", "error", "warning", "notice", "information", "debug"]
GRADE_NAMES = tuple(str(state) for state in GRADES)
WHY_MAX_CHARS = 300
AT_LEAST_MAX = 1000
TIMES_MAX = 100


def suggest(word: str, known: Iterable[str]) -> str:
    """What was probably meant, or the list of what is known."""
    listed = list(known)
    close = difflib.get_close_matches(word, listed, n=1)
    return f"Write `{close[0]}`." if close else f"Known are: {', '.join(listed) or 'none'}."


def check_keys(table: Marked, known: Iterable[str], where: str, mistakes: Mistakes) -> None:
    """Note every key that is not known there."""
    listed = list(known)
    for key, value in table.value.items():
        if key not in listed:
            mistakes.add(value, f"{where} has no `{key}`", suggest(key, listed))


def read_rule(table: Marked, *, pack: str, version: str, mistakes: Mistakes) -> Rule | None:
    """The rule, or None after noting what is wrong with it."""
    return _RuleReader(table, mistakes).read(pack=pack, version=version)


class _RuleReader:
    def __init__(self, table: Marked, mistakes: Mistakes) -> None:
        self.at = table
        self.table: dict[str, Marked] = table.value
        self.mistakes = mistakes
        name = self.table.get("name")
        self.name = str(name.value) if name is not None else "?"

    def read(self, *, pack: str, version: str) -> Rule | None:
        before = len(self.mistakes.found)
        check_keys(self.at, RULE_KEYS, f"the rule {self.name}", self.mistakes)
        why = self._text("why", f"Add `why:` and one sentence that says why {self.name} matters.")
        first = self._text("first", f"Add `first:` and what to do first when {self.name} is found.")
        if len(why) > WHY_MAX_CHARS:
            self.mistakes.add(
                self.table["why"], "`why` is longer than a sentence", f"At most {WHY_MAX_CHARS} letters."
            )
        look = self._look()
        if look is None:
            return None
        kinds = {
            Look.METRIC: self._metric,
            Look.LOG: self._log,
            Look.EXPECTED: self._expected,
            Look.CHANGE: self._change,
            Look.CAPTURE: self._change,
            Look.CONFIGURATION: self._configuration,
            Look.BASELINE: self._change,
            Look.BACKUP: self._backup,
        }
        particulars = kinds[look](look)
        rule_items = particulars.pop("items", None) or self._globs("item", ("*",))
        if len(self.mistakes.found) > before:
            return None
        rule = Rule(
            name=self.name,
            pack=pack,
            pack_version=version,
            look=look,
            why=why,
            first=first,
            items=rule_items,
            excepted=self._globs("except", ()),
            cause=self._choice("cause", CAUSES),
            off=self._yes(self.table, "off", default=False),
            back_ms=self._duration(self.table, "back_for", 0),
            written=self.at.plain(),
            **particulars,
        )
        note_contradictions(rule, self.table, self.mistakes)
        return rule if len(self.mistakes.found) == before else None

    def _look(self) -> Look | None:
        present = [look for look in Look if look.value in self.table]
        if len(present) == 1:
            return present[0]
        said = " and ".join(f"`{look.value}`" for look in present) or "nothing"
        self.mistakes.add(
            self.at,
            f"the rule {self.name} looks at {said}",
            "Keep exactly one of `look_at`, `log`, `expected`, `change`, `capture`, `configuration`, "
            "`baseline`, `backup`.",
        )
        return None

    # the kinds of rules

    def _metric(self, look: Look) -> dict[str, Any]:
        at = self.table["look_at"]
        metric = find_metric(str(at.value))
        if metric is None:
            close = similar_metric(str(at.value))
            self.mistakes.add(
                at,
                f"there is no metric `{at.value}` and its name ends in no known unit",
                f"Write `{close}`." if close else "See the list of metrics in docs/spec-packs.md.",
            )
            return {"levels": ()}
        ops: set[Op] = set()
        levels = [level for level in self._levels(look) if self._limit(level, metric, ops)]
        if len(ops) > 1:
            self.mistakes.add(
                self.at,
                f"{self.name} compares in different ways ({', '.join(sorted(map(_op_word, ops)))})",
                "Use one of `above`, `below`, `equals`, `rises_by` in all levels, or make two rules.",
            )
        back = self.table.get("back")
        margin = 0.0
        if back is not None:
            try:
                margin = read_amount(back.value, metric.unit)
            except ValueError as error:
                self.mistakes.add(back, f"`back` {error}", f"Write {UNITS[metric.unit]}.")
        return {
            "metric": metric.name,
            "says": self._says(metric),
            "op": next(iter(ops), Op.ABOVE),
            "levels": self._with_forecast([Level(**level) for level in levels]),
            "back": margin,
            "ends_after_ms": self._duration(self.table, "ends_after", 0),
        }

    def _limit(self, level: dict[str, Any], metric: Metric, ops: set[Op]) -> bool:
        """Turn the written limit of a level into `limit`; False (noted) when there is none or it is wrong."""
        at: Marked = level.pop("at")
        written = {word: at.value[word] for word in OPS if word in at.value}
        if len(written) != 1:
            what = f"`{level['state']}` needs exactly one of above, below, equals, rises_by"
            self.mistakes.add(at, what, f"Write for example `above: …` ({UNITS[metric.unit]}).")
            return False
        ((word, value),) = written.items()
        ops.add(OPS[word])
        try:
            level["limit"] = read_amount(value.value, metric.unit)
        except ValueError as error:
            self.mistakes.add(
                value, f"`{word}` {error}; {metric.name} is {UNITS[metric.unit]}", "Write it in that unit."
            )
            return False
        level["for_ms"] = self._duration(at.value, "for", 0)
        level["times"] = self._whole(at.value, "times", 1, TIMES_MAX)
        return True

    def _with_forecast(self, levels: list[Level]) -> tuple[Level, ...]:
        at = self.table.get("full_within")
        if at is None:
            return tuple(levels)
        if not isinstance(at.value, dict):
            self.mistakes.add(
                at, "`full_within` has one time for each state", "Write `full_within: {drifting: 7 days}`."
            )
            return tuple(levels)
        check_keys(at, GRADE_NAMES, "`full_within`", self.mistakes)
        found = {level.state: level for level in levels}
        for name in at.value:
            if name in GRADE_NAMES:
                state = State(name)
                days = self._duration(at.value, name, 0) / 86_400_000
                known = found.get(state) or Level(
                    state=state, has_limit=False, tells=self._tells(None, state)
                )
                found[state] = known.with_forecast(days)
        return tuple(found[state] for state in GRADES if state in found)

    def _log(self, look: Look) -> dict[str, Any]:
        at = self.table["log"]
        if not isinstance(at.value, dict):
            self.mistakes.add(
                at, "`log` says which lines", "Write `log: {matches: 'regular expression', source: [sshd]}`."
            )
            return {"levels": ()}
        check_keys(at, ("matches", "words", "source", "severity"), "`log`", self.mistakes)
        levels = []
        for level in self._levels(look):
            inner: Marked = level.pop("at")
            level["limit"] = float(self._whole(inner.value, "at_least", 1, AT_LEAST_MAX))
            level["within_ms"] = self._duration(inner.value, "within", 60_000)
            levels.append(Level(**level))
        severity = self._choice("severity", SEVERITIES, table=at.value)
        return {
            "pattern": self._pattern(at),
            "sources": tuple(word.value for word in words_of(at.value.get("source", Marked([])))),
            "severity": SEVERITIES.index(severity) if severity else 7,
            "levels": tuple(levels),
        }

    def _pattern(self, at: Marked) -> str:
        words = [word.value for word in words_of(at.value.get("words", Marked([])))]
        pattern = at.value.get("matches")
        if (pattern is None) == (not words):
            self.mistakes.add(at, "`log` has one of `matches` and `words`", "Write `words: [out of memory]`.")
            return ""
        if pattern is None:
            return "(?i)" + "|".join(escape(word) for word in words)
        try:
            pc.match_substring_regex(pa.array([""]), str(pattern.value))
        except pa.ArrowInvalid as error:
            said = str(error).removeprefix("Invalid regular expression: ")
            self.mistakes.add(
                pattern, f"`matches` is no regular expression (RE2): {said}", "Mend it, or use `words`."
            )
        return str(pattern.value)

    def _expected(self, look: Look) -> dict[str, Any]:
        at = self.table["expected"]
        expected = self._choice("expected", EXPECTED)
        silent = self.table.get("silent")
        for name in GRADE_NAMES:
            if name in self.table:
                self.mistakes.add(
                    self.table[name],
                    f"what is expected cannot be `{name}`",
                    "Write `silent: {after: 5 min}`.",
                )
        if silent is None or not isinstance(silent.value, dict) or "after" not in silent.value:
            self.mistakes.add(
                silent or at, "it is not said when it is silent", "Write `silent: {after: 5 min}`."
            )
            return {"levels": ()}
        check_keys(silent, ("after", "intervals", "tells"), "`silent`", self.mistakes)
        level = Level(
            state=State.SILENT,
            after_ms=self._duration(silent.value, "after", 0),
            intervals=self._whole(silent.value, "intervals", 0, TIMES_MAX),
            tells=self._tells(silent, State.SILENT),
        )
        return {"expected": expected, "levels": (level,)}

    def _change(self, look: Look) -> dict[str, Any]:
        at = self.table[look.value]
        globs = tuple(word.value for word in words_of(at))
        if not globs:
            self.mistakes.add(
                at, f"`{look.value}` names kinds of configurations", f"Write `{look.value}: [sshd_config]`."
            )
        levels = []
        for level in self._levels(look):
            level.pop("at")
            levels.append(Level(**level))
        if len(levels) > 1:
            self.mistakes.add(self.at, f"a `{look.value}` rule has one state", "Keep one of the states.")
        ends = self._duration(self.table, "ends_after", 86_400_000)
        return {"items": globs, "levels": tuple(levels), "ends_after_ms": ends}

    def _configuration(self, look: Look) -> dict[str, Any]:
        return self._change(look) | {
            "demand": read_demand(self.table, self.at, self.mistakes),
            "tags": self._globs("tags", ()),
        }

    def _backup(self, look: Look) -> dict[str, Any]:
        tells = self._yes(self.table, "tells", default=True)
        check, levels = read_backup(self.table, tells=tells, mistakes=self.mistakes)
        return {"check": check, "levels": levels}

    # parts

    def _levels(self, look: Look) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for state in GRADES:
            at = self.table.get(str(state))
            if at is None:
                continue
            if at.value is None or at.value is True:
                at = Marked({}, at.line)
            if not isinstance(at.value, dict):
                example = "{above: 90%, for: 5 min}" if look is Look.METRIC else "{}"
                self.mistakes.add(at, f"`{state}` says when", f"Write `{state}: {example}`.")
                continue
            check_keys(at, LEVEL_KEYS[look], f"`{state}` of a {look.value} rule", self.mistakes)
            found.append({"state": state, "tells": self._tells(at, state), "at": at})
        if not found and not (look is Look.METRIC and "full_within" in self.table):
            self.mistakes.add(
                self.at,
                f"the rule {self.name} never says when something is wrong",
                "Add `drifting`, `out_of_spec` or `breaking`.",
            )
        return found

    def _tells(self, level: Marked | None, state: State) -> bool:
        whole = self._yes(self.table, "tells", default=True)
        own = self._yes(level.value if level else {}, "tells", default=state is not State.DRIFTING)
        return whole and own

    def _says(self, metric: Metric) -> str:
        at = self.table.get("says")
        if at is None:
            return metric.says
        try:
            str(at.value).format(item="", value="")
        except (KeyError, ValueError, IndexError, AttributeError):
            self.mistakes.add(
                at, "`says` may hold {item} and {value} only", "Write `{item} is {value} full`."
            )
        return str(at.value)

    def _text(self, key: str, missing: str) -> str:
        at = self.table.get(key)
        if at is not None and isinstance(at.value, str) and at.value.strip():
            return " ".join(at.value.split())
        self.mistakes.add(at or self.at, f"the rule {self.name} has no `{key}`", missing)
        return ""

    def _globs(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        at = self.table.get(key)
        if at is None:
            return default
        found = tuple(word.value for word in words_of(at))
        if not found:
            self.mistakes.add(at, f"`{key}` is a name or a list of names", f"Write `{key}: [/var, /srv/*]`.")
        return found

    def _choice(self, key: str, known: Iterable[str], *, table: dict[str, Marked] | None = None) -> str:
        at = (self.table if table is None else table).get(key)
        if at is None:
            return ""
        if at.value not in list(known):
            self.mistakes.add(at, f"`{key}` cannot be {at.value!r}", suggest(str(at.value), known))
            return ""
        return str(at.value)

    def _yes(self, table: Mapping[str, Marked], key: str, *, default: bool) -> bool:
        at = table.get(key)
        if at is None:
            return default
        if not isinstance(at.value, bool):
            self.mistakes.add(at, f"`{key}` is yes or no, not {at.value!r}", f"Write `{key}: no`.")
            return default
        return at.value

    def _duration(self, table: Mapping[str, Marked], key: str, default_ms: int) -> int:
        at = table.get(key)
        if at is None:
            return default_ms
        try:
            return read_duration_ms(at.value)
        except ValueError as error:
            self.mistakes.add(at, f"`{key}` {error}", f"Write for example `{key}: 10 min`.")
            return default_ms

    def _whole(self, table: Mapping[str, Marked], key: str, default: int, most: int) -> int:
        at = table.get(key)
        if at is None:
            return default
        if isinstance(at.value, bool) or not isinstance(at.value, int) or not 1 <= at.value <= most:
            self.mistakes.add(at, f"`{key}` is a whole number from 1 to {most}", f"Write `{key}: 2`.")
            return default
        return at.value


def _op_word(op: Op) -> str:
    return next(word for word, known in OPS.items() if known is op)


def escape(text: str) -> str:
    """Text as a regular expression that matches just it."""
    return "".join(letter if letter.isalnum() or letter == " " else "\\" + letter for letter in text)
