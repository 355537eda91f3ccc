"""What is kept of backups in the agent's directory: the plans that are known here (without secrets), reports
of jobs until the agent takes them, the newest runs with their manifests, and what was done when.

Jobs and the agent are processes of their own: everything is a file that is whole or not there.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from forestall.collect.backups.taking import Moved
from forestall.kernel.backups import BackupOrder, RunReport
from forestall.kernel.durable import make_directory, sync_directory

DIRECTORY = "backups"
RUNS_MAX = 60  # kept of a plan
MANIFESTS_MAX = 8
REPORTS_MAX = 10_000
BAD_MAX = 100
REPORT_MAX_BYTES = 1 << 20
MOVED_MAX_BYTES = 64 << 20

log = logging.getLogger("agent")
T = TypeVar("T")


class KnownPlan(msgspec.Struct, frozen=True):
    """A plan as a job on this machine needs to know it."""

    id: str
    name: str
    asset: str
    tool: str
    sources: list[str] = []
    excludes: list[str] = []


class Done(msgspec.Struct):
    """What was done for a plan when, in ms: `done` by work, `tried` without success; `seen_ms`: since when
    the plan is known; `part`: the slice that was read last; `wanted` are identifiers of proofs that were
    made, `copies` keys that were reported as runs."""

    seen_ms: int
    done: dict[str, int] = {}
    tried: dict[str, int] = {}
    part: int = 0
    wanted: list[str] = []
    copies: list[str] = []


class Records:
    """The files below `directory` (the agent's, with DIRECTORY). Nothing is made before it is needed."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self._plans = directory / "plans.json"
        self._done = directory / "working.json"
        self._reports = directory / "reports"

    # plans

    def write_plans(self, orders: Iterable[BackupOrder]) -> None:
        """From now on these are known. Raises OSError."""
        known = [
            KnownPlan(
                one.id, one.name, one.asset, one.tool, one.sources,
                [str(line) for line in one.settings.get("excludes") or []],
            )
            for one in orders
        ]  # fmt: skip
        if known != self.plans():
            _write(self._plans, msgspec.json.encode(known))

    def plans(self) -> list[KnownPlan]:
        """Those that are known here; none when nothing was heard yet."""
        return _read(self._plans, list[KnownPlan], REPORT_MAX_BYTES << 4) or []

    def find_plan(self, word: str) -> KnownPlan | None:
        """By its identifier or its name."""
        plans = self.plans()
        return next((one for one in plans if one.id == word), None) or next(
            (one for one in plans if one.name.casefold() == word.casefold()), None
        )

    # reports of jobs, until the agent takes them

    def put_report(self, report: RunReport) -> None:
        """For the agent, durably; one that ended is kept for the drills. Raises OSError."""
        ended = report.said != "running"
        _write(self._reports / f"{report.run}-{int(ended)}.json", msgspec.json.encode(report))
        if ended:
            self.keep_run(report)

    def waiting(self) -> list[tuple[Path, RunReport]]:
        """Reports that wait, the oldest first; what is none is put aside for inspection."""
        found = []
        for path in sorted(self._reports.glob("*.json"))[:REPORTS_MAX]:
            if path.name.startswith("."):
                continue
            report = _read(path, RunReport, REPORT_MAX_BYTES)
            if report is None:
                self._put_aside(path)
            else:
                found.append((path, report))
        return found

    def _put_aside(self, path: Path) -> None:
        bad = self._reports / "bad"
        log.warning("%s is no report of a run: it is kept in %s", path.name, bad)
        bad.mkdir(exist_ok=True)
        path.replace(bad / path.name)
        for old in sorted(bad.iterdir(), key=lambda one: one.stat().st_mtime)[:-BAD_MAX]:
            old.unlink(missing_ok=True)

    # runs and their manifests

    def keep_run(self, report: RunReport) -> None:
        """Keep a run, or what is now known of it. Raises OSError."""
        folder = self._runs(report.plan)
        _write(folder / f"{report.run}.json", msgspec.json.encode(report))
        for old in sorted(folder.glob("*.json"))[:-RUNS_MAX]:
            old.unlink(missing_ok=True)
        manifests = sorted(folder.glob("*.manifest"))
        for old in manifests[:-MANIFESTS_MAX]:
            old.unlink(missing_ok=True)
            old.with_suffix(".moved").unlink(missing_ok=True)

    def runs(self, plan: str) -> list[RunReport]:
        """The newest runs of a plan that were seen on this machine, the newest first."""
        paths = sorted(self._runs(plan).glob("*.json"), reverse=True)
        reports = (
            _read(path, RunReport, REPORT_MAX_BYTES) for path in paths if not path.name.startswith(".")
        )
        return [one for one in reports if one is not None]

    def manifest(self, plan: str, run: str) -> Path:
        """Where the manifest of a run lies, or will."""
        return self._runs(plan) / f"{run}.manifest"

    def last_manifest(self, plan: str) -> Path | None:
        """The newest one."""
        found = sorted(path for path in self._runs(plan).glob("*.manifest") if not path.name.startswith("."))
        return found[-1] if found else None

    def write_moved(self, plan: str, run: str, moved: Mapping[bytes, Moved]) -> None:
        """Keep which files moved. Raises OSError."""
        path = self.manifest(plan, run).with_suffix(".moved")
        _write(path, msgspec.msgpack.encode(list(moved.items())))

    def read_moved(self, plan: str, run: str) -> dict[bytes, Moved] | None:
        """None when it is not known here."""
        path = self.manifest(plan, run).with_suffix(".moved")
        try:
            if path.stat().st_size > MOVED_MAX_BYTES:
                return None
            return dict(msgspec.msgpack.decode(path.read_bytes(), type=list[tuple[bytes, Moved]]))
        except (OSError, msgspec.MsgspecError):
            return None

    def make_folder(self, plan: str) -> None:
        """For a plan's runs. Raises OSError."""
        make_directory(self._runs(plan))

    def keep(self, plan: str) -> Path:
        """Where a plan's adapter remembers what it has read; made by it. Raises ValueError."""
        if not plan.isalnum():
            raise ValueError(f"{plan!r} is no identifier of a plan")
        return self.home / "read" / plan

    def _runs(self, plan: str) -> Path:
        if not plan.isalnum():
            raise ValueError(f"{plan!r} is no identifier of a plan")
        return self.home / "runs" / plan

    # what was done when

    def read_done(self) -> dict[str, Done]:
        """By plan; empty when nothing was done yet."""
        return _read(self._done, dict[str, Done], REPORT_MAX_BYTES << 4) or {}

    def write_done(self, done: Mapping[str, Done]) -> None:
        """Raises OSError."""
        _write(self._done, msgspec.json.encode(done))


def _read(path: Path, kind: type[T], most: int) -> T | None:
    """What a file holds; None when it is not there, or is not what it should be (said in the log)."""
    try:
        if path.stat().st_size > most:
            raise ValueError(f"it has more than {most} bytes")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return None


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, durably."""
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def plan_settings(order: BackupOrder, name: str) -> list[str]:
    """A setting of lines, as the order brings it."""
    found: Any = order.settings.get(name) or []
    return found.splitlines() if isinstance(found, str) else [str(line) for line in found]
