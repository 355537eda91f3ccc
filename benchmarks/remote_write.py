"""How much CPU time reading remote write takes: JSON with CPU seconds for a million samples.

    python benchmarks/remote_write.py [--series N] [--samples N] [--bodies N]

Bodies as Prometheus sends them for node exporters: `--series` series with `--samples` samples each; the
label sets repeat from body to body, the values do not. `snappy` is unpacking alone, `read` from the unpacked
body to columns, `new` the same when every label set is new.
"""

import argparse
import json
import random
import resource
import time
from collections.abc import Callable

import cramjam

from forestall.intake.formats.remote_write import WriteRequest, known_series, read
from forestall.intake.pushed import encode_pushed

WHAT = (
    "cpu", "disk_read", "disk_written", "filesystem_avail", "network_receive", "network_transmit",
    "memory_active", "scrape_duration", "vmstat_pgfault", "netstat_tcp_inerrs",
)  # fmt: skip
UNITS = ("bytes", "seconds_total", "errs_total", "packets_total")
NAMES = [f"node_{what}_{unit}" for what in WHAT for unit in UNITS]


def make_body(number: int, series: int, samples: int, seed: int = 1) -> bytes:
    """One body, unpacked. The same labels for every number, other values."""
    dice = random.Random(seed)
    values = random.Random(number)
    request = WriteRequest()
    for k in range(series):
        labels = {
            "__name__": NAMES[k % len(NAMES)],
            "cpu": str(dice.randrange(64)),
            "device": f"sd{chr(97 + k // len(NAMES) % 26)}{k // 1000}",
            "env": "production",
            "instance": f"srv{k // 500:03d}.example.net:9100",
            "job": "node",
            "mode": dice.choice(("idle", "user", "system", "iowait")),
        }
        one = request.timeseries.add()
        for name, value in labels.items():
            one.labels.add(name=name.encode(), value=value.encode())
        for n in range(samples):
            one.samples.add(
                value=values.choice((values.random() * 1e6, float(values.randrange(10_000_000)))),
                timestamp=1_800_000_000_000 + number * 15_000 * samples + n * 15_000,
            )
    return bytes(request.SerializeToString())


def main() -> None:
    """Read all bodies on one core."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=2_000)
    arguments.add_argument("--samples", type=int, default=1)
    arguments.add_argument("--bodies", type=int, default=200)
    given = arguments.parse_args()
    plain = [make_body(n, given.series, given.samples) for n in range(min(given.bodies, 20))]
    packed = [bytes(cramjam.snappy.compress_raw(body)) for body in plain]
    count = given.series * given.samples
    known = known_series()
    read(plain[0], known, received_at_ms=0)

    def each(bodies: list[bytes], work: Callable[[bytes], object]) -> float:
        before = _cpu_s()
        for n in range(given.bodies):
            work(bodies[n % len(bodies)])
        return round((_cpu_s() - before) / (given.bodies * count) * 1e6, 3)

    def snappy(body: bytes) -> bytes:
        return bytes(cramjam.snappy.decompress_raw(body))

    began = time.perf_counter()
    result = {
        "series_a_body": given.series,
        "samples_a_series": given.samples,
        "bytes_a_sample_unpacked": round(len(plain[0]) / count, 1),
        "bytes_a_sample_packed": round(len(packed[0]) / count, 1),
        "cpu_s_per_million": {
            "snappy": each(packed, snappy),
            "read": each(plain, lambda body: read(body, known, received_at_ms=0)),
            "snappy_and_read": each(packed, lambda body: read(snappy(body), known, received_at_ms=0)),
            "snappy_and_read_and_encode": each(
                packed, lambda body: encode_pushed(read(snappy(body), known, received_at_ms=0).pushed)
            ),
            "new": each(plain, lambda body: read(body, known_series(), received_at_ms=0)),
        },
    }
    result["took_s"] = round(time.perf_counter() - began, 1)
    print(json.dumps(result, indent=2))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
