"""What else goes wrong with backups: copies that are not there or gone, guards that are off, proofs that
are none."""

from dataclasses import replace
from datetime import timedelta

import pytest
from backup_world import DAY, HOUR, KEEP, MINUTE, World, found, one_finding

from forestall.judge.backups import Cadence
from forestall.judge.values import State
from forestall.kernel.backups import CopySeen, Manifest, Mismatch, RunReport, SourceSeen


def world(nights: int = 30, **given: object) -> World:
    return World(natural=False, **given).nights(nights)  # type: ignore[arg-type]


def test_the_job_says_success_and_the_repository_shows_nothing_new() -> None:
    made = world()
    made.nights(3, no_copy=True)
    says = one_finding(
        made,
        "backup-copy-missing",
        "the job says success in 3 runs",
        "shows no new snapshot",
        "of 2026-02-04 21:00 UTC is the newest there, 3 days ago",
    )
    assert "looked at 2026-02-08 05:" in says
    made.night()
    assert found(made.judge()) == {}


def test_copies_are_deleted_although_the_rules_keep_them() -> None:
    made = world()
    made.copies = made.copies[:-9]
    made.night()
    one_finding(
        made,
        "backup-copies-vanished",
        "9 snapshots are gone",
        "although the keep rules would keep them",
        "the last one that a restore has proved is among them",
    )


def test_the_newest_copies_are_deleted_before_another_comes() -> None:
    made = world()
    made.copies = made.copies[:-5]
    made.look()
    one_finding(made, "backup-copies-vanished", "5 snapshots are gone")


def test_copies_are_deleted_and_the_rules_are_not_known() -> None:
    made = world(keep=None)
    made.copies = made.copies[-3:]
    made.night()
    one_finding(made, "backup-copies-vanished", "(30 before, 4 now)")


def test_pruning_as_agreed_is_nothing() -> None:
    made = world(keep=replace(KEEP, daily=3, weekly=0, monthly=0))
    assert len(made.copies) == 3 and found(made.judge()) == {}


def test_append_only_is_switched_off() -> None:
    made = world()
    made.look_more = {"settings": {"append_only": "0"}}
    made.night()
    one_finding(made, "backup-unguarded", "append-only is off since 2026-02-06", "delete every copy")
    assert found(made.judge(accepted_ms=made.now_ms)) == {}


def test_keep_rules_are_lowered() -> None:
    made = World(natural=False, look_more={"settings": {"prune keep daily": "14"}}).nights(10)
    made.look_more = {"settings": {"prune keep daily": "2"}}
    made.night()
    one_finding(made, "backup-keeps-less", "prune keep daily was 14 until", "is now 2")


def test_the_drive_of_the_repository_is_not_mounted() -> None:
    made = world()
    made.copies = []
    made.look_more = {"mount": "ext4 /dev/sda1"}
    made.night()
    one_finding(
        made,
        "backup-destination-changed",
        "lies on ext4 /dev/sda1",
        "before on ext4 /dev/sdd1",
        "holds 1 snapshot instead of",
        "is not mounted",
    )


def test_the_repository_was_made_anew() -> None:
    made = world()
    made.copies = []
    made.look_more = {"settings": {"id": "bb" * 32, "append_only": "1"}}
    made.night()
    one_finding(
        made, "backup-destination-changed", "another repository is at its place (bbbbbbbb, before aaaaaaaa)"
    )


def test_another_machine_writes_into_the_repository() -> None:
    made = world()
    made.night(copy_given={"host": "srv2"})
    one_finding(made, "backup-other-host", "was made on srv2, those before on srv1")


def test_the_repository_is_away() -> None:
    made = world()
    made.look(opened=False, why="away", reason="connection refused", copies=[], copies_total=0)
    assert found(made.judge()) == {}
    made.now_ms += 3 * HOUR
    made.look(opened=False, why="away", reason="connection refused", copies=[], copies_total=0)
    one_finding(
        made, "backup-repository-away", "cannot be reached for 3 h", "connection refused", "it last opened"
    )


def test_nobody_can_look() -> None:
    made = world()
    made.look(opened=False, why="tool", reason="there is no program restic here", copies=[], copies_total=0)
    one_finding(made, "backup-not-looked-at", "there is no program restic")


def test_the_job_no_longer_reports() -> None:
    made = world()
    made.nights(
        3,
        by="repository",
        said="unknown",
        began_ms=None,
        exit_code=None,
        sources=[],
        manifest=None,
        excludes=None,
    )
    one_finding(made, "backup-not-reported", "shows 3 new snapshots since", "forestall agent job")


def test_the_schedule_moved() -> None:
    made = world()
    made.at += timedelta(hours=7)
    made.nights(4)
    one_finding(made, "backup-schedule-moved", "began about 05:00, before it was about 22:00 (Europe/Berlin)")


def test_daylight_saving_moves_nothing() -> None:
    assert found(world(120).judge()) == {}  # from January over the end of March


def test_runs_take_longer() -> None:
    made = world()
    made.usual_ms *= 6
    made.nights(5)
    one_finding(made, "backup-slower", "runs take 2 h", "before it was 27 min", "median of 5")


def test_the_last_runs_failed() -> None:
    made = world()
    made.night(said="failed", exit_code=1, no_copy=True, reason="cannot read the configuration")
    one_finding(
        made, "backup-failed", "the run failed (exit 1)", "cannot read the configuration", "the last good one"
    )
    made.nights(3, said="failed", exit_code=1, no_copy=True, reason="cannot read the configuration")
    one_finding(made, "backup-failed", "the last 4 runs failed")
    assert made.judge().disagreements[0].state is State.BREAKING


# Proofs


@pytest.mark.parametrize(
    ("level", "rule"),
    [
        (2, "backup-check"),
        (3, "backup-read"),
        (4, "backup-restore"),
        (5, "backup-service"),
        (6, "backup-elsewhere"),
    ],
)
def test_a_proof_that_is_overdue_skipped_or_wrong(level: int, rule: str) -> None:
    made = world(10, drills=False)
    made.plan = replace(made.plan, cadences=(Cadence(level=level, every_ms=4 * DAY),))
    one_finding(made, f"{rule}-overdue", f"level {level} (", "every 4 days: never yet", "counts as failed")
    made.prove(level)
    assert found(made.judge()) == {}
    due = made.judge().ladder.rungs[level].due_ms
    assert due == made.proofs[-1].ended_ms + 4 * DAY
    made.prove(level, ok=False, skipped=True, reason="the sandbox has room for 2 GB only")
    one_finding(
        made, f"{rule}-failed", "was not done", "skipped, which counts as failed: the sandbox", "it last succ"
    )
    made.prove(level, ok=False, reason="it went wrong")
    expected = f"{rule}-failed" if level > 3 else "backup-damaged"
    one_finding(made, expected, "it went wrong")


def test_a_slice_that_is_not_read_back_keeps_the_whole_unproved() -> None:
    made = world(1, drills=False)
    made.plan = replace(made.plan, cadences=(Cadence(level=3, every_ms=20 * DAY),), slices=4)
    for part in (1, 2, 3):
        made.prove(3, slice_of=(part, 4))
    rung = made.judge().ladder.rungs[3]
    assert rung.status == "never" and "3 of 4 slices" in rung.said
    made.prove(3, slice_of=(4, 4))
    rung = made.judge().ladder.rungs[3]
    assert rung.status == "proved" and rung.at_ms == made.proofs[0].ended_ms


def test_an_empty_restore_that_equals_an_empty_manifest_proves_nothing() -> None:
    made = world()
    made.prove(4, files_expected=0, files_equal=0)
    one_finding(made, "backup-restore-failed", "it compared nothing")


def test_a_restore_compared_with_another_manifest_proves_nothing() -> None:
    made = world()
    made.prove(4, manifest=Manifest("ee" * 32, made.now_ms, 12_000, 1))
    one_finding(made, "backup-restore-failed", "another manifest (eeeeeeee) than the one taken at the source")


def test_a_proof_that_says_ok_and_counts_mismatches_is_none() -> None:
    made = world()
    made.prove(4, ok=True, mismatches=[Mismatch("/srv/data/a", "differs")], mismatches_total=7)
    one_finding(
        made, "backup-restore-failed", "7 of 12,150 files are not as at the source: /srv/data/a (differs)"
    )


def test_a_drill_that_restores_the_same_old_copy() -> None:
    made = world()
    old = made.runs[3]
    made.prove(4, copy=old.copy, copy_at_ms=old.began_ms)
    one_finding(made, "backup-proof-stale", "which was 26 days old then")


def test_a_drill_that_took_longer_than_agreed() -> None:
    made = world()
    made.prove(4, rto_ms=11 * HOUR)
    one_finding(made, "backup-objective-missed", "it took 11 h to be back, 8 h were agreed")


def test_a_plan_that_nobody_proves() -> None:
    made = world(89, drills=False)
    assert found(made.judge()) == {}
    made.nights(2)
    one_finding(made, "backup-never-proved", "no restore of it was ever proved", "no drill is planned")


# What a person said, and the ladder


def test_a_person_accepts_a_new_level() -> None:
    made = world()
    made.files, made.size = 3000, 9e9
    made.night()
    assert list(found(made.judge())) == ["backup-shrunk"]
    accepted = made.now_ms
    made.plan = replace(made.plan, accepted_ms=accepted)
    assert found(made.judge()) == {}
    made.nights(20)
    assert found(made.judge()) == {}


def test_the_ladder_of_a_sound_plan() -> None:
    ladder = world(100).judge().ladder
    assert [one.status for one in ladder.rungs] == ["proved"] * 5 + ["off", "proved"]
    assert (
        ladder.highest == 6
        and ladder.said == "level 6, restored elsewhere with the escrowed key, proved 9 days ago"
    )
    assert "12,505 files equal" not in ladder.rungs[6].said and "back in 60 min" in ladder.rungs[6].said


def test_the_ladder_when_runs_go_bad() -> None:
    made = world()
    gone = [SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 0, 0), made.sources()[1]]
    made.night(sources=gone, files=0, size=0)
    ladder = made.judge().ladder
    assert (ladder.rungs[0].status, ladder.rungs[1].status) == ("proved", "failed")
    assert "is not plausible: the source /srv/data is empty" in ladder.rungs[1].said
    assert "says nothing of them" in ladder.rungs[4].said
    assert ladder.highest == 4 and "level 1 failed" in ladder.said


def test_the_ladder_of_nothing() -> None:
    verdict = World().judge()
    assert verdict.ladder.highest == -1 and verdict.ladder.said == "nothing is proved"
    assert {one.status for one in verdict.ladder.rungs} == {"never", "off"}


def test_it_says_when_to_judge_again() -> None:
    made = world()
    again = made.judge().next_judging_ms
    assert made.now_ms + MINUTE <= again <= made.now_ms + DAY


# One fault, one finding; two faults, two


def test_an_old_exclusion_does_not_hide_what_is_lost_today() -> None:
    made = world()
    more = ["*.tmp", "/srv/data/cache", "/srv/data/old"]
    made.nights(20, excludes=more)
    assert list(found(made.judge())) == ["backup-excludes-grown"]
    made.night(excludes=more, files=3000, size=9e9, manifest=None)
    assert set(found(made.judge())) == {"backup-excludes-grown", "backup-shrunk"}


def test_an_exclusion_that_takes_most_of_the_files_is_one_finding() -> None:
    made = world()
    made.night(excludes=["*.tmp", "/srv/data/cache", "/srv/data/a"], files=3000, size=9e9)
    one_finding(made, "backup-excludes-grown", "also leaves out /srv/data/a, and the files fell")


def test_a_job_that_begins_to_fail_while_a_source_is_missing_is_another_fault() -> None:
    made = world()
    gone = [made.sources()[0], SourceSeen("/srv/mail", False)]
    made.nights(5, sources=gone, copy_given={"paths": ["/srv/data"]})
    assert list(found(made.judge())) == ["backup-source-missing"]
    made.night(
        sources=gone, said="failed", exit_code=1, no_copy=True, copy="", reason="cannot read its settings"
    )
    assert set(found(made.judge())) == {"backup-source-missing", "backup-failed"}


def test_only_the_canary_is_in_the_copy() -> None:
    made = World(natural=False)
    made.night(files=2, size=5000, manifest=None, sources=[])
    one_finding(made, "backup-copy-empty", "holds 2 files of 5.0 kB")


def test_another_job_in_the_same_repository_is_no_matter_of_this_plan() -> None:
    made = World(natural=False)
    for night in range(30):
        made.night()
        other = CopySeen(
            key=f"{night:064x}", at_ms=made.now_ms - HOUR, host="srv9", paths=["/home"], files=3, size=9
        )
        made.copies.append(other)
        run = RunReport(
            plan="",
            run=other.key,
            at_ms=other.at_ms,
            by="repository",
            said="unknown",
            copy=other.key,
            ended_ms=other.at_ms,
            files=3,
            size=9,
        )
        made.runs.append(run)
        made.look()
        assert found(made.judge()) == {}
    made.night(copy_given={"paths": ["/srv/data"]})
    one_finding(made, "backup-source-missing", "/srv/mail is not in the newest snapshot")


def test_figures_that_the_job_does_not_tell_are_those_of_its_copy() -> None:
    made = World(natural=False, tool="borg")
    for _ in range(12):
        made.night(copy_given={"files": 12_000, "size": 40_000_000}, files=None, size=None, copy="")
    assert found(made.judge()) == {}
    made.night(copy_given={"files": 40, "size": 900_000}, files=None, size=None, copy="", manifest=None)
    one_finding(made, "backup-shrunk", "saved 40 files, usually 12,000 files")


def test_the_volume_is_not_mounted_and_old_files_lie_in_the_folder_under_it() -> None:
    made = world()
    old = SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 8000, 20_000_000_000)
    made.night(sources=[old, made.sources()[1]])
    one_finding(
        made, "backup-source-empty", "/srv/data holds 8,000 files, usually 9,", "its volume is not mounted"
    )
    made.nights(3, sources=[old, made.sources()[1]])
    assert list(found(made.judge())) == ["backup-source-empty"]


def test_another_device_name_after_a_restart_is_nothing() -> None:
    made = world()
    again = SourceSeen("/srv/data", True, "ext4 /dev/sdx1", True, 9700, 32_000_000_000)
    made.night(sources=[again, made.sources()[1]])
    assert found(made.judge()) == {}


def test_an_error_that_the_exit_code_does_not_tell() -> None:
    made = world(tool="archive")
    made.night(output="dumping\npg_dump: error: connection to server failed: FATAL: no such user\nbye\n")
    one_finding(
        made, "backup-error-swallowed", "the job says success (exit 0)", "pg_dump: error: connection to"
    )
    made.night(output="0 errors\nerrors.log saved\nfailed: 0\n")
    assert found(made.judge()) == {}


def test_nobody_looks_any_more() -> None:
    made = world(drills=False)
    made.nights(2, look=False)
    assert found(made.judge()) == {}
    made.nights(2, look=False)
    one_finding(made, "backup-look-overdue", "nobody has looked into the repository since", "srv1 is heard")


def test_the_machine_itself_lives_in_the_future() -> None:
    made = world()
    one_finding(made, "backup-clock-wrong", "is 2 h 10 min ahead of ours", after_ms=-3 * HOUR)


def test_everything_was_truncated() -> None:
    made = world()
    made.night(size=0)
    assert "backup-copy-empty" in found(made.judge())
    made = world()
    made.night(size=9_000_000)
    one_finding(made, "backup-shrunk", "saved 9.0 MB, usually 40.0 GB")


def test_a_source_was_replaced_by_other_data() -> None:
    made = world()
    made.night(added=40_000_000_000, files_new=12_000, files_removed=12_150, files_changed=0, entropy=5.0)
    one_finding(made, "backup-rewritten", "nearly everything at the source was rewritten")
