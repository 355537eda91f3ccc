"""Runs the looks of `collect/host`, each at its own interval; one that fails does not stop the others."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from forestall.collect.masking import Masker
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import load

POSITIONS = "positions.json"
LOOK_AGAIN_S = 300.0  # for what this machine does not have: it may be installed later
SAID_MAX_CHARS = 500


class Looks:
    """Every look with its memory. `settings` are the agent's own, by look."""

    def __init__(
        self,
        directory: Path,
        masker: Masker,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        looks: Mapping[str, ModuleType] | None = None,
    ) -> None:
        self._positions = directory / POSITIONS
        self._masker = masker
        self._settings = settings or {}
        self._looks = dict(load("forestall.collect.host") if looks is None else looks)
        self._memory: dict[str, dict[str, Any]] = {name: {} for name in self._looks}
        self._kept: dict[str, dict[str, Any]] = self._read()
        self._due: dict[str, float] = dict.fromkeys(self._looks, 0.0)
        self._failing: dict[str, str] = {}
        self.failures = 0

    def due(self, now_s: float) -> list[str]:
        """Which looks are due, by a clock that does not jump."""
        return [name for name, at in self._due.items() if at <= now_s]

    def look(self, name: str, *, now_s: float, now_ms: int) -> Reading:
        """One look. A failure becomes a log record, said once until it changes."""
        module = self._looks[name]
        self._due[name] = now_s + float(module.EVERY_S)
        view = View(
            now_ms=now_ms,
            memory=self._memory[name],
            kept=self._kept.get(name, {}),
            mask=self._masker.mask,
            signed_in=signed_in,
            settings=module.SPEC.read(self._settings.get(name, {})),
        )
        try:
            reading: Reading = module.look(view)
        except NotHere:
            self._due[name] = now_s + max(LOOK_AGAIN_S, float(module.EVERY_S))
            return Reading()
        except Exception as error:
            self.failures += 1
            said = f"looking at {module.SPEC.title} failed: {type(error).__name__}: {error}"[:SAID_MAX_CHARS]
            if self._failing.get(name) == said:
                return Reading()
            self._failing[name] = said
            return Reading(logs=[LogRecord(at_ms=now_ms, severity=4, source="forestall-agent", message=said)])
        if self._failing.pop(name, None):
            said = f"looking at {module.SPEC.title} works again"
            reading.logs.append(LogRecord(at_ms=now_ms, severity=6, source="forestall-agent", message=said))
        return reading

    def keep(self, kept: Mapping[str, dict[str, Any]]) -> None:
        """What looks gave back to remember, once their readings are safe on disk."""
        if not kept:
            return
        self._kept.update(kept)
        temporary = self._positions.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(self._kept, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._positions)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._positions.read_text())
        except (OSError, ValueError):
            return {}
        return {name: kept for name, kept in found.items() if isinstance(kept, dict)}


def signed_in() -> list[str]:
    """Who is signed in to this machine: `ana from 10.0.0.7 since 2026-11-23 09:12`."""
    people = []
    for user in psutil.users():
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(user.started))
        people.append(f"{user.name} from {user.host or user.terminal or 'here'} since {since}"[:200])
    return sorted(set(people))[:50]
