"""The power is cut under the queue, an agent's spool, the store: what was acknowledged is there, once."""

import errno
import random
from pathlib import Path

import pytest

from contract.telemetry_store import StoreProcess, log_columns
from forestall.collect.agent.spool import Spool
from forestall.intake.cursors import Checkpoint, QueuePlace, read_checkpoint, write_checkpoint
from forestall.intake.queue import START, QueueBroken, QueueReader, QueueWriter
from forestall.intake.values import QueueFull
from forestall.kernel.durable import make_directory
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import LogRecord, Observations
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs
from power import PowerDisk, power_disk

CUTS = 12
STORE_CUTS = 2
LINES = 10


def read_all(directory: Path) -> list[bytes]:
    reader, at, found = QueueReader(directory), START, []
    while part := reader.read(at, max_bytes=1 << 20):
        found += [frame for _, frame in part]
        at = part[-1][0]
    return found


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_the_queue_has_every_acknowledged_frame(tmp_path: Path, keep: float) -> None:
    dice, taken = random.Random(int(keep * 10)), []
    with power_disk(tmp_path / "power") as disk:
        queue, cursor = disk.place / "data" / "queue" / "watch", disk.place / "data" / "queue" / "judge"
        for cut in range(CUTS):
            writer = QueueWriter(queue, max_bytes=1 << 28, segment_bytes=20_000)
            for _ in range(dice.randrange(1, 25)):
                frame = b"%d " % len(taken) + dice.randbytes(dice.randrange(1, 6000))
                writer.append(frame).result(20)
                taken.append(frame)
                noted = len(taken)
                write_checkpoint(cursor, Checkpoint({"watch": QueuePlace(noted, 0)}))
            late = [writer.append(b"on the way") for _ in range(3)]
            disk.freeze()
            writer.close()
            assert all(one.done() for one in late)
            taken += [b"on the way" for one in late if one.exception() is None]
            disk.power_on(keep=keep, seed=cut)
            QueueWriter(queue, max_bytes=1 << 28).close()  # readers go on when the writer has looked
            found = [frame for frame in read_all(queue) if frame != b"on the way"]
            assert found == [frame for frame in taken if frame != b"on the way"], f"after cut {cut}"
            kept = read_checkpoint(cursor)
            assert kept and kept.places["watch"].segment == noted


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_the_spool_of_an_agent_has_every_batch(tmp_path: Path, keep: float) -> None:
    with power_disk(tmp_path / "power") as disk:
        home, put = disk.place / "agent" / "spool", []
        for cut in range(4):
            spool = Spool(home, now_ms=1_700_000_000_000)
            for _ in range(5):
                logs = [LogRecord(at_ms=1, severity=6, source="s", message="m")]
                put.append(spool.put([Observations(logs=logs)], at_ms=1, memory=b"%d" % len(put)))
            disk.freeze()
            disk.power_on(keep=keep, seed=cut)
            found = Spool(home, now_ms=1_700_000_000_000)
            assert len(found) == len(put), f"after cut {cut}"
            assert found.memory == b"%d" % (len(put) - 1)
        assert len(set(put)) == len(put), "a number was used twice"


def test_a_disk_that_fails_and_one_that_is_full(tmp_path: Path) -> None:
    """EIO breaks the writer, which is told and begins again; a full disk turns away, and goes on."""
    told: list[QueueBroken] = []
    with power_disk(tmp_path / "power") as disk:
        queue = disk.place / "queue"
        writer = QueueWriter(queue, max_bytes=1 << 28, on_broken=told.append)
        writer.append(b"kept").result(20)
        disk.fail(("sync", ".segment", errno.EIO))
        with pytest.raises(QueueBroken):
            writer.append(b"never acknowledged").result(20)
        writer.close()
        assert told and "Input/output error" in str(told[0])
        with pytest.raises(Trouble, match="Check that disk"):
            QueueWriter(queue, max_bytes=1 << 28)
        disk.fail()
        writer = QueueWriter(queue, max_bytes=1 << 28)
        disk.say(do="capacity", bytes=60_000)
        with pytest.raises(QueueFull, match="is full"):
            for _ in range(20):
                writer.append(b"x" * 9_000).result(20)
        before = read_all(queue)
        disk.say(do="capacity", bytes=1 << 30)
        writer.append(b"goes on").result(20)
        writer.close()
        assert before[0] == b"kept" and read_all(queue) == [*before, b"goes on"]


def insert(running: StoreProcess, vocabulary: Vocabulary, number: int) -> None:
    messages = [f"line {number * LINES + row} of the test" for row in range(LINES)]
    insert_logs(running.store, log_columns(messages), token=f"range {number}", vocabulary=vocabulary)


def counted(running: StoreProcess) -> tuple[int, int]:
    rows = running.store.select("SELECT count(), uniqExact(message) FROM forestall.lines")
    return int(rows[0][0]), int(rows[0][1])


def start(running: StoreProcess, disk: PowerDisk) -> Vocabulary:
    running.start()
    return Vocabulary(running.store)


def test_the_store_has_every_insert_that_was_answered_once(tmp_path: Path) -> None:
    """The last insert is made again after each cut, as the intake does."""
    with power_disk(tmp_path / "power") as disk:
        make_directory(disk.place / "store")
        running = StoreProcess(disk.place / "store")
        disk.say(do="settle")  # the key, which the test wrote
        vocabulary, number = start(running, disk), 0
        try:
            for cut in range(STORE_CUTS):
                for _ in range(12):
                    insert(running, vocabulary, number)
                    number += 1
                if cut == 1:
                    running.store.command("OPTIMIZE TABLE forestall.logs FINAL")
                disk.freeze()
                running.kill()
                disk.power_on(keep=0.5 * (cut % 2), seed=cut)
                vocabulary = start(running, disk)
                assert counted(running) == (number * LINES, number * LINES), f"after cut {cut}"
                insert(running, vocabulary, number - 1)
                assert counted(running) == (number * LINES, number * LINES), f"again after cut {cut}"
        finally:
            running.kill()
