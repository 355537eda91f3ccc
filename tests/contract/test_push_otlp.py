"""The OpenTelemetry SDK for Python, unmodified: its logs and its metrics arrive."""

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from contract.pushing import Installation, installation

RESOURCE = Resource.create(
    {"service.name": "shop", "host.name": "srv1", "service.version": "4.2", "service.instance.id": "one"}
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_logs_of_the_sdk_arrive(server: Installation, compression: Compression) -> None:
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(
            OTLPLogExporter(
                endpoint=f"{server.url}/v1/logs",
                headers={"authorization": f"Bearer {server.token}"},
                compression=compression,
            )
        )
    )
    logger = logging.getLogger(f"shop.{compression.value}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for number in range(600):
        logger.info("order %d of %s paid “quickly”", number, compression.value, extra={"order": number})
    logger.error({"what": "a dictionary", "of": ["things"]})
    try:
        raise RuntimeError("it broke")
    except RuntimeError:
        logger.exception("failed\nbadly")
    assert provider.force_flush(30_000)
    provider.shutdown()  # type: ignore[no-untyped-call]

    mine = [row for row in server.logs() if json.loads(row[4])["otel.scope.name"] == logger.name]
    assert [row[3] for row in mine[:600]] == [
        f"order {number} of {compression.value} paid “quickly”" for number in range(600)
    ]
    assert {row[:3] for row in mine[:600]} == {("srv1", "shop", 6)}
    attrs = json.loads(mine[17][4])
    assert (attrs["order"], attrs["service.version"]) == ("17", "4.2")
    assert json.loads(mine[600][3]) == {"what": "a dictionary", "of": ["things"]}
    assert mine[601][2:4] == (3, "failed\nbadly")
    assert "RuntimeError: it broke" in json.loads(mine[601][4])["exception.stacktrace"]


def test_metrics_of_the_sdk_arrive(server: Installation) -> None:
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(
            endpoint=f"{server.url}/v1/metrics", headers={"authorization": f"Bearer {server.token}"}
        )
    )
    provider = MeterProvider(resource=RESOURCE, metric_readers=[reader])
    meter = provider.get_meter("shop")
    meter.create_counter("orders").add(3, {"kind": "new"})
    meter.create_histogram("took", unit="s").record(0.7)
    meter.create_up_down_counter("waiting").add(-2)
    assert provider.force_flush(30_000)
    provider.shutdown()
    found = {(metric, item): value for host, metric, item, _, value in server.samples() if host == "srv1"}
    item = 'service.instance.id="one",service.name="shop"'
    assert found["orders", f'{{kind="new",{item}}}'] == 3.0
    assert found["waiting", f"{{{item}}}"] == -2.0
    assert found["took_sum", f"{{{item}}}"] == 0.7
    assert found["took_bucket", f'{{le="+Inf",{item}}}'] == 1.0


def post(server: Installation, path: str, body: bytes, kind: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}{path}",
        content=body,
        headers={"authorization": f"Bearer {server.token}", "content-type": kind, **headers},
        timeout=30,
    )


def test_answers_speak_what_was_spoken(server: Installation) -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add().body.string_value = "good"
    records.add().body.string_value = "bad!"
    body = request.SerializeToString().replace(b"bad!", b"ba\xff!")
    told = post(server, "/v1/logs", body, "application/x-protobuf")
    response = ExportLogsServiceResponse.FromString(told.content)
    assert (told.status_code, told.headers["content-type"]) == (200, "application/x-protobuf")
    assert response.partial_success.rejected_log_records == 1
    assert "record 1" in response.partial_success.error_message
    assert [row[3] for row in server.logs() if row[:2] == ("", "")] == ["good"]

    line = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "in JSON"}}]}]}]}
    told = post(server, "/v1/logs", json.dumps(line).encode(), "application/json")
    assert (told.status_code, told.json()) == (200, {})
    assert any(row[3] == "in JSON" for row in server.logs())

    for kind in ("application/x-protobuf", "application/json"):
        told = post(server, "/v1/metrics", b"\xff\xff", kind)
        assert (told.status_code, told.headers["content-type"]) == (400, kind)
        assert b"ExportMetricsServiceRequest" in told.content or "no OTLP in JSON" in told.json()["message"]
        assert post(server, "/v1/metrics", b"", kind, authorization="Bearer fst_no").status_code == 401
    assert post(server, "/v1/logs", b"", "text/plain").status_code == 415
    assert post(server, "/v1/logs", b"", "application/json", **{"content-encoding": "br"}).status_code == 415
    assert httpx.get(f"{server.url}/v1/logs").status_code == 405
