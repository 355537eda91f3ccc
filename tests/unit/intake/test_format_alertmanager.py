"""Alerts of other programs: what becomes of them, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.intake.formats.alertmanager import read
from forestall.intake.pushed import decode_pushed, encode_pushed

NOW = 1_789_997_600_000  # 2026-09-21T13:33:20Z
LABELS = {"alertname": "DiskFull", "instance": "srv1:9100", "job": "node", "severity": "page"}
FIRING = {
    "labels": LABELS,
    "annotations": {"description": "more", "summary": "the disk of srv1\n is full"},
    "startsAt": "2026-09-21T13:00:00.123456789Z",
    "endsAt": "2026-09-21T13:37:00Z",
    "generatorURL": "http://prometheus/graph",
}
TARGET = 'DiskFull{instance=":9100",job="node",severity="page"}'


def outcomes(reading):
    """What travels."""
    return decode_pushed(encode_pushed(reading.pushed)).outcomes


def only(*alerts):
    """The outcome of a body with one alert."""
    (found,) = outcomes(read(json.dumps(alerts).encode(), received_at_ms=NOW))
    return found


def test_an_alert_that_fires_is_an_outcome_that_is_not_well():
    found = only(FIRING)
    outcome = found.outcome
    assert (found.host, outcome.kind, outcome.target, outcome.ok) == ("srv1", "alertmanager", TARGET, False)
    assert (outcome.reason, outcome.at_ms) == ("the disk of srv1 is full", NOW)
    assert json.loads(outcome.answer) == FIRING


@pytest.mark.parametrize(
    ("ends_at", "ok"),
    [("2026-09-21T13:33:00Z", True), ("0001-01-01T00:00:00Z", False), ("2026-09-21T15:34:00+02:00", False)],
)
def test_an_alert_whose_end_is_past_is_resolved(ends_at, ok):
    assert only({**FIRING, "endsAt": ends_at}).outcome.ok is ok


def test_without_annotations_its_name_is_the_reason():
    assert only({"labels": {"alertname": "Watchdog"}}).outcome.reason == "Watchdog"


def test_of_two_that_are_the_same_the_last_counts():
    assert only(FIRING, {**FIRING, "endsAt": "2026-09-21T13:33:00Z"}).outcome.ok is True


def test_a_webhook_says_itself_what_is_resolved():
    notice = {
        "version": "4",
        "status": "firing",
        "alerts": [
            {**FIRING, "status": "firing", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "x"},
            {**FIRING, "labels": {"alertname": "Other"}, "status": "resolved"},
        ],
    }
    found = outcomes(read(json.dumps(notice).encode(), received_at_ms=NOW))
    assert [(one.outcome.kind, one.outcome.target, one.outcome.ok) for one in found] == [
        ("alert", TARGET, False),
        ("alert", "Other", True),
    ]


def test_long_names_fit_a_finding_and_stay_different():
    one, other = (only({"labels": {"alertname": "x" * 300 + end}}).outcome for end in "ab")
    assert len(f"{one.kind} {one.target}") == 256
    assert one.target != other.target


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        ({"labels": {}}, "alertname"),
        ({}, "labels"),
        ({"labels": {"alertname": 3}}, "alertname|labels"),
        ({"labels": {"alertname": "x"} | {f"l{k}": "v" for k in range(200)}}, "more than"),
        ({"labels": {"alertname": "x"}, "endsAt": "soon"}, "endsAt"),
        ("x", "no alert"),
    ],
)
def test_what_is_no_alert_is_refused_and_the_rest_is_taken(alert, why):
    reading = read(json.dumps([FIRING, alert]).encode(), received_at_ms=NOW)
    assert len(outcomes(reading)) == 1
    assert (reading.refused_count, reading.refused[0].place) == (1, 1)
    assert any(word in reading.refused[0].reason for word in why.split("|"))


@pytest.mark.parametrize("body", [b"", b"3", b'{"a": 1}', b"[", b"\xff"])
def test_what_are_no_alerts_says_what_to_send(body):
    with pytest.raises(ValueError, match="no alerts"):
        read(body, received_at_ms=NOW)


def test_too_many_are_refused_as_a_whole():
    with pytest.raises(ValueError, match="smaller batches"):
        read(json.dumps([0] * 5001).encode(), received_at_ms=NOW)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8),
              st.floats(allow_nan=False, allow_infinity=False),
              st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "resolved"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["labels", "annotations", "alertname", "instance", "startsAt", "endsAt", "status", "alerts"]
    ), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200)))
@settings(max_examples=100, deadline=None)
def test_anything_is_read_or_refused(body):
    try:
        outcomes(read(body, received_at_ms=NOW))
    except ValueError:
        pass


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_anything_in_an_alert_is_read_or_refused(value):
    alert = {**FIRING, **value} if isinstance(value, dict) else value
    outcomes(
        read(
            json.dumps([alert, {"labels": {"alertname": "x"}, "endsAt": value}]).encode(), received_at_ms=NOW
        )
    )
