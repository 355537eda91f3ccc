"""Messages and attributes of records written into columns, at the speed of C: the step after `json_choose`.

Attributes are written as msgspec writes them (as `json_record` does), so that both ways give the same text.
"""

import numpy as np

from forestall.intake.formats.fields import ROLES, Role
from forestall.intake.formats.json_scan import PLAIN, SPELLED, byte, find_special, read_hex
from forestall.kernel.compiled import compiled

_MESSAGE = int(Role.MESSAGE)
_TAKEN = 4  # added to how a leaf is written: no attribute is made of it
_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE = (np.uint8(one) for one in b'"\\,{}')
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def _letters(pairs: dict[str, str]) -> np.ndarray:
    table = np.zeros(256, np.uint8)
    for left, right in pairs.items():
        table[ord(left)] = ord(right)
    return table


_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_MEANT = _letters(_SHORT | {"/": "/"})  # behind a backslash
_SHORTENED = _letters({right: left for left, right in _SHORT.items()})


@compiled
def copy(out, to, data, start, end):  # type: ignore[no-untyped-def]
    """out[to:] = data[start:end]: where it ends."""
    source, target = np.uint64(start), np.uint64(to)
    for k in range(np.uint64(end - start)):
        out[target + k] = data[source + k]
    return to + (end - start)


@compiled
def put(out, to, one):  # type: ignore[no-untyped-def]
    """One byte: where it ends."""
    out[np.uint64(to)] = one
    return to + 1


@compiled
def put_character(out, to, code):  # type: ignore[no-untyped-def]
    """A character in UTF-8: where it ends."""
    if code < 0x80:
        return put(out, to, code)
    if code < 0x800:
        to = put(out, to, 0xC0 | code >> 6)
    else:
        if code < 0x10000:
            to = put(out, to, 0xE0 | code >> 12)
        else:
            to = put(out, to, 0xF0 | code >> 18)
            to = put(out, to, 0x80 | code >> 12 & 0x3F)
        to = put(out, to, 0x80 | code >> 6 & 0x3F)
    return put(out, to, 0x80 | code & 0x3F)


@compiled
def put_unescaped(out, to, data, start, end):  # type: ignore[no-untyped-def]
    """The text that a JSON string means: where it ends. Never longer than the string."""
    while True:
        stop = min(find_special(data, start), end)
        to = copy(out, to, data, start, stop)
        if stop >= end:
            return to
        kind = byte(data, stop + 1)
        start = stop + 2
        if kind != 117:
            to = put(out, to, _MEANT[kind])
            continue
        code = read_hex(data, start)
        start += 4
        if 0xD800 <= code < 0xDC00:
            code = 0x10000 + ((code - 0xD800) << 10) + read_hex(data, start + 2) - 0xDC00
            start += 6
        to = put_character(out, to, code)


@compiled
def put_escaped(out, to, data, start, end):  # type: ignore[no-untyped-def]
    """A text as the inside of a JSON string, as short as it goes: where it ends."""
    for at in range(start, end):
        one = byte(data, at)
        if one >= 32 and one != _QUOTE and one != _BACKSLASH:
            to = put(out, to, one)
        elif _SHORTENED[one]:
            to = put(out, put(out, to, _BACKSLASH), _SHORTENED[one])
        else:
            to = put(out, put(out, to, _BACKSLASH), 117)
            to = put(out, put(out, to, 48), 48)
            to = put(out, put(out, to, _HEX[one >> 4]), _HEX[one & 15])
    return to


@compiled
def put_attrs(out, to, data, leaves, first, last, names, texts, spans, scratch):  # type: ignore[no-untyped-def]
    """The leaves that nothing else took as a JSON object, nothing when there are none: where it ends.

    texts[spans[name] : spans[name + 1]] is `"name":`.
    """
    none = np.int64(-1)
    before, began = none, to
    for leaf in range(np.uint64(first), np.uint64(last)):
        written = leaves[leaf, 3]
        if written >= _TAKEN:
            before = none
            continue
        name = np.uint64(names[np.uint64(leaves[leaf, 0])])
        if np.int64(name) == before:
            to = put(out, to - 1, _COMMA)  # instead of the closing quote
        else:
            to = put(out, to, _COMMA if to > began else _OPEN)
            to = put(out, copy(out, to, texts, spans[name], spans[name + np.uint64(1)]), _QUOTE)
        before = np.int64(name)
        start, end = np.int64(leaves[leaf, 1]), np.int64(leaves[leaf, 2])
        if written == SPELLED:
            to = put_escaped(out, to, scratch, 0, put_unescaped(scratch, 0, data, start, end))
        else:
            to = copy(out, to, data, start, end)
        to = put(out, to, _QUOTE)
    return put(out, to, _CLOSE) if to > began else to


@compiled
def put_message(out, to, data, start, end, written):  # type: ignore[no-untyped-def]
    """A message without the line breaks at its end: where it ends."""
    began = to
    to = copy(out, to, data, start, end) if written == PLAIN else put_unescaped(out, to, data, start, end)
    while to > began and (byte(out, to - 1) == 10 or byte(out, to - 1) == 13):
        to -= 1
    return to


@compiled
def put_record(out, to, data, start, end):  # type: ignore[no-untyped-def]
    """A whole record without the blanks around it: where it ends."""
    while start < end and (byte(data, start) == 32 or byte(data, start) == 9 or byte(data, start) == 13):
        start += 1
    while end > start and (
        byte(data, end - 1) == 32 or byte(data, end - 1) == 9 or byte(data, end - 1) == 13
    ):
        end -= 1
    return copy(out, to, data, start, end)


@compiled
def write_all(  # type: ignore[no-untyped-def]
    data, starts, ends, leaves, firsts, names, texts, spans, chosen, odd,
    messages, message_ends, attrs, attr_ends, scratch,
):  # fmt: skip
    """The records that are not odd into `messages` and `attrs`, with `…_ends` (n + 1) from 0 on."""
    message, attr = 0, 0
    message_ends[0] = attr_ends[0] = 0
    for row in range(len(starts)):
        if not odd[row]:
            for role in range(1, ROLES):
                leaf = chosen[row, role]
                if leaf >= 0:
                    leaves[leaf, 3] += _TAKEN
            leaf = chosen[row, _MESSAGE]
            if leaf >= 0:
                message = put_message(
                    messages, message, data, np.int64(leaves[leaf, 1]), np.int64(leaves[leaf, 2]),
                    leaves[leaf, 3] - _TAKEN,
                )  # fmt: skip
            else:
                message = put_record(messages, message, data, starts[row], ends[row])
            attr = put_attrs(
                attrs, attr, data, leaves, firsts[row], firsts[row + 1], names, texts, spans, scratch
            )
        message_ends[row + 1] = message
        attr_ends[row + 1] = attr
