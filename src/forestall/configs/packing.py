"""How a text is packed with an older one of its own as dictionary, and which older one that is. Pure.

Contents of one configuration stand in runs of RUN. The first of a run stands for itself; every other is
packed against the one whose place is its own without the lowest octal digit that is not 0: 13 (octal 15)
against 8, 8 against 0. So no text is more than BASES_MOST bases away from one that stands for itself, and
most differ from their base by a few changes. Figures: docs/decisions/0013-configurations.md.
"""

import hashlib
from collections.abc import Sequence

import zstandard

from forestall.kernel.observations import TEXT_MAX_BYTES

LEVEL = 9
RUN = 64
DIGIT_BITS = 3
BASES_MOST = 2  # octal digits of RUN - 1
SIZE_MAX_BYTES = 4 * TEXT_MAX_BYTES  # of so many letters
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
        LEVEL, source_size=len(data), dict_size=len(base), write_content_size=True
    )
    dictionary = (
        zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    )
    return zstandard.ZstdCompressor(compression_params=settings, dict_data=dictionary).compress(data)


def unpack(chain: Sequence[bytes], *, size_bytes: int) -> bytes:
    """The text of the last of a chain of packed texts: the first stands for itself, each other was packed
    against the one before it. None of them but the last is the empty text.

    Raises zstandard.ZstdError when the bytes are damaged or do not belong together.
    """
    if not size_bytes:
        return b""
    for packed in chain:
        if not 0 < zstandard.frame_content_size(packed) <= SIZE_MAX_BYTES:
            raise zstandard.ZstdError("the size of a packed text is not what it can be")
    if len(chain) == 1:
        data: bytes = _PLAIN.decompress(chain[0])
    else:
        data = _PLAIN.decompress_content_dict_chain(list(chain))
    if len(data) != size_bytes:
        raise zstandard.ZstdError(f"{len(data)} bytes came instead of {size_bytes}")
    return data


_PLAIN = zstandard.ZstdDecompressor()
