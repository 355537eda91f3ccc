"""The door for Prometheus and whatever else speaks its remote write, version 1.0."""

from forestall.intake.counts import REJECTED
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.formats.remote_write import SampleReading, known_series, read
from forestall.intake.gate import admit, aside, note_refused, take, turn_away, unpack_snappy
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="remote_write",
    title="Prometheus remote write",
    about="Samples of Prometheus, the OpenTelemetry Collector, Grafana Agent, vmagent, Telegraf and others.",
    source="https://prometheus.io/docs/specs/prw/remote_write_spec/",
    limits="8 MB a body, 64 MB unpacked, 200,000 samples; no native histograms; no remote write 2.0.",
)
PATHS = ("/api/v1/write",)
UNPACKED_MAX_BYTES = 64 << 20
# timeseries { labels { name: "__name__" value: "m" } samples { value: 0 timestamp: 1 } }
PREPARING = bytes.fromhex("0a1c0a0d0a085f5f6e616d655f5f12016d120b0900000000000000001001")

_known = known_series()


def prepare() -> None:
    """Compile what reads bodies."""
    read(PREPARING, known_series(), received_at_ms=0)


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """204 when the samples are on the disk. Prometheus sends again after 429 and 5xx, never after 4xx, so
    samples that cannot be used are left out and named under Intake, and the rest is taken."""
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    if refusal := _refusal(request):
        return refusal
    try:
        reading = await aside(_read, request.body, admitted.at_ms)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    desk.counts.add(SPEC.name, REJECTED, reading.not_numbers)
    await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    return DoorAnswer(204)


def _read(packed: bytes, received_at_ms: int) -> SampleReading:
    """Raises ValueError. In one go: a change of threads costs as much as a small body."""
    body = unpack_snappy(packed, most=UNPACKED_MAX_BYTES)
    return read(body, _known, received_at_ms=received_at_ms)


def _refusal(request: DoorRequest) -> DoorAnswer | None:
    """415 for what is not remote write 1.0 in snappy: a sender of 2.0 then falls back to 1.0."""
    kind = request.headers.get("content-type", "").replace(" ", "").lower()
    if "proto=io.prometheus.write.v2" in kind:
        return refuse(
            415, "remote write 2.0 is not read here", "Send protobuf_message prometheus.WriteRequest."
        )
    if kind.partition(";")[0] not in ("", "application/x-protobuf"):
        return refuse(415, f"nobody knows {kind[:60]} here", "Send application/x-protobuf in snappy.")
    encoding = request.headers.get("content-encoding", "snappy").strip().lower()
    if encoding != "snappy":
        return refuse(415, f"nobody knows the encoding {encoding[:40]} here", "Send snappy's block format.")
    return None
