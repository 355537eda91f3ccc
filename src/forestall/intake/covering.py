"""Secrets in received lines are masked here, between decoding and both sides of the pump: nothing that
judges, stores or shows a line ever has them. Refused input is masked where it is kept (intake.actions).

Three steps, each on what the one before left: one compiled pass over all bytes for words (intake.holding), a
search in columns for what looks like a secret, and Python for those lines alone (collect.masking_said). The
same line gives the same marks, whenever it is decoded again. Figures: benchmarks/covering.py.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.collect.masking import NAME, Masker
from forestall.collect.masking_said import SUSPECT, WORDS, mask_said
from forestall.intake.decoded import Decoded, PlacedOutcome
from forestall.intake.holding import holding, prepare
from forestall.kernel.columns import I64, LogColumns
from forestall.kernel.observations import ANSWER_MAX_CHARS

REASON_MAX_CHARS = 1024  # of an outcome
TELLING = re.compile(NAME + r"\Z", re.IGNORECASE)


class Covering:
    """Masks with the installation's key. Called from both sides of the pump."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._words = prepare(WORDS)

    def cover(self, decoded: Decoded) -> Decoded:
        """The same, without secrets in lines, in what probes and alerts say, and in examples of strays."""
        return replace(
            decoded,
            logs=self.logs(decoded.logs),
            outcomes=self._outcomes(decoded.outcomes),
            strays=[
                replace(one, example=self._text(one.example)) if one.example else one
                for one in decoded.strays
            ],
        )

    def logs(self, logs: LogColumns) -> LogColumns:
        """Lines without secrets; the same object when there are none."""
        changed: dict[str, pa.Array] = {}
        for name, mask in (("message", self._text), ("raw", self._text), ("attrs", self._fields)):
            column = getattr(logs, name)
            covered = self._column(column, mask)
            if covered is not column:
                changed[name] = covered
        return replace(logs, **changed) if changed else logs

    def _outcomes(self, outcomes: list[PlacedOutcome]) -> list[PlacedOutcome]:
        """What pushed alerts, pings and answers of probes say, which findings and evidence repeat."""
        said = pa.array([f"{one.outcome.reason}\n{one.outcome.answer}" for one in outcomes], pa.string())
        found = list(outcomes)
        for row in np.flatnonzero(holding(said, self._words)).tolist():
            outcome = outcomes[row].outcome
            covered = msgspec.structs.replace(
                outcome,
                reason=self._text(outcome.reason)[:REASON_MAX_CHARS],
                answer=self._text(outcome.answer)[:ANSWER_MAX_CHARS],
            )
            found[row] = replace(outcomes[row], outcome=covered)
        return found

    def _column(self, column: pa.Array, mask: Callable[[str], str]) -> pa.Array:
        if isinstance(column, pa.DictionaryArray):
            words = self._column(column.dictionary, mask)
            if words is column.dictionary:
                return column
            return pa.DictionaryArray.from_arrays(column.indices, words).dictionary_decode()
        rows = np.flatnonzero(holding(column, self._words))
        if not len(rows):
            return column
        texts = column.take(pa.array(rows))
        suspect = pc.match_substring_regex(texts, SUSPECT, ignore_case=True).fill_null(False)
        rows, texts = rows[suspect.to_numpy(zero_copy_only=False)], texts.filter(suspect)
        return _replaced(column, rows, [(text, mask(text)) for text in texts.to_pylist()])

    def _text(self, text: str) -> str:
        return mask_said(self._masker, text)

    def _fields(self, text: str) -> str:
        """A JSON object: its texts are masked, those of a telling name whole."""
        try:
            told = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return self._text(text)
        covered = self._told("", told)
        return text if covered == told else msgspec.json.encode(covered).decode()

    def _told(self, name: str, value: Any) -> Any:
        match value:
            case dict():
                return {key: self._told(key, inner) for key, inner in value.items()}
            case list():
                return [self._told(name, inner) for inner in value]
            case bool() | None:
                return value
            case str() | int() | float() if TELLING.search(name):
                alone = f"secret = {value}".replace("\n", " ")
                return value if self._masker.mask(alone) == alone else self._masker.mark(str(value))
            case str():
                return self._text(value)
        return value


def _replaced(column: pa.Array, rows: I64, pairs: list[tuple[str, str]]) -> pa.Array:
    """The column with other texts in these rows; itself when they are the same."""
    changed = [place for place, (before, after) in enumerate(pairs) if before != after]
    if not changed:
        return column
    mask = np.zeros(len(column), np.bool_)
    mask[rows[changed]] = True
    return pc.replace_with_mask(
        column, pa.array(mask), pa.array([pairs[place][1] for place in changed], column.type)
    )
