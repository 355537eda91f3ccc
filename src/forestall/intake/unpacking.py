"""Bodies as they came over HTTP, unpacked with bounded memory: a bomb is refused before it is unpacked.

Source: RFC 9110 section 8.4.1 (gzip, deflate), RFC 8878 (zstd), RFC 1950, 1951 and 1952;
github.com/google/snappy, format_description.txt (the block format, as Prometheus and Loki send it).
"""

import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import zstandard

from forestall.intake.doors import DoorAnswer, DoorRequest, refuse

RATIO_MAX = 200
SMALL_BYTES = 1 << 20  # up to here the ratio does not count: a few lines of zeros are no attack
ZLIB_PIECE_BYTES = 4 << 10  # unpacks to 4 MiB at most: deflate's ratio ends at 1032
ZSTD_PIECE_BYTES = 256  # unpacks to 8 MiB at most: a block of 4 bytes stands for 128 KiB at most
MEMBERS_MAX = 1_000  # gzip files and zstd frames may follow each other in one body
WINDOW_MAX_BYTES = 8 << 20
ENCODINGS = ("identity", "gzip", "deflate", "zstd")

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class Unusable(ValueError):
    """A body that cannot be used: `status` of the answer, what is wrong, and what to do."""

    def __init__(self, status: int, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.status = status
        self.remedy = remedy

    def answer(self) -> DoorAnswer:
        """What the sender is told."""
        return refuse(self.status, str(self), self.remedy)


def unpack(request: DoorRequest, *, most: int, ratio_max: int = RATIO_MAX) -> bytes:
    """The body without its Content-Encoding, at most `most` bytes. For a worker thread (`gate.aside`).

    Raises Unusable: 415 for an encoding that nobody knows here, 413 for what unpacks to more than `most` or
    to more than `ratio_max` times its size, 400 for what is damaged.
    """
    named = [part.strip().lower() for part in request.headers.get("content-encoding", "").split(",")]
    encodings = [name for name in named if name and name != "identity"]
    if len(encodings) > 1:
        raise Unusable(415, "a body is packed once at most", "Send one Content-Encoding.")
    body = request.body
    most = _bound(body, most, ratio_max)
    try:
        match encodings[0] if encodings else "identity":
            case "identity":
                pass
            case "gzip" | "x-gzip":
                body = _inflate(body, _GZIP, most)
            case "deflate":
                body = _inflate(body, zlib.MAX_WBITS if _is_zlib(body) else _RAW, most)
            case "zstd":
                body = _unzstd(body, most)
            case other:
                raise Unusable(
                    415, f"nobody knows the encoding {other[:40]!r} here", f"Send {', '.join(ENCODINGS)}."
                )
    except (zlib.error, zstandard.ZstdError) as error:
        raise Unusable(400, f"the body is not {encodings[0]}: {error}", "Send it again, whole.") from error
    if len(body) > most:
        raise _too_large(most)
    return body


def unpack_snappy(body: bytes, *, most: int, ratio_max: int = RATIO_MAX) -> bytes:
    """A body in snappy's block format, at most `most` bytes. Raises Unusable."""
    most = _bound(body, most, ratio_max)
    remedy = "Send snappy's block format, whole; the framing format is another."
    try:
        told = cramjam.snappy.decompress_raw_len(body)
        if told > most:
            raise _too_large(most)
        unpacked = bytearray(told)
        written = cramjam.snappy.decompress_raw_into(body, unpacked)
    except cramjam.DecompressionError as error:
        raise Unusable(400, f"the body is not snappy: {error}", remedy) from error
    if written != told:
        raise Unusable(400, "the body is not snappy: it does not have the length that it says", remedy)
    return bytes(unpacked)


def _bound(body: bytes, most: int, ratio_max: int) -> int:
    """How many bytes this body may have when it is unpacked."""
    return min(most, max(SMALL_BYTES, len(body) * ratio_max))


def _too_large(most: int) -> Unusable:
    return Unusable(
        413, f"the body unpacks to more than the {most} bytes that it may have", "Send smaller batches."
    )


def _is_zlib(body: bytes) -> bool:
    """Whether it has a zlib head; some senders call bare deflate `deflate` too (RFC 9110 section 8.4.1.2)."""
    return len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflate(body: bytes, kind: int, most: int) -> bytes:
    return _join_members(body, lambda: zlib.decompressobj(kind), ZLIB_PIECE_BYTES, most)


def _unzstd(body: bytes, most: int) -> bytes:
    if zstandard.frame_content_size(body) > most:
        raise _too_large(most)
    made = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES)
    return _join_members(body, made.decompressobj, ZSTD_PIECE_BYTES, most)


def _join_members(body: bytes, make: Callable[[], Any], piece_bytes: int, most: int) -> bytes:
    """All members of a body, one after the other; the body is handed to each in pieces, and what one piece
    unpacks to is bounded by the format."""
    view, at, size = memoryview(body), 0, 0
    parts: list[bytes] = []
    for _ in range(MEMBERS_MAX):
        unpacker = make()
        while not unpacker.eof:
            if at >= len(body):
                raise Unusable(400, "the packed body ends in the middle", "Send it again, whole.")
            part = unpacker.decompress(view[at : at + piece_bytes])
            at = min(len(body), at + piece_bytes)
            size += len(part)
            if size > most:
                raise _too_large(most)
            parts.append(part)
        at -= len(unpacker.unused_data)
        if at >= len(body):
            return b"".join(parts)
    raise Unusable(400, f"the body is made of more than {MEMBERS_MAX} packed ones", "Pack it as one.")
