"""`forestall simulate`: a seeded estate whose faults are known, on a virtual clock, through production code.

This half needs no tables: it makes an installation of its own in a temporary directory and starts Django on
it. `simulation.py` runs the time, `reckoning.py` compares what was injected with what became of it.
"""

import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from forestall.kernel.datadir import DataDir
from forestall.processes.setup import start_django
from forestall.processes.world import hours_needed

LISTED_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What a simulation came to. `unmatched`, `unexplained` and `broken` are lines for people: faults without
    exactly one ticket, tickets without a fault, promises that were not kept."""

    clients: int
    seed: int
    hours: int
    assets: int
    observations: int
    faults: int
    tickets: int
    evidence: int
    messages: int
    unmatched: tuple[str, ...]
    unexplained: tuple[str, ...]
    broken: tuple[str, ...]
    journal_size: int
    journal_root: str
    wall_s: float
    cpu_s: float

    @property
    def ok(self) -> bool:
        """Every fault has one ticket with evidence sealed before anybody was told, and nothing else has."""
        return not (self.unmatched or self.unexplained or self.broken)

    @property
    def text(self) -> str:
        """For people."""
        lines = [
            f"simulated: {self.clients} clients, {self.assets} assets, {self.hours} hours, seed {self.seed}",
            f"observations: {self.observations}",
            f"faults injected: {self.faults}{self._too_short}",
            f"tickets: {self.tickets}",
            f"evidence sealed: {self.evidence}",
            f"messages told: {self.messages}",
            *_listed("faults without exactly one ticket", self.unmatched),
            *_listed("tickets without a fault", self.unexplained),
            *_listed("promises not kept", self.broken),
            f"journal: {self.journal_size} entries, root {self.journal_root}",
            f"took: {self.wall_s:.1f} s, {self.cpu_s:.1f} s of processor time",
            "ok" if self.ok else "NOT OK",
        ]
        return "\n".join(lines)

    @property
    def _too_short(self) -> str:
        if self.faults:
            return ""
        return f" ({self.hours} h are too short for a fault and its recovery: give --hours {hours_needed()})"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            **{name: getattr(self, name) for name in self.__slots__},
        }


def run_simulation(*, clients: int, seed: int, hours: int) -> SimulationResult:
    """Simulate from begin to end. Must be the first in its process to start Django; the settings of an
    installation, from variables or a database address, do not reach it."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for name in [name for name in os.environ if name.startswith("FORESTALL_") or name == "DATABASE_URL"]:
        del os.environ[name]
    ended = signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="forestall-simulation-") as folder:
        os.environ["FORESTALL_DATA"] = folder
        DataDir(Path(folder)).create()
        start_django()
        from django.core.management import call_command
        from django.db import connections

        from forestall.processes.simulation import simulate

        call_command("migrate", verbosity=0, interactive=False)
        try:
            reckoned = simulate(clients=clients, seed=seed, hours=hours)
        finally:
            connections.close_all()
    signal.signal(signal.SIGTERM, ended)
    return SimulationResult(
        clients=clients,
        seed=seed,
        hours=hours,
        wall_s=round(time.monotonic() - began_s, 1),
        cpu_s=round(time.process_time() - began_cpu_s, 1),
        **reckoned,
    )


def _end(number: int, frame: FrameType | None) -> None:
    """End as an exception does, so that the temporary directory is removed."""
    raise SystemExit(128 + number)


def _listed(title: str, lines: tuple[str, ...]) -> list[str]:
    rest = len(lines) - LISTED_MOST
    return [
        f"{title}: {len(lines)}",
        *(f"  {line}" for line in lines[:LISTED_MOST]),
        *([f"  and {rest} more"] if rest > 0 else []),
    ]
