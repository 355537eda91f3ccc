"""From a query's tree to a condition in SQL. Values travel as parameters, never inside the text. Pure."""

import re

from forestall.telemetry.language import All, Any, Field, Node, Not, Phrase, Regex, Word
from forestall.telemetry.schema import TEXT

_TOKEN = re.compile(r"[a-z0-9\u0080-\U0010ffff]+")  # what ClickHouse's token index takes for a word
_SEPARATOR = r"[^a-z0-9\x{80}-\x{10FFFF}]"  # the opposite, for RE2


class Conditions:
    """Collects parameters while conditions are made."""

    def __init__(self) -> None:
        self.parameters: dict[str, str | int] = {}

    def of(self, node: Node) -> str:
        """The condition of a tree."""
        match node:
            case All(parts):
                return "(" + " AND ".join(self.of(part) for part in parts) + ")" if parts else "1"
            case Any(parts):
                return "(" + " OR ".join(self.of(part) for part in parts) + ")"
            case Not(part):
                return f"NOT {self.of(part)}"
            case Phrase(text):
                return self._phrase(_lower(text))
            case Regex(pattern):
                return f"match(message, {self._text(pattern)})"
            case Word(text, prefix):
                return self._word(_lower(text), prefix)
            case Field(name, operator, value):
                return self._field(name, operator, value)

    def _phrase(self, text: str) -> str:
        """Text anywhere. Its inner words are whole ones, so the token index helps to find them."""
        inner = [found[0] for found in _TOKEN.finditer(text) if found.start() > 0 and found.end() < len(text)]
        conditions = [f"hasToken({TEXT}, {self._text(token)})" for token in inner]
        conditions.append(f"position({TEXT}, {self._text(text)}) > 0")
        return "(" + " AND ".join(conditions) + ")"

    def _word(self, word: str, prefix: bool) -> str:
        """A whole word by the token index; what contains separators also by its exact text and its ends."""
        if not prefix and _TOKEN.fullmatch(word):
            return f"hasToken({TEXT}, {self._text(word)})"
        tokens = _TOKEN.findall(word)
        if prefix and tokens and word.endswith(tokens[-1]):
            tokens.pop()  # the last one may go on
        begin = f"(?:^|{_SEPARATOR})" if _TOKEN.match(word) else ""
        end = f"(?:$|{_SEPARATOR})" if not prefix and _TOKEN.match(word[-1]) else ""
        conditions = [f"hasToken({TEXT}, {self._text(token)})" for token in tokens]
        conditions.append(f"position({TEXT}, {self._text(word)}) > 0")
        if begin or end:
            conditions.append(f"match({TEXT}, {self._text('(?s)' + begin + re.escape(word) + end)})")
        return "(" + " AND ".join(conditions) + ")"

    def _field(self, name: str, operator: str, value: str) -> str:
        if name in ("severity", "facility"):
            # "at least warning" means a lower number: RFC 5424 counts downwards
            turned = {">": "<", ">=": "<=", "<": ">", "<=": ">="} if name == "severity" else {}
            return f"{name} {turned.get(operator, operator)} {self._number(int(value))}"
        column = name if name in ("source", "host", "message") else self._attribute(name)
        if name == "message":
            condition = f"position(lower(message), {self._text(_lower(value.rstrip('*')))}) > 0"
        elif value.endswith("*") and value != "*":
            condition = f"startsWith(lower({column}), {self._text(_lower(value[:-1]))})"
        elif value == "*":
            condition = f"{column} != ''"
        else:
            condition = f"lower({column}) = {self._text(_lower(value))}"
        return f"NOT ({condition})" if operator == "!=" else condition

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


def _lower(text: str) -> str:
    """As ClickHouse's lower(): ASCII letters alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
