"""Which leaf of each record has which role, at the speed of C: the second step after `json_scan`.

The texts of hosts, sources, severities and facilities repeat, so each different one is noted once and looked
at by `json_columns`. Whatever would need a second thought makes a record odd.
"""

import numpy as np

from forestall.intake.formats.fields import (
    ATTRS_MAX_BYTES,
    ATTRS_MAX_COUNT,
    EARLY_MAX_MS,
    HOST_MAX_BYTES,
    LATE_MAX_MS,
    ROLES,
    Role,
)
from forestall.intake.formats.json_scan import PLAIN, PROBES_MAX, byte
from forestall.intake.formats.wire import hash_bytes, same_bytes
from forestall.kernel.compiled import compiled

ODD_KEY = 255  # instead of a role: records with such a key are odd
LISTED = (Role.HOST, Role.SOURCE, Role.SEVERITY, Role.FACILITY)  # whose different texts are noted
LISTED_MAX_BYTES = 128  # longer texts make a record odd

_MESSAGE, _TIME, _HOST, _SOURCE = (int(role) for role in (Role.MESSAGE, Role.TIME, Role.HOST, Role.SOURCE))
_DASH, _COLON, _DOT, _CAPITAL_T, _CAPITAL_Z, _PLUS = (int(one) for one in b"-:.TZ+")
_QUARTER = 900_000
assert LISTED_MAX_BYTES <= HOST_MAX_BYTES


@compiled
def read_two(data, at):  # type: ignore[no-untyped-def]
    """The number of two digits, or a negative one."""
    tens, ones = np.int64(byte(data, at)) - 48, np.int64(byte(data, at + 1)) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1_000_000


@compiled
def read_fraction(data, start, end):  # type: ignore[no-untyped-def]
    """The milliseconds that digits behind a point say, or -1."""
    value, scale = np.int64(0), 100
    for at in range(start, end):
        digit = np.int64(byte(data, at)) - 48
        if digit < 0 or digit > 9:
            return -1
        value += digit * scale
        scale //= 10
    return value


@compiled
def days_of(year, month, day):  # type: ignore[no-untyped-def]
    """Days since 1970, after Howard Hinnant, https://howardhinnant.github.io/date_algorithms.html; for years
    from 1 on. A day that its month does not have is a very early one."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    most = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if month == 2:
        most = 29 if leap else 28
    if year < 1 or month < 1 or month > 12 or day < 1 or day > most:
        return -1_000_000_000
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def read_zone(data, at, end):  # type: ignore[no-untyped-def]
    """How many ms `Z` or `±hh:mm` is ahead of UTC, or -1 when it is neither."""
    if end - at == 1 and byte(data, at) == _CAPITAL_Z:
        return 0
    if end - at != 6 or byte(data, at + 3) != _COLON:
        return -1
    hours, minutes = read_two(data, at + 1), read_two(data, at + 4)
    if hours < 0 or minutes < 0 or hours > 23 or minutes > 59:
        return -1
    offset = (hours * 60 + minutes) * 60_000
    if byte(data, at) == _PLUS:
        return offset
    # one more than the least that could be told from "neither"
    return -offset - 2 if byte(data, at) == _DASH else -1


@compiled
def read_stamp(data, start, end):  # type: ignore[no-untyped-def]
    """The milliseconds of `YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm)`, or -1 for an odd one."""
    if (
        end - start < 20 or byte(data, start + 4) != _DASH or byte(data, start + 7) != _DASH
        or byte(data, start + 10) != _CAPITAL_T or byte(data, start + 13) != _COLON
        or byte(data, start + 16) != _COLON
    ):  # fmt: skip
        return -1
    days = days_of(
        read_two(data, start) * 100 + read_two(data, start + 2),
        read_two(data, start + 5),
        read_two(data, start + 8),
    )
    hour, minute, second = read_two(data, start + 11), read_two(data, start + 14), read_two(data, start + 17)
    if days < 0 or hour < 0 or minute < 0 or second < 0 or hour > 23 or minute > 59 or second > 59:
        return -1
    zone, fraction = start + 19, 0
    if byte(data, zone) == _DOT:
        zone += 1
        while zone < end and 48 <= byte(data, zone) <= 57:
            zone += 1
        if zone == start + 20 or zone > start + 29:
            return -1
        fraction = read_fraction(data, start + 20, zone)
    offset = read_zone(data, zone, end)
    if offset == -1:
        return -1
    if offset < 0:
        offset += 2
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fraction - offset


@compiled
def read_epoch(data, start, end):  # type: ignore[no-untyped-def]
    """The milliseconds of 10, 13, 16 or 19 digits since 1970, seconds with a fraction; -1 for odd ones."""
    at, value = start, np.int64(0)
    while at < end and at < start + 19 and 48 <= byte(data, at) <= 57:
        if at < start + 13:
            value = value * 10 + np.int64(byte(data, at)) - 48
        at += 1
    digits = at - start
    if at == end and (digits == 13 or digits == 16 or digits == 19):
        return value
    if digits != 10:
        return -1
    if at == end:
        return value * 1000
    if byte(data, at) != _DOT or at + 1 == end or end - at > 19:
        return -1
    fraction = read_fraction(data, at + 1, end)
    return value * 1000 + fraction if fraction >= 0 else -1


@compiled
def note_text(data, leaves, leaf, key, names, seed, slots, listed, count):  # type: ignore[no-untyped-def]
    """(the number of a leaf's text among the different ones of its role, how many there are), or (-1, …).

    Texts of different names are different. `listed` holds a leaf of each.
    """
    start, end = leaves[np.uint64(leaf), 1], leaves[np.uint64(leaf), 2]
    size = end - start
    hashed = hash_bytes(data, start, end, seed) + np.uint64(key)
    at = np.int64(hashed & np.uint64(len(slots) - 1))
    for _ in range(PROBES_MAX):
        number = slots[np.uint64(at)]
        if number < 0:
            if count >= len(listed):
                return -1, count
            slots[at] = count
            listed[count] = leaf
            return count, count + 1
        other = np.uint64(listed[np.uint64(number)])
        if (
            leaves[other, 2] - leaves[other, 1] == size
            and names[np.uint64(leaves[other, 0])] == key
            and same_bytes(data, start, data, leaves[other, 1], size)
        ):
            return np.int64(number), count
        at = (at + 1) & (len(slots) - 1)
    return -1, count


@compiled
def choose_leaves(leaves, first, last, row, names, roles, ranks, sizes, seen, chosen):  # type: ignore[no-untyped-def]
    """The leaf of each role of one record, -1 for none, into `chosen` (ROLES): the bytes that its attributes
    need at most, or -1 when it is odd."""
    for role in range(ROLES):
        chosen[role] = -1
    total, count, before = np.int64(2), 0, np.int64(-1)
    for leaf in range(first, last):
        key = np.uint64(leaves[np.uint64(leaf), 0])
        name, role = np.uint64(names[key]), roles[key]
        if role == ODD_KEY:
            return -1
        again = seen[name] == row
        if again and (role != 0 or np.int64(name) != before):
            return -1  # the same name in two places
        seen[name] = row
        before = np.int64(name)
        total += np.int64(leaves[np.uint64(leaf), 2] - leaves[np.uint64(leaf), 1]) + sizes[key] + 3
        if role != 0:
            other = chosen[role]
            if other < 0 or ranks[key] < ranks[np.uint64(leaves[np.uint64(other), 0])]:
                chosen[role] = leaf
        if not again:
            count += 1
    message = chosen[_MESSAGE]
    if message >= 0:  # may be long; all others count, whether they become attributes or not
        total -= np.int64(leaves[np.uint64(message), 2] - leaves[np.uint64(message), 1])
    if total > ATTRS_MAX_BYTES or count > ATTRS_MAX_COUNT:
        return -1
    return total


@compiled
def read_leaf_time(data, leaves, leaf, received_at_ms):  # type: ignore[no-untyped-def]
    """(the time that counts, whether the leaf says it, whether it is odd)."""
    if leaf < 0:
        return received_at_ms, False, False
    start, end = np.int64(leaves[leaf, 1]), np.int64(leaves[leaf, 2])
    at_ms = read_stamp(data, start, end)
    if at_ms < 0:
        at_ms = read_epoch(data, start, end)
    if at_ms < 0 or leaves[leaf, 3] != PLAIN:
        return received_at_ms, False, True
    if received_at_ms - LATE_MAX_MS <= at_ms <= received_at_ms + EARLY_MAX_MS:
        return at_ms, True, False
    return received_at_ms, False, False


@compiled
def choose_all(  # type: ignore[no-untyped-def]
    data, starts, ends, leaves, firsts, names, roles, ranks, sizes, seen, seed, slots, listed, counts,
    received_at_ms, chosen, codes, at_ms, odd,
):  # fmt: skip
    """All records that are not odd: (bytes of messages, bytes of attributes) at most.

    `names`, `roles`, `ranks`, `sizes`: of each key its name's number, its role or ODD_KEY, its rank among
    those of the role, the bytes of its name as an attribute. `seen`: one place a name, of -1. For each of
    LISTED a row of `slots` (of -1), `listed`, `counts` (0) and `codes`. `chosen` (n, ROLES), `at_ms` (n).
    """
    messages, attributes = 0, 0
    for row in range(len(starts)):
        at_ms[row] = received_at_ms
        if odd[row]:
            continue
        mine = chosen[row]
        size = choose_leaves(
            leaves, firsts[row], firsts[row + 1], row, names, roles, ranks, sizes, seen, mine
        )
        if size < 0:
            odd[row] = True
            continue
        told, used, strange = read_leaf_time(data, leaves, mine[_TIME], received_at_ms)
        at_ms[row] = told
        if not used:
            mine[_TIME] = -1
        for place in range(4):
            leaf = mine[_HOST + place]
            if leaf < 0 or strange:
                continue
            if leaves[leaf, 2] - leaves[leaf, 1] > LISTED_MAX_BYTES:
                strange = True
                continue
            code, counts[place] = note_text(
                data, leaves, leaf, names[np.uint64(leaves[leaf, 0])], names, seed, slots[place],
                listed[place], counts[place],
            )  # fmt: skip
            codes[place, row] = code
            strange = code < 0
        odd[row] = strange
        leaf = mine[_MESSAGE]
        messages += leaves[leaf, 2] - leaves[leaf, 1] if leaf >= 0 else ends[row] - starts[row]
        attributes += size
    return messages, attributes
