"""From a query's tree to a condition in SQL. Values travel as parameters, never inside the text. Pure.

A line is its shape's text and what varies in it (kernel.shapes), so a word is looked for in both: in the few
texts of the vocabulary first (`lookups`, asked once for the whole query), then in the variables. Where no
text has it, the condition is on the variables alone, and the indexes on them find the few places that may.
Only what can lie across both (a phrase with spaces, a regular expression) needs the message put together
again: `needs_message`, and only for lines in which all of its whole words are.

A search sees the message, the program (`source`) and the host; letters match whatever their case (ASCII). An
address is a word of its own: 10.0.0.7 is not found in 10.0.0.7.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from forestall.kernel.shapes import ADDRESS as ADDRESS_MARK
from forestall.kernel.shapes import RUN, address_number, kind_of
from forestall.telemetry.language import All, Any, Field, Node, Not, Phrase, Regex, Word
from forestall.telemetry.schema import DATABASE, EVERYTHING, HOST, MESSAGE, SHAPE, SOURCE, parts_of

_TOKEN = re.compile(r"[a-z0-9\u0080-\U0010ffff]+")  # what ClickHouse's token index takes for a word
_SEPARATOR = r"[^a-z0-9\x{80}-\x{10FFFF}]"  # the opposite, for RE2
_LETTER = re.compile(r"[a-z\u0080-\U0010ffff]")
_OF_ADDRESS = re.compile(r"[0-9.]+")
OCTET_MAX = 255


@dataclass(frozen=True, slots=True)
class Leaf:
    """A condition on the columns of `logs`. `few`: it holds for few rows, so all of them are looked for at
    once instead of the newest first."""

    sql: str
    few: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """Whether the shape's text, the program or the host (`kinds`) has something: `lookups[place]`."""

    place: int
    kinds: frozenset[int] = frozenset((SHAPE, SOURCE, HOST))


@dataclass(frozen=True, slots=True)
class Both:
    """Every part."""

    parts: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part."""

    parts: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class No:
    """Not the part."""

    part: "Part"


@dataclass(frozen=True, slots=True)
class Test:
    """What a lowered text is asked: does it have a word (`token`), a text (`part`), or match an expression
    (`match`, RE2)? `parameter` is the value's name in a query."""

    way: Literal["token", "part", "match"]
    value: str
    parameter: str

    def sql(self, text: str) -> str:
        """The question about an expression of SQL."""
        if self.way == "part":
            return f"position({text}, {self.parameter}) > 0"
        return f"{'hasToken' if self.way == 'token' else 'match'}({text}, {self.parameter})"

    @property
    def expression(self) -> str:
        """For `token` and `match`: the question as one expression of RE2."""
        if self.way == "match":
            return self.value
        return f"(?:^|{_SEPARATOR}){re.escape(self.value)}(?:$|{_SEPARATOR})"


@dataclass(frozen=True, slots=True)
class Has:
    """Where in the vocabulary something is: in entries of which kinds, and in which shapes when they are
    known and few (None: ask for them)."""

    kinds: frozenset[int]
    shapes: tuple[int, ...] | None = None


Part = Leaf | Known | Both | Either | No
Found = Mapping[int, Has]  # by lookup
NOWHERE = Has(frozenset())


class Conditions:
    """Collects parameters and lookups while conditions are made. `scope`: the condition on `client`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.parameters: dict[str, str | int] = {}
        self.lookups: list[Test] = []
        self.needs_message = False

    def of(self, node: Node) -> Part:
        """The condition of a tree."""
        match node:
            case All(parts):
                return Both(tuple(self.of(part) for part in parts))
            case Any(parts):
                return Either(tuple(self.of(part) for part in parts))
            case Not(part):
                return No(self.of(part))
            case Phrase(text):
                return self._phrase(_lower(text))
            case Regex(pattern):
                return self._on_message(f"match({MESSAGE}, {self._text(pattern)})")
            case Word(text, prefix):
                return self._word(_lower(text), prefix)
            case Field(name, operator, value):
                return self._field(name, operator, value)

    def lookup_sql(self) -> str:
        """Which kinds of entries have what is looked for: rows of (kind, 0 or 1 for each lookup)."""
        asked = ", ".join(f"max({test.sql('lower(text)')})" for test in self.lookups)
        all_names = (
            f"text = '{EVERYTHING}' AND kind != {SHAPE}"  # more names than are kept: any of them may have it
        )
        return (
            f"SELECT kind, max({all_names}), {asked} FROM {DATABASE}.vocabulary WHERE {self.scope}"
            " GROUP BY kind"
        )

    def found(self, rows: list[tuple[int, ...]]) -> Found:
        """The answer to `lookup_sql`."""
        return {
            place: Has(frozenset(row[0] for row in rows if row[1] or row[2 + place]))
            for place in range(len(self.lookups))
        }

    def sql(self, part: Part, found: Found) -> str:
        """The condition as SQL."""
        match part:
            case Leaf(text):
                return text
            case Known(place, kinds):
                has = found.get(place, NOWHERE)
                return _any_of([self._known(place, kind, has) for kind in sorted(kinds & has.kinds)])
            case Both(parts):
                made = [self.sql(one, found) for one in parts]
                if "0" in made:
                    return "0"
                made = [one for one in made if one != "1"]
                return "(" + " AND ".join(made) + ")" if made else "1"
            case Either(parts):
                return _any_of([self.sql(one, found) for one in parts])
            case No(inner):
                return f"NOT {self.sql(inner, found)}"

    def is_rare(self, part: Part, found: Found) -> bool:
        """Whether few rows are expected for which the condition holds."""
        match part:
            case Leaf(few=few):
                return few
            case Both(parts):
                return any(self.is_rare(one, found) for one in parts)
            case Either(parts):
                left = [one for one in parts if self.sql(one, found) != "0"]
                return len(left) == 1 and self.is_rare(left[0], found)
            case _:
                return False

    def _known(self, place: int, kind: int, has: Has) -> str:
        test = self.lookups[place]
        if kind == SOURCE:
            return test.sql("lower(source)")
        if kind == HOST:
            return test.sql("lower(host)")
        if has.shapes is not None:
            return f"shape IN ({', '.join(map(str, has.shapes))})"
        return (
            f"shape IN (SELECT number FROM {DATABASE}.vocabulary WHERE {self.scope} AND kind = {SHAPE}"
            f" AND {test.sql('lower(text)')})"
        )

    def _lookup(self, test: Test) -> Known:
        self.lookups.append(test)
        return Known(len(self.lookups) - 1)

    def _on_message(self, sql: str) -> Leaf:
        self.needs_message = True
        return Leaf(sql)

    def _token(self, token: str) -> Part:
        """A whole word without separators."""
        test = Test("token", token, self._text(token))
        parts: list[Part] = [Leaf(test.sql("lower(words)"), few=True)]
        if not _LETTER.search(token):
            parts.append(Leaf(test.sql("numbers")))
            if token.isdecimal() and int(token) <= OCTET_MAX and str(int(token)) == token:
                octet = self._number(int(token))
                parts.append(
                    Leaf(
                        f"arrayExists(one -> bitAnd(one, 255) = {octet} OR bitAnd(bitShiftRight(one, 8), 255)"
                        f" = {octet} OR bitAnd(bitShiftRight(one, 16), 255) = {octet}"
                        f" OR bitShiftRight(one, 24) = {octet}, addresses)"
                    )
                )
        return Either((*parts, self._lookup(test)))

    def _phrase(self, text: str) -> Part:
        """Text anywhere."""
        test = Test("part", text, self._text(text))
        if _in_one_run(text):
            return self._in_columns(text, test)
        inner = [found[0] for found in _TOKEN.finditer(text) if found.start() > 0 and found.end() < len(text)]
        lowered = self._on_message(test.sql(f"lower({MESSAGE})"))
        in_message = Both((*(self._token(token) for token in dict.fromkeys(inner)), lowered))
        return Either((in_message, self._in_names(test)))

    def _word(self, word: str, prefix: bool) -> Part:
        """A whole word, or with `prefix` its beginning: text whose ends are ends of words."""
        if not prefix and _TOKEN.fullmatch(word):
            return self._token(word)
        if not prefix and kind_of(word) == ADDRESS_MARK:
            has = Leaf(f"has(addresses, toUInt32({self._number(address_number(word))}))", few=True)
            return Either((has, self._in_names(self._bounded(word, prefix=False))))
        test = self._bounded(word, prefix)
        tokens = _TOKEN.findall(word)
        if prefix and tokens and word.endswith(tokens[-1]):
            tokens.pop()  # the last one may go on
        if _in_one_run(word):
            return self._in_columns(word, test)
        if not tokens:
            lowered: Part = self._on_message(test.sql(f"lower({MESSAGE})"))
        else:
            parts = (self._token(token) for token in dict.fromkeys(tokens))
            lowered = Both((*parts, self._on_message(test.sql(f"lower({MESSAGE})"))))
        return Either((lowered, self._in_names(test)))

    def _bounded(self, word: str, prefix: bool) -> Test:
        """The text with an end of a word on both sides; with `prefix` on the left alone."""
        begin = f"(?:^|{_SEPARATOR})" if _TOKEN.match(word) else ""
        end = f"(?:$|{_SEPARATOR})" if not prefix and _TOKEN.match(word[-1]) else ""
        pattern = f"(?s){begin}{re.escape(word)}{end}"
        return Test("match", pattern, self._text(pattern))

    def _in_columns(self, text: str, test: Test) -> Part:
        """What lies in one run of the message: in the shape's text or in one variable."""
        # what has a letter and is in no shape's text is part of a name or an identifier
        parts: list[Part] = [Leaf(test.sql("lower(words)"), few=_LETTER.search(text) is not None)]
        if not _LETTER.search(text):
            parts.append(Leaf(test.sql("numbers")))
            parts.append(Leaf(f"arrayExists(one -> {test.sql('IPv4NumToString(one)')}, addresses)"))
        return Either((*parts, self._lookup(test)))

    def _in_names(self, test: Test) -> Part:
        """In the name of the program or of the host."""
        return Known(self._lookup(test).place, frozenset((SOURCE, HOST)))

    def _field(self, name: str, operator: str, value: str) -> Part:
        if name in ("severity", "facility"):
            # "at least warning" means a lower number: RFC 5424 counts downwards
            turned = {">": "<", ">=": "<=", "<": ">", "<=": ">="} if name == "severity" else {}
            return Leaf(f"{name} {turned.get(operator, operator)} {self._number(int(value))}")
        if name == "message":
            text = _lower(value.rstrip("*"))
            test = Test("part", text, self._text(text))
            tokens = _TOKEN.findall(_lower(value))[1:-1]
            lowered = self._on_message(test.sql(f"lower({MESSAGE})"))
            part: Part = Both((*(self._token(token) for token in dict.fromkeys(tokens)), lowered))
        else:
            column = name if name in ("source", "host") else self._attribute(name)
            if value == "*":
                part = Leaf(f"{column} != ''")
            elif value.endswith("*"):
                part = Leaf(f"startsWith(lower({column}), {self._text(_lower(value[:-1]))})")
            else:
                part = Leaf(f"lower({column}) = {self._text(_lower(value))}")
        return No(part) if operator == "!=" else part

    def _attribute(self, name: str) -> str:
        return f"JSONExtractString(attrs, {self._text(name)})"

    def _text(self, value: str) -> str:
        return "{" + self._next(value) + ":String}"

    def _number(self, value: int) -> str:
        return "{" + self._next(value) + ":Int64}"

    def _next(self, value: str | int) -> str:
        name = f"q{len(self.parameters)}"
        self.parameters[name] = value
        return name


def source_of(scope: str, *, needs_message: bool) -> str:
    """What a query reads FROM."""
    return f"{DATABASE}.logs {parts_of(scope)}" if needs_message else f"{DATABASE}.logs"


def _any_of(parts: list[str]) -> str:
    if "1" in parts:
        return "1"
    parts = [part for part in parts if part != "0"]
    if not parts:
        return "0"
    return parts[0] if len(parts) == 1 else "(" + " OR ".join(parts) + ")"


def _in_one_run(text: str) -> bool:
    """Whether the text can only lie within one run of a message: not across an address and its port."""
    parts = text.split(":")
    across = len(parts) > 1 and (_OF_ADDRESS.fullmatch(parts[0]) or _OF_ADDRESS.fullmatch(parts[-1]))
    return RUN.fullmatch(text) is not None and not across


def _lower(text: str) -> str:
    """As ClickHouse's lower(): ASCII letters alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
