"""From frames of the durable queue to routed columns. Pure: the same in gives the same out.

Nothing that came in stops the rest: a frame, a record or a sender that cannot be used becomes a Rejection,
what is about nobody who is known a Stray. One file for each kind of frame: `decode_syslog`, `decode_batch`,
`decode_pushed`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from forestall.intake.decode_batch import Batches
from forestall.intake.decode_pushed import PushedRecords
from forestall.intake.decode_rows import LogRows, SampleRows
from forestall.intake.decode_syslog import SyslogLines
from forestall.intake.decoded import (
    QUARANTINE,
    Decoded,
    DecodeState,
    Held,
    PlacedBackup,
    PlacedOutcome,
    PlacedSnapshot,
    Stray,
    Work,
)
from forestall.intake.envelope import Envelope, Only, decode_envelope, unpack_lines
from forestall.intake.route import Directory
from forestall.intake.segments import Position
from forestall.intake.values import RAW_MAX_BYTES
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.errors import Rejected
from forestall.kernel.observations import BATCH_MAX_BYTES

__all__ = [
    "DecodeState", "Decoded", "PlacedBackup", "PlacedOutcome", "PlacedSnapshot", "Stray", "decode",
    "join_logs", "join_samples", "weigh",
]  # fmt: skip

NOTHING_HELD: Held = {}
WORDS = pa.dictionary(pa.int32(), pa.string())


def decode(
    frames: Sequence[tuple[Position, bytes]],
    directory: Directory,
    state: DecodeState,
    held: Held = NOTHING_HELD,
    side: Only = "",
) -> Decoded:
    """The frames, decoded and routed. `held`: what went into quarantine when it was decoded before stays
    there. `side`: for which side of the pump; what is for the other alone is left out. Raises nothing for any
    bytes."""
    work = Work(directory, dict(state.last_batch), held=held)
    samples, logs = SampleRows(), LogRows()
    syslog = SyslogLines(directory)
    batches, pushed = Batches(work, samples, logs), PushedRecords(work, samples, logs)
    for position, frame in frames:
        try:
            envelope = decode_envelope(frame)
        except ValueError as error:
            work.reject("queue", "", str(error), 0, frame)
            continue
        work.position, work.replayed = position, bool(envelope.only)
        work.received_at_ms = max(work.received_at_ms, envelope.received_at_ms)
        if envelope.again and not _is_next(work, envelope.again):
            continue
        if envelope.only:
            work.sided = True
            if envelope.only != side:
                continue
        if envelope.kind == "syslog":
            _take_syslog(work, syslog, envelope, frame)
        elif envelope.kind == "pushed":
            pushed.take(envelope)
        else:
            batches.take(envelope)
    return Decoded(
        join_samples([samples.columns(), *pushed.sample_parts]),
        join_logs([syslog.columns(), logs.columns(), *pushed.log_parts]),
        work.snapshots,
        work.outcomes,
        work.rejected,
        work.last_seen,
        work.repeated_count,
        frozenset(work.strangers),
        work.received_at_ms,
        DecodeState(work.last_batch),
        work.strays,
        work.sided,
        work.backups,
    )


def _is_next(work: Work, number: int) -> bool:
    """Whether a frame that is fed again was not taken yet."""
    if number <= work.last_batch.get(QUARANTINE, 0):
        work.repeated_count += 1
        return False
    work.last_batch[QUARANTINE] = number
    return True


def _take_syslog(work: Work, syslog: SyslogLines, envelope: Envelope, frame: bytes) -> None:
    """The lines of a known sender are parsed; those of another wait."""
    peer, at_ms = envelope.peer, envelope.received_at_ms
    place = work.directory.place_of_sender(peer, envelope.names)
    sender = envelope.names[0] if envelope.names else peer  # others may send from that address too
    try:
        if isinstance(place, Rejected) or work.is_held("", sender):
            offsets, lines = unpack_lines(envelope.body)
            if isinstance(place, Rejected) and not work.is_held("", sender) and len(offsets) > 1:
                first = bytes(lines[: min(int(offsets[1]), RAW_MAX_BYTES)]).decode(errors="replace")
                work.stray(
                    "syslog",
                    sender,
                    place.reason,
                    client="",
                    at_ms=at_ms,
                    count=len(offsets) - 1,
                    frame=frame,
                    example=first,
                )
        else:
            syslog.take(envelope.body, place, at_ms)
    except ValueError as error:
        work.reject("syslog", peer, str(error), at_ms, envelope.body)


def weigh(frame: bytes) -> int:
    """About how many bytes a frame has when it is decompressed; what cannot be told counts as the most."""
    try:
        envelope = decode_envelope(frame)
    except ValueError:
        return len(frame)
    if envelope.kind != "observations":
        return len(envelope.body)
    try:
        size = zstandard.frame_content_size(envelope.body)
    except zstandard.ZstdError:
        return len(envelope.body)
    return min(size, BATCH_MAX_BYTES) if size >= 0 else BATCH_MAX_BYTES


def join_logs(parts: Sequence[LogColumns]) -> LogColumns:
    """Log columns one after the other; texts stay dictionaries where a part has them."""
    kept = [part for part in parts if len(part)]
    if len(kept) == 1:
        return kept[0]
    kept = kept or list(parts[:1])
    numbers = ("client", "asset", "at_ms", "received_at_ms", "severity", "facility")
    texts = ("source", "host", "message", "raw", "attrs")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in kept]) for name in numbers
    }
    joined |= {name: _join_words([getattr(part, name) for part in kept]) for name in texts}
    joined["form"] = _join_forms([(part.form, len(part)) for part in kept], np.int32)
    joined["rest"] = _join_forms([(part.rest, len(part)) for part in kept], np.uint32)
    return LogColumns(**joined)


def _join_forms(
    parts: Sequence[tuple[npt.NDArray[Any] | None, int]], kind: type[Any]
) -> npt.NDArray[Any] | None:
    """None stands for zeros."""
    if all(part is None for part, _ in parts):
        return None
    return np.concatenate([np.zeros(count, kind) if part is None else part for part, count in parts])


def join_samples(parts: Sequence[SampleColumns]) -> SampleColumns:
    """Sample columns one after the other; names stay dictionaries where a part has them."""
    kept = [part for part in parts if len(part)]
    if len(kept) == 1:
        return kept[0]
    kept = kept or list(parts[:1])
    return SampleColumns(
        np.concatenate([part.client for part in kept]),
        np.concatenate([part.asset for part in kept]),
        _join_words([part.metric for part in kept]),
        _join_words([part.item for part in kept]),
        np.concatenate([part.at_ms for part in kept]),
        np.concatenate([part.value for part in kept]),
    )


def _join_words(parts: list[pa.Array]) -> pa.Array:
    if not any(isinstance(part, pa.DictionaryArray) for part in parts):
        return pa.concat_arrays(parts)
    coded = [
        (part if isinstance(part, pa.DictionaryArray) else part.dictionary_encode()).cast(WORDS)
        for part in parts
    ]
    return pa.chunked_array(coded).unify_dictionaries().combine_chunks()
