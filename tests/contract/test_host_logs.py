"""Logs of a real systemd-journald, and of a real rsyslogd whose files a real logrotate rotates."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from forestall.collect.host.everywhere import log_files
from forestall.collect.host.linux import journald
from forestall.collect.viewing import NotHere, View
from forestall.kernel.observations import LogRecord

WAIT_S = 60.0
JOURNALD = "/lib/systemd/systemd-journald"


class Watcher:
    """Looks as the agent does, with a memory that survives."""

    def __init__(self, module: ModuleType, root: Path, more: list[str] | None = None) -> None:
        self.module, self.root, self.more = module, root, more or []
        self.kept: dict[str, object] = {}
        self.memory: dict[str, object] = {}
        self.records: list[LogRecord] = []

    def look(self) -> None:
        view = View(
            now_ms=time.time_ns() // 1_000_000,
            steady_s=time.monotonic(),
            memory=self.memory,
            kept=self.kept,
            root=self.root,
            settings={"more": self.more},
        )
        reading = self.module.look(view)
        self.records += reading.logs
        self.kept = self.kept if reading.keep is None else reading.keep

    def restart(self) -> None:
        self.memory = {}

    def messages(self, source: str) -> list[str]:
        return [record.message for record in self.records if record.source == source]

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not happened():
            sizes = {path.name: path.stat().st_size for path in self.root.glob("*")}
            assert time.monotonic() < deadline, (self.records[-2:], self.kept, sizes)
            time.sleep(0.05)
            self.look()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fh-") as name:
        yield Path(name)


@pytest.fixture
def journal(short: Path) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """A journald of our own, in a mount namespace of its own; its /run is below the folder."""
    if os.geteuid() != 0 or not Path(JOURNALD).exists():
        pytest.skip("a journald of one's own needs root and systemd")
    for name in ("run/log/journal", "run/systemd/journal", "etc"):
        (short / name).mkdir(parents=True)
    (short / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    script = f"mount --bind {short}/run /run && mount --bind {short}/etc/machine-id /etc/machine-id"
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"{script} && exec {JOURNALD}"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + WAIT_S
    while not list(short.glob("run/log/journal/*/system.journal")):
        assert process.poll() is None and time.monotonic() < deadline, "journald did not start"
        time.sleep(0.02)
    yield short, process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def send(root: Path, message: bytes, source: str = "test", priority: int = 4) -> None:
    """An entry by journald's native protocol."""
    fields = f"PRIORITY={priority}\nSYSLOG_IDENTIFIER={source}\nMESSAGE\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(str(root / "run/systemd/journal/socket"))
        out.send(fields + len(message).to_bytes(8, "little") + message + b"\n")


def test_the_journal_is_read_once_across_restarts_and_rotation(
    journal: tuple[Path, "subprocess.Popen[bytes]"],
) -> None:
    root, process = journal
    watcher = Watcher(journald, root)
    for number in range(20):
        send(root, b"first %d" % number)
    watcher.until(lambda: len(watcher.messages("test")) >= 20)
    assert watcher.records[-1].severity == 4
    watcher.restart()
    for number in range(20, 40):
        send(root, b"first %d" % number)
    process.send_signal(signal.SIGUSR2)  # rotate
    for number in range(40, 60):
        send(root, b"first %d" % number)
    watcher.until(lambda: len(watcher.messages("test")) >= 60)
    watcher.look()
    assert watcher.messages("test") == [f"first {number}" for number in range(60)]

    send(root, b"x" * 100_000, source="long")
    send(root, b"\xff\xfe not UTF-8", source="odd")
    send(root, b"two\nlines", source="two")
    watcher.until(lambda: bool(watcher.messages("two")))
    assert len(watcher.messages("long")[0]) == journald.MESSAGE_MAX_CHARS
    assert "not UTF-8" in watcher.messages("odd")[0]
    assert watcher.messages("two") == ["two\nlines"]

    again = Watcher(journald, root)
    again.kept = {"cursor": "s=00;i=nonsense"}
    again.look()
    assert "first 59" in again.messages("test")  # thrown away: begun anew with what is there


def test_a_machine_without_a_journal_has_none(tmp_path: Path) -> None:
    with pytest.raises(NotHere):
        Watcher(journald, tmp_path).look()


@pytest.mark.parametrize("way", ["create", "copytruncate", "compress"])
def test_files_of_rsyslogd_rotated_by_logrotate(short: Path, way: str) -> None:
    rsyslogd = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    logrotate = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
    assert rsyslogd and logrotate, "rsyslog and logrotate are not installed: sh tests/install_daemons.sh"
    log, inlet, pid = short / "app.log", short / "in", short / "pid"
    conf = short / "rsyslog.conf"
    conf.write_text(
        f'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="{inlet}" '
        f'RateLimit.Interval="0")\nmodule(load="builtin:omfile" Template="RSYSLOG_FileFormat")\n'
        f'*.* action(type="omfile" file="{log}" FileCreateMode="0644")\n'
    )
    rules = {
        "create": f"create\nrotate 5\npostrotate\nkill -HUP $(cat {pid})\nendscript",
        "compress": f"create\nrotate 5\ncompress\npostrotate\nkill -HUP $(cat {pid}); sleep 0.5\nendscript",
        "copytruncate": "copytruncate\nrotate 5",
    }[way]
    (short / "rotate.conf").write_text(f"{log} {{\nsu root root\n{rules}\n}}\n")
    (short / "rotate.conf").chmod(0o644)
    process = subprocess.Popen([rsyslogd, "-n", "-f", str(conf), "-i", str(pid)], stderr=subprocess.DEVNULL)
    watcher = Watcher(log_files, short, ["app.log"])
    sent = 0

    def say(count: int) -> None:
        nonlocal sent
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(str(inlet))
            for _ in range(count):
                out.send(b"<13>counter[7]: line %d" % sent)
                sent += 1

    def written() -> bool:
        return f"line {sent - 1}" in "".join(path.read_text("latin-1") for path in short.glob("app.log*"))

    try:
        deadline = time.monotonic() + WAIT_S
        while not (inlet.exists() and pid.exists()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        watcher.look()
        for turn in range(3):
            say(30)
            if turn:  # the first time it is made and rotated away between two looks
                watcher.until(lambda: len(watcher.messages("counter")) >= sent)
            watcher.restart()
            say(20)
            watcher.until(written)
            subprocess.run(
                [logrotate, "-f", "-s", str(short / "state"), str(short / "rotate.conf")], check=True
            )
            say(10)
            watcher.until(lambda: len(watcher.messages("counter")) >= sent)
        watcher.look()
    finally:
        process.terminate()
        process.wait(20)
    assert sorted(watcher.messages("counter")) == sorted(f"line {number}" for number in range(sent))
