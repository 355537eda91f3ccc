"""A small estate for tests of the judge: one server by default, and short ways to feed it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.rules import Book
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import JudgedAsset, JudgedOutcome, Transition
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.ids import from_number

START = 1_790_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BOOK = load_packs(builtin_packs())

Point = tuple[int, str, str, int, float]  # asset, metric, item, at_ms, value


def asset(number: int = 5, **given: Any) -> JudgedAsset:
    settings = {"client": "client", "name": f"asset {number}", "kind": "server"} | given
    return JudgedAsset(id=from_number(number), number=number, **settings)


def judge_of(*assets: JudgedAsset, book: Book = BOOK) -> Judge:
    judge = Judge(book)
    judge.set_estate(assets or (asset(),), now_ms=START)
    return judge


def book_of(rules: str, kinds: str = "[server]") -> Book:
    return load_packs({"test.yaml": f"pack: test\nfor: {kinds}\nrules:\n{rules}"})


def columns(points: Sequence[Point]) -> SampleColumns:
    return SampleColumns(
        client=np.ones(len(points), np.uint64),
        asset=np.array([p[0] for p in points], np.uint64),
        metric=pa.array([p[1] for p in points], pa.string()),
        item=pa.array([p[2] for p in points], pa.string()),
        at_ms=np.array([p[3] for p in points], np.int64),
        value=np.array([p[4] for p in points], np.float64),
    )


def feed(judge: Judge, points: Sequence[Point]) -> list[Transition]:
    """All points in one batch, received when the newest was made."""
    if not points:
        return []
    return judge.observe(columns(points), received_at_ms=max(p[3] for p in points))


def feed_one_by_one(judge: Judge, points: Iterable[Point]) -> list[Transition]:
    return [one for point in points for one in feed(judge, [point])]


def series(metric: str, values: Iterable[float], *, item: str = "", every: int = MINUTE) -> list[Point]:
    return [(5, metric, item, START + n * every, float(value)) for n, value in enumerate(values)]


def outcome(at_ms: int, ok: bool, *, kind: str = "tcp", reason: str = "connection refused") -> JudgedOutcome:
    said = "answered" if ok else reason
    return JudgedOutcome(
        asset=5, at_ms=at_ms, kind=kind, target="web:80", ok=ok, reason=said, answer=f"raw {said}"
    )


def logs(lines: Sequence[tuple[int, str, str]], *, severity: int = 4, number: int = 5) -> LogColumns:
    """Lines as (at_ms, source, message)."""
    count = len(lines)
    return LogColumns(
        client=np.ones(count, np.uint64),
        asset=np.full(count, number, np.uint64),
        at_ms=np.array([line[0] for line in lines], np.int64),
        received_at_ms=np.array([line[0] for line in lines], np.int64),
        severity=np.full(count, severity, np.uint8),
        facility=np.full(count, 1, np.uint8),
        source=pa.array([line[1] for line in lines], pa.string()),
        host=pa.array(["h"] * count, pa.string()),
        message=pa.array([line[2] for line in lines], pa.string()),
        raw=pa.array([""] * count, pa.string()),
        attrs=pa.array([""] * count, pa.string()),
    )


def told(transitions: Iterable[Transition]) -> list[tuple[int, str, str]]:
    """(minute, state, reason) of each."""
    return [((one.at_ms - START) // MINUTE, str(one.to), one.reason) for one in transitions]
