"""How the agent looks at its machine: the view that a look is handed, and what it gives back.

A look is one file in `collect/host/`: a `SPEC`, `EVERY_S`, and `def look(view: View) -> Reading`.
Optional: `RATES = True` when it needs two readings (then the second comes after a second), `FOLLOWS = True`
when it reads on from a kept place (then it waits while what it read before cannot be put anywhere).
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from forestall.kernel.observations import LogRecord, Sample, Snapshot

COMMAND_S = 20.0
OUTPUT_MAX_BYTES = 4 << 20
ERRORS_MAX_BYTES = 4096
SNAPSHOT_MAX_CHARS = 1 << 20
PIECE_BYTES = 64 << 10
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # it is there on Windows alone
_OF_WINDOWS = (
    "SYSTEMROOT WINDIR SYSTEMDRIVE TEMP TMP PROGRAMDATA ALLUSERSPROFILE PROGRAMFILES PROGRAMFILES(X86) "
    "PROGRAMW6432 COMMONPROGRAMFILES USERPROFILE COMPUTERNAME PATHEXT NUMBER_OF_PROCESSORS"
)


class NotHere(Exception):
    """This machine has no such thing (no systemd, no journal): nothing to see, nothing wrong."""


@dataclass(slots=True)
class Reading:
    """What a look saw. `keep` replaces the look's durable memory once the reading is safely spooled;
    `more` says that there is more to be read at once."""

    samples: list[Sample] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    keep: dict[str, Any] | None = None
    more: bool = False


def nobody() -> list[str]:
    """Who is signed in when nobody is."""
    return []


class Run(Protocol):
    """Runs a command: `run_bytes`, and what plays recordings in tests."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float = COMMAND_S,
        statuses: Container[int] = (0,),
        most_bytes: int = OUTPUT_MAX_BYTES,
        cut: bool = False,
    ) -> bytes:
        """The command's output."""
        ...


def run_bytes(
    command: Sequence[str],
    *,
    timeout_s: float = COMMAND_S,
    statuses: Container[int] = (0,),
    most_bytes: int = OUTPUT_MAX_BYTES,
    cut: bool = False,
) -> bytes:
    """The output of a command, without a shell. With `cut`, at most `most_bytes` of it, and the command is
    ended then; else too long an answer is an error.

    Raises NotHere when there is no such command, OSError in words when it ends with a status that is not
    among `statuses`, answers too much or not in time; its whole process group is ended then.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                env=_environment(sys.platform), start_new_session=True,
                creationflags=NO_WINDOW,
            )  # fmt: skip
        except FileNotFoundError:
            raise NotHere(f"{command[0]} is not installed") from None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            with process:
                assert process.stdout is not None
                output = _read_up_to(process.stdout, most_bytes + 1)
                if len(output) > most_bytes:
                    _end(process)
        finally:
            timer.cancel()
        errors.seek(0)
        said = errors.read(ERRORS_MAX_BYTES).decode(errors="replace").strip().splitlines()
    if late.is_set():
        raise OSError(f"{command[0]} did not answer within {timeout_s:.0f} s")
    if len(output) > most_bytes:
        if not cut:
            raise OSError(f"{command[0]} answered more than {most_bytes} bytes")
        return output[:most_bytes]
    if process.returncode not in statuses:
        why = said[-1] if said else "no reason"
        raise OSError(f"{command[0]} ended with status {process.returncode}: {why}"[:500])
    return output


def _environment(platform: str) -> dict[str, str]:
    """What a command knows of us: where programs are, and to speak English."""
    if platform == "win32":
        kept = {name: os.environ[name] for name in _OF_WINDOWS.split() if name in os.environ}
        system = kept.get("SYSTEMROOT", "C:\\Windows")
        return kept | {"PATH": f"{system}\\System32;{system};{system}\\System32\\Wbem"}
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec",
        "LC_ALL": "en_US.UTF-8" if platform == "darwin" else "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
    }


def run(
    command: Sequence[str],
    *,
    timeout_s: float = COMMAND_S,
    statuses: Container[int] = (0,),
    most_bytes: int = OUTPUT_MAX_BYTES,
    cut: bool = False,
) -> str:
    """The output of a command as text. Raises as run_bytes."""
    output = run_bytes(command, timeout_s=timeout_s, statuses=statuses, most_bytes=most_bytes, cut=cut)
    return output.decode(errors="replace")


@dataclass(slots=True)
class View:
    """What a look may use. `memory` lives while the agent runs (counters of the last look); `kept` is the
    durable memory that the look gave back last. `steady_s` is a clock that never jumps. `root` is "/" (the
    system's drive on Windows) and `run` runs commands, but for tests."""

    now_ms: int
    steady_s: float
    memory: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    mask: Callable[[str], str] = str
    signed_in: Callable[[], list[str]] = nobody
    root: Path = Path("/")
    settings: dict[str, Any] = field(default_factory=dict)
    run: Run = run_bytes

    def sample(self, metric: str, value: float, item: str = "") -> Sample:
        """A sample of now."""
        return Sample(self.now_ms, metric, item[:256], float(value))

    def rate(self, key: str, counter: float) -> float | None:
        """The growth of a counter per second since the last look; None at the first, and after a reset."""
        before = self.memory.get(key)
        self.memory[key] = (self.steady_s, counter)
        if before is None or self.steady_s <= before[0] or counter < before[1]:
            return None
        return float((counter - before[1]) / (self.steady_s - before[0]))

    def snapshot(
        self, kind: str, title: str, lines: Iterable[str], *, problem: str = "", names: bool = False
    ) -> Snapshot:
        """Configuration text, secrets masked; too long text is a capture that was cut short. `names`: these
        are names alone (of packages, ports), in which there are no secrets."""
        text = "\n".join(lines)
        if len(text) > SNAPSHOT_MAX_CHARS:
            problem = f"the text is longer than {SNAPSHOT_MAX_CHARS} characters and was cut"
            text = text[:SNAPSHOT_MAX_CHARS]
        return Snapshot(
            at_ms=self.now_ms,
            kind=kind[:128],
            title=title[:128],
            text=(text if names else self.mask(text)) + "\n",
            problem=problem[:1024],
            signed_in=self.signed_in(),
        )


def _read_up_to(stream: IO[bytes], most: int) -> bytes:
    parts, left = [], most
    while left > 0 and (part := stream.read(min(left, PIECE_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass


def read_text(path: Path, most: int = SNAPSHOT_MAX_CHARS) -> str:
    """A file's text, cut to one character more than `most`. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(most + 1)
