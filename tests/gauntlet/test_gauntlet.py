"""Each silent death of a backup, made with real tools and taken through the product: found within one cycle,
the cause named in words. Nights as they should be give no finding."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from contract.backup_site import flip, wall_ms
from forestall.collect.jobs import borg, restic
from forestall.judge.backups import Cadence, Keep
from gauntlet.ground import DAY_MS, Ground, earlier, empty, settled

BOTH = pytest.mark.parametrize("tool", [restic, borg], ids=["restic", "borg"])


@pytest.fixture
async def ground() -> Ground:
    return await ready(restic)


async def ready(tool: ModuleType, *, keep: Keep | None = None) -> Ground:
    """With the good nights behind it. The agent's looks have an event loop of their own."""
    return await asyncio.to_thread(settled, tool, keep=keep)


@BOTH
async def test_good_nights_give_no_finding(tool: ModuleType) -> None:
    ground = await ready(tool)
    ground.night()
    await ground.look()
    assert (await ground.prove("drill")).ok
    assert ground.found() == {}
    assert ground.verdict(cadences=[Cadence(level=4, every_ms=7 * DAY_MS)]).ladder.highest == 4


@BOTH
def test_01_one_of_two_sources_is_missing(tmp_path: Path, tool: ModuleType) -> None:
    ground = Ground(tmp_path, tool)
    other = tmp_path / "mail"
    other.mkdir()
    (other / "inbox").write_bytes(os.urandom(9_000))
    ground.sources.append(other)
    ground.good_nights(4, looks=0)
    (other / "inbox").unlink()
    other.rmdir()
    ground.night()
    said = ground.found()
    assert f"{other}" in said.get("backup-source-missing", ""), (said, ground.runs[-1])


def test_02_the_volume_is_not_mounted(tmp_path: Path) -> None:
    ground = Ground(tmp_path, restic)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(ground.site.source)], check=True)
    try:
        (ground.site.source / "folder1").mkdir()
        for number in range(20):
            (ground.site.source / f"file {number}").write_bytes(os.urandom(4_000))
        ground.good_nights()
    finally:
        subprocess.run(["umount", str(ground.site.source)], check=True)
    empty(ground.site.source)  # what lies under the mount point
    code, _ = ground.night()
    assert code == 0
    said = ground.found()["backup-source-empty"]
    assert "not mounted" in said and "tmpfs" in said and "success" in said


async def test_03_empty_runs_push_the_good_copies_out() -> None:
    ground = await ready(restic, keep=Keep(last=3))
    empty(ground.site.source)
    ground.night()
    await ground.look()
    said = ground.found()
    assert "the last good copy" in said["backup-source-empty"]
    for _ in range(2):
        ground.night()
    ground.site.sh("restic", "forget", "--keep-last", "3", "--prune", "-q")
    await ground.look()
    said = ground.found()
    assert "backup-source-empty" in said
    assert "good copy" in " ".join(said.values())


async def test_04_a_file_is_torn_while_it_is_written(ground: Ground) -> None:
    script = (
        'c=$(ls -d "$1"/.forestall-canary/canary.json); cp -p "$c" "$2"; head -c 40 "$2" > "$c"; '
        'restic backup "$1"; s=$?; cp -p "$2" "$c"; exit $s'
    )
    ground.night(command=["sh", "-c", script, "sh", str(ground.site.source), str(ground.site.home / "aside")])
    await ground.look()
    proof = await ground.prove("drill")
    assert not proof.ok
    said = ground.found()
    assert list(said) == ["backup-restore-failed"], said
    assert "canary" in " ".join(said.values())


@BOTH
async def test_05_one_bit_of_the_repository_flips(tool: ModuleType) -> None:
    ground = await ready(tool)
    ground.night()
    data = max(
        (ground.site.repository / "data").rglob("*"), key=lambda one: one.stat().st_size * one.is_file()
    )
    flip(data)
    for _ in range(3):  # the slices of one full reading
        await ground.prove("read")
    said = ground.found()
    assert list(said) == ["backup-damaged"], said


async def test_06_a_lock_was_left(ground: Ground) -> None:
    process = subprocess.Popen(
        ["restic", "backup", "--stdin"], stdin=subprocess.PIPE, env=os.environ | ground.site.environment
    )
    locks = ground.site.repository / "locks"
    while not any(len(one.name) == 64 for one in locks.iterdir()):
        assert process.poll() is None
    process.kill()
    process.communicate()
    ground.night()
    seen = await ground.look()
    assert len(seen.locks) == 1
    # two days go by with it: the look is as it was, only the lock is older
    ground.looks[-1] = replace(
        ground.looks[-1], locks=[replace(one, at_ms=one.at_ms - 2 * DAY_MS) for one in seen.locks]
    )
    assert "lock" in ground.found()["backup-locked"]


async def test_07_a_snapshot_is_dated_in_the_future(ground: Ground) -> None:
    ground.night(command=[*ground.site.command(), "--time", "2031-01-01 02:00:00"])
    await ground.look()
    assert "2031" in ground.found()["backup-clock-wrong"]


@BOTH
async def test_10_the_source_was_encrypted(tool: ModuleType) -> None:
    ground = await ready(tool)
    for path in [one for one in ground.site.source.rglob("*") if one.is_file() and not one.is_symlink()]:
        if ".forestall-canary" in str(path):
            continue
        path.write_bytes(os.urandom(path.stat().st_size + 40))
        path.rename(path.with_name(path.name + ".locked"))
    ground.night()
    said = ground.found()
    assert "backup-encrypted" in said, said
    assert "ransomware" in said["backup-encrypted"] and "18 files" in said["backup-encrypted"]


async def test_11_the_repository_is_full(ground: Ground) -> None:
    place = ground.site.repository
    kept = ground.site.home / "kept"
    place.rename(kept)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", str(place)], check=True)
        (ground.site.source / "big").write_bytes(os.urandom(3 << 20))
        code, run = ground.night(command=["timeout", "-s", "KILL", "6", *ground.site.command()])
        assert code != 0 and run.said == "failed"
        await ground.look()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    said = ground.found()
    assert list(said) == ["backup-room-full"], said
    assert "no space left" in said["backup-room-full"], said


def test_12_a_file_cannot_be_read(ground: Ground) -> None:
    secret = ground.site.source / "folder0" / "file 0.bin"
    secret.chmod(0o600)
    theirs = [str(ground.site.repository), str(ground.site.home / "cache")]
    subprocess.run(["chown", "-R", "65534", *theirs], check=True)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    code, run = ground.night(command=[*nobody, *ground.site.command()])
    assert code == 3 and run.said == "warning"
    assert "file 0.bin" in ground.found()["backup-warning"]


async def test_13_all_sources_are_missing_and_borg_saves_an_empty_archive() -> None:
    ground = await ready(borg)
    ground.site.source.rename(ground.site.home / "elsewhere")
    code, run = ground.night()
    assert code == 1 and run.said == "warning"
    said = ground.found()
    assert "backup-source-missing" in said and str(ground.site.source) in said["backup-source-missing"]


async def test_14_the_password_was_changed(ground: Ground) -> None:
    new = ground.site.home / "new"
    new.write_text("another word")
    ground.site.sh("restic", "key", "passwd", "--new-password-file", str(new))
    seen = await ground.look()
    assert not seen.opened and seen.why == "key"
    assert list(ground.found()) == ["backup-key-refused"]
    assert "wrong password" in ground.found()["backup-key-refused"]


def test_15_the_timer_is_gone(ground: Ground) -> None:
    assert ground.found() == {}
    said = ground.found(days_later=2)["backup-overdue"]
    assert "its timer or the job itself is gone or disabled" in said


@BOTH
async def test_17_the_source_was_renamed(tool: ModuleType) -> None:
    ground = await ready(tool)
    other = ground.site.source.rename(ground.site.home / "renamed")
    ground.night(other)
    said = ground.found()
    assert list(said) == ["backup-source-missing"], said  # what took its place is seen in the copy
    await ground.look()
    said = ground.found()
    assert list(said) == ["backup-source-changed"], said
    assert f"saves {other} instead of {ground.site.source}" in said["backup-source-changed"], said


@BOTH
async def test_18_exclusions_have_grown(tool: ModuleType) -> None:
    ground = await ready(tool)
    ground.night(more=["--exclude", "*.bin"])
    said = ground.found()
    assert "*.bin" in said["backup-excludes-grown"], said


async def test_a_job_that_says_success_and_saves_nothing(ground: Ground) -> None:
    """Not in the list: a wrapper script swallows the failure."""
    ground.day = 0.1  # the agent looks some hours after the job
    ground.night(command=["sh", "-c", "restic backup /nowhere-at-all 2>/dev/null; exit 0"])
    ground.day = 0
    await ground.look()
    assert "the job says success" in ground.found()["backup-copy-missing"]


async def test_copies_are_deleted_by_somebody(ground: Ground) -> None:
    listed = json.loads(ground.site.sh("restic", "snapshots", "--json"))
    ground.site.sh("restic", "forget", "-q", *[one["short_id"] for one in listed[:4]])
    ground.night()
    await ground.look()
    assert "backup-copies-vanished" in ground.found()


def test_days_are_played_alike(ground: Ground) -> None:
    first, last = ground.runs[0], ground.runs[-1]
    assert last.at_ms - first.at_ms > 4 * DAY_MS and last.at_ms < wall_ms()
    assert earlier(last, 1).at_ms == last.at_ms - DAY_MS
