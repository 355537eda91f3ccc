"""Which field of a pushed record means what, whoever made it, and how its text is understood. Pure.

Used by the formats whose records are objects of named fields (`jsonlines`, `elasticsearch`, `loki`). Names
are flattened with dots. The earlier name of a role wins; what no role takes becomes an attribute.

Sources: VictoriaLogs "Data ingestion", Elastic Common Schema 8, OpenTelemetry Logs Data Model
(SeverityNumber), RFC 5424 section 6.2.1, systemd.journal-fields(7), rsyslog StdJSONFmt, pino and bunyan.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

EARLY_MAX_MS = 5 * 60_000
LATE_MAX_MS = 30 * 86_400_000  # the store keeps days apart: one body must not touch hundreds of them
DEFAULT_SEVERITY = 6  # nobody said that it matters
DEFAULT_FACILITY = 1  # user
SOURCE_MAX_BYTES = 128
HOST_MAX_BYTES = 255
ATTR_NAME_MAX_BYTES = 128
ATTRS_MAX_COUNT = 128
ATTRS_MAX_BYTES = 16_384


class Role(IntEnum):
    """What a field is for."""

    ATTR = 0
    MESSAGE = 1
    TIME = 2
    HOST = 3
    SOURCE = 4
    SEVERITY = 5
    FACILITY = 6


ROLES = len(Role)

_KNOWN: dict[Role, tuple[str, ...]] = {
    Role.MESSAGE: ("_msg", "message", "msg", "log", "body", "MESSAGE", "short_message"),
    Role.TIME: (
        "_time", "@timestamp", "timestamp", "time", "ts", "timereported", "__REALTIME_TIMESTAMP", "date",
    ),
    Role.HOST: (
        "host", "hostname", "host.name", "host.hostname", "_HOSTNAME", "fromhost", "node_name", "node",
        "instance",
    ),
    Role.SOURCE: (
        "source", "app_name", "appname", "program", "programname", "ident", "service.name", "service_name",
        "service", "application", "app", "SYSLOG_IDENTIFIER", "container_name", "container.name",
        "kubernetes.container_name", "kubernetes.container.name", "_SYSTEMD_UNIT", "unit", "systemd.unit",
        "_COMM", "process.name", "job", "logger", "log.file.path", "filename",
    ),
    Role.SEVERITY: (
        "severity", "level", "pri", "log.level", "PRIORITY", "priority", "severity_text", "severityText",
        "detected_level", "levelname", "loglevel", "log_level", "lvl", "severity_number", "severityNumber",
        "log.syslog.severity.code", "log.syslog.priority",
    ),
    Role.FACILITY: (
        "facility", "SYSLOG_FACILITY", "log.syslog.facility.code", "syslog.facility",
        "log.syslog.facility.name",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """The role and the rank (lower wins) of each field name."""

    roles: dict[str, tuple[Role, int]]


@lru_cache(maxsize=256)
def names_with(
    *, message: tuple[str, ...] = (), time: tuple[str, ...] = (), source: tuple[str, ...] = ()
) -> Names:
    """The known names; these of the request are ahead of them for message and time, behind them for source.

    Raises ValueError for more than 16 names, or longer ones than ATTR_NAME_MAX_BYTES.
    """
    for asked in (message, time, source):
        if len(asked) > 16 or any(len(name.encode()) > ATTR_NAME_MAX_BYTES for name in asked):
            raise ValueError(
                f"a request names at most 16 fields of {ATTR_NAME_MAX_BYTES} bytes for a purpose"
            )
    order = {
        Role.MESSAGE: (*message, *_KNOWN[Role.MESSAGE]),
        Role.TIME: (*time, *_KNOWN[Role.TIME]),
        **{role: _KNOWN[role] for role in (Role.HOST, Role.SEVERITY, Role.FACILITY)},
        Role.SOURCE: (*_KNOWN[Role.SOURCE], *source),
    }
    roles: dict[str, tuple[Role, int]] = {}
    for role, ranked in order.items():
        for rank, name in enumerate(ranked):
            roles.setdefault(name, (role, rank))
    return Names(roles)


_WORDS = {
    word: severity
    for severity, words in enumerate(
        (
            "emerg emergency panic system_unusable",
            "alert",
            "crit critical fatal dpanic",
            "err error eror severe failure failed",
            "warn warning wrn",
            "notice note",
            "info inf information informational log default success audit ok",
            "debug dbg trace trc verbose fine finer finest config",
        )
    )
    for word in words.split()
} | {"f": 2, "e": 3, "w": 4, "n": 5, "i": 6, "d": 7, "t": 7, "v": 7}

_FACILITIES = {
    word: number
    for number, words in enumerate(
        (
            "kern kernel", "user", "mail", "daemon", "auth security", "syslog", "lpr", "news", "uucp", "cron",
            "authpriv", "ftp", "ntp", "logaudit", "logalert", "clock", "local0", "local1", "local2", "local3",
            "local4", "local5", "local6", "local7",
        )
    )
    for word in words.split()
}  # fmt: skip
_WHOLE = re.compile(r"\d{1,3}(?:\.0)?")
_PRI_NAMES = {"pri", "log.syslog.priority"}
_OTEL_NAMES = {"severity_number", "severityNumber"}
_OTEL = {0: 7, 1: 7, 2: 6, 3: 4, 4: 3, 5: 2}  # TRACE, DEBUG, INFO, WARN, ERROR, FATAL by (number - 1) // 4
_PINO = {10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2}


def read_severity(name: str, text: str) -> tuple[int, int] | None:
    """Severity and facility (-1 when it says none) of the value of a field, or None when it is neither a
    known word nor a known number."""
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        word = text.casefold()
        if name in _OTEL_NAMES:  # its JSON may name the number: SEVERITY_NUMBER_WARN2
            word = word.removeprefix("severity_number_").rstrip("1234")
        severity = _WORDS.get(word)
        return None if severity is None else (severity, -1)
    number = int(text.partition(".")[0])
    if name in _PRI_NAMES:
        return (number & 7, number >> 3) if number <= 191 else None
    if name in _OTEL_NAMES:
        return (_OTEL[(number - 1) // 4], -1) if 1 <= number <= 24 else None
    if number <= 7:
        return number, -1
    return (_PINO[number], -1) if number in _PINO else None


def read_facility(text: str) -> int | None:
    """The facility of a word or a number, or None when it is none."""
    text = text.strip()
    if _WHOLE.fullmatch(text):
        number = int(text.partition(".")[0])
        return number if number <= 23 else None
    return _FACILITIES.get(text.casefold())


def read_host(name: str, text: str) -> str:
    """The host name of the value of a field; Prometheus's `instance` has a port behind it."""
    text = text.strip()
    if name == "instance" and text.count(":") <= text.startswith("["):
        return text
    if name == "instance":
        host, _, port = text.rpartition(":")
        if port.isdecimal() and (host.count(":") == 0 or host.endswith("]")):
            return host.strip("[]")
    return text


_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d{0,9})?"
    r"(?: ?([Zz]|UTC|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)
_EPOCH = re.compile(r"(\d{9,19})(?:\.(\d{1,18}))?", re.ASCII)
_DIGITS = {9: 0, 10: 0, 12: 3, 13: 3, 15: 6, 16: 6, 18: 9, 19: 9}  # of seconds, ms, µs, ns since 1970
_SCIENTIFIC = re.compile(r"\d(?:\.\d{1,18})?[eE]\+?0?([89]|1[0-8])", re.ASCII)


def read_time(text: str) -> int | None:
    """Milliseconds since 1970, cut, of an RFC 3339 time (without a zone: UTC) or of the seconds,
    milliseconds, microseconds or nanoseconds since 1970 (told by how many digits); None when it is none."""
    text = text.strip()
    if found := _STAMP.fullmatch(text):
        return _read_stamp(found)
    if found := _EPOCH.fullmatch(text):
        digits = _DIGITS.get(len(found[1]))
        if digits is None:
            return None
        if digits:
            return int(found[1][: len(found[1]) - digits + 3])
        return int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0")[:3])
    if _SCIENTIFIC.fullmatch(text):
        return read_time(f"{float(text):.3f}")
    return None


def _read_stamp(found: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    zone = found[8] or "Z"
    offset = 0
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or "0")
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (-60_000 if zone[0] == "-" else 60_000)
    seconds = (at - _EPOCH_START).days * 86_400 + (at - _EPOCH_START).seconds
    return seconds * 1000 + int((found[7] or "").ljust(3, "0")[:3]) - offset


_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


def is_believed(at_ms: int, received_at_ms: int) -> bool:
    """Whether a record may be of that time; else it counts as of when it was received."""
    return received_at_ms - LATE_MAX_MS <= at_ms <= received_at_ms + EARLY_MAX_MS
