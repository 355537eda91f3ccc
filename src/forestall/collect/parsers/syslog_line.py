"""One syslog message, whatever a vendor made of it: the definition of what `parsers.syslog` reads.

The columns reader passes on to here every message that is not plainly RFC 5424 or RFC 3164, and reads the
plain ones to the same result. A message is never refused: what is not understood stays in `message`, and
`raw` keeps the line whenever the other fields do not say all of it.

Sources: RFC 5424 section 6, RFC 3164 sections 4 and 5, Cisco IOS "System Message Logging" and ASA "Syslog
Messages" guides (sequence numbers, `%FACILITY-SEVERITY-MNEMONIC`), FortiOS "Log Message Reference".
"""

import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

from forestall.collect.parsers.syslog_time import BSD, ISO, believed, read_bsd, read_iso

SOURCE_MAX_BYTES = 128
HOST_MAX_BYTES = 255
TAG_MAX_BYTES = 64
ATTRS_MAX_BYTES = 16_384
DEFAULT_FACILITY = 1  # RFC 3164 section 4.3.3: without a PRI it is user.notice
DEFAULT_SEVERITY = 5

BOM = b"\xef\xbb\xbf"

_PRI = re.compile(rb"<(\d{1,3})>")
_MONTH = rb"[*.]?(?:\d{4} )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
_CISCO_LEAD = re.compile(
    rb"(?:(\d{1,12}): ?)?(?:([^ :\[=%]{1,255}): )?:? ?(?=" + _MONTH + rb"|%[A-Z])"
)  # sequence number, host name
_CISCO = re.compile(rb"%([A-Z][A-Z0-9_]{0,63})(?:-[A-Z0-9_]+)*-[0-7]-[A-Z0-9_]+")
_TAG = re.compile(rb"([^ :\[]{1,64})(?:\[([^\] ]{1,32})\])?:(?: |\Z)")
_HOST = re.compile(rb"([^ \[%][^ \[]*) +(?=[^ ])")
_KEY_VALUES = re.compile(rb"(?:date|logver|devname|devid|timestamp)=")
_PAIR = re.compile(rb'(?:^| )(date|time|devname|tz|eventtime)=(?:"([^"]*)"|([^ "]*))')
_SD_ELEMENT = re.compile(rb'\[([^ =\]"]{1,255})((?: +[^ =\]"]{1,255}="(?:[^"\\\]]|\\.)*")*) *\]', re.DOTALL)
_SD_PARAM = re.compile(rb' +([^ =\]"]{1,255})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_SD_ESCAPE = re.compile(rb'\\(["\\\]])')


class Line(NamedTuple):
    """One message in fields; as a row of `parsers.syslog.SyslogColumns`."""

    at_ms: int
    severity: int
    facility: int
    source: str
    host: str
    message: str
    raw: str
    attrs: str


class _Parts(NamedTuple):
    """What a reader found. `odd`: the line has something that these do not say."""

    at_ms: int
    source: bytes = b""
    host: bytes = b""
    message: bytes = b""
    odd: bool = False
    attrs: str = ""


def read_line(line: bytes, received_at_ms: int, zone_ms: int = 0) -> Line:
    """Any bytes as a message. `zone_ms`: how far the sender's clock is ahead of UTC if it tells no zone."""
    text = line.rstrip(b"\r\n\0")
    bom = text.startswith(BOM)
    if bom:
        text = text[len(BOM) :]
    pri = _PRI.match(text)
    value = int(pri[1]) if pri else -1
    if pri and value <= 191:
        facility, severity = value >> 3, value & 7
        rest = text[pri.end() :]
        parts = _read_5424(rest, received_at_ms, zone_ms) if rest.startswith(b"1 ") else None
        parts = parts or _read_legacy(rest, received_at_ms, zone_ms)
        whole = rest
    else:
        facility, severity = DEFAULT_FACILITY, DEFAULT_SEVERITY
        parts = _read_bare(text, received_at_ms, zone_ms)
        whole = text
    source, host = parts.source[:SOURCE_MAX_BYTES], parts.host[:HOST_MAX_BYTES]
    odd = parts.odd or bom or len(source) < len(parts.source) or len(host) < len(parts.host)
    try:
        line.decode()
    except UnicodeDecodeError:
        odd = True
    else:
        odd = odd and parts.message != whole
    return Line(
        parts.at_ms,
        severity,
        facility,
        _text(source),
        _text(host),
        _text(parts.message),
        line.decode("utf-8", "backslashreplace") if odd else "",
        parts.attrs,
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _read_5424(rest: bytes, received_at_ms: int, zone_ms: int) -> _Parts | None:
    """`rest` starts with the version. None when it has not the fields of RFC 5424."""
    fields = rest.split(b" ", 6)
    if len(fields) < 7 or not all(fields[:6]):
        return None
    _, stamp, host, source, process, message_id, tail = fields
    structured: str | None
    if tail[:1] == b"-" and tail[1:2] in (b"", b" "):
        structured, tail, odd = "", tail[2:], False
    else:
        end = _end_of_structured(tail)
        if end == 0 or tail[end : end + 1] not in (b"", b" "):
            return None
        structured = _structured_pairs(tail[:end])
        tail, odd = tail[end + 1 :], structured is None
    at_ms: int | None = received_at_ms
    if stamp != b"-":
        found = ISO.fullmatch(stamp)
        at_ms = read_iso(found, received_at_ms, zone_ms) if found else None
    pairs = {}
    if process != b"-":
        pairs["pid"] = _text(process)
    if message_id != b"-":
        pairs["msgid"] = _text(message_id)
    if structured:
        pairs |= msgspec.json.decode(structured, type=dict[str, str])
    return _Parts(
        received_at_ms if at_ms is None else at_ms,
        b"" if source == b"-" else source,
        b"" if host == b"-" else host,
        tail.removeprefix(BOM).removeprefix(b" "),  # rsyslog's %msg% begins with a space of its own
        odd or at_ms is None,
        _json(pairs),
    )


def _end_of_structured(tail: bytes) -> int:
    """Where the elements at the start of `tail` end; 0 when there is none."""
    at = 0
    while found := _SD_ELEMENT.match(tail, at):
        at = found.end()
    return at


@lru_cache(maxsize=4096)
def _structured_pairs(text: bytes) -> str | None:
    """STRUCTURED-DATA as a JSON object: `id.name` of each parameter; a name that comes again is joined with
    commas. None when it is larger than ATTRS_MAX_BYTES."""
    pairs: dict[str, str] = {}
    for element in _SD_ELEMENT.finditer(text):
        name = _text(element[1])
        if not element[2]:
            pairs.setdefault(name, "")
        for param in _SD_PARAM.finditer(element[2]):
            key, value = f"{name}.{_text(param[1])}", _text(_SD_ESCAPE.sub(rb"\1", param[2]))
            pairs[key] = f"{pairs[key]},{value}" if key in pairs else value
    encoded = _json(pairs)
    return encoded if len(encoded) <= ATTRS_MAX_BYTES else None


def _json(pairs: dict[str, str]) -> str:
    return msgspec.json.encode(pairs).decode() if pairs else ""


def _read_bare(text: bytes, received_at_ms: int, zone_ms: int) -> _Parts:
    """A line without a PRI: as a log file has it when it starts with a time, else a text."""
    if ISO.match(text) or BSD.match(text):
        return _read_legacy(text, received_at_ms, zone_ms)._replace(odd=True)
    return _Parts(received_at_ms, message=text, odd=True)


def _read_legacy(rest: bytes, received_at_ms: int, zone_ms: int) -> _Parts:
    """What stands behind a PRI, in the manner of RFC 3164 and of those who took it as a suggestion."""
    rest = rest.lstrip(b" ")
    if _KEY_VALUES.match(rest):
        return _read_key_values(rest, received_at_ms)
    host, odd = b"", False
    iso, bsd = ISO.match(rest), BSD.match(rest)
    if not iso and not bsd and (lead := _CISCO_LEAD.match(rest)) and lead.end():
        host, odd = lead[2] or b"", lead[1] is not None
        rest = rest[lead.end() :]
        bsd = BSD.match(rest)
    stamp = iso or bsd
    if not stamp:
        return _read_content(rest, received_at_ms, host=host, odd=odd)
    at_ms = (read_iso if iso else read_bsd)(stamp, received_at_ms, zone_ms)
    if at_ms is None:
        at_ms, odd = received_at_ms, True
    rest = rest[stamp.end() :]
    if rest.startswith(b":"):  # Cisco: no host name
        return _read_content(rest[1:].lstrip(b" "), at_ms, host=host, odd=odd)
    rest = rest.lstrip(b" ")
    named = _HOST.match(rest)
    if named and not named[1].endswith(b":"):
        host, rest = named[1], rest[named.end() :]
        if rest.startswith(b": "):  # Cisco ASA: a colon of its own behind the host name
            rest = rest[2:].lstrip(b" ")
        parts = _read_content(rest, at_ms, host=host, odd=odd)
        return parts if parts.source else parts._replace(odd=True)  # perhaps it was not a host name
    return _read_content(rest, at_ms, host=host, odd=odd)


def _read_content(rest: bytes, at_ms: int, *, host: bytes, odd: bool) -> _Parts:
    """Program, process and message."""
    if cisco := _CISCO.match(rest):
        return _Parts(at_ms, cisco[1], host, rest, odd)
    if tag := _TAG.match(rest):
        attrs = _json({"pid": _text(tag[2])}) if tag[2] else ""
        return _Parts(at_ms, tag[1], host, rest[tag.end() :], odd, attrs)
    return _Parts(at_ms, b"", host, rest, odd)


def _read_key_values(rest: bytes, received_at_ms: int) -> _Parts:
    """FortiGate and its like: the whole text is the message; host and time are found in it."""
    found = {name: quoted or plain for name, quoted, plain in _PAIR.findall(rest[:4096])}
    at_ms: int | None = None
    when = b"%sT%s%s" % (found.get(b"date", b""), found.get(b"time", b""), found.get(b"tz", b""))
    ticks = found.get(b"eventtime", b"")
    if ticks.isdigit() and len(ticks) in (10, 13, 16, 19):  # s, ms, us or ns since 1970
        at_ms = believed(int(ticks.ljust(13, b"0")[:13]), received_at_ms)
    elif b"tz" in found and (stamp := ISO.fullmatch(when)):
        at_ms = read_iso(stamp, received_at_ms, 0)
    return _Parts(
        received_at_ms if at_ms is None else at_ms,
        b"fortigate" if b"devname" in found else b"",
        found.get(b"devname", b""),
        rest,
    )
