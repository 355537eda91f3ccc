"""The supervisor with real processes: what ends is started again, what is told to end ends."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from forestall.processes.supervisor import Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def wait_until(supervisor: Supervisor, condition: object, timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        supervisor.look()
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_a_killed_role_comes_back_and_the_reason_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)
    supervisor.add("store", SLEEPER)
    try:
        supervisor.look()
        first = supervisor.children[0].process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        child = supervisor.children[0]
        assert wait_until(supervisor, lambda: child.process is not None and child.process.pid != first.pid)
        assert "SIGKILL" in said[0]
        kept = json.loads((tmp_path / "restarts.json").read_text())
        assert [entry["role"] for entry in kept] == ["store"]
    finally:
        supervisor.end()
    assert supervisor.children[0].process is not None
    assert supervisor.children[0].process.poll() is not None


def test_a_role_that_cannot_start_is_not_started_ever_faster(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda line: None)
    supervisor.add("web", [sys.executable, "-c", "raise SystemExit(3)"])
    child = supervisor.children[0]
    assert wait_until(supervisor, lambda: child.restarts >= 2)
    assert child.pause_s > 0.5
    supervisor.end()
