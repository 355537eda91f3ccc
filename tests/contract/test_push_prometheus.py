"""A real Prometheus that scrapes itself and writes to us."""

from collections.abc import Iterator
from pathlib import Path

import cramjam
import httpx
import pytest

from contract.daemons import free_port, running
from contract.pushing import Installation, installation, until
from forestall.intake.formats.remote_write import WriteRequest

CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: itself
    static_configs:
      - targets: ["127.0.0.1:{port}"]
remote_write:
  - url: {url}/api/v1/write
    authorization:
      credentials: {token}
    queue_config:
      batch_send_deadline: 1s
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def test_prometheus_writes_what_it_scrapes(server: Installation, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=port, url=server.url, token=server.token))
    command = [
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'db'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, port=port):
        item = f'{{instance=":{port}",job="itself"}}'
        up = ("127.0.0.1", "up", item)
        until(
            lambda: len([row for row in server.samples() if row[:3] == up and row[4] == 1.0]) >= 2,
            "`up` arrives twice as 1 (a loaded machine may miss the first scrape)",
        )
        told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    metrics = {row[1] for row in server.samples()}
    scraped = {line.split("{")[0].split(" ")[0] for line in told.splitlines() if not line.startswith("#")}
    assert len(scraped - metrics) < len(scraped) / 10  # what came to be in the last second
    assert "prometheus_remote_storage_samples_failed_total" in metrics
    failed = [
        float(line.rsplit(" ", 1)[1])
        for line in told.splitlines()
        if line.startswith("prometheus_remote_storage_samples_failed_total")
    ]
    assert failed == [0.0]


def write(server: Installation, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/api/v1/write",
        content=body,
        headers={"authorization": f"Bearer {server.token}", **headers},
        timeout=30,
    )


def test_what_cannot_be_used_is_answered_with_what_to_do(server: Installation) -> None:
    request = WriteRequest()
    one = request.timeseries.add()
    one.labels.add(name=b"__name__", value=b"pushed_by_hand")
    one.samples.add(value=1.0, timestamp=1_800_000_000_000)
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    assert write(server, body).status_code == 204
    assert any(row[1] == "pushed_by_hand" for row in server.samples())
    kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    assert write(server, body, **{"content-type": kind}).status_code == 415
    assert write(server, body, **{"content-encoding": "gzip"}).status_code == 415
    assert write(server, body, authorization="Bearer fst_wrong").status_code == 401
    damaged = write(server, b"\xff" * 30)
    assert damaged.status_code == 400
    assert "snappy" in damaged.json()["title"]
    other = write(server, bytes(cramjam.snappy.compress_raw(b"hello world")))
    assert other.status_code == 400
    assert "remote write 1.0" in other.json()["title"]
    bomb = write(server, bytes(cramjam.snappy.compress_raw(bytes(100 << 20))))
    assert bomb.status_code == 413
