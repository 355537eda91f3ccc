"""What logs cost from parsed columns to searchable storage, and how long searches take.

    python benchmarks/log_store.py CORPUS [--merge]

CORPUS: RFC 5424, a line each (the benchmark corpus). Prints JSON: CPU seconds a million lines of the writer
(shapes, coding, sending), of the store (inserts; then merges, until none is running), bytes a line on the
disk with all indexes, and for each search the first run after a restart and the median of 9 (ms), with the
cache of query conditions off. `--merge`: also after everything was merged into one part a day.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contract.telemetry_store import StoreProcess, start_store
from forestall.collect.parsers.syslog import parse_syslog
from forestall.kernel.columns import LogColumns
from forestall.telemetry import search
from forestall.telemetry.scope import EVERY
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs

BLOCK = 400_000
HOUR_MS = 3_600_000
RARE, PART, COMMON = "needle7f3a91c2", '"eedle7f3a"', "session"
QUIET_S = 12.0  # longer than merges wait for quiet (telemetry/merging.py)


def blocks(path: Path) -> Iterator[LogColumns]:
    """The corpus, parsed block by block, as one client's lines; hosts become assets."""
    assets: dict[str, int] = {}
    with path.open("rb") as file:
        while lines := list(islice(file, BLOCK)):
            data = b"".join(line.rstrip(b"\n") for line in lines)
            offsets = np.cumsum([0, *(len(line.rstrip(b"\n")) for line in lines)]).astype(np.int64)
            received = np.full(len(lines), int(time.time() * 1000) + HOUR_MS, np.int64)
            parsed = parse_syslog(data, offsets, received_at_ms=received)
            host = parsed.host.dictionary_encode()
            names = [assets.setdefault(name, (1 << 40) + len(assets)) for name in host.dictionary.to_pylist()]
            yield LogColumns(
                np.full(len(lines), 7, np.uint64), np.array(names, np.uint64)[host.indices.to_numpy()],
                parsed.at_ms, received, parsed.severity, parsed.facility, parsed.source, parsed.host,
                parsed.message, parsed.raw, parsed.attrs, parsed.form, parsed.rest,
            )  # fmt: skip


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def settle(running: StoreProcess) -> float:
    """Wait until no merge has run for a while; the CPU seconds that it took."""
    begun, quiet_at = cpu_s(running.process.pid), time.monotonic() + QUIET_S
    while time.monotonic() < quiet_at:
        if int(running.store.select("SELECT count() FROM system.merges")[0][0]):
            quiet_at = time.monotonic() + QUIET_S
        time.sleep(0.3)
    return cpu_s(running.process.pid) - begun


def searches(running: StoreProcess, from_ms: int, to_ms: int) -> dict[str, dict[str, float]]:
    given = {"clients": EVERY, "from_ms": from_ms, "to_ms": to_ms}
    minutes = (to_ms - from_ms) // 60_000
    asked = {
        "rare word": lambda: search.search_logs(running.store, RARE, **given),
        "part of a word": lambda: search.search_logs(running.store, PART, **given),
        "common word, newest 100": lambda: search.search_logs(running.store, COMMON, **given),
        "histogram by minute": lambda: search.histogram(running.store, "", **given, buckets=minutes),
        "histogram of a common word": lambda: search.histogram(
            running.store, COMMON, **given, buckets=minutes
        ),
        "an address": lambda: search.search_logs(running.store, "10.17.203.48", **given),
    }
    figures = {}
    for name, ask in asked.items():
        times = []
        for _ in range(10):
            begun = time.perf_counter()
            ask()
            times.append(round((time.perf_counter() - begun) * 1000, 1))
        figures[name] = {"first_ms": times[0], "median_ms": statistics.median(times[1:])}
    return figures


def sizes(running: StoreProcess, lines: int) -> dict[str, float]:
    rows = running.store.select(
        "SELECT sum(bytes_on_disk), sum(secondary_indices_compressed_bytes), count() FROM system.parts"
        " WHERE database = 'forestall' AND table IN ('logs', 'vocabulary') AND active"
    )
    total, indexes, parts = rows[0]
    return {
        "bytes_a_line": round(int(total) / lines, 2),
        "of_these_indexes": round(int(indexes) / lines, 2),
        "parts": int(parts),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--merge", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, start_store(Path(directory), 4 << 30) as running:
        vocabulary = Vocabulary(running.store)
        store_s, own_s, wall_s, lines = cpu_s(running.process.pid), 0.0, 0.0, 0
        from_ms, to_ms = 1 << 62, 0
        for number, one in enumerate(blocks(arguments.corpus)):
            begun, own = time.monotonic(), time.process_time()
            insert_logs(running.store, one, token=str(number), vocabulary=vocabulary)
            wall_s, own_s = wall_s + time.monotonic() - begun, own_s + time.process_time() - own
            lines += len(one)
            from_ms, to_ms = min(from_ms, int(one.at_ms.min())), max(to_ms, int(one.at_ms.max()) + 1)
        million = lines / 1e6
        figures: dict[str, object] = {
            "lines": lines,
            "wall_lines_a_s": round(lines / wall_s),
            "writer_cpu_s_a_million": round(own_s / million, 2),
            "store_cpu_s_a_million": round((cpu_s(running.process.pid) - store_s) / million, 2),
        }
        figures["merges_cpu_s_a_million_after"] = round(settle(running) / million, 2)
        for stage in ("settled", "merged") if arguments.merge else ("settled",):
            if stage == "merged":
                begun_s = cpu_s(running.process.pid)
                running.store.command("OPTIMIZE TABLE forestall.logs FINAL")
                figures["merge_all_cpu_s_a_million"] = round(
                    (cpu_s(running.process.pid) - begun_s) / million, 2
                )
            figures[f"{stage}: size"] = sizes(running, lines)
            running.stop()
            running.start()
            running.store.settings = {"use_query_condition_cache": 0}
            figures[f"{stage}: searches"] = searches(running, from_ms, to_ms)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
