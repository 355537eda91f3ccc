"""Where an agent sends what the people at its machine report, signed with its own key as all it sends."""

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from forestall.collect.agent.reporting import PATH
from forestall.collect.agent.sign import read_claim, refusal
from forestall.estate import enrolment
from forestall.estate import queries as estate
from forestall.estate.enrolment import KnownCollector
from forestall.estate.tenancy import system_scope
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.tickets.by_machine import FromMachine, known_at, report_from
from forestall.tickets.reporting import HOW_BAD

BODY_MAX_BYTES = 64 << 10


class _Told(msgspec.Struct, frozen=True):
    id: str
    text: str
    how_bad: str = ""
    name: str = ""
    email: str = ""


@csrf_exempt  # no cookie counts here: a signature does
def agent_report(request: HttpRequest) -> HttpResponse:
    """GET: what is known already. POST: a report, answered with the number of its ticket."""
    if request.method not in ("GET", "POST"):
        return _refuse(405, "this takes GET and POST")
    try:
        size = int(request.headers.get("content-length") or 0)
    except ValueError:
        size = BODY_MAX_BYTES + 1
    if size > BODY_MAX_BYTES:
        return _refuse(413, f"a report has at most {BODY_MAX_BYTES} bytes")
    collector = _who(request)
    if isinstance(collector, str):
        return _refuse(401, collector)
    now = timezone.now()
    if request.method == "GET":
        machine, known = known_at(collector.client, asset=collector.asset, now=now)
        provider = estate.provider(system_scope("reports")).name
        how_bad = {key: words for key, (words, _, _) in HOW_BAD.items()}
        return _answer({"provider": provider, "machine": machine, "how_bad": how_bad, "known": known})
    try:
        told = msgspec.json.decode(request.body, type=_Told)
        given = FromMachine(**msgspec.structs.asdict(told))
        ticket = report_from(collector.client, asset=collector.asset, told=given, now=now)
    except msgspec.MsgspecError as error:
        return _refuse(400, f"this is no report: {error}")
    except Trouble as trouble:
        return _refuse(422, str(trouble))
    return _answer({"ticket": ticket.number})


def _who(request: HttpRequest) -> KnownCollector | str:
    """The collector whose key signed the request, or why there is none."""
    claim = read_claim(request.headers.get("authorization", ""))
    known = enrolment.find_collector(claim.collector) if claim else None
    if claim is None or known is None:
        return "the request is not signed by a collector that is enrolled: enrol this machine again"
    why = refusal(
        claim, known.public_key, method=request.method or "", path=PATH, body=request.body,
        now_ms=to_ms(timezone.now()),
    )  # fmt: skip
    return why or known


def _answer(body: dict[str, Any]) -> HttpResponse:
    answer = JsonResponse(body)
    answer["Cache-Control"] = "no-store"
    return answer


def _refuse(status: int, text: str) -> HttpResponse:
    return JsonResponse(
        {"title": text, "status": status}, status=status, content_type="application/problem+json"
    )
