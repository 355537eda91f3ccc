"""Silent deaths that the document does not list, with real tools through the product: each found at the next
look or run, with its cause in words."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from forestall.collect.backups.records import DIRECTORY
from forestall.collect.backups.sandbox import scratch_for
from forestall.collect.jobs import restic
from gauntlet.ground import Ground, empty, settled


@pytest.fixture
async def ground() -> Ground:
    return await asyncio.to_thread(settled, restic)


def said(ground: Ground) -> str:
    return " | ".join(f"{rule}: {reason}" for rule, reason in ground.found().items())


async def test_the_source_became_a_link(ground: Ground) -> None:
    """Data moved to a larger disk, with a link left behind: tools keep the link."""
    moved = ground.site.source.rename(ground.site.home / "larger")
    ground.site.source.symlink_to(moved)
    assert ground.night()[0] == 0
    await ground.look()
    assert "link" in said(ground) and str(ground.site.source) in said(ground), said(ground)


async def test_a_mark_leaves_a_folder_out(ground: Ground) -> None:
    """The job always had --exclude-if-present .nobackup, and somebody put one in."""
    more = ["--exclude-if-present", ".nobackup"]
    assert ground.night(more=more)[0] == 0
    await ground.look()
    assert ground.found() == {}, said(ground)
    (ground.site.source / ".nobackup").touch()
    assert ground.night(more=more)[0] == 0
    await ground.look()
    assert list(ground.found()) == ["backup-copy-empty"], said(ground)


async def test_the_job_writes_to_another_repository(ground: Ground) -> None:
    subprocess.run(["cp", "-a", str(ground.site.repository), str(ground.site.home / "other")], check=True)
    ground.day = 0.1
    command = ["restic", "-r", str(ground.site.home / "other"), *ground.site.command()[1:]]
    assert ground.night(command=command)[0] == 0
    ground.day = 0
    await ground.look()
    assert "backup-copy-missing" in ground.found(), said(ground)


async def test_an_older_copy_of_the_repository_is_at_its_place(ground: Ground) -> None:
    """The disk with the repository was replaced by the one of last month."""
    older = ground.site.home / "older"
    subprocess.run(["cp", "-a", str(ground.site.repository), str(older)], check=True)
    for _ in range(2):
        ground.day = 0.2
        assert ground.night()[0] == 0
        ground.day = 0.1
        await ground.look()
    ground.day = 0
    assert ground.found() == {}, said(ground)
    empty(ground.site.repository)
    subprocess.run(["cp", "-a", f"{older}/.", str(ground.site.repository)], check=True)
    await ground.look()
    assert list(ground.found()) == ["backup-copy-missing"], said(ground)
    assert "the job says success in 2 runs" in said(ground)


async def test_the_repository_was_made_anew(ground: Ground) -> None:
    empty(ground.site.repository)
    ground.site.sh("restic", "init", "-q")
    assert ground.night()[0] == 0
    await ground.look()
    assert list(ground.found()) == ["backup-destination-changed"], said(ground)
    assert "another repository is at its place" in said(ground)


async def test_another_machine_writes_under_the_same_name(ground: Ground) -> None:
    """The job here is gone; a clone of the machine keeps the repository fresh."""
    for _ in range(2):
        ground.site.sh("restic", "backup", "--host", "clone", str(ground.site.source))
    seen = await ground.look()
    assert seen.copies[-1].host == "clone"
    assert "was made on clone" in ground.found()["backup-other-host"], said(ground)
    assert "backup-overdue" in ground.found(days_later=1), "the clone's copies stand for the job's"


async def test_an_empty_disk_is_mounted_over_the_source(ground: Ground) -> None:
    source = str(ground.site.source)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source], check=True)
    try:
        assert ground.night()[0] == 0
    finally:
        subprocess.run(["umount", source], check=True)
    reason = ground.found()["backup-source-empty"]
    assert "tmpfs" in reason and "empty" in reason, reason


async def test_encrypted_in_place_with_its_times_kept(ground: Ground) -> None:
    """Same names, same sizes, same times of change: only the content is another."""
    for path in [one for one in ground.site.source.rglob("*") if one.is_file() and not one.is_symlink()]:
        if ".forestall-canary" in str(path):
            continue
        facts = path.stat()
        path.write_bytes(os.urandom(facts.st_size))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert ground.night()[0] == 0
    await ground.look()
    assert list(ground.found()) == ["backup-encrypted"], said(ground)


async def test_every_file_was_touched_and_much_was_uploaded(ground: Ground) -> None:
    """Nothing is wrong: other times, as after a move to another disk, and an archive of the same day."""
    for path in [one for one in ground.site.source.rglob("*") if one.is_file()]:
        os.utime(path)
    (ground.site.source / "photos.zip").write_bytes(os.urandom(400_000))
    code, run = ground.night()
    await ground.look()
    assert code == 0 and run.files_changed is not None and run.files_changed < 3, run
    assert ground.found() == {}


async def test_every_file_was_emptied(ground: Ground) -> None:
    for path in [one for one in ground.site.source.rglob("*") if one.is_file() and not one.is_symlink()]:
        if ".forestall-canary" not in str(path):
            path.write_bytes(b"")
    assert ground.night()[0] == 0
    await ground.look()
    assert list(ground.found()) == ["backup-shrunk"], said(ground)


async def test_every_file_is_zeros(ground: Ground) -> None:
    """A wiper, or a disk that gives back nothing: names and sizes are as they were."""
    for path in [one for one in ground.site.source.rglob("*") if one.is_file() and not one.is_symlink()]:
        if ".forestall-canary" not in str(path):
            path.write_bytes(bytes(path.stat().st_size))
    assert ground.night()[0] == 0
    await ground.look()
    assert list(ground.found()) == ["backup-rewritten"], said(ground)


async def test_somebody_left_dry_run_in_the_command(ground: Ground) -> None:
    ground.day = 0.1
    assert ground.night(command=[*ground.site.command(), "--dry-run"])[0] == 0
    ground.day = 0
    await ground.look()
    assert ground.found(), "a run that saved nothing went by"
    assert list(ground.found()) == ["backup-copy-missing"], said(ground)


async def test_the_job_was_killed_and_never_ended(ground: Ground) -> None:
    """A run that began and said no more: the machine was switched off in the middle of it."""
    ground.night()
    ground.runs[-1] = replace(ground.runs[-1], said="running", ended_ms=None, exit_code=None, copy="")
    later = ground.found(days_later=2)
    assert list(later) == ["backup-hangs"], later


async def test_the_index_of_the_repository_is_gone(ground: Ground) -> None:
    empty(ground.site.repository / "index")
    await ground.prove("drill")
    assert ground.found(), "a repository without an index went by"


async def test_a_bit_flips_in_what_was_restored(ground: Ground, tmp_path: Path) -> None:
    """Between the tool and the disk: the tool is content with what it wrote."""
    await _flipped_behind("restic", ground, tmp_path)
    proof = ground.proofs[-1]
    assert not proof.ok and proof.mismatches_total == 1, proof
    assert proof.mismatches[0].path.endswith("file 4.bin") and proof.mismatches[0].what == "differs"
    assert "file 4.bin" in ground.found()["backup-restore-failed"], said(ground)


async def _flipped_behind(tool: str, ground: Ground, tmp_path: Path) -> None:
    real = subprocess.run(["which", tool], check=True, capture_output=True, text=True).stdout.strip()
    folder = tmp_path / "bin"
    folder.mkdir()
    wrapper = folder / tool
    wrapper.write_text(
        "#!/bin/sh\n"
        f'"{real}" "$@"; code=$?\n'
        'case " $* " in *" restore "*|*" extract "*)\n'
        f'  find {scratch_for(ground.site.agent / DIRECTORY)} -name "file 4.bin" -exec \\\n'
        "    sh -c 'printf X | dd of=\"$1\" bs=1 seek=77 conv=notrunc 2>/dev/null' sh {} \\; ;;\n"
        "esac\nexit $code\n"
    )
    wrapper.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        await ground.prove("drill")
    finally:
        os.environ["PATH"] = before
