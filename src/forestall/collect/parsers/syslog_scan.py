"""One pass over many syslog messages: the bounds of their fields, their times, and how to say them again.

Reads what is plainly RFC 5424 (without structured data) or RFC 3164; what is not is marked so, and
`syslog_line.read_line` reads it. Both give the same result for what is plain. Compiled; the buffer is padded,
so that looking a few bytes ahead never leaves it.

Sources: RFC 5424 section 6, RFC 3164 section 4; days from a civil date after Howard Hinnant.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forestall.collect.parsers.syslog_line import HOST_MAX_BYTES, SOURCE_MAX_BYTES, TAG_MAX_BYTES
from forestall.collect.parsers.syslog_original import (
    BARE,
    BSD,
    FORM_5424,
    FORM_BSD,
    FORM_ISO,
    PREFIX,
    SPACED,
    TIMELESS,
)
from forestall.collect.parsers.syslog_time import EARLY_MAX_MS, LATE_MAX_MS, MONTHS
from forestall.kernel.compiled import compiled

PAD_BYTES = 64
PID_DIGITS_MAX = 10
FRACTION_MAX = 9
PRI_MAX = 191

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]

# columns of `bounds`
HOST, HOST_END, SOURCE, SOURCE_END, PID, PID_END, MSGID, MSGID_END, MESSAGE = range(9)

_DAY_MS = 86_400_000
_MONTH_LETTERS = np.array([int.from_bytes(name, "big") for name in MONTHS], np.int64)
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_PRIME = np.uint64(0x100000001B3)
_BASIS = np.uint64(0xCBF29CE484222325)


class Scanned(NamedTuple):
    """`bounds[:, row]`: see above; a message ends where its row does: at `ends[row]`, ahead of a newline.
    `form`, `rest`: syslog_original."""

    plain: npt.NDArray[np.bool_]
    at_ms: I64
    pri: U8
    form: I32
    rest: U32
    bounds: I32
    ends: I32


def scan(data: U8, offsets: I64, received_at_ms: I64, zone_ms: I64) -> Scanned:
    """Message i is `data[offsets[i]:offsets[i + 1]]`; `data` goes on for PAD_BYTES zeros."""
    count = len(offsets) - 1
    found = Scanned(
        np.zeros(count, np.bool_),
        np.zeros(count, np.int64),
        np.zeros(count, np.uint8),
        np.zeros(count, np.int32),
        np.zeros(count, np.uint32),
        np.zeros((9, count), np.int32),
        np.zeros(count, np.int32),
    )
    _scan_all(data, offsets, received_at_ms, zone_ms, _MONTH_LETTERS, _MONTH_DAYS, *found)
    return found


def intern(
    data: U8, start: I32, end: I32, start2: I32, end2: I32, *, chosen: npt.NDArray[np.bool_]
) -> tuple[I32, I64]:
    """(codes, first rows): rows whose two pieces are the same have the same code; -1 where not chosen."""
    size = 16
    while size < 2 * len(start):
        size *= 2
    codes, firsts = np.full(len(start), -1, np.int32), np.zeros(len(start), np.int64)
    count = _intern_all(data, start, end, start2, end2, chosen, np.full(size, -1, np.int32), codes, firsts)
    return codes, firsts[:count]


def gather(data: U8, start: I32, end: I32) -> tuple[U8, I32]:
    """The pieces one after the other, and where each begins (one more than pieces)."""
    offsets = np.zeros(len(start) + 1, np.int64)
    np.cumsum(end - start, out=offsets[1:])
    out = np.empty(int(offsets[-1]), np.uint8)
    _gather_all(data, start, end, out)
    return out, offsets.astype(np.int32)


@compiled
def _gather_all(data: Any, start: Any, end: Any, out: Any) -> None:
    at = 0
    for row in range(len(start)):
        begin, size = start[row], end[row] - start[row]
        for place in range(size):
            out[at + place] = data[begin + place]
        at += size


@compiled
def _same(data: Any, start: Any, end: Any, other: Any, other_end: Any) -> bool:
    if end - start != other_end - other:
        return False
    for place in range(end - start):  # noqa: SIM110 - a loop is what is compiled well
        if data[start + place] != data[other + place]:
            return False
    return True


@compiled
def _intern_all(
    data: Any, start: Any, end: Any, start2: Any, end2: Any, chosen: Any, table: Any, codes: Any, firsts: Any
) -> int:
    mask = np.uint64(len(table) - 1)
    count = 0
    for row in range(len(start)):
        if not chosen[row]:
            continue
        number = _BASIS
        for place in range(start[row], end[row]):
            number = (number ^ np.uint64(data[place])) * _PRIME
        number = (number ^ np.uint64(256)) * _PRIME
        for place in range(start2[row], end2[row]):
            number = (number ^ np.uint64(data[place])) * _PRIME
        slot = (number ^ (number >> np.uint64(29))) & mask
        while True:
            code = table[slot]
            if code < 0:
                table[slot] = count
                firsts[count] = row
                codes[row] = count
                count += 1
                break
            first = firsts[code]
            if _same(data, start[row], end[row], start[first], end[first]) and _same(
                data, start2[row], end2[row], start2[first], end2[first]
            ):
                codes[row] = code
                break
            slot = (slot + np.uint64(1)) & mask
    return count


@compiled
def _days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01 of a date in the Gregorian calendar."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def _year_of(days: Any) -> Any:
    """The year of a day."""
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    return year + era * 400 + (1 if (5 * of_year + 2) // 153 >= 10 else 0)


@compiled
def _two(data: Any, at: Any) -> Any:
    """The number of two digits, or -1."""
    tens, ones = data[at] - 48, data[at + 1] - 48
    if data[at] < 48 or tens > 9 or data[at + 1] < 48 or ones > 9:
        return -1
    return np.int64(tens) * 10 + np.int64(ones)


@compiled
def _iso(data: Any, start: Any, end: Any, month_days: Any) -> Any:
    """(ms or -1, digits of the fraction, what they say beyond ms, minutes of the zone, whether it is Z).

    `YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm)`.
    """
    bad = (np.int64(-1), 0, 0, 0, False)
    if end - start < 20 or end - start > 35:
        return bad
    century, year, month = _two(data, start), _two(data, start + 2), _two(data, start + 5)
    day, hour, minute = _two(data, start + 8), _two(data, start + 11), _two(data, start + 14)
    second = _two(data, start + 17)
    if century < 0 or year < 0 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return bad
    if data[start + 4] != 45 or data[start + 7] != 45 or data[start + 10] != 84:
        return bad
    if data[start + 13] != 58 or data[start + 16] != 58 or hour > 23 or minute > 59 or second > 59:
        return bad
    year += century * 100
    most = month_days[month - 1]
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        most = 29
    if day > most or year < 1:
        return bad
    at = start + 19
    digits = 0
    ms = rest = np.int64(0)
    if data[at] == 46:
        at += 1
        while at < end and 48 <= data[at] <= 57:
            if digits < 3:
                ms = ms * 10 + (data[at] - 48)
            else:
                rest = rest * 10 + (data[at] - 48)
            digits += 1
            at += 1
        if digits == 0 or digits > FRACTION_MAX:
            return bad
        for _ in range(digits, 3):
            ms *= 10
    zone = np.int64(0)
    zulu = data[at] == 90 and at + 1 == end
    if not zulu:
        if at + 6 != end or (data[at] != 43 and data[at] != 45) or data[at + 3] != 58:
            return bad
        hours, minutes = _two(data, at + 1), _two(data, at + 4)
        if hours < 0 or minutes < 0 or hours > 23 or minutes > 59:
            return bad
        zone = hours * 60 + minutes
        if data[at] == 45:
            if zone == 0:
                return bad  # -00:00 means that the zone is not known, and is not said again by +00:00
            zone = -zone
    clock = ((hour * 60 + minute - zone) * 60 + second) * 1000 + ms
    return _days(year, month, day) * _DAY_MS + clock, digits, rest, zone, zulu


@compiled
def _nearer(one: Any, other: Any, received: Any) -> Any:
    return other if abs(other - received) < abs(one - received) else one


@compiled
def _bsd(data: Any, start: Any, received: Any, zone_ms: Any, letters: Any, month_days: Any) -> Any:
    """(ms or -1, minutes of the zone that was taken, whether the day has a leading zero)."""
    bad = (np.int64(-1), np.int64(0), False)
    name = (np.int64(data[start]) << 16) | (np.int64(data[start + 1]) << 8) | np.int64(data[start + 2])
    month = 0
    for place in range(12):
        if letters[place] == name:
            month = place + 1
    if month == 0 or data[start + 3] != 32 or data[start + 6] != 32:
        return bad
    if data[start + 9] != 58 or data[start + 12] != 58 or data[start + 5] < 48 or data[start + 5] > 57:
        return bad
    day = np.int64(data[start + 5] - 48)
    if data[start + 4] != 32:
        if data[start + 4] < 48 or data[start + 4] > 51:
            return bad
        day += np.int64(data[start + 4] - 48) * 10
    if day < 1 or day > month_days[month - 1]:
        return bad
    hour, minute, second = _two(data, start + 7), _two(data, start + 10), _two(data, start + 13)
    if hour < 0 or minute < 0 or second < 0 or hour > 23 or minute > 59 or second > 59:
        return bad
    clock = (hour * 60 + minute) * 60_000 + second * 1000
    here = _year_of(received // _DAY_MS)
    naive = _days(here, month, day) * _DAY_MS + clock
    best = _nearer(naive, naive - zone_ms, received)
    if abs(best - received) > LATE_MAX_MS:
        for year in (here - 1, here + 1):
            naive = _days(year, month, day) * _DAY_MS + clock
            best = _nearer(best, _nearer(naive, naive - zone_ms, received), received)
    taken = np.int64(0)
    if (best - clock) % _DAY_MS != 0:
        taken = zone_ms // 60_000
    return best, taken, data[start + 4] == 48


@compiled
def _is_utf8(data: Any, start: Any, end: Any) -> bool:
    """Whether it is valid UTF-8 (RFC 3629)."""
    seen = np.uint8(0)
    for place in range(start, end):  # without a branch, so that many bytes are looked at at once
        seen |= data[place]
    if seen < 0x80:
        return True
    at = start
    while at < end:
        byte = data[at]
        at += 1
        if byte < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if at + more > end or data[at] < low or data[at] > high:
            return False
        for place in range(at + 1, at + more):
            if data[place] < 0x80 or data[place] > 0xBF:
                return False
        at += more
    return True


@compiled
def _pri(data: Any, start: Any, end: Any) -> Any:
    """(the value of the PRI or -1, where what follows begins)."""
    if end - start < 4 or data[start] != 60:
        return -1, start
    value, at = 0, start + 1
    while at < start + 4 and 48 <= data[at] <= 57:
        value = value * 10 + (data[at] - 48)
        at += 1
    digits = at - start - 1
    if digits == 0 or data[at] != 62 or value > PRI_MAX or at + 1 >= end:
        return -1, start
    if digits > 1 and data[start + 1] == 48:
        return -1, start
    return value, at + 1


@compiled
def _find(data: Any, at: Any, end: Any, wanted: Any) -> Any:
    while at < end and data[at] != wanted:
        at += 1
    return at


@compiled
def _form(kind: Any, zone: Any, digits: Any, flag: Any, bare: Any) -> Any:
    made = ((zone + 1440) * 10 + digits) * 128 + kind
    if flag:
        made += TIMELESS
    if bare:
        made += BARE
    return made


@compiled
def _read_5424(data: Any, body: Any, end: Any, received: Any, month_days: Any, bounds: Any) -> Any:
    """(plain, ms, form, rest)."""
    bad = (False, np.int64(0), 0, 0)
    at = body + 2
    for field in range(5):
        stop = _find(data, at, end, 32)
        if stop >= end or stop == at:
            return bad
        if field > 0:
            bounds[2 * field - 2] = at
            bounds[2 * field - 1] = stop
        at = stop + 1
    if at >= end or data[at] != 45:
        return bad
    bare = at + 1 == end
    if not bare and data[at + 1] != 32:
        return bad
    message = min(at + 2, end)
    if message < end and data[message] == 0xEF:  # perhaps a byte order mark
        return bad
    spaced = 0
    if message < end and data[message] == 32:  # as rsyslog's %msg% begins
        spaced = SPACED
        message += 1
    if (
        bounds[HOST_END] - bounds[HOST] > HOST_MAX_BYTES
        or bounds[SOURCE_END] - bounds[SOURCE] > SOURCE_MAX_BYTES
    ):
        return bad
    for place in range(bounds[PID], bounds[MSGID_END]):
        byte = data[place]
        if byte < 32 or byte == 34 or byte == 92 or byte >= 127:
            return bad
    for field in range(4):
        if bounds[2 * field + 1] == bounds[2 * field] + 1 and data[bounds[2 * field]] == 45:
            bounds[2 * field + 1] = bounds[2 * field]
    bounds[MESSAGE] = message
    stamp, stamp_end = body + 2, _find(data, body + 2, end, 32)
    if stamp_end == stamp + 1 and data[stamp] == 45:
        return True, received, _form(FORM_5424 + spaced, 0, 0, True, bare), 0
    at_ms, digits, rest, zone, zulu = _iso(data, stamp, stamp_end, month_days)
    if at_ms < 0:
        return bad
    if at_ms - received > EARLY_MAX_MS or received - at_ms > LATE_MAX_MS:
        return True, received, PREFIX, 0
    kind = FORM_5424 + spaced + (BSD if zulu else 0)
    return True, at_ms, _form(kind, zone, digits, False, bare), rest


@compiled
def _read_3164(
    data: Any, body: Any, end: Any, received: Any, zone_ms: Any, letters: Any, month_days: Any, bounds: Any
) -> Any:
    """(plain, ms, form, rest)."""
    bad = (False, np.int64(0), 0, 0)
    iso = data[body] == 50 and data[body + 4] == 45
    stamp_end = _find(data, body, end, 32) if iso else body + 15
    host = stamp_end + 1
    if host >= end or data[stamp_end] != 32:
        return bad
    host_end = _find(data, host, end, 32)
    tag = host_end + 1
    if host_end == host or tag >= end or host_end - host > HOST_MAX_BYTES or data[host] == 37:
        return bad
    if host_end - host == 4 and data[host] == 50 and data[host + 1] == 48:  # a year
        return bad
    mark = host
    while mark < end and data[mark] != 58 and data[mark] != 91:
        if mark >= tag and data[mark] == 32:
            return bad
        mark += 1
    if mark <= tag or mark >= end or mark - tag > TAG_MAX_BYTES or data[tag] == 37:
        return bad
    colon = pid = pid_end = mark
    if data[mark] == 91:
        pid = pid_end = mark + 1
        while pid_end < end and 48 <= data[pid_end] <= 57:
            pid_end += 1
        if pid_end == pid or pid_end - pid > PID_DIGITS_MAX or pid_end >= end or data[pid_end] != 93:
            return bad
        colon = pid_end + 1
    if colon >= end or data[colon] != 58 or (colon + 1 < end and data[colon + 1] != 32):
        return bad
    bare = colon + 1 == end
    bounds[HOST], bounds[HOST_END], bounds[SOURCE], bounds[SOURCE_END] = host, host_end, tag, mark
    bounds[PID], bounds[PID_END], bounds[MESSAGE] = pid, pid_end, min(colon + 2, end)
    if iso:
        at_ms, digits, rest, zone, zulu = _iso(data, body, stamp_end, month_days)
        form = _form(FORM_ISO + (BSD if zulu else 0), zone, digits, False, bare)
    else:
        at_ms, zone, zero = _bsd(data, body, received, zone_ms, letters, month_days)
        rest = 0
        form = _form(FORM_BSD + (BSD if zero else 0), zone, 0, False, bare)
    if at_ms < 0:
        return bad
    if at_ms - received > EARLY_MAX_MS or received - at_ms > LATE_MAX_MS:
        return True, received, PREFIX, 0
    return True, at_ms, form, rest


@compiled
def _scan_all(
    data: Any, offsets: Any, received: Any, zone_ms: Any, letters: Any, month_days: Any,
    plain: Any, at_ms: Any, pri: Any, form: Any, rest: Any, bounds: Any, ends: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        if end > start and data[end - 1] == 10:
            end -= 1
        ends[row] = end
        value, body = _pri(data, start, end)
        if value < 0:
            continue
        last = data[end - 1]
        if last == 10 or last == 13 or last == 0:
            continue
        if data[body] == 49 and data[body + 1] == 32:
            found = _read_5424(data, body, end, received[row], month_days, bounds[:, row])
        else:
            found = _read_3164(
                data, body, end, received[row], zone_ms[row], letters, month_days, bounds[:, row]
            )
        if not found[0] or not _is_utf8(data, start, end):
            bounds[:, row] = start
            continue
        plain[row] = True
        at_ms[row] = found[1]
        pri[row] = value
        form[row] = found[2]
        rest[row] = found[3]
