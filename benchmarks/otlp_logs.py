"""How much CPU time reading OTLP logs takes: JSON with CPU seconds for a million records.

    python benchmarks/otlp_logs.py [--records N] [--bodies N]

Bodies as the OpenTelemetry SDKs and the Collector make them: one resource, five attributes a record, every
third with a trace. `read` is from the unpacked protobuf to columns, `library` the same by the protobuf
library alone, `encode` from columns to what the durable queue keeps.
"""

import argparse
import json
import random
import resource
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from forestall.intake.formats.otlp_logs import read_protobuf, read_slowly
from forestall.intake.pushed import encode_pushed


def make_body(number: int, records: int) -> bytes:
    """One body, unpacked."""
    dice = random.Random(number)
    request = ExportLogsServiceRequest()
    one = request.resource_logs.add()
    for name, text in (("host.name", f"srv{number:03d}"), ("service.name", "shop"),
                       ("service.version", "4.2.1"), ("deployment.environment", "production")):  # fmt: skip
        one.resource.attributes.add(key=name).value.string_value = text
    scope = one.scope_logs.add()
    scope.scope.name = "shop.orders"
    for k in range(records):
        record = scope.log_records.add()
        record.time_unix_nano = record.observed_time_unix_nano = 1_800_000_000_000_000_000 + k * 1_000_000
        record.severity_number, record.severity_text = dice.choice(((9, "INFO"), (13, "WARN"), (17, "ERROR")))
        record.body.string_value = (
            f"order {dice.randrange(10**6)} of user u{dice.randrange(900)} from 10.0.{dice.randrange(255)}.7"
            f" took {dice.randrange(900)} ms"
        )
        values: tuple[tuple[str, Any], ...] = (
            ("code.filepath", "/srv/shop/orders.py"),
            ("code.function", dice.choice(("take", "pay", "send"))),
            ("code.lineno", dice.randrange(900)),
            ("http.request.duration", dice.randrange(10_000) / 1000),
            ("retry", dice.random() < 0.1),
        )
        for key, value in values:
            box = record.attributes.add(key=key).value
            kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[
                type(value)
            ]
            setattr(box, kind, value)
        if k % 3 == 0:
            record.trace_id, record.span_id = dice.randbytes(16), dice.randbytes(8)
    return bytes(request.SerializeToString())


def main() -> None:
    """Read all bodies on one core."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=1_000)
    arguments.add_argument("--bodies", type=int, default=200)
    given = arguments.parse_args()
    bodies = [make_body(n, given.records) for n in range(min(given.bodies, 20))]
    readings = [read_protobuf(body, received_at_ms=0) for body in bodies]

    def each(work: Callable[[int], object], count: int) -> float:
        before = _cpu_s()
        for n in range(count):
            work(n % len(bodies))
        return round((_cpu_s() - before) / (count * given.records) * 1e6, 3)

    result = {
        "records_a_body": given.records,
        "bytes_a_record": round(len(bodies[0]) / given.records, 1),
        "cpu_s_per_million": {
            "read": each(lambda n: read_protobuf(bodies[n], received_at_ms=0), given.bodies),
            "encode": each(lambda n: encode_pushed(readings[n].pushed), given.bodies),
            "library": each(lambda n: read_slowly(bodies[n], received_at_ms=0), 20),
        },
    }
    print(json.dumps(result, indent=2))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
