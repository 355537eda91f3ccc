"""Programs that write to Elasticsearch write to us: its Python client, rsyslog, curl as Filebeat asks."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import elasticsearch
import httpx
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import BulkIndexError, bulk

from contract.pushing import Installation, installation, until
from forestall.intake.doors import DoorAnswer, refuse
from forestall.intake.doors.elasticsearch import reword

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
RSYSLOG = """
global(workDirectory="{home}")
module(load="imuxsock" SysSock.Use="off")
module(load="omelasticsearch")
input(type="imuxsock" Socket="{home}/log" UseSysTimeStamp="off")
action(type="omelasticsearch" server="http://127.0.0.1" serverport="{port}" searchIndex="syslog"
       searchType="_doc" bulkmode="on" uid="forestall" pwd="{token}" errorfile="{home}/errors")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def documents(count: int, mark: str) -> list[dict[str, Any]]:
    return [
        {
            "_index": "app",
            "message": f"{mark} {k}",
            "host": {"name": "web1"},
            "log": {"level": "error"},
            "n": k,
        }
        for k in range(count)
    ]


def with_mark(server: Installation, mark: str) -> list[tuple[str, str, int, str, str]]:
    return [row for row in server.logs() if row[3].startswith(mark)]


def test_the_python_clients_bulk_helper(server: Installation) -> None:
    with Elasticsearch(server.url, basic_auth=("forestall", server.token), http_compress=True) as client:
        assert client.ping()
        assert client.info()["version"]["number"].startswith("8.")
        taken, failed = bulk(client, documents(1200, "helper"), chunk_size=500)
        assert (taken, failed) == (1200, [])
        assert client.cluster.health()["status"] == "green"
        assert client.license.get()["license"]["status"] == "active"
        assert client.indices.exists_index_template(name="app")
    rows = with_mark(server, "helper")
    assert len(rows) == 1200
    assert rows[7] == ("web1", "", 3, "helper 7", '{"n":"7"}')


def test_an_api_key_and_items_that_fail(server: Installation) -> None:
    key = base64.b64encode(f"id:{server.token}".encode()).decode()
    actions: list[dict[str, Any]] = documents(3, "keyed")
    actions.insert(1, {"_op_type": "delete", "_index": "app", "_id": "1"})
    with (
        Elasticsearch(server.url, api_key=key) as client,
        pytest.raises(BulkIndexError) as caught,
    ):
        bulk(client, actions)
    assert [error["delete"]["status"] for error in caught.value.errors] == [400]
    assert "only added" in caught.value.errors[0]["delete"]["error"]["reason"]
    assert len(with_mark(server, "keyed")) == 3


def test_a_wrong_token_is_told(server: Installation) -> None:
    with (
        Elasticsearch(server.url, basic_auth=("forestall", "fst_wrong")) as client,
        pytest.raises(elasticsearch.AuthenticationException),
    ):
        client.info()


def test_rsyslogs_omelasticsearch(server: Installation, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text(RSYSLOG.format(home=tmp_path, port=server.port, token=server.token))
    command = [RSYSLOGD, "-n", "-f", str(tmp_path / "conf"), "-i", str(tmp_path / "pid")]
    process = subprocess.Popen(command)
    try:
        until((tmp_path / "log").exists, "rsyslogd listens")
        for k in range(50):
            subprocess.run(
                [
                    "logger",
                    "-u",
                    str(tmp_path / "log"),
                    "-p",
                    "daemon.warning",
                    "-t",
                    "backupd",
                    f"rsyslog {k}",
                ],
                check=True,
            )
        until(
            lambda: len(with_mark(server, "rsyslog")) + len(with_mark(server, " rsyslog")) == 50, "all came"
        )
    finally:
        process.terminate()
        process.wait(20)
    assert not (tmp_path / "errors").exists()
    host, source, severity, message, attrs = with_mark(server, " rsyslog")[0]
    assert host == subprocess.run(["uname", "-n"], capture_output=True, check=True, text=True).stdout.strip()
    assert (severity, source, message) == (4, "", " rsyslog 0")
    assert set(json.loads(attrs)) <= {"timegenerated", "timereported"}


class Refusing(BaseHTTPRequestHandler):
    """Answers two bulk bodies with the door's own words for a full queue, then takes what comes."""

    refusals = 2
    taken: list[bytes] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = DoorAnswer(200, b'{"errors":false,"items":[{"index":{"status":201}}]}')
        if Refusing.refusals:
            Refusing.refusals -= 1
            answer = reword(refuse(503, "the queue is full", "Send it again later.", retry_after="1"))
        else:
            Refusing.taken.append(body)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_rsyslog_keeps_a_line_that_was_refused_for_now(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    text = RSYSLOG.format(home=tmp_path, port=server.server_port, token="fst_x")
    more = 'action.resumeRetryCount="-1" action.resumeInterval="1" errorfile='
    (tmp_path / "conf").write_text(text.replace("errorfile=", more))
    process = subprocess.Popen([RSYSLOGD, "-n", "-f", str(tmp_path / "conf"), "-i", str(tmp_path / "pid")])
    try:
        until((tmp_path / "log").exists, "rsyslogd listens")
        subprocess.run(["logger", "-u", str(tmp_path / "log"), "kept"], check=True)
        until(lambda: any(b"kept" in body for body in Refusing.taken), "it is sent again")
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
    assert Refusing.refusals == 0
    assert not (tmp_path / "errors").exists()


def test_what_filebeat_asks(server: Installation) -> None:
    asked = [
        ("GET", "/"), ("GET", "/_license?human=false"), ("GET", "/_xpack"), ("GET", "/_ilm/policy/filebeat"),
        ("PUT", "/_ilm/policy/filebeat"), ("HEAD", "/_index_template/filebeat-8.19.0"),
        ("PUT", "/_index_template/filebeat-8.19.0"), ("GET", "/_data_stream/filebeat-8.19.0"),
        ("GET", "/_cat/health"), ("HEAD", "/"), ("GET", "/_cluster/health"), ("GET", "/_nodes/http"),
        ("HEAD", "/_template/logstash"), ("GET", "/_ingest/pipeline/x"),
    ]  # fmt: skip
    with httpx.Client(base_url=server.url, auth=("forestall", server.token)) as client:
        for method, path in asked:
            told = client.request(method, path, headers={"accept": "application/json"})
            assert (path, told.status_code) == (path, 200)
            assert told.headers["x-elastic-product"] == "Elasticsearch"
        assert client.get("/_license").json()["license"]["status"] == "active"
    assert httpx.get(f"{server.url}/_license").status_code == 401


def test_a_browser_still_gets_the_console(server: Installation) -> None:
    told = httpx.get(server.url + "/", headers={"accept": "text/html", "authorization": "Basic eDp5"})
    assert "x-elastic-product" not in told.headers
    assert "x-elastic-product" not in httpx.get(server.url + "/").headers


def test_bulk_bodies_that_are_no_use(server: Installation) -> None:
    def post(body: bytes, path: str = "/_bulk") -> httpx.Response:
        return httpx.post(
            server.url + path, content=body, headers={"authorization": f"Bearer {server.token}"}
        )

    assert post(b"").status_code == 400
    told = post(b'{"message":"no action"}\n{}\n')
    assert told.status_code == 400
    assert "line 1 is no action" in told.json()["error"]["reason"]
    told = post(bytes(9 << 20))
    assert (told.status_code, told.json()["status"]) == (413, 413)
    answer = post(b'{"create":{}}\n{"message":"alone 1"}\n{"create":{}}\n[]\n', "/app/_bulk").json()
    assert answer["errors"] is True
    assert [item["create"]["status"] for item in answer["items"]] == [201, 400]
    assert answer["items"][0]["create"]["_index"] == "app"
    assert len(with_mark(server, "alone")) == 1
