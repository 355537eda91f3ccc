"""Plans of borg against the real one; its repository is never written to, not even by its own check."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.backup_site import PASSWORD, Site, flip, state, wall_ms
from contract.daemons import free_port, running
from forestall.collect.backups import borg_store
from forestall.collect.backups.compare import compare
from forestall.collect.jobs import borg

VERSION = subprocess.run(["borg", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, borg)


def quiet(*_: object) -> None:
    pass


# what a run says


def test_a_run_is_seen_and_names_its_archive(site: Site) -> None:
    code, run = site.job()
    assert (code, run.said, run.version, run.files) == (0, "success", VERSION, 14) and run.added and run.size
    assert re.fullmatch(r"[0-9a-f]{64}", run.copy) and run.manifest and run.manifest.files == 12
    _, run = site.job("borg", "create", "--json", "::second", str(site.source))
    assert re.fullmatch(r"[0-9a-f]{64}", run.copy) and run.files == 14


async def test_a_missing_source_is_a_warning_and_an_empty_archive_is_seen(site: Site) -> None:
    site.known = False
    code, run = site.job(*site.command(str(site.home / "gone"), str(site.home / "gone too")))
    assert (code, run.said) == (1, "warning") and re.search("gone: .*No such file", run.reason)
    assert [one.there for one in run.sources] == [False, False] and run.files == 0
    copy = await site.copy()
    assert copy.key == run.copy and (copy.files, copy.problem) == (0, "it holds no file")


def test_exit_codes_mean_what_they_do(site: Site) -> None:
    def said(
        code: int, output: str = "", command: tuple[str, ...] = ("borg", "create", "::x")
    ) -> tuple[str, str]:
        read = borg.read_run(code, output, command=command, version="1.2.4")
        return read.said, read.reason

    assert [said(code)[0] for code in (0, 1, 2, 13, 99, 100, 107, 127)] == [
        "success", "warning", "failed", "failed", "failed", "warning", "warning", "warning",
    ]  # fmt: skip
    assert said(137)[1] == said(-9)[1] == "borg was ended by signal 9"
    assert "file changed while we backed it up" in said(1, "/a: file changed while we backed it up\n")[1]
    assert said(0, "/a: [Errno 13] Permission denied: 'a'", ("borgmatic",)) == (
        "warning", "borgmatic ended with 0, but there was a warning: /a: [Errno 13] Permission denied: 'a'",
    )  # fmt: skip
    assert said(1, "/etc/borgmatic/config.yaml: Error running command", ("borgmatic",))[0] == "failed"


def test_what_a_command_or_borgmatic_backs_up_and_leaves_out(tmp_path: Path) -> None:
    command = [
        "borg",
        "create",
        "-C",
        "lz4",
        "--exclude",
        "*.iso",
        "--pattern=- /a/cache",
        "-x",
        "::x",
        "/a",
        "/b",
    ]
    assert borg.sources_of(command) == ["/a", "/b"]
    assert borg.excludes_of(command) == ["*.iso", "- /a/cache", "other file systems"]
    config = tmp_path / "config.yaml"
    config.write_text(
        "source_directories:\n  - /srv\n  - /home\nexclude_patterns:\n  - '*.tmp'\nkeep_daily: 7\n"
    )
    command = ["borgmatic", "create", "--config", str(config)]
    assert borg.sources_of(command) == ["/srv", "/home"] and borg.excludes_of(command) == ["*.tmp"]
    assert borg.sources_of(["borgmatic", "-c", str(tmp_path / "none")]) == []


# what a look finds


async def test_a_look_sees_archives_locks_and_settings(site: Site) -> None:
    site.job()
    site.sh("borg", "config", str(site.repository), "append_only", "1")
    (site.source / "big").write_bytes(os.urandom(40_000_000))
    killed = subprocess.Popen(site.command(), env=os.environ | site.environment, cwd=site.home)
    deadline = time.monotonic() + 60
    while not (site.repository / "lock.exclusive").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    killed.kill()
    killed.wait()
    assert (site.repository / "lock.exclusive").exists()
    seen = await site.look()
    assert seen.opened and seen.version == VERSION and seen.copies_total == 1 and seen.copies[0].files == 14
    assert seen.settings["append_only"] == "1" and re.fullmatch("[0-9a-f]{64}", seen.settings["id"])
    assert [lock.exclusive for lock in seen.locks if f".{killed.pid}-" in lock.who] == [True]
    assert abs(seen.copies[0].at_ms - wall_ms()) < 60_000 and seen.copies[0].paths == [str(site.source)]
    assert (await site.work("check")).ok  # it does not wait for the lock, which it does not see


async def test_a_checkpoint_is_no_copy_that_counts(site: Site) -> None:
    site.sh("borg", "create", "::archive-9.checkpoint", str(site.source))
    (checkpoint,) = (await site.look()).copies
    assert checkpoint.problem == "a checkpoint: the run that made it was interrupted"
    run = borg.run_of_copy(checkpoint)
    assert run and run.said == "failed"


async def test_why_a_repository_does_not_open(site: Site) -> None:
    site.job()
    assert (await site.look(secrets={"password": "another word"})).why == "key"
    away = await site.look(place=str(site.home / "nowhere"))
    assert away.why == "away" and "there is no borg repository" in away.reason
    assert (await site.look(place="ssh://-oProxyCommand=x/r")).why == "tool"
    (site.repository / "config").write_text("[other]\n")
    assert (await site.look()).why == "damaged"


async def test_a_key_in_a_file(site: Site) -> None:
    """The escrowed key of a keyfile repository opens it, and the wrong one does not."""
    site.sh("rm", "-r", str(site.repository))
    site.sh("borg", "init", "-e", "keyfile", str(site.repository))
    site.job()
    key = site.sh("borg", "key", "export", str(site.repository))
    assert (await site.look(secrets={"password": PASSWORD})).why == "key"
    assert (await site.look(secrets={"password": PASSWORD, "key": key})).opened


# what each proof catches


async def test_clean_proofs_at_every_level(site: Site) -> None:
    site.job()
    site.job()
    assert (await site.work("check")).ok
    slices = [await site.work("read") for _ in range(4)]
    assert [one.slice_of for one in slices] == [(1, 3), (2, 3), (3, 3), (1, 3)] and all(
        one.ok for one in slices
    )
    drill = await site.work("drill")
    assert drill.ok and (drill.files_equal, drill.files_expected) == (12, 12), drill.reason
    assert drill.copy == site.records.runs(site.plan)[0].copy and drill.rpo_ms is not None and drill.rto_ms
    elsewhere = await site.work("elsewhere", agent=site.home / "another machine", bound=[site.bound()])
    assert elsewhere.ok and elsewhere.files_equal == 12, elsewhere.reason


async def test_one_flipped_bit_in_the_repository(site: Site) -> None:
    site.job()
    segments = borg_store.segments(site.repository).values()
    flip(max(segments, key=lambda path: path.stat().st_size))
    slices = [await site.work("read") for _ in range(3)]
    (bad,) = [one for one in slices if not one.ok]
    assert "is not what its checksum says" in bad.reason and not bad.skipped
    drill = await site.work("drill")
    assert not drill.ok and not drill.skipped and drill.mismatches_total > 0, drill.reason


async def test_one_flipped_bit_in_what_was_restored(site: Site) -> None:
    site.job()
    copy = await site.copy()
    into = site.home / "restored"
    into.mkdir()
    before = state(site.repository)
    restored = await borg.restore(site.repository_seen("s"), copy, into=into, tell=lambda *_: None)
    assert restored.checks[0].ok and state(site.repository) == before
    run = site.records.runs(site.plan)[0]
    assert run.manifest
    manifest = site.records.manifest(site.plan, run.run)
    assert compare(manifest, restored.root, bound=run.manifest.root).mismatches_total == 0
    flip(restored.root / str(site.source)[1:] / "folder1" / "file 4.bin")
    compared = compare(manifest, restored.root, bound=run.manifest.root)
    assert [(one.path, one.what) for one in compared.mismatches] == [
        (f"{site.source}/folder1/file 4.bin", "differs")
    ]
    assert compared.equal == 11


async def test_one_flipped_bit_in_the_manifest(site: Site) -> None:
    site.job()
    manifest = site.records.manifest(site.plan, site.records.runs(site.plan)[0].run)
    flip(manifest)
    proof = await site.work("drill")
    assert not proof.ok and not proof.skipped and "manifest" in proof.reason, proof.reason


async def test_a_segment_that_is_missing_or_cut_short(site: Site) -> None:
    site.job()
    largest = max(borg_store.segments(site.repository).values(), key=lambda path: path.stat().st_size)
    data = largest.read_bytes()
    largest.write_bytes(data[:1000])
    assert f"segment {largest.name} is cut short" in (await site.work("check")).reason
    largest.unlink()
    check = await site.work("check")
    assert not check.ok and f"segment {largest.name} is missing" in check.reason


async def test_borg_itself_would_have_written(site: Site) -> None:
    """Why there is a shadow: what borg 1.2 does when it is asked to look."""
    site.job()
    before = state(site.repository)
    site.sh("borg", "--bypass-lock", "check", "--archives-only", str(site.repository))
    assert state(site.repository) != before
    for index in site.repository.glob("index.*"):
        index.unlink()
    assert (await site.look()).opened  # with a missing index, which borg rebuilds in the shadow


async def test_sources_that_were_named_relative_to_the_job(site: Site) -> None:
    before = Path.cwd()
    os.chdir(site.source.parent)
    try:
        site.job("borg", "create", "--stats", "::relative", "source")
    finally:
        os.chdir(before)
    drill = await site.work("drill")
    assert drill.ok and drill.files_equal == 12, drill.reason


async def test_a_pruned_archive_and_one_of_the_same_name(site: Site) -> None:
    site.job("borg", "create", "--stats", "::daily", str(site.source))
    bound = site.bound()
    site.sh("borg", "delete", "::daily")
    (site.source / "folder0" / "file 0.bin").unlink()
    site.sh("borg", "create", "::daily", str(site.source))
    proof = await site.work("drill", bound=[bound])
    assert proof.skipped and "has a manifest that was taken at its source" in proof.reason


def test_a_run_of_borgmatic_is_a_run_of_borg(site: Site) -> None:
    config = site.home / "config.yaml"
    config.write_text(
        f"location:\n  source_directories:\n    - {site.source}\n    - {site.home}/gone\n"
        f"  repositories:\n    - {site.repository}\n  exclude_patterns:\n    - '*.iso'\n"
        f"storage:\n  encryption_passphrase: {PASSWORD}\n"
    )
    site.known = False
    code, run = site.job(
        "borgmatic",
        "create",
        "--stats",
        "--verbosity",
        "1",
        "--config",
        str(config),
        "--log-file",
        str(site.home / "log"),
    )
    assert (code, run.said) == (0, "warning") and re.search("gone: .*No such file", run.reason)
    assert re.fullmatch(r"[0-9a-f]{64}", run.copy) and run.files == 14 and run.version == VERSION
    assert [one.there for one in run.sources] == [True, False] and run.excludes == ["*.iso"]
    assert PASSWORD not in run.output


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[int, dict[str, str], dict[str, list[str]]]]:
    """This machine behind SSH: port, secrets and settings that open it."""
    for name in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\nUsePAM no\n"
        f"PasswordAuthentication no\nAuthorizedKeysFile {tmp_path}/client.pub\nStrictModes no\n"
    )
    with running(["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")], port=port):
        host = " ".join((tmp_path / "host.pub").read_text().split()[:2])
        secrets = {"password": PASSWORD, "ssh_key": (tmp_path / "client").read_text()}
        yield port, secrets, {"host_keys": [f"[127.0.0.1]:{port} {host}"]}


@pytest.mark.e2e
async def test_a_repository_behind_ssh(
    site: Site, ssh: tuple[int, dict[str, str], dict[str, list[str]]]
) -> None:
    site.job()
    port, secrets, settings = ssh
    place = f"ssh://root@127.0.0.1:{port}{site.repository}"
    there = {"repository": place, "secrets": secrets, "settings": settings}
    check = await site.work("check", **there)
    assert check.ok and "cannot be asked over SSH" in check.reason
    read = await site.work("read", slices=1, **there)
    assert read.ok and "all data of 1 of 1 archives" in read.reason
    assert (await site.work("drill", **there)).ok
    unknown = await site.work("check", repository=place, secrets=secrets)
    assert unknown.skipped and re.search("Host key verification failed|Connection closed", unknown.reason)
