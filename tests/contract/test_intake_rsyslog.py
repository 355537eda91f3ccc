"""A real rsyslogd and a real `logger` push to the real listener: what comes out of the queue is right."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forestall.collect.listeners import CannotTake, Received
from forestall.collect.listeners.syslog import SPEC, listen
from forestall.intake.decode import DecodeState, decode
from forestall.intake.listening import QueueAccept
from forestall.intake.queue import START, QueueReader, QueueWriter
from forestall.intake.route import Directory, RoutedAsset
from forestall.kernel.clock import SystemClock
from forestall.kernel.columns import LogColumns
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import from_number

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
LOGGER = shutil.which("logger") or "/usr/bin/logger"
CLIENT, SERVER = from_number(1), from_number(2)

CONFIGURATION = """
global(workDirectory="{home}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{home}/log" UseSysTimeStamp="off")
template(name="five" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% \
%PROCID% %MSGID% %STRUCTURED-DATA% %msg:2:$%\\n")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{protocol}" {more})
"""
FORWARDS = {
    "tcp newline": ("tcp", 'TCP_Framing="traditional"'),
    "tcp octet-counted": ("tcp", 'TCP_Framing="octet-counted" template="five"'),
    "tcp forward format": ("tcp", 'TCP_Framing="octet-counted" template="RSYSLOG_ForwardFormat"'),
    "udp": ("udp", ""),
}


class Site:
    """A listener with its queue."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = QueueWriter(directory, max_bytes=1 << 26)
        self.accept = QueueAccept(self.writer, SystemClock())
        self.stop = asyncio.Event()

    def logs(self) -> LogColumns:
        """Everything in the queue, decoded."""
        routes = Directory([RoutedAsset(SERVER, CLIENT, "srv", ("127.0.0.1",))], [])
        frames, after, reader = [], START, QueueReader(self.directory)
        while part := reader.read(after, max_bytes=1 << 24):
            frames += part
            after = part[-1][0]
        decoded = decode(frames, routes, DecodeState())
        assert decoded.rejected == []
        return decoded.logs


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[Site]:
    site = Site(directory)
    task = asyncio.create_task(listen(SPEC.read({"port": 0}), site.accept, site.stop))
    await until(lambda: site.accept.port > 0 or task.done())
    try:
        yield site
    finally:
        site.stop.set()
        await task
        site.writer.close()


@pytest.mark.parametrize("way", FORWARDS)
async def test_rsyslogd_forwards(tmp_path: Path, way: str) -> None:
    protocol, more = FORWARDS[way]
    async with listening(tmp_path / "queue") as site:
        home = tmp_path / "r"
        home.mkdir()
        (home / "conf").write_text(
            CONFIGURATION.format(home=home, port=site.accept.port, protocol=protocol, more=more)
        )
        daemon = subprocess.Popen(
            [RSYSLOGD, "-n", "-f", str(home / "conf"), "-i", str(home / "pid")], stderr=subprocess.DEVNULL
        )
        try:
            await until((home / "log").exists)
            for k in range(20):
                subprocess.run(
                    [LOGGER, "-u", str(home / "log"), "-p", "daemon.err", "-t", "backup", f"--id={100 + k}",
                     f"run {k} failed: größe"],
                    check=True,
                )  # fmt: skip
            await until(lambda: len(site.logs()) >= 20)
        finally:
            daemon.terminate()
            daemon.wait(10)
    logs = site.logs()
    ours = [k for k in range(len(logs)) if logs.source[k].as_py() == "backup"]
    assert [logs.message[k].as_py() for k in ours] == [f"run {k} failed: größe" for k in range(20)]
    for k in ours:
        assert (logs.severity[k], logs.facility[k]) == (3, 3)
        assert json.loads(logs.attrs[k].as_py())["pid"] == str(100 + ours.index(k))
        assert logs.host[k].as_py() == socket.gethostname()
        assert abs(logs.at_ms[k] - time.time() * 1000) < 60_000
        assert logs.raw[k].as_py() == ""
    assert set(logs.client.tolist()) == {1}
    assert set(logs.asset.tolist()) == {2}


@pytest.mark.parametrize(
    "options", [["-d", "--rfc3164"], ["-d", "--rfc5424"], ["-T", "--rfc5424"], ["-T", "--octet-count"]]
)
async def test_logger_sends(tmp_path: Path, options: list[str]) -> None:
    async with listening(tmp_path / "queue") as site:
        await asyncio.to_thread(
            subprocess.run,
            [
                LOGGER,
                "-n",
                "127.0.0.1",
                "-P",
                str(site.accept.port),
                "-t",
                "app",
                "-p",
                "user.warning",
                *options,
                "hello there",
            ],
            check=True,
        )
        await until(lambda: len(site.logs()) >= 1)
        logs = site.logs()
    assert (logs.message.to_pylist(), logs.source.to_pylist(), logs.severity.tolist()) == (
        ["hello there"],
        ["app"],
        [4],
    )


async def test_what_has_no_room_waits_with_its_sender(tmp_path: Path) -> None:
    taken: list[bytes] = []
    full = True

    class Accept(QueueAccept):
        async def __call__(self, received: Received) -> None:
            if full:
                raise CannotTake("full")
            taken.extend(received.lines)

    writer = QueueWriter(tmp_path, max_bytes=1 << 20)
    accept, stop = Accept(writer, SystemClock()), asyncio.Event()
    task = asyncio.create_task(listen(SPEC.read({"port": 0}), accept, stop))
    await until(lambda: accept.port > 0)
    _, sender = await asyncio.open_connection("127.0.0.1", accept.port)
    count, rest = 30_000, b"x" * 1000  # more than all socket buffers hold
    sender.write(b"".join(b"<13>line %d %s\n" % (k, rest) for k in range(count)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"<13>datagram", ("127.0.0.1", accept.port))
    with pytest.raises(TimeoutError):  # the window closes: the sender keeps what it has
        await asyncio.wait_for(sender.drain(), 0.5)
    full = False
    await until(lambda: len(taken) == count + 1)
    lines = [line for line in taken if line != b"<13>datagram"]
    assert lines == [b"<13>line %d %s" % (k, rest) for k in range(count)]
    sender.close()
    stop.set()
    await task
    writer.close()
    assert accept.counters["lost"] == 0


async def test_datagrams_that_the_kernel_drops_are_counted(tmp_path: Path) -> None:
    async with listening(tmp_path) as site:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sent = 0
            while sent < 3000:  # the listener's loop does not run meanwhile, so its buffer overflows
                sender.sendto(b"<13>" + b"x" * 8000, ("127.0.0.1", site.accept.port))
                sent += 1
        site.stop.set()
        await asyncio.sleep(0)
        await until(lambda: site.accept.counters["received"] + site.accept.counters["udp_dropped"] >= sent)
    assert site.accept.counters["received"] + site.accept.counters["udp_dropped"] == sent
    assert site.accept.counters["udp_dropped"] > 0


async def test_a_port_in_use_is_said_with_what_to_do(tmp_path: Path) -> None:
    async with listening(tmp_path) as site:
        with pytest.raises(Trouble, match=r"choose another with ports\.syslog"):
            await listen(SPEC.read({"port": site.accept.port}), site.accept, asyncio.Event())


async def test_connections_beyond_the_limit_of_an_address_are_refused(tmp_path: Path) -> None:
    async with listening(tmp_path) as site:
        writers = [(await asyncio.open_connection("127.0.0.1", site.accept.port))[1] for _ in range(64)]
        for writer in writers:
            writer.write(b"<13>x\n")
        await until(lambda: site.accept.counters["received"] == 64)
        reader, extra = await asyncio.open_connection("127.0.0.1", site.accept.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert site.accept.counters["refused"] == 1
        for writer in [*writers, extra]:
            writer.close()
    assert os.path.exists(tmp_path / "durable")
