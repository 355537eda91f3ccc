"""How fast syslog is parsed: lines a second, and CPU seconds for a million lines.

    python benchmarks/syslog_parse.py [FILE] [--lines N] [--batch N]

FILE holds one message a line; without it, a mixture of RFC 5424, RFC 3164 and oddities is made.
"""

import argparse
import random
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from forestall.collect.parsers.syslog import parse_syslog
from forestall.collect.parsers.syslog_scan import PAD_BYTES, scan
from forestall.kernel.clock import from_ms

SHAPES = (
    (45, "<{pri}>1 {iso} {host} {app} {pid} - - {text}"),
    (45, "<{pri}>{bsd} {host} {app}[{pid}]: {text}"),
    (8, '<{pri}>1 {iso} {host} {app} {pid} - [timeQuality tzKnown="1" isSynced="1"] {text}'),
    (2, "<{pri}>{pid}: {host}: {bsd}.123 UTC: %LINK-3-UPDOWN: {text}"),
)


def make_lines(count: int, now_ms: int, seed: int = 1) -> list[bytes]:
    """A mixture, reproducible for a seed."""
    dice = random.Random(seed)
    shapes = [shape for weight, shape in SHAPES for _ in range(weight)]
    lines = []
    for k in range(count):
        at = from_ms(now_ms - 3_600_000 + k * 3_600_000 // count)
        lines.append(
            dice.choice(shapes)
            .format(
                pri=dice.randrange(192),
                iso=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                bsd=at.strftime("%b %e %H:%M:%S"),
                host=f"srv{dice.randrange(500):03d}",
                app=dice.choice(("sshd", "kernel", "nginx", "postfix/smtpd")),
                pid=dice.randrange(1, 60_000),
                text=f"session opened for user u{dice.randrange(900)} from 10.0.{dice.randrange(255)}.7",
            )
            .encode()
        )
    return lines


def main() -> None:
    """Parse everything once, in batches, on one core."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", nargs="?", type=Path)
    arguments.add_argument("--lines", type=int, default=500_000)
    arguments.add_argument("--batch", type=int, default=50_000)
    given = arguments.parse_args()
    now_ms = int(time.time() * 1000)
    lines = (
        given.file.read_bytes().split(b"\n")[: given.lines] if given.file else make_lines(given.lines, now_ms)
    )
    pa.set_cpu_count(1)
    batches = []
    for first in range(0, len(lines), given.batch):
        part = lines[first : first + given.batch]
        offsets = np.cumsum([0, *map(len, part)])
        batches.append((b"".join(part), offsets, np.full(len(part), now_ms)))
    plain = sum(
        int(scan(np.frombuffer(b + bytes(PAD_BYTES), np.uint8), o, r, np.zeros(len(r), np.int64)).plain.sum())
        for b, o, r in batches
    )
    used, began = _cpu_s(), time.perf_counter()
    for buffer, offsets, received in batches:
        parse_syslog(buffer, offsets, received_at_ms=received)
    used, took = _cpu_s() - used, time.perf_counter() - began
    count = len(lines)
    print(f"{count} lines of {sum(map(len, lines)) / count:.0f} bytes, {plain / count:.1%} plain")
    print(f"{count / took:,.0f} lines/s, {used / count * 1e6:.2f} CPU s for a million lines")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
