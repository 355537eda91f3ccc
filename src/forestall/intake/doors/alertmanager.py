"""The door for alerts: what Prometheus sends to an Alertmanager, and an Alertmanager's own webhook."""

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, refuse
from forestall.intake.formats.alertmanager import read
from forestall.intake.gate import admit, aside, note_refused, take, turn_away, unpack
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="alertmanager",
    title="Prometheus alerts",
    about="Alerts of a Prometheus (as its Alertmanager) or of an Alertmanager (its webhook) become findings.",
    source="github.com/prometheus/alertmanager, api/v2/openapi.yaml",
    limits="2 MB and 5,000 alerts a body; what is not renewed for 30 minutes has ended.",
    produces=("probe.up",),
)
PATHS = ("/api/v2/alerts",)
BODY_MAX_BYTES = 2 << 20
TOLD_MAX = 10


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 when the alerts are on the disk; 400 names those that are none, after the others were taken, as an
    Alertmanager does it."""
    if request.method != "POST":
        return refuse(405, f"{request.path} takes POST", allow="POST")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    try:
        body = await aside(unpack, request, most=BODY_MAX_BYTES)
        reading = await aside(read, body, received_at_ms=admitted.at_ms)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    await take(reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    if reading.refused:
        told = "; ".join(f"alert {one.place}: {one.reason}" for one in reading.refused[:TOLD_MAX])
        return refuse(400, f"{reading.refused_count} alerts were refused, the others taken", told)
    return DoorAnswer(200)
