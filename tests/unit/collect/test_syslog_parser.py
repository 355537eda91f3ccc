"""The syslog parser: the columns reader and the single-message reader agree; vendors' oddities stay whole."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forestall.collect.parsers.syslog import parse_syslog, parse_syslog_lines
from forestall.collect.parsers.syslog_line import Line, read_line
from forestall.collect.parsers.syslog_original import original
from forestall.collect.parsers.syslog_scan import PAD_BYTES, scan

NOW_MS = int(datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC).timestamp() * 1000)
AT_MS = NOW_MS - 30_000
HOUR_MS = 3_600_000


def rows(lines: list[bytes], now_ms: int = NOW_MS, zone_ms: int = 0) -> list[Line]:
    """The columns as rows; `raw` is the line as it is said again from the fields."""
    columns = parse_syslog_lines(lines, now_ms, zone_ms)
    names = ("source", "host", "message", "raw", "attrs")
    for name in names:
        getattr(columns, name).validate(full=True)
    found = []
    numbers = (columns.at_ms, columns.severity, columns.facility, columns.form, columns.rest)
    for at_ms, severity, facility, form, rest, *text in zip(
        *(column.tolist() for column in numbers),
        *(getattr(columns, name).to_pylist() for name in names),
        strict=True,
    ):
        told = dict(zip(names, text, strict=True))
        told["raw"] = original(form, rest, at_ms=at_ms, severity=severity, facility=facility, **told)
        found.append(Line(at_ms, severity, facility, **told))
    return found


def defined(line: bytes, now_ms: int = NOW_MS, zone_ms: int = 0) -> Line:
    """What the line is by definition; said again, it is what was received, without the newline behind it."""
    said = line.removesuffix(b"\n").decode("utf-8", "backslashreplace")
    return read_line(line, now_ms, zone_ms)._replace(raw=said)


def row(line: bytes, now_ms: int = NOW_MS, zone_ms: int = 0) -> Line:
    """One line among plain ones, so that the columns reader is at work."""
    plain = b"<13>1 2026-11-23T10:00:00Z h a 1 - - m"
    found = rows([plain, line, plain], now_ms, zone_ms)
    assert found[0] == found[2]
    assert found[1] == defined(line, now_ms, zone_ms)
    return found[1]


def test_rfc_5424() -> None:
    line = row(
        b"<165>1 2026-11-23T10:00:00.003456Z mymachine.example.com evntslog 812 ID47 - An event \xc3\xa9"
    )
    assert line == Line(
        AT_MS + 3,
        5,
        20,
        "evntslog",
        "mymachine.example.com",
        "An event é",
        "<165>1 2026-11-23T10:00:00.003456Z mymachine.example.com evntslog 812 ID47 - An event é",
        '{"pid":"812","msgid":"ID47"}',
    )
    assert row(b"<0>1 - - - - - -") == Line(NOW_MS, 0, 0, "", "", "", "<0>1 - - - - - -", "")
    assert (
        row(b"<34>1 2026-11-23T11:00:00+01:00 h su - - - \xef\xbb\xbf'su root' failed").message
        == "'su root' failed"
    )
    assert row(b"<34>1 2026-11-23T05:30:00-04:30 h su - - - x").at_ms == AT_MS
    assert row(b"<34>1 2026-11-23T10:00:00.5Z h su - - -").at_ms == AT_MS + 500


def test_the_space_that_rsyslog_puts_before_every_message_is_no_part_of_it() -> None:
    """Its template RSYSLOG_SyslogProtocol23Format writes `- %msg%`, and %msg% begins with a space."""
    head = b"<13>1 2026-11-23T10:00:00Z h app 1 - - "
    assert row(head + b" two spaces").message == "two spaces"
    assert row(head + b"  indented").message == " indented"
    assert row(head + b" ").message == ""
    assert row(head + b" \xef\xbb\xbfmarked").message == "\ufeffmarked"


def test_structured_data_becomes_attributes() -> None:
    line = row(
        b"<165>1 2026-11-23T10:00:00Z h app 1 ID47 "
        rb'[exampleSDID@32473 iut="3" source="a \"b\" \] \\"]'
        rb'[priority@32473 class="high" ip="1" ip="2"][empty] BOM'
    )
    assert json.loads(line.attrs) == {
        "pid": "1",
        "msgid": "ID47",
        "exampleSDID@32473.iut": "3",
        "exampleSDID@32473.source": 'a "b" ] \\',
        "priority@32473.class": "high",
        "priority@32473.ip": "1,2",
        "empty": "",
    }
    assert line.message == "BOM"


def test_rfc_3164() -> None:
    line = row(b"<34>Nov 23 10:00:00 mymachine su[77]: 'su root' failed for lonvick on /dev/pts/8")
    assert line == Line(
        AT_MS,
        2,
        4,
        "su",
        "mymachine",
        "'su root' failed for lonvick on /dev/pts/8",
        "<34>Nov 23 10:00:00 mymachine su[77]: 'su root' failed for lonvick on /dev/pts/8",
        '{"pid":"77"}',
    )
    assert row(b"<13>Nov 23 10:00:00 h app: ").message == ""
    assert row(b"<13>2026-11-23T11:00:00.250+01:00 h postfix/smtpd[9]: x") == Line(
        AT_MS + 250,
        5,
        1,
        "postfix/smtpd",
        "h",
        "x",
        "<13>2026-11-23T11:00:00.250+01:00 h postfix/smtpd[9]: x",
        '{"pid":"9"}',
    )


@pytest.mark.parametrize(
    ("stamp", "received", "zone_ms", "expected"),
    [
        ("Nov 23 10:00:00", "2026-11-23T10:00:30", 0, "2026-11-23T10:00:00"),
        ("Dec 31 23:59:59", "2027-01-01T00:00:05", 0, "2026-12-31T23:59:59"),
        ("Jan  1 00:00:01", "2026-12-31T23:59:59", 0, "2027-01-01T00:00:01"),
        ("Feb 29 12:00:00", "2028-02-29T12:00:01", 0, "2028-02-29T12:00:00"),
        # the sender's own zone, when that brings it nearer; UTC when that does
        ("Nov 23 05:00:00", "2026-11-23T10:00:30", -5 * HOUR_MS, "2026-11-23T10:00:00"),
        ("Nov 23 10:00:00", "2026-11-23T10:00:30", -5 * HOUR_MS, "2026-11-23T10:00:00"),
        ("Nov 23 04:20:00", "2026-11-23T10:00:30", -5 * HOUR_MS, "2026-11-23T09:20:00"),
        ("Jan  1 04:00:00", "2026-12-31T20:00:05", 8 * HOUR_MS, "2026-12-31T20:00:00"),
    ],
)
def test_times_without_year_and_zone(stamp: str, received: str, zone_ms: int, expected: str) -> None:
    now_ms = int(datetime.fromisoformat(received + "+00:00").timestamp() * 1000)
    line = row(f"<13>{stamp} h app: m".encode(), now_ms, zone_ms)
    assert datetime.fromtimestamp(line.at_ms / 1000, UTC).isoformat()[:19] == expected


@pytest.mark.parametrize(
    "stamp",
    [
        "Nov 23 12:00:00",
        "Nov 10 10:00:00",
        "Jun  1 10:00:00",
        "Feb 30 10:00:00",
        "Nov 23 25:00:00",
        "2026-11-23T18:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
    ],
)
def test_a_time_that_cannot_be_is_the_time_of_receiving_and_the_line_is_kept(stamp: str) -> None:
    line = f"<13>{stamp} h app[1]: m".encode()
    found = row(line)
    assert (found.at_ms, found.raw) == (NOW_MS, line.decode())
    assert (found.source, found.host, found.message) == ("app", "h", "m")


FORTIGATE = (
    b'date=2026-11-23 time=11:00:00 devname="FGT 60F" devid="X" eventtime=1795428000000000000 '
    b'tz="+0100" type="traffic"'
)
ODDITIES = {
    "cisco asa": (
        b"<166>Nov 23 2026 10:00:00 fw1 : %ASA-6-302013: Built outbound TCP",
        ("ASA", "fw1", "%ASA-6-302013: Built outbound TCP", AT_MS, False),
    ),
    "cisco asa without a host": (
        b"<166>Nov 23 2026 10:00:00: %ASA-6-302013: Built",
        ("ASA", "", "%ASA-6-302013: Built", AT_MS, False),
    ),
    "cisco asa bare": (
        b"<166>%ASA-6-302013: Built",
        ("ASA", "", "%ASA-6-302013: Built", NOW_MS, False),
    ),
    "cisco ios sequence": (
        b"<189>45: *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: Configured from console",
        ("SYS", "", "%SYS-5-CONFIG_I: Configured from console", AT_MS + 123, True),
    ),
    "cisco ios host and zone": (
        b"<189>45: router1: Nov 23 10:00:00.123 UTC: %LINK-3-UPDOWN: Interface down",
        ("LINK", "router1", "%LINK-3-UPDOWN: Interface down", AT_MS + 123, True),
    ),
    "cisco nexus": (
        b"<189>: 2026 Nov 23 10:00:00 UTC: %ETHPORT-5-IF_UP: up",
        ("ETHPORT", "", "%ETHPORT-5-IF_UP: up", AT_MS, False),
    ),
    "fortigate": (
        b"<189>" + FORTIGATE,
        (
            "fortigate",
            "FGT 60F",
            FORTIGATE.decode(),
            AT_MS,
            False,
        ),
    ),
    "no host name": (b"<13>Nov 23 10:00:00 su: failed", ("su", "", "failed", AT_MS, False)),
    "no host name with a process": (b"<13>Nov 23 10:00:00 su[4]: x", ("su", "", "x", AT_MS, False)),
    "no tag": (
        b"<13>Nov 23 10:00:00 myhost something happened",
        ("", "myhost", "something happened", AT_MS, True),
    ),
    "no time": (b"<13>myapp[3]: hello", ("myapp", "", "hello", NOW_MS, False)),
    "only text": (b"<13>hello there", ("", "", "hello there", NOW_MS, False)),
    "no pri": (b"Nov 23 10:00:00 h app: m", ("app", "h", "m", AT_MS, True)),
    "no pri, only text": (b"hello: there", ("", "", "hello: there", NOW_MS, False)),
    "pri too large": (b"<999>1 - h a - - - m", ("", "", "<999>1 - h a - - - m", NOW_MS, False)),
    "ipv6 host": (b"<13>Nov 23 10:00:00 fe80::1 app: m", ("app", "fe80::1", "m", AT_MS, False)),
    "byte order mark": (b"\xef\xbb\xbf<13>Nov 23 10:00:00 h app: m", ("app", "h", "m", AT_MS, True)),
    "invalid utf-8": (b"<13>Nov 23 10:00:00 h app: caf\xe9", ("app", "h", "caf�", AT_MS, True)),
    "iso without zone": (b"<13>2026-11-23 10:00:00,123 h app: m", ("app", "h", "m", AT_MS + 123, False)),
    "year behind": (b"<13>Nov 23 10:00:00 2026 h app: m", ("app", "h", "m", AT_MS, False)),
    "nothing": (b"", ("", "", "", NOW_MS, False)),
    "nothing but a pri": (b"<13>", ("", "", "", NOW_MS, False)),
    "5424 that is none": (b"<13>1 hello", ("", "", "1 hello", NOW_MS, False)),
    "line end": (b"<13>Nov 23 10:00:00 h app: m\r\n", ("app", "h", "m", AT_MS, False)),
    "many lines": (b"<13>Nov 23 10:00:00 h app: a\n b", ("app", "h", "a\n b", AT_MS, False)),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities(name: str) -> None:
    line, (source, host, message, at_ms, kept) = ODDITIES[name]
    found = row(line)
    assert (found.source, found.host, found.message, found.at_ms) == (source, host, message, at_ms)
    assert bool(read_line(line, NOW_MS).raw) is kept


def test_a_field_without_measure_is_cut_and_the_line_is_kept() -> None:
    line = b"<13>1 2026-11-23T10:00:00Z %s %s - - - m" % (b"h" * 300, b"a" * 300)
    found = row(line)
    assert (len(found.host), len(found.source), found.raw) == (255, 128, line.decode())


def test_a_character_cut_by_the_end_of_a_message_spoils_no_neighbour() -> None:
    lines = [
        b"<13>Nov 23 10:00:00 h app: \xc3",
        b"\xa9<13>Nov 23 10:00:00 h app: m",
        b"<13>Nov 23 10:00:00 h app: \xc3\xa9",
    ]
    assert rows(lines) == [defined(line) for line in lines]


WORD = st.text("abcXYZ019._-/%", min_size=1, max_size=12)
STAMP = st.sampled_from(
    [
        "Nov 23 10:00:00",
        "Nov  3 01:02:03",
        "Nov 03 01:02:03",
        "nov 23 10:00:00",
        "Nov 23 10:00:60",
        "Feb 29 00:00:00",
        "2026-11-23T10:00:00Z",
        "2026-11-23T10:00:00.123456+01:00",
        "2026-11-23T10:00:00.-01:00",
        "2026-11-23T10:00:00",
        "2026-11-23 10:00:00",
        "Nov 23 2026 10:00:00",
        "*Nov 23 10:00:00.1",
        "-",
        "2027-02-30T00:00:00Z",
        "2026-11-23T10:00:00+24:00",
        "2026-11-23T10:00:00.1234567891Z",
        "0000-11-23T10:00:00Z",
    ]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
HEAD = st.sampled_from(
    ["<13>", "<191>", "<192>", "<1>", "<013>", "<>", "<1234>", "<1a>", "", "\ufeff<13>", "<13> "]
)
MODERN = st.builds(
    lambda pri, version, *fields: f"{pri}{version}{' '.join(fields[:-1])}{fields[-1]}",
    HEAD,
    st.sampled_from(["1 ", "1 ", "1 ", "2 ", "1  "]),
    STAMP,
    WORD | st.just("-"),
    WORD | st.just("-"),
    st.sampled_from(["-", "12", 'a"b', "x\\", "é", "", "\x01"]),
    st.sampled_from(["-", "ID1", 'q"', ""]),
    st.sampled_from(
        ["-", "- ", "[a]", '[a b="c"] ', '[a b="c', "[", "-x", '[a b="c"]x', '[a@1 b="\\"" c="d"][e] \ufeff']
    ),
    TEXT,
)
LEGACY = st.builds(
    lambda *parts: "".join(parts),
    HEAD,
    st.sampled_from(["", "", "", "12: ", "r1: ", "12: r1: ", ": "]),
    STAMP,
    st.sampled_from([" ", " ", "  ", ": ", ""]),
    st.sampled_from(["", "host ", "host  ", "2026 ", "20ab ", "a:b ", "h: ", "[h] ", "%h "])
    | WORD.map(lambda word: word + " "),
    WORD | st.sampled_from(["", "t" * 64, "t" * 65, "é", "\u2028"]),
    st.sampled_from(["", "", "[1]", "[a]", "[]", "[12345678901]", "[1", "[1]]"]),
    st.sampled_from([": ", ": ", ":", " ", "", " : ", "::"]),
    TEXT,
)
LINE = (MODERN | LEGACY).map(str.encode) | st.binary(max_size=60)
TORN = st.tuples(LINE, st.integers(0, 90)).map(lambda pair: pair[0][: pair[1]])


@settings(max_examples=400, deadline=None)
@given(
    lines=st.lists(LINE | TORN, min_size=1, max_size=12),
    now_ms=st.sampled_from([NOW_MS, NOW_MS + 20 * 86_400_000, NOW_MS + 100 * 86_400_000, 0]),
    zone_ms=st.sampled_from([0, HOUR_MS, -5 * HOUR_MS]),
)
@example(lines=[b""], now_ms=0, zone_ms=0)
@example(lines=[b"<13>Nov 23 10:00:00 h t[1"], now_ms=NOW_MS, zone_ms=0)
def test_both_readers_agree_on_anything(lines: list[bytes], now_ms: int, zone_ms: int) -> None:
    plain = b"<13>Nov 23 10:00:00 h a[1]: m"
    assert rows([*lines, plain], now_ms, zone_ms) == [
        defined(line, now_ms, zone_ms) for line in [*lines, plain]
    ]


def test_plain_messages_take_the_fast_way() -> None:
    lines = [
        b"<13>Nov 23 10:00:00 h a[1]: m",
        b"<13>Nov 23 10:00:00 h a: m\xc3\xa9",
        b"<13>2026-11-23T10:00:00+01:00 h a[1]: m",
        b"<13>1 2026-11-23T10:00:00.1Z h a 1 - - m",
        b"<13>1 - - - - - -",
        b"<13>1 2027-11-23T10:00:00.1Z h a 1 - - m",
    ]
    count = len(lines)
    found = scan(
        np.frombuffer(b"".join(lines) + bytes(PAD_BYTES), np.uint8),
        np.cumsum([0, *map(len, lines)]),
        np.full(count, NOW_MS),
        np.full(count, 0),
    )
    assert found.plain.tolist() == [True] * count


def test_times_of_receiving_and_zones_are_per_message() -> None:
    lines = [b"<13>Nov 23 05:00:00 h a: m", b"<13>Nov 23 10:00:00 h a: m", b"<13>hello"]
    offsets = np.cumsum([0, *map(len, lines)])
    columns = parse_syslog(
        b"".join(lines),
        offsets,
        received_at_ms=np.array([NOW_MS, NOW_MS, NOW_MS + 7]),
        zone_ms=np.array([-5 * HOUR_MS, 0, 0]),
    )
    assert columns.at_ms.tolist() == [AT_MS, AT_MS, NOW_MS + 7]
    with pytest.raises(ValueError, match="at most"):
        parse_syslog(bytes((1 << 30) + 1), np.array([0]), received_at_ms=np.array([], np.int64))
