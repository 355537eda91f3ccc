"""A running console for the browser: store and web roles as processes of their own, on free ports."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from contract.telemetry_store import free_port
from forestall.kernel.datadir import DataDir

TESTS = Path(__file__).parents[1]
READY_S = 180


class Installation:
    """An installation of its own in `directory`; `seeded` says which identifiers are in it."""

    def __init__(
        self,
        directory: Path,
        *,
        empty: bool = False,
        store: bool = True,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data = DataDir(directory)
        self.data.create()
        self.url = f"http://127.0.0.1:{free_port()}"
        self._empty = empty
        self._roles = ("store", "web") if store else ("web",)
        self._started: list[subprocess.Popen[bytes]] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FORESTALL_")}
        self._environment = clean | {
            "FORESTALL_DATA": str(directory),
            "FORESTALL_PORTS__WEB": self.url.rsplit(":", 1)[1],
            "FORESTALL_PORTS__STORE": str(free_port()),
            "FORESTALL_LIMITS__STORE_MEMORY_BYTES": str(512 << 20),
            "PYTHONPATH": str(TESTS),
            "DJANGO_SETTINGS_MODULE": "forestall.web.settings",
            **(settings or {}),
        }
        self.seeded: dict[str, Any] = {}

    def __enter__(self) -> "Installation":
        try:
            if "store" in self._roles:
                self._start("store")
            self.seeded = json.loads(self.script(*(["empty"] if self._empty else [])))
            self._start("web")
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def script(self, *arguments: str) -> str:
        """Run `console_seed` on this installation; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "console_seed", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=READY_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _start(self, role: str) -> None:
        command = [sys.executable, "-m", "forestall.processes.role", role]
        self._started.append(subprocess.Popen(command, env=self._environment))

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(self.url + "/healthz", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline, f"{self.url} does not answer"
                assert self._started[-1].poll() is None, "the web role ended"
                time.sleep(0.1)
