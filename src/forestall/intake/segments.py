"""The files of a durable queue: segments of frames, and the mark up to which they are on the disk.

A queue directory holds
    <16 hex digits>.segment   MAGIC, then frames: sync word, length, CRC of the head, CRC of the payload
                              (little-endian u32 each), payload
    durable                   the mark: segment, offset, CRC-32C
    lock                      held by the one writer

The CRC of the head covers segment number and offset too, so that bytes of another place, zeros, or a payload
that imitates a frame are never taken for one. Positions are never used twice: a writer that opens a directory
starts a new segment.

Source: CRC-32C (Castagnoli), RFC 3720 section 12.1.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

FRAME_MAX_BYTES = 16 << 20
HEAD = struct.Struct("<4sIII")
SYNC = b"\xf0FQ\x1a"
MAGIC = b"forestall queue1"
SUFFIX = ".segment"
MARK = "durable"

_PLACE = struct.Struct("<QQI")
_MARKED = struct.Struct("<QQI")


class Position(NamedTuple):
    """The end of a frame; positions sort in the order of writing. (0, 0) is before everything."""

    segment: int
    offset: int

    def __str__(self) -> str:
        return f"{self.segment:x}.{self.offset}"


START = Position(0, 0)


def head_checksum(segment: int, offset: int, length: int) -> int:
    """The CRC-32C of what a head says, and of the place where it stands."""
    return int(crc32c(_PLACE.pack(segment, offset, length)))


def frame_head(segment: int, offset: int, payload: bytes) -> bytes:
    """What stands before a payload that starts a frame at `offset`."""
    length = len(payload)
    return HEAD.pack(SYNC, length, head_checksum(segment, offset, length), crc32c(payload))


def segment_path(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / f"{number:016x}{SUFFIX}"


def list_segments(directory: Path) -> list[int]:
    """The numbers of the segments that exist, ascending."""
    numbers = []
    for entry in os.scandir(directory):
        name = entry.name
        if name.endswith(SUFFIX) and len(name) == 16 + len(SUFFIX):
            numbers.append(int(name[:16], 16))
    return sorted(numbers)


def size_of(directory: Path) -> int:
    """The bytes of all segments. A segment that is trimmed meanwhile counts nothing."""
    total = 0
    for entry in os.scandir(directory):
        if entry.name.endswith(SUFFIX):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue
    return total


def write_mark(descriptor: int, position: Position) -> None:
    """Publish that everything up to `position` is on the disk. Not synced itself: a mark that lies too low
    after a power cut is corrected by the writer that opens the queue."""
    body = struct.pack("<QQ", *position)
    os.pwrite(descriptor, body + struct.pack("<I", crc32c(body)), 0)


def read_mark(directory: Path) -> Position:
    """The mark; START when there is none yet, or while it is being rewritten."""
    try:
        data = (directory / MARK).read_bytes()
    except FileNotFoundError:
        return START
    if len(data) != _MARKED.size:
        return START
    segment, offset, crc = _MARKED.unpack(data)
    return Position(segment, offset) if crc == crc32c(data[:16]) else START


class Damage(NamedTuple):
    """Bytes of a segment that are not frames although the queue went on after them."""

    segment: int
    offset: int
    skipped_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.skipped_bytes} damaged bytes were skipped in segment {self.segment:016x} "
            f"at {self.offset}; check the disk"
        )


def length_at(data: memoryview, at: int, *, segment: int, base: int) -> int | None:
    """The length of the payload whose head is at `at` of data, or None when no valid head is there.

    The head has a checksum of its own, so that a payload full of imitated heads costs nothing to pass over.
    """
    if at + HEAD.size > len(data):
        return None
    sync, length, head_crc, _ = HEAD.unpack_from(data, at)
    if sync != SYNC or length > FRAME_MAX_BYTES:
        return None
    return length if head_crc == head_checksum(segment, base + at, length) else None


def payload_at(data: memoryview, at: int, *, segment: int, base: int) -> memoryview | None:
    """The payload of the frame that starts at `at` of data, or None when there is no complete valid one."""
    length = length_at(data, at, segment=segment, base=base)
    if length is None or at + HEAD.size + length > len(data):
        return None
    payload = data[at + HEAD.size : at + HEAD.size + length]
    return payload if HEAD.unpack_from(data, at)[3] == crc32c(payload) else None


def find_frame(data: memoryview, at: int, *, segment: int, base: int) -> int | None:
    """Where the next valid frame starts, at `at` or later."""
    whole = bytes(data)
    while (at := whole.find(SYNC, at)) >= 0:
        if payload_at(data, at, segment=segment, base=base) is not None:
            return at
        at += 1
    return None


def walk(data: memoryview, *, segment: int, base: int) -> Iterator[tuple[int, memoryview] | Damage]:
    """The frames in `data`, which starts at `base` of a segment: (offset of its end, payload) each, and a
    Damage for every stretch that is followed by a valid frame again. Stops where no valid frame follows:
    at a torn tail, or where what was read cuts a frame in two."""
    at = 0
    while at < len(data):
        payload = payload_at(data, at, segment=segment, base=base)
        if payload is not None:
            at += HEAD.size + len(payload)
            yield base + at, payload
            continue
        length = length_at(data, at, segment=segment, base=base)
        if length is not None and at + HEAD.size + length > len(data):
            return
        found = find_frame(data, at + 1, segment=segment, base=base)
        if found is None:
            return
        yield Damage(segment, base + at, found - at)
        at = found
