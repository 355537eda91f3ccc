"""What masking of secrets costs where lines are received: CPU seconds for a million lines.

    python benchmarks/covering.py CORPUS [--lines N] [--batch N] [--rounds N]

CORPUS is the benchmark corpus (RFC 5424, a line each). Prints JSON, medians of the rounds: `parse` reads the
lines into columns, `cover` looks at those columns for secrets, which the corpus has none of (how many lines
were searched in columns, and one by one, beside it); the others are the same with every line, and every
hundredth, replaced by a configuration command or an access to a web page with a secret in it.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forestall.collect.masking import Masker
from forestall.collect.parsers.syslog import parse_syslog
from forestall.intake.covering import Covering
from forestall.kernel.columns import LogColumns

COMMAND = b"%%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:snmp-server community Zq%d RO"
ACCESS = b'10.1.1.1 "GET /items?id=7&token=Zq%d HTTP/1.1" 200 512'
ALONE = 20_000


def columns_of(lines: list[bytes], now_ms: int) -> LogColumns:
    """As decoding has them."""
    offsets = np.cumsum([0, *map(len, lines)])
    parsed = parse_syslog(b"".join(lines), offsets, received_at_ms=np.full(len(lines), now_ms))
    numbers = np.ones(len(lines), np.uint64)
    return LogColumns(
        numbers, numbers, parsed.at_ms, np.full(len(lines), now_ms), parsed.severity, parsed.facility,
        parsed.source, parsed.host, parsed.message, parsed.raw, parsed.attrs, parsed.form, parsed.rest,
    )  # fmt: skip


def mixed(lines: list[bytes], every: int, text: bytes) -> list[bytes]:
    """Every so-manieth line says something else."""
    return [
        b"%s - - - %s" % (line.split(b" - ", 1)[0], text % place) if place % every == 0 else line
        for place, line in enumerate(lines)
    ]


def measured(what: Callable[[], object], lines: int, rounds: int) -> float:
    """CPU seconds a million lines, median."""
    took = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_SELF)
        what()
        after = resource.getrusage(resource.RUSAGE_SELF)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(statistics.median(took) / lines * 1e6, 3)


def cost(lines: list[bytes], covering: Covering, given: argparse.Namespace) -> dict[str, float]:
    """What parsing and covering these lines take."""
    now_ms = int(time.time() * 1000)
    parts = [lines[at : at + given.batch] for at in range(0, len(lines), given.batch)]
    batches = [columns_of(part, now_ms) for part in parts]
    covered = [covering.logs(one) for one in batches]
    return {
        "parse": measured(lambda: [columns_of(part, now_ms) for part in parts], len(lines), given.rounds),
        "cover": measured(lambda: [covering.logs(one) for one in batches], len(lines), given.rounds),
        "lines_changed": sum(
            pc.sum(pc.not_equal(one.message, other.message)).as_py()
            for one, other in zip(batches, covered, strict=True)
        ),
    }


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--lines", type=int, default=500_000)
    arguments.add_argument("--batch", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    pa.set_cpu_count(1)
    lines = given.corpus.read_bytes().split(b"\n")[: given.lines]
    covering = Covering(Masker(b"k" * 32))
    found: dict[str, object] = {"lines": len(lines)}
    for name, every, text in (
        ("as it is", 0, b""), ("a command in a hundred", 100, COMMAND),
        ("an access with a token in a hundred", 100, ACCESS), ("commands alone", 1, COMMAND),
        ("accesses with a token alone", 1, ACCESS),
    ):  # fmt: skip
        used = lines[: given.lines if every != 1 else ALONE]
        found[name] = cost(mixed(used, every, text) if every else used, covering, given)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
