"""The values of OTLP as text: resources, attributes and bodies, from protobuf and from JSON. Pure.

This is the definition of what a record becomes; `otlp_walk` comes to the same for plain records, faster.
Source: https://opentelemetry.io/docs/specs/otel/common/ and /docs/specs/otel/logs/data-model/ (appendix B for
the severities of syslog), OTLP 1.9 with its JSON mapping.
"""

import base64
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

HOST_MAX_CHARS = 255
SOURCE_MAX_CHARS = 128
MESSAGE_MAX_CHARS = 262_144
ATTRS_MAX_BYTES = 16_384
ORIGIN_MAX_BYTES = 2_048
NOTE_MAX_BYTES = 64  # room for the note of how many attributes were left out
FACILITY = 1  # user-level messages
TRACE, SPAN, EVENT, SCOPE = "trace_id", "span_id", "event.name", "otel.scope.name"
OF_RECORDS = frozenset({TRACE, SPAN, EVENT})  # a resource that has attributes of these names says so
CUT_ATTRS, CUT_MESSAGE = "attributes_left_out", "message_chars"
DEFAULT_SEVERITY = 6

# SeverityNumber 0 to 24 as a severity of RFC 5424.
SEVERITIES = (DEFAULT_SEVERITY, *[7] * 8, 6, *[5] * 3, *[4] * 4, 3, 2, 1, 1, *[0] * 4)
_WORDS = {
    "TRACE": 7, "DEBUG": 7, "INFO": 6, "INFORMATION": 6, "NOTICE": 5, "WARN": 4, "WARNING": 4, "ERROR": 3,
    "ERR": 3, "CRITICAL": 2, "CRIT": 2, "ALERT": 1, "FATAL": 0, "EMERGENCY": 0, "EMERG": 0, "PANIC": 0,
}  # fmt: skip


class Origin(NamedTuple):
    """What a resource and a scope say of all their records. `attrs` is bounded by ORIGIN_MAX_BYTES."""

    host: str
    source: str
    attrs: dict[str, str]


class LogParts(NamedTuple):
    """A log record before it is a row: times in nanoseconds, identifiers in hexadecimal digits."""

    time_ns: int
    observed_ns: int
    severity: int
    severity_text: str
    body: Any
    attributes: Iterable[tuple[str, Any]]
    event: str
    trace: str
    span: str


class LogRow(NamedTuple):
    """A log record as columns have it."""

    at_ms: int
    severity: int
    message: str
    attrs: str


def make_origin(resource: Iterable[tuple[str, Any]], scope: str) -> Origin:
    """Host and source by `host.name` and `service.name` (else the scope); the rest becomes attributes."""
    told = {f"resource.{key}" if key in OF_RECORDS else key: text_of(value) for key, value in resource}
    host, service = told.pop("host.name", ""), told.pop("service.name", "")
    if service.startswith("unknown_service"):  # what an SDK says when nobody named it
        service = ""
    if scope and service:
        told[SCOPE] = scope
    bounded = bound_attrs(told, ORIGIN_MAX_BYTES)
    return Origin(host[:HOST_MAX_CHARS], (service or scope)[:SOURCE_MAX_CHARS], bounded)


def make_row(parts: LogParts, origin: Origin, *, received_at_ms: int) -> LogRow:
    """The row of a record. What is too long is cut, and the row says so."""
    message = text_of(parts.body) or parts.event
    attrs = dict(origin.attrs)
    attrs.update((key, text_of(value)) for key, value in parts.attributes)
    if parts.event:
        attrs[EVENT] = parts.event
    if parts.trace.strip("0"):  # an identifier of zeros alone is none
        attrs[TRACE] = parts.trace
    if parts.span.strip("0"):
        attrs[SPAN] = parts.span
    if len(message) > MESSAGE_MAX_CHARS:
        attrs[CUT_MESSAGE] = str(len(message))
        message = message[:MESSAGE_MAX_CHARS]
    at_ns = parts.time_ns or parts.observed_ns
    return LogRow(
        at_ns // 1_000_000 if at_ns else received_at_ms,
        read_severity(parts.severity, parts.severity_text),
        message,
        spell_attrs(bound_attrs(attrs, ATTRS_MAX_BYTES)),
    )


def read_severity(number: int, text: str) -> int:
    """The severity of RFC 5424. The number counts; the text when there is none."""
    if 0 < number < len(SEVERITIES):
        return SEVERITIES[number]
    return _WORDS.get(text.strip().upper(), DEFAULT_SEVERITY)


def bound_attrs(attrs: dict[str, str], most: int) -> dict[str, str]:
    """As many attributes as fit into so many bytes of JSON, and how many were left out if any were."""
    size = 2
    kept: dict[str, str] = {}
    if len(msgspec.json.encode(attrs)) <= most:
        return attrs
    for key, text in attrs.items():
        size += len(msgspec.json.encode(key)) + len(msgspec.json.encode(text)) + 2
        if size > most - NOTE_MAX_BYTES:
            size -= len(msgspec.json.encode(key)) + len(msgspec.json.encode(text)) + 2
            continue
        kept[key] = text
    kept[CUT_ATTRS] = str(len(attrs) - len(kept))
    return kept


def spell_attrs(attrs: dict[str, str]) -> str:
    """A JSON object of texts, "" when there is nothing to say."""
    return msgspec.json.encode(attrs).decode() if attrs else ""


def text_of(value: Any) -> str:
    """Any value as a person reads it: texts as they are, numbers in digits, structures as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case bytes():
            return base64.b64encode(value).decode()
    return msgspec.json.encode(_jsonable(value)).decode()


def plain_of(value: Any) -> Any:
    """A protobuf AnyValue as None, text, number, bytes, list or dict."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain_of(inner) for inner in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain_of(pair.value) for pair in value.kvlist_value.values}
        case kind:
            return getattr(value, kind)


def plain_pairs(pairs: Iterable[Any]) -> list[tuple[str, Any]]:
    """Protobuf KeyValues as pairs of name and plain value."""
    return [(pair.key, plain_of(pair.value)) for pair in pairs]


def _jsonable(value: Any) -> Any:
    """Numbers that JSON has not, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return text_of(value)
    if isinstance(value, list):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _jsonable(inner) for key, inner in value.items()}
    return value
