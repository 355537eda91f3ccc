"""Reads what a Nagios plugin prints (Monitoring Plugins Development Guidelines, "Plugin Output for Nagios"):

text | 'label'=value[UOM];[warn];[crit];[min];[max] …
long text
more long text | more performance data
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

NUMBERS_MAX = 200
LABEL_MAX_CHARS = 100


class Performance(NamedTuple):
    """One number of a plugin in its base unit: seconds, bytes, ratio (0 to 1), or none."""

    label: str
    value: float
    unit: str

    @property
    def metric(self) -> str:
        """`nagios.<label>`, with the unit last when it has one: `nagios.time_s`, `nagios./home_bytes`."""
        label = re.sub(r"[\s\x00-\x1f\x7f]+", "_", self.label)[:LABEL_MAX_CHARS]
        ending = f"_{self.unit}" if self.unit else ""
        return f"nagios.{label}" + ("" if label.endswith(ending) else ending)


_UNITS: dict[str, tuple[str, float]] = {
    "": ("", 1),
    "c": ("", 1),  # a counter that only grows
    "s": ("s", 1),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "ns": ("s", 1e-9),
    "%": ("ratio", 0.01),
    "b": ("bytes", 1),
    "kb": ("bytes", 1 << 10),
    "mb": ("bytes", 1 << 20),
    "gb": ("bytes", 1 << 30),
    "tb": ("bytes", 1 << 40),
    "pb": ("bytes", 1 << 50),
    "kib": ("bytes", 1 << 10),
    "mib": ("bytes", 1 << 20),
    "gib": ("bytes", 1 << 30),
    "tib": ("bytes", 1 << 40),
}
_LABEL = re.compile(r"\s*(?:'((?:[^']|''){0,200})'|([^\s='|]{1,200}))=")
_VALUE = re.compile(r"([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?)([^\s;]*)(?:;\S*)?(?=\s|$)")


def split_output(output: str) -> tuple[str, str, str]:
    """First line, long text and performance data of what a plugin printed."""
    lines = output.replace("\r\n", "\n").split("\n")
    first, _, perfdata = lines[0].partition("|")
    long: list[str] = []
    more = False
    for line in lines[1:]:
        if more:
            perfdata += " " + line
            continue
        text, bar, data = line.partition("|")
        long.append(text)
        if bar:
            more = True
            perfdata += " " + data
    return first.strip(), "\n".join(long).strip(), perfdata.strip()


def read_perfdata(text: str) -> list[Performance]:
    """The numbers, at most NUMBERS_MAX. What is malformed or unknown (`U`) is left out; of two with the same
    label the first counts."""
    found: dict[str, Performance] = {}
    for label, value, unit in _parts(text):
        known = _UNITS.get(unit.lower())
        number = float(value.replace(",", "."))
        name, factor = known if known else ("", 1)
        if math.isfinite(number) and label:
            found.setdefault(label, Performance(label, number * factor, name))
        if len(found) >= NUMBERS_MAX:
            break
    return list(found.values())


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    position = 0
    while match := _LABEL.search(text, position):
        label = (match[1].replace("''", "'") if match[1] is not None else match[2]).strip()
        value = _VALUE.match(text, match.end())
        if value:
            yield label, value[1], value[2]
            position = value.end()
        else:  # U, empty or nonsense: on to the next word
            blank = re.compile(r"\s|$").search(text, match.end())
            position = max(blank.end() if blank else len(text), match.end())
