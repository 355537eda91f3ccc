"""Series and their rows: one row of numbers for each pair of a rule and a series, found by whole batches."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.judge.hours import HOUR_MS, Hours
from forestall.judge.rules import Look, Op, Rule
from forestall.judge.table import I32, SERIES_MAX, SeriesTable, grown
from forestall.judge.transitions import Estate
from forestall.kernel.columns import F64, I64, U64

UNSET = -1
ITEM_BITS = 40
SERIES_PER_ASSET_MAX = 4000


@dataclass(slots=True)
class Rows:
    """One row for each pair of a rule and a series; arrays have room for more than `count`."""

    count: int
    rule: I32
    series: I32
    next: I32
    hours: I32
    last_ms: I64
    last: F64
    step_ms: npt.NDArray[np.float32]
    live: npt.NDArray[np.bool_]


def empty_rows() -> Rows:
    """No rows yet."""
    room = 1024
    return Rows(
        count=0,
        rule=np.full(room, -1, np.int32),
        series=np.full(room, -1, np.int32),
        next=np.full(room, -1, np.int32),
        hours=np.full(room, -1, np.int32),
        last_ms=np.full(room, UNSET, np.int64),
        last=np.full(room, np.nan, np.float64),
        step_ms=np.zeros(room, np.float32),
        live=np.zeros(room, np.bool_),
    )


FILLS = {
    "rule": -1,
    "series": -1,
    "next": -1,
    "hours": -1,
    "last_ms": UNSET,
    "last": np.nan,
    "step_ms": 0,
    "live": False,
}


class SeriesRows:
    """The series that are known, the rules that hold on each, and the last sample of each pair."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        names = {r.metric for p in estate.book.packs for r in p.rules if r.look is Look.METRIC}
        self.metric_names = sorted(names)
        self.metrics = {name: number for number, name in enumerate(self.metric_names)}
        self.items: dict[str, int] = {"": 0}
        self.item_names: list[str] = [""]
        self.series = SeriesTable()
        self.first: I32 = np.full(1024, -1, np.int32)  # of a series: its first row
        self.per_asset: dict[int, int] = {}
        self.rows = empty_rows()
        self.rules: list[Rule] = []
        self.op: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self.trip: F64 = np.zeros(0)
        self.hours = Hours()
        self.refused = 0  # series beyond a maximum
        self._rule_numbers: dict[int, int] = {}  # id of a resolved rule → its number

    def locate(self, asset: U64, metric: pa.Array, item: pa.Array, value: F64) -> tuple[I64, I32]:
        """Which samples a rule looks at (positions), and the first row of each (-1: none)."""
        metric_number = _numbers(metric, self._metric_number)
        looked = np.flatnonzero((metric_number >= 0) & np.isfinite(value))
        if not len(looked):
            return looked, np.zeros(0, np.int32)
        item_number = _numbers(item.take(pa.array(looked)), self.item_number)
        key = (metric_number[looked].astype(np.uint64) << np.uint64(ITEM_BITS)) | item_number.astype(
            np.uint64
        )
        owner = asset[looked]
        series = self.series.find(owner, key)
        missing = np.flatnonzero(series < 0)
        if len(missing):
            self._add_missing(owner[missing], key[missing])
            series[missing] = self.series.find(owner[missing], key[missing])
        return looked, np.where(series >= 0, self.first[series], np.int32(-1))

    def _metric_number(self, name: str) -> int:
        return self.metrics.get(name, -1)

    def item_number(self, name: str) -> int:
        """The number of an item's name, a new one for a new name."""
        number = self.items.get(name)
        if number is None:
            number = self.items[name] = len(self.item_names)
            self.item_names.append(name)
        return number

    def place(self, row: int) -> tuple[int, str]:
        """The asset number and the item of a row."""
        series = int(self.rows.series[row])
        item = int(self.series.key[series]) & ((1 << ITEM_BITS) - 1)
        return int(self.series.asset[series]), self.item_names[item]

    def rule(self, row: int) -> Rule:
        """The rule of a row."""
        return self.rules[int(self.rows.rule[row])]

    def chain(self, series: int) -> list[int]:
        """The rows of a series."""
        found = []
        row = int(self.first[series])
        while row >= 0:
            found.append(row)
            row = int(self.rows.next[row])
        return found

    def _rule_number(self, rule: Rule) -> int:
        number = self._rule_numbers.get(id(rule))
        if number is None:
            number = self._rule_numbers[id(rule)] = len(self.rules)
            self.rules.append(rule)  # kept alive here, so that its id stays its own
            self.op = np.append(self.op, np.int8(rule.op))
            limits = [level.limit for level in rule.levels if level.has_limit]
            never = -np.inf if rule.op is Op.BELOW else np.inf
            loosest = max if rule.op is Op.BELOW else min
            self.trip = np.append(self.trip, loosest(limits, default=never))
        return number

    def _add_missing(self, asset: U64, key: U64) -> None:
        pairs = dict.fromkeys(zip(asset.tolist(), key.tolist(), strict=True))
        for owner, one in pairs:
            held = self.per_asset.get(owner, 0)
            if held >= SERIES_PER_ASSET_MAX or self.series.count >= SERIES_MAX:
                self.refused += 1
                continue
            if owner not in self.estate.assets:
                continue
            self.add_series(owner, one)

    def add_series(self, asset: int, key: int) -> int:
        """A new series with its rows."""
        self.per_asset[asset] = self.per_asset.get(asset, 0) + 1
        number = self.series.add(asset, key)
        self.first = grown(self.first, number + 1, -1).astype(np.int32, copy=False)
        self.first[number] = -1
        self.lay_rules(number)
        return number

    def _rules_on(self, series: int) -> list[Rule]:
        key = int(self.series.key[series])
        metric = self.metric_names[key >> ITEM_BITS]
        item = self.item_names[key & ((1 << ITEM_BITS) - 1)]
        return [
            rule
            for rule in self.estate.looking(int(self.series.asset[series]), Look.METRIC)
            if rule.metric == metric and rule.covers(item)
        ]

    def lay_rules(self, series: int) -> None:
        """Make the rows of a series: one for each rule that covers it, keeping those that it has by name."""
        had = {self.rule(row).name: row for row in self.chain(series)}
        following = -1
        for rule in reversed(self._rules_on(series)):
            row = had.pop(rule.name, -1)
            if row < 0:
                row = self._add_row(series)
            self.rows.rule[row] = self._rule_number(rule)
            self.rows.next[row] = following
            if rule.forecasts and self.rows.hours[row] < 0:
                asset, item = self.place(row)
                self.rows.hours[row] = self.hours.add(zlib.crc32(f"{asset}/{item}".encode()) % HOUR_MS)
            following = row
        self.first[series] = following
        for row in had.values():
            self.rows.series[row] = -1

    def _add_row(self, series: int) -> int:
        rows, number = self.rows, self.rows.count
        if number >= len(rows.rule):
            for name, fill in FILLS.items():
                array = getattr(rows, name)
                setattr(rows, name, grown(array, number + 1, fill).astype(array.dtype, copy=False))
        rows.series[number] = series
        rows.count += 1
        return number


def _numbers(words: pa.Array, number: Callable[[str], int]) -> I64:
    """The number of each word of a column."""
    if isinstance(words, pa.ChunkedArray):
        words = words.combine_chunks()
    coded = words if isinstance(words, pa.DictionaryArray) else words.dictionary_encode()
    numbers = np.array([number(word) for word in coded.dictionary.to_pylist()] or [0], np.int64)
    found: I64 = numbers[coded.indices.to_numpy(zero_copy_only=False)]
    return found
