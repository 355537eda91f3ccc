"""The arithmetic of the log: a Merkle tree as in RFC 6962 section 2.1 (the same in RFC 9162). Pure.

`Fetch(level, index)` gives the hash of the complete subtree of 2**level leaves that starts at leaf
index·2**level; level 0 is a leaf's hash.
"""

import hashlib
from collections.abc import Callable, Sequence

Fetch = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 ‖ body)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed_by(seq: int, leaf: bytes, fetch: Fetch) -> list[tuple[int, int, bytes]]:
    """The inner nodes (level, index, hash) that leaf number `seq` completes, lowest first."""
    nodes = []
    level, index, current = 0, seq, leaf
    while index & 1:
        current = node_hash(fetch(level, index - 1), current)
        level, index = level + 1, index >> 1
        nodes.append((level, index, current))
    return nodes


def range_hash(low: int, high: int, fetch: Fetch) -> bytes:
    """The hash of the subtree over leaves low ≤ n < high; `low` is a multiple of the span's power of two."""
    span = high - low
    if span & (span - 1) == 0:
        level = span.bit_length() - 1
        return fetch(level, low >> level)
    split = low + _largest_power_below(span)
    return node_hash(range_hash(low, split, fetch), range_hash(split, high, fetch))


def root_hash(size: int, fetch: Fetch) -> bytes:
    """The root over the first `size` leaves."""
    return range_hash(0, size, fetch) if size else EMPTY_ROOT


def inclusion_proof(seq: int, size: int, fetch: Fetch) -> list[bytes]:
    """The audit path of leaf `seq` in the tree of `size` leaves, from the leaf upwards.

    Raises ValueError when the leaf is not in that tree.
    """
    if not 0 <= seq < size:
        raise ValueError(f"entry {seq} is not among the first {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        split = low + _largest_power_below(high - low)
        if seq < split:
            path.append(range_hash(split, high, fetch))
            high = split
        else:
            path.append(range_hash(low, split, fetch))
            low = split
    path.reverse()
    return path


def root_from_inclusion(seq: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that leaf and audit path lead to (RFC 9162 section 2.1.3.2).

    Raises ValueError when the path has not the length that seq and size ask for.
    """
    if not 0 <= seq < size:
        raise ValueError(f"entry {seq} is not among the first {size}")
    index, last, current = seq, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the audit path is too long")
        if index & 1 or index == last:
            current = node_hash(sibling, current)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise ValueError("the audit path is too short")
    return current


def consistency_proof(old: int, new: int, fetch: Fetch) -> list[bytes]:
    """The proof that the tree of `new` leaves begins with the tree of `old` (RFC 6962 section 2.1.2).

    Raises ValueError unless 0 < old ≤ new.
    """
    if not 0 < old <= new:
        raise ValueError(f"a log of {new} entries cannot begin with {old}")
    proof: list[bytes] = []
    low, high, whole = 0, new, True
    while old != high:
        split = low + _largest_power_below(high - low)
        if old <= split:
            proof.append(range_hash(split, high, fetch))
            high = split
        else:
            proof.append(range_hash(low, split, fetch))
            low, whole = split, False
    if not whole:
        proof.append(range_hash(low, high, fetch))
    proof.reverse()
    return proof


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that nothing was altered between two checkpoints (RFC 9162 section 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _largest_power_below(span: int) -> int:
    """The largest power of two that is smaller than `span` (≥ 2)."""
    return 1 << ((span - 1).bit_length() - 1)
