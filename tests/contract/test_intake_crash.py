"""The pump is killed again and again while frames come in: the store has everything, once."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from forestall.intake.envelope import Envelope, encode_envelope, pack_lines
from forestall.intake.queue import QueueWriter

PUMP = """
import json, os, sys, time
from pathlib import Path
from forestall.intake.pump import Pace, Pump
from forestall.intake.route import Directory, RoutedAsset
from forestall.kernel.clock import SystemClock
from forestall.kernel.ids import from_number

class Judge:
    count = 0
    def restore(self, state): self.count = int(state)
    def snapshots(self, snapshots): pass
    def step(self, decoded): self.count += len(decoded.logs)
    def tick(self, now_ms): pass
    def save(self): return str(self.count).encode()

class Store:
    def write(self, decoded, token):
        with open(sys.argv[2], "a") as file:
            file.write(json.dumps([token, decoded.logs.message.to_pylist()]) + "\\n")

directory = Directory([RoutedAsset(from_number(2), from_number(1), "srv", ("10.0.0.5",))], [])
pump = Pump(Path(sys.argv[1]), judge=Judge(), store=Store(), load_directory=lambda: directory,
            clock=SystemClock(), reject=print, pace=Pace(poll_s=0.01, checkpoint_every_ms=50))
pump.start()
print("ready", flush=True)
sys.stdin.read()
pump.stop()
"""


def read_store(path: Path) -> dict[str, list[str]]:
    """What the store keeps: a token that comes again brings the same, and is dropped."""
    kept: dict[str, list[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        token, messages = json.loads(line)
        assert kept.setdefault(token, messages) == messages
    return kept


def test_the_pump_is_killed_again_and_again(tmp_path: Path) -> None:
    dice = random.Random(7)
    root, store = tmp_path / "queue", tmp_path / "store"
    writer = QueueWriter(root / "web", max_bytes=1 << 24, segment_bytes=4000)
    sent = 0

    def put(count: int) -> None:
        nonlocal sent
        futures = []
        for _ in range(count):
            body = pack_lines([f"<13>m{sent} ".encode() + b"x" * dice.randrange(200)])
            futures.append(
                writer.append(
                    encode_envelope(Envelope("syslog", 1_700_000_000_000, "", "", "10.0.0.5", body))
                )
            )
            sent += 1
        for future in futures:
            future.result(10)

    for turn in range(6):
        put(20)
        process = subprocess.Popen(
            [sys.executable, "-c", PUMP, str(root), str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"ready\n"
        if turn < 5:
            for _ in range(dice.randrange(1, 25)):
                put(3)
            process.kill()
        else:
            deadline = time.monotonic() + 60
            while sum(map(len, read_store(store).values())) < sent and time.monotonic() < deadline:
                time.sleep(0.02)
            process.stdin.close()
        process.wait(20)
        process.stdout.close()
    writer.close()
    numbers = [int(text.split(" ")[0][1:]) for messages in read_store(store).values() for text in messages]
    assert sorted(numbers) == list(range(sent))
