"""The store process as seen by ClickHouse's own client and over HTTP: formats, limits, keys, ends."""

import base64
import gzip
import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import lz4.frame
import pyarrow as pa
import pytest
import zstandard

from contract.telemetry_store import StoreProcess, log_columns, start_store, write_logs
from forestall.telemetry import store_process
from forestall.telemetry.client import Store, StoreRefused, StoreUnavailable


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with start_store(tmp_path_factory.mktemp("store")) as started:
        yield started


def ask(
    running: StoreProcess, path: str = "/", body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        connection.request("POST", path, body, headers if headers is not None else key(running))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def key(running: StoreProcess) -> dict[str, str]:
    return {"X-ClickHouse-User": "default", "X-ClickHouse-Key": running.key}


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_an_unmodified_client_writes_and_reads_in_every_compression(
    running: StoreProcess, compress: str | bool
) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=running.port, password=running.key, compress=compress, database="forestall"
    )
    client.command("DROP TABLE IF EXISTS trial")
    client.command(
        "CREATE TABLE trial (n UInt64, s LowCardinality(String), at DateTime64(3, 'UTC')) ENGINE = MergeTree"
        " ORDER BY n"
    )
    rows = [[n, f"it's \\ {n % 7}\t\n€", 1_764_000_000 + n] for n in range(5000)]
    client.insert("trial", rows, column_names=["n", "s", "at"])
    client.insert_arrow(
        "trial", pa.table({"n": [9999], "s": ["arrow"], "at": pa.array([5], pa.timestamp("ms"))})
    )
    back = client.query("SELECT n, s FROM trial ORDER BY n").result_rows
    assert [list(row) for row in back[:5000]] == [row[:2] for row in rows]
    assert client.query_arrow("SELECT count() AS c FROM trial").to_pydict() == {"c": [5001]}
    wanted = "it's \\ 3\t\n€"
    found = client.query("SELECT count() FROM trial WHERE s = {s:String}", parameters={"s": wanted})
    assert found.result_rows[0][0] == sum(row[1] == wanted for row in rows)
    assert client.query("SELECT n FROM trial ORDER BY n LIMIT 2 SETTINGS max_threads = 1").row_count == 2


def test_mistakes_come_with_clickhouses_own_words(running: StoreProcess) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=running.port, password=running.key)
    assert client.ping()
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="no_such_table"):
        client.query("SELECT * FROM forestall.no_such_table")


def test_nothing_is_answered_without_the_key(running: StoreProcess) -> None:
    assert ask(running, "/ping", headers={}) == (200, b"Ok.\n")
    assert ask(running, "/healthz", headers={}) == (200, b"Ok.\n")
    assert ask(running, body=b"SELECT 1", headers={})[0] == 401
    assert ask(running, body=b"SELECT 1", headers={"X-ClickHouse-Key": "wrong"})[0] == 401
    assert ask(running, body=b"SELECT 1", headers={"Authorization": "Basic !"})[0] in (400, 401)
    basic = base64.b64encode(f"default:{running.key}".encode()).decode()
    assert ask(running, body=b"SELECT 1", headers={"Authorization": f"Basic {basic}"}) == (200, b"1\n")
    assert ask(running, body=b"SELECT 1") == (200, b"1\n")


def test_what_is_too_large_or_damaged_is_refused(running: StoreProcess) -> None:
    announced = key(running) | {"Content-Length": str(store_process.BODY_MAX_BYTES + 1)}
    assert ask(running, headers=announced)[0] == 413
    zeros = bytes(store_process.PLAIN_MAX_BYTES + 1)
    bombs = {
        "gzip": gzip.compress(zeros, 1),
        "zstd": zstandard.compress(zeros),
        "lz4": lz4.frame.compress(zeros),
    }
    for encoding, bomb in bombs.items():
        assert len(bomb) < 4 << 20
        assert ask(running, body=bomb, headers=key(running) | {"Content-Encoding": encoding})[0] == 413
        for damaged in (b"\x00no", bomb[:-9], b""):
            given = key(running) | {"Content-Encoding": encoding}
            assert ask(running, body=damaged, headers=given)[0] in (400, 413)
    assert ask(running, body=b"x", headers=key(running) | {"Content-Encoding": "br"})[0] == 415
    assert ask(running, body=b"\xff\xfe")[0] == 400
    assert ask(running, headers=key(running) | {"Content-Length": "many"})[0] == 400


def test_a_query_that_needs_too_much_memory_ends_and_the_store_goes_on(tmp_path: Path) -> None:
    with start_store(tmp_path, memory_bytes=512 << 20) as running:
        with pytest.raises(StoreRefused, match="memory limit") as refused:
            running.store.select("SELECT groupArray(number) FROM numbers(300000000)")
        assert refused.value.code == 241
        assert running.store.select("SELECT 1")[0][0] == 1


def test_a_second_process_on_the_same_telemetry_says_what_to_do(running: StoreProcess) -> None:
    command = [sys.executable, "-m", "forestall.telemetry.store_process"]
    command += ["--path", str(running.directory / "data"), "--port", "0", "--key-file", str(running.key_file)]
    second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "no other process uses it" in second.stderr
    assert "Traceback" not in second.stderr
    assert ask(running, body=b"SELECT 1") == (200, b"1\n")


def test_a_stop_lets_running_inserts_end_and_a_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with start_store(tmp_path) as running:
        for end in (running.kill, running.stop, running.kill):
            acknowledged = _insert_until_it_ends(running, end)
            running.start()
            for token in acknowledged:
                columns = log_columns([f"{token} {n}" for n in range(200)])
                write_logs(running.store, columns, token=token)  # a retry of everything
            rows = running.store.select(
                "SELECT extract(message, '^[^ ]+') AS token, count(), uniqExact(message) FROM forestall.lines"
                " GROUP BY token"
            )
            stored = {row[0]: tuple(row[1:]) for row in rows}
            assert {token: stored[token] for token in acknowledged} == dict.fromkeys(acknowledged, (200, 200))
            assert set(stored.values()) == {(200, 200)}  # what was not acknowledged is there whole or not


def _insert_until_it_ends(running: StoreProcess, end: object) -> list[str]:
    """Tokens that were acknowledged to two writers while the store was ended under them."""
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(name: str) -> None:
        store = Store("127.0.0.1", running.port, password=running.key)
        for number in range(10_000):
            token = f"{name}/{running.process.pid}/{number}"
            try:
                write_logs(store, log_columns([f"{token} {n}" for n in range(200)]), token=token)
            except StoreUnavailable:
                return
            acknowledged.append(token)
            if len(acknowledged) >= 20:
                enough.set()

    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    assert enough.wait(30)
    end()  # type: ignore[operator]
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
    return acknowledged
