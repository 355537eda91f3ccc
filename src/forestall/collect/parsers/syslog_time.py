"""The times that syslog messages carry, for one message and for whole columns, with the same result.

RFC 5424 times carry a year and a zone. RFC 3164 times carry neither: the year is the one that brings the time
nearest to when it was received, and the zone is UTC or the sender's own (its client's), whichever brings it
nearest. A time that is then later than EARLY_MAX_MS after, or earlier than LATE_MAX_MS before it was received
is not believed: the message gets the time at which it was received, and its raw text is kept.

Source: RFC 5424 section 6.2.3, RFC 3164 section 4.1.2; days from a civil date after Howard Hinnant,
https://howardhinnant.github.io/date_algorithms.html
"""

import re
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

EARLY_MAX_MS = 5 * 60_000
LATE_MAX_MS = 7 * 86_400_000

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MONTH_NUMBER = {name: number for number, name in enumerate(MONTHS, 1)}
_BY_LETTERS = sorted((int.from_bytes(name, "big"), number) for number, name in enumerate(MONTHS, 1))
_LETTERS = np.array([letters for letters, _ in _BY_LETTERS], np.int64)
_NUMBERS = np.array([number for _, number in _BY_LETTERS], np.int64)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_DIGIT_0 = 48
_FRACTION_MAX = 9

ISO = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?(?=[ :]|\Z)"
)
BSD = re.compile(
    rb"[*.]?(?:(\d{4}) )?(" + b"|".join(MONTHS) + rb") {1,2}(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)"
    rb"(?:\.(\d{1,9}))?(?: (20\d\d)(?=[ :]))?(?: ([A-Z]{2,5})(?=:))?(?=[ :]|\Z)"
)
_ZULU = {b"UTC", b"GMT"}


def read_iso(found: re.Match[bytes], received_at_ms: int, zone_ms: int) -> int | None:
    """The time of a match of ISO, or None when it is not a time or not to be believed."""
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    naive = _naive_ms(year, month, day, hour, minute, second, found[7])
    if naive is None:
        return None
    zone: bytes | None = found[8]
    if zone is None:
        return believed(_nearest(naive, naive - zone_ms, received_at_ms), received_at_ms)
    if zone != b"Z":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or minutes > 59:
            return None
        naive -= (-1 if zone[:1] == b"-" else 1) * (hours * 60 + minutes) * 60_000
    return believed(naive, received_at_ms)


def read_bsd(found: re.Match[bytes], received_at_ms: int, zone_ms: int) -> int | None:
    """The time of a match of BSD, or None when it is not a time or not to be believed."""
    month, day = _MONTH_NUMBER[found[2]], int(found[3])
    clock = (int(found[5]), int(found[6]), int(found[7]))
    told = found[1] or found[4] or found[9]
    here = datetime.fromtimestamp(received_at_ms / 1000, UTC).year
    best: int | None = None
    for year in (int(told),) if told else (here, here - 1, here + 1):
        naive = _naive_ms(year, month, day, *clock, found[8])
        if naive is None:
            continue
        at_ms = naive if found[10] in _ZULU else _nearest(naive, naive - zone_ms, received_at_ms)
        best = at_ms if best is None else _nearest(best, at_ms, received_at_ms)
    return None if best is None else believed(best, received_at_ms)


def believed(at_ms: int, received_at_ms: int) -> int | None:
    """The time itself when it is near enough to when it was received."""
    return at_ms if -LATE_MAX_MS <= at_ms - received_at_ms <= EARLY_MAX_MS else None


def _nearest(one: int, other: int, received_at_ms: int) -> int:
    return other if abs(other - received_at_ms) < abs(one - received_at_ms) else one


def _naive_ms(
    year: int, month: int, day: int, hour: int, minute: int, second: int, fraction: bytes | None
) -> int | None:
    """Milliseconds of a civil time as if in UTC. A leap second counts as the second before it."""
    try:
        at = datetime(year, month, day, hour, minute, min(second, 59) if second <= 60 else second, tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) * 1000 + (int(fraction[:3].ljust(3, b"0")) if fraction else 0)


def days_from_civil(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days since 1970-01-01 of dates in the Gregorian calendar."""
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return np.asarray(
        era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468, np.int64
    )


def iso_columns(data: Bytes, start: Ints, end: Ints) -> tuple[Ints, Flags]:
    """The times between `start` and `end` of each row, as `YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm)`.

    `data` is padded by 64 bytes. Returns milliseconds, and whether they hold; where they do not (a leap
    second, another form, no time at all), the single-message reader decides.
    """
    length = end - start
    good = (length >= 20) & (length <= 35)
    for place, separator in ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")):
        good &= data[start + place] == ord(separator)
    parts = []
    for place, width in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)):
        value, fine = _digits(data, start + place, width)
        good &= fine
        parts.append(value)
    year, month, day, hour, minute, second = parts
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    good &= _is_date(year, month, day)
    last = np.maximum(end - 1, start)
    zulu = data[last] == ord("Z")
    zone_at = np.where(zulu, last, np.maximum(end - 6, start))
    sign = data[zone_at]
    zone_hour, fine_hour = _digits(data, zone_at + 1, 2)
    zone_minute, fine_minute = _digits(data, zone_at + 4, 2)
    offset = ((sign == ord("+")) | (sign == ord("-"))) & (data[zone_at + 3] == ord(":"))
    offset &= fine_hour & fine_minute & (zone_hour <= 23) & (zone_minute <= 59)
    good &= zulu | offset
    zone = np.where(zulu, 0, (zone_hour * 60 + zone_minute) * np.where(sign == ord("-"), -60_000, 60_000))
    fraction_ms, fine = _fraction(data, start + 19, zone_at)
    good &= fine
    days = days_from_civil(year, np.clip(month, 1, 12), day)
    at_ms = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fraction_ms - zone
    return at_ms, good


def bsd_columns(data: Bytes, start: Ints, received_at_ms: Ints, zone_ms: Ints) -> tuple[Ints, Flags]:
    """The times that begin at `start` of each row, as `Mmm dd hh:mm:ss` (15 bytes). As iso_columns."""
    letters = (data[start].astype(np.int64) << 16) | (data[start + 1].astype(np.int64) << 8) | data[start + 2]
    found = np.minimum(np.searchsorted(_LETTERS, letters), 11)
    month = _NUMBERS[found]
    good = _LETTERS[found] == letters
    for place, separator in ((3, " "), (6, " "), (9, ":"), (12, ":")):
        good &= data[start + place] == ord(separator)
    tens = data[start + 4].astype(np.int64)
    ones = data[start + 5].astype(np.int64) - _DIGIT_0
    tens = np.where(tens == ord(" "), 0, tens - _DIGIT_0)
    good &= (tens >= 0) & (tens <= 3) & (ones >= 0) & (ones <= 9)
    day = tens * 10 + ones
    good &= (day >= 1) & ((day <= 28) | ((month != 2) & (day <= _MONTH_DAYS[month])))
    parts = []
    for place, most in ((7, 23), (10, 59), (13, 59)):
        value, fine = _digits(data, start + place, 2)
        good &= fine & (value <= most)
        parts.append(value)
    hour, minute, second = parts
    clock = (hour * 60 + minute) * 60_000 + second * 1000
    here = received_at_ms.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + 1970
    best = _nearest_columns(days_from_civil(here, month, day) * 86_400_000 + clock, received_at_ms, zone_ms)
    far = np.flatnonzero(good & (np.abs(best - received_at_ms) > LATE_MAX_MS))
    for step in (-1, 1) if len(far) else ():
        days = days_from_civil(here[far] + step, month[far], day[far])
        other = _nearest_columns(days * 86_400_000 + clock[far], received_at_ms[far], zone_ms[far])
        nearer = np.abs(other - received_at_ms[far]) < np.abs(best[far] - received_at_ms[far])
        best[far] = np.where(nearer, other, best[far])
    return best, good


def _nearest_columns(naive: Ints, received_at_ms: Ints, zone_ms: Ints) -> Ints:
    zoned = naive - zone_ms
    return np.where(np.abs(zoned - received_at_ms) < np.abs(naive - received_at_ms), zoned, naive)


def _digits(data: Bytes, at: Ints, width: int) -> tuple[Ints, Flags]:
    """The decimal number of `width` digits at each place."""
    value = np.zeros(len(at), np.int64)
    good = np.ones(len(at), np.bool_)
    for place in range(width):
        digit = data[at + place].astype(np.int64) - _DIGIT_0
        good &= (digit >= 0) & (digit <= 9)
        value = value * 10 + digit
    return value, good


def _fraction(data: Bytes, at: Ints, end: Ints) -> tuple[Ints, Flags]:
    """The milliseconds of `.f` between `at` and `end`; nothing between them is 0."""
    width = end - at - 1
    good = (width == -1) | ((data[at] == ord(".")) & (width >= 1) & (width <= _FRACTION_MAX))
    value = np.zeros(len(at), np.int64)
    for place in range(min(int(width.max(initial=0)), _FRACTION_MAX)):
        inside = place < width
        digit = data[at + 1 + np.where(inside, place, 0)].astype(np.int64) - _DIGIT_0
        good &= ~inside | ((digit >= 0) & (digit <= 9))
        if place < 3:
            value += np.where(inside, digit * 10 ** (2 - place), 0)
    return value, good


def _is_date(year: Ints, month: Ints, day: Ints) -> Flags:
    within = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    most = _MONTH_DAYS[np.clip(month, 0, 12)] + (leap & (month == 2))
    return np.asarray(within & (day <= most), np.bool_)
