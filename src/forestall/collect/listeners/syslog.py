"""Syslog over UDP and TCP on one port: the messages as they came go to the durable queue, parsed later.

Neither transport has an acknowledgement, so the promise is that gaps are counted: UDP is read as long as
there is room, then the kernel's buffer fills and the kernel counts what it drops; TCP is not read while there
is no room, so that the sender keeps what it has.
"""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forestall.collect.listeners import Accept, CannotTake, Received
from forestall.collect.parsers.syslog_framing import MESSAGE_MAX_BYTES, Framing
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec

UDP_BUFFER_BYTES = 8 << 20
UDP_HELD_MAX_BYTES = 16 << 20
DATAGRAM_COST_BYTES = 128  # what keeping one costs beside its bytes
UDP_TICK_S = 0.05
UDP_PER_WAKE = 512
LINES_PER_FRAME_MAX = 8192
BYTES_PER_FRAME_MAX = 1 << 20
READ_BYTES = 128 << 10
CONNECTIONS_MAX = 1000
CONNECTIONS_PER_PEER_MAX = 64
IDLE_TIMEOUT_S = 6 * 3600.0  # plain TCP loses the first message after a close, so be slow to close
UNFINISHED_TIMEOUT_S = 60.0
RETRY_S = 0.25
DROPS_EVERY_S = 5.0
BIND_TRIES = 20

_SO_RCVBUFFORCE = 33  # Linux: past net.core.rmem_max, with CAP_NET_ADMIN

SPEC = Spec(
    name="syslog",
    title="Syslog",
    about="Receives syslog over UDP and TCP, RFC 3164 and RFC 5424, octet-counted and newline framing.",
    source="RFC 5424, RFC 3164, RFC 5426, RFC 6587",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port, UDP and TCP", kind="whole", default=5514, least=0, most=65535),
    ),
    limits=f"A message has at most {MESSAGE_MAX_BYTES // 1024} KiB; {CONNECTIONS_MAX} connections, "
    f"{CONNECTIONS_PER_PEER_MAX} from one address.",
    produces=("log records",),
)


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port cannot be had."""
    tcp, udp = _bind(settings["host"], settings["port"])
    datagrams = _Datagrams(udp, accept)
    streams = _Streams(accept)
    server = await asyncio.start_server(streams.serve, sock=tcp, limit=READ_BYTES)
    accept.ready(tcp.getsockname()[1])
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(datagrams.run()), tasks.create_task(_watch_drops(udp, accept))]
            await stop.wait()
            server.close()
            await streams.close()
            for task in running:
                task.cancel()
    finally:
        server.close()
        await datagrams.close()
        udp.close()


class _Datagrams:
    """Reads datagrams as they come and hands them over once a tick, one frame per sender."""

    def __init__(self, udp: socket.socket, accept: Accept) -> None:
        self._udp = udp
        self._accept = accept
        self._held: dict[str, list[bytes]] = {}
        self._held_bytes = 0
        self._reading = False

    async def run(self) -> None:
        while True:
            self._resume()
            await asyncio.sleep(UDP_TICK_S)
            await self._flush()

    async def close(self) -> None:
        """Stop reading; what is held is handed over once more, and counted as lost if there is no room."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._reading = False
        held = -1
        while held < self._held_bytes < UDP_HELD_MAX_BYTES:  # what the kernel still has
            held = self._held_bytes
            self._read()
        for received in self._take():
            try:
                await self._accept(received)
            except CannotTake:
                self._accept.count("lost", len(received.lines))

    def _resume(self) -> None:
        if not self._reading and self._held_bytes < UDP_HELD_MAX_BYTES:
            asyncio.get_running_loop().add_reader(self._udp, self._read)
            self._reading = True

    def _read(self) -> None:
        held = self._held
        for _ in range(UDP_PER_WAKE):
            try:
                data, address = self._udp.recvfrom(65_535)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error of an earlier answer; nothing was received
                continue
            if data := data.rstrip(b"\r\n\0"):
                self._held_bytes += len(data) + DATAGRAM_COST_BYTES
                lines = held.get(address[0])
                if lines is None:
                    held[address[0]] = [data]
                else:
                    lines.append(data)
        if self._reading and self._held_bytes >= UDP_HELD_MAX_BYTES:
            asyncio.get_running_loop().remove_reader(self._udp)  # from here on the kernel keeps, and counts
            self._reading = False

    def _take(self) -> list[Received]:
        """What is held, in frames of at most LINES_PER_FRAME_MAX and about BYTES_PER_FRAME_MAX."""
        held, self._held = self._held, {}
        self._held_bytes = 0
        now_ms = self._accept.now_ms()
        frames = []
        for address, lines in held.items():
            peer = plain_address(address)
            frames += [Received("syslog", peer, "udp", now_ms, part) for part in in_frames(lines)]
        return frames

    async def _flush(self) -> None:
        frames = self._take()
        while frames:
            results = await asyncio.gather(*map(self._accept, frames), return_exceptions=True)
            refused = []
            for frame, result in zip(frames, results, strict=True):
                if isinstance(result, CannotTake):
                    refused.append(frame)
                elif isinstance(result, BaseException):
                    raise result
            frames = refused
            if frames:
                await asyncio.sleep(RETRY_S)


class _Streams:
    """The TCP connections."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._tasks: set[asyncio.Task[None]] = set()
        self._per_peer: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        peer = plain_address((writer.get_extra_info("peername") or ("",))[0])
        task = asyncio.current_task()
        if len(self._tasks) >= CONNECTIONS_MAX or self._per_peer[peer] >= CONNECTIONS_PER_PEER_MAX:
            self._accept.count("refused", 1)
            writer.close()
            return
        if task:
            self._tasks.add(task)
        self._per_peer[peer] += 1
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        framing = Framing()
        try:
            await self._receive(reader, framing, peer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the sender is gone, was silent too long, or we stop
        finally:
            try:
                await self._hand_over(framing.finish(), peer, tries=1)
            finally:
                self._accept.count("cut", framing.cut_count)
                self._per_peer[peer] -= 1
                if not self._per_peer[peer]:
                    del self._per_peer[peer]
                if task:
                    self._tasks.discard(task)
                writer.close()

    async def close(self) -> None:
        """End every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, reader: asyncio.StreamReader, framing: Framing, peer: str) -> None:
        while True:
            async with asyncio.timeout(UNFINISHED_TIMEOUT_S if framing.waiting else IDLE_TIMEOUT_S):
                data = await reader.read(READ_BYTES)
            if not data:
                return
            await self._hand_over(framing.feed(data), peer)

    async def _hand_over(self, lines: list[bytes], peer: str, tries: int = 0) -> None:
        """Hand over in order; wait while there is no room (`tries` 0: as long as it takes)."""
        for part in in_frames(lines):
            received = Received("syslog", peer, "tcp", self._accept.now_ms(), part)
            tried = 0
            while True:
                try:
                    await self._accept(received)
                    break
                except CannotTake:
                    tried += 1
                    if tried == tries:
                        self._accept.count("lost", len(part))
                        break
                    try:
                        await asyncio.sleep(RETRY_S)
                    except asyncio.CancelledError:
                        self._accept.count("lost", len(part))
                        raise


def in_frames(lines: list[bytes]) -> list[list[bytes]]:
    """Lines in parts of at most LINES_PER_FRAME_MAX lines and about BYTES_PER_FRAME_MAX bytes."""
    if len(lines) <= LINES_PER_FRAME_MAX and sum(map(len, lines)) <= BYTES_PER_FRAME_MAX:
        return [lines] if lines else []
    parts: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        if parts[-1] and (len(parts[-1]) >= LINES_PER_FRAME_MAX or size + len(line) > BYTES_PER_FRAME_MAX):
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return parts


def plain_address(address: str) -> str:
    """An address without its scope, and IPv4 as IPv4: `::ffff:10.0.0.5` is 10.0.0.5."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def read_drops(inode: int, tables: tuple[str, ...] = ("/proc/net/udp", "/proc/net/udp6")) -> int | None:
    """How many datagrams the kernel dropped at a socket since it was opened; None where it does not say.

    Source: Linux Documentation/networking/proc_net_tcp, net/ipv4/udp.c (column `drops`, the last one).
    """
    for table in tables:
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if len(fields) >= 13 and fields[9] == str(inode):
                return int(fields[-1])
    return None


async def _watch_drops(udp: socket.socket, accept: Accept) -> None:
    inode = os.fstat(udp.fileno()).st_ino
    told = 0
    try:
        while True:
            await asyncio.sleep(DROPS_EVERY_S)
            told = _tell_drops(inode, told, accept)
    finally:
        _tell_drops(inode, told, accept)


def _tell_drops(inode: int, told: int, accept: Accept) -> int:
    drops = read_drops(inode)
    if drops is None or drops <= told:
        return told
    accept.count("udp_dropped", drops - told)
    return drops


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same port; port 0 chooses one that is free for both."""
    for attempt in range(BIND_TRIES):
        with contextlib.ExitStack() as undo:
            try:
                family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
                tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind(address)
                udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                udp.bind((host, tcp.getsockname()[1]))
            except OSError as error:
                if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < BIND_TRIES:
                    continue
                raise Trouble(
                    f"syslog cannot listen on {host} port {port}: {error.strerror}",
                    "Stop what uses that port, or choose another with ports.syslog in forestall.toml.",
                ) from error
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
            if sys.platform == "linux":
                with contextlib.suppress(PermissionError):  # then the limit of the system counts
                    udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, UDP_BUFFER_BYTES)
            for bound in (tcp, udp):
                bound.setblocking(False)
            undo.pop_all()
            return tcp, udp
    raise AssertionError("unreachable")
