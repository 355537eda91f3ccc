"""YAML with the line of every value, and the mistakes that are found while it is read.

Nothing is constructed from tags: a scalar is text, a number, yes/no or nothing. Aliases are refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from forestall.kernel.errors import Trouble

TEXT_MAX_BYTES = 256 << 10
MISTAKES_MAX = 50
DEPTH_MAX = 12


class PackMistake(Trouble):
    """One mistake in a pack: where, what, and what to write instead. `line` is 0 for an override."""

    def __init__(self, file: str, line: int, what: str, write_instead: str = "") -> None:
        place = f"{file}:{line}: " if line else f"{file}: "
        super().__init__(place + what, write_instead)
        self.file = file
        self.line = line
        self.mistake = what
        self.write_instead = write_instead


class PackMistakes(Trouble):
    """Every mistake that was found, the first one in front."""

    def __init__(self, mistakes: list[PackMistake]) -> None:
        lines = "\n".join(str(mistake) for mistake in mistakes)
        super().__init__(lines, "")
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Marked:
    """A value with its line. `value` is a scalar, a list of Marked, or a dict of Marked."""

    value: Any
    line: int = 0

    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {key: inner.plain() for key, inner in self.value.items()}
        if isinstance(self.value, list):
            return [inner.plain() for inner in self.value]
        return self.value


def mark_plain(value: Any) -> Marked:
    """JSON-like data as Marked, without lines."""
    if isinstance(value, Mapping):
        return Marked({str(key): mark_plain(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return Marked([mark_plain(inner) for inner in value])
    return Marked(value)


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file, gathered so that a person sees all of them at once."""

    file: str
    found: list[PackMistake] = field(default_factory=list)

    def add(self, at: Marked | int, what: str, write_instead: str = "") -> None:
        """Note a mistake at a value's line; beyond MISTAKES_MAX nothing is added."""
        line = at if isinstance(at, int) else at.line
        if len(self.found) < MISTAKES_MAX:
            self.found.append(PackMistake(self.file, line, what, write_instead))


def read_yaml(text: str, mistakes: Mistakes) -> Marked | None:
    """The document of a YAML text, or None after noting why it cannot be read."""
    if len(text.encode()) > TEXT_MAX_BYTES:
        mistakes.add(1, f"the file is larger than {TEXT_MAX_BYTES >> 10} kB", "Split it into several packs.")
        return None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                mistakes.add(line, "YAML aliases (*name) are not read", "Write it out in full.")
                return None
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        mistakes.add(
            mark.line + 1 if mark else 1,
            f"this is not YAML: {error.problem or error.context}",
            "Check the indentation (spaces, no tabs), colons and quotes of this line and the one before.",
        )
        return None
    except yaml.YAMLError as error:
        mistakes.add(1, f"this is not YAML: {error}", "Save it as UTF-8 text without control characters.")
        return None
    if node is None:
        mistakes.add(1, "the file is empty", "Begin with `pack: NAME`; see docs/spec-packs.md.")
        return None
    return _mark(node, mistakes, 0)


def _mark(node: yaml.Node, mistakes: Mistakes, depth: int) -> Marked:
    line = node.start_mark.line + 1
    if depth > DEPTH_MAX:
        mistakes.add(line, f"nested deeper than {DEPTH_MAX}", "Flatten it.")
        return Marked(None, line)
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            at = key_node.start_mark.line + 1
            if not key:
                mistakes.add(at, "a key must be a word", "Write `word: value`.")
            elif key in table:
                mistakes.add(at, f"`{key}` stands here twice", "Keep one of them.")
            else:
                inner = _mark(value_node, mistakes, depth + 1)
                table[key] = Marked(inner.value, at)
        return Marked(table, line)
    if isinstance(node, yaml.SequenceNode):
        return Marked([_mark(inner, mistakes, depth + 1) for inner in node.value], line)
    return Marked(_scalar(node), line)


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    if node.tag.endswith(":int"):
        try:
            return int(text.replace("_", ""), 10)
        except ValueError:
            return text
    if node.tag.endswith(":float"):
        try:
            return float(text.replace("_", ""))
        except ValueError:
            return text
    if node.tag.endswith(":bool"):
        return text.lower() in {"yes", "true", "on"}
    if node.tag.endswith(":null"):
        return None
    return text


def words_of(value: Marked) -> Iterator[Marked]:
    """The texts of a value that is one text or a list of texts; others are skipped."""
    for inner in value.value if isinstance(value.value, list) else [value]:
        if isinstance(inner.value, str):
            yield inner
