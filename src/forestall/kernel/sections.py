"""How a configuration is divided: which line stands under which heading. Pure; for rules and for pages.

Indented (Cisco, Arista, FortiGate, XML), braced (Juniper, VyOS), by paths (MikroTik), `[ini]`, `Match` (sshd)
and flat `set` lines. The style is seen from the text; nothing is rejected, a text without sections is flat.
"""

import re
from dataclasses import dataclass
from typing import Literal

Style = Literal["indented", "braced", "paths", "ini", "match", "set"]

LOOKED_AT_MAX = 2_000  # lines from which the style is seen
DEPTH_MAX = 40
SET_SHARE = 0.6
TOP = -1
_INI = re.compile(r"\[[^\[\]]+\]\s*$")
_PATH = re.compile(r"/[a-z]")
_MATCH = re.compile(r"\s*Match\s", re.IGNORECASE)
_VERB = re.compile(r"(add|set)\b")
_COMMENT = ("#", "!", ";", "//")


@dataclass(frozen=True, slots=True)
class Sections:
    """The lines of a text and the line under which each stands (`TOP`: under none). What stands under a line
    follows it directly, up to `ends` of it (exclusive)."""

    lines: list[str]
    parents: list[int]
    ends: list[int]
    style: Style

    def path(self, line: int) -> tuple[str, ...]:
        """The headings above a line (its number from 0), outermost first."""
        found: list[str] = []
        at = self.parents[line]
        while at != TOP:
            found.append(" ".join(self.lines[at].split()).removesuffix(" {"))
            at = self.parents[at]
        return tuple(reversed(found))


def split_lines(text: str) -> list[str]:
    """The lines of a text as the pages number them: ended by a newline alone or after a carriage return."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def read_sections(text: str) -> Sections:
    """Divide a text."""
    lines = split_lines(text)
    style = style_of(lines)
    match style:
        case "indented":
            parents = _indented(lines)
        case "braced":
            parents = _braced(lines)
        case "paths":
            parents = _headed(lines, _PATH)
        case "ini":
            parents = _headed(lines, _INI)
        case "match":
            parents = _headed(lines, _MATCH)
        case _:
            parents = [TOP] * len(lines)
    return Sections(lines, parents, _ends(parents), style)


def style_of(lines: list[str]) -> Style:
    """How these lines are divided."""
    said = [line.strip() for line in lines[:LOOKED_AT_MAX]]
    said = [line for line in said if line and not line.startswith(_COMMENT)]
    if not said:
        return "indented"
    if sum(line.startswith("set ") for line in said) >= SET_SHARE * len(said) and not any(
        line.startswith(("edit ", "config ")) for line in said
    ):
        return "set"
    opened = sum(line.endswith("{") for line in said)
    if opened and abs(opened - sum(line.startswith("}") for line in said)) <= 1 + opened // 5:
        return "braced"
    if sum(bool(_PATH.match(line)) for line in said) and any(_VERB.match(line) for line in said):
        return "paths"
    if any(_INI.match(line) for line in said):
        return "ini"
    if any(_MATCH.match(line) for line in said):
        return "match"
    return "indented"


def _indented(lines: list[str]) -> list[int]:
    parents: list[int] = []
    open_ones: list[tuple[int, int]] = []  # indent, line
    last = TOP
    empty = 0  # lines that wait for the next one: they stand where it stands
    for number, line in enumerate(lines):
        text = line.lstrip(" \t")
        if not text:
            empty += 1
            continue
        indent = len(line) - len(text)
        while open_ones and open_ones[-1][0] >= indent:
            open_ones.pop()
        last = open_ones[-1][1] if open_ones else TOP
        parents += [last] * (empty + 1)
        empty = 0
        if len(open_ones) < DEPTH_MAX and text[0] not in "!#":
            open_ones.append((indent, number))
    return parents + [last] * empty


def _braced(lines: list[str]) -> list[int]:
    parents: list[int] = []
    open_ones: list[int] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if text.startswith("}") and open_ones:
            open_ones.pop()
        parents.append(open_ones[-1] if open_ones else TOP)
        if text.endswith("{") and len(open_ones) < DEPTH_MAX:
            open_ones.append(number)
    return parents


def _headed(lines: list[str], heading_like: re.Pattern[str]) -> list[int]:
    parents: list[int] = []
    heading = TOP
    for number, line in enumerate(lines):
        if heading_like.match(line):
            heading = number
            parents.append(TOP)
        else:
            parents.append(heading)
    return parents


def _ends(parents: list[int]) -> list[int]:
    ends = list(range(1, len(parents) + 1))
    for number in range(len(parents) - 1, -1, -1):
        parent = parents[number]
        if parent != TOP:
            ends[parent] = max(ends[parent], ends[number])
    return ends
