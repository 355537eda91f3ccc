"""Steady load on an installation by senders that count what was acknowledged: RELP, and an enrolled agent.

Every line says its number, so that what is missing and what is there twice can be told. Used by the tests of
kills and by `benchmarks/`.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.installation import Installation
from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.sending import Sender
from forestall.collect.agent.spool import Spool
from forestall.kernel.observations import LogRecord, Observations

WINDOW = 128
SOCKET_S = 20.0
RELP_NAME, AGENT_NAME = "relpload", "agentload"
TOKEN = """
from forestall.estate.enrolment import make_enrolment_token
from forestall.estate.models import Client
from forestall.estate.tenancy import system_scope
client = Client.objects.get(name={client!r})
return make_enrolment_token(system_scope("test"), client=client.pk)[1]
"""
SLICE_S = 30  # tens of millions of lines are counted in pieces: a line's copy has the line's own time
COUNT = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
number = "toUInt64OrZero(extract(message, 'numbered (\\\\d+)'))"
first, last = store.select(
    "SELECT toUnixTimestamp(min(at)), toUnixTimestamp(max(at)) FROM forestall.logs"
    " WHERE source = '{source}'", timeout_s=60)[0]
totals = [0, 0, 0, 0]
for begins in range(int(first), int(last) + 1, {slice_s}):
    rows = store.select(
        f"SELECT count(), uniqExact(n), countIf(n < {below}), uniqExactIf(n, n < {below}) FROM"
        f" (SELECT {{number}} AS n FROM forestall.lines WHERE source = '{source}'"
        f" AND at >= toDateTime64({{begins}}, 3) AND at < toDateTime64({{begins + {slice_s}}}, 3))",
        timeout_s=60)
    totals = [total + int(value) for total, value in zip(totals, rows[0])]
return totals
"""
COPIES = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
rows = store.select(
    "SELECT message, count() AS c, toString(min(at)) FROM forestall.lines WHERE source = '{source}'"
    " GROUP BY message HAVING c > 1 ORDER BY message LIMIT 50", timeout_s=60)
return [[str(row[0]), int(row[1]), row[2]] for row in rows]
"""


def now_text() -> str:
    """The time with microseconds, as RFC 5424 has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class RelpLoad(threading.Thread):
    """Sends numbered lines over RELP, at most `a_s` a second; after a broken connection what was not
    answered is sent again, in order. `acknowledged`: so many, which are 0 to acknowledged − 1."""

    def __init__(self, port: int, *, a_s: int, source: str = "127.0.0.1") -> None:
        super().__init__(name="relp load", daemon=True)
        self._port, self._a_s, self._source = port, a_s, source
        self._stop_it = threading.Event()
        self._waiting: deque[bytes] = deque()  # sent or to be sent, not answered
        self._made = 0
        self.acknowledged = 0
        self.sessions = 0

    def finish(self, within_s: float) -> int:
        """Make no more lines; wait until all are answered. The number of lines."""
        self._stop_it.set()
        self.join(within_s)
        return self._made

    def run(self) -> None:
        began_s = time.monotonic()
        while not (self._stop_it.is_set() and not self._waiting):
            try:
                where = ("127.0.0.1", self._port)
                with socket.create_connection(where, SOCKET_S, (self._source, 0)) as line:
                    self._session(line, began_s)
            except OSError:
                time.sleep(0.2)

    def _session(self, line: socket.socket, began_s: float) -> None:
        offers = b"relp_version=0\nrelp_software=load\ncommands=syslog"
        line.sendall(b"1 open %d %s\n" % (len(offers), offers))
        answers = _Answers(line)
        answers.next()
        self.sessions += 1
        number, sent = 1, 0  # of this session: the last transaction; how many of `_waiting` are on their way
        while not (self._stop_it.is_set() and not self._waiting):
            if not self._stop_it.is_set():
                due = int((time.monotonic() - began_s) * self._a_s) - self._made
                self._make(min(due, WINDOW - len(self._waiting)))
            fresh = [self._waiting[place] for place in range(sent, len(self._waiting))]
            frames = []
            for text in fresh:
                number += 1
                frames.append(b"%d syslog %d %s\n" % (number, len(text), text))
            if frames:
                line.sendall(b"".join(frames))
                sent += len(frames)
            if not sent:
                time.sleep(0.005)
            for _ in range(answers.ready() if sent else 0):
                self._waiting.popleft()
                sent -= 1
                self.acknowledged += 1

    def _make(self, count: int) -> None:
        for _ in range(count):
            text = f"<134>1 {now_text()} load {RELP_NAME} - - - numbered {self._made} of the load"
            self._waiting.append(text.encode())
            self._made += 1


class _Answers:
    """Reads answers; raises OSError when the connection ends."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._left = b""

    def next(self) -> None:
        """Wait for one (that of `open`, which has more lines)."""
        while b"commands=" not in self._left:
            self._read()
        self._left = b""

    def ready(self) -> int:
        """Wait until there is one; how many there are."""
        while b"\n" not in self._left:
            self._read()
        *whole, self._left = self._left.split(b"\n")
        for one in whole:
            if b" rsp " not in one or b"200" not in one:
                raise OSError(f"answered {one!r}")
        return len(whole)

    def _read(self) -> None:
        data = self._line.recv(1 << 16)
        if not data:
            raise OSError("the connection ended")
        self._left += data


class AgentLoad(threading.Thread):
    """An enrolled collector: numbered lines into the agent's own spool, `lines` every `every_s`, sent by the
    agent's own sender."""

    def __init__(self, up: Installation, home: Path, *, client: str, lines: int, every_s: float) -> None:
        super().__init__(name="agent load", daemon=True)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._identity = enrol(home, url=up.url, token=up.desk.ask(TOKEN.format(client=client)))
        self._spool = Spool(home / "spool", now_ms=int(time.time() * 1000))
        self._home, self._lines, self._every_s = home, lines, every_s
        self._stop_it = threading.Event()
        self._made = 0
        self.said: list[str] = []

    @property
    def waiting_lines(self) -> int:
        """What the server has not acknowledged."""
        return len(self._spool) * self._lines

    @property
    def acknowledged(self) -> int:
        return self._made - self.waiting_lines

    def finish(self, within_s: float) -> int:
        """Make no more lines; wait until all are acknowledged. The number of lines."""
        self._stop_it.set()
        self.join(within_s)
        return self._made

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        def told(record: LogRecord) -> None:
            self.said.append(record.message)

        def no_work(_: Any) -> None:
            return None

        sender = Sender(self._identity, self._spool, directory=self._home, tell=told, work=no_work)
        stop = asyncio.Event()
        sending = asyncio.create_task(sender.run(stop))
        while not self._stop_it.is_set():
            await asyncio.to_thread(self._put)
            sender.something.set()
            await asyncio.sleep(self._every_s)
        while len(self._spool):
            sender.something.set()
            await asyncio.sleep(0.05)
        stop.set()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending

    def _put(self) -> None:
        at_ms = int(time.time() * 1000)
        numbers = range(self._made, self._made + self._lines)
        logs = [
            LogRecord(at_ms=at_ms, severity=6, source=AGENT_NAME, message=f"numbered {number} of the agent")
            for number in numbers
        ]
        self._spool.put([Observations(logs=logs)], at_ms=at_ms)
        self._made += self._lines


def count_lines(up: Installation, source: str, below: int) -> tuple[int, int, int, int]:
    """Of a program's lines in the store: all; different; with a number below `below`; different of these.
    Zeros while the store does not answer."""
    try:
        counted = up.desk.ask(
            COUNT.format(port=up.port("store"), source=source, below=below, slice_s=SLICE_S)
        )
    except AssertionError as error:
        assert "Store" in str(error), error
        return 0, 0, 0, 0
    return counted[0], counted[1], counted[2], counted[3]


def list_copies(up: Installation, source: str) -> list[tuple[str, int, str]]:
    """Lines that are there more than once (at most 50): message, how often, time."""
    return [tuple(row) for row in up.desk.ask(COPIES.format(port=up.port("store"), source=source))]
