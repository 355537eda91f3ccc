"""The door for whatever writes to Elasticsearch: Filebeat, Fluent Bit, Logstash, rsyslog, client libraries.

Bulk bodies are taken; around them such programs ask for a version, a licence, templates and policies, and go
on when they hear that all is well. Nothing of it is kept here, and nothing is ever found by searching.

Sources: Elasticsearch 8 REST APIs; what is asked: beats libbeat/esleg/eslegclient and libbeat/licenser,
logstash-output-elasticsearch, rsyslog omelasticsearch (`_cat/health`), fluent-bit out_es, elasticsearch-py.
"""

import json
from collections.abc import Mapping

from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, answer_json, refuse
from forestall.intake.formats.elasticsearch import answer_items, read
from forestall.intake.formats.json_columns import PLAIN_MIN
from forestall.intake.formats.jsonlines import names_of
from forestall.intake.gate import admit, aside, note_refused, take, turn_away, unpack
from forestall.kernel.clock import to_ms
from forestall.kernel.plugins import Spec

SPEC = Spec(
    name="elasticsearch",
    title="Elasticsearch bulk",
    about="Log records of Filebeat, Fluent Bit, Logstash, rsyslog's omelasticsearch, Elasticsearch clients.",
    source="Elasticsearch 8, Bulk API; Elastic Common Schema 8",
    limits="8 MB a body, 64 MB unpacked, 200,000 documents of 256 KB; create and index only; "
    "ingest pipelines are not run.",
)
PATHS = (
    "/_bulk",
    "/_license",
    "/_xpack",
    "/_nodes",
    "/_nodes/",
    "/_ilm/",
    "/_index_template/",
    "/_component_template/",
    "/_template/",
    "/_data_stream/",
    "/_cluster/",
    "/_cat/",
    "/_ingest/",
)
UNPACKED_MAX_BYTES = 64 << 20
PRODUCT = {"x-elastic-product": "Elasticsearch"}  # else the clients from 7.14 on refuse to talk
VERSION = "8.19.0"
PASSING = frozenset((401, 403, 408, 429, 500, 503))  # a token can be mended, too

_LICENSE = {
    "uid": "00000000-0000-0000-0000-000000000000",
    "type": "basic",
    "mode": "basic",
    "status": "active",
}
_ROOT = {
    "name": "forestall",
    "cluster_name": "forestall",
    "cluster_uuid": "forestall",
    "version": {
        "number": VERSION,
        "build_flavor": "default",
        "build_type": "docker",
        "build_hash": "unknown",
        "build_snapshot": False,
        "lucene_version": "9.12.0",
        "minimum_wire_compatibility_version": "7.17.0",
        "minimum_index_compatibility_version": "7.0.0",
    },
    "tagline": "You Know, for Search",
}
_HEALTH = {
    "cluster_name": "forestall",
    "status": "green",
    "timed_out": False,
    "number_of_nodes": 1,
    "number_of_data_nodes": 1,
}
_FEATURES = {"ilm": {"available": True, "enabled": True}, "security": {"available": True, "enabled": True}}


def claims(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """`/INDEX/_bulk`, and the root when no browser but a program with a token asks for it."""
    if path == "/":
        program = "authorization" in headers and "text/html" not in headers.get("accept", "")
        return program and method in ("GET", "HEAD")
    return path.endswith("/_bulk") and path.count("/") <= 3


def prepare() -> None:
    """Compile what reads bodies."""
    read(b'{"create":{}}\n{"message":"m"}\n' * PLAIN_MIN, names_of(), received_at_ms=0)


async def answer(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """What Elasticsearch answers."""
    return await _bulk(request, desk) if request.path.endswith("/_bulk") else await _around(request, desk)


def reword(answer: DoorAnswer) -> DoorAnswer:
    """Every answer says that it is Elasticsearch's. Its clients fail over problem details, so a refusal for
    good is an error in its words. One that passes is plain text: rsyslog's omelasticsearch (8.2302) looks at
    no status, drops its lines when the answer is JSON, and sends them again when it is none."""
    headers, body = {**answer.headers, **PRODUCT}, answer.body
    if headers.get("content-type") != "application/problem+json":
        return DoorAnswer(answer.status, body, headers)
    problem = json.loads(body)
    reason = ": ".join(problem[part] for part in ("title", "detail") if part in problem)
    if answer.status in PASSING:
        return DoorAnswer(answer.status, reason.encode(), headers | {"content-type": "text/plain"})
    error = {"type": "illegal_argument_exception", "reason": reason}
    told = {"error": {**error, "root_cause": [error]}, "status": answer.status}
    return DoorAnswer(
        answer.status, json.dumps(told).encode(), headers | {"content-type": "application/json"}
    )


async def _bulk(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """200 when all documents that can be taken are on the disk, with the status of each."""
    if request.method not in ("POST", "PUT"):
        return refuse(405, f"{request.path} takes POST", allow="POST, PUT")
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    try:
        names = names_of(
            message=request.query.get("_msg_field", ""),
            time=request.query.get("_time_field", ""),
            stream=request.query.get("_stream_fields", ""),
        )
        body = await aside(unpack, request, most=UNPACKED_MAX_BYTES)
        bulk = await aside(read, body, names, received_at_ms=admitted.at_ms, index=_index_of(request.path))
        await take(bulk.reading.pushed, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    except ValueError as error:
        return turn_away(error, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    note_refused(bulk.reading, admitted=admitted, request=request, desk=desk, door=SPEC.name)
    took_ms = to_ms(desk.clock.now()) - admitted.at_ms
    items = await aside(answer_items, bulk, took_ms=took_ms)
    return DoorAnswer(200, items, {"content-type": "application/json"})


async def _around(request: DoorRequest, desk: Desk) -> DoorAnswer:
    """What is asked before and between the bulk bodies; templates and policies are there already."""
    admitted = await admit(request, desk)
    if isinstance(admitted, DoorAnswer):
        return admitted
    if request.method not in ("GET", "HEAD"):
        return answer_json(200, {"acknowledged": True})
    match request.path.split("/")[1]:
        case "":
            return answer_json(200, _ROOT)
        case "_license":
            return answer_json(200, {"license": _LICENSE})
        case "_xpack":
            return answer_json(200, {"license": _LICENSE, "features": _FEATURES})
        case "_cluster":
            return answer_json(200, _HEALTH)
        case "_nodes":
            return answer_json(200, {"cluster_name": "forestall", "nodes": {}})
        case "_cat":
            return DoorAnswer(200, b"forestall green 1 1\n", {"content-type": "text/plain; charset=UTF-8"})
        case _:
            return answer_json(200, {})


def _index_of(path: str) -> str:
    """The index that the path names, "" when it names none."""
    return path.split("/")[1] if path.count("/") > 1 else ""
