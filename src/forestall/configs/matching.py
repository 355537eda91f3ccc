"""What is looked for in configurations, and which lines have it. Pure.

Regular expressions are RE2 (linear in the text, whatever the pattern), through pyarrow, many texts at once.
Upper and lower case (of ASCII) are the same in all of them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.kernel.errors import Trouble

Mode = Literal["words", "starts", "re"]

NEEDLE_MAX_CHARS = 300
WORDS_MAX = 10
_WORD = re.compile(r'"([^"]*)"|(\S+)')
# What could match beyond the end of a line, or is about the text as a whole: then line by line.
_BEYOND = re.compile(r"\\[^.+*?()|{}\[\]^$/\-dwbB]|\[\^|\(\?|\[\[|\n")
_ABOUT_TEXT = re.compile(r"\\[Az]|\(\?")


@dataclass(frozen=True, slots=True)
class Needle:
    """What is looked for. `words`: all in one line, a phrase in quotes; `starts`: a line begins so, after its
    indent; `re`: a line has it."""

    text: str
    mode: Mode = "words"


class Matcher:
    """A needle, read. Raises Trouble that says what to write instead."""

    def __init__(self, needle: Needle) -> None:
        text = needle.text.strip()
        if not text:
            raise Trouble("nothing to look for", "Write a word of the line, for example: ntp server.")
        if len(text) > NEEDLE_MAX_CHARS:
            raise Trouble(
                f"more than {NEEDLE_MAX_CHARS} letters to look for", "Look for a part that is telling."
            )
        self.mode = needle.mode
        self._words: list[bytes] = []
        self._has_letters = any(one.lower() != one.upper() for one in text.encode().split())
        self._pattern = ""
        if needle.mode == "re":
            self._pattern = f"(?im){text}"
            self._by_line = bool(_BEYOND.search(text))
            self._about_text = bool(_ABOUT_TEXT.search(text))
            self._check()
        elif needle.mode == "starts":
            self._words = text.lower().encode().split()
        else:
            found = [phrase or word for phrase, word in _WORD.findall(text)]
            self._words = sorted((one.lower().encode() for one in found if one), key=len, reverse=True)
            if not 1 <= len(self._words) <= WORDS_MAX:
                raise Trouble(f"1 to {WORDS_MAX} words can be looked for", "Leave some out.")

    def match(self, texts: Sequence[bytes]) -> list[bool]:
        """Which of these texts (UTF-8) have a line like that."""
        if self.mode == "re":
            return self._match_pattern(pa.array(texts, pa.string()))
        if self.mode == "starts":
            return [bool(self._start_lines(low, most=1)) for low in map(bytes.lower, texts)]
        first = self._words[0]
        lower: Iterable[bytes] = map(bytes.lower, texts) if self._has_letters else texts
        if len(self._words) == 1:
            return [first in low for low in lower]
        return [self._has_line(low) for low in lower]

    def lines(self, text: bytes, *, most: int) -> list[int]:
        """The numbers (from 0) of the first lines of a text that are like that."""
        if self.mode == "re":
            lines = text.decode().split("\n")
            mask = pc.match_substring_regex(pa.array(lines, pa.string()), self._pattern)
            found: list[int] = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[:most].tolist()
            return found
        low = text.lower()
        if self.mode == "starts":
            return self._start_lines(low, most=most)
        return self._word_lines(low, most=most)

    def _start_lines(self, low: bytes, *, most: int) -> list[int]:
        first = self._words[0]
        found: list[int] = []
        at = low.find(first)
        while at >= 0 and len(found) < most:
            start, end = low.rfind(b"\n", 0, at) + 1, low.find(b"\n", at)
            end = end if end >= 0 else len(low)
            if not low[start:at].strip(b" \t"):
                words = low[start:end].split()
                if b" ".join(words).startswith(b" ".join(self._words)):
                    found.append(low.count(b"\n", 0, start))
            at = low.find(first, end)
        return found

    def _has_line(self, low: bytes) -> bool:
        """Whether one line has all words: mostly the first line that has the longest of them tells."""
        first, *others = self._words
        at = low.find(first)
        if at < 0:
            return False
        line = low[low.rfind(b"\n", 0, at) + 1 : self._end(low, at)]
        if all(word in line for word in others):
            return True
        return all(word in low for word in others) and bool(self._word_lines(low, most=1))

    @staticmethod
    def _end(low: bytes, at: int) -> int:
        end = low.find(b"\n", at)
        return end if end >= 0 else len(low)

    def _word_lines(self, low: bytes, *, most: int) -> list[int]:
        first, *others = self._words
        found: list[int] = []
        at = low.find(first)
        while at >= 0 and len(found) < most:
            start, end = low.rfind(b"\n", 0, at) + 1, low.find(b"\n", at)
            line = low[start : end if end >= 0 else len(low)]
            if all(word in line for word in others):
                found.append(low.count(b"\n", 0, start))
            if end < 0:
                break
            at = low.find(first, end)
        return found

    def _match_pattern(self, column: pa.Array) -> list[bool]:
        """A line that is like the pattern is also found in the text as a whole, unless the pattern is about
        the text's own beginning or end; what is found there may reach over several lines."""
        if self._by_line and self._about_text:
            return self._match_lines(column)
        hit: list[bool] = pc.match_substring_regex(column, self._pattern).to_pylist()
        if self._by_line and any(hit):
            picked = [number for number, one in enumerate(hit) if one]
            sure = self._match_lines(column.take(pa.array(picked)))
            for number, one in zip(picked, sure, strict=True):
                hit[number] = one
        return hit

    def _match_lines(self, column: pa.Array) -> list[bool]:
        lists = pc.split_pattern(column, "\n")
        mask = pc.match_substring_regex(lists.flatten(), self._pattern).to_numpy(zero_copy_only=False)
        starts = lists.offsets.to_numpy()[:-1]
        hit: list[bool] = np.logical_or.reduceat(mask, starts).tolist() if len(starts) else []
        return hit

    def _check(self) -> None:
        try:
            pc.match_substring_regex(pa.array([""], pa.string()), self._pattern)
        except pa.ArrowInvalid as error:
            why = str(error).removeprefix("Invalid regular expression: ")
            raise Trouble(
                f"this is no regular expression: {why}",
                "RE2 is understood: no look-ahead and no references back. To look for the letters "
                "themselves, choose words.",
            ) from error
