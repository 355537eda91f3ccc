"""How times, copies and runs of a plan are said."""

from collections.abc import Sequence

from forestall.kernel.backups import CopySeen, RunReport
from forestall.kernel.clock import from_ms
from forestall.kernel.words import say_bytes, say_duration, say_list, say_number

COPY_WORDS = {
    "restic": "snapshot",
    "borg": "archive",
    "borgmatic": "archive",
    "postgres_dump": "dump",
    "mariadb_dump": "dump",
    "postgres_base": "base backup",
}
KEY_CHARS = 8
REASON_CHARS = 300


def copy_word(tool: str) -> str:
    """What a tool calls a copy."""
    return COPY_WORDS.get(tool, "copy")


def say_copies(tool: str, count: int, kind: str = "") -> str:
    """`3 new snapshots`, `1 copy`."""
    word = copy_word(tool)
    if count != 1:
        word = "copies" if word == "copy" else f"{word}s"
    return " ".join(filter(None, (str(count), kind, word)))


def say_key(key: str) -> str:
    """A copy's key as people know it: the beginning of a digest, else the name."""
    return f"{key[:KEY_CHARS]}" if len(key) >= 40 else key


def say_time(ms: int) -> str:
    """An instant: `2026-11-20 02:14 UTC`."""
    return f"{from_ms(ms):%Y-%m-%d %H:%M} UTC"


def say_day(ms: int) -> str:
    """A day: `2026-11-20`."""
    return f"{from_ms(ms):%Y-%m-%d}"


def say_ms(span: float) -> str:
    """A span of milliseconds."""
    return say_duration(span / 1000)


def say_ago(ms: int, now_ms: int) -> str:
    """How long ago: `3 days ago`."""
    return f"{say_ms(now_ms - ms)} ago"


def say_copy(tool: str, copy: CopySeen) -> str:
    """`snapshot 1f3a77c0 of 2026-11-20 02:14 UTC`."""
    return f"{copy_word(tool)} {say_key(copy.key)} of {say_time(copy.at_ms)}"


def say_files(count: float) -> str:
    """`1 file`, `1,204 files`."""
    return f"{say_number(round(count))} file{'' if round(count) == 1 else 's'}"


def say_run(run: RunReport) -> str:
    """A run as evidence: what it said, when, and its figures."""
    at = run.ended_ms if run.ended_ms is not None else run.at_ms
    parts = [f"run of {say_time(at)} ({run.by}): {run.said}"]
    if run.exit_code is not None:
        parts.append(f"exit {run.exit_code}")
    if run.copy:
        parts.append(say_key(run.copy))
    if run.files is not None:
        parts.append(say_files(run.files))
    if run.size is not None:
        parts.append(say_bytes(run.size))
    if run.added is not None:
        parts.append(f"+{say_bytes(run.added)}")
    return ", ".join(parts)


def short(text: str, most: int = REASON_CHARS) -> str:
    """A reason of another program in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def listed(things: Sequence[str], most: int = 3) -> str:
    """`a, b and c`, or with how many more."""
    return say_list(things, most)
