"""Differences between two texts: for a page, and in a few words. Pure."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN_MAX = 3
LINE_MAX_CHARS = 90
CONTEXT = 3
LINES_MAX = 20_000  # beyond, line by line comparing would take too long


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a difference: `kind` is "=", "+", "-" or "…" (lines left out)."""

    kind: str
    old: int | None
    new: int | None
    text: str


def count_lines(old: str, new: str) -> tuple[int, int]:
    """Lines that were added and removed."""
    added = removed = 0
    for kind, low, high, low_new, high_new in _operations(old.splitlines(), new.splitlines()):
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
        head = context if place else 0
        tail = context if place < len(operations) - 1 else 0
        for n in range(low, high):
            if n - low < head or high - n <= tail:
                yield Row("=", n + 1, n - low + low_new + 1, before[n])
            elif n - low == head:
                yield Row("…", None, None, f"{high - low - head - tail} lines are the same")


def summarise(old: str, new: str) -> str:
    """The difference in a few words: `PermitRootLogin no → PermitRootLogin yes; + Port 2222`."""
    before, after = old.splitlines(), new.splitlines()
    parts: list[str] = []
    for kind, low, high, low_new, high_new in _operations(before, after):
        if kind == "equal":
            continue
        gone = [_short(line) for line in before[low:high] if line.strip()]
        come = [_short(line) for line in after[low_new:high_new] if line.strip()]
        both = min(len(gone), len(come))
        parts += [f"{one} → {other}" for one, other in zip(gone, come, strict=False)]
        parts += [f"− {line}" for line in gone[both:]] + [f"+ {line}" for line in come[both:]]
    if len(parts) > SHOWN_MAX:
        parts = [*parts[:SHOWN_MAX], f"and {len(parts) - SHOWN_MAX} more"]
    return "; ".join(parts) or "blank lines only"


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= LINE_MAX_CHARS else f"{line[: LINE_MAX_CHARS - 1]}…"


def _operations(before: list[str], after: list[str]) -> list[tuple[str, int, int, int, int]]:
    if len(before) + len(after) > LINES_MAX:
        return [("replace", 0, len(before), 0, len(after))] if before != after else []
    return list(difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes())
