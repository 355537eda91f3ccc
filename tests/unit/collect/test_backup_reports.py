"""Reports of backups on their way out of the agent: bounded, in parts below the wire's limits, with their
numbers as samples of the right asset."""

from itertools import pairwise

from forestall.collect.agent.packing import pack
from forestall.collect.agent.seen import BACKUPS_MAX, Seen
from forestall.collect.backups.series import samples_of
from forestall.kernel.backups import (
    BackupReport,
    CopySeen,
    ProgressReport,
    ProofReport,
    RepositoryReport,
    RunReport,
    WorthReport,
)
from forestall.kernel.observations import (
    BATCH_MAX_BYTES,
    Batch,
    Observations,
    Sample,
    decode_batch,
    encode_batch,
)

PLAN = "06YK3S55M4DY3"
RUN = RunReport(
    plan=PLAN, run="r1", at_ms=5_000, by="job", said="success", began_ms=1_000, ended_ms=4_000, files=7,
    size=9, added=2,
)  # fmt: skip
PROOF = ProofReport(
    plan=PLAN, proof="p1", work="drill", began_ms=1, ended_ms=9, ok=True, reason="", rpo_ms=60_000, rto_ms=500
)


def progress(done: int, proof: str = "p1") -> ProgressReport:
    return ProgressReport(plan=PLAN, proof=proof, work="drill", at_ms=done, doing="restoring", done=done)


def test_all_reports_come_out_as_they_went_in_by_asset() -> None:
    seen = Seen()
    reports: list[BackupReport] = [RUN, PROOF, RepositoryReport(plan=PLAN, at_ms=1, opened=True)]
    seen.add(backups=[("asset-1", one) for one in reports], samples_of=[("asset-1", Sample(1, "m", "", 2.0))])
    seen.add(backups=[("", WorthReport(at_ms=1))])
    heap = seen.take()
    batches = pack(
        logs=[], samples=[], snapshots=[], outcomes={}, backups=heap.backups_by_asset,
        samples_of=heap.samples_by_asset,
    )  # fmt: skip
    (batch,) = [decode_batch(encode_batch(Batch(1, 1, one))) for one in batches]
    found = {(part.asset, len(part.samples)): part.backups for part in batch.observations}
    assert found == {("asset-1", 1): [], ("asset-1", 0): reports, ("", 0): [WorthReport(at_ms=1)]}


def test_large_reports_are_parted_below_the_limit_of_a_batch() -> None:
    copies = [
        CopySeen(key=f"{number:064}", at_ms=number, paths=["/srv/data" * 50] * 3) for number in range(2_000)
    ]
    looks = [RepositoryReport(plan=PLAN, at_ms=number, opened=True, copies=copies) for number in range(9)]
    batches = pack(logs=[], samples=[], snapshots=[], outcomes={}, backups={"a": looks})
    assert len(batches) > 1
    for one in batches:
        assert len(encode_batch(Batch(1, 1, one))) < BATCH_MAX_BYTES
    assert [look.at_ms for one in batches for part in one for look in part.backups] == list(range(9))
    many = pack(logs=[], samples=[], snapshots=[], outcomes={}, backups={"a": [RUN] * 2_500})
    parts: list[Observations] = [part for one in many for part in one]
    assert [len(part.backups) for part in parts] == [1_000, 1_000, 500]


def test_of_progress_the_newest_word_is_kept_and_the_heap_is_bounded() -> None:
    seen = Seen()
    seen.add(backups=[("a", progress(done)) for done in range(50)] + [("a", progress(3, "p2"))])
    kept = [report for _, report in seen.take().backups]
    assert kept == [progress(49), progress(3, "p2")]
    lost = seen.add(backups=[("a", RUN)] * (BACKUPS_MAX + 5))
    assert lost == 5 and len(seen.take().backups) == BACKUPS_MAX


def test_what_the_disk_did_not_take_comes_first_again() -> None:
    seen = Seen()
    seen.add(backups=[("a", progress(number, f"p{number}")) for number in range(3)])
    heap = seen.take()
    seen.add(backups=[("a", progress(9, "p9"))])
    seen.put_back(heap)
    times = [report.at_ms for _, report in seen.take().backups if isinstance(report, ProgressReport)]
    assert times == [0, 1, 2, 9] and all(one < two for one, two in pairwise(times))


def test_numbers_become_samples_of_the_plan_by_its_name() -> None:
    names = {PLAN: "Files"}
    found = {(one.metric, one.item): (one.at_ms, one.value) for one in samples_of(RUN, names)}
    assert found == {
        ("backup.size_bytes", "Files"): (4_000, 9.0), ("backup.files_count", "Files"): (4_000, 7.0),
        ("backup.added_bytes", "Files"): (4_000, 2.0), ("backup.took_s", "Files"): (4_000, 3.0),
    }  # fmt: skip
    assert {one.metric: one.value for one in samples_of(PROOF, names)} == {
        "backup.recovery_point_s": 60.0, "backup.recovery_time_s": 0.5,
    }  # fmt: skip
    assert samples_of(RUN, {}) == [] and samples_of(WorthReport(at_ms=1), names) == []
    running = RunReport(plan=PLAN, run="r", at_ms=1, by="job", said="running", size=4)
    assert samples_of(running, names) == []
