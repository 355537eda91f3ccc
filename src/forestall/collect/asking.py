"""Asks many probes, each at its interval, and turns what they say into outcomes.

Each order has a place of its own within its interval (from its identifier), so that a thousand probes are
spread evenly and stay so across restarts; the first run comes within START_WITHIN_S. A probe never overlaps
with itself: a run that cannot begin because the one before has not ended, or because CONCURRENT_MAX others
are being asked, is delivered as a failed outcome that says so.

A single lost packet is no outage: a run that fails is repeated once after PAUSE_MAX_S (or PAUSE_SHARE of the
interval when that is less), and only the second verdict counts; both reasons are in it. What was not asked
at all (NotAsked) is not repeated. A try takes at most TRY_SHARE of the interval, so that both tries and the
pause fit into it.
"""

import asyncio
import inspect
import logging
import math
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from forestall.collect.answers import Answer, NoAnswer, NotAsked, Number, Question, cut
from forestall.collect.masking import Masker
from forestall.collect.reach import Reach
from forestall.collect.remembering import Memory
from forestall.kernel.credentials import secrets_of
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import (
    ANSWER_MAX_CHARS,
    OUTCOME_SNAPSHOTS_MAX,
    Outcome,
    Sample,
    Snapshot,
)
from forestall.kernel.plugins import OnDemand, Spec
from forestall.kernel.words import say_duration

PROBES = "forestall.collect.probes"
ORDERS_MAX = 20_000
CONCURRENT_MAX = 200
START_WITHIN_S = 10.0
INTERVAL_MIN_S = 1.0
PAUSE_MAX_S = 2.0
PAUSE_SHARE = 0.2  # of the interval
TRY_SHARE = 0.35
FIRST_GAP_SHARE = 2 * TRY_SHARE + PAUSE_SHARE
TIMEOUT_S = 10.0
TARGET_MAX_CHARS = 240
ITEM_MAX_CHARS = 256
REASON_MAX_CHARS = 1024
SECRET_MIN_CHARS = 4
SNAPSHOTS_MAX_BYTES = 4 << 20  # of one run: with room to spare in a batch on the wire

log = logging.getLogger(__name__)


class ProbeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A probe to be asked again and again. `asset` is whose it is; `settings` as people gave them, secrets in
    plain text, and `credential` opened (an order is never logged or kept). The console limits the rest; here
    is what must hold. `timeout_s` 0: what the plug-in needs (its TIMEOUT_S), else TIMEOUT_S."""

    id: str
    asset: str
    kind: str
    target: str
    settings: dict[str, Any] = {}
    interval_s: Annotated[float, Meta(ge=INTERVAL_MIN_S, le=7 * 86_400)] = 60.0
    timeout_s: Annotated[float, Meta(ge=0, le=300)] = 0.0
    credential: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"ProbeOrder(id={self.id!r}, asset={self.asset!r}, kind={self.kind!r}, target={self.target!r})"

    @property
    def every_s(self) -> float:
        """The interval, at least INTERVAL_MIN_S whatever was ordered."""
        return max(self.interval_s, INTERVAL_MIN_S)

    def try_s(self, usual_s: float = TIMEOUT_S) -> float:
        """What one try may take: so little that a second one fits into the interval."""
        return min(self.timeout_s or usual_s, self.every_s * TRY_SHARE)

    @property
    def pause_s(self) -> float:
        """Between a failed try and the second."""
        return min(PAUSE_MAX_S, self.every_s * PAUSE_SHARE)

    @property
    def share(self) -> float:
        """Its place within its interval, 0 to 1: the same after every restart."""
        return zlib.crc32(self.id.encode()) / 2**32


Deliver = Callable[[ProbeOrder, Outcome], None]


@dataclass(frozen=True, slots=True)
class Keeper:
    """What whoever asks keeps for its probes: a memory, and the key with which secrets are masked."""

    memory: Memory
    masker: Masker


def forgetful() -> Keeper:
    """Remembers nothing beyond this process; its marks of secrets fit no others."""
    return Keeper(Memory(), Masker(secrets.token_bytes(32)))


def wall_ms() -> int:
    """The machine's clock, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _failed(order: ProbeOrder, reason: str, at_ms: int) -> Outcome:
    return _outcome(order, Answer(False, reason), at_ms=at_ms, spent_ms=0.0)


def _outcome(order: ProbeOrder, answer: Answer, *, at_ms: int, spent_ms: float) -> Outcome:
    """As an outcome. `answer.took_ms` becomes a sample (None: nothing answered); `spent_ms` is what the try
    took in any case."""
    item = cut(f"{order.kind} {order.target}", ITEM_MAX_CHARS)
    numbers = [Number("probe.up", 1.0 if answer.ok else 0.0)]
    if answer.took_ms is not None:
        numbers.append(Number("probe.took_ms", answer.took_ms))
    numbers += answer.numbers
    return Outcome(
        at_ms=at_ms,
        probe=order.id,
        kind=cut(order.kind, 128),
        target=cut(order.target, 512),
        ok=answer.ok,
        reason=cut(answer.reason, REASON_MAX_CHARS),
        took_ms=spent_ms if answer.took_ms is None else answer.took_ms,
        answer=cut(answer.raw, ANSWER_MAX_CHARS),
        samples=[
            Sample(at_ms, cut(n.metric, 128), cut(n.item, ITEM_MAX_CHARS) or item, float(n.value))
            for n in numbers
        ],
        snapshots=_bounded(answer.snapshots),
        sweep=answer.sweep,
    )


def _bounded(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """As many as one outcome may carry; a text that finds no room any more says so instead."""
    room, kept = SNAPSHOTS_MAX_BYTES, []
    for one in snapshots[:OUTCOME_SNAPSHOTS_MAX]:
        size = len(one.text.encode(errors="replace"))
        if size > room:
            problem = f"its {size} bytes are more than one run may bring ({SNAPSHOTS_MAX_BYTES} in all)"
            kept.append(msgspec.structs.replace(one, text="", problem=one.problem or problem))
            continue
        room -= size
        kept.append(one)
    return kept


def _without_secrets(
    answer: Answer, spec: Spec, settings: Mapping[str, Any], credential: Mapping[str, str]
) -> Answer:
    """What came back may repeat what was sent: evidence must not keep it."""
    given = [settings.get(setting.name) for setting in spec.settings if setting.kind == "secret"]
    secrets = [
        secret
        for secret in (*given, *secrets_of(credential))
        if isinstance(secret, str) and len(secret) >= SECRET_MIN_CHARS
    ]
    if not secrets:
        return answer

    def without(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
            text = text.replace(secret, "(secret)")
        return text

    return replace(
        answer,
        reason=without(answer.reason),
        raw=without(answer.raw),
        numbers=[number._replace(item=without(number.item)) for number in answer.numbers],
        snapshots=[
            msgspec.structs.replace(
                one, text=without(one.text), problem=without(one.problem), title=without(one.title)
            )
            for one in answer.snapshots
        ],
    )


async def _try(
    order: ProbeOrder,
    reach: Reach,
    *,
    plugin: ModuleType,
    settings: Mapping[str, Any],
    now_ms: Callable[[], int],
    keeper: "Keeper",
) -> tuple[Outcome, bool]:
    """One try: its outcome, and whether a second one could tell anything else."""
    at_ms = now_ms()
    begun = time.perf_counter()
    try_s = order.try_s(float(getattr(plugin, "TIMEOUT_S", TIMEOUT_S)))
    question = Question(
        order.target, settings, now_ms, try_s,
        credential=order.credential, memory=keeper.memory, masker=keeper.masker,
    )  # fmt: skip
    again = True
    try:
        async with asyncio.timeout(try_s):
            answer = await plugin.probe(question, reach)
        if answer.took_ms is None:
            answer = replace(answer, took_ms=(time.perf_counter() - begun) * 1000)
    except TimeoutError:
        at = f": still {question.phase}" if question.phase else ""
        answer = Answer(False, f"no answer from {order.target} within {try_s:.3g} s{at}")
    except NoAnswer as nothing:
        answer = Answer(False, nothing.reason, nothing.raw, nothing.numbers, snapshots=nothing.snapshots)
        again = not isinstance(nothing, NotAsked)
    except Exception as error:
        log.exception("the probe %s has a bug", order.kind)
        answer = Answer(
            False, f"the probe {order.kind} has a bug: {type(error).__name__}; see the log of this process"
        )
    answer = _without_secrets(answer, plugin.SPEC, settings, order.credential)
    spent_ms = (time.perf_counter() - begun) * 1000
    return _outcome(order, answer, at_ms=at_ms, spent_ms=spent_ms), again and not answer.ok


def _prepare(order: ProbeOrder, probes: Mapping[str, ModuleType]) -> tuple[ModuleType, dict[str, Any]]:
    """The plug-in and its settings. Raises Trouble when there is none, or they are wrong."""
    plugin = probes.get(order.kind)
    if plugin is None or not inspect.iscoroutinefunction(getattr(plugin, "probe", None)):
        raise Trouble(f"there is no probe {order.kind!r}", f"There are {', '.join(probes)}.")
    if not 0 < len(order.target) <= TARGET_MAX_CHARS:
        raise Trouble(
            f"a target has 1 to {TARGET_MAX_CHARS} characters, this one {len(order.target)}", "Shorten it."
        )
    try:
        return plugin, plugin.SPEC.read(order.settings)
    except ValueError as error:
        raise Trouble(f"a setting of this {order.kind} probe is wrong: {error}") from error


async def ask_once(
    kind: str,
    target: str,
    settings: Mapping[str, Any],
    reach: Reach,
    *,
    timeout_s: float = 0.0,
    now_ms: Callable[[], int] = wall_ms,
    credential: Mapping[str, str] | None = None,
    keeper: Keeper | None = None,
) -> Outcome:
    """One try, now; `timeout_s` 0: what the plug-in needs.

    Raises Trouble when there is no such probe, or its settings are wrong.
    """
    order = ProbeOrder(
        id="",
        asset="",
        kind=kind,
        target=target,
        settings=dict(settings),
        interval_s=3600,
        timeout_s=timeout_s,
        credential=dict(credential or {}),
    )
    plugin, read = _prepare(order, OnDemand(PROBES))
    outcome, _ = await _try(
        order, reach, plugin=plugin, settings=read, now_ms=now_ms, keeper=keeper or forgetful()
    )
    return outcome


class _Line:
    """An order being carried out: when it runs next, and its run of now."""

    def __init__(self, asker: "Asker", order: ProbeOrder) -> None:
        self.asker = asker
        self.order = order
        self.task: asyncio.Task[None] | None = None
        self.wanted = False  # once more, as soon as the run of now has ended
        self.wished = False  # the run of now is one that somebody wanted
        self.loop = asyncio.get_running_loop()
        now = self.loop.time()
        self.home = now + order.share * order.every_s  # from here on every interval
        self.due = now + order.share * min(START_WITHIN_S, order.every_s)
        self.timer = self.loop.call_at(self.due, self.fire)

    def fire(self) -> None:
        """Begin a run, or say why not; and wind up for the next."""
        interval = self.order.every_s
        late_s = max(0.0, self.loop.time() - self.due)  # uvloop calls up to a millisecond early
        missed = int(late_s // interval)
        if self.home > self.due:  # the run after the first finds its place: 0.9 to 1.9 intervals later
            steps = math.ceil((self.due + late_s + interval * FIRST_GAP_SHARE - self.home) / interval)
            self.due = self.home + max(steps, 0) * interval
            self.home = self.due
        else:
            self.due += (missed + 1) * interval
        self.timer = self.loop.call_at(self.due, self.fire)
        if self.task is not None and not self.task.done():
            if self.wished:  # its answer comes any moment
                return
            what = "it waits for its turn" if self.asker.full else "the run before has not ended"
            self.asker.skip(self.order, f"not asked: {what} yet")
            return
        if missed:
            why = f"this collector stood still for {say_duration(late_s)}"
            self.asker.skip(self.order, f"not asked {missed} times: {why}")
        self.begin()

    def begin(self, *, wished: bool = False) -> None:
        """A run."""
        self.wished = wished
        self.task = self.loop.create_task(self.asker.carry_out(self.order))
        self.task.add_done_callback(self._ended)

    def ask_now(self) -> None:
        """A run that somebody wants at once; the schedule stays. If one is on, it may have begun too early to
        see what this is about: then another one follows it."""
        if self.task is not None and not self.task.done():
            self.wanted = True
            return
        self.begin(wished=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self.wanted and not task.cancelled():
            self.wanted = False
            self.begin(wished=True)

    def stop(self) -> None:
        """No more runs, and nothing of this one."""
        self.wanted = False
        self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


class Asker:
    """Carries out orders. `deliver(order, outcome)` is called in the event loop and must not block;
    what it fails to take is counted in `lost`, and shown by whoever runs the asker.

    Make it, then `await run(stop)`; `update` changes the orders at any time.
    """

    def __init__(
        self,
        orders: Iterable[ProbeOrder],
        reach: Reach,
        deliver: Deliver,
        *,
        now_ms: Callable[[], int] = wall_ms,
        concurrent: int = CONCURRENT_MAX,
        probes: Mapping[str, ModuleType] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.reach = reach
        self.keeper = keeper or forgetful()
        self.deliver = deliver
        self.now_ms = now_ms
        self.probes = OnDemand(PROBES) if probes is None else probes
        self.asked = self.failed = self.skipped = self.lost = 0
        self._orders = _by_id(orders)
        self._lines: dict[str, _Line] = {}
        self._wanted_ms: dict[str, int] = {}
        self._slots = asyncio.Semaphore(concurrent)
        self._running = False

    @property
    def full(self) -> bool:
        """Whether as many are being asked as may be at once."""
        return self._slots.locked()

    async def run(self, stop: asyncio.Event) -> None:
        """Carry out the orders until `stop` is set."""
        self._running = True
        self.update(list(self._orders.values()))
        try:
            await stop.wait()
        finally:
            self._running = False
            lines, self._lines = list(self._lines.values()), {}
            for line in lines:
                line.stop()
            await asyncio.gather(*(line.task for line in lines if line.task), return_exceptions=True)

    def update(self, orders: Iterable[ProbeOrder], *, reach: Reach | None = None) -> None:
        """From now on these. An order that stays the same is not disturbed; a changed one begins anew.

        Raises ValueError for more than ORDERS_MAX.
        """
        self._orders = _by_id(orders)
        self.reach = reach or self.reach
        if not self._running:
            return
        for name, line in list(self._lines.items()):
            if self._orders.get(name) != line.order:
                line.stop()
                del self._lines[name]
        for name, order in self._orders.items():
            if name not in self._lines:
                self._lines[name] = _Line(self, order)

    def ask_now(self, wanted: Mapping[str, int]) -> None:
        """Ask these orders at once, each once for every new time (ms) at which that was wanted; what is not
        ordered here is left."""
        for name, at_ms in wanted.items():
            if name in self._lines and at_ms > self._wanted_ms.get(name, 0):
                self._wanted_ms[name] = at_ms
                self._lines[name].ask_now()
        for name in self._wanted_ms.keys() - self._orders.keys():
            del self._wanted_ms[name]

    async def run_once(self, order: ProbeOrder) -> Outcome:
        """Ask now, a second time if the first fails; the outcome, not delivered."""
        try:
            plugin, settings = _prepare(order, self.probes)
        except Trouble as trouble:
            return _failed(order, f"not asked: {trouble}", self.now_ms())
        async with self._slots:
            first, again = await self._try(order, plugin, settings)
        if not again:
            return first
        await asyncio.sleep(order.pause_s)
        async with self._slots:
            second, _ = await self._try(order, plugin, settings)
        if second.ok:
            note = f"{second.reason} (at the second try; the first: {first.reason})"
        elif second.reason == first.reason:
            note = f"{second.reason} (asked twice)"
        else:
            note = f"{second.reason} (asked twice; the first time: {first.reason})"
        return msgspec.structs.replace(second, reason=cut(note, REASON_MAX_CHARS))

    async def _try(
        self, order: ProbeOrder, plugin: ModuleType, settings: Mapping[str, Any]
    ) -> tuple[Outcome, bool]:
        return await _try(
            order, self.reach, plugin=plugin, settings=settings, now_ms=self.now_ms, keeper=self.keeper
        )

    async def carry_out(self, order: ProbeOrder) -> None:
        """One run, delivered."""
        outcome = await self.run_once(order)
        self.asked += 1
        self._deliver(order, outcome)

    def skip(self, order: ProbeOrder, reason: str) -> None:
        """A run that did not take place has failed."""
        self.skipped += 1
        self._deliver(order, _failed(order, reason, self.now_ms()))

    def _deliver(self, order: ProbeOrder, outcome: Outcome) -> None:
        self.failed += not outcome.ok
        try:
            self.deliver(order, outcome)
        except Exception:
            self.lost += 1
            log.exception("an outcome of %s %s could not be handed on", order.kind, order.target)


def _by_id(orders: Iterable[ProbeOrder]) -> dict[str, ProbeOrder]:
    found = {order.id: order for order in orders}
    if len(found) > ORDERS_MAX:
        raise ValueError(f"at most {ORDERS_MAX} probes can be asked from one place, not {len(found)}")
    return found
