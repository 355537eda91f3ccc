"""How long the judge takes for 100,000 samples at once, when nothing is wrong and when 1% is.

Run: python benchmarks/judge_observe.py
"""

import time

import numpy as np
import pyarrow as pa

from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import Expected, JudgedAsset
from forestall.kernel.columns import SampleColumns
from forestall.kernel.ids import from_number

ASSETS = 4_000
METRICS = [
    ("cpu.used_ratio", ""),
    ("cpu.iowait_ratio", ""),
    ("cpu.steal_ratio", ""),
    ("load.per_core", ""),
    ("memory.used_ratio", ""),
    ("memory.available_bytes", ""),
    ("swap.used_ratio", ""),
    ("disk.used_ratio", "/"),
    ("disk.used_ratio", "/var"),
    ("disk.used_ratio", "/srv"),
    ("disk.free_bytes", "/"),
    ("disk.free_bytes", "/var"),
    ("disk.free_bytes", "/srv"),
    ("inodes.used_ratio", "/"),
    ("inodes.used_ratio", "/var"),
    ("network.in_bytes_per_s", "eth0"),
    ("network.out_bytes_per_s", "eth0"),
    ("network.errors_per_s", "eth0"),
    ("processes.count", ""),
    ("processes.zombies", ""),
    ("services.failed_count", ""),
    ("updates.pending_count", ""),
    ("uptime_s", ""),
    ("time.offset_ms", ""),
    ("users.signed_in", ""),
]
START_MS = 1_790_000_000_000
ROUNDS = 65


def batch(number: int, *, wrong: float) -> SampleColumns:
    """One sample of every series of every asset; a share of the assets has full disks."""
    rng = np.random.default_rng(number)
    owners = np.arange(1, ASSETS + 1, dtype=np.uint64)
    values = rng.uniform(0.1, 0.3, (ASSETS, len(METRICS)))
    values[:, 2] /= 10  # no stolen time
    values[:, 20] = 0.0
    values[: int(ASSETS * wrong), 7:10] = 0.99
    count = ASSETS * len(METRICS)
    return SampleColumns(
        client=np.ones(count, np.uint64),
        asset=np.repeat(owners, len(METRICS)),
        metric=pa.array([name for name, _ in METRICS] * ASSETS).dictionary_encode(),
        item=pa.array([item for _, item in METRICS] * ASSETS).dictionary_encode(),
        at_ms=np.full(count, START_MS + number * 60_000, np.int64),
        value=values.ravel(),
    )


def main() -> None:
    judge = Judge(load_packs(builtin_packs()))
    assets = [
        JudgedAsset(
            id=from_number(n),
            number=n,
            client="c",
            name=f"server {n}",
            kind="server",
            expects=(Expected(what="asset"),),
        )
        for n in range(1, ASSETS + 1)
    ]
    began = time.perf_counter()
    judge.set_estate(assets, now_ms=START_MS)
    print(f"set_estate, {ASSETS} assets: {(time.perf_counter() - began) * 1000:.0f} ms")
    for share in (0.0, 0.01):
        took, ticks = [], []
        for number in range(ROUNDS):
            columns = batch(number + (0 if share == 0 else ROUNDS), wrong=share)
            began = time.perf_counter()
            judge.observe(columns, received_at_ms=int(columns.at_ms[0]))
            took.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            judge.tick(int(columns.at_ms[0]))
            ticks.append((time.perf_counter() - began) * 1000)
        print(
            f"{len(columns):,} samples, {share:.0%} wrong: first {took[0]:.0f} ms, then median "
            f"{np.median(took[1:]):.1f} ms, worst {max(took[1:]):.1f} ms; tick {np.median(ticks):.2f} ms"
        )
    began = time.perf_counter()
    data = judge.save()
    print(f"save: {len(data) / 1e6:.1f} MB in {(time.perf_counter() - began) * 1000:.0f} ms")
    fresh = Judge(judge.book)
    fresh.set_estate(assets, now_ms=START_MS)
    began = time.perf_counter()
    fresh.restore(data, now_ms=START_MS)
    print(f"restore: {(time.perf_counter() - began) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
