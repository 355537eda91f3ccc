"""The Zabbix and Loki hooks of an unmodified borgmatic, and `history.push` as curl sends it."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.pushing import Installation, installation


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def call(server: Installation, method: str, params: object, *, token: str | None = None) -> Any:
    """What a call is answered; the status when it is refused."""
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 7}).encode()
    headers = {"Content-Type": "application/json-rpc", "Authorization": f"Bearer {token or server.token}"}
    request = urllib.request.Request(f"{server.url}/zabbix/api_jsonrpc.php", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code


def test_values_are_pushed_by_host_and_key(server: Installation) -> None:
    given = [
        {"host": "db1", "key": "queue.length", "value": 12, "clock": 1_790_000_000},
        {"host": "db1", "key": "job.said", "value": "all went well"},
        {"itemid": 10600, "value": 0.5},
    ]
    told = call(server, "history.push", given)
    assert told["id"] == 7
    assert told["result"] == {
        "response": "success",
        "data": [{"itemid": ""}, {"itemid": ""}, {"error": "a value without host or key"}],
    }
    assert ("db1", "queue.length", "", 1_790_000_000_000, 12.0) in server.samples()
    assert [row[3] for row in server.logs() if row[0] == "db1"] == ["all went well"]


def test_what_is_no_push_is_refused(server: Installation) -> None:
    assert call(server, "apiinfo.version", [])["result"] == "7.0.0"
    assert call(server, "host.get", {})["error"]["code"] == -32601
    assert call(server, "history.push", 7)["result"]["data"][0]["error"]
    assert call(server, "history.push", [{}] * 5001)["error"]["code"] == -32602
    assert call(server, "user.logout", [], token="fst_nobody") == 401
    assert call(server, "user.login", {"username": "u", "password": "fst_nobody"}) == 401
    assert call(server, "user.login", {"username": "u", "password": server.token})["result"] == server.token
    assert call(server, "user.login", []) == 400


@pytest.mark.skipif(not shutil.which("borg"), reason="needs borgbackup (tests/daemons.txt)")
def test_borgmatics_hooks(server: Installation, tmp_path: Path) -> None:
    source, config = tmp_path / "source", tmp_path / "borgmatic.yaml"
    source.mkdir()
    (source / "file").write_text("content")
    loki = server.url.replace("http://", f"http://forestall:{server.token}@")
    config.write_text(f"""
source_directories: [{source}]
repositories: [{{path: {tmp_path / "repository"}}}]
encryption_passphrase: secret
user_runtime_directory: {tmp_path}
user_state_directory: {tmp_path}
zabbix:
    server: {server.url}/api_jsonrpc.php
    username: forestall
    password: {server.token}
    host: backup-server
    key: borg.status
    states: [start, finish, fail]
loki:
    url: {loki}/loki/api/v1/push
    labels: {{job: borgmatic, host: backup-server}}
""")
    program = str(Path(sys.executable).with_name("borgmatic"))
    environment = {**os.environ, "HOME": str(tmp_path)}
    for words in (["repo-create", "--encryption", "repokey"], ["create", "--verbosity", "1"]):
        done = subprocess.run(
            [program, "--config", str(config), *words],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in server.logs() if row[0] == "backup-server"]
    assert [row[3] for row in rows if "borg.status" in row[4]] == ["start", "finish"]
    assert any("borgmatic" in row[4] + row[1] and "borg.status" not in row[4] for row in rows), rows
