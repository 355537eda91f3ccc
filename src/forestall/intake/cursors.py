"""Where the consumers of the queues are, durable and whole: a file is replaced at once or not at all."""

import os
from pathlib import Path

import msgspec
from crc32c import crc32c

from forestall.intake.decode import DecodeState
from forestall.intake.segments import START, Position
from forestall.kernel.durable import sync_directory

_CRC_BYTES = 4


class QueuePlace(msgspec.Struct, frozen=True):
    """How far a consumer is in one queue, and the decoding state there. `intended` is the end of the range
    that is being handed over: after a crash exactly the same range is handed over again."""

    segment: int = 0
    offset: int = 0
    state: DecodeState = DecodeState()
    intended: tuple[int, int] | None = None

    @property
    def at(self) -> Position:
        """The end of what is done."""
        return Position(self.segment, self.offset)

    @property
    def until(self) -> Position | None:
        """The end of what is being handed over."""
        return Position(*self.intended) if self.intended else None


class Checkpoint(msgspec.Struct, frozen=True):
    """All that a consumer needs to go on: its places in the queues, and its own state as of there."""

    places: dict[str, QueuePlace] = {}
    state: bytes = b""


BEGINNING = QueuePlace(*START)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file; durable when this returns. Raises OSError."""
    body = _encoder.encode(checkpoint)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(body + crc32c(body).to_bytes(_CRC_BYTES, "little"))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint; None when there is none, or when it is damaged (then everything still in the queues is
    read again)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if crc32c(body).to_bytes(_CRC_BYTES, "little") != crc:
        return None
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None
