"""How fast pushed log lines are read from their format into columns, on one core; prints JSON.

    python benchmarks/jsonlines_parse.py FILE [--as FORMAT] [--lines N] [--body-bytes N] [--rounds N]

FILE holds one JSON object a line with `_time`, `_msg`, `hostname` and `app_name`. FORMAT is `jsonlines` (the
lines as they are), `elasticsearch` (an action before each), `loki-json` or `loki-protobuf` (a stream for each
host and program). The median of the rounds counts; making the bodies and compiling do not.
"""

import argparse
import itertools
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from forestall.intake.formats import Reading, elasticsearch, jsonlines, loki
from forestall.intake.formats.fields import names_with, read_time
from forestall.intake.formats.loki_wire import PushRequest

Read = Callable[[bytes], Reading]
LOKI_LINES = 20_000  # in one body, as they come sorted by stream


def make_lines_bodies(lines: list[bytes], most: int) -> list[bytes]:
    """Bodies of whole lines."""
    bodies, part, size = [], [], 0
    for line in lines:
        part.append(line)
        size += len(line) + 1
        if size >= most:
            bodies.append(b"\n".join(part) + b"\n")
            part, size = [], 0
    return [*bodies, b"\n".join(part) + b"\n"] if part else bodies


def make_loki_bodies(lines: list[bytes], *, protobuf: bool) -> list[bytes]:
    """Bodies of LOKI_LINES lines."""
    bodies = []
    for first in range(0, len(lines), LOKI_LINES):
        records = [json.loads(line) for line in lines[first : first + LOKI_LINES]]
        records.sort(key=_stream)
        streams = [(name, list(found)) for name, found in itertools.groupby(records, key=_stream)]
        bodies.append(_loki_protobuf(streams) if protobuf else _loki_json(streams))
    return bodies


def _stream(record: dict[str, str]) -> tuple[str, str]:
    return record["hostname"], record["app_name"]


def _ns(record: dict[str, str]) -> int:
    return (read_time(record["_time"]) or 0) * 1_000_000


def _loki_json(streams: list[tuple[tuple[str, str], list[dict[str, str]]]]) -> bytes:
    return json.dumps(
        {
            "streams": [
                {
                    "stream": {"host": host, "job": job},
                    "values": [[str(_ns(record)), record["_msg"]] for record in records],
                }
                for (host, job), records in streams
            ]
        },
        separators=(",", ":"),
    ).encode()


def _loki_protobuf(streams: list[tuple[tuple[str, str], list[dict[str, str]]]]) -> bytes:
    push = PushRequest()
    for (host, job), records in streams:
        stream = push.streams.add(labels=f'{{host="{host}", job="{job}"}}'.encode())
        for record in records:
            entry = stream.entries.add(line=record["_msg"].encode())
            entry.time.seconds, entry.time.nanos = divmod(_ns(record), 10**9)
    sent: bytes = push.SerializeToString()
    return sent


def make(kind: str, lines: list[bytes], most: int, received_at_ms: int) -> tuple[list[bytes], Read]:
    """The bodies, and what reads one."""
    names = names_with()
    if kind == "jsonlines":
        bodies = make_lines_bodies(lines, most)
        return bodies, lambda body: jsonlines.read(body, names, received_at_ms=received_at_ms)
    if kind == "elasticsearch":
        bodies = make_lines_bodies([b'{"create":{"_index":"logs"}}\n' + line for line in lines], most)
        return bodies, lambda body: elasticsearch.read(body, names, received_at_ms=received_at_ms).reading
    protobuf = kind == "loki-protobuf"
    read = loki.read_protobuf if protobuf else loki.read_json
    return make_loki_bodies(lines, protobuf=protobuf), lambda body: read(body, received_at_ms=received_at_ms)


def main() -> None:
    """Read everything a few times."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", type=Path)
    arguments.add_argument(
        "--as", dest="kind", default="jsonlines",
        choices=("jsonlines", "elasticsearch", "loki-json", "loki-protobuf"),
    )  # fmt: skip
    arguments.add_argument("--lines", type=int, default=1_000_000)
    arguments.add_argument("--body-bytes", type=int, default=4 << 20)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    pa.set_cpu_count(1)
    lines = given.file.read_bytes().split(b"\n", given.lines)[: given.lines]
    lines = [line for line in lines if line]
    received_at_ms = (read_time(json.loads(lines[-1])["_time"]) or 0) + 1000
    bodies, read = make(given.kind, lines, given.body_bytes, received_at_ms)
    read(bodies[0])  # compiles
    used, took = [], []
    for _ in range(given.rounds):
        cpu, began, count = _cpu_s(), time.perf_counter(), 0
        for body in bodies:
            found = read(body)
            count += len(found.pushed.logs)
            assert not found.refused_count
        used.append((_cpu_s() - cpu) / count * 1e6)
        took.append(count / (time.perf_counter() - began))
    print(
        json.dumps(
            {
                "format": given.kind,
                "lines": len(lines),
                "bytes_a_line": round(sum(map(len, bodies)) / len(lines), 1),
                "lines_a_second": round(statistics.median(took)),
                "cpu_s_per_million_lines": round(statistics.median(used), 3),
            }
        )
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
