"""A chart of a year of one series, among others.

    python benchmarks/year_chart.py [--series N] [--every-s S]

Inserts a year of N series (a sample every S seconds each) and reads one of them, downsampled to 1,000 points:
the first time after a restart, then the median of 9, in ms. Prints JSON, with bytes a sample and parts.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contract.telemetry_store import start_store
from forestall.kernel.columns import SampleColumns
from forestall.telemetry.read import read_series
from forestall.telemetry.scope import EVERY
from forestall.telemetry.write import insert_samples

DAY_MS = 86_400_000
DAYS = 365
TOGETHER = 30  # days of an insert
START_MS = 20_000 * DAY_MS
SERIES_AN_ASSET = 50


def days_of(first: int, days: int, series: int, every_s: int) -> SampleColumns:
    """Walks with two decimals."""
    rng = np.random.default_rng(first)
    each = days * DAY_MS // (every_s * 1000)
    at = START_MS + first * DAY_MS + np.arange(each, dtype=np.int64) * every_s * 1000
    number = np.repeat(np.arange(series, dtype=np.uint64), each)
    names = pa.array([f"metric.{place}" for place in range(SERIES_AN_ASSET)])
    codes = pa.array((number % SERIES_AN_ASSET).astype(np.int32))
    values = 50 + np.cumsum(rng.normal(0, 0.05, (series, each)), axis=1)
    return SampleColumns(
        client=np.full(len(number), 7, np.uint64),
        asset=number // np.uint64(SERIES_AN_ASSET) + np.uint64(1),
        metric=pa.DictionaryArray.from_arrays(codes, names),
        item=pa.array([""] * len(number)).dictionary_encode(),
        at_ms=np.tile(at, series),
        value=np.round(values, 2).ravel(),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--every-s", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, start_store(Path(directory), 4 << 30) as running:
        for first in range(0, DAYS, TOGETHER):
            days = min(TOGETHER, DAYS - first)
            insert_samples(running.store, days_of(first, days, given.series, given.every_s), token=str(first))
        running.stop()
        running.start()
        times = []
        for _ in range(10):
            begun = time.perf_counter()
            found = read_series(
                running.store, clients=EVERY, asset=1, metric="metric.7", item="",
                from_ms=START_MS, to_ms=START_MS + DAYS * DAY_MS, pixels=1000,
            )  # fmt: skip
            times.append((time.perf_counter() - begun) * 1000)
        size = running.store.select(
            "SELECT sum(bytes_on_disk) / sum(rows), sum(rows), count() FROM system.parts"
            " WHERE database = 'forestall' AND table = 'samples' AND active"
        )[0]
        print(
            json.dumps(
                {
                    "samples": int(size[1]),
                    "parts": int(size[2]),
                    "bytes_a_sample": round(float(size[0]), 2),
                    "points": len(found.at_ms),
                    "first_ms": round(times[0], 1),
                    "median_ms": round(statistics.median(times[1:]), 1),
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
