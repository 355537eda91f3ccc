"""`forestall up`: starts the roles as processes of their own and starts again whichever ends.

Processes are spawned, never forked: the store's library must not be forked after it was loaded.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forestall.kernel.signs import PARENT_VARIABLE, read_sign

LOOK_EVERY_S = 0.2
FIRST_PAUSE_S = 0.3
LONGEST_PAUSE_S = 5.0
STEADY_AFTER_S = 30.0
STOP_WITHIN_S = 15.0
RESTARTS_KEPT = 200
# The watch takes and gives back tens of megabytes with every batch. By default glibc returns each to the
# system, which must clear the pages anew; so much may stay with the process instead. Source: mallopt(3).
KEPT_BY_MALLOC = str(256 << 20)
ENVIRONMENTS = {
    "watch": {"MALLOC_MMAP_THRESHOLD_": KEPT_BY_MALLOC, "MALLOC_TRIM_THRESHOLD_": KEPT_BY_MALLOC},
}


@dataclass(slots=True)
class Child:
    """A role's process: how it is started, and how often it had to be."""

    role: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    start_at: float = 0.0
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps children running until told to stop; `said` prints a line to the person."""

    run: Path
    said: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def add(self, role: str, command: Sequence[str]) -> None:
        """A role to keep running; it is started by the next `look`."""
        (self.run / f"{role}.json").unlink(missing_ok=True)
        self.children.append(Child(role, command))

    def stop(self, *_: object) -> None:
        """End everything, as soon as the loop comes around (also a signal handler)."""
        self.stopping = True

    def look(self) -> None:
        """Start what is due, notice what ended."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.start_at:
                    self._start(child, now)
                continue
            status = child.process.poll()
            if status is None:
                if now - child.started_at > STEADY_AFTER_S:
                    child.pause_s = FIRST_PAUSE_S
                continue
            child.process = None
            child.restarts += 1
            child.start_at = now + child.pause_s
            self._note(child, status)
            child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)

    def wait_for(self, roles: Sequence[str], timeout_s: float) -> list[str]:
        """Look after the children until all these roles gave a sign of life; the ones that did not."""
        deadline = time.monotonic() + timeout_s
        missing = list(roles)
        while missing and time.monotonic() < deadline and not self.stopping:
            self.look()
            missing = [role for role in missing if read_sign(self.run, role) is None]
            time.sleep(LOOK_EVERY_S)
        return missing

    def go_on(self) -> None:
        """Look after the children until told to stop; then end them in the reverse order of their start."""
        while not self.stopping:
            self.look()
            time.sleep(LOOK_EVERY_S)

    def end(self) -> None:
        """Ask every child to end, last started first; kill what does not within STOP_WITHIN_S."""
        deadline = time.monotonic() + STOP_WITHIN_S
        for child in reversed(self.children):
            if child.process is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(max(0.5, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _start(self, child: Child, now: float) -> None:
        environment = os.environ | ENVIRONMENTS.get(child.role, {})
        environment |= {PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        child.process = subprocess.Popen(
            child.command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        child.started_at = now

    def _note(self, child: Child, status: int) -> None:
        """Keep what ended and why, for the console; say it."""
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self.said(f"{child.role} {how}; starting it again")
        path = self.run / "restarts.json"
        with contextlib.suppress(OSError):
            before: list[object] = []
            with contextlib.suppress(OSError, ValueError):
                before = json.loads(path.read_text())
            entry = {"role": child.role, "how": how, "at": time.time(), "count": child.restarts}
            path.write_text(json.dumps([*before, entry][-RESTARTS_KEPT:]))


def role_command(role: str) -> list[str]:
    """How a role of this program is started."""
    return [sys.executable, "-m", "forestall.processes.role", role]
