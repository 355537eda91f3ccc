"""Every door over HTTP into a whole installation: durable, decoded, judged, searchable.

    python benchmarks/doors.py [DOOR …] [--lines N] [--samples N] [--rounds N] [--connections N]

Starts `forestall up` on an empty directory, makes a token of an asset, and lets a process of its own (whose
time is not counted) push ready bodies over N connections, each waiting for its answers, as programs do. A
round ends when the store has every record. Prints JSON: for each door the median of records a second (until
acknowledged, until searchable) and CPU seconds a million records of each role.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).parent.parent / "tests"), str(Path(__file__).parent)]

from e2e.installation import Installation, installed  # noqa: E402 - after the paths

BODY_LINES = 5_000
WAIT_S = 120.0
SENDER = """
import http.client, json, pathlib, sys, threading, time
port, token, folder, connections, times = sys.argv[1:]
about = json.loads((pathlib.Path(folder) / "about").read_text())
bodies = [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("body-*"))]
headers = {"authorization": "Bearer " + token, **about["headers"]}
places = iter(range(int(times)))
lock = threading.Lock()
wrong = []

def push():
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=120)
    while True:
        with lock:
            place = next(places, None)
        if place is None:
            return
        while True:
            key = {"idempotency-key": f"{folder}/{place}"}  # the same bytes are meant to be other records
            connection.request("POST", about["path"], bodies[place % len(bodies)], headers | key)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status in (429, 503):
                time.sleep(0.2)
                continue
            if answer.status not in (200, 204):
                wrong.append((answer.status, text[:300].decode()))
            break

threads = [threading.Thread(target=push) for _ in range(int(connections))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(str(wrong[0]) if wrong else 0)
"""
TOKEN = """
from forestall.estate.access import make_person, make_token
from forestall.estate.models import Asset
from forestall.estate.values import Role
asset = Asset.objects.get(name="Sender")
person = make_person(name="Benchmark", email="benchmark@example.net", role=Role.OWNER, actor="benchmark",
                     all_clients=True)
made = make_token(person, name="push", may=["intake"], client=asset.client_id, asset=asset.pk,
                  rate_bytes_per_s=1 << 30)
return made[1]
"""


def line(place: int) -> str:
    return (
        f"connection {place * 7919 % 100_003} from 10.0.{place % 250}.7 port {place % 60_000} closed by peer"
    )


def jsonlines(now_ms: int) -> bytes:
    rows = [
        {"_time": now_ms + n // 10, "_msg": line(n), "level": "info", "app": "sshd", "pid": n % 9_000}
        for n in range(BODY_LINES)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def elasticsearch(now_ms: int) -> bytes:
    head = '{"create":{}}\n'
    return "".join(
        head + json.dumps({"@timestamp": now_ms + n // 10, "message": line(n), "level": "info"}) + "\n"
        for n in range(BODY_LINES)
    ).encode()


def loki(now_ms: int) -> bytes:
    values = [[str((now_ms + n // 10) * 1_000_000), line(n)] for n in range(BODY_LINES)]
    return json.dumps({"streams": [{"stream": {"job": "sshd"}, "values": values}]}).encode()


def otlp_logs(now_ms: int) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sshd"
    records = resource.scope_logs.add().log_records
    for n in range(BODY_LINES):
        record = records.add(time_unix_nano=(now_ms + n // 10) * 1_000_000, severity_number=9)
        record.body.string_value = line(n)
        record.attributes.add(key="pid").value.int_value = n % 9_000
    return bytes(request.SerializeToString())


def otlp_metrics(now_ms: int) -> bytes:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for n in range(40):
        points = metrics.add(name=f"system.metric.{n}", unit="1").gauge.data_points
        for k in range(50):
            point = points.add(as_double=n * 1.5 + k, time_unix_nano=now_ms * 1_000_000)
            point.attributes.add(key="device").value.string_value = f"sd{k}"
    return bytes(request.SerializeToString())


def remote_write(samples: int) -> Callable[[int], bytes]:
    def make(now_ms: int) -> bytes:
        import cramjam
        from remote_write import make_body

        from forestall.intake.formats.remote_write import WriteRequest

        request = WriteRequest.FromString(make_body(now_ms % 100_003, 2_000, samples))
        for series in request.timeseries:
            for n, sample in enumerate(series.samples):
                sample.timestamp = now_ms - (samples - n) * 15_000
        return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))

    return make


PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
# door: how a body is made, records in one, the path, headers, the table
DOORS: dict[str, tuple[Callable[[int], bytes], int, str, dict[str, str], str]] = {
    "jsonlines": (jsonlines, BODY_LINES, "/insert/jsonline", JSON, "logs"),
    "otlp_logs": (otlp_logs, BODY_LINES, "/v1/logs", PROTOBUF, "logs"),
    "otlp_metrics": (otlp_metrics, 2_000, "/v1/metrics", PROTOBUF, "samples"),
    "remote_write_1": (remote_write(1), 2_000, "/api/v1/write", PROTOBUF, "samples"),
    "remote_write_10": (remote_write(10), 20_000, "/api/v1/write", PROTOBUF, "samples"),
    "loki": (loki, BODY_LINES, "/loki/api/v1/push", JSON, "logs"),
    "elasticsearch": (elasticsearch, BODY_LINES, "/logs/_bulk", JSON, "logs"),
}  # fmt: skip


def cpu_s(running: Installation) -> dict[str, float]:
    used = {}
    for name in ("web", "watch", "store"):
        if pid := running.role(name).get("pid"):
            times = psutil.Process(int(pid)).cpu_times()
            used[name] = times.user + times.system
    return used


def count(running: Installation, table: str) -> int:
    return int(
        running.desk.ask(
            "from forestall.telemetry.client import Store\n"
            f'store = Store("127.0.0.1", {running.port("store")}, password=found.data.key("store").hex())\n'
            f"return int(store.select('SELECT count() FROM forestall.{table}')[0][0])\n"
        )
    )


def one_round(
    running: Installation, door: str, folder: Path, *, token: str, times: int, connections: int
) -> dict[str, float]:
    """Push `times` bodies; what it took. Samples of the installation itself are few and not left out."""
    make, records, path, headers, table = DOORS[door]
    folder.mkdir()
    (folder / "about").write_text(json.dumps({"path": path, "headers": headers}))
    for place in range(min(times, 8)):
        (folder / f"body-{place}").write_bytes(make(int(time.time() * 1000) + place))
    before, used, began_s = count(running, table), cpu_s(running), time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-c",
            SENDER,
            str(running.port("web")),
            token,
            str(folder),
            str(connections),
            str(times),
        ],
        check=True,
    )
    sent_s, sent = time.monotonic() - began_s, times * records
    while (there := count(running, table) - before) < sent and time.monotonic() - began_s < WAIT_S:
        time.sleep(0.05)
    took_s, after = time.monotonic() - began_s, cpu_s(running)
    spent = {f"cpu_s_a_million_{name}": (after[name] - used[name]) / sent * 1e6 for name in after}
    return {
        "a_s_acknowledged": sent / sent_s,
        "a_s_searchable": sent / took_s,
        "cpu_s_a_million": sum(spent.values()),
        **spent,
        "missing": max(0, sent - there),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("doors", nargs="*")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, installed(Path(directory) / "data") as running:
        running.cli("client", "add", "Benchmark")
        running.cli("asset", "add", "Sender", "--client", "Benchmark", "--kind", "server")
        token = running.desk.ask(TOKEN)
        time.sleep(12)  # until the directory of senders is read again
        for door in given.doors or DOORS:
            _, records, _, _, table = DOORS[door]
            times = max(1, (given.lines if table == "logs" else given.samples) // records)
            rounds = []
            for number in range(given.rounds + 1):  # the first warms up
                folder = Path(directory) / f"{door}-{number}"
                rounds.append(
                    one_round(
                        running,
                        door,
                        folder,
                        token=token,
                        times=times if number else min(times, 8),
                        connections=given.connections,
                    )
                )
            told = {name: round(statistics.median(one[name] for one in rounds[1:]), 2) for name in rounds[0]}
            print(json.dumps({"door": door, "records": times * records, **told}), flush=True)


if __name__ == "__main__":
    main()
