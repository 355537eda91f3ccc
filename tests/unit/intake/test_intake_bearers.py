"""Tokens in memory: looked up rarely, limited in rate, and nobody hammers the database."""

import base64

import pytest

from forestall.estate.values import Pusher
from forestall.intake.bearers import (
    BURST_S,
    KNOWN_FOR_MS,
    KNOWN_MAX,
    TRIES_PER_PEER_MAX,
    TRIES_WITHIN_MS,
    WRONG_FOR_MS,
    Bearers,
    Bucket,
    TooManyTries,
)
from forestall.intake.gate import secret_of


def pusher(rate: int | None = None) -> Pusher:
    return Pusher("token", "name", "client", "", "", rate, None)


class Book:
    """The database: what it holds, and how often it was asked."""

    def __init__(self, **held: Pusher) -> None:
        self.held = {name.encode(): one for name, one in held.items()}
        self.asked = 0

    async def find(self, token_hash: bytes) -> Pusher | None:
        self.asked += 1
        return self.held.get(token_hash)


def test_a_bucket_fills_at_its_rate_and_may_go_into_debt() -> None:
    bucket = Bucket(rate=100.0, at_ms=0)
    assert bucket.wait_s(0) == 0
    bucket.spend(100 * BURST_S + 250)
    assert bucket.wait_s(0) == 3  # 2.5 s of debt
    assert bucket.wait_s(2_000) == 1
    assert bucket.wait_s(2_600) == 0
    bucket.spend(5)
    assert bucket.wait_s(3_600_000) == 0 and bucket.level == 100 * BURST_S


def test_a_clock_that_goes_back_neither_fills_nor_empties_a_bucket() -> None:
    bucket = Bucket(rate=100.0, at_ms=10_000)
    bucket.spend(100 * BURST_S)
    level = bucket.level
    assert bucket.wait_s(0) == 1 and bucket.level == level


async def test_a_token_is_looked_up_once_in_a_while() -> None:
    bearers, book = Bearers(), Book(a=pusher())
    for now_ms in (0, 1, KNOWN_FOR_MS):
        assert await bearers.pusher(b"a", peer="p", now_ms=now_ms, find=book.find) == pusher()
    assert book.asked == 1
    book.held.clear()  # revoked
    assert await bearers.pusher(b"a", peer="p", now_ms=KNOWN_FOR_MS + 1, find=book.find) is None


async def test_a_wrong_token_is_not_looked_up_again_at_once() -> None:
    bearers, book = Bearers(), Book()
    for now_ms in range(0, WRONG_FOR_MS, 1000):
        assert await bearers.pusher(b"a", peer="p", now_ms=now_ms, find=book.find) is None
    assert book.asked == 1
    book.held[b"a"] = pusher()  # made meanwhile
    assert await bearers.pusher(b"a", peer="p", now_ms=WRONG_FOR_MS + 1, find=book.find) == pusher()


async def test_an_address_that_tries_many_tokens_is_refused_unheard() -> None:
    bearers, book = Bearers(), Book(good=pusher(), other=pusher())
    await bearers.pusher(b"good", peer="p", now_ms=0, find=book.find)
    for k in range(TRIES_PER_PEER_MAX):
        await bearers.pusher(b"%d" % k, peer="p", now_ms=1000, find=book.find)
    with pytest.raises(TooManyTries) as refused:
        await bearers.pusher(b"more", peer="p", now_ms=2000, find=book.find)
    assert 0 < refused.value.wait_s <= TRIES_WITHIN_MS // 1000
    asked = book.asked
    late = KNOWN_FOR_MS + 1  # who was right before is renewed all the same
    for k in range(TRIES_PER_PEER_MAX):
        await bearers.pusher(b"x%d" % k, peer="p", now_ms=late, find=book.find)
    assert await bearers.pusher(b"good", peer="p", now_ms=late, find=book.find) == pusher()
    assert await bearers.pusher(b"other", peer="q", now_ms=late, find=book.find) == pusher()
    assert book.asked == asked + TRIES_PER_PEER_MAX + 2


async def test_memory_is_bounded() -> None:
    bearers, book = Bearers(), Book()
    for k in range(KNOWN_MAX + 100):
        book.held[b"%d" % k] = Pusher(str(k), "n", "c", "", "", None, None)
        found = await bearers.pusher(b"%d" % k, peer=str(k), now_ms=0, find=book.find)
        assert found is not None and bearers.wait_s(found, 0) == 0
    assert len(bearers._known) == len(bearers._buckets) == KNOWN_MAX


async def test_a_rate_that_was_changed_counts_from_then_on() -> None:
    bearers = Bearers()
    assert bearers.wait_s(pusher(100), 0) == 0
    bearers.spend("token", 10_000)
    assert bearers.wait_s(pusher(100), 0) == 90
    assert bearers.wait_s(pusher(1000), 0) == 0


def test_the_token_is_found_in_every_kind_of_header() -> None:
    both = base64.b64encode(b"id:fst_x").decode()
    name = base64.b64encode(b"fst_x:").decode()
    good = (
        "Bearer fst_x",
        "bearer  fst_x ",
        f"Basic {both}",
        f"Basic {name}",
        f"ApiKey {both}",
        "ApiKey fst_x",
    )
    for header in good:
        assert secret_of(header) == "fst_x", header
    for header in ("", "fst_x", "Bearer", "Bearer x", "Basic !!!", "Digest fst_x", "Bearer fst_" + "x" * 300):
        assert secret_of(header) == "", header
