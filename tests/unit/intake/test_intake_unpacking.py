"""Bodies are unpacked with bounded memory: bombs are refused, damage is said, oddities are read."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from forestall.intake.doors import DoorRequest
from forestall.intake.unpacking import Unusable, unpack, unpack_snappy

TEXT = b"".join(b"line %d of some text\n" % k for k in range(5000))
MOST = 32 << 20


def request(body: bytes, encoding: str) -> DoorRequest:
    return DoorRequest("POST", "/x", {}, {"content-encoding": encoding}, body, "10.0.0.1")


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_without_size(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


def snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("zstd", zstandard.compress),
    ("zstd", zstd_without_size),
]


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
def test_what_was_packed_comes_back(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert unpack(request(pack(TEXT), encoding), most=MOST) == TEXT
    assert unpack(request(pack(TEXT), f"identity, {encoding.upper()}"), most=MOST) == TEXT


def test_a_body_that_is_not_packed_is_itself() -> None:
    assert unpack(request(TEXT, ""), most=MOST) == unpack(request(TEXT, "identity"), most=MOST) == TEXT
    with pytest.raises(Unusable) as refused:
        unpack(request(TEXT, ""), most=1000)
    assert refused.value.status == 413


def test_members_one_after_the_other_are_one_body() -> None:
    assert unpack(request(gzip.compress(b"a") + gzip.compress(b"b"), "gzip"), most=MOST) == b"ab"
    assert unpack(request(zstandard.compress(b"a") + zstandard.compress(b"b"), "zstd"), most=MOST) == b"ab"
    with pytest.raises(Unusable, match="more than 1000"):
        unpack(request(gzip.compress(b"") * 1002, "gzip"), most=MOST)


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
@pytest.mark.parametrize(("size", "most"), [(80 << 20, 64 << 20), (3 << 20, 2 << 20)])
def test_bombs_are_refused_without_being_unpacked(
    encoding: str, pack: Callable[[bytes], bytes], size: int, most: int
) -> None:
    body = pack(bytes(size))
    tracemalloc.start()
    with pytest.raises(Unusable) as refused:
        unpack(request(body, encoding), most=most)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < len(body) * 200 + (16 << 20)


def test_a_snappy_bomb_is_refused_by_what_it_says() -> None:
    assert unpack_snappy(snappy(TEXT), most=MOST) == TEXT
    bomb = snappy(bytes(80 << 20))
    with pytest.raises(Unusable) as refused:
        unpack_snappy(bomb, most=64 << 20)
    assert refused.value.status == 413
    liar = b"\xff\xff\xff\xff\x0f" + bomb[4:]  # says 4 GiB
    with pytest.raises(Unusable):
        unpack_snappy(liar, most=1 << 40)


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
def test_damage_is_said(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    for body in (pack(TEXT)[:-5], b"", b"rubbish that is nothing", pack(TEXT) + b"rubbish behind it"):
        with pytest.raises(Unusable) as refused:
            unpack(request(body, encoding), most=MOST)
        assert refused.value.status == 400
    assert b"Send it again" in refused.value.answer().body


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "zstd", "snappy"]))
def test_no_bytes_do_anything_else(body: bytes, encoding: str) -> None:
    try:
        if encoding == "snappy":
            unpack_snappy(body, most=1 << 20)
        else:
            unpack(request(body, encoding), most=1 << 20)
    except Unusable as refused:
        assert refused.status in (400, 413)


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "snappy", "x" * 300])
def test_other_encodings_are_not_known(encoding: str) -> None:
    with pytest.raises(Unusable) as refused:
        unpack(request(TEXT, encoding), most=MOST)
    assert refused.value.status == 415
