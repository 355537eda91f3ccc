"""The JSON of OTLP as types, so that reading it checks it and names the place of a mistake. Pure.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: names in lowerCamelCase, 64-bit
numbers as numbers or texts, enumerations as numbers, identifiers in hexadecimal digits, unknown fields are
ignored.
"""

import base64
import binascii
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from forestall.intake.formats.otlp_values import LogParts

Request = TypeVar("Request")
Whole = int | str
Number = float | str


class AnyValue(Struct, rename="camel"):
    """One of these, or nothing."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Whole | None = None
    double_value: Number | None = None
    array_value: "Values | None" = None
    kvlist_value: "Pairs | None" = None
    bytes_value: str | None = None

    def plain(self) -> Any:
        """As `otlp_values.plain_of`. Raises ValueError."""
        if self.string_value is not None:
            return self.string_value
        if self.bool_value is not None:
            return self.bool_value
        if self.int_value is not None:
            return whole(self.int_value)
        if self.double_value is not None:
            try:
                return float(self.double_value)
            except ValueError:
                raise ValueError(f"{str(self.double_value)[:40]!r} is not a number") from None
        if self.array_value is not None:
            return [value.plain() for value in self.array_value.values]
        if self.kvlist_value is not None:
            return {pair.key: pair.value.plain() for pair in self.kvlist_value.values}
        if self.bytes_value is not None:
            try:
                return base64.b64decode(self.bytes_value, validate=True)
            except binascii.Error as error:
                raise ValueError(f"a bytesValue is not base64: {error}") from error
        return None


class KeyValue(Struct, rename="camel"):
    """An attribute."""

    key: str = ""
    value: AnyValue = msgspec.field(default_factory=AnyValue)


class Values(Struct):
    """A list."""

    values: list[AnyValue] = []


class Pairs(Struct):
    """A table."""

    values: list[KeyValue] = []


class Attributed(Struct, rename="camel"):
    """Whatever has attributes: a resource, a data point."""

    attributes: list[KeyValue] = []

    def pairs(self) -> list[tuple[str, Any]]:
        """Names and plain values."""
        return [(pair.key, pair.value.plain()) for pair in self.attributes]


class Scope(Struct, rename="camel"):
    """An instrumentation scope."""

    name: str = ""


class LogRecord(Attributed, rename="camel"):
    """A log record."""

    time_unix_nano: Whole = 0
    observed_time_unix_nano: Whole = 0
    severity_number: int = 0
    severity_text: str = ""
    body: AnyValue = msgspec.field(default_factory=AnyValue)
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""

    def parts(self) -> LogParts:
        """Its parts. Raises ValueError."""
        return LogParts(
            nanoseconds(self.time_unix_nano),
            nanoseconds(self.observed_time_unix_nano),
            self.severity_number,
            self.severity_text,
            self.body.plain(),
            self.pairs(),
            self.event_name,
            self.trace_id.lower(),
            self.span_id.lower(),
        )


class ScopeLogs(Struct, rename="camel"):
    """Records of a scope."""

    scope: Scope = msgspec.field(default_factory=Scope)
    log_records: list[LogRecord] = []


class ResourceLogs(Struct, rename="camel"):
    """Records of a resource."""

    resource: Attributed = msgspec.field(default_factory=Attributed)
    scope_logs: list[ScopeLogs] = []


class LogsRequest(Struct, rename="camel"):
    """ExportLogsServiceRequest."""

    resource_logs: list[ResourceLogs] = []


def read_json(body: bytes, kind: type[Request]) -> Request:
    """The request. Raises ValueError that names the place of the first mistake."""
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply: flatten it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"this is no OTLP in JSON: {error}") from error


def whole(value: Whole) -> int:
    """A 64-bit number. Raises ValueError."""
    try:
        number = int(value) if len(str(value)) <= 20 else 1 << 64
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"{str(value)[:40]} does not fit into 64 bits")
    return number


def nanoseconds(value: Whole) -> int:
    """A time. Raises ValueError for one before 1970."""
    number = whole(value)
    if number < 0:
        raise ValueError(f"{number} is a time before 1970")
    return number
