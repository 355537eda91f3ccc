"""The real store process, for tests: started as a process of its own, killed and started again at will."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.telemetry.client import Store
from forestall.telemetry.vocabulary import Vocabulary
from forestall.telemetry.write import insert_logs

READY_S = 90


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


class StoreProcess:
    """A store in a directory; `store` is a client of it with the tables made."""

    def __init__(self, directory: Path, memory_bytes: int = 1 << 30) -> None:
        self.directory = directory
        self.memory_bytes = memory_bytes
        self.port = free_port()
        self.key_file = directory / "key"
        self.key_file.write_bytes(b"\x05" * 32)
        self.key = self.key_file.read_bytes().hex()
        self.store = Store("127.0.0.1", self.port, password=self.key)

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "forestall.telemetry.store_process",
            "--path",
            str(self.directory / "data"),
        ]
        command += ["--port", str(self.port), "--key-file", str(self.key_file)]
        command += ["--memory-bytes", str(self.memory_bytes)]
        self.process = subprocess.Popen(command)
        self.store.wait_ready(READY_S)
        self.store.ensure_schema()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@contextlib.contextmanager
def start_store(directory: Path, memory_bytes: int = 1 << 30) -> Iterator[StoreProcess]:
    """A running store, ended at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    running = StoreProcess(directory, memory_bytes)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def log_columns(
    messages: Sequence[str],
    *,
    client: int = 1,
    asset: int = 2,
    at_ms: int = 1_764_000_000_000,
    step_ms: int = 1000,
    severity: int = 6,
    source: str = "app",
    host: str = "host",
    attrs: str = "",
) -> LogColumns:
    count = len(messages)
    at = np.arange(count, dtype=np.int64) * step_ms + at_ms
    return LogColumns(
        client=np.full(count, client, np.uint64),
        asset=np.full(count, asset, np.uint64),
        at_ms=at,
        received_at_ms=at,
        severity=np.full(count, severity, np.uint8),
        facility=np.full(count, 1, np.uint8),
        source=pa.array([source] * count),
        host=pa.array([host] * count),
        message=pa.array(list(messages)),
        raw=pa.array([""] * count),
        attrs=pa.array([attrs] * count),
    )


def sample_columns(
    values: Sequence[float],
    *,
    client: int = 1,
    asset: int = 2,
    metric: str = "cpu.used_ratio",
    item: str = "",
    at_ms: int = 1_764_000_000_000,
    step_ms: int = 10_000,
) -> SampleColumns:
    count = len(values)
    return SampleColumns(
        client=np.full(count, client, np.uint64),
        asset=np.full(count, asset, np.uint64),
        metric=pa.array([metric] * count),
        item=pa.array([item] * count),
        at_ms=np.arange(count, dtype=np.int64) * step_ms + at_ms,
        value=np.array(values, np.float64),
    )


def write_logs(store: Store, columns: LogColumns, *, token: str) -> None:
    """Insert as a writer does that has just been started."""
    insert_logs(store, columns, token=token, vocabulary=Vocabulary(store))
