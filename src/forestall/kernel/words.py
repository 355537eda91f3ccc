"""How numbers are said to people, everywhere the same: `3 min`, `92.1%`, `1.4 GB`."""

import math
from collections.abc import Sequence

ROUNDED_TO_1000 = 999.5  # from here on three digits would be written as 1e+03


def say_duration(seconds: float) -> str:
    """A span of time with one or two units: `45 s`, `3 min`, `2 h 5 min`, `12 days`."""
    total = round(abs(seconds))
    if abs(seconds) < 1:
        return f"{abs(seconds) * 1000:.0f} ms"
    if total < 90:
        return f"{total} s"
    minutes = round(total / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(total / 86400)} days"


def say_bytes(count: float) -> str:
    """A size in decimal units, as disks are sold: `512 B`, `1.4 GB`."""
    size = abs(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        size /= 1000
        count /= 1000
    raise AssertionError("unreachable")


def say_share(ratio: float) -> str:
    """A ratio as a percentage: `92.1%`."""
    return f"{ratio * 100:.1f}".removesuffix(".0") + "%"


def say_number(value: float) -> str:
    """A plain number without noise: `3`, `0.25`, `1,204`."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.3g}" if abs(value) < ROUNDED_TO_1000 else f"{value:,.1f}"


def say_quantity(metric: str, value: float) -> str:
    """A value in the unit that its metric's name ends in: `…_bytes`, `…_ratio`, `…_s`, `…_ms`, `…_celsius`,
    `…days` (also `…days_left`; whole days, rounded down), and each of them with `…_per_s`."""
    if metric.endswith("per_s"):
        return f"{say_quantity(metric.removesuffix('per_s').rstrip('._'), value)}/s"
    match metric.removesuffix("_left").rsplit("_", 1)[-1].rsplit(".", 1)[-1]:
        case "bytes":
            return say_bytes(value)
        case "ratio":
            return say_share(value)
        case "s" | "seconds":
            return say_duration(value)
        case "ms":
            return f"{value:.3g} ms" if abs(value) < ROUNDED_TO_1000 else say_duration(value / 1000)
        case "days":
            whole = value == 0 or abs(value) >= 2
            return f"{math.floor(value)} days" if whole else say_duration(value * 86_400)
        case "celsius":
            return f"{say_number(round(value, 1))} °C"
    return say_number(value)


def say_list(things: Sequence[str], most: int = 3) -> str:
    """`a, b and c`, or `a, b, c and 4 more`."""
    if len(things) > most:
        return f"{', '.join(things[:most])} and {len(things) - most} more"
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]])) if things else ""
