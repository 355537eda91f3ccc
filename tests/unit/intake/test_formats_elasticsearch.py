"""Elasticsearch's bulk bodies: which document belongs to which item, and what each item is answered."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.intake.formats.elasticsearch import ONLY_ADDED, BulkReading, answer_items, read
from forestall.intake.formats.fields import names_with

NOW = 1_795_413_600_000  # 2026-11-23T06:00:00Z


def bulk(*lines: object, index: str = "") -> BulkReading:
    body = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    return read(body, names_with(), received_at_ms=NOW, index=index)


def answer(found: BulkReading) -> Any:
    return json.loads(answer_items(found, took_ms=3))


def messages(found: BulkReading) -> list[str]:
    told: list[str] = found.reading.pushed.logs.message.to_pylist()
    return told


def test_documents_of_one_index() -> None:
    found = bulk(*[{"create": {"_index": "logs"}}, {"message": "m"}] * 50)
    assert messages(found) == ["m"] * 50
    told = answer(found)
    assert (told["errors"], told["took"], len(told["items"])) == (False, 3, 50)
    assert told["items"][7] == {"create": {"_index": "logs", "result": "created", "status": 201}}


def test_documents_of_filebeat() -> None:
    document = {
        "@timestamp": "2026-11-23T05:59:00.125Z", "message": "Accepted publickey",
        "host": {"name": "web1", "ip": ["10.0.0.1", "fe80::1"]},
        "log": {"file": {"path": "/var/log/auth.log"}},
        "agent": {"type": "filebeat"}, "input": {"type": "filestream"}, "tags": ["edge"],
    }  # fmt: skip
    found = bulk(*[{"create": {"_index": "filebeat-8.19.0"}}, document] * 20)
    logs = found.reading.pushed.logs
    assert logs.at_ms.tolist() == [NOW - 59_875] * 20
    assert set(logs.host.to_pylist()) == {"web1"}
    assert set(logs.source.to_pylist()) == {"/var/log/auth.log"}
    assert json.loads(logs.attrs[0].as_py()) == {
        "host.ip": "10.0.0.1,fe80::1", "agent.type": "filebeat", "input.type": "filestream", "tags": "edge",
    }  # fmt: skip


def test_the_index_of_the_path_and_identifiers() -> None:
    lines: list[object] = []
    for k in range(600):
        lines += [{"index": {"_id": f"{k}", "_type": "_doc"}}, {"message": f"m{k}"}]
    found = bulk(*lines, index="app")
    assert messages(found) == [f"m{k}" for k in range(600)]
    assert answer(found)["items"][599]["index"] == {
        "_index": "app", "_id": "599", "result": "created", "status": 201,
    }  # fmt: skip


def test_bad_documents_are_told_by_item_and_the_others_taken() -> None:
    found = bulk(
        {"create": {}}, {"message": "a"}, {"create": {}}, b'{"message":', {"index": {}}, {"message": "b"}
    )
    assert messages(found) == ["a", "b"]
    told = answer(found)
    assert told["errors"] is True
    assert [next(iter(item.values()))["status"] for item in told["items"]] == [201, 400, 201]
    assert "not JSON" in told["items"][1]["create"]["error"]["reason"]
    assert [tuple(one) for one in found.reading.refused] == [(1, found.refused[1])]


def test_what_deletes_or_changes_is_refused() -> None:
    found = bulk(
        {"delete": {"_index": "a", "_id": "1"}}, {"update": {"_id": "2"}}, {"doc": {"message": "x"}},
        {"create": {}}, {"message": "kept"},
    )  # fmt: skip
    assert messages(found) == ["kept"]
    assert found.refused == {0: ONLY_ADDED, 1: ONLY_ADDED}
    assert found.reading.refused_count == 2
    told = answer(found)["items"]
    assert told[0]["delete"]["status"] == told[1]["update"]["status"] == 400
    assert told[2]["create"]["status"] == 201


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "at least one action"),
        ([{"create": {}}], "no document"),
        ([{"create": {}}, {}, {"delete": {}}, {"create": {}}], "no document"),
        ([{"message": "no action"}, {"message": "x"}], "line 1 is no action"),
        ([{"create": {}}, {}, b"rubbish", b"{}"], "line 3 is no action"),
        ([{"create": {}, "index": {}}, {}], "line 1 is no action"),
        ([{"create": {"_index": "x" * 600}}, {}], "at most 512"),
    ],
)
def test_bodies_that_are_refused_as_a_whole(lines: list[object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        bulk(*lines)


def test_more_lines_than_any_body_has() -> None:
    with pytest.raises(ValueError, match="smaller batches"):
        read(b" \n" * 1_000_000, names_with(), received_at_ms=NOW)


def test_reasons_are_bounded() -> None:
    found = bulk(*[{"create": {}}, b"["] * 500)
    told = answer(found)["items"]
    assert len(found.reading.refused) == 100
    assert found.reading.refused_count == 500
    assert "not JSON" in told[0]["create"]["error"]["reason"]
    assert told[499]["create"]["error"]["reason"] == "it could not be used either"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b'{"create":{}}', b'{"index":{"_index":"a"}}', b'{"delete":{}}', b'{"message":"x"}']
            ),
            st.binary(max_size=20),
        ),
        max_size=12,
    )
)
def test_any_lines_are_answered_item_by_item_or_refused(lines: list[bytes]) -> None:
    try:
        found = bulk(*lines)
    except ValueError:
        return
    told = answer(found)
    statuses = [next(iter(item.values()))["status"] for item in told["items"]]
    assert statuses.count(201) == len(found.reading.pushed.logs)
    assert statuses.count(400) == len(found.refused) == found.reading.refused_count
    assert told["errors"] is (400 in statuses)


def test_an_action_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1 is no action"):
        read(b'{"a":' * 2000 + b"\n{}\n", names_with(), received_at_ms=0)
