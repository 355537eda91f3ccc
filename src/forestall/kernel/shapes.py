"""The shape of a log message: its fixed words, and places where something varies from line to line.

    Failed password for root from 10.4.7.19 port 52114        the message
    Failed password for root from ␃ port ␁                     its shape
    52114 · (nothing) · 10.4.7.19                               its numbers, words, addresses

A **run** is the longest stretch of letters, digits and non-ASCII characters, also across a `.` or `:` that
stands between two of them; but a `:` never joins an IPv4 address to anything (`host:10.0.0.7:443`). A run
without an ASCII digit is fixed. A run with one varies: an IPv4 address in
its usual spelling is an **address**, a run without letters a **number**, everything else a **word**. So a
word of the message is always in one piece: in the shape or in one variable. Message and (shape, numbers,
words, addresses) say the same, byte for byte.

The loops are compiled; `shape_text`, `variables` and `rebuild` are the definition that they are tested
against. A shape's number is not proof of its text: `encode` compares every byte of it. Pure.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forestall.kernel.columns import I64, U8, U64
from forestall.kernel.compiled import compiled

NUMBER, WORD, ADDRESS = "\x01", "\x02", "\x03"
UNSHAPED = 0  # the number of what has no shape: it is kept whole
MESSAGE_MAX_BYTES = 32_768  # longer ones are kept whole
SEPARATOR = " "  # between the variables of one kind; no variable contains it (also in telemetry.schema)

U32 = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]

_ALNUM = r"[A-Za-z0-9\x80-\U0010ffff]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_WHOLE_IPV4 = rf"{_IPV4.pattern}(?!{_ALNUM}|\.{_ALNUM})"
RUN = re.compile(rf"{_WHOLE_IPV4}|{_ALNUM}+(?:(?:\.|:(?!{_WHOLE_IPV4})){_ALNUM}+)*")
_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[A-Za-z\x80-\U0010ffff]")
_MARK = re.compile(f"[{NUMBER}{WORD}{ADDRESS}]")

_FIXED, _LETTERS, _DIGITS = 0, 1, 2
_CLASS = np.array(
    [
        _DIGITS if 48 <= c <= 57 else _LETTERS if c >= 128 or 65 <= c <= 90 or 97 <= c <= 122 else _FIXED
        for c in range(256)
    ],
    np.uint8,
)
_START = np.uint64(0xCBF29CE484222325)
_TIMES = np.uint64(0x100000001B3)
_STIR = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)
_EMPTY = np.uint64(0)
_DOT, _COLON, _SPACE = 46, 58, 32
_MARK_NUMBER, _MARK_WORD, _MARK_ADDRESS = 1, 2, 3
_MARK_MAX = 3


class Variables(NamedTuple):
    """What varies in one message, in order: numbers and words joined by SEPARATOR, addresses as numbers."""

    numbers: str
    words: str
    addresses: tuple[int, ...]


def kind_of(run: str) -> str:
    """NUMBER, WORD or ADDRESS, or "" when the run is fixed."""
    if not _DIGIT.search(run):
        return ""
    if _LETTER.search(run):
        return WORD
    return ADDRESS if _IPV4.fullmatch(run) else NUMBER


def shape_text(message: str) -> str | None:
    """The message with a mark in the place of each variable; None when it can only be kept whole."""
    if _MARK.search(message) or len(message.encode()) > MESSAGE_MAX_BYTES:
        return None
    return RUN.sub(lambda found: kind_of(found[0]) or found[0], message)


def variables(message: str) -> Variables:
    """What varies in the message."""
    found: dict[str, list[str]] = {NUMBER: [], WORD: [], ADDRESS: []}
    for run in RUN.findall(message):
        if kind := kind_of(run):
            found[kind].append(run)
    return Variables(
        SEPARATOR.join(found[NUMBER]),
        SEPARATOR.join(found[WORD]),
        tuple(address_number(text) for text in found[ADDRESS]),
    )


def address_number(text: str) -> int:
    """An IPv4 address as a number."""
    a, b, c, d = map(int, text.split("."))
    return (a << 24) | (b << 16) | (c << 8) | d


def address_text(number: int) -> str:
    """The usual spelling of an IPv4 address."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def rebuild(text: str, numbers: str, words: str, addresses: Sequence[int]) -> str:
    """The message of a shape's text and its variables."""
    left = {
        NUMBER: iter(numbers.split(SEPARATOR)),
        WORD: iter(words.split(SEPARATOR)),
        ADDRESS: iter([address_text(number) for number in addresses]),
    }
    return _MARK.sub(lambda mark: next(left[mark[0]]), text)


def shape_numbers(data: U8, start: I64, end: I64) -> U64:
    """The number of the shape of each message `data[start[i]:end[i]]`, valid UTF-8; UNSHAPED for what can
    only be kept whole."""
    numbers = np.empty(len(start), np.uint64)
    _number_all(data, start, end, _CLASS, numbers)
    return numbers


class Encoded(NamedTuple):
    """Messages, coded. `numbers` and `words`: strings one after the other, each behind its length (LEB128).
    `addresses` belong to messages up to `addresses_end[i]` (exclusive). `whole`: kept whole, in `words`."""

    numbers: U8
    words: U8
    addresses: U32
    addresses_end: U64
    whole: npt.NDArray[np.bool_]


def encode(data: U8, start: I64, end: I64, *, place: I32, texts: U8, text_at: I64) -> Encoded:
    """Code each message by the text `texts[text_at[place]:text_at[place + 1]]`. Where `place` is negative, or
    the text is not that of the message, it is kept whole; its addresses are listed all the same."""
    size = int((end - start).sum())
    numbers = np.empty(size + 5 * len(start) + 8, np.uint8)
    words = np.empty(size + 5 * len(start) + 8, np.uint8)
    addresses = np.empty(size // 8 + 8, np.uint32)  # an address and what parts it from the next: 8 bytes
    addresses_end = np.empty(len(start), np.uint64)
    whole = np.empty(len(start), np.bool_)
    numbers_size, words_size, count = _encode_all(
        data, start, end, _CLASS, place, texts, text_at, numbers, words, addresses, addresses_end, whole
    )
    return Encoded(numbers[:numbers_size], words[:words_size], addresses[:count], addresses_end, whole)


@compiled
def _whole_address(data, start, end, classes):  # type: ignore[no-untyped-def]
    """(where the IPv4 address ends that is between `start` and the end of its run, its value), else -1."""
    value = part = width = dots = 0
    at = start
    while at < end:
        byte = data[at]
        if classes[byte] == 2:
            if width > 0 and part == 0:
                return -1, 0
            part = part * 10 + (byte - 48)
            width += 1
            if part > 255:
                return -1, 0
        elif byte == _DOT and width > 0 and at + 1 < end and classes[data[at + 1]] != 0:
            dots += 1
            if dots > 3:
                return -1, 0
            value = value * 256 + part
            part = width = 0
        else:
            break
        at += 1
    if dots != 3 or width == 0 or (at < end and classes[data[at]] != 0):
        return -1, 0
    return at, value * 256 + part


@compiled
def _run(data, start, end, classes):  # type: ignore[no-untyped-def]
    """(where the run that begins at `start` ends, the mark of its kind or 0, the value of an address)."""
    digits = letters = False
    if classes[data[start]] == 2:
        at, value = _whole_address(data, start, end, classes)
        if at > 0:
            return at, _MARK_ADDRESS, value
    at = start
    while at < end:
        kind = classes[data[at]]
        if kind == 2:
            digits = True
        elif kind == 1:
            letters = True
        elif at + 1 < end and classes[data[at + 1]] != 0 and (data[at] == _DOT or data[at] == _COLON):
            if data[at] == _COLON and _whole_address(data, at + 1, end, classes)[0] > 0:
                break
        else:
            break
        at += 1
    if not digits:
        return at, 0, 0
    if letters:
        return at, _MARK_WORD, 0
    return at, _MARK_NUMBER, 0


@compiled
def _number_all(data, start, end, classes, numbers):  # type: ignore[no-untyped-def]
    for row in range(len(start)):
        at, stop = start[row], end[row]
        number = _START
        if stop - at > MESSAGE_MAX_BYTES:
            numbers[row] = _EMPTY
            continue
        shaped = True
        while at < stop:
            byte = data[at]
            if classes[byte] == 0:
                if 1 <= byte <= _MARK_MAX:
                    shaped = False
                    break
                number = (number ^ np.uint64(byte)) * _TIMES
                at += 1
                continue
            after, mark, _ = _run(data, at, stop, classes)
            if mark == 0:
                while at < after:
                    number = (number ^ np.uint64(data[at])) * _TIMES
                    at += 1
                number ^= number >> _HALF
            else:
                number = (number ^ np.uint64(mark)) * _STIR
            at = after
        number ^= number >> _HALF
        number *= _STIR
        number ^= number >> _HALF
        if not shaped:
            numbers[row] = _EMPTY
        elif number == _EMPTY:
            numbers[row] = _TIMES
        else:
            numbers[row] = number


@compiled
def _copy(data, start, end, out, at):  # type: ignore[no-untyped-def]
    for place in range(start, end):
        out[at] = data[place]
        at += 1
    return at


@compiled
def _put_length(out, start, end):  # type: ignore[no-untyped-def]
    """Put the length of what lies between the bounds ahead of it, where one byte was left free; where it
    then ends."""
    length = end - start
    extra = 0
    rest = length >> 7
    while rest > 0:
        extra += 1
        rest >>= 7
    if extra > 0:
        for place in range(end - 1, start - 1, -1):
            out[place + extra] = out[place]
    at = start - 1
    while length >= 128:
        out[at] = (length & 127) | 128
        at += 1
        length >>= 7
    out[at] = length
    return end + extra


@compiled
def _encode_all(  # type: ignore[no-untyped-def]
    data, start, end, classes, place, texts, text_at, numbers, words, addresses, addresses_end, whole
):
    n = w = a = 0
    for row in range(len(start)):
        at, stop = start[row], end[row]
        n_begin, w_begin, a_begin = n + 1, w + 1, a
        n, w = n_begin, w_begin
        fits = place[row] >= 0
        if fits:
            text, text_end = text_at[place[row]], text_at[place[row] + 1]
            while at < stop and fits:
                byte = data[at]
                if classes[byte] == 0:
                    fits = text < text_end and texts[text] == byte
                    text += 1
                    at += 1
                    continue
                after, mark, address = _run(data, at, stop, classes)
                if mark == 0:
                    fits = text + (after - at) <= text_end
                    while at < after and fits:
                        fits = texts[text] == data[at]
                        text += 1
                        at += 1
                    continue
                fits = text < text_end and texts[text] == mark
                text += 1
                if mark == _MARK_ADDRESS:
                    addresses[a] = address
                    a += 1
                elif mark == _MARK_WORD:
                    if w > w_begin:
                        words[w] = _SPACE
                        w += 1
                    w = _copy(data, at, after, words, w)
                else:
                    if n > n_begin:
                        numbers[n] = _SPACE
                        n += 1
                    n = _copy(data, at, after, numbers, n)
                at = after
            fits = fits and text == text_end
        if not fits:
            n, w, a = n_begin, w_begin, a_begin
            w = _copy(data, start[row], stop, words, w)
            at = start[row]
            while at < stop:  # so that a search for an address finds it here, too
                if classes[data[at]] == 0:
                    at += 1
                    continue
                at, mark, address = _run(data, at, stop, classes)
                if mark == _MARK_ADDRESS:
                    addresses[a] = address
                    a += 1
        n = _put_length(numbers, n_begin, n)
        w = _put_length(words, w_begin, w)
        addresses_end[row] = a
        whole[row] = not fits
    return n, w, a
