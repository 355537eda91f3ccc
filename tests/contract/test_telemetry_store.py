"""Telemetry against the real store process: idempotent inserts, search, charts, tenancy, retention, kill -9."""

from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store
from forestall.telemetry import read, retention, search
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable
from forestall.telemetry.scope import EVERY
from forestall.telemetry.write import insert_logs, insert_samples

AT = 1_764_000_000_000
DAY = 86_400_000
WHEN = {"from_ms": AT - DAY, "to_ms": AT + DAY}
pytestmark = pytest.mark.xdist_group("store")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with start_store(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture
def store(running: StoreProcess) -> Store:
    running.store.command("TRUNCATE TABLE forestall.logs")
    running.store.command("TRUNCATE TABLE forestall.samples")
    return running.store


def found(store: Store, query: str, **more: object) -> list[str]:
    given = {"clients": EVERY, **WHEN, **more}
    return [line.message for line in search.search_logs(store, query, **given).lines]  # type: ignore[arg-type]


def test_the_same_token_is_taken_once_also_over_several_days(store: Store) -> None:
    columns = log_columns(["a", "b", "c"], step_ms=DAY)
    for _ in range(3):
        insert_logs(store, columns, token="watch:0-3")
    insert_logs(store, columns, token="watch:3-6")
    assert store.select("SELECT count() FROM forestall.logs")[0][0] == 6


def test_words_phrases_fields_and_their_opposites(store: Store) -> None:
    lines = [
        "Failed password for root",
        "Accepted publickey for ana",
        "disk sda1 at 93% full",
        'it\'s \\ a "quote"\nx',
    ]
    insert_logs(store, log_columns(lines, source="sshd", attrs='{"unit":"ssh.service"}'), token="words")
    insert_logs(
        store, log_columns(["upstream timed out"], source="nginx", severity=3, at_ms=AT + 9000), token="ng"
    )
    assert found(store, "failed") == [lines[0]]
    assert found(store, "fail") == []
    assert found(store, "fail*") == [lines[0]]
    assert found(store, '"ublic"') == [lines[1]]
    assert found(store, "93%") == [lines[2]]
    assert found(store, '"\\\\ a \\"quote\\""') == [lines[3]]
    assert found(store, "it's") == [lines[3]]
    assert found(store, "re:/sda[0-9] at/") == [lines[2]]
    assert found(store, "nginx") == ["upstream timed out"]
    assert found(store, "source:nginx OR root") == ["upstream timed out", lines[0]]
    assert found(store, "severity>=error") == ["upstream timed out"]
    assert set(found(store, "-source:nginx -severity<info")) == set(lines)
    assert len(found(store, "unit:ssh.service")) == 4
    assert found(store, "(root OR ana) -failed") == [lines[1]]
    assert len(found(store, "")) == 5


def test_no_client_sees_anothers_lines_or_samples(store: Store) -> None:
    insert_logs(store, log_columns(["mine"], client=1), token="mine")
    insert_logs(store, log_columns(["theirs"], client=9), token="theirs")
    insert_samples(store, sample_columns([1.0, 2.0], client=9), token="samples")
    assert found(store, "", clients=frozenset({1})) == ["mine"]
    assert found(store, "", clients=frozenset()) == []
    assert search.histogram(store, "", clients=frozenset(), **WHEN) == []
    assert read.latest(store, clients=frozenset({1}), asset=2, now_ms=AT + 1000, within_ms=DAY) == []
    assert len(read.latest(store, clients=frozenset({9}), asset=2, now_ms=AT + 1000, within_ms=DAY)) == 1


def test_pages_are_complete_and_do_not_repeat_also_within_a_millisecond(store: Store) -> None:
    insert_logs(store, log_columns([f"line {n:03}" for n in range(250)], step_ms=0), token="one ms")
    seen: list[str] = []
    cursor = None
    while True:
        page = search.search_logs(store, "line", clients=EVERY, limit=100, before=cursor, **WHEN)
        seen += [line.message for line in page.lines]
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 250


def test_histogram_and_facets_count_what_the_search_finds(store: Store) -> None:
    insert_logs(store, log_columns(["x"] * 30, severity=3, source="a"), token="1")
    insert_logs(store, log_columns(["x"] * 10, severity=6, source="b", host="other"), token="2")
    bars = search.histogram(store, "x", clients=EVERY, from_ms=AT, to_ms=AT + 30_000, buckets=3)
    assert sum(count for _, _, count in bars) == 40
    assert sum(count for _, severity, count in bars if severity == 3) == 30
    assert search.facets(store, "x", clients=EVERY, **WHEN)["source"] == [("a", 30), ("b", 10)]


def test_charts_have_as_many_points_as_pixels_and_show_gaps(store: Store) -> None:
    insert_samples(store, sample_columns([float(n % 7) for n in range(1000)]), token="early")
    insert_samples(store, sample_columns([5.0] * 100, at_ms=AT + 20_000_000), token="late")
    series = read.read_series(
        store,
        clients=EVERY,
        asset=2,
        metric="cpu.used_ratio",
        item="",
        from_ms=AT,
        to_ms=AT + 21_000_000,
        pixels=200,
    )
    assert 50 < len(series.at_ms) <= 201
    assert series.mean.count(None) == 1
    assert max(value for value in series.high if value is not None) == 6.0


def test_retention_keeps_what_each_client_is_promised(store: Store) -> None:
    for client in (1, 2):
        for day in (0, 10, 100):
            insert_logs(
                store, log_columns(["x"], client=client, at_ms=AT - day * DAY), token=f"{client}/{day}"
            )
    keep = {2: retention.Keep(logs_days=30, samples_days=400)}
    removed = retention.apply(store, keep, default=retention.Keep(5, 400), now_ms=AT)
    left = store.select("SELECT client, count() FROM forestall.logs GROUP BY client ORDER BY client")
    assert removed["logs"] == 3
    assert [tuple(row) for row in left] == [(1, 1), (2, 2)]


def test_an_unmodified_client_of_clickhouse_works_and_needs_the_key(
    running: StoreProcess, store: Store
) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=running.port, password=running.key)
    client.command("CREATE TABLE IF NOT EXISTS forestall.trial (n UInt32, s String) ENGINE = Memory")
    client.insert("forestall.trial", [[1, "it's"], [2, "b"]], column_names=["n", "s"])
    rows = client.query(
        "SELECT n FROM forestall.trial WHERE s = {s:String}", parameters={"s": "it's"}
    ).result_rows
    assert [tuple(row) for row in rows] == [(1,)]
    with pytest.raises(ClickHouseError):
        clickhouse_connect.get_client(host="127.0.0.1", port=running.port, password="wrong")


def test_the_store_reads_nothing_but_its_own_tables(store: Store) -> None:
    with pytest.raises(StoreRefused, match="own tables"):
        store.select("SELECT * FROM file('/etc/passwd', 'LineAsString')")


def test_acknowledged_inserts_survive_kill_9_and_are_there_once(tmp_path: Path) -> None:
    with start_store(tmp_path) as running:
        acknowledged = 0
        for round_ in range(3):
            for batch in range(5):
                token = f"{round_}/{batch}"
                insert_logs(running.store, log_columns([f"{token} {n}" for n in range(100)]), token=token)
                acknowledged += 100
            running.kill()
            with pytest.raises(StoreUnavailable):
                running.store.select("SELECT 1")
            running.start()
            insert_logs(
                running.store, log_columns([f"{token} {n}" for n in range(100)]), token=token
            )  # a retry
        rows = running.store.select("SELECT count(), uniqExact(message) FROM forestall.logs")
        assert tuple(rows[0]) == (acknowledged, acknowledged)
