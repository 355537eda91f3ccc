"""One body that was pushed, in parts that fit into frames of the durable queue. Pure."""

from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from forestall.intake.pushed import (
    OUTCOMES_MAX,
    ROWS_MAX,
    Pushed,
    PushedLogs,
    PushedSamples,
    encode_pushed,
    no_logs,
    no_samples,
)
from forestall.intake.unpacking import Unusable
from forestall.kernel.columns import I64

Columns = TypeVar("Columns", PushedLogs, PushedSamples)


def part_pushed(pushed: Pushed, *, most: int) -> list[bytes]:
    """As bodies of envelopes, at most `most` bytes each, in the order of the records.

    Raises Unusable (413) when one record alone is larger.
    """
    if (
        max(len(pushed.logs), len(pushed.samples)) <= ROWS_MAX
        and len(pushed.outcomes) <= OUTCOMES_MAX
        and len(whole := encode_pushed(pushed)) <= most
    ):
        return [whole]
    halves = _halves(pushed)
    if len(halves) == 1:
        raise Unusable(413, f"one record is larger than the {most} bytes that it may have", "Cut it.")
    return [body for half in halves for body in part_pushed(half, most=most)]


def _halves(pushed: Pushed) -> list[Pushed]:
    """Logs, samples and outcomes apart; what is alone, in two."""
    apart = []
    if len(pushed.logs):
        apart.append(Pushed(pushed.logs, no_samples()))
    if len(pushed.samples):
        apart.append(Pushed(no_logs(), pushed.samples))
    if pushed.outcomes:
        apart.append(Pushed(no_logs(), no_samples(), pushed.outcomes))
    if len(apart) != 1:
        return apart
    logs, samples, outcomes = pushed.logs, pushed.samples, pushed.outcomes
    middle = max(len(logs), len(samples), len(outcomes)) // 2
    if not middle:
        return apart
    return [
        Pushed(_slice(logs, at, until), _slice(samples, at, until), outcomes[at:until])
        for at, until in ((0, middle), (middle, None))
    ]


def take_rows(columns: Columns, rows: I64) -> Columns:
    """Some rows of columns, by their numbers."""
    numbers = pa.array(rows)
    return type(columns)(
        *(
            column[rows] if isinstance(column, np.ndarray) else _own(column.take(numbers))
            for column in (getattr(columns, name) for name in type(columns).__slots__)
        )
    )


def _slice(columns: Columns, at: int, until: int | None) -> Columns:
    return type(columns)(*(_own(getattr(columns, name)[at:until]) for name in type(columns).__slots__))


def _own(column: Any) -> Any:
    """A slice of a dictionary column drags the whole dictionary along: give it one of its own."""
    if isinstance(column, pa.DictionaryArray) and len(column.dictionary) > len(column):
        return column.dictionary_decode().dictionary_encode()
    return column
