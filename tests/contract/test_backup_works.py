"""The works of plans over time: in two lanes, remembered, begun again, bounded; and jobs beside them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contract.backup_site import Site, wall_ms
from forestall.collect.backups.adapter import CannotProve, Repository, Restored
from forestall.collect.backups.programs import Programs, checked
from forestall.collect.backups.records import DIRECTORY, Records
from forestall.collect.backups.sources import room_of
from forestall.collect.backups.working import Working
from forestall.collect.jobs import restic
from forestall.kernel.backups import (
    BackupOrder,
    BackupReport,
    CheckSeen,
    CopySeen,
    ProgressReport,
    ProofReport,
    RepositoryReport,
    RunReport,
    WantedWork,
    WorkOrder,
)
from forestall.kernel.ids import new_id
from forestall.kernel.plugins import Setting, Spec

PLAN = new_id()


class Tool(ModuleType):
    """An adapter whose works take as long as the test lets them."""

    OWN_COMPARISON = True

    def __init__(self) -> None:
        super().__init__("tool")
        self.SPEC = Spec("tool", "Tool", "For tests", "none", settings=(Setting("excludes", "Out", "lines"),))
        self.go = asyncio.Event()
        self.began: list[str] = []
        self.now = self.most = 0
        self.written = 0
        self.opened = True

    async def look(self, repository: Repository) -> RepositoryReport:
        at_ms = repository.now_ms()
        if not self.opened:
            raise CannotProve("the repository is away", why="away")
        return RepositoryReport(
            plan="",
            at_ms=at_ms,
            opened=True,
            copies=[CopySeen(key="c" * 20, at_ms=1_000, size=10)],
            copies_total=1,
        )

    async def check(self, repository: Repository, tell: Callable[[str, int, int], None]) -> list[CheckSeen]:
        self.began.append("check")
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            while not self.go.is_set():
                tell("checking", 1, 2)
                await asyncio.sleep(0.01)
        finally:
            self.now -= 1
        return [CheckSeen("structure", True, f"sound; {repository.secrets['password']}")]

    async def restore(self, repository: Repository, copy: CopySeen, *, into: Path, tell: Any) -> Restored:
        self.began.append("restore")
        with (into / "big").open("wb") as file:
            while not self.go.is_set():
                file.write(b"x" * 100_000)
                file.flush()
                self.written += 100_000
                await asyncio.sleep(0.01)
        return Restored(into, checks=[CheckSeen("rows", True, "as many")], compared=True, canary_at_ms=5)

    def run_of_copy(self, copy: CopySeen) -> RunReport:
        return RunReport(
            plan="", run=copy.key, at_ms=copy.at_ms, by="repository", said="unknown", copy=copy.key
        )


class Agent:
    """The agent's part, for a while."""

    def __init__(self, home: Path, tool: Tool, **more: Any) -> None:
        self.reports: list[tuple[str, BackupReport]] = []
        self.tool = tool
        self.working = Working(
            home / DIRECTORY, lambda *report: self.reports.append(report), now_ms=wall_ms,
            adapters={"tool": tool}, **{"reserve": 0, **more},
        )  # fmt: skip
        self.stop = asyncio.Event()

    async def __aenter__(self) -> "Agent":
        self.task = asyncio.create_task(self.working.run(self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 60)

    async def until(self, enough: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not enough():
                await asyncio.sleep(0.01)

    def proofs(self) -> list[ProofReport]:
        return [one for _, one in self.reports if isinstance(one, ProofReport)]


def order(**changes: Any) -> BackupOrder:
    given = {
        "id": PLAN, "asset": "an asset", "name": "Plan", "tool": "tool", "repository": "/r",
        "secrets": {"password": "a long secret"},
    }  # fmt: skip
    return BackupOrder(**{**given, **changes})


def wanted(work: Any, at_ms: int = 0) -> WantedWork:
    return WantedWork(new_id(), work, at_ms or wall_ms())


async def test_one_at_a_time_while_looks_go_on_and_progress_is_told(tmp_path: Path) -> None:
    tool = Tool()
    async with Agent(tmp_path, tool) as agent:
        checks = [wanted("check", number + 1) for number in range(3)]
        agent.working.update([order(wanted=[*reversed(checks), wanted("look")])])
        await agent.until(
            lambda: any(isinstance(one, RepositoryReport) for _, one in agent.reports) and tool.now
        )
        await agent.until(lambda: any(isinstance(one, ProgressReport) for _, one in agent.reports))
        tool.go.set()
        await agent.until(lambda: len(agent.proofs()) == 3)
    assert tool.most == 1 and [one.proof for one in agent.proofs()] == [one.proof for one in checks]
    assert {one.reason for one in agent.proofs()} == {"sound; (secret)"} and all(
        one.ok for one in agent.proofs()
    )
    told = [one for _, one in agent.reports if isinstance(one, ProgressReport)]
    assert (told[0].proof, told[0].doing, told[0].done, told[0].total) == (checks[0].proof, "checking", 1, 2)
    assert len(told) < 10  # not one for every step
    runs = [one for _, one in agent.reports if isinstance(one, RunReport)]
    assert [(one.plan, one.by, one.copy) for one in runs] == [(PLAN, "repository", "c" * 20)]


async def test_what_a_restart_interrupted_is_begun_again_and_what_was_done_is_not(tmp_path: Path) -> None:
    tool, works = Tool(), [WorkOrder("drill", 60)]
    check = wanted("check")
    async with Agent(tmp_path, tool) as agent:
        tool.go.set()
        agent.working.update([order(wanted=[check])])
        await agent.until(agent.proofs)
    tool.go.clear()
    drill = wanted("drill")
    async with Agent(tmp_path, tool) as agent:
        agent.working.update([order(wanted=[check, drill], works=works)])
        await agent.until(lambda: "restore" in tool.began)
    assert agent.proofs() == [] and tool.began == ["check", "restore"]
    async with Agent(tmp_path, tool) as agent:
        agent.working.update([order(wanted=[check, drill], works=works)])
        await agent.until(lambda: tool.began == ["check", "restore", "restore"])
        assert len(list(agent.working.scratch.iterdir())) == 1  # the old sandbox is gone
        tool.go.set()
        await agent.until(agent.proofs)
    (proof,) = agent.proofs()
    assert (
        (proof.proof, proof.ok, proof.canary_at_ms) == (drill.proof, True, 5)
        and proof.rpo_ms
        and proof.machine
    )


async def test_a_restore_that_outgrows_its_sandbox_is_stopped(tmp_path: Path) -> None:
    async with Agent(tmp_path, tool := Tool(), sandbox_max=3_000_000) as agent:
        agent.working.update([order(wanted=[wanted("drill")], sandbox_max=5_000_000)])
        await agent.until(agent.proofs)
        await agent.until(lambda: not list(agent.working.scratch.iterdir()))
    (proof,) = agent.proofs()
    assert (
        proof.skipped
        and not proof.ok
        and "it had taken" in proof.reason
        and "may take 3000000" in proof.reason
    )
    assert tool.written > 3_000_000


async def test_a_restore_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    free, _ = room_of(tmp_path)
    assert free
    async with Agent(tmp_path, Tool(), reserve=free + (1 << 30)) as agent:
        agent.working.update([order(wanted=[wanted("drill")])])
        await agent.until(agent.proofs)
    assert "stay free" in agent.proofs()[0].reason and agent.proofs()[0].skipped


async def test_what_cannot_be_tried_has_failed_and_says_why(tmp_path: Path) -> None:
    tool = Tool()
    tool.opened = False
    tool.go.set()
    async with Agent(tmp_path, tool) as agent:
        orders = [
            order(wanted=[wanted("drill", 1), wanted("service", 2), wanted("look", 3)]),
            order(id=new_id(), tool="other", wanted=[wanted("check", 4)]),
            order(id=new_id(), settings={"typo": 1}, wanted=[wanted("check", 5)]),
            order(id=new_id(), wanted=[wanted("read", 6)]),
        ]
        agent.working.update(orders)
        await agent.until(lambda: len(agent.proofs()) == 5)
        await agent.until(lambda: any(isinstance(one, RepositoryReport) for _, one in agent.reports))
    said = [one.reason for one in agent.proofs()]
    assert all(one.skipped and not one.ok for one in agent.proofs())
    assert "the repository is away" in said[0] and "the repository is away" in said[1]
    assert (
        "knows no tool 'other'" in said[2] and "no setting 'typo'" in said[3] and "offers nothing" in said[4]
    )
    (seen,) = [one for _, one in agent.reports if isinstance(one, RepositoryReport)]
    assert (seen.opened, seen.why, seen.plan) == (False, "away", PLAN)


async def test_a_place_that_somebody_else_has_taken(tmp_path: Path) -> None:
    (tmp_path / "forestall-scratch").symlink_to(tmp_path)
    async with Agent(tmp_path, Tool(), sandbox=tmp_path) as agent:
        agent.working.update([order(wanted=[wanted("check")])])
        await agent.until(agent.proofs)
    assert agent.proofs()[0].skipped and "belongs to somebody else" in agent.proofs()[0].reason
    assert (tmp_path / "forestall-scratch").is_symlink() and tmp_path.stat().st_mode & 0o777 == 0o700


async def test_too_slow_a_work_and_one_of_a_plan_that_is_gone_are_ended(tmp_path: Path) -> None:
    tool = Tool()
    async with Agent(tmp_path, tool) as agent:
        agent.working.update([order(wanted=[wanted("check")])])
        await agent.until(lambda: tool.now)
        agent.working.update([])
        await agent.until(lambda: not tool.now)
        assert agent.proofs() == []
    programs = Programs(tmp_path, timeout_s=0.5, patience_s=0.5)
    ended = await programs(["sh", "-c", "trap '' TERM; echo begun; sleep 60 & wait; sleep 60"])
    assert ended.timed_out and ended.out == b"begun\n" and ended.code != 0


def runs(process: int) -> bool:
    """Whether it is there and no corpse that waits for its parent's attention."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_program_ends_with_whoever_waits_for_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    task = asyncio.create_task(Programs(tmp_path)(["sh", "-c", f"sleep 61 & echo $! > {mark}; wait"]))
    async with asyncio.timeout(60):
        while not mark.exists() or not mark.read_text().strip():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        while runs(int(mark.read_text())):  # the grandchild too
            await asyncio.sleep(0.01)
    with pytest.raises(CannotProve, match="Debian's package is borgbackup"):
        checked(["borg", "--version"], path=str(tmp_path))


async def test_reports_of_jobs_are_taken_also_while_nothing_is_ordered(tmp_path: Path) -> None:
    records = Records(tmp_path / DIRECTORY)
    records.write_plans([order()])
    report = RunReport(plan=PLAN, run=new_id(), at_ms=1, by="job", said="success")
    records.put_report(report)
    bad = tmp_path / DIRECTORY / "reports" / "0-bad.json"
    bad.write_text(json.dumps({"plan": "p", "run": 7}))
    async with Agent(tmp_path, Tool()) as agent:
        await agent.until(lambda: agent.reports)
    assert agent.reports == [("an asset", report)]
    assert not bad.exists() and (bad.parent / "bad" / bad.name).exists()
    async with Agent(tmp_path, Tool()) as again:  # it lies there until the spool has it: twice is harmless
        await again.until(lambda: again.reports)


# the wrapper, as a command


def job(home: Path, *words: str, plan: str = PLAN, **more: Any) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "forestall.collect.agent",
        "job",
        "--data",
        str(home),
        plan,
        "--",
        *words,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **more
    )


def test_the_job_stays_what_it_was(tmp_path: Path) -> None:
    process = job(
        tmp_path,
        "sh",
        "-c",
        "cat; echo token=abcdefghijkl >&2; exit 7",
        env={**os.environ, "MY_TOKEN": "opensesame"},
    )
    out, err = process.communicate(b"in opensesame\n", timeout=60)
    assert (process.returncode, out) == (7, b"in opensesame\n") and err == b"token=abcdefghijkl\n"
    (run,) = Records(tmp_path / "agent" / DIRECTORY).runs(PLAN)
    assert (run.said, run.exit_code, run.reason) == ("failed", 7, "sh ended with 7")
    assert "in (secret)" in run.output and "abcdefghijkl" not in run.output and "‹secret" in run.output


def test_a_job_runs_also_where_nothing_of_ours_works(tmp_path: Path) -> None:
    process = job(tmp_path, "sh", "-c", "exit 3", plan="a name that nobody knows")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and b"there is no plan" in err and b"runs unseen" in err
    (tmp_path / "agent").write_text("a file where the directory should be")
    process = job(tmp_path, "sh", "-c", "exit 4")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4 and b"forestall: " in err
    process = job(tmp_path, "/no/such/program")
    assert process.wait(20) == 127


def test_what_ends_the_wrapper_ends_the_job(tmp_path: Path) -> None:
    process = job(tmp_path, "sh", "-c", "echo begun; exec sleep 60")
    assert process.stdout and process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    (run,) = Records(tmp_path / "agent" / DIRECTORY).runs(PLAN)
    assert (run.said, run.exit_code) == ("failed", -signal.SIGTERM)


async def test_a_plan_of_restic_from_its_schedule_to_its_proofs(tmp_path: Path) -> None:
    """Every work of a plan, as the schedule brings it."""
    site = Site(tmp_path, restic)
    site.job()
    works = [WorkOrder("look", 60), WorkOrder("check", 60), WorkOrder("read", 60), WorkOrder("drill", 60)]
    done = {site.plan: {"seen_ms": wall_ms() - 3_600_000}}
    (site.agent / DIRECTORY / "working.json").write_text(json.dumps(done))
    seen: set[str] = set()

    def enough(report: BackupReport) -> bool:
        if isinstance(report, ProofReport):
            assert report.ok, report.reason
            seen.add(report.work)
        if isinstance(report, RepositoryReport):
            seen.add("look")
        return seen >= {"look", "check", "read", "drill"}

    begun = time.monotonic()
    await site.until(site.order(works=works), enough)
    assert time.monotonic() - begun < 30
    runs = [report for _, report in site.reports if isinstance(report, RunReport)]
    assert [one.said for one in runs if len(one.copy) < 64] == ["running", "success"]
