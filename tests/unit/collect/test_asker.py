"""The asker on an event loop whose time jumps: hours of asking pass in milliseconds, always the same."""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.collect.answers import Answer, NoAnswer, Number, Question
from forestall.collect.asking import START_WITHIN_S, Asker, ProbeOrder
from forestall.collect.reach import Reach, anywhere
from forestall.kernel.observations import OUTCOME_SNAPSHOTS_MAX, Outcome, Snapshot
from forestall.kernel.plugins import Spec


class _Jumping(selectors.SelectSelector):
    """Waits by moving the clock of its loop. The loop's own wake-up pipe is the only file in it."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.loop.at += max(0.0, timeout - self.loop.early_s)
        assert ready or timeout is not None, "the loop waits for something that never happens"
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when there is nothing to do. Timers come `early_s` early, as those of uvloop do."""

    def __init__(self, early_s: float) -> None:
        self.at = 1000.0
        self.early_s = early_s
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 2 * early_s or 1e-9  # what asyncio takes as being on time

    def time(self) -> float:
        return self.at


def virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]], *, early_s: float = 0.0) -> None:
    loop = VirtualLoop(early_s)
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.close()


Answering = Callable[[Question], Awaitable[Answer]]


class Watched:
    """An asker of fake probes, and what it delivered: (loop time, outcome) by order."""

    def __init__(self, loop: VirtualLoop, answering: Answering, *, concurrent: int = 200) -> None:
        self.loop = loop
        self.begun: dict[str, list[float]] = defaultdict(list)
        self.delivered: dict[str, list[tuple[float, Outcome]]] = defaultdict(list)
        self.at_once = self.most_at_once = 0

        async def probe(question: Question, reach: Reach) -> Answer:
            self.begun[question.target].append(loop.at)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            try:
                return await answering(question)
            finally:
                self.at_once -= 1

        fake: Any = SimpleNamespace(SPEC=Spec("fake", "Fake", "For tests.", "none"), probe=probe)
        self.asker = Asker(
            [], anywhere(), self.deliver, now_ms=self.now_ms, concurrent=concurrent, probes={"fake": fake}
        )

    def now_ms(self) -> int:
        return round(self.loop.at * 1000)

    def deliver(self, order: ProbeOrder, outcome: Outcome) -> None:
        self.delivered[order.id].append((self.loop.at, outcome))

    async def run(self, orders: list[ProbeOrder], for_s: float) -> None:
        self.asker.update(orders)
        stop = asyncio.Event()
        self.loop.call_later(for_s, stop.set)
        await self.asker.run(stop)


def order(name: str, **changes: Any) -> ProbeOrder:
    return ProbeOrder(**{"id": name, "asset": "a", "kind": "fake", "target": name} | changes)


async def fine(question: Question) -> Answer:
    await asyncio.sleep(0.01)
    return Answer(True, "fine")


@pytest.mark.parametrize("early_s", [0.0, 0.001])
def test_each_probe_is_asked_at_its_interval_and_soon_at_first(early_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)
        orders = [order(f"p{n}", interval_s=60) for n in range(200)] + [order("daily", interval_s=86_400)]
        begin = loop.at
        await watched.run(orders, 3600)
        for name, times in watched.begun.items():
            assert times[0] - begin <= START_WITHIN_S + 0.01
            if name != "daily":
                gaps = [b - a for a, b in pairwise(times)]
                assert 58 <= len(times) <= 61 and 53.9 <= gaps[0] <= 114.1
                assert all(abs(gap - 60) < 0.01 for gap in gaps[1:])
        later = sorted(times[-1] % 60 for name, times in watched.begun.items() if name != "daily")
        assert len({int(at) for at in later}) > 45, "spread over the minute"
        assert watched.asker.failed == watched.asker.skipped == 0

    virtual(main, early_s=early_s)


def test_the_place_in_the_interval_does_not_change_with_a_restart() -> None:
    found: list[float] = []

    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)
        await watched.run([order("one", interval_s=300)], 2000)
        found.append(watched.begun["one"][-1])

    virtual(main)
    virtual(main)
    assert found[0] == found[1]


def test_one_lost_packet_is_no_outage() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = 0

        async def flaky(question: Question) -> Answer:
            nonlocal calls
            calls += 1
            if calls % 2:
                raise NoAnswer("nothing came")
            return Answer(True, "fine")

        watched = Watched(loop, flaky)
        await watched.run([order("one", interval_s=60)], 600)
        outcomes = [outcome for _, outcome in watched.delivered["one"]]
        assert len(outcomes) >= 9 and all(outcome.ok for outcome in outcomes)
        assert outcomes[0].reason == "fine (at the second try; the first: nothing came)"
        first, second = watched.begun["one"][:2]
        assert abs(second - first - 2) < 0.001

    virtual(main)


def test_a_real_outage_is_told_within_the_interval() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def never(question: Question) -> Answer:
            question.doing("connecting to 10.0.0.5:80")
            await asyncio.sleep(3600)
            raise AssertionError("unreachable")

        watched = Watched(loop, never)
        await watched.run([order("one", interval_s=5, timeout_s=10)], 60)
        assert len(watched.delivered["one"]) >= 10 and watched.asker.skipped == 0
        assert watched.delivered["one"][0][1].reason == (
            "no answer from one within 1.75 s: still connecting to 10.0.0.5:80 (asked twice)"
        )

    virtual(main)


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 600), st.floats(0.01, 300), st.floats(0, 400))
def test_a_probe_never_overlaps_with_itself(interval_s: float, timeout_s: float, takes_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        async def slow(question: Question) -> Answer:
            await asyncio.sleep(takes_s)
            raise NoAnswer("no")

        watched = Watched(loop, slow)
        await watched.run([order("one", interval_s=interval_s, timeout_s=timeout_s)], interval_s * 10)
        assert watched.most_at_once == 1
        assert len(watched.delivered["one"]) >= 8
        assert not any(outcome.ok for _, outcome in watched.delivered["one"])

    virtual(main)


def test_few_are_asked_at_once_and_what_is_skipped_has_failed() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def slow(question: Question) -> Answer:
            await asyncio.sleep(3)
            return Answer(True, "fine")

        watched = Watched(loop, slow, concurrent=2)
        orders = [order(f"p{n}", interval_s=10) for n in range(20)]
        await watched.run(orders, 120)
        assert watched.most_at_once == 2
        skipped = [o for list_ in watched.delivered.values() for _, o in list_ if not o.ok]
        assert skipped and {o.reason for o in skipped} == {"not asked: it waits for its turn yet"}
        assert all(sample.value == 0 for o in skipped for sample in o.samples)
        assert watched.asker.skipped == len(skipped)
        total = sum(map(len, watched.delivered.values()))
        assert total >= 20 * 11 - 20, "every run that was due is accounted for"

    virtual(main)


def test_new_orders_leave_the_others_alone() -> None:
    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)
        kept, changed, dropped = (order(name, interval_s=60) for name in ("kept", "changed", "dropped"))
        loop.call_later(
            300,
            lambda: watched.asker.update(
                [kept, order("changed", interval_s=20), order("new", interval_s=60)]
            ),
        )
        begin = loop.at
        await watched.run([kept, changed, dropped], 600)
        gaps = [b - a for a, b in pairwise(watched.begun["kept"])]
        assert all(abs(gap - 60) < 0.001 for gap in gaps[1:])
        assert max(watched.begun["dropped"]) <= begin + 300
        assert begin + 300 <= min(watched.begun["new"]) <= begin + 300 + START_WITHIN_S
        assert sum(at > begin + 300 for at in watched.begun["changed"]) >= 14

    virtual(main)


def test_an_interval_of_nothing_is_a_second() -> None:
    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)
        await watched.run([order("one", interval_s=0)], 10)
        assert 8 <= len(watched.begun["one"]) <= 11

    virtual(main)


def test_a_consumer_that_fails_does_not_stop_the_asking() -> None:
    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)

        def broken(order: ProbeOrder, outcome: Outcome) -> None:
            raise RuntimeError("full")

        watched.asker.deliver = broken
        await watched.run([order("one", interval_s=10)], 100)
        assert len(watched.begun["one"]) >= 9
        assert watched.asker.lost == watched.asker.asked >= 9

    virtual(main)


def test_a_loop_that_stood_still_says_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        watched = Watched(loop, fine)

        def stand_still() -> None:
            loop.at += 600

        loop.call_later(100, stand_still)
        await watched.run([order("one", interval_s=60)], 900)
        failed = [outcome.reason for _, outcome in watched.delivered["one"] if not outcome.ok]
        assert len(failed) == 1 and "this collector stood still for" in failed[0]

    virtual(main)


def test_what_is_wanted_at_once_is_asked_once_for_each_wish() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def slow(question: Question) -> Answer:
            await asyncio.sleep(30)
            return Answer(True, "fine")

        watched = Watched(loop, slow)
        begin = loop.at
        wishes = ((100, 1), (101, 1), (110, 2), (115, 3), (900, 1))  # seconds from the start, the wish
        for at, wish in wishes:
            loop.call_later(at, lambda wish=wish: watched.asker.ask_now({"one": wish, "nobody": 9}))
        await watched.run([order("one", interval_s=3600, timeout_s=60)], 1200)
        wanted = [round(at - begin) for at in watched.begun["one"]][1:]
        assert wanted == [100, 130], "a wish during a run begins one more after it, two wishes no two"

    virtual(main)


def test_a_scheduled_time_during_a_wanted_run_is_no_failure() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def slow(question: Question) -> Answer:
            await asyncio.sleep(9)
            return Answer(True, "fine")

        watched = Watched(loop, slow)
        for second in range(0, 1200, 7):
            loop.call_later(second, lambda wish=second: watched.asker.ask_now({"one": wish + 1}))
        await watched.run([order("one", interval_s=60)], 1200)
        assert watched.delivered["one"] and all(outcome.ok for _, outcome in watched.delivered["one"])

    virtual(main)


def test_a_credential_is_in_nothing_that_comes_back_or_is_printed() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def telling(question: Question) -> Answer:
            secret, short = question.credential["password"], question.credential["enable"]
            text = f"hello {secret} and {short}"
            shot = Snapshot(at_ms=1, kind="running", text=text, problem=text, title=text)
            return Answer(False, text, text, [Number("x.count", 1, text)], snapshots=[shot])

        watched = Watched(loop, telling)
        credential = {"user": "reader", "password": "n0body-reads-this", "enable": "n0body-reads"}
        asked = order("one", credential=credential)
        assert "n0body" not in repr(asked) and "n0body" not in str([asked])
        outcome = await watched.asker.run_once(asked)
        assert "n0body" not in str(outcome) and outcome.reason.count("(secret)") >= 2

    virtual(main)


def test_configurations_beyond_what_a_run_may_bring_say_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def much(question: Question) -> Answer:
            text = "x" * (3 << 20)
            return Answer(
                True, "much", snapshots=[Snapshot(at_ms=1, kind=str(n), text=text) for n in range(60)]
            )

        outcome = await Watched(loop, much).asker.run_once(order("one"))
        first, second, *others = outcome.snapshots
        assert len(first.text) == 3 << 20 and not first.problem
        assert second.text == "" and "more than one run may bring" in second.problem
        assert len(others) + 2 == OUTCOME_SNAPSHOTS_MAX

    virtual(main)
