"""The server's probes hand on what was asked; what a full queue refuses waits, what is lost is counted."""

import asyncio
from collections.abc import Sequence
from typing import Any

from forestall.collect.asking import ProbeOrder
from forestall.intake.values import QueueFull
from forestall.kernel.observations import Observations, Outcome
from forestall.processes.probing import WAITING_MAX, Probing

ORDER: dict[str, Any] = {"id": "probe", "asset": "asset", "kind": "tcp", "target": "127.0.0.1:1"}


class Queue:
    """Takes what it is fed once it is no longer full."""

    full = False

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[Observations]]] = []

    def feed(self, client: str, observed: Sequence[Observations]) -> None:
        if self.full:
            raise QueueFull("4 GB wait already")
        self.taken.append((client, list(observed)))


def outcome(at_ms: int) -> Outcome:
    return Outcome(at_ms, "probe", "tcp", "127.0.0.1:1", True, "answers", 1.0)


def test_outcomes_wait_while_the_queue_is_full_and_come_in_order() -> None:
    queue = Queue()

    async def main() -> None:
        probing = Probing(queue.feed, lambda: [ORDER | {"client": "client"}])
        await probing.renew()
        order = ProbeOrder(**ORDER)
        queue.full = True
        probing.take(order, outcome(1))
        await probing.hand_on()
        probing.take(order, outcome(2))
        queue.full = False
        await probing.hand_on()
        await probing.hand_on()
        assert probing.lost == 0

    asyncio.run(main())
    [(client, observed)] = queue.taken
    assert client == "client"
    assert [one.at_ms for part in observed for one in part.outcomes] == [1, 2]
    assert {part.asset for part in observed} == {"asset"}


def test_what_finds_no_room_is_counted() -> None:
    queue = Queue()

    async def main() -> None:
        probing = Probing(queue.feed, lambda: [ORDER | {"client": "client"}])
        await probing.renew()
        for at_ms in range(WAITING_MAX + 3):
            probing.take(ProbeOrder(**ORDER), outcome(at_ms))
        assert probing.lost == 3
        await probing.hand_on()

    asyncio.run(main())
    sizes = [len(observed) for _, observed in queue.taken]
    assert sum(sizes) == WAITING_MAX and max(sizes) <= 2_000  # what a batch takes on the wire


def test_what_is_no_longer_ordered_is_nobodys() -> None:
    queue = Queue()

    async def main() -> None:
        probing = Probing(queue.feed, list)
        await probing.renew()
        probing.take(ProbeOrder(**ORDER), outcome(1))
        await probing.hand_on()
        assert probing.lost == 0

    asyncio.run(main())
    assert queue.taken == []
