"""The server's own probes: renews their orders, has them asked, feeds what came to the queue.

While the queue is full, outcomes wait here, WAITING_MAX at most; what finds no room is counted in `lost`,
which is shown as `forestall.outcomes_lost_count`.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from forestall.collect.asking import Asker, Keeper, ProbeOrder
from forestall.collect.reach import of_server
from forestall.intake.values import QueueFull
from forestall.kernel.observations import Observations, Outcome

TURN_EVERY_S = 0.5
ORDERS_EVERY_S = 10.0
NOW_EVERY_S = 2.0
WAITING_MAX = 20_000
FED_AT_ONCE = 1_000  # below the limit of a batch on the wire

Feed = Callable[[str, Sequence[Observations]], None]  # a client's observations; raises QueueFull
log = logging.getLogger("watch")


class Probing:
    """`load_orders` gives the orders as dictionaries, each with the `client` it is for, `load_now` which of
    them are wanted at once; `feed` blocks. All are called in threads."""

    def __init__(
        self,
        feed: Feed,
        load_orders: Callable[[], list[dict[str, Any]]],
        load_now: Callable[[], dict[str, int]] = dict,
        keeper: Keeper | None = None,
    ) -> None:
        self._feed = feed
        self._load_orders = load_orders
        self._load_now = load_now
        self._client_of: dict[str, str] = {}
        self._waiting: deque[tuple[ProbeOrder, Outcome]] = deque()
        self._dropped = 0
        self.asker = Asker([], of_server(), self.take, keeper=keeper)

    @property
    def lost(self) -> int:
        """How many outcomes were not handed on, since the start."""
        return self._dropped + self.asker.lost

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        due = now_due = 0.0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.asker.run(stop))
            while not stop.is_set():
                if time.monotonic() >= due:
                    due = time.monotonic() + ORDERS_EVERY_S
                    await self.renew()
                if time.monotonic() >= now_due:
                    now_due = time.monotonic() + NOW_EVERY_S
                    self.asker.ask_now(await asyncio.to_thread(self._load_now))
                await self.hand_on()
                await asyncio.sleep(TURN_EVERY_S)

    async def renew(self) -> None:
        """Ask what is ordered now."""
        rows = await asyncio.to_thread(self._load_orders)
        self._client_of = {row["id"]: row.pop("client") for row in rows}
        self.asker.update([ProbeOrder(**row) for row in rows])

    def take(self, order: ProbeOrder, outcome: Outcome) -> None:
        """Let an outcome wait for its turn."""
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append((order, outcome))

    async def hand_on(self) -> None:
        """Feed what waits, a batch a client; what the queue does not take waits on. What is no longer ordered
        is nobody's any more."""
        by_client: dict[str, list[tuple[ProbeOrder, Outcome]]] = {}
        while self._waiting:
            order, outcome = self._waiting.popleft()
            if order.id in self._client_of:
                by_client.setdefault(self._client_of[order.id], []).append((order, outcome))
        for client, asked in by_client.items():
            for begin in range(0, len(asked), FED_AT_ONCE):
                await self._hand_on(client, asked[begin : begin + FED_AT_ONCE])

    async def _hand_on(self, client: str, asked: list[tuple[ProbeOrder, Outcome]]) -> None:
        observed = [Observations(asset=order.asset, outcomes=[outcome]) for order, outcome in asked]
        try:
            await asyncio.to_thread(self._feed, client, observed)
        except QueueFull as full:
            log.warning("%d outcomes of probes wait: %s", len(asked), full)
            for order, outcome in asked:
                self.take(order, outcome)
