"""What storing costs: CPU time of the store process per million rows, bytes per row, and time of a search.

    python benchmarks/telemetry_insert.py [ROWS]

The lines are made up: words with numbers and addresses in them, which compress worse than most real logs.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contract.telemetry_store import StoreProcess, start_store, write_logs
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.telemetry import search
from forestall.telemetry.scope import EVERY
from forestall.telemetry.write import insert_samples

BATCH = 20_000
ASSETS = 1000
SETTLE_S = 20
START_MS = 1_764_000_000_000
SHAPES = (
    "Failed password for invalid user {word} from 10.{a}.{b}.{c} port {n} ssh2",
    "[UFW BLOCK] IN=eth0 OUT= SRC=10.{a}.{b}.{c} DST=192.0.2.7 LEN=40 ID={n} PROTO=TCP SPT={n} DPT=22",
    "upstream timed out while reading response header from upstream, client: 10.{a}.{b}.{c}, id {n:x}",
    "Started Session {n} of User {word}.",
    "pam_unix(cron:session): session opened for user {word}(uid={a}) by (uid=0)",
)


def make_logs(rng: random.Random, start: int) -> LogColumns:
    messages = [
        rng.choice(SHAPES).format(
            word=rng.choice(("root", "ana", "backup", "www-data")),
            a=rng.randrange(256),
            b=rng.randrange(256),
            c=rng.randrange(256),
            n=rng.randrange(1 << 20),
        )
        for _ in range(BATCH)
    ]
    at = START_MS + (start + np.arange(BATCH, dtype=np.int64)) // 10
    asset = np.array([rng.randrange(ASSETS) for _ in range(BATCH)], np.uint64)
    texts = pa.array([""] * BATCH)
    return LogColumns(
        client=asset // np.uint64(20),
        asset=asset,
        at_ms=at,
        received_at_ms=at + 3,
        severity=np.full(BATCH, 6, np.uint8),
        facility=np.full(BATCH, 1, np.uint8),
        source=pa.array(["sshd"] * BATCH),
        host=pa.array([f"host{number}" for number in asset]),
        message=pa.array(messages),
        raw=texts,
        attrs=texts,
    )


def make_samples(rng: random.Random, start: int) -> SampleColumns:
    asset = np.arange(start, start + BATCH, dtype=np.uint64) % ASSETS
    return SampleColumns(
        client=asset // np.uint64(20),
        asset=asset,
        metric=pa.array([f"metric.{number % 10}" for number in range(BATCH)]),
        item=pa.array([""] * BATCH),
        at_ms=START_MS + (start + np.arange(BATCH, dtype=np.int64)) // (ASSETS * 10) * 10_000,
        value=np.array([round(rng.random(), 3) for _ in range(BATCH)]),
    )


def run(running: StoreProcess, table: str, rows: int) -> None:
    rng = random.Random(1)
    process = psutil.Process(running.process.pid)
    slowest_s = own_s = 0.0
    before = process.cpu_times()
    for start in range(0, rows, BATCH):
        logs, samples = (make_logs(rng, start), None) if table == "logs" else (None, make_samples(rng, start))
        began, own = time.perf_counter(), time.process_time()
        if logs is not None:
            write_logs(running.store, logs, token=f"logs {start}")
        if samples is not None:
            insert_samples(running.store, samples, token=f"samples {start}")
        slowest_s = max(slowest_s, time.perf_counter() - began)
        own_s += time.process_time() - own
    time.sleep(SETTLE_S)  # merges are part of the cost
    after = process.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    size = running.store.select(
        "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = {table:String}",
        {"table": table},
    )[0][0]
    print(
        f"{table}, for a million rows: {spent_s / rows * 1e6:.1f} CPU s of the store,"
        f" {own_s / rows * 1e6:.1f} of the client; {size:.1f} bytes a row,"
        f" slowest insert of {BATCH} rows {slowest_s * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory, start_store(Path(directory)) as running:
        for table in ("logs", "samples"):
            run(running, table, rows)
        span = {"from_ms": START_MS, "to_ms": START_MS + rows}
        for query in ("zebra", "abcde", '"user ana from"', "re:/id fff..$/", ""):
            began = time.perf_counter()
            page = search.search_logs(running.store, query, clients=EVERY, **span)
            took_s = time.perf_counter() - began
            print(f"search {query!r}: {len(page.lines)} lines in {took_s * 1000:.0f} ms")


if __name__ == "__main__":
    main()
