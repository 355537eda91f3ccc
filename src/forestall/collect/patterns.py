"""Looking for a pattern in a page, so that a bad pattern cannot hold up everybody else.

Python's `re` knows no time limit and some patterns take for ever, so a pattern that can repeat is looked
for in a process of its own that is ended when it takes too long. Others are fast, and looked for here.
"""

import asyncio
import re
import sys

from forestall.collect.answers import NoAnswer, NotAsked

PATTERN_MAX_CHARS = 500
TEXT_MAX_CHARS = 1 << 20
SEARCH_MAX_S = 3.0
_PROGRAM = (
    "import re,sys; t=sys.stdin.buffer.read().decode('utf-8','replace'); p,_,t=t.partition(chr(0)); "
    "sys.exit(0 if re.search(p,t,re.M) else 3)"
)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern. Raises NotAsked with what is wrong in it."""
    if len(pattern) > PATTERN_MAX_CHARS or "\0" in pattern:
        raise NotAsked(f"the pattern is too long: at most {PATTERN_MAX_CHARS} characters")
    try:
        return re.compile(pattern, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotAsked(f"the pattern {pattern!r} is not a regular expression: {error}") from error


async def search(pattern: str, text: str) -> bool:
    """Whether the pattern is anywhere in the first TEXT_MAX_CHARS of the text.

    Raises NotAsked for a wrong pattern, NoAnswer when the search takes longer than SEARCH_MAX_S.
    """
    compiled = compile_pattern(pattern)
    text = text[:TEXT_MAX_CHARS]
    if not any(mark in pattern for mark in "*+{?"):
        return compiled.search(text) is not None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SEARCH_MAX_S):
            await process.communicate(f"{pattern}\0{text}".encode("utf-8", "replace"))
    except TimeoutError:
        raise NoAnswer(
            f"looking for the pattern {pattern!r} took longer than {SEARCH_MAX_S:g} s; write it without "
            "repetitions inside repetitions"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in {0, 3}:
        raise NoAnswer(f"looking for the pattern {pattern!r} failed on this machine")
    return process.returncode == 0
