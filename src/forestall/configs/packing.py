"""How a text is packed with an older one of its own as dictionary, and which older one that is. Pure.

Contents of one configuration stand in runs of RUN. The first of a run stands for itself; the one at place n
is packed against the one at place n & (n - 1) (its lowest bit cleared), as skip-deltas are. So a text is never
more than BASES_MOST bases away from one that stands for itself, and half of all texts differ from their base
by one change only. Figures: docs/decisions/0013-configurations.md.
"""

import hashlib

import zstandard

LEVEL = 9
RUN = 64
BASES_MOST = 6  # bits of RUN - 1
WORTH_SHARE = 2  # packed against a base it must take less than its run's first one divided by this


def digest_of(data: bytes) -> bytes:
    """The SHA-256 of a text, 32 bytes."""
    return hashlib.sha256(data).digest()


def base_place(place: int) -> int:
    """The place of the text that the one at `place` (1 to RUN - 1) is packed against."""
    return place & (place - 1)


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
