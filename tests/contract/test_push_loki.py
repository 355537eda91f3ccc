"""Programs that push to Loki push to us: python-logging-loki, curl, and protobuf in snappy."""

import gzip
import json
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cramjam
import httpx
import logging_loki
import pytest

from contract.pushing import Installation, installation
from forestall.intake.formats.loki_wire import PushRequest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def with_mark(server: Installation, mark: str) -> list[tuple[str, str, int, str, str]]:
    return [row for row in server.logs() if row[3].startswith(mark)]


@pytest.mark.parametrize("version", ["0", "1"])
def test_python_logging_loki(server: Installation, version: str) -> None:
    failures: list[str] = []

    class Handler(logging_loki.LokiHandler):  # type: ignore[misc]
        def handleError(self, record: logging.LogRecord) -> None:
            failures.append(record.getMessage())

    handler = Handler(
        url=f"{server.url}/loki/api/v1/push", version=version, auth=("forestall", server.token),
        tags={"application": "shop", "host": "web1"},
    )  # fmt: skip
    logger = logging.getLogger(f"loki-{version}")
    logger.propagate = False
    logger.addHandler(handler)
    logger.error("python %s", version, extra={"tags": {"order": "17"}})
    logger.warning("python %s again", version)
    logger.removeHandler(handler)
    assert failures == []
    found = with_mark(server, f"python {version}")
    assert [row[:4] for row in found] == [
        ("web1", "shop", 3, f"python {version}"), ("web1", "shop", 4, f"python {version} again"),
    ]  # fmt: skip
    assert json.loads(found[0][4]) == {"logger": f"loki-{version}", "order": "17"}


def body(count: int, mark: str) -> bytes:
    values = [[str(time.time_ns()), f"{mark} {k}", {"trace": f"t{k % 3}"}] for k in range(count)]
    return json.dumps(
        {"streams": [{"stream": {"job": "nginx", "instance": "web2:80"}, "values": values}]}
    ).encode()


@pytest.mark.parametrize("packed", [False, True])
def test_curl_pushes_json(server: Installation, tmp_path: Path, packed: bool) -> None:
    sent = body(300, f"curl-{packed}")
    (tmp_path / "body").write_bytes(gzip.compress(sent) if packed else sent)
    more = ["-H", "Content-Encoding: gzip"] if packed else []
    done = subprocess.run(
        ["curl", "-sS", "-w", "%{http_code}", "--data-binary", f"@{tmp_path / 'body'}", *more,
         "-H", "Content-Type: application/json", "-u", f"forestall:{server.token}",
         f"{server.url}/loki/api/v1/push"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == b"204"
    found = with_mark(server, f"curl-{packed}")
    assert len(found) == 300
    assert found[4] == ("web2", "nginx", 6, f"curl-{packed} 4", '{"trace":"t1"}')


def push(server: Installation, content: bytes, kind: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/loki/api/v1/push",
        content=content,
        headers={"content-type": kind, "authorization": f"Bearer {server.token}"},
    )


def test_protobuf_in_snappy(server: Installation) -> None:
    request = PushRequest()
    stream = request.streams.add(labels=b'{host="db1", service_name="postgres", level="fatal"}')
    for k in range(500):
        entry = stream.entries.add(line=b"protobuf %d" % k)
        entry.time.seconds, entry.time.nanos = int(time.time()), k
    packed = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    assert push(server, packed, "application/x-protobuf").status_code == 204
    found = with_mark(server, "protobuf")
    assert len(found) == 500
    assert found[7] == ("db1", "postgres", 2, "protobuf 7", "")


def test_what_is_wrong_is_named(server: Installation) -> None:
    lines = [[str(time.time_ns()), "half good"], ["yesterday", "half bad"]]
    told = push(
        server, json.dumps({"streams": [{"stream": {}, "values": lines}]}).encode(), "application/json"
    )
    assert told.status_code == 400
    assert told.json()["rejected"][0]["record"] == "lines[1]"
    assert len(with_mark(server, "half good")) == 1
    assert push(server, b"{", "application/json").status_code == 400
    assert push(server, b"not snappy", "application/x-protobuf").status_code == 400
    assert push(server, b"", "text/xml").status_code == 415
    assert httpx.post(f"{server.url}/loki/api/v1/push").status_code == 401
