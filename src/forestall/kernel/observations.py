"""What anything observes, and the batch in which it travels from a collector to the intake.

These are the wire types (msgpack, field order matters not, unknown fields are ignored), so decoding
validates: types, lengths and counts have limits. Times are milliseconds since 1970 UTC.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

BATCH_MAX_BYTES = 8 << 20
TEXT_MAX_BYTES = 4 << 20
ANSWER_MAX_CHARS = 4096
OUTCOME_SNAPSHOTS_MAX = 50

Name = Annotated[str, Meta(max_length=128)]
Item = Annotated[str, Meta(max_length=256)]
Milliseconds = Annotated[int, Meta(ge=0, lt=1 << 53)]


class Sample(Struct, frozen=True, array_like=True):
    """A number: `metric` (dotted, unit last: `disk.used_bytes`) of one `item` (mount, interface, or "")."""

    at_ms: Milliseconds
    metric: Name
    item: Item
    value: float


class LogRecord(Struct, frozen=True):
    """A line of a log. `severity` (0 to 7) and `facility` as in RFC 5424; `source` is the program."""

    at_ms: Milliseconds
    severity: Annotated[int, Meta(ge=0, le=7)]
    source: Name
    message: Annotated[str, Meta(max_length=262_144)]
    facility: Annotated[int, Meta(ge=0, le=23)] = 1
    attrs: dict[str, str] = {}


class Snapshot(Struct, frozen=True):
    """Configuration text of one `kind` (`sshd_config`, `packages`, …), secrets already masked.

    `problem` non-empty means that the capture was refused or cut short: a finding, never a version.
    """

    at_ms: Milliseconds
    kind: Name
    text: Annotated[str, Meta(max_length=TEXT_MAX_BYTES)]
    title: Name = ""
    problem: Annotated[str, Meta(max_length=1024)] = ""
    signed_in: list[str] = []


class Outcome(Struct, frozen=True):
    """What one run of a probe found.

    `ok` is whether the probe's own expectation held; `reason` says why not (or what was seen) in words;
    `answer` is the raw answer, cut to ANSWER_MAX_CHARS, which evidence keeps; `snapshots` are configurations
    that the probe took, of the asset that it asks.
    """

    at_ms: Milliseconds
    probe: Name
    kind: Name
    target: Annotated[str, Meta(max_length=512)]
    ok: bool
    reason: Annotated[str, Meta(max_length=1024)]
    took_ms: float
    answer: Annotated[str, Meta(max_length=ANSWER_MAX_CHARS)] = ""
    samples: list[Sample] = []
    snapshots: Annotated[list[Snapshot], Meta(max_length=OUTCOME_SNAPSHOTS_MAX)] = []


class Observations(Struct, frozen=True):
    """All that was observed of one asset in one sending.

    `asset` is the asset's identifier, or "" for the collector's own machine.
    """

    asset: Annotated[str, Meta(max_length=13)] = ""
    samples: Annotated[list[Sample], Meta(max_length=50_000)] = []
    logs: Annotated[list[LogRecord], Meta(max_length=20_000)] = []
    snapshots: Annotated[list[Snapshot], Meta(max_length=500)] = []
    outcomes: Annotated[list[Outcome], Meta(max_length=5_000)] = []


class Batch(Struct, frozen=True):
    """One sending of a collector. `number` starts from the clock, grows with every batch of that collector
    and may jump (a restart leaves some out): a batch that comes twice (the acknowledgement was lost) is taken
    once, and a gap means nothing."""

    number: Annotated[int, Meta(ge=1, lt=1 << 53)]
    sent_at_ms: Milliseconds
    observations: Annotated[list[Observations], Meta(max_length=2_000)]
    dropped: Annotated[int, Meta(ge=0)] = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """The batch as msgpack."""
    return _encoder.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """The batch of a msgpack body. Raises ValueError that names the field when it is not one."""
    if len(data) > BATCH_MAX_BYTES:
        raise ValueError(f"a batch has at most {BATCH_MAX_BYTES} bytes, this one {len(data)}")
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a batch of observations: {error}") from error
