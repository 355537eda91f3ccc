"""What an asset says by templates, from the real store: counts, what is new, what vanished, tenancy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.telemetry_store import StoreProcess, log_columns, start_store, write_logs
from forestall.telemetry.messages import compare, learn_templates, list_templates

AT = 1_764_000_000_000
HOUR = 3_600_000
CLIENT = frozenset({1})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    directory: Path = tmp_path_factory.mktemp("messages")
    with start_store(directory) as started:
        store = started.store
        calm = [f"Accepted publickey for ana from 10.0.0.{n} port {40000 + n}" for n in range(20)]
        write_logs(store, log_columns([*calm, *["nightly job 7 has started"] * 5]), token="before")
        names = ("ana", "ben", "cyd", "dan", "eve")
        odd = [f"share {name} was given to the printer of floor {n}" for name in names for n in range(4)]
        later = [*calm, *odd, "kernel panic: not syncing"]
        write_logs(store, log_columns(later, at_ms=AT + HOUR, severity=3), token="since")
        write_logs(
            store, log_columns(["only theirs 1"] * 9, client=9, asset=2, at_ms=AT + HOUR), token="theirs"
        )
        yield started


def test_lines_are_counted_by_template(running: StoreProcess) -> None:
    templates = learn_templates(running.store, CLIENT)
    listed = list_templates(
        running.store, CLIENT, asset=2, templates=templates, from_ms=AT, to_ms=AT + 2 * HOUR
    )
    assert listed.complete
    counts = {one.text: one.count for one in listed.said}
    assert counts["share <*> was given to the printer of floor <*>"] == 20
    assert counts["kernel panic: not syncing"] == 1
    assert sum(counts.values()) == 20 + 5 + 20 + 20 + 1
    assert not any("theirs" in text for text in counts)


def test_what_is_new_and_what_vanished(running: StoreProcess) -> None:
    templates = learn_templates(running.store, CLIENT)
    span = {"from_ms": AT, "at_ms": AT + HOUR, "to_ms": AT + 2 * HOUR}
    told = compare(running.store, CLIENT, asset=2, templates=templates, **span)
    assert told.complete
    assert [(one.text, one.count, one.severity) for one in told.new] == [
        ("share <*> was given to the printer of floor <*>", 20, 3),
        ("kernel panic: not syncing", 1, 3),
    ]
    assert [one.text for one in told.vanished] == ["nightly job <*> has started"]
    assert not compare(running.store, frozenset(), asset=2, templates=templates, **span).new
    theirs = compare(running.store, frozenset({9}), asset=2, templates=templates, **span)
    assert [one.count for one in theirs.new] == [9]
