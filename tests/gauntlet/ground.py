"""The ground of the gauntlet: a plan with nights of real runs behind it, and the judge that looks at it.

Everything goes the way of the product: the job runs through `forestall agent job` on a real source into a
real repository, the agent's own scheduler looks, checks, reads and restores, the judge reads what they say.
Only days are played: the tools are told the time of their copy, and reports of nights are moved with them.
"""

import asyncio
import atexit
import copy
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from contract.backup_site import Site, state, wall_ms
from forestall.collect.jobs import borg
from forestall.judge.backups import Cadence, JudgedPlan, Keep, PlanHistory, PlanVerdict, judge_plan
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.kernel.backups import Bound, ProofReport, RepositoryReport, RunReport, WantedWork, Work
from forestall.kernel.ids import new_id

DAY_MS = 86_400_000
NIGHTS = 6
LOOKS = 2  # so many of the last good nights were looked at
RULES = [one for one in load_packs(builtin_packs()).rules_for("server").values() if one.check]


class Ground:
    """A plan of `tool` after some good nights; a fault is made by the test, then `night` and `verdict`."""

    def __init__(self, home: Path, tool: ModuleType, *, keep: Keep | None = None) -> None:
        self.site = Site(home, tool)
        self.keep = keep
        self.runs: list[RunReport] = []
        self.looks: list[RepositoryReport] = []
        self.proofs: list[ProofReport] = []
        self.sources: list[Path] = [self.site.source]
        self.began_ms = wall_ms()
        self.day: float = 0  # how many days ago the night to come is played

    @property
    def order(self) -> dict[str, Any]:
        return {"sources": [str(one) for one in self.sources]}

    def good_nights(self, count: int = NIGHTS, *, looks: int = LOOKS) -> None:
        """So many nights as they should be, the last one last night; the last `looks` were looked at."""
        for left in range(count, 0, -1):
            self.day = left
            name = f"made {left}.txt"
            (self.site.source / "folder1" / name).write_bytes(os.urandom(700 + 13 * left))
            code, run = self.night()
            assert code == 0 and run.said == "success", run
            if left <= looks:
                asyncio.run(self.look())
        self.day = 0

    def night(
        self, *sources: Path | str, command: Sequence[str] = (), more: Sequence[str] = ()
    ) -> tuple[int, RunReport]:
        """A run of the job: of the plan's sources unless told otherwise."""
        at = datetime.fromtimestamp((wall_ms() - int(self.day * DAY_MS)) / 1000, UTC)
        if not command:
            paths = [str(one) for one in sources or self.sources]
            base = self.site.command(*paths)
            if self.site.tool is borg:
                stamp = ["--timestamp", f"{at:%Y-%m-%dT%H:%M:%S}"]
                command = [*base[:2], *stamp, *more, *base[2:]]
            else:
                command = [*base, "--time", f"{at.astimezone():%Y-%m-%d %H:%M:%S}", *more]
        self.site.records.write_plans([self.site.order(**self.order)])
        code, run = self._job(command)
        self.runs.append(earlier(run, self.day))
        return code, run

    def _job(self, command: Sequence[str]) -> tuple[int, RunReport]:
        self.site.known = False  # the plan was written above, with its sources
        return self.site.job(*command)

    async def look(self) -> RepositoryReport:
        """What the agent's look finds, `day` days ago."""
        self.site.reports.clear()
        order = self.site.order(wanted=[], works=[], **self.order)
        found = await self._until(order, "look")
        assert isinstance(found, RepositoryReport)
        self.looks.append(earlier(found, self.day))
        return found

    async def look_until_run(self) -> RunReport:
        """A look that also finds a copy of which the job said nothing."""
        self.site.reports.clear()
        order = self.site.order(wanted=[WantedWork(new_id(), "look", wall_ms())], works=[], **self.order)
        before = _seen(self.site.repository)
        await self.site.until(order, lambda one: isinstance(one, RunReport) and one.by == "repository")
        assert _seen(self.site.repository) == before
        reports = [one for _, one in self.site.reports]
        self.looks += [one for one in reports if isinstance(one, RepositoryReport)]
        found = [one for one in reports if isinstance(one, RunReport) and one.by == "repository"]
        self.runs += found
        return found[-1]

    async def prove(self, work: Work, **changes: Any) -> ProofReport:
        """A work by the agent's scheduler, on the newest copy."""
        run = self.site.records.runs(self.site.plan)[0]
        bound = [Bound(run=run.run, copy=run.copy, manifest=run.manifest, canary=run.canary)]
        order = self.site.order(bound=bound, **{**self.order, **changes})
        found = await self._until(order, work)
        assert isinstance(found, ProofReport)
        self.proofs.append(found)
        return found

    async def _until(self, order: Any, work: Work) -> Any:
        wanted = WantedWork(new_id(), work, wall_ms())
        order = msgspec.structs.replace(order, wanted=[wanted])
        found: list[Any] = []

        def enough(report: Any) -> bool:
            right = (
                isinstance(report, RepositoryReport)
                if work == "look"
                else isinstance(report, ProofReport) and report.proof == wanted.proof
            )
            if right:
                found.append(report)
            return right

        before = _seen(self.site.repository)
        await self.site.until(order, enough)
        assert _seen(self.site.repository) == before, f"{work} has changed what it should only read"
        return found[-1]

    def verdict(self, *, days_later: float = 0, cadences: Sequence[Cadence] = ()) -> PlanVerdict:
        """What the judge says of everything that was reported."""
        plan = JudgedPlan(
            id=self.site.plan, asset=1, name="Files", tool=self.site.tool.SPEC.name, rpo_ms=DAY_MS,
            started_ms=self.began_ms - 30 * DAY_MS, sources=tuple(map(str, self.sources)), keep=self.keep,
            cadences=tuple(cadences), slices=3, collector="srv",
        )  # fmt: skip
        history = PlanHistory(
            runs=sorted(self.runs, key=_at),
            looks=sorted(self.looks, key=_at),
            proofs=sorted(self.proofs, key=lambda one: one.ended_ms),
        )
        return judge_plan(plan, history, rules=RULES, now_ms=wall_ms() + int(days_later * DAY_MS))

    def found(self, **more: Any) -> dict[str, str]:
        """Rule → reason of everything that is wrong and is told."""
        return {one.rule: one.reason for one in self.verdict(**more).disagreements if one.tells}


def settled(tool: ModuleType, *, keep: Keep | None = None) -> Ground:
    """A plan with its good nights behind it, of which one is made and every test has the same again: files,
    repository and reports as they were. It lies where the last one did, so a test has one at a time."""
    made, kept = _made(tool)
    home = made.site.home
    shutil.rmtree(home)
    shutil.copytree(kept, home, symlinks=True)
    ground = copy.copy(made)
    ground.site = copy.copy(made.site)
    ground.site.reports, ground.keep = [], keep
    ground.site.environment = {**made.site.environment}
    ground.runs, ground.looks, ground.proofs = [*made.runs], [*made.looks], []
    ground.sources = [*made.sources]
    return ground


@cache
def _made(tool: ModuleType) -> tuple[Ground, Path]:
    """The one, and where it is kept."""
    folder = Path(tempfile.mkdtemp(prefix="forestall-gauntlet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)
    (folder / "home").mkdir()
    ground = Ground(folder / "home", tool)
    ground.good_nights()
    shutil.copytree(folder / "home", folder / "kept", symlinks=True)
    return ground, folder / "kept"


def _seen(repository: Path) -> dict[str, tuple[int, int, int, str]]:
    return state(repository) if repository.exists() else {}


def earlier(report: Any, days: float) -> Any:
    """The same report as of an earlier day."""
    if not days:
        return report
    shift = int(days * DAY_MS)
    names = ("at_ms", "began_ms", "ended_ms")
    moved = {name: getattr(report, name) - shift for name in names if getattr(report, name, None)}
    for part in ("canary", "manifest"):
        if getattr(report, part, None) is not None:
            one = getattr(report, part)
            moved[part] = msgspec.structs.replace(one, at_ms=one.at_ms - shift)
    return msgspec.structs.replace(report, **moved)


def _at(report: RunReport | RepositoryReport) -> int:
    return report.at_ms


def empty(folder: Path) -> None:
    """Everything below it goes."""
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
