"""JSON objects, one a record, taken apart at the speed of C: where each value lies and what it is called.

Reads plain records to the result that `json_record` defines, and leaves all others (odd ones) to it: a
record is odd rather than wrong here. What is found is a table of leaves; `json_columns` makes the columns.

Source: RFC 8259.
"""

import numpy as np

from forestall.intake.formats.wire import hash_bytes, load_8, same_bytes
from forestall.kernel.compiled import compiled

KEYS_MAX = 1024  # different keys in one body; records with others are odd
SLOTS = 4096
PROBES_MAX = 32
FAST_DEPTH_MAX = 12
LEAVES_MAX = 192  # of one record
PAD = b"\0" * 64  # behind the body, so that looking ahead never leaves it

_QUOTE, _BACKSLASH, _COMMA, _COLON, _DOT, _MINUS, _PLUS = (np.uint8(byte) for byte in b'"\\,:.-+')
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _ZERO = (np.uint8(byte) for byte in b"{}[]0")
_U, _T, _F, _N = (np.uint8(byte) for byte in b"utfn")
_SPACE = np.uint8(32)

# How the text of a leaf is written down: as it is; with the escapes that JSON always has; with others.
PLAIN, ESCAPED, SPELLED = 0, 1, 2
_ODD = -1

# Eight bytes at a time (Lamport, "Multiple byte processing with full-word instructions", 1975).
_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES, _SPACES = (np.uint64(byte) * _ONES for byte in b'"\\ ')
_ONE, _SEVEN, _TOP = np.uint64(1), np.uint64(7), np.uint64(56)


@compiled
def byte(data, at):  # type: ignore[no-untyped-def]
    """data[at]; the caller knows that it is not negative, which spares the question."""
    return data[np.uint64(at)]


@compiled
def skip_white(data, at):  # type: ignore[no-untyped-def]
    """The first byte from `at` on that is no blank; a line break is none."""
    while byte(data, at) <= _SPACE and (byte(data, at) == 32 or byte(data, at) == 9 or byte(data, at) == 13):
        at += 1
    return at


@compiled
def find_special(data, at):  # type: ignore[no-untyped-def]
    """Where the first quote, backslash or control character from `at` on is; PAD has one."""
    while True:
        word = load_8(data, at)
        quotes = word ^ _QUOTES
        escapes = word ^ _BACKSLASHES
        found = (
            ((quotes - _ONES) & ~quotes) | ((escapes - _ONES) & ~escapes) | ((word - _SPACES) & ~word)
        ) & _TOPS
        if found:
            lowest = (found & (~found + _ONE)) >> _SEVEN
            return at + np.int64((((lowest - _ONE) & _ONES) * _ONES) >> _TOP)
        at += 8


@compiled
def read_hex(data, at):  # type: ignore[no-untyped-def]
    """The number of four hexadecimal digits, or -1."""
    value = np.int64(0)
    for k in range(4):
        letter = np.int64(byte(data, at + k))
        if 48 <= letter <= 57:
            digit = letter - 48
        elif 97 <= (letter | 32) <= 102:
            digit = (letter | 32) - 87
        else:
            return -1
        value = value * 16 + digit
    return value


@compiled
def scan_escape(data, at):  # type: ignore[no-untyped-def]
    """An escape that begins at `at`: (where it ends, or -1 for an odd one; whether it is a spelled one)."""
    kind = byte(data, at + 1)
    if kind == 34 or kind == 92 or kind == 98 or kind == 102 or kind == 110 or kind == 114 or kind == 116:
        return at + 2, False
    if kind == 47:
        return at + 2, True
    if kind != _U:
        return _ODD, False
    value = read_hex(data, at + 2)
    if value < 0 or 0xDC00 <= value < 0xE000:
        return _ODD, False
    if value < 0xD800 or value >= 0xE000:
        return at + 6, True
    if byte(data, at + 6) != _BACKSLASH or byte(data, at + 7) != _U:
        return _ODD, False
    low = read_hex(data, at + 8)
    return (at + 12, True) if 0xDC00 <= low < 0xE000 else (_ODD, False)


@compiled
def scan_string(data, at):  # type: ignore[no-untyped-def]
    """A string whose text begins at `at`: (where its closing quote is, or -1; how it is written)."""
    written = PLAIN
    while True:
        at = find_special(data, at)
        if byte(data, at) == _QUOTE:
            return at, written
        if byte(data, at) != _BACKSLASH:
            return _ODD, written
        at, spelled = scan_escape(data, at)
        if at < 0:
            return _ODD, written
        written = SPELLED if spelled or written == SPELLED else ESCAPED


@compiled
def scan_digits(data, at):  # type: ignore[no-untyped-def]
    """Where the digits end that begin at `at`."""
    while 48 <= byte(data, at) <= 57:
        at += 1
    return at


@compiled
def scan_number(data, at):  # type: ignore[no-untyped-def]
    """Where the number at `at` ends, or -1."""
    if byte(data, at) == _MINUS:
        at += 1
    end = scan_digits(data, at)
    if end == at or (byte(data, at) == _ZERO and end > at + 1):
        return _ODD
    if byte(data, end) == _DOT:
        at = end + 1
        end = scan_digits(data, at)
        if end == at:
            return _ODD
    if byte(data, end) | 32 == 101:
        at = end + 1
        if byte(data, at) == _PLUS or byte(data, at) == _MINUS:
            at += 1
        end = scan_digits(data, at)
        if end == at:
            return _ODD
    return end


@compiled
def scan_literal(data, at):  # type: ignore[no-untyped-def]
    """Where `true`, `false` or `null` at `at` ends, or -1."""
    word = load_8(data, at)
    if word & np.uint64(0xFFFFFFFF) == np.uint64(0x65757274):
        return at + 4
    if word & np.uint64(0xFFFFFFFFFF) == np.uint64(0x65736C6166):
        return at + 5
    if word & np.uint64(0xFFFFFFFF) == np.uint64(0x6C6C756E):
        return at + 4
    return _ODD


@compiled
def is_key(data, at, parent, keys, number):  # type: ignore[no-untyped-def]
    """Whether the text at `at`, up to a quote, is that key below that parent."""
    row = np.uint64(number)
    start, size = keys[row, 1], keys[row, 2] - keys[row, 1]
    if keys[row, 0] != parent or at + size >= len(data) or byte(data, at + size) != _QUOTE:
        return False
    return same_bytes(data, start, data, at, size)


@compiled
def find_key(data, start, end, parent, seed, slots, keys, count):  # type: ignore[no-untyped-def]
    """(the number of a key below a parent, how many keys there are), or (-1, …) when there are too many.

    `keys` (KEYS_MAX, 4): parent, start and end of each, and the key that came after it last.
    """
    at = np.int64((hash_bytes(data, start, end, seed) + np.uint64(parent + 1)) & np.uint64(len(slots) - 1))
    for _ in range(PROBES_MAX):
        number = slots[at]
        if number < 0:
            if count >= KEYS_MAX:
                return _ODD, count
            slots[at] = count
            keys[count, 0], keys[count, 1], keys[count, 2], keys[count, 3] = parent, start, end, 0
            return count, count + 1
        if is_key(data, start, parent, keys, number):
            return np.int64(number), count
        at = (at + 1) & (len(slots) - 1)
    return _ODD, count


@compiled
def scan_key(data, at, parent, last, seed, slots, keys, count):  # type: ignore[no-untyped-def]
    """The key whose text begins at `at`, behind the key `last`: (its number, or -1 when it is odd; where its
    value begins; how many keys there are). Records look alike, so the one that came last time is tried."""
    likely = keys[np.uint64(last), 3]
    if likely < count and is_key(data, at, parent, keys, likely):
        key = likely
        at += keys[np.uint64(key), 2] - keys[np.uint64(key), 1]
    else:
        stop, written = scan_string(data, at)
        if stop < 0 or written != PLAIN:
            return _ODD, at, count
        key, count = find_key(data, at, stop, parent, seed, slots, keys, count)
        if key < 0:
            return _ODD, at, count
        keys[np.uint64(last), 3] = key
        at = stop
    at = skip_white(data, at + 1)
    if byte(data, at) != _COLON:
        return _ODD, at, count
    return key, skip_white(data, at + 1), count


@compiled
def scan_value(data, at):  # type: ignore[no-untyped-def]
    """A value that is no object and no list: (where its text starts, where that ends, where to go on, how it
    is written); to go on at -1 means odd. The text of null is empty."""
    first = byte(data, at)
    if first == _QUOTE:
        end, written = scan_string(data, at + 1)
        return at + 1, end, (end + 1 if end >= 0 else _ODD), written
    if first == _MINUS or 48 <= first <= 57:
        end = scan_number(data, at)
        return at, end, end, PLAIN
    end = scan_literal(data, at)
    return at, (at if first == _N else end), end, PLAIN


@compiled
def scan_record(data, at, end, seed, slots, keys, count, leaves, first, stack):  # type: ignore[no-untyped-def]
    """One record into `leaves` from row `first` on: (how many leaves there are then, or -1 when it is odd;
    how many keys there are). A leaf is (key, start, end, written); values without text leave none.

    `stack` holds the key of each open object or list, and whether it is a list.
    """
    leaf, depth, key, last = first, 0, -1, KEYS_MAX
    parent, is_list = -1, False
    at = skip_white(data, at)
    if byte(data, at) != _OPEN:
        return _ODD, count
    at = skip_white(data, at + 1)
    fresh = True
    while True:
        here = byte(data, at)
        if here == (_CLOSE_LIST if is_list else _CLOSE):
            at = skip_white(data, at + 1)
            if depth == 0:
                return (leaf if at == end else _ODD), count
            parent, is_list = stack[depth, 0], stack[depth, 1] == 1
            depth, fresh = depth - 1, False
            continue
        if not fresh:
            if here != _COMMA:
                return _ODD, count
            at = skip_white(data, at + 1)
        key = parent
        if not is_list:
            if byte(data, at) != _QUOTE:
                return _ODD, count
            key, at, count = scan_key(data, at + 1, parent, last, seed, slots, keys, count)
            if key < 0:
                return _ODD, count
            last = key
        here = byte(data, at)
        if here in (_OPEN, _OPEN_LIST):
            depth += 1
            if depth >= FAST_DEPTH_MAX:
                return _ODD, count
            stack[depth, 0], stack[depth, 1] = parent, is_list
            parent, is_list, fresh = key, here == _OPEN_LIST, True
            at = skip_white(data, at + 1)
            continue
        start, stop, at, written = scan_value(data, at)
        if at < 0:
            return _ODD, count
        if stop > start:
            if leaf - first >= LEAVES_MAX or leaf >= len(leaves):
                return _ODD, count
            row = np.uint64(leaf)
            leaves[row, 0], leaves[row, 1], leaves[row, 2], leaves[row, 3] = key, start, stop, written
            leaf += 1
        at = skip_white(data, at)
        fresh = False


@compiled
def scan_records(data, starts, ends, most, seed, slots, keys, leaves, firsts, odd):  # type: ignore[no-untyped-def]
    """All records: (leaves, keys). The leaves of record k are those from firsts[k] to firsts[k + 1].

    `data` ends with PAD; data[ends[k]] is a line break or the start of PAD. `leaves` (n, 4) int32, `firsts`
    (records + 1) int32, `odd` (records) bool, `keys` (KEYS_MAX + 1, 4) as in find_key, `slots` (SLOTS) of -1.
    """
    stack = np.zeros((FAST_DEPTH_MAX, 2), np.int64)
    leaf, count = 0, 0
    for row in range(len(starts)):
        firsts[row] = leaf
        found = _ODD
        if ends[row] - starts[row] <= most:
            found, count = scan_record(
                data, starts[row], ends[row], seed, slots, keys, count, leaves, leaf, stack
            )
        odd[row] = found < 0
        if found >= 0:
            leaf = found
    firsts[len(starts)] = leaf
    return leaf, count
