"""A real Prometheus that takes us for its Alertmanager, and a real Alertmanager whose webhook we are."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.daemons import free_port, running
from contract.pushing import Installation, installation, until

PROMETHEUS = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: gone
    static_configs:
      - targets: ["127.0.0.1:{gone}"]
rule_files: ["{rules}"]
alerting:
  alertmanagers:
    - api_version: v2
      authorization:
        credentials: {token}
      static_configs:
        - targets: ["127.0.0.1:{port}"]
"""
RULES = """
groups:
  - name: all
    rules:
      - alert: TargetDown
        expr: up == 0
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} does not answer"}
"""
ALERTMANAGER = """
route: {{receiver: forestall, group_wait: 0s, group_interval: 1s}}
receivers:
  - name: forestall
    webhook_configs:
      - url: {url}/api/v2/alerts
        http_config:
          authorization: {{credentials: {token}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


def test_an_alert_of_prometheus_fires_and_is_resolved(server: Installation, tmp_path: Path) -> None:
    port, gone = free_port(), free_port()
    rules, config = tmp_path / "rules.yml", tmp_path / "prometheus.yml"
    rules.write_text(RULES)
    config.write_text(PROMETHEUS.format(gone=gone, rules=rules, token=server.token, port=server.port))
    subprocess.run(["promtool", "check", "config", str(config)], check=True, capture_output=True)
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'db'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    target = f'TargetDown{{instance=":{gone}",job="gone",severity="page"}}'

    def said(ok: bool) -> bool:
        return any(one.outcome.target == target and one.outcome.ok is ok for one in server.outcomes())

    with running(command, port=port):
        until(lambda: said(False), "the alert fires")
        with running(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'other'}",
                f"--web.listen-address=127.0.0.1:{gone}",
            ],
            port=gone,
        ):
            until(lambda: said(True), "the alert is resolved")
    found = next(one for one in server.outcomes() if one.outcome.target == target)
    assert (found.host, found.outcome.kind) == ("127.0.0.1", "alertmanager")
    assert found.outcome.reason == f"127.0.0.1:{gone} does not answer"
    assert json.loads(found.outcome.answer)["labels"]["severity"] == "page"


def test_the_webhook_of_an_alertmanager(server: Installation, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "alertmanager.yml"
    config.write_text(ALERTMANAGER.format(url=server.url, token=server.token))
    command = [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'db'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    alert = {
        "labels": {"alertname": "TapeFull", "instance": "srv2"},
        "annotations": {"summary": "the tape is full"},
    }

    def said(ok: bool) -> bool:
        return any(
            (one.outcome.kind, one.host, one.outcome.target, one.outcome.ok)
            == ("alert", "srv2", "TapeFull", ok)
            for one in server.outcomes()
        )

    with running(command, port=port):
        post(f"http://127.0.0.1:{port}", [alert])
        until(lambda: said(False), "the webhook tells of it")
        over = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        post(f"http://127.0.0.1:{port}", [{**alert, "endsAt": over}])
        until(lambda: said(True), "the webhook tells that it is resolved")


def post(url: str, alerts: object, token: str = "") -> tuple[int, str]:
    """By curl; the status and the answer."""
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-w",
            "\n%{http_code}",
            "-H",
            "Content-Type: application/json",
            "-H",
            f"Authorization: Bearer {token}",
            "--data-binary",
            "@-",
            f"{url}/api/v2/alerts",
        ],
        input=json.dumps(alerts),
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl_hears_what_was_refused(server: Installation) -> None:
    good = {"labels": {"alertname": "ByHand"}}
    assert post(server.url, [good], server.token) == (200, "")
    status, body = post(server.url, [good, {"labels": {}}], server.token)
    assert status == 400
    assert "alert 1: " in json.loads(body)["detail"]
    assert post(server.url, [good])[0] == 401
    assert post(server.url, 3, server.token)[0] == 400
    assert len([one for one in server.outcomes() if one.outcome.target == "ByHand"]) == 2
