"""The spool: a kill loses nothing, no number comes twice, the oldest give way and are counted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.agent.packing import pack
from forestall.collect.agent.spool import Spool, count_rows
from forestall.kernel.observations import (
    Batch,
    LogRecord,
    Observations,
    Outcome,
    Sample,
    Snapshot,
    decode_batch,
    encode_batch,
)

NOW_MS = 1_700_000_000_000


def part(count: int = 1, text: str = "") -> list[Observations]:
    return [Observations(samples=[Sample(1, "a.b", text, float(n)) for n in range(count)])]


def read(body: bytes) -> Batch:
    return decode_batch(zstandard.ZstdDecompressor().decompress(body))


def drain(spool: Spool) -> list[Batch]:
    found = []
    while waiting := spool.first():
        found.append(read(waiting[1]))
        spool.done(waiting[0])
    return found


def test_batches_come_in_order_and_their_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, now_ms=NOW_MS)
    numbers = [spool.put(part(), at_ms=1) for _ in range(3)]
    assert [batch.number for batch in drain(spool)] == numbers
    again = Spool(tmp_path, now_ms=NOW_MS)
    assert again.put(part(), at_ms=1) > max(numbers)
    for file in tmp_path.iterdir():
        file.unlink()
    assert Spool(tmp_path, now_ms=NOW_MS + 5_000).put(part(), at_ms=1) > max(numbers)


def test_the_oldest_give_way_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, now_ms=NOW_MS, bytes_max=1200)
    for _ in range(30):
        spool.put(part(7, os.urandom(20).hex()), at_ms=1)
    assert spool.size_bytes <= 1200
    left = drain(spool)
    assert spool.dropped_total == 7 * (30 - len(left)) > 0
    assert sum(batch.dropped for batch in left) <= spool.dropped_total
    assert left[-1].dropped == 7
    assert [batch.number for batch in left] == sorted(batch.number for batch in left)


def test_a_damaged_batch_is_dropped_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, now_ms=NOW_MS)
    spool.put(part(5), at_ms=1)
    spool.put(part(2), at_ms=1)
    damaged = min(tmp_path.glob("*.batch"))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    again = Spool(tmp_path, now_ms=NOW_MS)
    assert [count_rows(batch.observations) for batch in drain(again)] == [2]
    again.put(part(1), at_ms=1)
    assert drain(again)[0].dropped == 5


def test_memory_is_as_durable_as_the_batch_it_belongs_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path, now_ms=NOW_MS)
    spool.put(part(), at_ms=1, memory=b"one")
    spool.put(part(), at_ms=1, memory=b"two")
    assert Spool(tmp_path, now_ms=NOW_MS).memory == b"two"
    (tmp_path / "memory").unlink()  # as if it was killed before it was written
    assert Spool(tmp_path, now_ms=NOW_MS).memory == b"two"
    drain(Spool(tmp_path, now_ms=NOW_MS))


PROGRAM = """
import sys
from pathlib import Path
from forestall.collect.agent.spool import Spool
from forestall.kernel.observations import Observations, Sample
spool = Spool(Path(sys.argv[1]), now_ms=1700000000000)
at = int(spool.memory or b"0")
print("from", at, flush=True)
while True:
    at += 1
    number = spool.put([Observations(samples=[Sample(1, "a.b", "", float(at))])], at_ms=1, memory=b"%d" % at)
    print(number, at, flush=True)
"""


def test_killed_again_and_again(tmp_path: Path) -> None:
    said: dict[int, int] = {}
    for turn in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        heard = [process.stdout.readline() for _ in range(5 + 7 * turn)]
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0]
        for line in (*heard, *rest.splitlines()):
            words = line.split()
            if len(words) == 2 and words[0] != "from":
                assert int(words[0]) not in said
                said[int(words[0])] = int(words[1])
    batches = drain(Spool(tmp_path, now_ms=NOW_MS))
    values = [sample.value for batch in batches for part in batch.observations for sample in part.samples]
    assert values == [float(n) for n in range(1, len(values) + 1)]  # each once, none left out
    kept = {batch.number: int(batch.observations[0].samples[0].value) for batch in batches}
    assert said.items() <= kept.items()


def test_what_is_too_large_for_a_batch_is_divided() -> None:
    logs = [LogRecord(1, 6, "x", "m" * 60_000) for _ in range(400)]
    samples = [Sample(1, "a.b", "", float(n)) for n in range(60_000)]
    snapshots = [Snapshot(1, f"k{n}", "t" * 1_000_000) for n in range(12)]
    outcomes = {"a": [Outcome(1, "p", "tcp", "t", True, "r", 1.0)] * 12_000}
    batches = pack(logs=logs, samples=samples, snapshots=snapshots, outcomes=outcomes)
    again = [decode_batch(encode_batch(Batch(1, 1, parts))) for parts in batches]
    parts = [one for batch in again for one in batch.observations]
    assert [log for one in parts for log in one.logs] == logs
    assert [sample for one in parts for sample in one.samples] == samples
    assert [snapshot for one in parts for snapshot in one.snapshots] == snapshots
    assert sum(len(one.outcomes) for one in parts if one.asset == "a") == 12_000


@given(st.lists(st.text(max_size=50), max_size=20), st.integers(0, 30))
def test_packing_keeps_everything(messages: list[str], count: int) -> None:
    logs = [LogRecord(1, 6, "x", message) for message in messages]
    batches = pack(logs=logs, samples=part(count)[0].samples, snapshots=[], outcomes={})
    assert [log for parts in batches for one in parts for log in one.logs] == logs
    assert sum(len(one.samples) for parts in batches for one in parts) == count
    assert bool(batches) == bool(logs or count)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path, now_ms=NOW_MS)
    spool.put(part(), at_ms=1)
    with pytest.raises(ValueError, match="at most"):
        spool.put([Observations(logs=[LogRecord(1, 6, "x", "m" * 260_000)] * 40)], at_ms=1)
