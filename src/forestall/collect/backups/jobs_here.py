"""`forestall agent job PLAN -- COMMAND …`: runs a backup job where it is, and sees it from beginning to end.

Before: are the sources there, the manifest, the canary. Then the command, unchanged: its output and its exit
code pass through. After: what moved meanwhile, and what the tool said. The report is a file that the agent
takes when it can. Whatever of ours goes wrong is said on standard error, and never makes the job fail.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import ModuleType
from typing import IO, Any

import msgspec

from forestall.collect.agent.identity import masking_key
from forestall.collect.backups import canary
from forestall.collect.backups.adapter import RunRead
from forestall.collect.backups.excluding import excluded
from forestall.collect.backups.records import DIRECTORY, KnownPlan, Records
from forestall.collect.backups.sources import see
from forestall.collect.backups.taking import Taken, moved_since, take
from forestall.collect.backups.working import JOBS
from forestall.collect.masking import Masker
from forestall.kernel.backups import (
    EXCLUDES_MAX,
    MOVED_MAX,
    OUTPUT_MAX_CHARS,
    SOURCES_MAX,
    Canary,
    Manifest,
    RunReport,
)
from forestall.kernel.ids import new_id, to_number
from forestall.kernel.plugins import OnDemand

HASHING_S = 3_600.0
LOOK_AGAIN_S = 600.0
VERSION_WITHIN_S = 20.0
OUTPUT_KEPT_BYTES = 256 << 10
READ_BYTES = 16 << 10
NO_SUCH_COMMAND, NOT_ALLOWED = 127, 126  # as a shell has them
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL", re.I)
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
SECRET_MIN_CHARS = 6


@dataclass(slots=True)
class _Seen:
    """What is known of this run so far; `problems` are ours, not the job's."""

    plan: KnownPlan
    run: str
    facts: dict[str, Any] = field(default_factory=dict)
    taken: Taken | None = None
    planted: Canary | None = None
    problems: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Something of ours went wrong: the job goes on."""
        self.problems.append(text)
        print(f"forestall: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it is a command's own voice


def run_job(
    directory: Path | None,
    plan: str,
    command: Sequence[str],
    *,
    sources: Sequence[str] = (),
    hashing_s: float = HASHING_S,
) -> int:
    """Run the job and report it; its exit code (128 and the signal's number when it was ended by one).

    `directory` is the agent's; None when there is none: then the job runs unseen. `sources`: what it backs
    up, when neither the plan nor the command says it.
    """
    try:
        records, known = _find(directory, plan)
    except Exception as error:
        _say_unseen(str(error))
        return _shell_code(_run(command)[0])
    seen = _Seen(known, new_id())
    adapter = _adapter(known, command, seen)
    began_ms = _now_ms()
    _quietly(seen, "the run cannot be announced", lambda: records.put_report(_begun(seen, command, began_ms)))
    _quietly(
        seen,
        "the source cannot be seen",
        lambda: _before(seen, records, adapter, command, sources, hashing_s),
    )
    code, output = _run(command)
    ended_ms = _now_ms()
    read = RunRead("success" if code == 0 else "failed", f"{PurePath(command[0]).name} ended with {code}")
    if adapter is not None and hasattr(adapter, "read_run"):
        version = _version(adapter, command, seen)
        read = _quietly(
            seen, "the job's output cannot be read",
            lambda: adapter.read_run(code, output, command=command, version=version),
        ) or read  # fmt: skip
    manifest = _quietly(seen, "what moved cannot be seen", lambda: _after(seen, records))
    report = _report(
        seen, read, code=code, began_ms=began_ms, ended_ms=ended_ms, manifest=manifest, output=""
    )
    masked = _quietly(seen, "the output cannot be masked", lambda: _masked(output, directory)) or ""
    report = msgspec.structs.replace(report, output=masked[-OUTPUT_MAX_CHARS:])
    _quietly(seen, "the report of this run cannot be written", lambda: records.put_report(report))
    return _shell_code(code)


def _find(directory: Path | None, plan: str) -> tuple[Records, KnownPlan]:
    """Raises ValueError, OSError."""
    if directory is None:
        raise ValueError("there is no agent on this machine: the job runs unseen (see forestall agent enrol)")
    records = Records(directory / DIRECTORY)
    known = records.find_plan(plan)
    if known is None:
        try:
            to_number(plan)
        except ValueError:
            names = ", ".join(one.name for one in records.plans()) or "none yet"
            raise ValueError(
                f"there is no plan {plan!r} known on this machine ({names}): the job runs unseen. Write the "
                "plan's identifier, which its page shows"
            ) from None
        known = KnownPlan(plan, "", "", "")
    records.make_folder(known.id)
    return records, known


def _adapter(plan: KnownPlan, command: Sequence[str], seen: _Seen) -> Any:
    """The module, by the plan, else by the program that the command runs; None when there is none."""
    adapters = OnDemand(JOBS)
    words = {PurePath(word).name.removesuffix(".exe") for word in command[:8]}
    name = plan.tool or (
        "borg" if "borgmatic" in words else next((one for one in adapters if one in words), "")
    )
    if not name:
        return None
    return _quietly(seen, f"what {name} says cannot be read", lambda: adapters[name])


def _before(
    seen: _Seen,
    records: Records,
    adapter: ModuleType | None,
    command: Sequence[str],
    given: Sequence[str],
    hashing_s: float,
) -> None:
    """Sources, manifest, canary. Raises OSError."""
    plan = seen.plan
    wanted = list(given) or plan.sources
    if not wanted and adapter is not None and hasattr(adapter, "sources_of"):
        wanted = _quietly(seen, "the job's sources cannot be read", lambda: adapter.sources_of(command)) or []
    paths = [str(Path(one).absolute()) for one in wanted[:SOURCES_MAX]]
    if adapter is not None and hasattr(adapter, "excludes_of"):
        found = _quietly(seen, "what the job leaves out cannot be read", lambda: adapter.excludes_of(command))
        seen.facts["excludes"] = None if found is None else [one[:1024] for one in found[:EXCLUDES_MAX]]
    if adapter is not None and hasattr(adapter, "plant"):
        seen.planted = _quietly(
            seen, "no canary row can be planted",
            lambda: adapter.plant(command, plan=plan.id, run=seen.run, at_ms=_now_ms()),
        )  # fmt: skip
    if not paths or getattr(adapter, "OWN_COMPARISON", False):
        return
    seen.facts["sources"] = see(paths, counts={})  # as far as it is known when hashing fails
    home = next((Path(one) for one in paths if _has_files(Path(one))), None)
    plain: Path | None = None
    if home is not None:
        place = _quietly(seen, f"no canary can be planted in {home}", lambda: canary.prepare(home))
        plain = place / canary.MANIFEST if place is not None else None
    until = time.monotonic() + hashing_s
    taken = take(
        paths, full=records.manifest(plan.id, seen.run), plain=plain, previous=records.last_manifest(plan.id),
        at_ms=_now_ms(), skip=excluded(plan.excludes), hashing=lambda: time.monotonic() < until,
    )  # fmt: skip
    seen.taken = taken
    seen.facts["sources"] = see(paths, counts=taken.sources)
    if not taken.tail.whole:
        seen.say(
            f"not every file could be hashed within {hashing_s:.0f} s: the next run goes on from here, and "
            "this one has no manifest"
        )
    for problem in taken.problems:
        seen.say(problem)
    if home is not None and plain is not None:
        canary.show(plain, home)
        seen.planted = canary.plant(
            home, plan=plan.id, run=seen.run, root=taken.tail.root, at_ms=_now_ms()
        )  # fmt: skip


def _has_files(path: Path) -> bool:
    """Nothing is planted in an empty directory: it may be where something should be mounted. Nor behind a
    link, which a tool does not follow."""
    if path.is_symlink():
        return False
    try:
        with os.scandir(path) as entries:
            return any(entry.name != canary.DIRECTORY for entry in entries)
    except OSError:
        return False


def _after(seen: _Seen, records: Records) -> Manifest | None:
    """Which files moved while the run went on."""
    taken = seen.taken
    if taken is None or not taken.tail.whole:
        return None
    until = time.monotonic() + LOOK_AGAIN_S
    moved = moved_since(records.manifest(seen.plan.id, seen.run), hashing=lambda: time.monotonic() < until)
    records.write_moved(seen.plan.id, seen.run, moved)
    named = [path.decode("utf-8", "replace")[-1024:] for path in list(moved)[:MOVED_MAX]]
    return Manifest(taken.tail.root, taken.at_ms, taken.tail.files, taken.tail.size, len(moved), named)


def _begun(seen: _Seen, command: Sequence[str], began_ms: int) -> RunReport:
    return RunReport(
        plan=seen.plan.id, run=seen.run, at_ms=began_ms, by="job", said="running", began_ms=began_ms,
        tool=(seen.plan.tool or PurePath(command[0]).name)[:128],
    )  # fmt: skip


def _report(
    seen: _Seen,
    read: RunRead,
    *,
    code: int,
    began_ms: int,
    ended_ms: int,
    manifest: Manifest | None,
    output: str,
) -> RunReport:
    taken = seen.taken
    changes = taken.changes if taken is not None else None
    new, changed, removed = (changes.new, changes.changed, changes.removed) if changes else (None, None, None)
    # Tools count what was touched (chown, a move to another disk) as changed; bytes that were compared know.
    compared = changed if taken is not None and taken.tail.whole else None
    reason = read.reason
    if seen.problems:
        reason += f". Not seen: {'; '.join(seen.problems[:3])}"
    return RunReport(
        plan=seen.plan.id, run=seen.run, at_ms=_now_ms(), by="job", said=read.said, began_ms=began_ms,
        ended_ms=max(began_ms, ended_ms), reason=reason[:2048], tool=seen.plan.tool[:128],
        version=read.version[:128], exit_code=code, output=output, copy=read.copy[:160], files=read.files,
        size=read.size, files_new=_first(read.files_new, new),
        files_changed=_first(compared, read.files_changed, changed),
        files_removed=_first(read.files_removed, removed), added=read.added,
        entropy=changes.entropy if changes else None, renamed=changes.renamed if changes else None,
        canary=seen.planted, manifest=manifest, **seen.facts,
    )  # fmt: skip


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


# the command itself


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Its exit code (negative: ended by that signal) and the end of what it said, which passes through."""
    try:
        process = subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        _say_unseen(f"there is no program {command[0]!r}")
        return NO_SUCH_COMMAND, f"there is no program {command[0]!r}"
    except OSError as error:
        _say_unseen(f"{command[0]} cannot be run: {error.strerror or error}")
        return NOT_ALLOWED, f"{command[0]} cannot be run: {error.strerror or error}"
    kept = _Kept()
    assert process.stdout and process.stderr
    pipes = ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    threads = [threading.Thread(target=_pass, args=(pipe, to, kept), daemon=True) for pipe, to in pipes]
    before = _forward_signals(process)
    try:
        for thread in threads:
            thread.start()
        code = process.wait()
        for thread in threads:
            thread.join(5.0)  # a grandchild may hold the pipe open: it is not waited for
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, kept.text()


def _forward_signals(process: "subprocess.Popen[bytes]") -> dict[int, Any]:
    """What asks us to end asks the job. Ctrl-C at a terminal reaches the job by itself."""
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before
    for name, forward in (("SIGTERM", True), ("SIGHUP", True), ("SIGINT", False)):
        number = getattr(signal, name, None)
        if number is not None:
            handler: Callable[..., Any] = (
                (lambda got, _: process.send_signal(got)) if forward else (lambda *_: None)
            )
            before[number] = signal.signal(number, handler)
    return before


class _Kept:
    """The end of both outputs, in the order in which they came."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        with self._lock:
            self._parts.append(data)
            self._size += len(data)
            while self._size - len(self._parts[0]) >= OUTPUT_KEPT_BYTES:
                self._size -= len(self._parts.popleft())

    def text(self) -> str:
        with self._lock:
            return b"".join(self._parts).decode("utf-8", "replace").replace("\r", "\n")


def _pass(pipe: IO[bytes], to: Any, kept: _Kept) -> None:
    """Hand on what comes, at once; when nobody takes it any more the job still goes on."""
    out = getattr(to, "buffer", None)
    while data := os.read(pipe.fileno(), READ_BYTES):
        kept.add(data)
        try:
            if out is not None:
                out.write(data)
                out.flush()
        except (OSError, ValueError):
            out = None


def _version(adapter: ModuleType, command: Sequence[str], seen: _Seen) -> str:
    if not hasattr(adapter, "version_command"):
        return ""

    def ask() -> str:
        words = adapter.version_command(command)
        ended = subprocess.run(
            words, capture_output=True, timeout=VERSION_WITHIN_S, stdin=subprocess.DEVNULL, check=False
        )
        found = _VERSION.search((ended.stdout + ended.stderr).decode("utf-8", "replace"))
        return found[0] if found else ""

    return _quietly(seen, "the tool does not tell its version", ask) or ""


def _masked(output: str, directory: Path | None) -> str:
    """Without what looks like a secret, and without the secrets of this job's own environment."""
    try:
        key = masking_key(directory) if directory is not None else secrets.token_bytes(32)
    except OSError:
        key = secrets.token_bytes(32)
    for value in sorted(_secrets_of(os.environ), key=len, reverse=True):
        output = output.replace(value, "(secret)")
    masker = Masker(key)
    return "\n".join(masker.mask_line(line) for line in output[-2 * OUTPUT_MAX_CHARS :].splitlines())


def _secrets_of(environment: Mapping[str, str]) -> list[str]:
    return [
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= SECRET_MIN_CHARS and not value.startswith("/")
    ]


def _quietly(seen: _Seen, what: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; None when it failed, which is said and reported: the job goes on."""
    try:
        return work()
    except Exception as error:
        text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        seen.say(f"{what}: {text or type(error).__name__}")
        return None


def _say_unseen(text: str) -> None:
    print(f"forestall: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it is a command's own voice


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
