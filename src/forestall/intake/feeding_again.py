"""Frames that waited (in quarantine, or set aside) go into the durable queue again, numbered, so that
decoding takes each once although this may be repeated after a crash.

Numbers come in blocks, one for everything that is fed together. A block that was begun is finished before the
next one begins: a number that is lower than one which was taken counts as taken.
"""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

import msgspec
from django.db import transaction

from forestall.intake.envelope import Only, decode_envelope, encode_envelope
from forestall.intake.models import FeedBlock

FRAMES_PER_BLOCK_MAX = 1 << 20
FEED_BYTES = 8 << 20  # appended before it is waited for


class Appends(Protocol):
    """Where frames are fed to (`intake.queue.QueueWriter`)."""

    def append(self, frame: bytes) -> "Future[None]":
        """The future's result comes when it is durable. Raises QueueFull."""
        ...


def next_block() -> int:
    """A fresh block of numbers. Inside a transaction it is given back when that fails."""
    with transaction.atomic():
        blocks, _ = FeedBlock.objects.select_for_update().get_or_create(id=1)
        block, blocks.next = blocks.next, blocks.next + 1
        blocks.save()
    return block


def feed_again(queue: Appends, frames: Iterable[bytes], *, block: int, only: Only = "") -> int:
    """Return when all are durable; how many were damaged and left out. `only`: the side of the pump that has
    not taken them. Raises QueueFull: then all of it is to come again with the same block."""
    waiting: list[Future[None]] = []
    size = lost = 0
    for number, frame in enumerate(frames, block * FRAMES_PER_BLOCK_MAX + 1):
        try:
            fed = encode_envelope(msgspec.structs.replace(decode_envelope(frame), again=number, only=only))
        except ValueError:
            lost += 1
            continue
        waiting.append(queue.append(fed))
        size += len(fed)
        if size >= FEED_BYTES:
            _wait(waiting)
            waiting, size = [], 0
    _wait(waiting)
    return lost


def _wait(futures: list["Future[None]"]) -> None:
    for future in futures:
        future.result()
