"""The door for JSON lines: whatever can post one object a line (Vector, Fluent Bit's http output, curl)."""

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, answer_json, refuse
from forestall.intake.formats.json_columns import PLAIN_MIN
from forestall.intake.formats.jsonlines import names_of, read
from forestall.intake.gate import admit, aside, note_refused, take, turn_away, unpack
from forestall.intake.telling import tell_refused
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="jsonlines",
    title="JSON lines",
    about="Log records as JSON objects, one a line; fields are recognised by their usual names.",
    source="VictoriaLogs, Data ingestion, JSON stream API; github.com/ndjson/ndjson-spec",
    limits="8 MB a body, 64 MB unpacked, 200,000 records of 256 KB; gzip, deflate or zstd.",
)
PATHS = ("/insert/jsonline",)
UNPACKED_MAX_BYTES = 64 << 20


def prepare() -> None:
    """Compile what reads bodies."""
    read(b'{"_msg":"m","host":"h","level":"info"}\n' * PLAIN_MIN, names_of(), received_at_ms=0)


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 when all records are on the disk; 400 names what was wrong with which, the others were taken."""
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    try:
        names = names_of(
            message=_parameter(request, "_msg_field", "vl-msg-field"),
            time=_parameter(request, "_time_field", "vl-time-field"),
            stream=_parameter(request, "_stream_fields", "vl-stream-fields"),
        )
        body = await aside(unpack, request, most=UNPACKED_MAX_BYTES)
        reading = await aside(read, body, names, received_at_ms=admitted.at_ms)
        await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    if reading.refused_count:
        return tell_refused(reading)
    return answer_json(200, {"accepted": len(reading.pushed.logs)})


def _parameter(request: DoorRequest, name: str, header: str) -> str:
    return request.query.get(name) or request.headers.get(header, "")
