"""Captures on change: a log line that says that a device's configuration was changed asks for a capture.

Lines are looked at in columns, and only those of assets whose configuration a probe captures; what says that
something was changed stands in the device's recipe. Lines are gathered until none has come for SETTLE_MS (but
at most MOST_MS), then the line with its user is kept and the probe is asked at once, by whoever asks it. One
asset is asked so at most every LEAST_BETWEEN_MS.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.collect.devices.recipe import Recipe, Sign, find_recipe, recipe_names
from forestall.collect.masking import Masker
from forestall.configs.notices import Said, note_notices
from forestall.estate.actions import ask_now
from forestall.estate.models import Probe
from forestall.estate.tenancy import system_scope
from forestall.kernel.clock import from_ms
from forestall.kernel.columns import I64, LogColumns
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number

DEVICES_EVERY_MS = 10_000
SETTLE_MS = 3_000
MOST_MS = 15_000
LEAST_BETWEEN_MS = 60_000
LINES_KEPT = 20  # of one asset, until it is asked: the last ones
HITS_MAX = 500  # of one batch and recipe, the last ones
TEXT_MAX_CHARS = 4_000
SCOPE = system_scope("watch")

log = logging.getLogger("watch")


@dataclass(frozen=True, slots=True)
class Watched:
    """An asset whose configuration is captured, by which recipe, by which probe."""

    client: str
    asset: str
    probe: str
    recipe: str


@dataclass(slots=True)
class Pending:
    """Lines about one asset that wait until nothing more comes (ms of our clock)."""

    first_ms: int
    last_ms: int
    lines: list[Said] = field(default_factory=list)


def load_watched() -> list[Watched]:
    """The assets whose configuration a probe captures."""
    rows = Probe.objects.of(SCOPE).filter(kind="device", enabled=True, asset__archived_at=None)
    return [
        Watched(client, asset, pk, str(settings.get("recipe", "")))
        for client, asset, pk, settings in rows.values_list("client", "asset", "pk", "settings")
    ]


class Noticing:
    """Looks for signs of a change, and asks for captures. All methods run in one thread."""

    def __init__(self, masker: Masker, *, load: Callable[[], Iterable[Watched]] = load_watched) -> None:
        self._masker = masker
        self._load = load
        self._loaded_ms = 0
        self._of_asset: dict[int, list[Watched]] = {}
        self._by_recipe: list[tuple[Recipe, I64]] = []
        self._pending: dict[int, Pending] = {}
        self._asked_ms: dict[int, int] = {}
        self.seen_count = 0

    def look(self, logs: LogColumns) -> None:
        """Note the lines of a batch that say that a configuration was changed."""
        if not self._by_recipe or not len(logs):
            return
        assets = logs.asset.astype(np.int64, copy=False)
        for recipe, numbers in self._by_recipe:
            lines = np.flatnonzero(np.isin(assets, numbers))
            if len(lines):
                self._look_for(recipe, logs, lines)

    def _look_for(self, recipe: Recipe, logs: LogColumns, lines: I64) -> None:
        rows = pa.array(lines)
        message, source, attrs = (column.take(rows) for column in (logs.message, logs.source, logs.attrs))
        hit = np.zeros(len(lines), np.bool_)
        for piece in {sign.holds for sign in recipe.signs}:
            for column in (message, source, attrs):
                hit |= _holds(column, piece)
        for place in np.flatnonzero(hit)[-HITS_MAX:].tolist():
            text = f"{source[place]}: {message[place]} {attrs[place]}"[:TEXT_MAX_CHARS]
            found = read_sign(recipe, text)
            if found is not None:
                shown = f"{source[place]}: {message[place]}" if str(source[place]) else str(message[place])
                at_ms = int(logs.received_at_ms[lines[place]])
                self._note(int(logs.asset[lines[place]]), at_ms, shown, found)

    def _note(self, number: int, at_ms: int, text: str, found: Mapping[str, str]) -> None:
        watched = self._of_asset.get(number)
        if not watched:
            return
        self.seen_count += 1
        pending = self._pending.setdefault(number, Pending(at_ms, at_ms))
        pending.last_ms = max(pending.last_ms, at_ms)
        line = self._masker.mask(text)
        said = Said(
            watched[0].client, watched[0].asset, from_ms(at_ms), line, found["user"], found["address"]
        )
        pending.lines = [*pending.lines, said][-LINES_KEPT:]

    def tick(self, now_ms: int) -> None:
        """Ask for the captures that are due; what is watched is looked at again every DEVICES_EVERY_MS."""
        if now_ms - self._loaded_ms >= DEVICES_EVERY_MS or now_ms < self._loaded_ms:
            self._loaded_ms = now_ms
            self.watch(self._load())
        for number, pending in list(self._pending.items()):
            quiet = now_ms - pending.last_ms >= SETTLE_MS or now_ms - pending.first_ms >= MOST_MS
            if quiet and now_ms - self._asked_ms.get(number, 0) >= LEAST_BETWEEN_MS:
                self._ask(number, pending, now_ms)
                del self._pending[number]

    def _ask(self, number: int, pending: Pending, now_ms: int) -> None:
        note_notices(pending.lines)
        probes = [Probe(pk=one.probe) for one in self._of_asset.get(number, ())]
        asked = ask_now(SCOPE, probes, now=from_ms(now_ms))
        self._asked_ms[number] = now_ms
        log.info(
            "%d lines of %d say that it was changed: %d probes are asked", len(pending.lines), number, asked
        )

    def watch(self, devices: Iterable[Watched]) -> None:
        """From now on these."""
        self._of_asset = {}
        numbers: dict[str, set[int]] = {}
        known = set(recipe_names())
        for one in devices:
            if one.recipe in known:
                number = to_number(one.asset)
                self._of_asset.setdefault(number, []).append(one)
                numbers.setdefault(one.recipe, set()).add(number)
        self._by_recipe = [
            (recipe, np.array(sorted(numbers[name]), np.int64))
            for name in sorted(numbers)
            if (recipe := _recipe(name)) is not None and recipe.signs
        ]
        for table in (self._pending, self._asked_ms):
            for number in table.keys() - self._of_asset.keys():
                del table[number]


def read_sign(recipe: Recipe, text: str) -> dict[str, str] | None:
    """Who a line says changed the configuration (`user`, `address`, "" where it does not say); None when it
    says nothing of a change."""
    for sign in recipe.signs:
        if sign.holds in text and (match := recipe.compiled[sign.line].search(text)):
            return _named(sign, match.groupdict())
    return None


def _named(sign: Sign, groups: Mapping[str, str | None]) -> dict[str, str]:
    return {name: (groups.get(name) or "").strip() for name in ("user", "address")}


def _holds(column: pa.Array, piece: str) -> "np.typing.NDArray[np.bool_]":
    """Which texts hold a piece; of a dictionary only its words are looked at."""
    if isinstance(column, pa.DictionaryArray):
        words = pc.match_substring(column.dictionary, piece).to_numpy(zero_copy_only=False)
        if not words.any():
            return np.zeros(len(column), np.bool_)
        return np.asarray(words[column.indices.to_numpy(zero_copy_only=False)], np.bool_)
    return np.asarray(pc.match_substring(column, piece).to_numpy(zero_copy_only=False), np.bool_)


def _recipe(name: str) -> Recipe | None:
    try:
        return find_recipe(name)
    except Trouble as trouble:
        log.warning("%s", trouble)
        return None
