"""Two texts side by side with the sections in which they differ, and one setting of many devices. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Generic, TypeVar

from forestall.configs.differences import CONTEXT, WHOLE, Row, rows
from forestall.kernel.sections import Sections, read_sections

PATH_SEPARATOR = " › "

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Pair:
    """A line on the left and on the right; one of them is None where only the other has it."""

    left: Row | None
    right: Row | None

    @property
    def kind(self) -> str:
        """`=` the same, `~` another, `-` only left, `+` only right, `…` left out."""
        if self.left is None or self.right is None:
            return "+" if self.left is None else "-"
        return self.left.kind if self.left.kind in "=…" else "~"


def compare_texts(old: str, new: str, *, folded: bool = True) -> list[Row]:
    """The difference line by line; where lines are left out, in which section it goes on."""
    found = list(rows(old, new, context=CONTEXT if folded else WHOLE))
    before, after = read_sections(old), read_sections(new)
    return [
        replace(row, heading=_heading(found[place + 1], before, after))
        if row.kind == "…" and place + 1 < len(found)
        else row
        for place, row in enumerate(found)
    ]


def _heading(row: Row, before: Sections, after: Sections) -> str:
    sections, number = (after, row.new) if row.new is not None else (before, row.old)
    if number is None or number > len(sections.lines):
        return ""
    return PATH_SEPARATOR.join(sections.path(number - 1))


def pair_rows(found: Iterable[Row]) -> list[Pair]:
    """The same difference as two columns: what went is laid beside what came in its place."""
    pairs: list[Pair] = []
    gone: list[Row] = []
    come: list[Row] = []

    def lay() -> None:
        pairs.extend(Pair(left, right) for left, right in zip_longest(gone, come))
        gone.clear()
        come.clear()

    for row in found:
        if row.kind == "-":
            if come:
                lay()
            gone.append(row)
        elif row.kind == "+":
            come.append(row)
        else:
            lay()
            pairs.append(Pair(row, row))
    lay()
    return pairs


@dataclass(frozen=True, slots=True)
class Setting(Generic[Thing]):
    """What one device says: its lines, and how they differ from what most say."""

    place: Thing
    lines: tuple[str, ...]
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether it says something else than most."""
        return bool(self.more or self.less)


@dataclass(frozen=True, slots=True)
class Settings(Generic[Thing]):
    """A setting of many devices; `usual` are the lines that most of them have, `agree` how many."""

    usual: tuple[str, ...]
    agree: int
    rows: list[Setting[Thing]] = field(default_factory=list)


def settings_of(found: Sequence[tuple[Thing, Sequence[str]]]) -> Settings[Thing]:
    """Who says what most say and who does not: those who differ first. The order of lines counts not."""
    said = [(place, tuple(sorted(" ".join(line.split()) for line in lines))) for place, lines in found]
    if not said:
        return Settings((), 0)
    ((usual, agree),) = Counter(lines for _, lines in said).most_common(1)
    rows_ = [Setting(place, lines, _beyond(lines, usual), _beyond(usual, lines)) for place, lines in said]
    return Settings(usual, agree, sorted(rows_, key=lambda row: not row.differs))


def _beyond(lines: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    left = Counter(lines)
    left.subtract(Counter(others))
    return tuple(line for line, count in left.items() for _ in range(count))
