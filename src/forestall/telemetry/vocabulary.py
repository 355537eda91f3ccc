"""What the writer of logs knows by heart: the shapes that a client's messages have, and the names of the
programs and hosts that they came from. Kept in the table `vocabulary`, always before a line that needs it.

A shape is learned when it was met ADMIT times: a message that never comes again is kept whole instead.
Everything is bounded, so a sender who invents shapes or names costs space, not memory: what is beyond the
bounds is kept whole (shapes), or said to be incomplete (names: EVERYTHING stands for all of that kind).
"""

import hashlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forestall.kernel.columns import I64, U8, U64
from forestall.kernel.compiled import compiled
from forestall.kernel.shapes import I32, UNSHAPED, Scanned, shape_text
from forestall.telemetry import native
from forestall.telemetry.client import Store
from forestall.telemetry.schema import DATABASE, EVERYTHING, HOST, SHAPE, SOURCE

ADMIT = 3
SHAPES_MAX = 2_000_000
SHAPES_PER_CLIENT_MAX = 20_000
NAMES_PER_CLIENT_MAX = 10_000
PENDING_MAX = 200_000
LEARN_PER_BATCH_MAX = 5_000
LOAD_S = 60.0

_ODD = np.uint64(0x9E3779B97F4A7C15)
_FREE = np.uint64(0)
_Entry = tuple[int, int, int, str]  # client, kind, number, text


class Vocabulary:
    """One per writing process; its methods may be called from any thread, one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._loaded = False
        self._keys: U64 = np.zeros(1 << 12, np.uint64)
        self._values: I32 = np.zeros(1 << 12, np.int32)
        self._texts: U8 = np.zeros(1 << 16, np.uint8)
        self._text_at: I64 = np.zeros(1 << 12, np.int64)
        self._count = 0
        self._shapes: dict[int, int] = {}  # client → how many shapes
        self._names: dict[tuple[int, int], set[str]] = {}
        self._pending: dict[int, int] = {}

    def know(
        self,
        client: U64,
        data: U8,
        start: I64,
        end: I64,
        *,
        scanned: Scanned,
        source: pa.Array,
        host: pa.Array,
    ) -> I32:
        """The place of each message's shape in `texts` (negative: keep it whole), after what is new was
        learned. Raises StoreUnavailable when that cannot be kept now; the same may come again."""
        with self._lock:
            self._load()
            clients, code = np.unique(client, return_inverse=True) if _varies(client) else _same(client)
            entries = self._new_names(clients, code, SOURCE, source) + self._new_names(
                clients, code, HOST, host
            )
            numbers = scanned.numbers
            keys = np.where(numbers == UNSHAPED, _FREE, numbers ^ (client * _ODD))
            places = _find(self._keys, self._values, keys)
            rows = np.flatnonzero((places < 0) & (numbers != UNSHAPED))
            counted: dict[int, int] = {}
            if len(rows):
                learned, counted = self._new_shapes(rows, client, numbers, keys, data, start, end)
                entries += learned
            if entries:
                self._keep(entries)
                self._add(entries)
                places = _find(self._keys, self._values, keys)
            self._pending.update(counted)
            if len(self._pending) > PENDING_MAX:
                self._pending.clear()
            return places

    def texts(self) -> tuple[U8, I64]:
        """The texts of all shapes, and where each begins (one more than there are)."""
        return self._texts, self._text_at[: self._count + 1]

    def _load(self) -> None:
        if self._loaded:
            return
        rows = self._store.select(
            f"SELECT client, kind, number, any(text) FROM {DATABASE}.vocabulary GROUP BY client, kind, number"
            f" LIMIT {SHAPES_MAX}",
            timeout_s=LOAD_S,
        )
        self._add([(int(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows])
        self._loaded = True

    def _new_names(self, clients: U64, code: I64, kind: int, column: pa.Array) -> list[_Entry]:
        """Names of this kind that were not met before."""
        names = native.dictionary(column)
        spelled = names.dictionary.to_pylist()
        met = np.zeros((len(clients), max(1, len(spelled))), np.bool_)
        met[code, names.indices.to_numpy(zero_copy_only=False)] = True
        found: list[_Entry] = []
        for row, client in enumerate(clients.tolist()):
            known = self._names.setdefault((client, kind), set())
            room = NAMES_PER_CLIENT_MAX - len(known)
            new = [spelled[place] for place in np.flatnonzero(met[row]).tolist()]
            new = [name for name in new if name and name not in known]
            if len(new) > room and EVERYTHING not in known:
                new = [*new[: max(0, room - 1)], EVERYTHING]
            elif len(new) > room:
                new = []
            found += [(client, kind, _name_number(name), name) for name in new]
        return found

    def _new_shapes(
        self, rows: npt.NDArray[np.intp], client: U64, numbers: U64, keys: U64, data: U8, start: I64, end: I64
    ) -> tuple[list[_Entry], dict[int, int]]:
        """Shapes that have now been met often enough, and how often the others were met."""
        distinct, first, counts = np.unique(keys[rows], return_index=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:LEARN_PER_BATCH_MAX]
        learned: list[_Entry] = []
        waiting: dict[int, int] = {}
        room = dict(self._shapes)
        for place in order.tolist():
            key, row = int(distinct[place]), int(rows[first[place]])
            times = self._pending.get(key, 0) + int(counts[place])
            owner = int(client[row])
            full = self._count + len(learned) >= SHAPES_MAX or room.get(owner, 0) >= SHAPES_PER_CLIENT_MAX
            if times < ADMIT or full:
                waiting[key] = min(times, ADMIT)
                continue
            text = shape_text(bytes(data[start[row] : end[row]]).decode())
            if text is not None:
                learned.append((owner, SHAPE, int(numbers[row]), text))
                room[owner] = room.get(owner, 0) + 1
        return learned, waiting

    def _keep(self, entries: list[_Entry]) -> None:
        columns = (
            ("client", "UInt64", native.fixed(np.array([entry[0] for entry in entries], np.uint64))),
            ("kind", "UInt8", native.fixed(np.array([entry[1] for entry in entries], np.uint8))),
            ("number", "UInt64", native.fixed(np.array([entry[2] for entry in entries], np.uint64))),
            ("text", "String", native.strings(pa.array([entry[3] for entry in entries], pa.string()))),
        )
        body = native.block(columns, len(entries))
        token = hashlib.sha256(body).hexdigest()
        self._store.insert("vocabulary", [column[0] for column in columns], body, token=token)

    def _add(self, entries: list[_Entry]) -> None:
        for client, kind, number, text in entries:
            if kind != SHAPE:
                self._names.setdefault((client, kind), set()).add(text)
                continue
            self._shapes[client] = self._shapes.get(client, 0) + 1
            self._add_shape(client, number, text.encode())

    def _add_shape(self, client: int, number: int, text: bytes) -> None:
        begin = int(self._text_at[self._count])
        if self._count + 2 > len(self._text_at):
            self._text_at = np.concatenate([self._text_at, np.zeros_like(self._text_at)])
        while begin + len(text) > len(self._texts):
            self._texts = np.concatenate([self._texts, np.zeros_like(self._texts)])
        if 2 * self._count >= len(self._keys):
            self._grow()
        self._texts[begin : begin + len(text)] = np.frombuffer(text, np.uint8)
        self._text_at[self._count + 1] = begin + len(text)
        key = np.uint64(number) ^ np.uint64(client * int(_ODD) & (1 << 64) - 1)
        _put(self._keys, self._values, key, np.int32(self._count))
        self._count += 1

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._keys = np.zeros(2 * len(keys), np.uint64)
        self._values = np.zeros(2 * len(keys), np.int32)
        for place in np.flatnonzero(keys).tolist():
            _put(self._keys, self._values, keys[place], values[place])


def _varies(client: U64) -> bool:
    return len(client) > 0 and bool((client != client[0]).any())


def _same(client: U64) -> tuple[U64, npt.NDArray[np.intp]]:
    return client[:1], np.zeros(len(client), np.intp)


def _name_number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _find(keys: U64, values: I32, wanted: U64) -> I32:
    """The value of each wanted key, -1 where there is none."""
    found = np.empty(len(wanted), np.int32)
    _find_all(keys, values, wanted, found)
    return found


@compiled
def _find_all(keys: Any, values: Any, wanted: Any, found: Any) -> None:
    mask = np.uint64(len(keys) - 1)
    for row in range(len(wanted)):
        key = wanted[row]
        found[row] = -1
        if key == _FREE:
            continue
        place = (key ^ (key >> np.uint64(31))) & mask
        while keys[place] != _FREE:
            if keys[place] == key:
                found[row] = values[place]
                break
            place = (place + np.uint64(1)) & mask


@compiled
def _put(keys: Any, values: Any, key: Any, value: Any) -> None:
    mask = np.uint64(len(keys) - 1)
    place = (key ^ (key >> np.uint64(31))) & mask
    while keys[place] != _FREE and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    keys[place] = key
    values[place] = value
