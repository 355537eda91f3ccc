"""Parts that quietly leave a backup whose job goes on saying success, with a real restic: found in the same
cycle, with one right cause."""

import asyncio
import os
import subprocess
from datetime import UTC, datetime

import pytest

from contract.backup_site import wall_ms
from forestall.collect.jobs import restic
from forestall.judge.backups import Keep
from gauntlet.ground import Ground, settled


@pytest.fixture
async def ground() -> Ground:
    return await asyncio.to_thread(settled, restic)


async def test_a_file_of_filters_grows_again(ground: Ground) -> None:
    """A first pattern that took nothing away does not hide the second one, which did."""
    filters = ground.site.home / "filters"
    filters.write_text("*.tmp\n")
    assert ground.night(more=["--exclude-file", str(filters)])[0] == 0
    assert ground.found() == {}
    filters.write_text("*.tmp\nfolder1\n")
    assert ground.night(more=["--exclude-file", str(filters)])[0] == 0
    await ground.look()
    found = ground.found()
    assert list(found) == ["backup-excludes-grown"], found
    assert "leaves out folder1, and the files fell from 20 to 10" in found["backup-excludes-grown"]


async def test_folders_cannot_be_read_and_the_script_says_nothing(ground: Ground) -> None:
    for name in ("folder0", "folder2"):
        (ground.site.source / name).chmod(0o700)
    theirs = [str(ground.site.repository), str(ground.site.home / "cache")]
    subprocess.run(["chown", "-R", "65534", *theirs], check=True)
    script = f"setpriv --reuid=65534 --clear-groups restic backup {ground.site.source} 2>/dev/null; true"
    for _ in range(2):  # it does not become what is usual
        assert ground.night(command=["sh", "-c", script])[0] == 0
        await ground.look()
        found = ground.found()
        assert list(found) == ["backup-copy-empty"], found
        assert "holds 12 files, while 18 files were at the source" in found["backup-copy-empty"]
        assert "may not read all of it" in found["backup-copy-empty"]


async def test_the_job_names_only_a_part_of_the_source(ground: Ground) -> None:
    assert ground.night(str(ground.site.source / "folder1"))[0] == 0
    assert list(ground.found()) == ["backup-copy-empty"], ground.found()  # before anybody looked
    await ground.look()
    found = ground.found()
    assert list(found) == ["backup-source-missing"], found
    assert f"holds {ground.site.source}/folder1" in found["backup-source-missing"]


async def test_the_wrapper_is_gone_and_the_job_goes_on(ground: Ground) -> None:
    """An edit of the crontab: copies go on, and nobody sees sources and exit codes."""
    at = datetime.fromtimestamp(wall_ms() / 1000 - 3_600, UTC).astimezone()
    ground.site.sh("restic", "backup", "--time", f"{at:%Y-%m-%d %H:%M:%S}", str(ground.site.source))
    assert (await ground.look_until_run()).copy
    assert ground.found() == {}, "a copy by hand is no sign while the job is on time"
    found = ground.found(days_later=0.3)
    assert list(found) == ["backup-not-reported"], found
    assert "shows 1 new snapshot" in found["backup-not-reported"]
    assert "no longer runs through `forestall agent job`" in found["backup-not-reported"]


async def test_the_job_keeps_one_copy(ground: Ground) -> None:
    ground.keep = Keep(last=30)
    assert ground.night()[0] == 0
    ground.site.sh("restic", "forget", "--keep-last", "1", "--prune", "-q")
    await ground.look()
    found = ground.found()
    assert list(found) == ["backup-copies-vanished"], found
    assert "6 snapshots are gone" in found["backup-copies-vanished"]


async def test_the_environment_is_empty(ground: Ground) -> None:
    """Cron knows neither the repository nor the password, and the script ends with 0."""
    script = f'env -i PATH="$PATH" HOME= restic backup {ground.site.source}; true'
    assert ground.night(command=["sh", "-c", script])[0] == 0
    found = ground.found()
    assert list(found) == ["backup-error-swallowed"], found
    assert "Please specify repository location" in found["backup-error-swallowed"]


async def test_another_job_in_the_repository_is_not_this_one(ground: Ground) -> None:
    other = ground.site.home / "other"
    other.mkdir()
    (other / "file").write_bytes(os.urandom(30_000))
    ground.site.sh("restic", "backup", str(other))
    await ground.look()
    assert ground.found() == {}
    found = ground.found(days_later=0.3)
    assert list(found) == ["backup-overdue"], "the neighbour's copies do not stand for those of the job"
