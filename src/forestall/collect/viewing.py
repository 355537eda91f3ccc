"""How the agent looks at its machine: the view that a look is handed, and what it gives back.

A look is one file in `collect/host/`: a `SPEC`, `EVERY_S`, and `def look(view: View) -> Reading`.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forestall.kernel.observations import LogRecord, Sample, Snapshot

COMMAND_S = 20.0
OUTPUT_MAX_BYTES = 4 << 20
SNAPSHOT_MAX_CHARS = 1 << 20


class NotHere(Exception):
    """This machine has no such thing (no systemd, no journal): nothing to see, nothing wrong."""


@dataclass(slots=True)
class Reading:
    """What a look saw. `keep` replaces the look's durable memory once the reading is safely spooled."""

    samples: list[Sample] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    keep: dict[str, Any] | None = None


@dataclass(slots=True)
class View:
    """What a look may use. `memory` lives while the agent runs (counters of the last look); `kept` is the
    durable memory that the look gave back last. `root` is "/" but for tests."""

    now_ms: int
    memory: dict[str, Any]
    kept: dict[str, Any]
    mask: Callable[[str], str]
    signed_in: Callable[[], list[str]]
    root: Path = Path("/")
    settings: dict[str, Any] = field(default_factory=dict)

    def sample(self, metric: str, value: float, item: str = "") -> Sample:
        """A sample of now."""
        return Sample(self.now_ms, metric, item[:256], float(value))

    def rate(self, key: str, counter: float) -> float | None:
        """The growth of a counter per second since the last look; None at the first, and after a reset."""
        before = self.memory.get(key)
        self.memory[key] = (self.now_ms, counter)
        if before is None or self.now_ms <= before[0] or counter < before[1]:
            return None
        return float((counter - before[1]) * 1000 / (self.now_ms - before[0]))

    def snapshot(self, kind: str, title: str, lines: Iterable[str], problem: str = "") -> Snapshot:
        """Configuration text, secrets masked; too long text is a capture that was cut short."""
        text = self.mask("\n".join(lines)) + "\n"
        if len(text) > SNAPSHOT_MAX_CHARS:
            problem = f"the text is longer than {SNAPSHOT_MAX_CHARS} characters and was cut"
            text = text[:SNAPSHOT_MAX_CHARS]
        return Snapshot(
            at_ms=self.now_ms, kind=kind, title=title, text=text, problem=problem, signed_in=self.signed_in()
        )


def run(command: Sequence[str], *, timeout_s: float = COMMAND_S) -> str:
    """The output of a command, without a shell. Raises NotHere when there is no such command, OSError in
    words when it fails, answers too much or not in time; its whole process group is ended then."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
    }
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotHere(f"{command[0]} is not installed") from None
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise OSError(f"{command[0]} did not answer within {timeout_s:.0f} s") from None
    if len(output) > OUTPUT_MAX_BYTES:
        raise OSError(f"{command[0]} answered more than {OUTPUT_MAX_BYTES} bytes")
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip().splitlines()
        raise OSError(
            f"{command[0]} ended with status {process.returncode}: {said[-1] if said else 'no reason'}"[:500]
        )
    return output.decode(errors="replace")


def read_text(path: Path, most: int = SNAPSHOT_MAX_CHARS) -> str:
    """A file's text, cut to `most` characters. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(most + 1)
