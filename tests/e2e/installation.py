"""A whole installation as a process: `forestall up` on a directory and free ports of its own."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

READY_S = 90.0
STOP_S = 90.0
PORTS = {
    "web": 8080,
    "syslog": 5514,
    "syslog_tls": 6514,
    "relp": 2514,
    "traps": 1162,
    "zabbix": 10051,
    "smtp": 8025,
    "store": 8123,
}
COMMAND = (sys.executable, "-c", "from forestall.processes.cli import main; main()")
DESK = Path(__file__).with_name("desk.py")


def environment() -> dict[str, str]:
    """The environment without what the tests have set for themselves."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FORESTALL_") and name not in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL")
    }


PATIENCE = 4.0  # how soon things happen is measured in benchmarks, never asserted here


def free_offset() -> int:
    """An offset at which all ports of an installation are free now."""
    for _ in range(200):
        offset = random.randrange(1_000, 40_000)
        with suppress(OSError):
            for port in PORTS.values():
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as trial:
                        trial.bind(("127.0.0.1", port + offset))
            return offset
    raise AssertionError("no free ports")


def poll(happened: Callable[[], Any], *, within_s: float, what: str, every_s: float = 0.2) -> Any:
    """Ask until the answer is true, and give it. Raises AssertionError when it is not within `within_s` of an
    idle machine; a busy one is given PATIENCE times as long."""
    deadline = time.monotonic() + PATIENCE * within_s
    while True:
        if found := happened():
            return found
        assert time.monotonic() < deadline, f"within {within_s:g} s: {what}"
        time.sleep(every_s)


class Desk:
    """Asks the tables and the store of an installation."""

    def __init__(self, data: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(DESK), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def ask(self, body: str) -> Any:
        """What the body of a function returns. Raises AssertionError when it raises."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(body) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline() or '{"error": "the desk has ended"}')
        assert "error" not in said, said["error"]
        return said["answer"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Installation:
    """A running installation. `url` is its console, `output` everything that it printed."""

    def __init__(self, data: Path, *, offset: int = 0, output: Path | None = None) -> None:
        self.data = data
        self.offset = offset or free_offset()
        self.output = output or data.with_name(f"{data.name}.output")
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--data", str(data), "--port-offset", str(self.offset)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        self.url = ""

    def wait_ready(self) -> None:
        """Until it says that it is ready."""

        def said() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            lines = self.output.read_text().splitlines()
            self.url = next((line.split()[1] for line in lines if line.startswith("ready ")), "")
            return bool(self.url)

        poll(said, within_s=READY_S, what="ready")
        self.desk = Desk(self.data)

    def port(self, name: str) -> int:
        return PORTS[name] + self.offset

    def cli(self, *arguments: str) -> str:
        """A command on this installation; its output."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.data)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment() | {"FORESTALL_PORT_OFFSET": str(self.offset)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def found_lines(self, query: str) -> list[str]:
        """The messages that a search finds now, in the lines of the last hour."""
        found: list[str] = self.desk.ask(
            f"""
            import time
            from forestall.telemetry.client import Store, StoreUnavailable
            from forestall.telemetry.scope import EVERY
            from forestall.telemetry.search import search_logs
            store = Store("127.0.0.1", {self.port("store")}, password=found.data.key("store").hex())
            now_ms = int(time.time() * 1000)
            try:
                page = search_logs(store, {query!r}, clients=EVERY, from_ms=now_ms - 3_600_000,
                                   to_ms=now_ms + 60_000, limit=1000)
            except StoreUnavailable:
                return []
            return [line.message for line in page.lines]
            """
        )
        return found

    def role(self, name: str) -> dict[str, Any]:
        """The last sign of life of a role."""
        with suppress(OSError, ValueError):
            return dict(json.loads((self.data / "run" / f"{name}.json").read_text()))
        return {}

    def stop(self) -> None:
        if hasattr(self, "desk"):
            self.desk.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def installed(data: Path) -> Iterator[Installation]:
    """An installation that is ready; stopped afterwards."""
    started = Installation(data)
    try:
        started.wait_ready()
        yield started
    finally:
        started.stop()


def refused(data: Path, *, offset: int) -> subprocess.CompletedProcess[str]:
    """`up` that cannot begin."""
    return subprocess.run(
        [*COMMAND, "up", "--data", str(data), "--port-offset", str(offset)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
