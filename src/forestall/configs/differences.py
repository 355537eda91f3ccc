"""Differences between two texts: for a page, and in a few words. Pure."""

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN_MAX = 3
LINE_MAX_CHARS = 90
CONTEXT = 3
WHOLE = 1 << 30  # lines around each part: nothing is left out
# Beyond this the part between the first and the last changed line is shown as replaced.
LINES_MAX = 6_000
# Pairs of equal lines, as in a list of blanks: 500,000 of them take 40 s, unless frequent lines are left out
# as anchors (difflib's autojunk).
PAIRS_MAX = 20_000

Operation = tuple[str, int, int, int, int]  # as difflib's get_opcodes has it


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a difference: `kind` is "=", "+", "-" or "…" (lines left out; it goes on under `heading`)."""

    kind: str
    old: int | None
    new: int | None
    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """A difference in numbers and in a few words."""

    added: int
    removed: int
    summary: str


def describe(old: str, new: str) -> Described:
    """What `count_lines` and `summarise` say, compared once."""
    before, after = old.splitlines(), new.splitlines()
    operations = _operations(before, after)
    added, removed = _count(operations)
    return Described(added, removed, _say(operations, before, after))


def count_lines(old: str, new: str) -> tuple[int, int]:
    """Lines that were added and removed."""
    return _count(_operations(old.splitlines(), new.splitlines()))


def _count(operations: list[Operation]) -> tuple[int, int]:
    added = removed = 0
    for kind, low, high, low_new, high_new in operations:
        if kind != "equal":
            removed += high - low
            added += high_new - low_new
    return added, removed


def rows(old: str, new: str, *, context: int = CONTEXT) -> Iterator[Row]:
    """The difference with some lines around each part."""
    before, after = old.splitlines(), new.splitlines()
    operations = _operations(before, after)
    for place, (kind, low, high, low_new, high_new) in enumerate(operations):
        if kind != "equal":
            yield from (Row("-", n + 1, None, before[n]) for n in range(low, high))
            yield from (Row("+", None, n + 1, after[n]) for n in range(low_new, high_new))
            continue
        head = context if place or context == WHOLE else 0
        tail = context if place < len(operations) - 1 else 0
        for n in range(low, high):
            if n - low < head or high - n <= tail:
                yield Row("=", n + 1, n - low + low_new + 1, before[n])
            elif n - low == head:
                yield Row("…", None, None, f"{high - low - head - tail} lines are the same")


def summarise(old: str, new: str) -> str:
    """The difference in a few words: `PermitRootLogin no → yes; + Port 2222`."""
    before, after = old.splitlines(), new.splitlines()
    return _say(_operations(before, after), before, after)


def _say(operations: list[Operation], before: list[str], after: list[str]) -> str:
    parts: list[str] = []
    for kind, low, high, low_new, high_new in operations:
        if kind == "equal":
            continue
        gone = [_short(line) for line in before[low:high] if line.strip()]
        come = [_short(line) for line in after[low_new:high_new] if line.strip()]
        both = min(len(gone), len(come))
        parts += [_pair(one, other) for one, other in zip(gone, come, strict=False)]
        parts += [f"− {line}" for line in gone[both:]] + [f"+ {line}" for line in come[both:]]
    if len(parts) > SHOWN_MAX:
        parts = [*parts[:SHOWN_MAX], f"and {len(parts) - SHOWN_MAX} more"]
    return "; ".join(parts) or "blank lines only"


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= LINE_MAX_CHARS else f"{line[: LINE_MAX_CHARS - 1]}…"


def _pair(old: str, new: str) -> str:
    """What became of a line, without saying again how both begin."""
    one, other = old.split(" "), new.split(" ")
    same = 0
    while same < min(len(one), len(other)) - 1 and one[same] == other[same]:
        same += 1
    return f"{old} → {' '.join(other[same:])}"


def _operations(before: list[str], after: list[str]) -> list[Operation]:
    """What difflib's get_opcodes gives, at a bounded cost."""
    head, least = 0, min(len(before), len(after))
    while head < least and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < least - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    low, high, low_new, high_new = head, len(before) - tail, head, len(after) - tail
    found = [("equal", 0, head, 0, head)] if head else []
    if low < high or low_new < high_new:
        old, new = before[low:high], after[low_new:high_new]
        found += [
            (kind, low + a, low + b, low_new + c, low_new + d) for kind, a, b, c, d in _compared(old, new)
        ]
    if tail:
        found.append(("equal", high, len(before), high_new, len(after)))
    return found


def _compared(old: list[str], new: list[str]) -> list[Operation]:
    often = Counter(new)
    pairs = sum(often[line] for line in old)
    if len(old) + len(new) > LINES_MAX:
        return [("replace", 0, len(old), 0, len(new))]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=pairs > PAIRS_MAX)
    return list(matcher.get_opcodes())
