"""Which texts of a batch hold one of a few words, whatever their case: one compiled pass over the bytes.

The pass looks at every second byte or so (Wu and Manber, 1994, with blocks of two bytes): what stands there
says how far the next possible hit is. 120 bytes take about a tenth of a microsecond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.kernel.columns import I32, U8
from forestall.kernel.compiled import compiled

ANCHOR = 3  # bytes of a word by which it is found: its first ones
WORDS_MAX = 255
WORD_MAX_BYTES = 32

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Words:
    """Words, ready to be looked for: `skip` by two bytes, `first` and `count` of the words by an anchor's
    last two bytes, their bytes and lengths."""

    skip: U8
    first: U8
    count: U8
    letters: U8
    sizes: U8


def prepare(words: Sequence[str]) -> Words:
    """Words in small letters, each of ANCHOR to WORD_MAX_BYTES bytes. Raises ValueError for others."""
    plain = sorted({word.encode() for word in words}, key=lambda word: (word[1:ANCHOR], word))
    if len(plain) > WORDS_MAX or any(not ANCHOR <= len(word) <= WORD_MAX_BYTES for word in plain):
        raise ValueError(f"at most {WORDS_MAX} words of {ANCHOR} to {WORD_MAX_BYTES} bytes can be looked for")
    skip = np.full(1 << 16, ANCHOR - 1, np.uint8)
    first, count = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    letters = np.zeros((max(1, len(plain)), WORD_MAX_BYTES), np.uint8)
    for place, word in enumerate(plain):
        letters[place, : len(word)] = np.frombuffer(word, np.uint8)
        for block in _cases(word[: ANCHOR - 1]):
            skip[block] = min(skip[block], 1)
        for block in _cases(word[1:ANCHOR]):
            skip[block] = 0
            first[block] = place if not count[block] else first[block]
            count[block] += 1
    return Words(skip, first, count, letters, np.array([len(word) for word in plain], np.uint8))


def _cases(pair: bytes) -> set[int]:
    """Two bytes as numbers, in small and capital letters."""
    return {
        one << 8 | two
        for one in {pair[0], ord(chr(pair[0]).upper())}
        for two in {pair[1], ord(chr(pair[1]).upper())}
    }


def holding(column: pa.Array, words: Words) -> Flags:
    """Which texts of a string column hold a word; of a dictionary only its texts are looked at."""
    if isinstance(column, pa.DictionaryArray):
        held = holding(column.dictionary, words)
        if not held.any():
            return np.zeros(len(column), np.bool_)
        codes = column.indices.fill_null(len(held)).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(held, False)[codes], np.bool_)
    if column.type != pa.string():
        column = column.cast(pa.string())
    _, offsets, data = column.buffers()
    if not len(column) or data is None or not data.size:
        return np.zeros(len(column), np.bool_)
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    found: Flags = _scan(
        np.frombuffer(data, np.uint8), bounds, words.skip, words.first, words.count, words.letters,
        words.sizes,
    )  # fmt: skip
    return found


@compiled
def _scan(data: U8, bounds: I32, skip: U8, first: U8, count: U8, letters: U8, sizes: U8) -> Flags:
    found = np.zeros(len(bounds) - 1, np.bool_)
    for row in range(len(found)):
        start, end = bounds[row], bounds[row + 1]
        at = start + 2  # of the last byte of an anchor
        while at < end:
            block = (np.uint32(data[at - 1]) << np.uint32(8)) | np.uint32(data[at])
            step = skip[block]
            if step:
                at += step
                continue
            for word in range(first[block], first[block] + count[block]):
                size = sizes[word]
                begin = at - 2
                if begin + size > end:
                    continue
                same = True
                for k in range(size):
                    letter = data[begin + k]
                    if 65 <= letter <= 90:
                        letter += 32
                    if letter != letters[word, k]:
                        same = False
                        break
                if same:
                    found[row] = True
                    break
            if found[row]:
                break
            at += 1
    return found
