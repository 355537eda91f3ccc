"""The door for whatever pushes to Grafana Loki: Alloy, Promtail, Fluent Bit, Vector, Docker's driver."""

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.formats import Reading
from forestall.intake.formats.loki import read_json, read_protobuf
from forestall.intake.gate import (
    Unusable,
    admit,
    aside,
    note_refused,
    take,
    turn_away,
    unpack,
    unpack_snappy,
)
from forestall.intake.telling import tell_refused
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="loki",
    title="Loki push",
    about="Log lines with labels, as Grafana Alloy, Promtail, Fluent Bit, Vector and others push them.",
    source="Grafana Loki, HTTP API, Ingest logs; pkg/push/push.proto",
    limits="8 MB a body, 64 MB unpacked, 200,000 lines of 256 KB; JSON (also gzip) or protobuf in snappy.",
)
PATHS = ("/loki/api/v1/push",)
UNPACKED_MAX_BYTES = 64 << 20


def prepare() -> None:
    """Compile what reads bodies."""
    read_json(b'{"streams":[{"stream":{"a":"b"},"values":[["1","m"]]}]}', received_at_ms=0)
    read_protobuf(bytes.fromhex("0a090a027b7d120312016d"), received_at_ms=0)


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """204 when all lines are on the disk. Senders send again after 429 and 5xx, never after 400, so lines
    that cannot be used are left out and named, and the rest is taken."""
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    try:
        reading = await aside(_read, request, received_at_ms=admitted.at_ms)
        await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    return tell_refused(reading, noun="lines") if reading.refused_count else DoorAnswer(204)


def _read(request: DoorRequest, *, received_at_ms: int) -> Reading:
    """JSON, or protobuf when the request says so. Raises ValueError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-protobuf":
        encoding = request.headers.get("content-encoding", "snappy").strip().lower()
        packed = request.body if encoding == "snappy" else unpack(request, most=UNPACKED_MAX_BYTES)
        return read_protobuf(unpack_snappy(packed, most=UNPACKED_MAX_BYTES), received_at_ms=received_at_ms)
    if kind not in ("", "application/json", "text/plain", "application/x-www-form-urlencoded"):
        raise Unusable(
            415, f"nobody knows {kind[:60]!r} here", "Send application/json or application/x-protobuf."
        )
    return read_json(unpack(request, most=UNPACKED_MAX_BYTES), received_at_ms=received_at_ms)
