"""A hash table of series in numpy: whole batches of keys are looked up at once, new keys one by one."""

import numpy as np
import numpy.typing as npt

from forestall.kernel.columns import U64

I32 = npt.NDArray[np.int32]
SERIES_MAX = 4_000_000
_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(29)
_ALL = (1 << 64) - 1


def grown(array: npt.NDArray[np.generic], size: int, fill: object) -> npt.NDArray[np.generic]:
    """The array with room for at least `size` rows (doubling), the new ones set to `fill`."""
    if len(array) >= size:
        return array
    shape = (max(size, 2 * len(array), 1024), *array.shape[1:])
    larger = np.full(shape, fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


class SeriesTable:
    """Pairs (asset, key) of unsigned 64-bit numbers to consecutive series numbers; open addressing."""

    def __init__(self) -> None:
        self.count = 0
        self.asset: U64 = np.zeros(1024, np.uint64)
        self.key: U64 = np.zeros(1024, np.uint64)
        self._slots: I32 = np.full(4096, -1, np.int32)

    def _place(self, asset: U64, key: U64) -> npt.NDArray[np.int64]:
        mixed = (asset * _FIRST) ^ (key * _SECOND)
        mixed ^= mixed >> _SHIFT
        mixed *= _FIRST
        mixed ^= mixed >> np.uint64(32)
        return (mixed & np.uint64(len(self._slots) - 1)).astype(np.int64)

    def find(self, asset: U64, key: U64) -> I32:
        """The series numbers of the pairs, -1 for those not in the table. Shapes: all (n,)."""
        mask = len(self._slots) - 1
        place = self._place(asset, key)
        found: I32 = self._slots[place]
        wrong = np.flatnonzero((found >= 0) & ((self.asset[found] != asset) | (self.key[found] != key)))
        while len(wrong):
            place[wrong] = (place[wrong] + 1) & mask
            candidates = self._slots[place[wrong]]
            found[wrong] = candidates
            differs = (self.asset[candidates] != asset[wrong]) | (self.key[candidates] != key[wrong])
            wrong = wrong[(candidates >= 0) & differs]
        return found

    def add(self, asset: int, key: int) -> int:
        """A new series for a pair that is not in the table yet."""
        if 2 * (self.count + 1) > len(self._slots):
            self._rehash(4 * len(self._slots))
        self.asset = grown(self.asset, self.count + 1, 0).astype(np.uint64, copy=False)
        self.key = grown(self.key, self.count + 1, 0).astype(np.uint64, copy=False)
        number = self.count
        self.asset[number] = asset
        self.key[number] = key
        self.count += 1
        mask, place = len(self._slots) - 1, self._place_of(asset, key)
        while self._slots[place] >= 0:
            place = (place + 1) & mask
        self._slots[place] = number
        return number

    def _place_of(self, asset: int, key: int) -> int:
        """As `_place`, for one pair."""
        mixed = ((asset * int(_FIRST)) ^ (key * int(_SECOND))) & _ALL
        mixed ^= mixed >> int(_SHIFT)
        mixed = (mixed * int(_FIRST)) & _ALL
        mixed ^= mixed >> 32
        return mixed & (len(self._slots) - 1)

    def _insert(self, numbers: I32) -> None:
        mask = len(self._slots) - 1
        for number, start in zip(
            numbers.tolist(), self._place(self.asset[numbers], self.key[numbers]).tolist(), strict=True
        ):
            place = start
            while self._slots[place] >= 0:
                place = (place + 1) & mask
            self._slots[place] = number

    def _rehash(self, size: int) -> None:
        self._slots = np.full(size, -1, np.int32)
        self._insert(np.arange(self.count, dtype=np.int32))
