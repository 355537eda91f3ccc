"""What was seen becomes batches: each below the limits of the wire, log records first. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from forestall.kernel.backups import BackupReport
from forestall.kernel.observations import (
    BACKUPS_MAX,
    BATCH_MAX_BYTES,
    LogRecord,
    Observations,
    Outcome,
    Sample,
    Snapshot,
)

BYTES_MAX = BATCH_MAX_BYTES - (1 << 20)
ROWS_A_PART = 5_000  # below every list's limit on the wire
ROWS_OF = {"snapshots": 500, "backups": BACKUPS_MAX}
PARTS_MAX = 1_000
_PART_BYTES = 128  # field names and lengths of a part
_encoder = msgspec.msgpack.Encoder()

Piece = tuple[str, str, list[Any]]  # asset, field, rows


def pack(
    *,
    logs: Sequence[LogRecord],
    samples: Sequence[Sample],
    snapshots: Sequence[Snapshot],
    outcomes: Mapping[str, Sequence[Outcome]],
    backups: Mapping[str, Sequence[BackupReport]] = MappingProxyType({}),
    samples_of: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> list[list[Observations]]:
    """The observations of each batch, in order; none when there is nothing. `outcomes`, `backups` and
    `samples_of` by asset."""
    rows: list[tuple[str, str, Sequence[Any]]] = [
        ("", "logs", logs),
        ("", "samples", samples),
        ("", "snapshots", snapshots),
        *((asset, "outcomes", found) for asset, found in outcomes.items()),
        *((asset, "samples", found) for asset, found in samples_of.items()),
        *((asset, "backups", found) for asset, found in backups.items()),
    ]
    batches: list[list[Observations]] = []
    parts: list[Observations] = []
    used = 0
    for asset, field, piece, size in _pieces(rows):
        if parts and (used + size > BYTES_MAX or len(parts) >= PARTS_MAX):
            batches.append(parts)
            parts, used = [], 0
        parts.append(Observations(asset=asset, **{field: piece}))
        used += size
    return [*batches, parts] if parts else batches


def _pieces(rows: Sequence[tuple[str, str, Sequence[Any]]]) -> Iterator[tuple[str, str, list[Any], int]]:
    """Rows of one asset and kind, few enough for a part, and their size in bytes."""
    for asset, field, found in rows:
        piece: list[Any] = []
        used = _PART_BYTES
        limit = ROWS_OF.get(field, ROWS_A_PART)
        for row in found:
            size = len(_encoder.encode(row))
            if piece and (used + size > BYTES_MAX // 4 or len(piece) >= limit):
                yield asset, field, piece, used
                piece, used = [], _PART_BYTES
            piece.append(row)
            used += size
        if piece:
            yield asset, field, piece, used
