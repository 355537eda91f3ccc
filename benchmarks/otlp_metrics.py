"""How much CPU time reading OTLP metrics takes: JSON with CPU seconds for a million samples.

    python benchmarks/otlp_metrics.py [--metrics N] [--points N] [--bodies N]

Bodies of gauges with one attribute each; series repeat from body to body, times do not. `compiled` is from
protobuf to columns, `library` the same by the protobuf library.
"""

import argparse
import json
import time
from collections.abc import Callable

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from forestall.intake.formats import Reading
from forestall.intake.formats.otlp_metrics import read_protobuf, read_slowly

BEGIN_MS = 1_800_000_000_000
DISTINCT = 20


def make_body(number: int, metrics: int, points: int) -> bytes:
    """One body; the same series for every number."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="host.name").value.string_value = "srv001"
    inside = resource.scope_metrics.add().metrics
    for n in range(metrics):
        gauge = inside.add(name=f"system.metric.{n}", unit="1").gauge.data_points
        for k in range(points):
            at_ns = (BEGIN_MS + number * 15_000) * 1_000_000
            point = gauge.add(as_double=n * 1.5 + k + number, time_unix_nano=at_ns)
            point.attributes.add(key="device").value.string_value = f"sd{k}"
    return bytes(request.SerializeToString())


def main() -> None:
    """Read all bodies on one core."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--metrics", type=int, default=40)
    arguments.add_argument("--points", type=int, default=50)
    arguments.add_argument("--bodies", type=int, default=200)
    given = arguments.parse_args()
    bodies = [make_body(n, given.metrics, given.points) for n in range(min(given.bodies, DISTINCT))]
    count = given.metrics * given.points

    def each(read: Callable[..., Reading], times: int) -> float:
        read(bodies[0], received_at_ms=0)
        before = time.process_time()
        for n in range(times):
            read(bodies[n % len(bodies)], received_at_ms=0)
        return round((time.process_time() - before) / (times * count) * 1e6, 3)

    compiled = each(read_protobuf, given.bodies)
    library = each(read_slowly, max(1, given.bodies // 10))
    figures = {"points_a_body": count, "bytes_a_body": len(bodies[0])}
    print(json.dumps(figures | {"cpu_s_a_million": {"compiled": compiled, "library": library}}, indent=1))


if __name__ == "__main__":
    main()
