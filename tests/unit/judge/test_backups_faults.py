"""Each way in which a backup dies silently, as reports: one finding, the right cause, in words with
numbers."""

from dataclasses import replace
from typing import Any

import pytest
from backup_world import DAY, HOUR, MINUTE, RULES, World, found, one_finding

from forestall.judge.backups import Keep, judge_plan
from forestall.judge.values import State
from forestall.kernel.backups import CheckSeen, CopySeen, LockSeen, Manifest, Mismatch, SourceSeen

MAIL = SourceSeen("/srv/mail", True, "ext4 /dev/sdc1", True, 2400, 8_000_000_000)
DATA = SourceSeen("/srv/data", True, "ext4 /dev/sdb1", True, 9600, 32_000_000_000)


def world(nights: int = 30, **given: Any) -> World:
    """Thirty quiet nights of a plan."""
    return World(natural=False, **given).nights(nights)


def state_of(made: World, rule: str, **judging: Any) -> State:
    return next(one.state for one in made.judge(**judging).disagreements if one.rule == rule)


def test_nothing_is_wrong_with_a_sound_plan() -> None:
    assert found(world(100).judge()) == {}


# 1, 17, 19: what should be saved


def test_01_a_source_is_missing() -> None:
    made = world()
    gone = SourceSeen("/srv/mail", False, problem="")
    made.night(sources=[DATA, gone], copy_given={"paths": ["/srv/data"]}, files=9600, size=32_000_000_000)
    says = one_finding(
        made,
        "backup-source-missing",
        "1 of 2 sources",
        "/srv/mail does not exist",
        "the job says success",
        "holds /srv/data",
    )
    assert state_of(made, "backup-source-missing") is State.BREAKING, says


def test_01_a_source_is_left_out_of_the_copy_only() -> None:
    made = world()
    made.night(copy_given={"paths": ["/srv/data"]})
    one_finding(made, "backup-source-missing", "/srv/mail is not in the newest snapshot", "exit 0")


def test_17_a_source_was_renamed() -> None:
    made = world()
    renamed = SourceSeen("/srv/mail-2026", True, "ext4 /dev/sdc1", False, 2400, 8_000_000_000)
    made.night(sources=[DATA, renamed], copy_given={"paths": ["/srv/data", "/srv/mail-2026"]})
    one_finding(made, "backup-source-changed", "/srv/mail-2026 instead of /srv/mail", "renamed")


def test_17_a_source_was_renamed_and_the_job_still_asks_for_the_old_name() -> None:
    made = world()
    made.night(
        said="warning",
        exit_code=1,
        reason="/srv/mail: No such file or directory",
        files=9600,
        sources=[DATA, SourceSeen("/srv/mail", False)],
        copy_given={"paths": ["/srv/data"]},
    )
    one_finding(made, "backup-source-missing", "/srv/mail does not exist", "the job says warning, exit 1")


def test_19_another_database_is_dumped() -> None:
    made = World(natural=False, tool="postgres_dump", drills=False)
    made.plan = replace(made.plan, sources=("shop",))
    shop = [SourceSeen("shop", True, entries=40)]
    made.nights(10, sources=shop, copy_given={"paths": ["shop"]}, manifest=None)
    assert found(made.judge()) == {}
    made.night(
        sources=[SourceSeen("shop_test", True, entries=40)],
        copy_given={"paths": ["shop_test"]},
        manifest=None,
    )
    one_finding(made, "backup-source-changed", "shop_test instead of shop", "another database")


def test_19_the_table_canary_does_not_come_back() -> None:
    made = world(31)
    made.prove(
        4,
        ok=False,
        reason="the restored database holds no canary",
        checks=[CheckSeen("canary", False, "the row planted 2026-02-04 21:59 UTC is not in shop")],
    )
    one_finding(made, "backup-restore-failed", "canary", "is not in shop", "it last succeeded")
    assert state_of(made, "backup-restore-failed") is State.BREAKING


# 2, 3, 9, 13: nothing is saved


UNMOUNTED = SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 0, 0)


def test_02_the_mount_point_is_empty() -> None:
    made = world()
    made.night(sources=[UNMOUNTED, MAIL], files=2400, size=8_000_000_000, files_removed=9600)
    one_finding(
        made,
        "backup-source-empty",
        "the source /srv/data is empty, usually 9,",
        "the job says success, exit 0",
        "its volume is not mounted: it was ext4 /dev/sdb1",
        "a folder of ext4 /dev/sda1",
    )


def test_02_of_a_new_plan_the_floor_holds() -> None:
    made = World(natural=False)
    made.night(sources=[UNMOUNTED, MAIL], files=2400, size=8_000_000_000)
    one_finding(made, "backup-source-empty", "the source /srv/data is empty")


def test_02_seen_by_the_repository_only() -> None:
    made = world()
    made.nights(
        1, sources=[], files=12, size=40_000, said="unknown", by="repository", manifest=None, excludes=None
    )
    told = found(made.judge())
    assert list(told) == ["backup-shrunk", "backup-not-reported"]  # the job said nothing of it either
    assert "saved 12 files, usually 12," in told["backup-shrunk"] and "0.1%" in told["backup-shrunk"]
    assert state_of(made, "backup-shrunk") is State.BREAKING


def test_03_empty_runs_push_the_good_copies_out() -> None:
    made = world(30, keep=Keep(daily=14))
    empty = {
        "sources": [
            SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 0, 0),
            SourceSeen("/srv/mail", True, "ext4 /dev/sda1", False, 0, 0),
        ],
        "files": 0,
        "size": 0,
    }
    made.night(**empty)
    one_finding(made, "backup-source-empty", "in 13 days the last good copy (snapshot ", "is pruned")
    made.nights(10, **empty)
    told = found(made.judge())
    assert set(told) == {"backup-source-empty", "backup-last-good-copy"}
    assert (
        "in 3 days the last good copy is pruned: 3 of 14 snapshots are good" in told["backup-last-good-copy"]
    )
    made.nights(4, **empty)
    told = found(made.judge())
    assert "no good copy is left: all 14 snapshots" in told["backup-last-good-copy"]
    made.nights(200, **empty)
    assert "backup-source-empty" in found(made.judge()), "what goes on for long does not become normal"


def test_09_rsync_deletes_from_an_empty_source() -> None:
    made = world(tool="rsync")
    made.night(
        sources=[SourceSeen("/srv/data", True, "ext4 /dev/sdb1", True, 9600, 1), MAIL],
        files=600,
        size=2_000_000_000,
        files_removed=11_400,
    )
    one_finding(made, "backup-shrunk", "saved 600 files", "removed 11,400 of 12,150 files (93.8%)")


def test_09_in_the_second_run_of_a_plan() -> None:
    made = World(natural=False, tool="rsync", drills=False).nights(1)
    made.night(sources=[], files=3, size=3000, files_removed=12_002, manifest=None)
    one_finding(made, "backup-shrunk", "removed 12,002 of 12,")


def test_13_all_sources_are_missing_and_an_empty_archive_is_saved() -> None:
    made = world(tool="borg")
    gone = [SourceSeen("/srv/data", False), SourceSeen("/srv/mail", False)]
    made.night(said="warning", exit_code=1, reason="/srv/data: No such file", files=0, size=0, sources=gone)
    one_finding(made, "backup-source-missing", "2 of 2 sources are missing", "the job says warning, exit 1")


def test_13_an_empty_archive_whose_sources_nobody_saw() -> None:
    made = world(tool="borg")
    made.night(said="warning", exit_code=1, files=0, size=0, sources=[])
    one_finding(
        made, "backup-copy-empty", "the job says warning", "archive nightly-", "holds no file, usually 12,"
    )


def test_a_copy_that_holds_far_less_than_the_source_at_its_first_run() -> None:
    made = World(natural=False)
    made.night(files=4, size=900_000, excludes=[])
    one_finding(made, "backup-copy-empty", "holds 4 files, while 12,005 files were at the source")


# 4, 8, 10: what is saved is no good


def test_04_a_database_file_was_written_while_it_was_read() -> None:
    made = world()
    moved = Manifest("ab" * 32, made.now_ms, 12_000, 1, 1, ["/srv/data/shop.sqlite"])
    made.night(manifest=moved)
    one_finding(made, "backup-torn", "/srv/data/shop.sqlite changed while the run", "a dump is needed")
    assert state_of(made, "backup-torn") is State.OUT_OF_SPEC


def test_04_any_other_file_drifts_at_once_and_is_told_when_it_happens_again() -> None:
    made = world()
    moved = Manifest("ab" * 32, made.now_ms, 12_000, 1, 1, ["/srv/data/ledger.dat"])
    made.night(manifest=moved)
    assert state_of(made, "backup-torn") is State.DRIFTING
    made.night(manifest=moved)
    assert state_of(made, "backup-torn") is State.OUT_OF_SPEC


def test_04_the_canary_came_back_torn() -> None:
    made = world()
    made.prove(
        4,
        ok=False,
        reason="1 of 12,000 files differs",
        mismatches_total=1,
        mismatches=[Mismatch("/srv/data/.forestall-canary/c", "differs")],
    )
    one_finding(made, "backup-restore-failed", "1 of 12,", ".forestall-canary/c (differs)")


def test_08_a_failing_dump_is_piped_into_gzip() -> None:
    made = World(natural=False, tool="archive", drills=False, files=1, size=4e8)
    made.plan = replace(made.plan, sources=())
    made.nights(10, sources=[], manifest=None, files=1)
    problem = "gzip of nothing: 20 bytes, a dump begins with `-- PostgreSQL database dump`"
    made.night(sources=[], manifest=None, files=1, size=20, copy_given={"problem": problem, "size": 20})
    one_finding(
        made,
        "backup-copy-broken",
        "the job says success",
        "(20 B) is no good copy: gzip of nothing",
        "usually it has 40",
    )


def test_08_by_its_size_alone() -> None:
    made = World(natural=False, tool="archive", drills=False, files=1, size=4e8)
    made.plan = replace(made.plan, sources=())
    made.nights(10, sources=[], manifest=None, files=1)
    made.night(sources=[], manifest=None, files=1, size=20)
    one_finding(made, "backup-shrunk", "saved 20 B, usually 40")


@pytest.mark.parametrize(
    "given",
    [
        {"added": 40_200_000_000, "files_changed": 11_900, "entropy": 7.99},
        {
            "added": 40_200_000_000,
            "files_changed": 40,
            "files_new": 11_800,
            "files_removed": 11_800,
            "renamed": 11_800,
            "entropy": 7.98,
        },
        {
            "added": 8_000_000_000,
            "files_changed": 0,
            "files_new": 2400,
            "files_removed": 2400,
            "renamed": 2400,
            "entropy": 7.97,
        },
        {"added": 30_000_000_000, "files_changed": 9000, "entropy": None},
    ],
    ids=["in place", "with another ending", "one share only", "entropy not known"],
)
def test_10_ransomware(given: dict[str, Any]) -> None:
    made = world()
    made.night(**given)
    one_finding(
        made, "backup-encrypted", "looks encrypted (ransomware)", "usually at most 0.4%", "of the files were"
    )
    made.nights(20)
    one_finding(made, "backup-encrypted", "ransomware")
    assert found(made.judge(accepted_ms=made.now_ms - 5 * DAY)) == {}, "a person said that it is normal"


def test_10_everything_was_rewritten_by_a_migration() -> None:
    made = world()
    made.night(added=39_000_000_000, files_changed=11_000, entropy=5.1)
    one_finding(
        made, "backup-rewritten", "rewritten at once", "what was changed does not look like noise (5.1 bits"
    )


def test_10_a_slow_encryption_drifts() -> None:
    made = world()
    made.nights(3, entropy=7.95, files_changed=300)
    one_finding(made, "backup-noise-grows", "at least 8.0 bits a byte, before at most 5.0")


# 5, 6, 7, 14: the repository


def test_05_a_bit_is_flipped_in_the_repository() -> None:
    made = world(30)
    made.prove(
        3,
        ok=False,
        slice_of=(4, 10),
        reason="pack 3f2a does not match its id",
        checks=[CheckSeen("pack 3f2a", False, "sha256 is not its name")],
    )
    one_finding(
        made,
        "backup-damaged",
        "slice 4 of 10",
        "pack 3f2a does not match its id",
        "the last restore was proved before",
    )
    rung = made.judge().ladder.rungs[4]
    assert "damage was found" in rung.said and rung.status == "proved"
    made.prove(3, slice_of=(5, 10))
    one_finding(made, "backup-damaged", "slice 4 of 10")
    made.prove(3, slice_of=(4, 10))
    assert found(made.judge()) == {}


def test_06_a_killed_run_leaves_a_lock() -> None:
    made = world()
    killed = made.night(said="failed", exit_code=-9, no_copy=True, reason="ended by signal 9")
    assert killed is not None and killed.began_ms is not None
    lock = LockSeen("5c1f", killed.began_ms + MINUTE, "srv1 pid 4711")
    made.look_more = {"locks": [lock]}
    made.night()
    one_finding(
        made, "backup-locked", "a lock of srv1 pid 4711", "no run that is known holds it", "backups go on"
    )


def test_06_a_lock_of_nobody_becomes_old() -> None:
    made = world()
    lock = LockSeen("5c1f", made.now_ms + HOUR, "laptop", exclusive=True)
    made.look(locks=[lock])
    made.night()
    made.look(locks=[lock])
    assert found(made.judge()) == {}
    made.night()
    made.look(locks=[lock])
    one_finding(made, "backup-locked", "an exclusive lock of laptop")


def test_07_a_copy_from_the_future() -> None:
    made = world()
    ahead = CopySeen(
        key="f" * 64,
        at_ms=made.now_ms + 400 * DAY,
        host="srv1",
        paths=["/srv/data", "/srv/mail"],
        files=12_000,
        size=1,
    )
    made.copies.append(ahead)
    made.prunes = False
    made.night()
    one_finding(made, "backup-clock-wrong", "snapshot ffffffff", "399 days in the future", "pruning keeps it")


def test_07_the_clock_of_the_machine_is_behind() -> None:
    made = world(drills=False)
    made.prunes = False
    made.night(copy_given={"at_ms": made.now_ms - 3 * DAY})
    one_finding(made, "backup-clock-wrong", "behind: the run that made it went from")


def test_14_the_password_was_rotated() -> None:
    made = world()
    made.look(opened=False, why="key", reason="wrong password or no key found", copies=[], copies_total=0)
    one_finding(
        made, "backup-key-refused", "refuses the key", "wrong password or no key found", "it last opened"
    )
    made.look_more = {
        "opened": False,
        "why": "key",
        "reason": "wrong password",
        "copies": [],
        "copies_total": 0,
    }
    made.nights(4)
    made.prove(2, ok=False, skipped=True, reason="wrong password")
    told = found(made.judge())
    assert list(told) == ["backup-key-refused"] and "another key than the one" in told["backup-key-refused"]


def test_14_the_job_itself_is_refused() -> None:
    made = world()
    made.night(said="failed", exit_code=1, no_copy=True, reason="it failed", output="Fatal: wrong password\n")
    one_finding(made, "backup-key-refused", "the job's key or password is refused", "Fatal: wrong password")


# 11, 12, 15, 16, 20: runs


def test_11_the_repository_is_full_and_the_tool_hangs() -> None:
    made = world()
    made.night(
        said="running",
        ended_ms=None,
        exit_code=None,
        copy="",
        files=None,
        size=None,
        added=None,
        no_copy=True,
    )
    made.look(free=0)
    told = found(made.judge(after_ms=6 * HOUR))
    assert list(told) == ["backup-room-full"]
    assert (
        "0 B of 800.0 GB are free" in told["backup-room-full"]
        and "a run hangs for" in told["backup-room-full"]
    )


def test_11_a_run_hangs_for_another_reason() -> None:
    made = world()
    made.night(said="running", ended_ms=None, exit_code=None, copy="", no_copy=True, look=False)
    assert found(made.judge(after_ms=-HOUR * 15 // 2)) == {}
    due = made.judge(after_ms=-HOUR * 15 // 2).next_judging_ms
    assert made.now_ms - 15 * HOUR // 2 < due < made.now_ms
    one_finding(
        made, "backup-hangs", "goes on for", "its longest took", "it hangs", after_ms=due - made.now_ms
    )


def test_11_room_runs_out_in_days() -> None:
    made = World(natural=False, keep=None)
    made.room = made.used + 50e9
    for _ in range(24):
        made.night(added=1_600_000_000)
    told = found(made.judge())
    assert list(told) == ["backup-room-short"] and "it is full in" in told["backup-room-short"]


def test_12_a_warning_is_no_success() -> None:
    made = world()
    made.night(said="warning", exit_code=3, reason="/srv/data/x: permission denied, 1 file could not be read")
    one_finding(
        made, "backup-warning", "ended with warnings (exit 3), which is no success: /srv/data/x: permission"
    )
    rungs = made.judge().ladder.rungs
    assert (rungs[0].status, rungs[1].status) == ("proved", "failed")


def test_15_the_timer_is_gone() -> None:
    made = world()
    assert found(made.judge(after_ms=18 * HOUR)) == {}
    due = made.judge(after_ms=18 * HOUR).next_judging_ms - made.now_ms
    assert found(made.judge(after_ms=due - 1)) == {}
    verdict = made.judge(after_ms=due)
    says = (
        "no good run since",
        "one is expected every 24 h, with 4 h of grace",
        "srv1 is heard and nothing started",
    )
    one_finding(made, "backup-overdue", *says, after_ms=due)
    assert verdict.disagreements[0].state is State.SILENT
    made.nights(4, skip=True)
    told = found(made.judge())
    assert "shows no newer copy: snapshot" in told["backup-overdue"]
    assert state_of(made, "backup-overdue") is State.BREAKING


def test_15_a_plan_that_never_ran() -> None:
    made = World(drills=False)
    assert found(made.judge(after_ms=27 * HOUR)) == {}
    one_finding(made, "backup-overdue", "no run was ever seen since", after_ms=29 * HOUR)


def test_16_the_agent_is_disabled() -> None:
    made = world()
    quiet = made.now_ms
    made.night(skip=True, look=False)
    made.night(skip=True, look=False)
    history = made.history()
    verdict = judge_plan(made.plan, replace(history, silent_since_ms=quiet), rules=RULES, now_ms=made.now_ms)
    told = {one.rule: one for one in verdict.disagreements}
    assert told["backup-overdue"].explained and not told["backup-overdue"].tells
    assert "the collector srv1 that watches it is silent since" in told["backup-overdue"].reason


def test_20_the_dump_tool_is_older_than_the_server() -> None:
    made = world(tool="postgres_dump")
    out = (
        "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server "
        "version: 16.2; 13.1"
    )
    made.night(said="failed", exit_code=1, no_copy=True, reason="it failed", output=out)
    one_finding(made, "backup-tool-too-old", "does not fit the version", "server version mismatch")


def test_20_although_it_exits_with_nothing() -> None:
    made = world(tool="postgres_dump")
    made.look_more = {"settings": {"server version": "16.2", "dump version": "13.14"}}
    made.night()
    one_finding(made, "backup-tool-too-old", "version 13.14 and the server 16.2")


def test_18_exclusions_have_grown() -> None:
    made = world()
    made.nights(2, excludes=["*.tmp", "/srv/data/cache", "/srv/data/projects"], files=8000, size=38e9 // 1)
    one_finding(
        made, "backup-excludes-grown", "also leaves out /srv/data/projects", "fell from 12,1", "to 8,000"
    )
    assert state_of(made, "backup-excludes-grown") is State.OUT_OF_SPEC


def test_18_a_source_is_left_out_as_a_whole() -> None:
    made = world()
    made.night(excludes=["*.tmp", "/srv/data/cache", "/srv/mail"])
    one_finding(made, "backup-excludes-grown", "/srv/mail is left out as a whole")
