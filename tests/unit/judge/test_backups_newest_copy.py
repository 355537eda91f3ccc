"""Which copy is the newest of a plan: by what its run says, never by a date in the future."""

import msgspec

from forestall.judge.backups import JudgedPlan, PlanHistory
from forestall.judge.backups.facts import Facts
from forestall.judge.backups.sources import newest_copy
from forestall.kernel.backups import CopySeen, RepositoryReport, RunReport

HOUR = 3_600_000
NOW = 1_790_000_000_000
PLAN = JudgedPlan(
    id="plan", asset=1, name="Files", tool="restic", rpo_ms=24 * HOUR, started_ms=NOW - 99 * HOUR
)


def key(number: int) -> str:
    return f"{number:08x}" * 8


def copy(number: int, hours_ago: float) -> CopySeen:
    return CopySeen(key=key(number), at_ms=int(NOW - hours_ago * HOUR), files=10, size=1_000)


def run(number: int, hours_ago: float, *, known: str = "") -> RunReport:
    ended = int(NOW - hours_ago * HOUR)
    return RunReport(
        plan="plan", run=f"run{number}", at_ms=ended, by="job", said="success", began_ms=ended - 60_000,
        ended_ms=ended, copy=known,
    )  # fmt: skip


def facts(copies: list[CopySeen], runs: list[RunReport], *, looked_hours_ago: float = 1) -> Facts:
    looks = [
        RepositoryReport(
            plan="plan", at_ms=int(NOW - looked_hours_ago * HOUR), opened=True, copies=copies,
            copies_total=len(copies),
        )
    ] if copies else []  # fmt: skip
    return Facts(PLAN, PlanHistory(runs=runs, looks=looks, proofs=[]), now_ms=NOW)


def found(copies: list[CopySeen], runs: list[RunReport], *, looked_hours_ago: float = 1) -> str:
    one = newest_copy(facts(copies, runs, looked_hours_ago=looked_hours_ago))
    return one.key if one is not None else ""


def test_it_is_the_copy_that_the_newest_run_names() -> None:
    copies = [copy(1, 26), copy(2, 2), copy(3, 1.5)]  # the third is another job's
    assert found(copies, [run(1, 26, known=key(1)), run(2, 2, known=key(2))]) == key(2)
    assert found(copies, [run(2, 2, known=key(2)[:8])]) == key(2), "a tool shortens its own identifiers"


def test_a_date_in_the_future_wins_nothing() -> None:
    copies = [copy(1, 26), copy(2, -40_000)]
    assert found(copies, []) == key(1)
    assert found([copy(2, -40_000)], []) == ""


def test_without_runs_it_is_the_newest_that_the_look_found() -> None:
    assert found([copy(2, 2), copy(1, 26)], []) == key(2)
    assert found([], []) == ""


def test_what_was_made_since_the_look_is_not_known_yet() -> None:
    copies = [copy(1, 26)]
    assert found(copies, [run(2, 0.5, known=key(2))], looked_hours_ago=1) == ""
    gone = [run(2, 2, known=key(2))]
    assert found(copies, gone, looked_hours_ago=1) == key(1), (
        "it was to be there and is not: what is left counts"
    )


def test_a_failed_run_leaves_the_copy_before_it() -> None:
    failed = msgspec.structs.replace(run(2, 2), said="failed")
    assert found([copy(1, 26)], [run(1, 26, known=key(1)), failed]) == key(1)
