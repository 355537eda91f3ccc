"""How a text is packed with an older one of its own as dictionary, and which older one that is. Pure.

Contents of one configuration stand in runs of RUN. The first of a run stands for itself; every other is
packed against the one whose place is its own without the lowest octal digit that is not 0: 13 (octal 15)
against 8, 8 against 0. So no text is more than BASES_MOST bases away from one that stands for itself, and
most differ from their base by a few changes. Figures: docs/decisions/0013-configurations.md.
"""

import hashlib

import zstandard

LEVEL = 9
RUN = 64
DIGIT_BITS = 3
BASES_MOST = 2  # octal digits of RUN - 1
WORTH_SHARE = 2  # packed against a base it must take less than its run's first one divided by this


def digest_of(data: bytes) -> bytes:
    """The SHA-256 of a text, 32 bytes."""
    return hashlib.sha256(data).digest()


def base_place(place: int) -> int:
    """The place of the text that the one at `place` (1 to RUN - 1) is packed against."""
    digit = (1 << DIGIT_BITS) - 1
    while not place & digit:
        digit <<= DIGIT_BITS
    return place & ~digit


def pack(data: bytes, base: bytes = b"") -> bytes:
    """The text, compressed; with `base` as dictionary when there is one."""
    settings = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(data), dict_size=len(base), write_content_size=False
    )
    compressor = zstandard.ZstdCompressor(compression_params=settings, dict_data=_dictionary(base))
    return compressor.compress(data)


def unpack(packed: bytes, *, size_bytes: int, base: bytes = b"") -> bytes:
    """The text again. Raises zstandard.ZstdError when the bytes are damaged or the base is another one."""
    if not size_bytes:
        return b""
    decompressor = zstandard.ZstdDecompressor(dict_data=_dictionary(base)) if base else _PLAIN
    data: bytes = decompressor.decompress(packed, max_output_size=size_bytes)
    return data


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None


_PLAIN = zstandard.ZstdDecompressor()
