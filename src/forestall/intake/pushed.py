"""What outside programs push, in columns, before it is known which asset each record is about.

Made by a door or a listener from one body (OTLP, Loki, JSON lines, …), so that it is decoded once and its
sender hears what was wrong with which record; travels through the durable queue as the body of an envelope
of kind `pushed`; routed by `intake.decode`. Pure.
"""

import struct
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from forestall.kernel.columns import F64, I64, U8
from forestall.kernel.observations import Outcome

OUTCOMES_MAX = 5_000
ROWS_MAX = 200_000

_LENGTHS = struct.Struct("<III")
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class PushedLogs:
    """Log lines. `host` names the machine that a line is about ("" when nobody said); the rest is as in
    kernel.columns.LogColumns. Text columns are pyarrow strings or dictionaries of strings."""

    at_ms: I64
    severity: U8
    facility: U8
    host: pa.Array
    source: pa.Array
    message: pa.Array
    raw: pa.Array
    attrs: pa.Array

    def __len__(self) -> int:
        return len(self.at_ms)


@dataclass(frozen=True, slots=True)
class PushedSamples:
    """Numbers, all finite. `host` as in PushedLogs, the rest as in kernel.columns.SampleColumns."""

    host: pa.Array
    metric: pa.Array
    item: pa.Array
    at_ms: I64
    value: F64

    def __len__(self) -> int:
        return len(self.at_ms)


class PushedOutcome(Struct, frozen=True, array_like=True):
    """What an outside program found. `asset` is an asset's identifier, or "" when `host` names it."""

    outcome: Outcome
    host: str = ""
    asset: str = ""


_outcomes = msgspec.msgpack.Decoder(list[PushedOutcome])


@dataclass(frozen=True, slots=True)
class Pushed:
    """All of one body."""

    logs: PushedLogs
    samples: PushedSamples
    outcomes: tuple[PushedOutcome, ...] = ()

    def __len__(self) -> int:
        return len(self.logs) + len(self.samples) + len(self.outcomes)


def no_logs() -> PushedLogs:
    """No lines."""
    empty, text = np.zeros(0, np.uint8), pa.array([], pa.string())
    return PushedLogs(np.zeros(0, np.int64), empty, empty, text, text, text, text, text)


def no_samples() -> PushedSamples:
    """No samples."""
    text = pa.array([], pa.string())
    return PushedSamples(text, text, text, np.zeros(0, np.int64), np.zeros(0, np.float64))


def encode_pushed(pushed: Pushed) -> bytes:
    """As the body of an envelope. Raises ValueError for more than ROWS_MAX or OUTCOMES_MAX."""
    if max(len(pushed.logs), len(pushed.samples)) > ROWS_MAX or len(pushed.outcomes) > OUTCOMES_MAX:
        raise ValueError(f"one body has at most {ROWS_MAX} records: send smaller batches")
    parts = [
        _stream(pushed.logs, PushedLogs.__slots__),
        _stream(pushed.samples, PushedSamples.__slots__),
        _encoder.encode(list(pushed.outcomes)),
    ]
    return b"".join((_LENGTHS.pack(*map(len, parts)), *parts))


def decode_pushed(body: bytes) -> Pushed:
    """The columns of a body. Raises ValueError when it is not one."""
    if len(body) < _LENGTHS.size:
        raise ValueError("a body of pushed records is shorter than its head")
    lengths = _LENGTHS.unpack_from(body)
    if sum(lengths) + _LENGTHS.size != len(body):
        raise ValueError("a body of pushed records does not have the length that its head says")
    ends = np.cumsum([_LENGTHS.size, *lengths]).tolist()
    view = memoryview(body)
    try:
        logs = _columns(view[ends[0] : ends[1]], PushedLogs.__slots__)
        samples = _columns(view[ends[1] : ends[2]], PushedSamples.__slots__)
        outcomes = _outcomes.decode(view[ends[2] : ends[3]])
    except (pa.ArrowException, msgspec.MsgspecError, OSError, KeyError) as error:
        raise ValueError(f"not a body of pushed records: {error}") from error
    return Pushed(
        PushedLogs(**logs) if logs else no_logs(),
        PushedSamples(**samples) if samples else no_samples(),
        tuple(outcomes),
    )


def _stream(columns: PushedLogs | PushedSamples, names: tuple[str, ...]) -> bytes:
    if not len(columns):
        return b""
    batch = pa.record_batch({name: pa.array(getattr(columns, name)) for name in names})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


_NUMBERS = frozenset(("at_ms", "severity", "facility", "value"))


def _columns(part: memoryview, names: tuple[str, ...]) -> dict[str, Any]:
    if not len(part):
        return {}
    with pa.ipc.open_stream(part) as reader:
        batch = reader.read_next_batch()
    batch.validate()
    return {name: batch[name].to_numpy() if name in _NUMBERS else batch[name] for name in names}
