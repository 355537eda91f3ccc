"""The language of log search, from text to a tree. Pure.

Words are ANDed; `"a phrase"` (any text, also part of a word), `-not`, `OR`, parentheses, `field:value`,
`severity>=warning`, `re:/…/`, `*` at the end of a word. A mistake is answered with where and why.
Fields are those of a line (FIELDS) and the keys of its attributes. What people paste from a log is taken as
words where it is not clearly meant as a field: `rhost=10.0.0.5`, `sshd: Failed`, `https://…`, `fe80::1`.
"""

import re
from dataclasses import dataclass

QUERY_MAX_CHARS = 2000
TERMS_MAX = 100
DEPTH_MAX = 20
REGEX_MAX_CHARS = 500
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
SEVERITY_ALSO = {"emerg": 0, "panic": 0, "crit": 2, "err": 3, "warn": 4, "informational": 6}
FIELDS = ("source", "host", "severity", "facility", "message")
OPERATORS = (">=", "<=", "!=", ":", "=", ">", "<")
_ADDRESS = re.compile(r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:")  # MAC or IPv6
_ESCAPED = re.compile(r"(?s)\\.")
_FIELD = re.compile(r"(?P<name>[A-Za-z_][\w.@-]{0,63})(?P<operator>>=|<=|!=|:|=|>|<)")


class SearchError(Exception):
    """What is wrong with a query, and at which character (0 is the first)."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@dataclass(frozen=True, slots=True)
class Word:
    """A whole word; with `prefix` the beginning of one."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """Text anywhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression (RE2) on the message."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field compared with a value: `=` (a trailing * means a prefix), `!=`, `<`, `<=`, `>`, `>=`."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Not:
    """What must not match."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class All:
    """Every part matches; no parts: everything."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part matches."""

    parts: tuple["Node", ...]


Node = Word | Phrase | Regex | Field | Not | All | Any


def parse(query: str) -> Node:
    """The tree of a query; an empty one matches everything. Raises SearchError."""
    if len(query) > QUERY_MAX_CHARS:
        raise SearchError(f"a query has at most {QUERY_MAX_CHARS} characters", QUERY_MAX_CHARS)
    reader = _Reader(query)
    tree = reader.alternatives(0)
    reader.skip_space()
    if reader.at < len(query):
        raise SearchError("this parenthesis closes nothing: remove it, or open one before", reader.at)
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.terms = 0

    def skip_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def alternatives(self, depth: int) -> Node:
        """Sequences joined by OR."""
        if depth > DEPTH_MAX:
            raise SearchError(f"parentheses may be nested {DEPTH_MAX} deep", self.at)
        parts = [self._sequence(depth)]
        while self._takes_or():
            place = self.at
            part = self._sequence(depth)
            if part == All(()) or parts[-1] == All(()):
                raise SearchError("OR needs something on both sides", place - 2)
            parts.append(part)
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _takes_or(self) -> bool:
        self.skip_space()
        if not re.compile(r"OR(?=[\s(]|$)").match(self.text, self.at):
            return False
        self.at += 2
        return True

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while True:
            self.skip_space()
            if self.at >= len(self.text) or self.text[self.at] == ")":
                break
            if re.compile(r"OR(?=[\s(]|$)").match(self.text, self.at):
                break
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self, depth: int) -> Node:
        self.terms += 1
        if self.terms > TERMS_MAX:
            raise SearchError(f"a query has at most {TERMS_MAX} words", self.at)
        letter = self.text[self.at]
        if letter == "-" and self.at + 1 < len(self.text) and not self.text[self.at + 1].isspace():
            self.at += 1
            if depth > DEPTH_MAX:
                raise SearchError(f"a query may be nested {DEPTH_MAX} deep", self.at)
            return Not(self._term(depth + 1))
        if letter == "(":
            opened = self.at
            self.at += 1
            inside = self.alternatives(depth + 1)
            if self.at >= len(self.text):
                raise SearchError("this parenthesis is not closed: add )", opened)
            self.at += 1
            return inside
        if letter == '"':
            return Phrase(self._quoted())
        if self.text.startswith("re:/", self.at):
            return self._regex()
        found = _FIELD.match(self.text, self.at)
        if found and not self._is_pasted(found):
            return self._field(found)
        return self._word()

    def _quoted(self) -> str:
        opened = self.at
        letters = []
        self.at += 1
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\"):
                self.at += 1
                letters.append(self.text[self.at])
            elif letter == '"':
                self.at += 1
                if not letters:
                    raise SearchError("there is nothing between these quotes", opened)
                return "".join(letters)
            else:
                letters.append(letter)
            self.at += 1
        raise SearchError('this quote is not closed: add "', opened)

    def _regex(self) -> Node:
        opened = self.at
        end = self.at + 4
        while end < len(self.text) and self.text[end] != "/":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise SearchError("this expression is not closed: write re:/…/", opened)
        pattern = _ESCAPED.sub(lambda one: "/" if one[0] == "\\/" else one[0], self.text[opened + 4 : end])
        if not pattern or len(pattern) > REGEX_MAX_CHARS:
            raise SearchError(f"an expression has 1 to {REGEX_MAX_CHARS} characters", opened)
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise SearchError(f"this is not a regular expression: {error}", opened + 4) from None
        self.at = end + 1
        return Regex(pattern)

    def _is_pasted(self, found: re.Match[str]) -> bool:
        """Whether what looks like a field is rather text out of a log."""
        rest = self.text[found.end() : found.end() + 2]
        if found["name"].lower() in FIELDS:
            return False
        if _ADDRESS.match(self.text, self.at):
            return True
        if found["operator"] == ":":
            return not rest.strip() or rest[0].isspace() or rest[0] in "\\)" or rest == "//"
        return found["operator"] == "="

    def _field(self, found: re.Match[str]) -> Node:
        name, operator, place = found["name"], found["operator"], self.at
        name = name.lower() if name.lower() in FIELDS else name
        self.at = found.end()
        if self.at < len(self.text) and self.text[self.at] == '"':
            value = self._quoted()
        else:
            start = self.at
            while (
                self.at < len(self.text)
                and not self.text[self.at].isspace()
                and self.text[self.at] not in "()"
            ):
                self.at += 1
            value = self.text[start : self.at]
        if not value:
            raise SearchError(f"{name}{operator} needs a value, for example {name}{operator}nginx", self.at)
        operator = "=" if operator == ":" else operator
        if name == "severity":
            return Field(name, operator, str(severity_number(value, found.end())))
        if name == "facility" and not (value.isdigit() and int(value) <= 23):
            raise SearchError("facility is a number from 0 to 23", found.end())
        if name != "facility" and operator not in ("=", "!="):
            raise SearchError(
                f"{name} is text: it takes : or !=, only severity and facility take {operator}."
                f" To look for {name}{operator} as text, put it between quotes",
                place,
            )
        return Field(name, operator, value)

    def _word(self) -> Node:
        start = self.at
        while (
            self.at < len(self.text) and not self.text[self.at].isspace() and self.text[self.at] not in '()"'
        ):
            self.at += 1
        word = self.text[start : self.at]
        if word.endswith("*"):
            stem = word.rstrip("*")
            if not stem:
                raise SearchError(
                    "* stands at the end of a word: write the word's beginning before it", start
                )
            return Word(stem, prefix=True)
        return Word(word)


def severity_number(text: str, position: int = 0) -> int:
    """A severity's number (RFC 5424: 0 emergency … 7 debug). Raises SearchError."""
    name = text.lower()
    if name in SEVERITIES:
        return SEVERITIES.index(name)
    if name in SEVERITY_ALSO:
        return SEVERITY_ALSO[name]
    if name.isdecimal() and name.isascii() and int(name) <= 7:
        return int(name)
    raise SearchError(f"there is no severity {text!r}: {', '.join(SEVERITIES)}, or 0 to 7", position)
