"""Telemetry against the real store process: idempotent inserts, search, charts, tenancy, retention, kills."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store, write_logs
from forestall.telemetry import read, retention, search
from forestall.telemetry.asking import Asking, asking
from forestall.telemetry.client import CANCELLED, Store, StoreRefused, StoreUnavailable
from forestall.telemetry.conditions import Conditions
from forestall.telemetry.language import parse
from forestall.telemetry.scope import EVERY
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs, insert_samples

AT = 1_764_000_000_000
DAY = 86_400_000
WHEN = {"from_ms": AT - DAY, "to_ms": AT + DAY}


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
        write_logs(store, columns, token="watch:0-3")
    write_logs(store, columns, token="watch:3-6")
    assert store.select("SELECT count() FROM forestall.logs")[0][0] == 6


def test_words_phrases_fields_and_their_opposites(store: Store) -> None:
    lines = [
        "Failed password for root",
        "Accepted publickey for ana",
        "disk sda1 at 93% full",
        'it\'s \\ a "quote"\nx',
    ]
    write_logs(store, log_columns(lines, source="sshd", attrs='{"unit":"ssh.service"}'), token="words")
    write_logs(
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


def test_a_word_is_found_as_soon_as_it_was_learned(store: Store) -> None:
    writer = Vocabulary(store)
    for number, word in enumerate(("kestrel", "plover", "dunlin")):
        assert found(store, word) == []
        lines = [f"{word} has {count} eggs" for count in range(5)]
        insert_logs(store, log_columns(lines), token=word, vocabulary=writer)
        assert sorted(found(store, word)) == sorted(lines), "the search knew an older vocabulary"
        assert sum(row[2] for row in search.histogram(store, "eggs", clients=EVERY, **WHEN)) == 5 * (
            number + 1
        )


def test_no_client_sees_anothers_lines_or_samples(store: Store) -> None:
    write_logs(store, log_columns(["mine"], client=1), token="mine")
    write_logs(store, log_columns(["theirs"], client=9), token="theirs")
    insert_samples(store, sample_columns([1.0, 2.0], client=9), token="samples")
    assert found(store, "", clients=frozenset({1})) == ["mine"]
    assert found(store, "", clients=frozenset()) == []
    assert search.histogram(store, "", clients=frozenset(), **WHEN) == []
    assert read.latest(store, clients=frozenset({1}), asset=2, now_ms=AT + 1000, within_ms=DAY) == []
    assert len(read.latest(store, clients=frozenset({9}), asset=2, now_ms=AT + 1000, within_ms=DAY)) == 1


def test_pages_are_complete_and_do_not_repeat_also_within_a_millisecond(store: Store) -> None:
    write_logs(store, log_columns([f"line {n:03}" for n in range(250)], step_ms=0), token="one ms")
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
    write_logs(store, log_columns(["x"] * 30, severity=3, source="a"), token="1")
    write_logs(store, log_columns(["x"] * 10, severity=6, source="b", host="other"), token="2")
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
            write_logs(
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
                write_logs(running.store, log_columns([f"{token} {n}" for n in range(100)]), token=token)
                acknowledged += 100
            running.kill()
            with pytest.raises(StoreUnavailable):
                running.store.select("SELECT 1")
            running.start()
            write_logs(
                running.store, log_columns([f"{token} {n}" for n in range(100)]), token=token
            )  # a retry
        rows = running.store.select("SELECT count(), uniqExact(message) FROM forestall.lines")
        assert tuple(rows[0]) == (acknowledged, acknowledged)


def test_a_word_means_the_same_with_and_without_separators_around_it(store: Store) -> None:
    lines = ["read /var/log/app.log", "€uro 12€", "peer fe80::1 up", "GET https://example.org/a?b=1 200"]
    write_logs(store, log_columns(lines), token="separators")
    assert found(store, "app.log") == [lines[0]]
    assert found(store, "pp.log") == []
    assert found(store, "app.lo") == []
    assert found(store, "app.lo*") == [lines[0]]
    assert found(store, "fe80::1") == [lines[2]]
    assert found(store, "https://example.org") == [lines[3]]
    assert found(store, "b=1") == [lines[3]]
    assert found(store, "/a?b=1") == [lines[3]]
    assert found(store, '"var/log/a"') == [lines[0]]
    assert found(store, "12€") == [lines[1]]
    assert found(store, "2€") == []


def test_attributes_are_found_by_their_key_as_it_is_written(store: Store) -> None:
    attrs = '{"userId":"42","tries":3}'
    write_logs(store, log_columns(["signed in"], attrs=attrs), token="attributes")
    assert found(store, "userId:42") == ["signed in"]
    assert found(store, "userid:42") == []
    assert found(store, "tries:3") == ["signed in"]
    assert found(store, "userId!=42") == []
    assert found(store, "userId:*") == ["signed in"]


def test_what_cannot_be_carried_out_says_what_to_do(store: Store) -> None:
    write_logs(store, log_columns([f"{n:x} " * 200 for n in range(60_000)]), token="it's \\ long")
    with pytest.raises(search.SearchError, match="regular expression"):
        found(store, "re:/(?=a)b/")  # Python knows it, the store does not
    with pytest.raises(search.SearchError, match="too long"):
        search.search_logs(store, "re:/(a|b|c)+(d|e).*(f|1).*x$/", clients=EVERY, timeout_s=0.0, **WHEN)


@pytest.mark.parametrize("days", [1, 7, 120])
def test_a_retry_is_taken_once_however_many_days_it_spans(store: Store, days: int) -> None:
    columns = log_columns([f"{n}" for n in range(500)], at_ms=AT - 200 * DAY, step_ms=days * DAY // 500)
    for _ in range(2):
        write_logs(store, columns, token=f"span {days}")
    assert tuple(store.select("SELECT count(), uniqExact(message) FROM forestall.lines")[0]) == (500, 500)


def test_a_clock_that_is_far_off_loses_no_line(store: Store) -> None:
    for place, at_ms in enumerate((0, -5, (1 << 53) - 1)):
        write_logs(store, log_columns([f"at {at_ms}"], at_ms=at_ms), token=f"clock {place}")
        insert_samples(store, sample_columns([1.0], at_ms=at_ms), token=f"clock {place}")
    assert store.select("SELECT count() FROM forestall.logs")[0][0] == 3
    assert store.select("SELECT count() FROM forestall.samples")[0][0] == 3


def test_the_index_of_words_is_used(store: Store) -> None:
    lines = [f"event {n:08x} of the machine" for n in range(100_000)]
    write_logs(store, log_columns(lines, step_ms=1), token="many")
    store.command("OPTIMIZE TABLE forestall.logs FINAL")
    made = Conditions("1")
    condition = made.sql(made.of(parse("0000beef")), {})
    plan = store.select(
        f"EXPLAIN indexes = 1 SELECT count() FROM forestall.logs WHERE {condition}", made.parameters
    )
    granules = [str(row[0]).split()[-1] for row in plan if "Granules" in str(row[0])]
    assert granules[-1].split("/")[0] in ("1", "2")
    assert int(granules[-1].split("/")[1]) > 10
    assert found(store, "0000beef") == [lines[0xBEEF]]


def test_latest_values_of_many_assets(store: Store) -> None:
    for asset in (1, 2, 3):
        insert_samples(store, sample_columns([0.1, 0.2 * asset], asset=asset), token=f"asset {asset}")
    insert_samples(
        store, sample_columns([float("nan")], asset=2, metric="load.per_core", at_ms=AT), token="nan"
    )
    given = {"metrics": ["cpu.used_ratio", "load.per_core"], "now_ms": AT + 60_000}
    seen = read.latest_of_assets(store, EVERY, assets=[1, 2, 9], **given)  # type: ignore[arg-type]
    assert {asset: [one.value for one in values] for asset, values in seen.items()} == {1: [0.2], 2: [0.4]}
    assert read.latest_of_assets(store, frozenset(), assets=[1], **given) == {}  # type: ignore[arg-type]
    series = read.list_series(store, EVERY, asset=2, from_ms=AT, to_ms=AT + DAY)
    assert [(one.metric, one.at_ms) for one in series] == [("cpu.used_ratio", AT + 10_000)]


def test_lines_around_an_instant_are_the_assets_own_and_in_order(store: Store) -> None:
    write_logs(store, log_columns([f"{n}" for n in range(10)]), token="own")
    write_logs(store, log_columns(["other"], asset=3), token="other")
    lines = search.around(store, EVERY, asset=2, from_ms=AT + 2000, to_ms=AT + 6000, limit=3)
    assert [line.message for line in lines] == ["3", "4", "5"]
    assert search.around(store, frozenset({9}), asset=2, from_ms=AT, to_ms=AT + DAY) == []


def test_a_query_that_nobody_waits_for_ends_and_no_other_begins(store: Store) -> None:
    asked, ended = Asking(), list[StoreRefused]()

    def ask() -> None:
        before = asking.set(asked)
        try:
            store.select("SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1")
        except StoreRefused as refused:
            ended.append(refused)
        finally:
            asking.reset(before)

    def runs() -> int:
        said = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{asked.name}'"
        return int(store.select(said)[0][0])

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 60
    while not runs():
        assert time.monotonic() < deadline and thread.is_alive(), ended
        time.sleep(0.05)
    store.cancel(asked)
    thread.join(15)
    assert [one.code for one in ended] == [CANCELLED]
    ask()
    assert [one.code for one in ended] == [CANCELLED, CANCELLED]
