"""What a rule demands of a configuration's text, and whether a text meets it. Pure.

Patterns are RE2 and look at one line at a time, without its indent; upper and lower case differ unless the
pattern begins with `(?i)`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forestall.kernel.sections import Sections, read_sections
from forestall.kernel.words import say_list

LINES_SAID = 3
LINE_SAID_CHARS = 100
VALUE_GROUP = "value"
HEAD_GROUP = "whole_heading"
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?!\?)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDemand:
    """Every value that the pattern's group `value` finds is one of these, none of those, within limits."""

    pattern: str
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountDemand:
    """So many lines are like the pattern."""

    pattern: str
    at_least: int = 0
    at_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What must be so in a text: in each block under a line like `within`, or in the whole of it. It is not
    asked of a text without a line like `only_if`, nor of one without such a block; of a block only where each
    pattern of `where` has a line. `says`: what is wrong, in words."""

    only_if: str = ""
    within: str = ""
    where: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    count: CountDemand | None = None
    value: ValueDemand | None = None
    says: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text meets a demand. `lines`: the offending ones (number from 1, text), for the evidence."""

    applies: bool
    holds: bool
    reason: str = ""
    lines: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines that belong together. `heading`: the number of the line above them, or None for the whole."""

    lines: npt.NDArray[np.int64]
    heading: int | None = None


NOT_ASKED = Verdict(applies=False, holds=True)


class ReadText:
    """A text, divided, with what each pattern finds in it."""

    def __init__(self, text: str) -> None:
        self.sections: Sections = read_sections(text)
        self.said = [line.strip() for line in self.sections.lines]
        self._column = pa.array(self.said, pa.string())
        self._masks: dict[str, npt.NDArray[np.bool_]] = {}

    def mask(self, pattern: str) -> npt.NDArray[np.bool_]:
        """Which lines are like a pattern; shape (lines,)."""
        known = self._masks.get(pattern)
        if known is None:
            hit = pc.match_substring_regex(self._column, pattern)
            known = self._masks[pattern] = hit.to_numpy(zero_copy_only=False).astype(bool)
        return known

    def values(self, pattern: str) -> list[tuple[int, str]]:
        """The values that a pattern's group finds, with the number (from 0) of their line."""
        found = pc.extract_regex(self._column, named_groups_only(pattern)).to_pylist()
        return [(number, one[VALUE_GROUP]) for number, one in enumerate(found) if one is not None]


def named_groups_only(pattern: str) -> str:
    """The same regular expression, of which only named groups are captured: extracting takes no others."""
    return _GROUP.sub(lambda hit: "(?:" if hit[0] == "(" else hit[0], pattern)


def check_text(demand: Demand, text: ReadText) -> Verdict:
    """Whether the text meets the demand, and if not why, with the lines and where they stand."""
    if demand.only_if and not text.mask(demand.only_if).any():
        return NOT_ASKED
    blocks = [
        block
        for block in _blocks(demand, text)
        if all(text.mask(pattern)[block.lines].any() for pattern in demand.where)
    ]
    if not blocks:
        return NOT_ASKED
    faults: list[str] = []
    lines: dict[int, None] = {}
    for block in blocks:
        for fault, numbers in _faults(demand, text, block):
            faults.append(fault)
            lines |= dict.fromkeys(numbers)
    if not faults:
        return Verdict(applies=True, holds=True)
    said = faults[:LINES_SAID]
    if len(faults) > LINES_SAID:
        said.append(f"{len(faults) - LINES_SAID} more like that")
    reason = ": ".join(filter(None, [demand.says, "; ".join(filter(None, said))]))
    return Verdict(
        applies=True,
        holds=False,
        reason=reason,
        lines=tuple((number + 1, text.sections.lines[number]) for number in sorted(lines)),
    )


def _blocks(demand: Demand, text: ReadText) -> Iterator[_Block]:
    everything = np.arange(len(text.said))
    if not demand.within:
        yield _Block(everything)
        return
    headings = np.flatnonzero(text.mask(demand.within)).tolist()
    if text.sections.style == "set":
        yield from _set_blocks(demand.within, text)
        return
    for number in headings:
        yield _Block(everything[number + 1 : text.sections.ends[number]], number)


def _set_blocks(within: str, text: ReadText) -> Iterator[_Block]:
    """Flat `set` lines belong together when the part of them that is like `within` is the same."""
    pattern = f"(?P<{HEAD_GROUP}>{named_groups_only(within)})"
    found = pc.extract_regex(pa.array(text.said, pa.string()), pattern).to_pylist()
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(found):
        if one is not None:
            groups.setdefault(one[HEAD_GROUP], []).append(number)
    for numbers in groups.values():
        yield _Block(np.array(numbers, np.int64), numbers[0])


def _faults(demand: Demand, text: ReadText, block: _Block) -> Iterator[tuple[str, list[int]]]:
    place = _place(text, block)
    for pattern in demand.must:
        if not text.mask(pattern)[block.lines].any():
            missing = place if demand.says else f"{place or 'the configuration'} has no line like {pattern}"
            yield missing, [block.heading] if block.heading is not None else []
    for pattern in demand.must_not:
        numbers = block.lines[text.mask(pattern)[block.lines]].tolist()
        if numbers:
            more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
            yield f"{_line(text, numbers[0])}{more}", numbers
    if demand.count is not None:
        yield from _miscounted(demand.count, text, block, place)
    if demand.value is not None:
        inside = set(block.lines.tolist())
        for number, value in text.values(demand.value.pattern):
            why = _misfit(demand.value, value) if number in inside else ""
            if why:
                yield f"{_line(text, number)}: {why}", [number]


def _miscounted(
    count: CountDemand, text: ReadText, block: _Block, place: str
) -> Iterator[tuple[str, list[int]]]:
    numbers = block.lines[text.mask(count.pattern)[block.lines]].tolist()
    where = place or "the configuration"
    if len(numbers) < count.at_least:
        yield (
            f"{where} has {len(numbers)} lines like {count.pattern}, at least {count.at_least} are due",
            numbers,
        )
    elif count.at_most is not None and len(numbers) > count.at_most:
        yield (
            f"{where} has {len(numbers)} lines like {count.pattern}, {count.at_most} at most are due",
            numbers,
        )


def _misfit(demand: ValueDemand, value: str) -> str:
    """Why a value is not as it should be, or ""."""
    if demand.one_of and value not in demand.one_of:
        return f"{value} is none of {say_list(list(demand.one_of))}"
    if value in demand.none_of:
        return f"{value} may not be there"
    if demand.at_least is None and demand.at_most is None:
        return ""
    try:
        number = float(value)
    except ValueError:
        return f"{value} is no number"
    if demand.at_least is not None and number < demand.at_least:
        return f"{value} is less than {demand.at_least:g}"
    if demand.at_most is not None and number > demand.at_most:
        return f"{value} is more than {demand.at_most:g}"
    return ""


def _place(text: ReadText, block: _Block) -> str:
    return "" if block.heading is None else f"{_line(text, block.heading)}"


def _line(text: ReadText, number: int) -> str:
    """A line as a reason names it: `line 214 "transport input telnet" under "line vty 0 4"`."""
    said = " ".join(text.said[number].split())
    if len(said) > LINE_SAID_CHARS:
        said = said[: LINE_SAID_CHARS - 1] + "…"
    path = text.sections.path(number)
    return f'line {number + 1} "{said}"' + (f' under "{path[-1]}"' if path else "")
