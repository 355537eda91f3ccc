"""What one frame of the durable queue holds: who sent what, when, and the bytes as they came.

Written by the doors and the listeners (`intake.doors`, `collect.listeners`), read by `intake.decode`.
Decoding happens after the acknowledgement, so a body is kept as received: a mistake in decoding costs
nothing that was acknowledged.
"""

import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from forestall.collect.parsers.syslog_framing import Packed

BODY_MAX_BYTES = 8 << 20
LINES_MAX = 65_536

_COUNT = struct.Struct("<I")

Kind = Literal["observations", "syslog", "pushed"]
Only = Literal["", "judge", "store"]


class Envelope(Struct, frozen=True, array_like=True):
    """One frame.

    `observations`: `client` and `collector` are set by the door that checked the key; `body` is a zstd
    compressed msgpack `kernel.observations.Batch`.
    `syslog`: `peer` is the sender's address, `transport` is `udp`, `tcp`, `tls` or `relp`; `names` are those
    that its certificate proves; `body` is `pack_lines`.
    `pushed`: `client` is the token's, `asset` the asset that the token stands for ("": none); `transport` is
    the door; `body` is `intake.pushed.encode_pushed`. A listener that knows its sender by address alone
    leaves `client` empty.
    `again`: not 0 when the frame waited in quarantine or was set aside; the number of its being fed again.
    One that comes twice is taken once. `only`: the side of the pump that it is for, when the other took it.
    `push`: which part of which pushed body it is (`intake.repeats`), b"" when a copy could not be told.
    """

    kind: Kind
    received_at_ms: Annotated[int, Meta(ge=0, lt=1 << 47)]
    client: Annotated[str, Meta(max_length=13)]
    collector: Annotated[str, Meta(max_length=13)]
    peer: Annotated[str, Meta(max_length=64)]
    body: bytes
    transport: Annotated[str, Meta(max_length=32)] = ""
    asset: Annotated[str, Meta(max_length=13)] = ""
    again: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0
    names: Annotated[tuple[Annotated[str, Meta(max_length=253)], ...], Meta(max_length=8)] = ()
    only: Only = ""
    push: Annotated[bytes, Meta(max_length=32)] = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """The frame. Raises ValueError when the body is larger than BODY_MAX_BYTES."""
    if len(envelope.body) > BODY_MAX_BYTES:
        raise ValueError(f"a body has at most {BODY_MAX_BYTES} bytes, this one {len(envelope.body)}")
    return _encoder.encode(envelope)


def decode_envelope(frame: bytes) -> Envelope:
    """The envelope of a frame. Raises ValueError that names the field when it is not one."""
    try:
        return _decoder.decode(frame)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an envelope: {error}") from error


def pack_lines(lines: Sequence[bytes]) -> bytes:
    """Many syslog messages as one body: u32 count, then u32 lengths, then the bytes (all little-endian). A
    message may still have the newline that ended it.

    Raises ValueError for more than LINES_MAX.
    """
    if len(lines) > LINES_MAX:
        raise ValueError(f"a body has at most {LINES_MAX} lines, this one {len(lines)}")
    if isinstance(lines, Packed):
        return b"".join((_COUNT.pack(len(lines)), lines.lengths.astype("<u4").tobytes(), lines.data))
    lengths = np.fromiter(map(len, lines), dtype="<u4", count=len(lines))
    return b"".join((_COUNT.pack(len(lines)), lengths.tobytes(), *lines))


def unpack_lines(body: bytes) -> tuple[npt.NDArray[np.int64], memoryview]:
    """The lines of a `syslog` body, uncopied: n + 1 offsets, and the buffer that they point into.

    Raises ValueError when the lengths do not add up to the body.
    """
    if len(body) < _COUNT.size:
        raise ValueError("a syslog body is shorter than its count")
    (count,) = _COUNT.unpack_from(body)
    start = _COUNT.size + 4 * count
    if count > LINES_MAX or len(body) < start:
        raise ValueError(f"a syslog body says {count} lines and has {len(body)} bytes")
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.frombuffer(body, "<u4", count=count, offset=_COUNT.size), out=offsets[1:])
    if offsets[-1] != len(body) - start:
        raise ValueError(f"the lines of a syslog body add up to {offsets[-1]} bytes, not {len(body) - start}")
    return offsets, memoryview(body)[start:]
