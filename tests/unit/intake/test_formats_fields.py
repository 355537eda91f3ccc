"""What the fields of pushed records mean."""

import pytest

from forestall.intake.formats.fields import (
    Role,
    names_with,
    read_facility,
    read_host,
    read_severity,
    read_time,
)
from forestall.intake.formats.json_record import read_record
from forestall.intake.formats.jsonlines import names_of, read

NOW = 1_795_413_600_000  # 2026-11-23T06:00:00Z


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-11-23T06:00:00Z", NOW),
        ("2026-11-23t06:00:00.25z", NOW + 250),
        ("2026-11-23 06:00:00,123456789", NOW + 123),
        ("2026-11-23T06:00:00.123456789123Z", NOW + 123),
        ("2026-11-23T07:30:00+0130", NOW),
        ("2026-11-23T04:00:00-02", NOW),
        ("1795413600", NOW),
        ("1795413600.5", NOW + 500),
        ("1795413600123", NOW + 123),
        ("1795413600123456", NOW + 123),
        ("1795413600123456789", NOW + 123),
        ("1.7954136e9", NOW),
        ("1.7954136E+12", NOW),
        ("2026-02-30T06:00:00Z", None),
        ("2026-11-23T06:00:00+24:00", None),
        ("2026-11-23", None),
        ("17954136001", None),
        ("-1795413600", None),
        ("soon", None),
        ("", None),
        ("٢٠٢٦-11-23T06:00:00Z", None),
    ],
)
def test_times(text: str, at_ms: int | None) -> None:
    assert read_time(text) == at_ms


@pytest.mark.parametrize(
    ("name", "text", "meant"),
    [
        ("level", "Warning", (4, -1)),
        ("level", "error", (3, -1)),
        ("level", "50", (3, -1)),
        ("level", "3", (3, -1)),
        ("level", "8", None),
        ("pri", "190", (6, 23)),
        ("pri", "192", None),
        ("severity_number", "17", (3, -1)),
        ("severityNumber", "SEVERITY_NUMBER_WARN2", (4, -1)),
        ("severity_number", "0", None),
        ("PRIORITY", "6", (6, -1)),
        ("level", "W", (4, -1)),
        ("level", "purple", None),
        ("level", "", None),
    ],
)
def test_severities(name: str, text: str, meant: tuple[int, int] | None) -> None:
    assert read_severity(name, text) == meant


def test_facilities_and_hosts() -> None:
    assert [read_facility(text) for text in ("daemon", "LOCAL7", "4", "24", "x", "")] == [
        3,
        23,
        4,
        None,
        None,
        None,
    ]
    assert read_host("instance", "db1:9100") == "db1"
    assert read_host("instance", "[fe80::1]:9100") == "fe80::1"
    assert read_host("instance", "fe80::1") == "fe80::1"
    assert read_host("instance", "db1") == "db1"
    assert read_host("host", "db1:9100") == "db1:9100"


def test_the_earlier_name_wins_and_the_other_becomes_an_attribute() -> None:
    record = read_record(
        b'{"msg":"second","_msg":"first","host":{"name":"h"},"level":"warn","time":"bad","app":"a","job":"j"}',
        names_with(),
        NOW,
    )
    assert record == (
        NOW, 4, 1, "h", "a", "first", "", '{"msg":"second","time":"bad","job":"j"}',
    )  # fmt: skip


def test_a_time_that_is_not_believed_is_kept_as_an_attribute() -> None:
    record = read_record(b'{"_msg":"x","_time":"2020-01-01T00:00:00Z"}', names_with(), NOW)
    assert (record.at_ms, record.attrs) == (NOW, '{"_time":"2020-01-01T00:00:00Z"}')


def test_what_is_cut_keeps_the_record_as_it_came() -> None:
    line = b'{"_msg":"x","host":"' + b"h" * 300 + b'"}'
    record = read_record(line, names_with(), NOW)
    assert (record.host, record.raw) == ("h" * 255, line.decode())


def test_a_record_without_a_message_is_its_own() -> None:
    assert read_record(b' {"user":"bob"} ', names_with(), NOW)[5:] == ('{"user":"bob"}', "", '{"user":"bob"}')


def test_parameters_name_fields() -> None:
    names = names_of(message="event.text, text", time="when", stream="tenant")
    assert names.roles["event.text"] == (Role.MESSAGE, 0)
    found = read(
        b'{"event":{"text":"hello"},"when":"2026-11-23T05:00:00Z","tenant":"blue","message":"other"}\n{"a":\n',
        names,
        received_at_ms=NOW,
    )
    logs = found.pushed.logs
    assert logs.message.to_pylist() == ["hello"]
    assert logs.at_ms.tolist() == [NOW - 3_600_000]
    assert logs.source.to_pylist() == ["blue"]
    assert logs.attrs.to_pylist() == ['{"message":"other"}']
    assert found.refused_count == 1
    assert found.refused[0].place == 1
    assert "not JSON" in found.refused[0].reason
    with pytest.raises(ValueError, match="at most 16"):
        names_of(message=",".join(f"f{k}" for k in range(17)))
