"""Pings as curl and borgmatic send them, unmodified."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.pushing import Installation, installation
from forestall.intake.heartbeats import BODY_KEPT_BYTES
from forestall.kernel.observations import Outcome

RID = "123e4567-e89b-12d3-a456-426614174000"
PINGS = """
import os, sys, json
import django
django.setup()
from forestall.intake.heartbeat_models import Ping
rows = Ping.objects.order_by("id")
print(json.dumps([[p.kind, p.status, p.rid, bytes(p.body).decode(), p.agent, p.lasted_ms] for p in rows]))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "data") as found:
        yield found


def curl(address: str, *options: str) -> tuple[int, str]:
    """The status and the answer."""
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *options, address], capture_output=True, text=True, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def outcomes(server: Installation) -> list[Outcome]:
    return [one.outcome for one in server.outcomes()]


def pings(server: Installation) -> list[list[object]]:
    """(kind, status, rid, body, agent, lasted_ms) of what is kept, the oldest first."""
    environment = {
        **os.environ,
        "FORESTALL_DATA": str(server.data),
        "DJANGO_SETTINGS_MODULE": "forestall.web.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", PINGS], env=environment, capture_output=True, text=True, check=True
    )
    found: list[list[object]] = json.loads(done.stdout)
    return found


def test_curl_pings_in_every_way(server: Installation) -> None:
    address = f"{server.url}/ping/{server.heartbeat}"
    assert curl(f"{address}/start?rid={RID}") == (200, "OK")
    assert curl(f"{address}?rid={RID}") == (200, "OK")
    assert curl(f"{address}/7", "--data-raw", "copying\ndisk full\n") == (200, "OK")
    assert curl(f"{address}/0", "-I")[0] == 200
    assert curl(f"{address}/log", "--data-raw", "half way") == (200, "OK")
    assert curl(f"{address}/fail", "-X", "POST", "--data-raw", "x" * 50_000) == (200, "OK")
    kept = pings(server)
    assert [row[:2] for row in kept] == [
        ["start", None], ["ok", None], ["fail", 7], ["ok", 0], ["log", None], ["fail", None],
    ]  # fmt: skip
    assert kept[1][2] == RID and isinstance(kept[1][5], int)
    assert len(str(kept[5][3])) == BODY_KEPT_BYTES
    assert str(kept[0][4]).startswith("curl/")
    found = outcomes(server)
    assert [one.ok for one in found] == [True, False, True, False]
    assert found[1].reason == "it failed (exit status 7): disk full"
    assert found[1].answer == "copying\ndisk full\n"
    assert [line[3] for line in server.logs()][1:] == ["half way"]


def test_what_is_no_ping_is_answered(server: Installation) -> None:
    address = f"{server.url}/ping/{server.heartbeat}"
    assert curl(f"{address}/256")[0] == 400
    assert curl(f"{address}?rid=1")[0] == 400
    assert curl(f"{address}/other") == (404, "not found")
    assert curl(f"{server.url}/ping/{'x' * 22}") == (404, "not found")
    assert curl(address, "-X", "DELETE")[0] == 405
    assert curl(address)[0] == 200
    tries = {curl(f"{server.url}/ping/{number:022}")[0] for number in range(40)}
    assert tries == {404, 429}
    assert curl(address)[0] == 200


def test_a_heartbeat_that_pings_without_end_is_slowed_down(server: Installation) -> None:
    address = f"{server.url}/ping/{server.heartbeat}"
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} ", f"{address}?n=[1-60]"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == {"200", "429"}


@pytest.mark.skipif(not shutil.which("borg"), reason="needs borgbackup (tests/daemons.txt)")
def test_borgmatic_pings_when_it_begins_ends_and_fails(server: Installation, tmp_path: Path) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    (source / "file").write_text("content")
    config = tmp_path / "borgmatic.yaml"
    config.write_text(f"""
source_directories: [{source}]
repositories: [{{path: {repository}}}]
encryption_passphrase: secret
relocated_repo_access_is_ok: true
user_runtime_directory: {tmp_path}
user_state_directory: {tmp_path}
healthchecks:
    ping_url: {server.url}/ping/{server.heartbeat}
    send_logs: true
""")
    environment = {**os.environ, "HOME": str(tmp_path), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    program = str(Path(sys.executable).with_name("borgmatic"))

    def borgmatic(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "--config", str(config), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    made = borgmatic("repo-create", "--encryption", "repokey")
    assert made.returncode == 0, made.stdout + made.stderr
    done = borgmatic("create", "--verbosity", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(repository)
    assert borgmatic("create").returncode != 0
    kept = pings(server)
    kinds = [row[0] for row in kept]
    assert (kinds[0], kinds[-1]) == ("start", "fail")
    assert kinds.count("ok") == 1, kinds
    found = outcomes(server)
    assert (found[0].ok, found[-1].ok) == (True, False)
    assert found[0].took_ms > 0
    assert "archive" in found[0].answer.lower()
    assert "repository" in str(kept[-1][3]).lower(), kept
    assert "repository" in found[-1].answer.lower()
