"""Plans of restic against the real one: what a run says, what a look finds, what each proof catches."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from contract.backup_site import Site, flip, state, wall_ms
from forestall.collect.backups.adapter import CannotProve
from forestall.collect.backups.compare import compare, find_canary
from forestall.collect.backups.sandbox import scratch_for
from forestall.collect.jobs import restic
from forestall.kernel.backups import ProgressReport, RunReport

VERSION = subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, restic)


def quiet(*_: object) -> None:
    pass


# what a run says


def test_a_run_is_seen_from_beginning_to_end(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    code, run = site.job()
    assert code == 0 and "snapshot" in capfd.readouterr().out  # the job's own output passes through
    assert (run.said, run.exit_code, run.version) == ("success", 0, VERSION) and run.files == 14
    assert run.tool == "restic"
    assert run.began_ms and run.ended_ms and run.began_ms <= run.ended_ms and run.size and run.size > 50_000
    assert run.manifest and (run.manifest.files, run.manifest.moving) == (12, 0)
    assert run.canary and run.canary.where == str(site.source / ".forestall-canary" / "canary.json")
    (source,) = run.sources
    assert source.there and (source.entries, source.size) == (12, run.manifest.size) and source.mount
    assert [report.said for _, report in site.records.waiting()] == ["running", "success"]


def test_what_changed_since_the_run_before_is_told(site: Site) -> None:
    site.job()
    (site.source / "folder0" / "file 0.bin").rename(site.source / "folder0" / "file 0.bin.locked")
    (site.source / "folder1" / "file 1.bin").write_bytes(os.urandom(9_000))
    (site.source / "folder2" / "file 2.bin").unlink()
    _, run = site.job()
    assert (run.files_removed, run.renamed) == (2, 1) and run.entropy and run.entropy > 7.9


async def test_a_missing_source_is_a_warning_though_restic_says_0(site: Site) -> None:
    site.known = False
    code, run = site.job(*site.command(str(site.source), str(site.home / "gone")))
    assert code == 0 and run.said == "warning" and "gone does not exist, skipping" in run.reason
    assert [(one.there, one.problem) for one in run.sources] == [
        (True, ""),
        (False, f"there is no {site.home}/gone"),
    ]


async def test_an_empty_source_gets_no_canary_and_its_copy_is_empty(site: Site) -> None:
    site.sh("find", str(site.source), "-mindepth", "1", "-delete")
    code, run = site.job()
    assert code == 0 and run.canary is None and run.sources[0].entries == 0
    copy = await site.copy()
    assert (copy.files, copy.problem) == (0, "it holds no file")


def test_exit_codes_mean_what_they_do_in_their_version() -> None:
    def said(code: int, output: str = "", version: str = "0.14.0") -> tuple[str, str]:
        read = restic.read_run(code, output, command=["restic"], version=version)
        return read.said, read.reason

    assert said(0)[0] == "success" and said(3)[0] == "warning" and said(1)[0] == "failed"
    assert said(3, version="0.9.6") == ("failed", "restic ended with 3, which means nothing in this version")
    assert said(12, version="0.18.0") == ("failed", "restic ended with 12: wrong password")
    assert (
        "which means nothing" in said(12)[1]
        and "the repository does not exist" in said(10, version="0.17.3")[1]
    )
    assert said(-9)[1] == said(137)[1] == "restic was ended by signal 9"
    assert "unable to save" in said(1, "Fatal: unable to save snapshot: no space left on device")[1]


def test_what_newer_versions_say_of_damage_is_read_without_their_advice() -> None:
    """As restic 0.18.0 of Debian said it."""
    said = (
        "pack b282b261 contains 2 errors: [blob 2303850f: decrypting blob <tree/2303850f> from b282b261 "
        "failed: ciphertext verification failed unexpected pack id c0afe514]\n\n"
        "The repository contains damaged pack files. These damaged files must be removed to repair the "
        "repository.\n\nrestic repair packs b282b261\n"
        "Damaged pack files can be caused by backend problems, hardware problems or bugs in restic. Please "
        "open an issue at https://github.com/restic/restic/issues/new/choose for further troubleshooting!\n"
        "Fatal: repository contains errors\n"
    )
    pack, fatal = restic.errors_of(said)
    assert pack.startswith("pack b282b261 contains 2 errors") and fatal == "Fatal: repository contains errors"


def test_numbers_are_read_from_words_and_from_json() -> None:
    words = (
        "Files:           3 new,     2 changed,    10 unmodified\nDirs: 0 new\n"
        "Added to the repository: 1.500 MiB (1.000 MiB stored)\n\nprocessed 15 files, 2.000 GiB in 0:03\n"
        "snapshot 41f3ac0f saved\n"
    )
    read = restic.read_run(0, words, command=["restic"], version="0.14.0")
    assert (read.copy, read.files, read.size, read.files_new, read.files_changed, read.added) == (
        "41f3ac0f", 15, 2 << 30, 3, 2, 1 << 20,
    )  # fmt: skip
    summary = {
        "message_type": "summary",
        "snapshot_id": "a" * 64,
        "total_files_processed": 7,
        "data_added": 9,
    }
    read = restic.read_run(0, json.dumps(summary), command=["restic"], version="0.17.0")
    assert (read.copy, read.files, read.added) == ("a" * 64, 7, 9)


def test_what_a_command_backs_up_and_leaves_out(tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    patterns.write_text("# not these\n*.tmp\n")
    command = ["sudo", "/usr/bin/restic", "-r", "/r", "backup", "-e", "*.iso"]
    command += [f"--exclude-file={patterns}", "/a", "--tag", "daily", "-x", "/b"]
    assert restic.sources_of(command) == ["/a", "/b"]
    assert restic.excludes_of(command) == ["*.iso", "*.tmp", "other file systems"]


# what a look finds


def written_locks(site: Site) -> list[Path]:
    """Locks under their last name: restic writes them beside it and renames them."""
    return [path for path in (site.repository / "locks").iterdir() if len(path.name) == 64]


async def test_a_look_sees_copies_locks_and_room(site: Site) -> None:
    site.job()
    lock = subprocess.Popen(
        ["restic", "backup", "--stdin", "-q"], env=os.environ | site.environment, stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not written_locks(site) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        lock.kill()
        lock.wait()
    seen = await site.look()
    assert seen.opened and seen.version == VERSION and (seen.copies_total, seen.copies[0].files) == (1, 14)
    assert len(seen.locks) == 1 and str(lock.pid) in seen.locks[0].who and not seen.locks[0].exclusive
    assert seen.free and seen.room and seen.used and seen.settings["version"] == "2"
    assert abs(seen.copies[0].at_ms - wall_ms()) < 60_000 and seen.copies[0].paths == [str(site.source)]


async def test_why_a_repository_does_not_open(site: Site) -> None:
    site.job()
    assert (await site.look(secrets={"password": "another word"})).why == "key"
    assert (await site.look(secrets={})).why == "key"
    away = await site.look(place=str(site.home / "nowhere"))
    assert (away.opened, away.why) == (False, "away") and "unable to open" in away.reason
    for place in ("rclone::sftp,ssh='touch x':", "sftp:-oProxyCommand=x:/r", "--repo", "relative"):
        assert (await site.look(place=place)).why == "tool"
    flip(site.repository / "config")
    assert (await site.look()).why == "damaged"


# what each proof catches


async def test_clean_proofs_at_every_level(site: Site) -> None:
    site.job()
    check, read = await site.work("check"), await site.work("read")
    assert check.ok and read.ok and read.slice_of == (1, 3) and (await site.work("read")).slice_of == (2, 3)
    drill = await site.work("drill")
    assert drill.ok, drill.reason
    assert (drill.files_expected, drill.files_equal, drill.mismatches_total) == (12, 12, 0)
    assert drill.rpo_ms is not None and drill.rto_ms and drill.rpo_ms < 60_000 and drill.copy_at_ms
    run = site.records.runs(site.plan)[0]
    assert run.manifest and drill.manifest and drill.manifest.root == run.manifest.root
    assert len(run.copy) == 8 and drill.copy.startswith(run.copy) and len(drill.copy) == 64
    assert not scratch_for(site.agent / "backups").exists()  # what was restored is gone
    assert {asset for asset, _ in site.reports} == {"an asset"}


async def test_one_flipped_bit_in_the_repository(site: Site) -> None:
    site.job()
    flip(max((site.repository / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size))
    assert (await site.work("check")).ok  # the structure is sound: that is why there is a level 3
    slices = [await site.work("read") for _ in range(3)]
    (bad,) = [one for one in slices if not one.ok]
    assert not bad.skipped and bad.slice_of and bad.slice_of[1] == 3
    assert re.search(r"Pack ID does not match|unexpected pack id|contains \d+ errors", bad.reason)
    assert "http" not in bad.reason  # restic's advice is not what was found
    drill = await site.work("drill")
    assert not drill.ok and not drill.skipped and drill.mismatches_total > 0, drill.reason


async def test_other_damage_to_the_repository(site: Site) -> None:
    site.job()
    (snapshot,) = (site.repository / "snapshots").iterdir()
    good = snapshot.read_bytes()
    flip(snapshot)
    (damaged,) = (await site.look()).copies  # restic lists none, and ends with 0
    assert (
        damaged.key == snapshot.name
        and re.search("(could not|failed to) load snapshot", damaged.problem)
        and damaged.files is None
    )
    assert "invalid data returned" in (await site.work("check")).reason
    snapshot.write_bytes(good)
    packs = [path for path in (site.repository / "data").rglob("*") if path.is_file()]
    max(packs, key=lambda path: path.stat().st_size).unlink()
    check = await site.work("check")
    assert not check.ok and not check.skipped and "does not exist" in check.reason


async def test_a_source_that_is_only_a_link_is_an_empty_source(site: Site) -> None:
    elsewhere = site.home / "elsewhere"
    site.source.rename(elsewhere)
    site.source.symlink_to(elsewhere)
    code, run = site.job()
    assert code == 0 and run.sources[0].there and run.sources[0].entries == 0 and run.files == 0
    assert "is a link" in run.sources[0].problem and run.canary is None
    proof = await site.work("drill")
    assert not proof.ok and proof.reason.endswith("the manifest has no file: nothing was at the source")


async def test_a_link_in_a_restore_does_not_lead_back_to_the_source(site: Site) -> None:
    """The canary of the source itself must not pass for the one in the copy."""
    _, run = site.job()
    root = site.home / "restored"
    (root / str(site.source)[1:]).parent.mkdir(parents=True)
    (root / str(site.source)[1:]).symlink_to(site.source)
    assert (site.source / ".forestall-canary").exists()
    back = find_canary(root, str(site.source), expected=run.canary)
    assert not back.ok and "a link out of the restored tree" in back.said


async def test_a_copy_that_is_pruned_meanwhile_is_no_damage(site: Site) -> None:
    site.job()
    copy = await site.copy()
    site.sh("restic", "forget", copy.key)
    into = site.home / "restored"
    into.mkdir()
    with pytest.raises(CannotProve, match=r"no matching ID|no such file") as gone:
        await restic.restore(site.repository_seen("s"), copy, into=into, tell=quiet)
    assert gone.value.why == "locked"


async def test_one_flipped_bit_in_what_was_restored(site: Site) -> None:
    site.job()
    seen = await site.look()
    into = site.home / "restored"
    into.mkdir()
    restored = await restic.restore(site.repository_seen("s"), seen.copies[0], into=into, tell=quiet)
    assert restored.checks[0].ok
    run = site.records.runs(site.plan)[0]
    assert run.manifest
    manifest = site.records.manifest(site.plan, run.run)
    assert compare(manifest, into, bound=run.manifest.root).mismatches_total == 0
    flip(into / str(site.source)[1:] / "folder1" / "file 4.bin")
    (into / str(site.source)[1:] / "folder2" / "file 5.bin").unlink()
    (into / str(site.source)[1:] / "folder2" / "file 8.bin").write_bytes(b"")
    (into / str(site.source)[1:] / "empty").rmdir()
    compared = compare(manifest, into, bound=run.manifest.root)
    assert {one.path.removeprefix(f"{site.source}/"): one.what for one in compared.mismatches} == {
        "folder1/file 4.bin": "differs", "folder2/file 5.bin": "missing", "folder2/file 8.bin": "shorter",
        "empty": "missing",
    }  # fmt: skip
    assert compared.equal == 9


async def test_one_flipped_bit_in_the_manifest(site: Site) -> None:
    site.job()
    manifest = site.records.manifest(site.plan, site.records.runs(site.plan)[0].run)
    good = manifest.read_bytes()
    for at in (30, len(good) // 2, len(good) - 3):
        flip(manifest, at)
        proof = await site.work("drill")
        assert not proof.ok and not proof.skipped and "manifest" in proof.reason, (at, proof.reason)
        manifest.write_bytes(good)
    assert (await site.work("drill")).ok


async def test_a_manifest_of_another_root_than_the_server_was_told(site: Site) -> None:
    site.job()
    bound = site.bound()
    assert bound.manifest
    other = msgspec.structs.replace(bound, manifest=msgspec.structs.replace(bound.manifest, root="0" * 64))
    proof = await site.work("drill", bound=[other])
    assert not proof.ok and "is not the one that was taken at the source" in proof.reason


async def test_restored_elsewhere_with_nothing_of_the_jobs_machine(site: Site) -> None:
    site.job()
    bound, elsewhere = site.bound(), site.home / "another machine"
    proof = await site.work("elsewhere", agent=elsewhere, bound=[bound])
    assert proof.ok and (proof.files_equal, proof.files_expected) == (12, 12), proof.reason
    nothing = await site.work("elsewhere", agent=elsewhere)
    assert nothing.skipped and "has a manifest that was taken at its source" in nothing.reason
    wrong = await site.work("elsewhere", agent=elsewhere, bound=[bound], secrets={"password": "lost"})
    assert wrong.skipped and not wrong.ok and "wrong password" in wrong.reason


async def test_a_torn_canary(site: Site) -> None:
    script = site.home / "job.sh"
    canary = site.source / ".forestall-canary" / "canary.json"
    script.write_text(f"truncate -s 100 {canary}\nexec restic backup {site.source}\n")
    site.job("sh", str(script))
    proof = await site.work("drill")
    assert not proof.ok and "the canary came back torn" in proof.reason and proof.canary_at_ms is None


async def test_files_that_move_while_the_run_goes_on(site: Site) -> None:
    log, torn, gone = (site.source / name for name in ("grows.log", "torn.db", "gone.tmp"))
    for path in (log, torn, gone):
        path.write_bytes(b"before\n" * 1000)
    script = site.home / "job.sh"
    script.write_text(
        f"echo more >> {log}; rm {gone}; printf X | dd of={torn} conv=notrunc 2>/dev/null\n"
        f"restic backup {site.source}\necho even more >> {log}\n"
        f"printf Y | dd of={torn} conv=notrunc 2>/dev/null\n"
    )
    _, run = site.job("sh", str(script))
    assert run.manifest and run.manifest.moving == 3
    proof = await site.work("drill")
    assert not proof.ok and [(one.path, one.what) for one in proof.mismatches] == [(str(torn), "torn")]
    assert next(check for check in proof.checks if check.name == "torn files").said.startswith(
        "1 files changed"
    )
    site.settings = {"may_move": ["*.db"]}
    proof = await site.work("drill")
    assert proof.ok, proof.reason
    assert next(one.said for one in proof.checks if one.name == "moving files").startswith("2 files changed")


async def test_a_copy_is_found_by_its_time_when_the_output_does_not_name_it(site: Site) -> None:
    site.known = False
    script = site.home / "job.sh"
    script.write_text(f"exec restic -q backup {site.source}\n")
    _, run = site.job("sh", str(script), sources=[str(site.source)])
    assert (run.said, run.copy, run.tool) == ("success", "", "")
    assert (await site.work("drill")).ok
    await site.look_by_agent(lambda report: isinstance(report, RunReport) and len(report.copy) == 64)
    assert len(site.records.runs(site.plan)[0].copy) == 64


async def test_a_snapshot_dated_in_the_future_does_not_win(site: Site) -> None:
    _, run = site.job()
    (site.home / "other").mkdir()
    site.sh("restic", "backup", "--time", "2031-01-01 00:00:00", str(site.home / "other"))
    seen = await site.look()
    assert seen.copies[-1].at_ms > wall_ms() + 86_400_000  # the judge is shown it
    proof = await site.work("drill")
    assert proof.ok and proof.copy.startswith(run.copy), proof.reason


async def test_what_is_left_out_on_purpose_is_not_missed(site: Site) -> None:
    (site.source / "big.iso").write_bytes(b"x" * 1000)
    site.job("restic", "backup", "--exclude", "*.iso", "--exclude", "folder2", str(site.source))
    site.settings = {"excludes": ["*.iso"]}
    proof = await site.work("drill")
    missed = {Path(one.path).name for one in proof.mismatches}
    assert not proof.ok and missed == {"folder2", "file 2.bin", "file 5.bin", "file 8.bin", "file 11.bin"}


async def test_a_restore_that_is_larger_than_its_sandbox(site: Site) -> None:
    site.job()
    proof = await site.work("drill", sandbox_max=10_000)
    assert proof.skipped and not proof.ok and "may take 10000" in proof.reason


async def test_a_copy_without_a_manifest_and_an_empty_repository(site: Site) -> None:
    assert "the repository has no copy" in (await site.work("drill")).reason
    site.sh("restic", "backup", str(site.source))
    proof = await site.work("drill")
    assert proof.skipped and "forestall agent job PLAN" in proof.reason


async def test_an_unreadable_file_is_a_warning_and_never_a_pass(site: Site, tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path != Path("/tmp") and path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o755)
    site.sh("chmod", "-R", "a+rwX", str(site.repository), str(site.source))
    secret = site.source / "folder0" / "file 0.bin"
    secret.chmod(0o600)
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache").chmod(0o777)
    command = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "restic",
        "--no-cache",
        "backup",
    ]
    code, run = site.job(*command, str(site.source))
    assert code == 3 and run.said == "warning" and "permission denied" in run.reason
    site.sh("chmod", "-R", "a+rwX", str(site.repository))
    proof = await site.work("drill")
    assert not proof.ok and [(one.path, one.what) for one in proof.mismatches] == [(str(secret), "missing")]


async def test_progress_is_told_and_nothing_is_written_without_a_password(site: Site) -> None:
    site.job()
    await site.work("drill")
    told = [report for _, report in site.reports if isinstance(report, ProgressReport)]
    assert told and told[0].work == "drill" and told[0].doing
    before = state(site.repository)
    with pytest.raises(CannotProve, match="has no password"):
        await restic.check(site.repository_seen("s", secrets={}), quiet)
    assert state(site.repository) == before
