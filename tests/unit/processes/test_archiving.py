"""That Forestall was not backed up is a finding, like any job of its own that does not run."""

from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import Expected, JudgedAsset
from forestall.kernel.config import Backup
from forestall.processes.archiving import JOB, expected_ms

DAY_MS, TICK_MS = 86_400_000, 20_000
START_MS = 1_764_000_000_000


def test_a_backup_that_is_a_quarter_late_is_silent() -> None:
    judge = Judge(load_packs(builtin_packs()))
    job = Expected(what="job", name=JOB, interval_ms=expected_ms(Backup(directory="/kept")))
    itself = JudgedAsset(
        id="0" * 12 + "1", number=1, client="0" * 12 + "2", name="forestall", kind="forestall",
        created_at_ms=START_MS, expects=(job,), overrides=(),
    )  # fmt: skip
    judge.set_estate([itself], now_ms=START_MS)
    judge.observe_heard(1, "job", JOB, at_ms=START_MS)
    late_ms = DAY_MS * 5 // 4
    times = range(START_MS, START_MS + late_ms + 60 * TICK_MS, TICK_MS)
    told = [(one.at_ms, one.rule, one.item) for now_ms in times for one in judge.tick(now_ms)]
    assert told == [(START_MS + late_ms, "job-silent", JOB)]
