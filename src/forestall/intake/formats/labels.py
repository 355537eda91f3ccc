"""Which series a block of Prometheus labels means: host, metric and item, remembered by the block's bytes.

Label sets repeat from body to body, so that text is made only of blocks that are new. Bounded: when the
tables are full they are emptied and fill again. One object may be used by several threads.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from hashlib import blake2b
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.intake.formats.wire import hash_bytes, same_bytes
from forestall.kernel.columns import I64, U8, U64
from forestall.kernel.compiled import compiled

METRIC_MAX_CHARS = 128  # as a sample and a finding keep it
ITEM_MAX_CHARS = 256
HOST_MAX_CHARS = 255
LABELS_MAX = 128
BLOCKS_MAX = 1 << 18
BLOCKS_MAX_BYTES = 64 << 20
PROBES_MAX = 16
TURN_SHIFT = 20  # a column has fewer codes than 1 << 20
GROWTH_SHIFT = 4  # an array of all texts is made anew when it lacks more than a sixteenth

HOST_LABELS = ("instance", "host", "hostname", "node")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]]+)(:\d{1,5})?\Z")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?(\[[0-9A-Fa-f:.]+\]|[^:/?#\[\]]+)")

I32 = npt.NDArray[np.int32]


class SeriesName(NamedTuple):
    """What a sample's `host`, `metric` and `item` are."""

    host: str
    metric: str
    item: str


def name_series(labels: Iterable[tuple[bytes, bytes]]) -> SeriesName:
    """The name of a series. `item` is every label that `host` and `metric` do not say, sorted by name.

    The host comes from `instance` without its port (which stays in the item, so that two exporters of one
    machine do not become one series), else from `host`, `hostname` or `node`.
    Raises ValueError that says what is wrong with the labels.
    """
    found: dict[str, str] = {}
    for name_bytes, value_bytes in labels:
        try:
            name, value = name_bytes.decode(), value_bytes.decode()
        except UnicodeDecodeError:
            raise ValueError("a label is not UTF-8") from None
        if name in found:
            raise ValueError(f"the label {name[:60]} stands there twice")
        if not name:
            raise ValueError("a label has no name")
        found[name] = value
        if len(found) > LABELS_MAX:
            raise ValueError(f"more than {LABELS_MAX} labels")
    metric = found.pop("__name__", "")
    if not metric:
        raise ValueError("no metric name (the label __name__)")
    if len(metric) > METRIC_MAX_CHARS:
        raise ValueError(f"the metric name {metric[:40]}… is longer than {METRIC_MAX_CHARS} characters")
    return SeriesName(take_host(found), metric, spell_item(found))


def take_host(labels: dict[str, str]) -> str:
    """The host that the labels name, "" for none; what it says is taken out of them."""
    for label in HOST_LABELS:
        if labels.get(label):
            host, labels[label] = _split_host(labels[label])
            return host
    return ""


def spell_item(labels: dict[str, str]) -> str:
    """Labels in Prometheus' own spelling, sorted; empty ones are left out, as Prometheus says that they mean
    the same as none."""
    told = [f'{name}="{_escaped(labels[name])}"' for name in sorted(labels) if labels[name]]
    if not told:
        return ""
    return bound_name("{" + ",".join(told) + "}", ITEM_MAX_CHARS)


def bound_name(text: str, most: int) -> str:
    """A name of at most so many characters; one that is cut keeps its identity by a hash."""
    if len(text) <= most:
        return text
    mark = "…#" + blake2b(text.encode(), digest_size=8).hexdigest()
    return text[: most - len(mark)] + mark


def _split_host(text: str) -> tuple[str, str]:
    """The host that `instance` (or a label like it) names, and what of it the item has to keep."""
    if url := _URL.match(text):
        return url[1].strip("[]")[:HOST_MAX_CHARS], text
    if (plain := _HOST_PORT.match(text)) and len(plain[1]) <= HOST_MAX_CHARS:
        return plain[1].strip("[]"), plain[2] or ""
    return text[:HOST_MAX_CHARS], text if len(text) > HOST_MAX_CHARS else ""


def _escaped(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text


class _Words:
    """Texts and their codes."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.codes: dict[str, int] = {}
        self._built: pa.Array = pa.array([], pa.string())
        self._places: I64 = np.zeros(0, np.int64)
        self._turn = 0

    def code(self, text: str) -> int:
        found = self.codes.get(text)
        if found is None:
            found = self.codes[text] = len(self.texts)
            self.texts.append(text)
        return found

    def places(self) -> tuple[I64, int]:
        """Room for the place of every code in one column, and what is added to places this time: whatever is
        below it is from before."""
        if len(self._places) < len(self.texts):
            self._places = np.zeros(2 * len(self.texts), np.int64)
            self._turn = 0
        self._turn += 1
        return self._places, self._turn << TURN_SHIFT

    def take(self, codes: I32) -> pa.Array:
        """The texts of codes; from an array that is made anew when it covers too few of them."""
        if len(self.texts) > len(self._built) + (len(self._built) >> GROWTH_SHIFT):
            self._built = pa.array(self.texts, pa.string())
        if len(codes) and codes.max() >= len(self._built):
            return pa.array([self.texts[code] for code in codes.tolist()], pa.string())
        return self._built.take(pa.array(codes))


class KnownSeries:
    """Blocks of labels that were seen, and what they mean. `name` says what a block means, or raises
    ValueError."""

    def __init__(
        self,
        name: Callable[[bytes], SeriesName],
        *,
        blocks_max: int = BLOCKS_MAX,
        bytes_max: int = BLOCKS_MAX_BYTES,
    ) -> None:
        self._name = name
        self._lock = Lock()
        self._blocks_max, self._bytes_max = blocks_max, bytes_max
        self._seed = np.uint64(secrets.randbits(64))
        self._empty(blocks_max)

    def __len__(self) -> int:
        return self._count

    def _empty(self, blocks: int) -> None:
        """Forget everything, and have room for so many blocks."""
        self._count = 0
        self._used_bytes = 0
        self._slots: I32 = np.full(1 << (2 * blocks - 1).bit_length(), -1, np.int32)
        self._hashes: U64 = np.zeros(blocks, np.uint64)
        self._starts: I64 = np.zeros(blocks, np.int64)
        self._sizes: I64 = np.zeros(blocks, np.int64)
        self._arena: U8 = np.zeros(1 << 16, np.uint8)
        self._parts = (_Words(), _Words(), _Words())
        self._codes: I32 = np.zeros((3, blocks), np.int32)

    def columns(
        self, body: U8, starts: I64, ends: I64, counts: I64
    ) -> tuple[tuple[pa.DictionaryArray, ...], list[tuple[int, str]]]:
        """`host`, `metric` and `item` of series that have `counts` samples each, one row a sample.

        Series i has the labels body[starts[i] : ends[i]]. Also the series that cannot be named, with the
        reason; they have no rows.
        """
        with self._lock:
            if (
                self._count + len(starts) > len(self._hashes)
                or self._used_bytes + len(body) > self._bytes_max
            ):
                self._empty(max(self._blocks_max, len(starts)))
            blocks = np.empty(len(starts), np.int32)
            hashes = np.empty(len(starts), np.uint64)
            misses = _look_up(
                body, starts, ends, self._seed, self._slots, self._hashes, self._starts, self._sizes,
                self._arena, blocks, hashes,
            )  # fmt: skip
            refused = self._add_missing(body, starts, ends, blocks, hashes) if misses else []
            rows = int(counts[blocks >= 0].sum() if refused else counts.sum())
            return tuple(
                self._column(words, codes, blocks, counts, rows)
                for words, codes in zip(self._parts, self._codes, strict=True)
            ), refused

    def _add_missing(
        self, body: U8, starts: I64, ends: I64, blocks: I32, hashes: U64
    ) -> list[tuple[int, str]]:
        refused: list[tuple[int, str]] = []
        fresh: dict[bytes, int] = {}
        for place in np.flatnonzero(blocks < 0).tolist():
            block = body[starts[place] : ends[place]].tobytes()
            known = fresh.get(block)
            if known is not None:
                blocks[place] = known
                continue
            try:
                name = self._name(block)
            except ValueError as error:
                refused.append((place, str(error)))
                continue
            blocks[place] = fresh[block] = self._add(block, name, hashes[place])
        return refused

    def _add(self, block: bytes, name: SeriesName, hashed: np.uint64) -> int:
        number, start = self._count, self._used_bytes
        if start + len(block) > len(self._arena):
            larger = np.zeros(max(2 * len(self._arena), start + len(block)), np.uint8)
            larger[:start] = self._arena[:start]
            self._arena = larger
        self._arena[start : start + len(block)] = np.frombuffer(block, np.uint8)
        self._hashes[number], self._starts[number], self._sizes[number] = hashed, start, len(block)
        for row, (words, text) in enumerate(zip(self._parts, name, strict=True)):
            self._codes[row, number] = words.code(text)
        self._count, self._used_bytes = number + 1, start + len(block)
        mask = len(self._slots) - 1
        at = int(hashed) & mask
        for _ in range(PROBES_MAX):
            if self._slots[at] < 0:
                self._slots[at] = number
                break
            at = (at + 1) & mask
        return number

    def _column(self, words: _Words, codes: I32, blocks: I32, counts: I64, rows: int) -> pa.DictionaryArray:
        used = np.empty(min(len(words.texts), len(blocks)), np.int32)
        indices = np.empty(rows, np.int32)
        places, base = words.places()
        count = _renumber(codes, blocks, counts, places, base, used, indices)
        small = np.int8 if count <= 128 else np.int16 if count <= 32_768 else np.int32
        return pa.DictionaryArray.from_arrays(pa.array(indices.astype(small)), words.take(used[:count]))


@compiled
def _look_up(
    body: U8,
    starts: I64,
    ends: I64,
    seed: np.uint64,
    slots: I32,
    hashes: U64,
    at_arena: I64,
    sizes: I64,
    arena: U8,
    blocks: I32,
    hashed: U64,
) -> int:
    """Into `blocks` the number of each block, -1 for a new one; into `hashed` its hash. How many are new."""
    mask = np.uint64(len(slots) - 1)
    misses = 0
    for k in range(len(starts)):
        h = hash_bytes(body, starts[k], ends[k], seed)
        hashed[k] = h
        size = ends[k] - starts[k]
        found = np.int32(-1)
        at = np.int64(h & mask)
        for _ in range(PROBES_MAX):
            number = slots[at]
            if number < 0:
                break
            if (
                hashes[number] == h
                and sizes[number] == size
                and same_bytes(body, starts[k], arena, at_arena[number], size)
            ):
                found = number
                break
            at = np.int64((np.uint64(at) + np.uint64(1)) & mask)
        blocks[k] = found
        if found < 0:
            misses += 1
    return misses


@compiled
def _renumber(codes: I32, blocks: I32, counts: I64, places: I64, base: int, used: I32, indices: I32) -> int:
    """The codes of the blocks as places in `used`, each repeated as often as its series has samples."""
    count = 0
    row = 0
    for k in range(len(blocks)):
        if blocks[k] < 0:
            continue
        code = codes[blocks[k]]
        place = places[code] - base
        if place < 0:
            place = count
            places[code] = base + place
            used[count] = code
            count += 1
        for _ in range(counts[k]):
            indices[row] = place
            row += 1
    return count
