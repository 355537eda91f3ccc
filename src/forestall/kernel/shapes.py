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
VARIABLES_USUAL = 8  # in a message; more are read once again with more room
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


class Scanned(NamedTuple):
    """Messages, read. `numbers`: of their shapes, UNSHAPED for what can only be kept whole. Message i has the
    variables from `ends[i - 1]` (0 for the first) up to `ends[i]`: where each begins and ends in the data,
    the mark of its kind, and its value when it is an address."""

    numbers: U64
    ends: I64
    begins: I32
    stops: I32
    marks: U8
    values: U32


def scan(data: U8, start: I64, end: I64) -> Scanned:
    """Each message `data[start[i]:end[i]]`, valid UTF-8, at most 2 GiB of data."""
    numbers, ends = np.empty(len(start), np.uint64), np.empty(len(start), np.int64)
    room = VARIABLES_USUAL * len(start) + 1
    while True:
        begins, stops = np.empty(room, np.int32), np.empty(room, np.int32)
        marks, values = np.empty(room, np.uint8), np.empty(room, np.uint32)
        count = _scan_all(data, start, end, _CLASS, numbers, ends, begins, stops, marks, values)
        if count >= 0:
            return Scanned(numbers, ends, begins[:count], stops[:count], marks[:count], values[:count])
        room = int((end - start).sum()) // 2 + len(start) + 1  # each has a byte, and one behind it


class Encoded(NamedTuple):
    """Messages, coded. `numbers` and `words`: strings one after the other, each behind its length (LEB128).
    `addresses` belong to messages up to `addresses_end[i]` (exclusive). `whole`: kept whole, in `words`."""

    numbers: U8
    words: U8
    addresses: U32
    addresses_end: U64
    whole: npt.NDArray[np.bool_]


def encode(
    data: U8, start: I64, end: I64, *, scanned: Scanned, place: I32, texts: U8, text_at: I64
) -> Encoded:
    """Code each message by the text `texts[text_at[place]:text_at[place + 1]]`. Where `place` is negative, or
    the text is not that of the message, it is kept whole; its addresses are listed all the same."""
    size = int((end - start).sum()) + 5 * len(start) + 8
    numbers, words = np.empty(size, np.uint8), np.empty(size, np.uint8)
    addresses = np.empty(len(scanned.marks), np.uint32)
    addresses_end = np.empty(len(start), np.uint64)
    whole = np.empty(len(start), np.bool_)
    numbers_size, words_size, count = _encode_all(
        data, start, end, *scanned[1:], place, texts, text_at, numbers, words, addresses, addresses_end, whole
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
def _scan_all(  # type: ignore[no-untyped-def]
    data, start, end, classes, numbers, ends, begins, stops, marks, values
):
    """How many variables there are; -1 when there is no room for them."""
    count = 0
    for row in range(len(start)):
        at, stop = start[row], end[row]
        number = _START
        shaped = stop - at <= MESSAGE_MAX_BYTES
        while at < stop:
            byte = data[at]
            if classes[byte] == 0:
                if 1 <= byte <= _MARK_MAX:
                    shaped = False
                number = (number ^ np.uint64(byte)) * _TIMES
                at += 1
                continue
            after, mark, value = _run(data, at, stop, classes)
            if mark == 0:
                while at < after:
                    number = (number ^ np.uint64(data[at])) * _TIMES
                    at += 1
                number ^= number >> _HALF
                continue
            number = (number ^ np.uint64(mark)) * _STIR
            if count == len(marks):
                return -1
            begins[count], stops[count], marks[count], values[count] = at, after, mark, value
            count += 1
            at = after
        number ^= number >> _HALF
        number *= _STIR
        number ^= number >> _HALF
        if not shaped:
            number = _EMPTY
        elif number == _EMPTY:
            number = _TIMES
        numbers[row] = number
        ends[row] = count
    return count


@compiled
def _copy(data, start, end, out, at):  # type: ignore[no-untyped-def]
    for place in range(end - start):
        out[at + place] = data[start + place]
    return at + end - start


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
def _is_same(data, start, end, texts, text):  # type: ignore[no-untyped-def]
    for place in range(end - start):  # noqa: SIM110 - a loop is what is compiled well
        if data[start + place] != texts[text + place]:
            return False
    return True


@compiled
def _fits(data, start, end, begins, stops, marks, first, last, texts, text, text_end):  # type: ignore[no-untyped-def]
    """Whether the message with these variables has exactly this text."""
    at = start
    for variable in range(first, last):
        fixed = begins[variable] - at
        if text + fixed + 1 > text_end or texts[text + fixed] != marks[variable]:
            return False
        if not _is_same(data, at, begins[variable], texts, text):
            return False
        text += fixed + 1
        at = stops[variable]
    return text + (end - at) == text_end and _is_same(data, at, end, texts, text)


@compiled
def _encode_all(  # type: ignore[no-untyped-def]
    data, start, end, ends, begins, stops, marks, values, place, texts, text_at,
    numbers, words, addresses, addresses_end, whole,
):  # fmt: skip
    n = w = a = first = 0
    for row in range(len(start)):
        last = ends[row]
        n_begin, w_begin = n + 1, w + 1
        n, w = n_begin, w_begin
        text = place[row]
        fits = text >= 0 and _fits(
            data,
            start[row],
            end[row],
            begins,
            stops,
            marks,
            first,
            last,
            texts,
            text_at[text],
            text_at[text + 1],
        )
        for variable in range(first, last):
            mark = marks[variable]
            if mark == _MARK_ADDRESS:
                addresses[a] = values[variable]
                a += 1
            elif not fits:
                continue
            elif mark == _MARK_WORD:
                if w > w_begin:
                    words[w] = _SPACE
                    w += 1
                w = _copy(data, begins[variable], stops[variable], words, w)
            else:
                if n > n_begin:
                    numbers[n] = _SPACE
                    n += 1
                n = _copy(data, begins[variable], stops[variable], numbers, n)
        if not fits:
            w = _copy(data, start[row], end[row], words, w)
        n = _put_length(numbers, n_begin, n)
        w = _put_length(words, w_begin, w)
        addresses_end[row] = a
        whole[row] = not fits
        first = last
    return n, w, a
