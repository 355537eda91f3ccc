"""Snapshots of a real rsync, archives of a real tar, through the job, the look, the drill: nothing of the
repository is touched, and what breaks is said."""

import os
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from contract.backup_files import failed, into, repository, said, tell
from contract.backup_site import Site, flip, state
from forestall.collect.jobs import archive, rsync


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, rsync, settings={"snapshots": "20*"})


def snapshot(site: Site, name: str, *, previous: str = "") -> None:
    target = site.repository / name
    target.mkdir(parents=True)
    link = [f"--link-dest={site.repository / previous}"] if previous else []
    code, run = site.job("rsync", "-a", "--stats", *link, str(site.source), f"{target}/")
    assert code == 0 and run.said == "success" and run.files, run
    assert run.manifest and run.canary


async def test_snapshots_are_seen_read_once_and_restored(site: Site) -> None:
    snapshot(site, "2026-11-01")
    (site.source / "new").write_bytes(b"new" * 100)
    canary = site.source / ".forestall-canary" / "canary.json"
    while int(time.time()) == int(canary.stat().st_mtime):  # rsync tells files apart by whole seconds
        time.sleep(0.02)
    snapshot(site, "2026-11-02", previous="2026-11-01")
    seen = await site.look()
    assert [one.key for one in seen.copies] == ["2026-11-01", "2026-11-02"]
    assert seen.copies[1].files == 13 and not seen.copies[1].problem  # without canary and manifest
    proof = await site.work("drill", bound=[site.bound()])
    assert proof.ok, proof.reason
    assert proof.files_equal == proof.files_expected and proof.canary_at_ms
    read = await site.work("read", slices=1)
    assert read.ok, read.reason
    again = await site.work("check")
    assert again.ok, again.reason


async def test_an_empty_mirror_and_a_changed_bit_are_told(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    subprocess.run(["rsync", "-a", f"{site.source}/", f"{mirror}/"], check=True)
    at = repository(rsync, mirror, tmp_path, least_files=5)
    assert not failed(await rsync.read_slice(at, 1, 1, tell=tell))
    path = next(mirror.rglob("file 7.bin"))
    facts = path.stat()
    flip(path)

    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    checks = await rsync.read_slice(repository(rsync, mirror, tmp_path), 1, 1, tell=tell)
    assert failed(checks) == ["hashes"] and "file 7.bin" in said(checks)
    empty = tmp_path / "nothing"
    empty.mkdir()
    subprocess.run(["rsync", "-a", "--delete", f"{empty}/", f"{mirror}/"], check=True)
    at = repository(rsync, mirror, tmp_path, least_files=5)
    assert failed(await rsync.check(at, tell)) == ["not empty", "tree"]
    assert "0 files" in (await rsync.look(at)).copies[0].problem


@pytest.mark.parametrize("packing", ["", "z", "J", "j", "--zstd"])
async def test_archives_of_tar_are_read_to_their_end(tmp_path: Path, packing: str) -> None:
    site = Site(tmp_path, archive)
    site.repository.mkdir()
    name = site.repository / "one.tar"
    words = ["tar", packing] if packing.startswith("--") else ["tar"]
    flags = "-c" + ("" if packing.startswith("--") else packing) + "f"
    code, run = site.job(*words, flags, str(name), "-C", str(tmp_path), "source")
    assert code == 0 and run.said == "success" and run.manifest, run
    check = await site.work("check")
    assert check.ok and "entries, read to the end" in check.reason, check.reason
    if packing in {"", "z"}:
        proof = await site.work("drill", bound=[site.bound()])
        assert proof.ok and proof.files_equal == proof.files_expected == 12, proof.reason
    name.write_bytes(name.read_bytes()[: name.stat().st_size // 2])
    broken = await site.work("check")
    assert not broken.ok and ("cut short" in broken.reason or "damaged" in broken.reason), broken.reason


async def test_a_zip_that_is_damaged_or_climbs_out_is_told(tmp_path: Path) -> None:
    place = tmp_path / "zips"
    place.mkdir()
    path = place / "one.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a/file", b"content" * 1000)
        made.writestr("../outside", b"content")
    before = state(place)
    at = repository(archive, place, tmp_path)
    assert not failed(await archive.check(at, tell))
    seen = await archive.look(at)
    restored = await archive.restore(at, seen.copies[0], into=into(at), tell=tell)
    assert (restored.root / "a/file").exists() and not (restored.root.parent / "outside").exists()
    assert state(place) == before
    flip(path, 200)
    checks = await archive.check(repository(archive, place, tmp_path), tell)
    assert failed(checks) == ["format"] and "Bad CRC-32" in said(checks)


async def test_a_tar_that_climbs_out_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "tars"
    place.mkdir()
    (tmp_path / "outside").write_text("not to be touched")
    subprocess.run(
        ["tar", "-cPf", str(place / "one.tar"), "-C", str(place), "../outside"],
        check=True,
        capture_output=True,
    )
    at = repository(archive, place, tmp_path)
    seen = await archive.look(at)
    restored = await archive.restore(at, seen.copies[0], into=into(at), tell=tell)
    assert failed(restored.checks) == ["restore"] and "not unpacked" in said(restored.checks)
