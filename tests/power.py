"""A disk whose power can be cut, and that fails as told: a mounted `power_fs`."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

MOUNT_S = 60.0


class PowerDisk:
    """A mounted disk at `place`."""

    def __init__(self, home: Path) -> None:
        self.place = home / "disk"
        self.place.mkdir(parents=True)
        self._control = home / "control"
        self._output = (home / "power_fs.output").open("wb")
        self._home = home
        command = [sys.executable, str(Path(__file__).with_name("power_fs.py"))]
        self._process = subprocess.Popen(
            [*command, str(self.place), str(self._control)], stdout=self._output, stderr=self._output
        )
        self._wait_mounted()

    def _mounted(self) -> bool:
        with suppress(OSError):
            return os.path.ismount(self.place)
        return False

    def _wait_mounted(self) -> None:
        deadline = time.monotonic() + MOUNT_S
        while not self._mounted():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._home / "power_fs.output").read_text()
                pytest.skip(f"no FUSE file system can be mounted here: {said[-500:]}")
            time.sleep(0.02)

    def say(self, **what: Any) -> dict[str, Any]:
        """Tell the file system."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(MOUNT_S)
            line.connect(str(self._control))
            with line.makefile("rw") as both:
                both.write(json.dumps(what) + "\n")
                both.flush()
                return dict(json.loads(both.readline()))

    def freeze(self) -> None:
        """The power goes: whatever runs gets nothing to the disk any more. End it, then `power_on`."""
        self.say(do="freeze")

    def power_on(self, *, keep: float = 0.0, seed: int = 0) -> None:
        """Mounted again, with what was synced and about `keep` of what was not."""
        self.say(do="cut", keep=keep, seed=seed)
        self._unmount()
        self._wait_mounted()

    def fail(self, *rules: tuple[str, str, int]) -> None:
        """Requests (op, a part of the path, errno) fail from now on; without rules none does."""
        self.say(do="faults", rules=[dict(zip(("op", "path", "errno"), rule, strict=True)) for rule in rules])

    def _unmount(self) -> None:
        done = subprocess.run(["umount", str(self.place)], check=False, capture_output=True)
        if done.returncode:
            subprocess.run(["umount", "-l", str(self.place)], check=False, capture_output=True)

    def close(self) -> None:
        self._unmount()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


@contextmanager
def power_disk(home: Path) -> Iterator[PowerDisk]:
    """A disk whose power can be cut; skipped where nothing can be mounted."""
    home.mkdir(parents=True, exist_ok=True)
    disk = PowerDisk(home)
    try:
        yield disk
    finally:
        disk.close()
