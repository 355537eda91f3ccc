"""Runs the looks of `collect/host`, each at its own interval; one that fails or hangs stops no other."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from forestall.collect.host import looks_of, system_root
from forestall.collect.masking import Masker
from forestall.collect.people import signed_in
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.observations import LogRecord

LOOK_AGAIN_S = 300.0  # for what this machine does not have: it may be installed later
SECOND_LOOK_S = 1.0  # for numbers that need two readings
HUNG_S = 300.0
SAID_MAX_CHARS = 500
SOURCE = "forestall-agent"

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _State:
    """What is remembered of a look."""

    memory: dict[str, Any]
    kept: dict[str, Any]
    failing: str = ""
    looked: int = 0


class Looks:
    """Every look with its memory. `settings` are the agent's own, by look; `kept` is the durable memory.

    Raises ValueError for a wrong setting, or settings of a look that does not exist.
    """

    def __init__(
        self,
        masker: Masker,
        *,
        kept: Mapping[str, dict[str, Any]],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        looks: Mapping[str, ModuleType] | None = None,
        root: Path | None = None,
    ) -> None:
        self._modules = dict(looks_of() if looks is None else looks)
        given = settings or {}
        if unknown := sorted(set(given) - set(self._modules)):
            raise ValueError(f"there is no look {unknown[0]!r}; there are {', '.join(sorted(self._modules))}")
        self._settings = {
            name: module.SPEC.read(given.get(name, {})) for name, module in self._modules.items()
        }
        self._states = {name: _State({}, kept.get(name, {})) for name in self._modules}
        self._mask = masker.mask
        self._root = system_root() if root is None else root
        self.failures = 0

    @property
    def names(self) -> list[str]:
        """All looks."""
        return list(self._modules)

    @property
    def kept(self) -> dict[str, dict[str, Any]]:
        """The durable memory of all looks, up to what was taken."""
        return {name: state.kept for name, state in self._states.items() if state.kept}

    def follows(self, name: str) -> bool:
        """Whether this look reads on from a kept place: then it can wait."""
        return bool(getattr(self._modules[name], "FOLLOWS", False))

    async def look(self, name: str, said: Callable[[LogRecord], None]) -> tuple[Reading, float]:
        """One look in a thread of its own: what it saw, and after how many seconds to look again.

        A failure becomes a log record, said once until it changes; `said` is told when a look hangs.
        """
        module, state = self._modules[name], self._states[name]
        now_ms = time.time_ns() // 1_000_000
        people: list[str] | None = None

        def who() -> list[str]:
            nonlocal people
            if people is None:
                people = signed_in()
            return people

        view = View(
            now_ms=now_ms,
            steady_s=time.monotonic(),
            memory=state.memory,
            kept=state.kept,
            mask=self._mask,
            signed_in=who,
            root=self._root,
            settings=self._settings[name],
        )
        running = apart(lambda: module.look(view))
        try:
            try:
                reading: Reading = await asyncio.wait_for(asyncio.shield(running), HUNG_S)
            except TimeoutError:
                said(_record(now_ms, 4, f"looking at {module.SPEC.title} has not ended for {HUNG_S:.0f} s"))
                reading = await running
        except NotHere:
            return Reading(), max(LOOK_AGAIN_S, float(module.EVERY_S))
        except Exception as error:
            self.failures += 1
            return self._failed(state, module, error, now_ms), float(module.EVERY_S)
        if state.failing:
            state.failing = ""
            reading.logs.append(_record(now_ms, 6, f"looking at {module.SPEC.title} works again"))
        if reading.keep is not None:
            state.kept = reading.keep
        state.looked += 1
        again_s = float(module.EVERY_S)
        if reading.more:
            again_s = 0.0
        elif state.looked == 1 and getattr(module, "RATES", False):
            again_s = min(again_s, SECOND_LOOK_S)
        return reading, again_s

    def _failed(self, state: _State, module: ModuleType, error: Exception, now_ms: int) -> Reading:
        said = f"looking at {module.SPEC.title} failed: {type(error).__name__}: {error}"[:SAID_MAX_CHARS]
        if state.failing == said:
            return Reading()
        state.failing = said
        return Reading(logs=[_record(now_ms, 4, said)])


def _record(at_ms: int, severity: int, message: str) -> LogRecord:
    return LogRecord(at_ms=at_ms, severity=severity, source=SOURCE, message=message)


def apart(function: Callable[[], Answer]) -> "asyncio.Future[Answer]":
    """Run a function in a thread that nobody waits for at the end: it may hang for ever."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)  # type: ignore[arg-type]

    def work() -> None:
        answer: Answer | None = None
        error: BaseException | None = None
        try:
            answer = function()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, answer, error)
        except RuntimeError:
            return  # the loop is closed: nobody asks any more

    threading.Thread(target=work, name="look", daemon=True).start()
    return future
