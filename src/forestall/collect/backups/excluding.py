"""What a plan leaves out on purpose: patterns that a person agreed to, not those of the job."""

import re
from collections.abc import Callable, Sequence
from functools import cache

PATTERNS_MAX = 500


def excluded(patterns: Sequence[str]) -> Callable[[bytes], bool]:
    """Whether a path is left out. `*.tmp` is any file or directory of that name; `/srv/data/cache` is
    that one with all below it; `*` stands for anything within a name, `**` also for several directories.

    Raises ValueError for more than PATTERNS_MAX.
    """
    if len(patterns) > PATTERNS_MAX:
        raise ValueError(f"a plan leaves out at most {PATTERNS_MAX} patterns, not {len(patterns)}")
    words = [_pattern(one.strip().rstrip("/")) for one in patterns if one.strip().rstrip("/")]
    if not words:
        return lambda path: False
    found = re.compile("|".join(words).encode("utf-8", "surrogateescape"))
    return lambda path: found.search(path) is not None


@cache
def _pattern(text: str) -> str:
    whole = "".join(_piece(piece) for piece in re.split(r"(\*\*|\*|\?)", text))
    return (rf"\A{whole}" if text.startswith("/") else rf"(?:\A|/){whole}") + r"(?=/|\Z)"


def _piece(piece: str) -> str:
    return {"**": r"(?s:.*)", "*": r"[^/]*", "?": r"[^/]"}.get(piece) or re.escape(piece)
