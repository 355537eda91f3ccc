"""What tests of outside programs share: a web process with a token, and what it made durable."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.daemons import free_port
from forestall.intake.envelope import decode_envelope
from forestall.intake.pushed import Pushed, PushedOutcome, decode_pushed
from forestall.intake.queue import START, QueueReader

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A web process that listens."""

    data: Path
    url: str
    port: int
    token: str
    heartbeat: str

    def pushed(self) -> list[Pushed]:
        """What is durable in its queue."""
        reader, position = QueueReader(self.data / "queue" / "web"), START
        found: list[Pushed] = []
        while frames := reader.read(position, max_bytes=1 << 28):
            position = frames[-1][0]
            for _, frame in frames:
                envelope = decode_envelope(frame)
                if envelope.kind == "pushed":
                    found.append(decode_pushed(envelope.body))
        return found

    def samples(self) -> list[tuple[str, str, str, int, float]]:
        """(host, metric, item, ms, value) of every sample."""
        return [
            row
            for one in self.pushed()
            for row in zip(
                one.samples.host.to_pylist(),
                one.samples.metric.to_pylist(),
                one.samples.item.to_pylist(),
                one.samples.at_ms.tolist(),
                one.samples.value.tolist(),
                strict=True,
            )
        ]

    def logs(self) -> list[tuple[str, str, int, str, str]]:
        """(host, source, severity, message, attrs) of every line."""
        return [
            row
            for one in self.pushed()
            for row in zip(
                one.logs.host.to_pylist(),
                one.logs.source.to_pylist(),
                one.logs.severity.tolist(),
                one.logs.message.to_pylist(),
                one.logs.attrs.to_pylist(),
                strict=True,
            )
        ]

    def outcomes(self) -> list[PushedOutcome]:
        """Every outcome."""
        return [outcome for one in self.pushed() for outcome in one.outcomes]


@contextmanager
def installation(data: Path) -> Iterator[Installation]:
    """A web process of its own, ended afterwards."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("push_server.py")), str(data), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        told = process.stdout.readline().strip()
        assert told, "the server did not start"
        tokens = json.loads(told)
        yield Installation(data, f"http://127.0.0.1:{port}", port, tokens["asset"], tokens["heartbeat"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def until(happened: Callable[[], bool], what: str) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.1)
