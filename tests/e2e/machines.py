"""Real things that break: a host at the end of a wire (a network namespace), a small disk (a loop device),
the agent of a second machine. Those of the kernel need root; where it refuses, the test is skipped."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from e2e.installation import COMMAND, environment

DISK_BYTES = 32 << 20
LISTENER = """
import asyncio, sys
async def main(ports):
    for port in ports:
        await asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", port)
    print("listening", flush=True)
    await asyncio.Event().wait()
asyncio.run(main([int(port) for port in sys.argv[1:]]))
"""


def system(*command: str | Path) -> None:
    """Run a command that changes the machine. Skips the test with the kernel's words when it is refused."""
    if os.geteuid() != 0:
        pytest.skip(f"{command[0]} needs root")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this kernel refuses {' '.join(map(str, command))}: {done.stderr.strip()}")


class Host:
    """A host with an address of its own at the end of a wire. `near` is this machine's end."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.near, self.far = f"10.213.{number}.1", f"10.213.{number}.2"
        self.network = f"10.213.{number}.0/30"

    def inside(self, *command: str | Path) -> list[str]:
        """A command as it runs on that host."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def switch_off(self) -> None:
        """It answers nothing any more."""
        subprocess.run(self.inside("ip", "link", "set", "wire", "down"), check=True)

    def switch_on(self) -> None:
        """The wire is up again."""
        subprocess.run(self.inside("ip", "link", "set", "wire", "up"), check=True)


@contextmanager
def host_on_a_wire() -> Iterator[Host]:
    """A new network namespace with a wire to it; gone afterwards."""
    number = random.randrange(1, 255)
    host = Host(f"forestall-{os.getpid()}-{number}", number)
    near = f"fs{os.getpid() % 100_000}n{number}"  # at most 15 characters
    try:
        system("ip", "netns", "add", host.name)
        system("ip", "link", "add", near, "type", "veth", "peer", "name", "wire", "netns", host.name)
        system("ip", "address", "add", f"{host.near}/30", "dev", near)
        system("ip", "link", "set", near, "up")
        system(*host.inside("ip", "link", "set", "lo", "up"))
        system(*host.inside("ip", "address", "add", f"{host.far}/30", "dev", "wire"))
        system(*host.inside("ip", "link", "set", "wire", "up"))
        yield host
    finally:
        with suppress(OSError):
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


@contextmanager
def listening(host: Host, ports: Sequence[int]) -> Iterator[None]:
    """A program on that host that accepts connections on all these ports."""
    command = host.inside(sys.executable, "-c", LISTENER, *map(str, ports))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "listening\n"
        yield
    finally:
        process.kill()
        process.communicate()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """An ext4 file system of DISK_BYTES, mounted in `folder`."""
    image, mount = folder / "disk.img", folder / "disk"
    image.touch()
    os.truncate(image, DISK_BYTES)
    mount.mkdir()
    system("mkfs.ext4", "-q", "-m", "0", image)
    system("mount", "-o", "loop", image, mount)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


def fill(mount: Path) -> None:
    """Write until the disk takes nothing any more."""
    with suppress(OSError), (mount / "grown.log").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65_536)


class SecondAgent:
    """The agent of another machine: enrolled by a token, started, killed and started again."""

    def __init__(self, data: Path, *, url: str, token: str) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        command = [*COMMAND, "agent", "enrol", url, token, "--data", str(data)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with self._data.with_name(f"{self._data.name}.output").open("ab") as output:
            self._process = subprocess.Popen(
                [*COMMAND, "agent", "run", "--data", str(self._data)],
                stdout=output,
                stderr=output,
                env=environment(),
            )

    def kill(self) -> None:
        """Without a last word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
