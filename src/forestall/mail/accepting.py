"""Between the listener for mail and the spool: whether an address is ours, and that a message is durable.

Wiring (processes/listening.py): the listener `smtp` has a MailAccept where the others have a QueueAccept.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from django.db import DatabaseError

from forestall.collect.listeners import CannotTake, ReceivedMail
from forestall.intake.listening import QueueAccept
from forestall.intake.values import QueueFull
from forestall.mail.spool import Spool

LOOK_EVERY_S = 2.0  # for addresses that are new; a sender who guesses costs no more look-ups than this


class MailAccept(QueueAccept):
    """A `collect.listeners.AcceptMail`. `addresses` reads the addresses that we have, in small letters,
    without what stands behind a `+`; it is called in a thread."""

    def __init__(self, spool: Spool, addresses: Callable[[], Collection[str]], *args: Any, **named: Any):
        super().__init__(*args, **named)
        self._spool = spool
        self._addresses = addresses
        self._known: frozenset[str] = frozenset()
        self._looked_at = float("-inf")

    async def knows(self, address: str) -> bool:
        """Whether mail to this address is for us. An address that was removed is known for a while more."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            try:
                self._known = frozenset(await asyncio.to_thread(self._addresses))
            except DatabaseError:
                pass  # those that were known still are; a new one is known at the next look
        return plain_of(address) in self._known

    async def take(self, mail: ReceivedMail) -> str:
        """Its name, when it is durable. Raises CannotTake."""
        try:
            name = await asyncio.to_thread(
                self._spool.keep, mail.data, received_at_ms=mail.received_at_ms, peer=mail.peer,
                helo=mail.helo, sender=mail.sender, recipients=mail.recipients,
            )  # fmt: skip
        except QueueFull as error:
            raise CannotTake(str(error)) from error
        self.counters["received"] += 1
        return name


def plain_of(address: str) -> str:
    """An address in small letters, without what stands behind a `+`."""
    name, at, domain = address.strip().strip("<>").lower().rpartition("@")
    return name.partition("+")[0] + at + domain
