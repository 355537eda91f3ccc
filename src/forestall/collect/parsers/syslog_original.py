"""The line as it was received, from the fields that it was read into. Pure.

`form` says how a line was written; PREFIX: what stands before the message is kept as it was (`raw`);
0: `raw` is the whole line, or there never was one (a record of an agent). Otherwise a number made of the zone
(minutes ahead of UTC, plus 1440), digits of the fraction, and flags; `rest` is what the fraction says beyond
milliseconds.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from forestall.collect.parsers.syslog_time import MONTHS

PREFIX = 1
FORM_5424, FORM_ISO, FORM_BSD = 2, 3, 4  # RFC 5424; RFC 3164 with a time of RFC 3339, with its own
BSD = 8  # the zone is written Z; for FORM_BSD: the day has a leading zero
TIMELESS = 16
BARE = 32  # nothing follows, not even the space before an empty message
SPACED = 64  # a further space stands before the message
_KIND, _FLAGS = 7, 128


def original(
    form: int, rest: int, *, at_ms: int, severity: int, facility: int, source: str, host: str, message: str,
    raw: str, attrs: str,
) -> str:  # fmt: skip
    """The line, or "" when there never was one."""
    if form == 0:
        return raw
    if form == PREFIX:
        return raw + message
    told: dict[str, str] = msgspec.json.decode(attrs) if attrs else {}
    zone, digits = divmod(form // _FLAGS, 10)
    stamp = "-" if form & TIMELESS else _stamp(form, at_ms, zone - 1440, digits, rest)
    tail = "" if form & BARE else f"  {message}" if form & SPACED else f" {message}"
    kind = form & _KIND
    if kind == FORM_5424:
        fields = (stamp, host, source, told.get("pid", ""), told.get("msgid", ""))
        return f"<{facility * 8 + severity}>1 " + " ".join(field or "-" for field in fields) + " -" + tail
    pid = f"[{told['pid']}]" if "pid" in told else ""
    return f"<{facility * 8 + severity}>{stamp} {host} {source}{pid}:{tail}"


def _stamp(form: int, at_ms: int, zone: int, digits: int, rest: int) -> str:
    at = datetime.fromtimestamp(at_ms // 1000, UTC) + timedelta(minutes=zone)
    if form & _KIND == FORM_BSD:
        day = f"{at.day:02d}" if form & BSD else f"{at.day:2d}"
        return f"{MONTHS[at.month - 1].decode()} {day} {at:%H:%M:%S}"
    fraction = ""
    if digits:
        written = f"{at_ms % 1000:03d}" + (f"{rest:0{digits - 3}d}" if digits > 3 else "")
        fraction = "." + written[:digits]
    hours, minutes = divmod(abs(zone), 60)
    end = "Z" if form & BSD else f"{'-' if zone < 0 else '+'}{hours:02d}:{minutes:02d}"
    return f"{at.year:04d}-{at:%m-%dT%H:%M:%S}{fraction}{end}"
