"""The vocabulary as a reader knows it by heart, so that a search asks the store once instead of twice.

It is as new as what the store says of itself: every answer of our store tells how far the vocabulary had been
written, before and after (`Said`). A search that was made with an older one is made again. A store that does
not tell (a cluster) is asked for each search instead, and so is a vocabulary that is too large.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.kernel.columns import U8, U64
from forestall.telemetry.conditions import Found, Has, Test
from forestall.telemetry.schema import DATABASE, EVERYTHING, HOST, SHAPE, SOURCE
from forestall.telemetry.scope import Clients, Every

if TYPE_CHECKING:
    from forestall.telemetry.client import Store

ENTRIES_MAX = 20_000
SHAPES_MAX = 500  # more shapes than these are named by a condition instead
LOAD_S = 10.0


@dataclass(frozen=True, slots=True)
class Said:
    """How far the vocabulary was written before and after a statement; "" when the store does not tell."""

    before: str = ""
    after: str = ""


class Lexicon:
    """Entries of all clients: their text is for conditions alone and leaves by none."""

    def __init__(self, rows: Sequence[Sequence[object]], *, written: str) -> None:
        self.written = written
        self._client: U64 = np.array([row[0] for row in rows], np.uint64)
        self._kind: U8 = np.array([row[1] for row in rows], np.uint8)
        self._number: U64 = np.array([row[2] for row in rows], np.uint64)
        self._text = pc.ascii_lower(pa.array([str(row[3]) for row in rows], pa.string()))
        self._every = np.array([row[3] == EVERYTHING and row[1] != SHAPE for row in rows], np.bool_)

    def find(self, tests: Sequence[Test], clients: Clients) -> Found:
        """What the clients' entries answer to each test: as Conditions.found of the store's own answer."""
        seen = (
            np.ones(len(self._client), np.bool_)
            if isinstance(clients, Every)
            else np.isin(self._client, np.array(sorted(clients), np.uint64))
        )
        return {place: self._has(test, seen) for place, test in enumerate(tests)}

    def _has(self, test: Test, seen: np.ndarray) -> Has:
        if test.way == "part":
            mask = pc.match_substring(self._text, test.value)
        else:
            mask = pc.match_substring_regex(self._text, test.expression)
        hit = seen & (np.asarray(mask.to_numpy(zero_copy_only=False), np.bool_) | self._every)
        kinds = frozenset(kind for kind in (SHAPE, SOURCE, HOST) if (self._kind[hit] == kind).any())
        shapes = np.unique(self._number[hit & (self._kind == SHAPE)])
        return Has(kinds, tuple(shapes.tolist()) if len(shapes) <= SHAPES_MAX else None)


class Lexicons:
    """The newest lexicon of a store, for all threads that read from it."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._held: Lexicon | None = None
        self._too_large = ""  # when it was last found to be, in words of Said

    def of(self, store: "Store", *, not_older: str = "") -> Lexicon | None:
        """One that was read no earlier than the store said `not_older`; None: ask the store for each search.

        Raises as Store.select.
        """
        with self._lock:
            if self._held is not None and not_older in ("", self._held.written):
                return self._held
            if not_older and not_older == self._too_large:
                return None
            rows = store.select(
                f"SELECT client, kind, number, any(text) FROM {DATABASE}.vocabulary"
                f" GROUP BY client, kind, number LIMIT {self._entries_max + 1}",
                timeout_s=LOAD_S,
            )
            written = store.said.before
            self._too_large = written if len(rows) > self._entries_max else ""
            self._held = None if self._too_large or not written else Lexicon(rows, written=written)
            return self._held
