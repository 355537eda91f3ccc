"""The door for OpenTelemetry: logs and metrics over HTTP, in protobuf and in JSON.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp: an answer speaks what its request spoke, a refusal
is a Status, and what of a batch was not taken is told as a partial success.
"""

import json
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from forestall.intake.counts import REJECTED
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.formats import Reading, otlp_logs, otlp_metrics
from forestall.intake.gate import admit, aside, note_refused, take, turn_away, unpack
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="otlp",
    title="OpenTelemetry (OTLP)",
    about="Logs and metrics of the OpenTelemetry SDKs and the Collector, over HTTP.",
    source="https://opentelemetry.io/docs/specs/otlp/",
    limits="8 MB a body, 32 MB unpacked, 200,000 records; no traces; buckets of exponential histograms are"
    " not kept.",
)
LOGS, METRICS = "/v1/logs", "/v1/metrics"
PATHS = (LOGS, METRICS)
UNPACKED_MAX_BYTES = 32 << 20
PROTOBUF, JSON = "application/x-protobuf", "application/json"
TOLD_MAX_CHARS = 1_000
# resource_logs { scope_logs { log_records { body { string_value: "m" } attributes { key: "k" } } } }
PREPARING = bytes.fromhex("0a0e120c120a2a030a016d32030a016b")

_READERS: dict[tuple[str, str], Callable[..., Reading]] = {
    (LOGS, PROTOBUF): otlp_logs.read_protobuf,
    (LOGS, JSON): otlp_logs.read_json_body,
    (METRICS, PROTOBUF): otlp_metrics.read_protobuf,
    (METRICS, JSON): otlp_metrics.read_json_body,
}


def prepare() -> None:
    """Compile what reads bodies."""
    for read in _READERS.values():
        message = PREPARING if read is otlp_logs.read_protobuf else b"{}" if "json" in read.__name__ else b""
        read(message, received_at_ms=0)


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 when the records are on the disk."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    if kind not in (PROTOBUF, JSON):
        unknown = kind[:60] or "a body without a content type"
        return refuse(415, f"nobody knows {unknown} here", f"Send {PROTOBUF} or {JSON}.")
    given = await _take(request, desk, kind)
    return given if given.status == 200 else _as_status(given, kind)


async def _take(request: DoorRequest, desk: Desk, kind: str) -> DoorAnswer:
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    try:
        reading = await aside(_read, request, kind, admitted.at_ms)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    desk.counts.add(SPEC.name, REJECTED, getattr(reading, "not_numbers", 0))
    await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    return _accepted(request.path, kind, reading)


def _read(request: DoorRequest, kind: str, received_at_ms: int) -> Reading:
    """Raises ValueError. In one go: a change of threads costs as much as a small body."""
    body = unpack(request, most=UNPACKED_MAX_BYTES)
    return _READERS[request.path, kind](body, received_at_ms=received_at_ms)


def _accepted(path: str, kind: str, reading: Reading) -> DoorAnswer:
    """ExportLogsServiceResponse or ExportMetricsServiceResponse; empty when all was taken."""
    told: Any
    if path == LOGS:
        told = ExportLogsServiceResponse()
        refused = "rejected_log_records"
    else:
        told = ExportMetricsServiceResponse()
        refused = "rejected_data_points"
    if reading.refused_count:
        setattr(told.partial_success, refused, reading.refused_count)
        reasons = "; ".join(f"record {one.place}: {one.reason}" for one in reading.refused)
        told.partial_success.error_message = reasons[:TOLD_MAX_CHARS]
    if kind == JSON:
        body = json_format.MessageToJson(told, indent=None).encode()
    else:
        body = bytes(told.SerializeToString())
    return DoorAnswer(200, body, {"content-type": kind})


def _as_status(given: DoorAnswer, kind: str) -> DoorAnswer:
    """A refusal as google.rpc.Status (`message` is field 2), as OTLP wants it."""
    problem = json.loads(given.body)
    message = ". ".join(part for part in (problem["title"], problem.get("detail", "")) if part)
    if kind == JSON:
        body = json.dumps({"message": message}).encode()
    else:
        text = message.encode()[:TOLD_MAX_CHARS].decode(errors="ignore").encode()
        length = len(text)
        size = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
        body = b"\x12" + size + text
    return DoorAnswer(given.status, body, {**given.headers, "content-type": kind})
