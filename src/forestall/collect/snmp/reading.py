"""What a profile makes of the columns of one poll: numbers, states in words, lines of the inventory. Pure.

Counters are remembered by metric and item, never by row: a device numbers its interfaces anew when it likes.
"""

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from forestall.collect.answers import Number as Sample
from forestall.collect.answers import printable
from forestall.collect.snmp.counters import Count, rate_per_s
from forestall.collect.snmp.profile import Group, Number, Where
from forestall.collect.snmp.session import Column, Value

ITEM_MAX_CHARS = 200
NUMBERS_MAX = 20_000  # of one poll
COUNTS_MAX = 100_000  # counters remembered of one device
_NUMBER = re.compile(rb"\s*([-+]?[0-9]{1,30}(?:\.[0-9]{1,30})?)")
_FLOAT = b"\x9f\x78\x04"  # how net-snmp wraps a floating point number into an Opaque
_PLACES = re.compile(r"\{(\w+)\}")

Columns = Mapping[str, Column]  # by the name that the group gives them


@dataclass(slots=True)
class Told:
    """What one poll brings. `odd`: what was no number, by metric, with an example; `states`: in words."""

    numbers: list[Sample] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    odd_count: int = 0


@dataclass(slots=True)
class Remembered:
    """Of one device between polls: its counters, and the items that were seen in a good state."""

    counts: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    good: set[tuple[str, str]] = field(default_factory=set)


class _Odd(Exception):
    """A value that is no number."""


def text_of(value: Value) -> str:
    """A value as text in one line."""
    if isinstance(value, bytes):
        return " ".join(printable(value.rstrip(b"\0"), ITEM_MAX_CHARS).split())
    return "" if value is None else str(value)


def number_of(value: Value) -> float | None:
    """A value as a number, also one that is written at the beginning of a text; None for nothing.

    Raises ValueError for what is no number.
    """
    if value.__class__ is int:
        return value
    if isinstance(value, bytes):
        if value.startswith(_FLOAT) and len(value) == 7:
            return float(struct.unpack(">f", value[3:])[0])
        match = _NUMBER.match(value)
        if match is None:
            if not value.strip():
                return None
            raise ValueError(text_of(value))
        return float(match[1])
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(str(value))
        return value
    if value is None:
        return None
    raise ValueError(str(value))


def items_of(group: Group, columns: Columns) -> dict[str, str]:
    """Row → what it is called. Two rows of one name get their row's number behind it."""
    rows = _rows(group, columns)
    templates = [(text, tuple(_PLACES.findall(text))) for text in group.item]
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    texts: dict[str, dict[str, str]] = {
        name: {row: text_of(value) for row, value in columns.get(name, {}).items()}
        for name in group.item_columns
    }
    for row in rows:
        item = ""
        for text, places in templates:
            values = [row if place == "index" else texts[place].get(row, "") for place in places]
            if all(values):
                item = text
                for place, value in zip(places, values, strict=True):
                    item = item.replace(f"{{{place}}}", value)
                break
        item = item[:ITEM_MAX_CHARS]
        if group.item and not group.combine and item in taken:
            item = f"{item} #{row}"
        taken[item] = row
        found[row] = item
    return found


def _rows(group: Group, columns: Columns) -> list[str]:
    """The rows that are meant, in the order of the device."""
    names = (*group.item_columns, *(number.take for number in group.values), *group.inventory)
    names = (*names, *(group.instead[name].take for name in names if name in group.instead))
    rows = dict.fromkeys(row for name in names for row in columns.get(name, ()))
    if not group.where and not group.unless:
        return list(rows)
    return [row for row in rows if fits(group.where, group.unless, row, columns)]


def fits(where: Where, unless: Where, row: str, columns: Columns) -> bool:
    """Whether a row has one of the wanted values in each column of `where`, and none of `unless`."""
    for name, wanted in where.items():
        if not _is_one(columns.get(name, {}).get(row), wanted):
            return False
    return not any(_is_one(columns.get(name, {}).get(row), unwanted) for name, unwanted in unless.items())


def _is_one(value: Value, wanted: list[int | str]) -> bool:
    """Whether a value is one of these; a text may be a pattern (`*fan*`, capitals do not matter)."""
    if isinstance(value, int):
        return value in wanted
    text = text_of(value).lower()
    return any(isinstance(one, str) and fnmatchcase(text, one.lower()) for one in wanted)


def read_group(
    group: Group,
    columns: Columns,
    *,
    before: Remembered,
    after: Remembered,
    at_s: float,
    epoch: int,
    told: Told,
) -> None:
    """Add what a group says to `told`; what must be remembered from `before` goes into `after`. `epoch` is
    another one when the device began again."""
    if not group.values:
        return
    items = items_of(group, columns)
    for number in group.values:
        reader = _Reader(
            group, number, columns, before=before, after=after, at_s=at_s, epoch=epoch, told=told
        )
        values = reader.all(items)
        if group.combine and values:
            _combined(group, number, [value for _, value in values], told)
            continue
        told.numbers += [Sample(number.metric, value, item) for item, value in values]


def _combined(group: Group, number: Number, values: list[float], told: Told) -> None:
    match group.combine:
        case "mean":
            value = math.fsum(values) / len(values)
        case "sum":
            value = math.fsum(values)
        case "most":
            value = max(values)
        case _:
            value = min(values)
    told.numbers.append(Sample(number.metric, value, ""))


class _Reader:
    """Reads one metric out of all rows of a group."""

    def __init__(
        self, group: Group, number: Number, columns: Columns, *, before: Remembered, after: Remembered,
        at_s: float, epoch: int, told: Told,
    ) -> None:  # fmt: skip
        self.group = group
        self.number = number
        self.columns = columns
        self.before, self.after = before, after
        self.at_s, self.epoch, self.told = at_s, epoch, told
        self.unknown = frozenset(number.unknown)
        self.began = columns.get(group.began, {}) if group.began else {}
        self.parts = [(name, *self._column(name)) for name in (number.take, *number.add)]
        self.per = [self._column(name) for name in number.per]

    def _column(self, name: str) -> tuple[Column, Column, float, int]:
        """The column, the one instead of it, the scale and bits of that."""
        other = self.group.instead.get(name)
        if other is None:
            return self.columns.get(name, {}), {}, 1.0, 0
        return self.columns.get(name, {}), self.columns.get(other.take, {}), other.scale, other.bits

    def all(self, items: Mapping[str, str]) -> list[tuple[str, float]]:
        """(item, value) of every row that has one."""
        number, found = self.number, []
        picky = bool(number.where or number.unless)
        for row, item in items.items():
            if picky and not fits(number.where, number.unless, row, self.columns):
                continue
            try:
                value = self._one(row, item)
            except (ValueError, OverflowError) as odd:
                self._odd(str(odd), item)
                continue
            if value is not None:
                found.append((item, value))
        return found

    def _odd(self, what: str, item: str) -> None:
        self.told.odd_count += 1
        if len(self.told.odd) < 20:
            self.told.odd.setdefault(self.number.metric, f"{what[:60]!r}" + (f" ({item})" if item else ""))

    def _one(self, row: str, item: str) -> float | None:
        number = self.number
        if number.states:
            return self._state(row, item)
        if number.bit:
            return self._bits(row)
        value = self._sum(row, item)
        if value is None:
            return None
        value *= number.scale
        if number.exponent:
            value *= self._power(row)
        if self.per:
            whole = 0.0
            for column in self.per:
                part = _pick(column, row)[0]
                if part is None:
                    return None
                whole += part
            if whole <= 0:  # an interface without a speed, a cartridge without a size
                return None
            value /= whole
        if number.rest:
            value = 1 - value
        if number.clip is not None and value > number.clip:
            value = number.clip
        if (number.least is not None and value < number.least) or (
            number.most is not None and value > number.most
        ):
            raise ValueError(f"{value:g}")
        return value

    def _sum(self, row: str, item: str) -> float | None:
        total: float | None = None
        whole = True  # every counter is remembered, also when one of them has no rate yet
        for name, *column in self.parts:
            value, bits = _pick(column, row)
            if value is None or value in self.unknown:
                if total is None and name == self.number.take:
                    return None
                continue
            if self.number.rate:
                value = self._rate(row, item, name=name, value=value, bits=bits or self.number.rate)
                if value is None:
                    whole = False
                    continue
            total = value if total is None else total + value
        return total if whole else None

    def _rate(self, row: str, item: str, *, name: str, value: float, bits: int) -> float | None:
        began = self.began.get(row)
        mark = hash((self.epoch, began if isinstance(began, int) else 0, bits))
        now = Count(int(value), self.at_s, mark)
        key = (self.number.metric, name, item)
        if len(self.after.counts) < COUNTS_MAX:
            self.after.counts[key] = now
        most = 0.0
        if self.number.limit:
            most = (_pick(self._column(self.number.limit), row)[0] or 0.0) * self.number.limit_scale
        return rate_per_s(self.before.counts.get(key), now, bits=bits, most_per_s=most)

    def _bits(self, row: str) -> float | None:
        """RFC 2578 7.1.4: the first bit is the highest of the first byte."""
        value = self.columns.get(self.number.take, {}).get(row)
        if not isinstance(value, bytes):
            return None
        return float(
            any(value[bit // 8] & 0x80 >> bit % 8 for bit in self.number.bit if bit // 8 < len(value))
        )

    def _power(self, row: str) -> float:
        """ENTITY-SENSOR-MIB: scale 9 is the unit, 8 milli, 10 kilo, three digits a step."""
        assert self.number.exponent
        step = number_of(self.columns.get(self.number.exponent, {}).get(row)) or 9
        digits = 0.0
        if self.number.digits:
            digits = number_of(self.columns.get(self.number.digits, {}).get(row)) or 0
        return float(10.0 ** max(-30.0, min(30.0, 3 * (step - 9) - digits)))

    def _state(self, row: str, item: str) -> float | None:
        number = self.number
        column, *_ = self.parts[0][1:]
        value = number_of(column.get(row))
        if value is None or value in self.unknown:
            return None
        state = number.states.get(int(value))
        if state is None:
            raise ValueError(f"state {int(value)}")
        told, word = state
        key = (number.metric, item)
        if told and number.after_good:
            self.after.good.add(key)
        if told is None:
            return None
        if not told and number.after_good:
            if key not in self.before.good:
                return None
            self.after.good.add(key)
        if len(self.told.states) < 2_000:
            self.told.states.append(f"{item or number.metric}: {word}")
        return told


def _pick(column: Any, row: str) -> tuple[float | None, int]:
    """The number of a row and, where it is from the column instead, its bits."""
    first, second, scale, bits = column
    value = first.get(row)
    if value is not None:
        return (value if value.__class__ is int else number_of(value)), 0
    other = second.get(row)
    if other is None:
        return None, 0
    number = number_of(other)
    return (None if number is None else number * scale), bits


def list_inventory(group: Group, columns: Columns) -> Iterator[str]:
    """A line for each row: its name, and what describes it."""
    for row, item in items_of(group, columns).items():
        parts = [item or group.name]
        for name in group.inventory:
            value = columns.get(name, {}).get(row)
            if value is None or value == b"":
                continue
            if name in group.hex and isinstance(value, bytes):
                text = value.hex(":")
            elif name in group.words and isinstance(value, int):
                text = group.words[name].get(value, str(value))
            else:
                text = text_of(value)
            if text:
                parts.append(f"{name.replace('_', ' ')}: {text}")
        if len(parts) > 1:
            yield f"{group.name}  " + "  ".join(parts)


def merge_twins(numbers: list[Sample]) -> list[Sample]:
    """Where one metric is told twice of an item (in and out of a line), the larger counts."""
    found: dict[tuple[str, str], Sample] = {}
    for one in numbers:
        key = (one.metric, one.item)
        twin = found.get(key)
        if twin is None or one.value > twin.value:
            found[key] = one
    return list(found.values())
