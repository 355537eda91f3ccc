"""Batches of received lines are masked in columns: where a secret was, its mark; elsewhere the same."""

import json
import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_frames import NOW_MS, batch_frame, make_directory, syslog_frame

from forestall.collect.masking import Masker
from forestall.collect.parsers.syslog_original import original
from forestall.intake.covering import Covering
from forestall.intake.decode import DecodeState, decode
from forestall.intake.holding import holding, prepare
from forestall.intake.segments import Position
from forestall.kernel.columns import LogColumns
from forestall.kernel.observations import Observations, Outcome

COVERING = Covering(Masker(b"k" * 32))


def columns(messages: list[str], *, attrs: list[str] | None = None) -> LogColumns:
    count = len(messages)
    numbers, small = np.ones(count, np.uint64), np.ones(count, np.uint8)
    empty = pa.array([""] * count, pa.string())
    said = pa.array(messages, pa.string())
    told = pa.array(attrs or [""] * count, pa.string()).dictionary_encode()
    at_ms = np.ones(count, np.int64)
    return LogColumns(
        numbers, numbers, at_ms, at_ms, small, small, empty, empty, said, empty, told
    )  # fmt: skip


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(alphabet="paswKEYkey:/ \U0001f600é=", max_size=40), max_size=20))
def test_words_are_found_as_a_search_by_hand_finds_them(texts: list[str]) -> None:
    words = ("key", "passw", "://", "pass=")
    found = holding(pa.array(texts, pa.string()), prepare(words))
    small = ["".join(c.lower() if c.isascii() else c for c in text) for text in texts]
    assert found.tolist() == [any(word in text for word in words) for text in small]


def test_words_are_found_in_a_part_of_a_column_and_in_a_dictionary() -> None:
    column = pa.array(["a key", "none", None, "KEY", "ke", "y"], pa.string())
    words = prepare(("key",))
    assert holding(column.slice(1, 4), words).tolist() == [False, False, True, False]
    assert holding(column.dictionary_encode(), words).tolist() == [True, False, False, True, False, False]


def test_only_what_has_a_secret_changes() -> None:
    dice = random.Random(1)
    messages = [f"line {place} of prose with a key and a token" for place in range(1000)]
    with_secret = sorted(dice.sample(range(1000), 50))
    for place in with_secret:
        messages[place] = f"logged command:snmp-server community Zq{place}abcdef RO"
    covered = COVERING.logs(columns(messages)).message.to_pylist()
    assert [place for place in range(1000) if covered[place] != messages[place]] == with_secret
    assert not any("Zq" in line for line in covered)
    calm = columns(["nothing", "at all"])
    assert COVERING.logs(calm) is calm


def test_fields_are_masked_by_name_and_by_what_they_say() -> None:
    told = {
        "db.password": "Zqabcdefgh12",
        "nested": {"api_token": ["Zqabcdefgh13"], "port": 7},
        "command": "username x secret 5 Zqabcdefgh14",
        "password_expired": True,
        "user": "ana",
    }
    (text,) = COVERING.logs(columns(["m"], attrs=[json.dumps(told)])).attrs.to_pylist()
    read = json.loads(text)
    assert "Zq" not in text and read["user"] == "ana" and read["nested"]["port"] == 7
    assert read["password_expired"] is True and read["command"].startswith("username x secret 5 ‹secret ")
    assert read["db.password"].startswith("‹secret ")


def test_the_line_as_it_was_received_has_the_mark_too() -> None:
    lines = [
        b"<189>Nov 23 10:00:00 srv1 %PARSER-5-CFGLOG: User:ana logged command:enable secret 5 Zqabcd12",
        b"<189>1 2026-11-23T10:00:00Z srv1 app 1 - - password=Zqabcd12",
        b"<189>no header: snmp-server community Zqabcd12 RO",
        b'<189>1 2026-11-23T10:00:00Z srv1 app 1 - [x@1 token="Zqabcd12"] text',
        b"\xff\xfe password=Zqabcd12",
    ]
    found = decode([(Position(1, 0), syslog_frame(lines))], make_directory(), DecodeState())
    covered = COVERING.cover(found).logs
    assert covered.form is not None and covered.rest is not None
    for row in range(len(lines)):
        shown = original(
            int(covered.form[row]), int(covered.rest[row]), at_ms=int(covered.at_ms[row]),
            severity=int(covered.severity[row]), facility=int(covered.facility[row]),
            source=covered.source[row].as_py(), host=covered.host[row].as_py(),
            message=covered.message[row].as_py(), raw=covered.raw[row].as_py(),
            attrs=covered.attrs[row].as_py(),
        )  # fmt: skip
        kept = " ".join(str(getattr(covered, name)[row].as_py()) for name in ("message", "raw", "attrs"))
        assert "Zqabcd12" not in shown + kept and "‹secret " in shown + kept, shown + kept


def test_what_probes_and_alerts_say_is_masked() -> None:
    outcome = Outcome(
        NOW_MS, "http", "http", "https://x.example", False, 'answered 401: {"password": "Zqabcd12"}', 3.0,
        answer="Authorization: Bearer Zqabcd12efgh9=",
    )  # fmt: skip
    calm = Outcome(NOW_MS, "icmp", "icmp", "10.0.0.1", True, "answered", 1.0)
    found = decode(
        [(Position(1, 0), batch_frame(1, Observations(outcomes=[outcome, calm])))],
        make_directory(), DecodeState(),
    )  # fmt: skip
    covered = COVERING.cover(found)
    first, second = (one.outcome for one in covered.outcomes)
    assert "Zqabcd12" not in first.reason + first.answer and "‹secret " in first.reason
    assert second == calm
    assert "Zqabcd12" not in str(covered.logs.message.to_pylist() + covered.logs.attrs.to_pylist())
