"""Amounts as people write them in a pack (`90%`, `5 GB`, `10 min`) to numbers in a metric's own unit."""

import re

_AMOUNT = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*([A-Za-z%°]*)\s*\Z")

DURATION_MS = {
    "ms": 1,
    "s": 1000,
    "sec": 1000,
    "second": 1000,
    "seconds": 1000,
    "min": 60_000,
    "minute": 60_000,
    "minutes": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "hours": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "days": 86_400_000,
    "week": 604_800_000,
    "weeks": 604_800_000,
}
SIZE_BYTES = {
    "B": 1,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
DURATION_MAX_MS = 400 * 86_400_000


def _split(given: object) -> tuple[float, str]:
    if isinstance(given, bool):
        raise ValueError("is yes or no, not an amount")
    if isinstance(given, int | float):
        return float(given), ""
    match = _AMOUNT.match(str(given))
    if match is None:
        raise ValueError(f"{given!r} is not an amount")
    return float(match[1]), match[2]


def read_duration_ms(given: object) -> int:
    """Milliseconds of `90 s`, `10 min`, `2 h`, `3 days`. Raises ValueError."""
    number, unit = _split(given)
    if unit not in DURATION_MS:
        raise ValueError(f"{given!r} has no unit of time (s, min, h, days)")
    result = round(number * DURATION_MS[unit])
    if not 0 <= result <= DURATION_MAX_MS:
        raise ValueError(f"{given!r} is not between 0 and 400 days")
    return result


def read_amount(given: object, unit: str) -> float:
    """A limit in a metric's unit (see `metrics.UNITS`). Raises ValueError when it does not fit."""
    number, written = _split(given)
    match unit:
        case "ratio":
            if written == "%":
                return number / 100
            if not written and abs(number) <= 1:
                return number
            if not written:
                raise ValueError(f"{given!r} is more than the whole: is {given}% meant?")
        case "bytes" | "bytes_per_s":
            if not written:
                return number
            if written in SIZE_BYTES:
                return number * SIZE_BYTES[written]
        case "s" | "ms" | "days":
            scale = {"s": 1000, "ms": 1, "days": 86_400_000}[unit]
            if not written and (unit == "days" or number == 0):
                return number
            if written in DURATION_MS:
                return number * DURATION_MS[written] / scale
        case "celsius":
            if written in ("", "°C", "C"):
                return number
        case _:
            if not written:
                return number
    raise ValueError(f"{given!r} does not fit")
