"""Somebody signs in through a real sshd, edits its configuration and restarts it: the agent sees the change
with who was signed in, and a secret in that file is in no byte that could leave the machine."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from contract.daemons import free_port, running
from contract.test_agent_life import agent, until
from estate_factories import EVERYTHING, make_asset
from forestall.collect.agent.identity import Identity, write_identity
from forestall.collect.agent.spool import Spool
from forestall.configs.actions import store_snapshots
from forestall.configs.models import Change
from forestall.configs.queries import difference, find_change
from forestall.kernel.clock import from_ms
from forestall.kernel.observations import Snapshot, decode_batch
from forestall.tickets.before import accounts_of

UTMP = Path("/run/utmp")
BEFORE, AFTER = "Zimtstern-4711-alt", "Zimtstern-4711-neu"
KIND = "file {}"


@dataclass
class Sshd:
    """A running sshd with its configuration and a key that opens it."""

    port: int
    config: Path
    key: Path
    process: "subprocess.Popen[bytes]"

    @contextmanager
    def sign_in(self, command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A session with a terminal that runs a command."""
        ask = ["ssh", "-tt", "-i", self.key, "-p", self.port, "-o", "StrictHostKeyChecking=no", "-o",
               "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1", command]  # fmt: skip
        with subprocess.Popen(
            list(map(str, ask)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as session:
            try:
                yield session
            finally:
                session.kill()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if os.geteuid() != 0:
        pytest.skip("sshd signs people in as root alone")
    made = not UTMP.exists()
    UTMP.touch()  # sshd writes who is signed in where this file is
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port, config = free_port(), tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nPidFile {tmp_path / 'pid'}\n"
        f"AuthorizedKeysFile {tmp_path / 'own.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        f"PasswordAuthentication no\n# ldap_bind_password = {BEFORE}\n"
    )
    try:
        with running(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], port=port) as process:
            yield Sshd(port, config, tmp_path / "own", process)
    finally:
        if made:
            UTMP.unlink(missing_ok=True)


def snapshots(directory: Path, kind: str) -> list[Snapshot]:
    """What waits in the spool of one kind, in the order in which it was seen."""
    found = []
    for path in sorted((directory / "spool").glob("*.batch")):
        body = path.read_bytes()
        batch = decode_batch(zstandard.decompress(body[body.index(b"\x28\xb5\x2f\xfd") :]))
        found += [one for part in batch.observations for one in part.snapshots if one.kind == kind]
    return found


@pytest.mark.e2e
@pytest.mark.django_db
def test_an_edit_over_ssh_is_a_change_with_who_did_it_and_without_the_secret(
    tmp_path: Path, sshd: Sshd
) -> None:
    directory, kind = tmp_path / "agent", KIND.format(sshd.config)
    address = f"http://127.0.0.1:{free_port()}"  # nobody answers there: everything stays in the spool
    write_identity(directory, Identity("C" * 13, "K" * 13, "A" * 13, address, "07" * 32))
    (directory / "agent.toml").write_text(f'[look.etc_files]\nmore = ["{sshd.config}"]\n')
    edit = (
        f"sed -i 's/{BEFORE}/{AFTER}/; s/^PasswordAuthentication no/PasswordAuthentication yes/'"
        f" {sshd.config}"
        f" && kill -HUP {sshd.process.pid} && echo edited && sleep 60"
    )
    with agent(directory) as process:
        until(lambda: bool(snapshots(directory, kind)), "the file is captured")
        with sshd.sign_in(edit) as session:
            assert session.stdout is not None
            until(lambda: b"edited" in session.stdout.readline(), "the edit")  # type: ignore[union-attr]
            until(lambda: len(snapshots(directory, kind)) > 1, "the edit is captured")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    first, *_, last = snapshots(directory, kind)
    assert any(one.startswith("root from 127.0.0.1 since ") for one in last.signed_in), last.signed_in
    assert "PasswordAuthentication yes" in last.text and "‹secret " in last.text

    everything = b""
    for path in directory.rglob("*"):
        if path.is_file():
            everything += path.read_bytes()
    spool = Spool(directory / "spool", now_ms=1)
    assert len(spool) > 1
    while (waiting := spool.first()) is not None:
        everything += zstandard.decompress(waiting[1])
        spool.done(waiting[0])
    assert b"PasswordAuthentication yes" in everything, "the search finds what is there"
    for secret in (BEFORE, AFTER):
        assert secret.encode() not in everything

    asset = make_asset()
    for one in (first, last):
        store_snapshots([(asset.client_id, asset.pk, one)], now=from_ms(last.at_ms))
    change = find_change(EVERYTHING, Change.objects.get().pk)
    assert change is not None and change.signed_in == last.signed_in
    rows = [(row.kind, row.text) for row in difference(EVERYTHING, change) if row.kind in "+-"]
    assert ("+", "PasswordAuthentication yes") in rows and ("-", "PasswordAuthentication no") in rows
    assert sum("‹secret " in text for _, text in rows) == 2, "that the secret changed is seen"
    assert accounts_of(EVERYTHING, [change]) == {change.pk: ""}, "nobody of ours accounts for it"
