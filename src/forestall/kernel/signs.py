"""Signs of life: each role writes a small file every two seconds; guard, supervisor and console read it.

A role whose parent went away stops, so that nothing is left behind when a supervisor is killed.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEAT_S = 2.0
PARENT_VARIABLE = "FORESTALL_PARENT"


@dataclass(frozen=True, slots=True)
class Sign:
    """A role's last sign of life. `at` is in seconds since 1970; `numbers` are the role's own figures."""

    role: str
    pid: int
    at: float
    started_at: float
    numbers: dict[str, Any]

    def age_s(self, now: float) -> float:
        """How long ago it was given."""
        return max(0.0, now - self.at)


class Heart:
    """Writes a role's sign from a thread of its own. `numbers` is called for the figures; `alive` says
    whether the role's own loop still turns (a wedged loop gives no sign)."""

    def __init__(
        self,
        role: str,
        run: Path,
        *,
        numbers: Callable[[], dict[str, Any]] = dict,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.role = role
        self.path = run / f"{role}.json"
        self.numbers = numbers
        self.alive = alive
        self.started_at = time.time()
        self._stop = threading.Event()
        self._parent = int(os.environ.get(PARENT_VARIABLE, "0"))
        self._thread = threading.Thread(target=self._beat, name=f"{role}-heart", daemon=True)

    def start(self) -> None:
        """Give the first sign, and go on."""
        self.give()
        self._thread.start()

    def stop(self) -> None:
        """No more signs."""
        self._stop.set()

    def give(self) -> None:
        """One sign, now."""
        sign = {
            "role": self.role,
            "pid": os.getpid(),
            "at": time.time(),
            "started_at": self.started_at,
            "numbers": self.numbers(),
        }
        temporary = self.path.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(json.dumps(sign))
            temporary.replace(self.path)
        except OSError:
            # A full or failing disk: the missing sign is what the guard sees, and the next one may come.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            if self._parent and os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if self.alive():
                self.give()


@dataclass(frozen=True, slots=True)
class LastWords:
    """Why a role ended by itself, and when (seconds since 1970)."""

    role: str
    at: float
    why: str


def leave_words(run: Path, role: str, why: str) -> None:
    """Say why this role ends, for whoever looks later; nothing where that cannot be written."""
    with contextlib.suppress(OSError):
        (run / f"{role}.words").write_text(json.dumps({"role": role, "at": time.time(), "why": why}))


def read_words(run: Path, role: str) -> LastWords | None:
    """What a role said when it last ended by itself, or None."""
    try:
        return LastWords(**json.loads((run / f"{role}.words").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_sign(run: Path, role: str) -> Sign | None:
    """The last sign of a role, or None when it never gave one."""
    try:
        sign = json.loads((run / f"{role}.json").read_text())
        return Sign(**sign)
    except (OSError, ValueError, TypeError):
        return None
