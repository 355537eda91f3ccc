"""How fast JSON lines are read: lines a second, and CPU seconds for a million lines, as JSON.

    python benchmarks/jsonlines_parse.py FILE [--lines N] [--batch-bytes N] [--rounds N]

FILE holds one object a line; its times may be of any day.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import pyarrow as pa

from forestall.intake.formats.fields import LATE_MAX_MS, names_with
from forestall.intake.formats.json_columns import read_json_records
from forestall.intake.formats.jsonlines import find_lines, read


def cut_bodies(text: bytes, most: int) -> list[bytes]:
    """The text in bodies of whole lines."""
    bodies, at = [], 0
    while at < len(text):
        end = len(text) if at + most >= len(text) else text.rfind(b"\n", at, at + most) + 1
        bodies.append(text[at:end])
        at = end
    return bodies


def main() -> None:
    """Read everything in batches, on one core, a few times."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--lines", type=int, default=1_000_000)
    arguments.add_argument("--batch-bytes", type=int, default=4 << 20)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    pa.set_cpu_count(1)
    lines = given.file.read_bytes().split(b"\n", given.lines)[: given.lines]
    bodies = cut_bodies(b"\n".join(lines) + b"\n", given.batch_bytes)
    names = names_with()
    first = read(lines[0], names, received_at_ms=0).pushed.logs
    received_at_ms = int(time.time() * 1000) if not len(first) else _last_ms(lines[-1]) + 1000
    read(bodies[0], names, received_at_ms=received_at_ms)  # compiles
    odd = sum(len(read_json_records(b, *find_lines(b), names, received_at_ms=0).refused) for b in bodies[:1])
    used, took, rows = [], [], 0
    for _ in range(given.rounds):
        cpu, began, rows = _cpu_s(), time.perf_counter(), 0
        for body in bodies:
            rows += len(read(body, names, received_at_ms=received_at_ms).pushed.logs)
        used.append((_cpu_s() - cpu) / rows * 1e6)
        took.append(rows / (time.perf_counter() - began))
    print(
        json.dumps(
            {
                "lines": rows,
                "bytes_a_line": round(sum(map(len, bodies)) / rows, 1),
                "refused_in_first_body": odd,
                "believed_to_days": LATE_MAX_MS // 86_400_000,
                "lines_a_second": round(statistics.median(took)),
                "cpu_s_per_million_lines": round(statistics.median(used), 3),
                "cpu_s_per_million_lines_best": round(min(used), 3),
            }
        )
    )


def _last_ms(line: bytes) -> int:
    from forestall.intake.formats.fields import read_time

    found = json.loads(line)
    return read_time(str(found.get("_time", ""))) or int(time.time() * 1000)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
