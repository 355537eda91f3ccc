"""TCP connections of listeners: accepted within limits, with or without TLS, ended together."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from forestall.collect.listeners import Accept
from forestall.collect.receiving.handing import plain_address

READ_BYTES = 256 << 10
CONNECTIONS_MAX = 1000
CONNECTIONS_PER_PEER_MAX = 64
HANDSHAKE_TIMEOUT_S = 15.0
GOODBYE_TIMEOUT_S = 2.0
ACCEPT_AGAIN_S = 0.5  # after the system refused a connection (no descriptors left)
NAMES_MAX = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """One sender. `names` are those that its certificate proves, if it had to show one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: str
    names: tuple[str, ...]
    hung_up: asyncio.Event

    def gone(self) -> bool:
        """Whether the sender closed its side or the connection broke."""
        return self.hung_up.is_set()


Talk = Callable[[Connection], Awaitable[None]]


class _Protocol(asyncio.StreamReaderProtocol):
    """Notes that the other side hung up, also while nobody reads."""

    def __init__(self, reader: asyncio.StreamReader, hung_up: asyncio.Event) -> None:
        super().__init__(reader)
        self._hung_up = hung_up

    def eof_received(self) -> bool | None:
        self._hung_up.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hung_up.set()
        super().connection_lost(exc)


class Connections:
    """Accepts on one socket. `talk` is called for each connection and owns it until it returns; when we stop
    it is cancelled. More than CONNECTIONS_MAX, or CONNECTIONS_PER_PEER_MAX of one address, are `refused`
    before anything is read or a handshake begins."""

    def __init__(self, accept: Accept, talk: Talk, *, tls: ssl.SSLContext | None = None) -> None:
        self._accept = accept
        self._talk = talk
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._per_peer: Counter[str] = Counter()

    async def run(self, tcp: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(tcp)
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            peer = plain_address(str(address[0]))
            if len(self._tasks) >= CONNECTIONS_MAX or self._per_peer[peer] >= CONNECTIONS_PER_PEER_MAX:
                self._accept.count("refused", 1)
                accepted.close()
                continue
            self._per_peer[peer] += 1
            task = asyncio.create_task(self._serve(accepted, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run_until(self, stop: asyncio.Event, tcp: socket.socket) -> None:
        """Accept until `stop` is set, then end every connection and close the socket."""
        running = asyncio.create_task(self.run(tcp))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (running, stopped):
                task.cancel()
            tcp.close()
            await self.close()
            await asyncio.gather(running, stopped, return_exceptions=True)

    async def close(self) -> None:
        """End every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, accepted: socket.socket, peer: str) -> None:
        """One connection, until it ends. What goes wrong with it ends it alone."""
        try:
            connection = await self._open(accepted, peer)
            if connection is None:
                return
            try:
                await self._talk(connection)
            finally:
                await _say_goodbye(connection.writer)
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError):
            pass  # the sender is gone, was silent too long, or we stop
        except Exception:
            log.exception("a connection of %s ended by a mistake of ours", peer)
            self._accept.count("refused", 1)
        finally:
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]

    async def _open(self, accepted: socket.socket, peer: str) -> Connection | None:
        """The connection after its handshake, or None when that failed."""
        loop = asyncio.get_running_loop()
        reader, hung_up = asyncio.StreamReader(limit=READ_BYTES, loop=loop), asyncio.Event()
        protocol = _Protocol(reader, hung_up)
        try:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if self._tls else None,
                ssl_shutdown_timeout=GOODBYE_TIMEOUT_S if self._tls else None,
            )
        except asyncio.CancelledError:
            accepted.close()
            raise
        except OSError as error:  # ssl.SSLError is one
            accepted.close()
            self._accept.count("refused", 1)
            if self._tls:
                self._accept.reject(peer, f"no TLS connection: {_say(error)}")
            return None
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Connection(reader, writer, peer, _proved_names(writer), hung_up)


async def _say_goodbye(writer: asyncio.StreamWriter) -> None:
    """Close, and wait a little until what was written has left."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(GOODBYE_TIMEOUT_S):
            await writer.wait_closed()
    writer.transport.abort()


def _say(error: OSError) -> str:
    """Why a handshake failed, without what differs each time."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the sender's certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "the sender does not speak TLS").lower().replace("_", " ")
    return "the sender hung up during the handshake"


def _proved_names(writer: asyncio.StreamWriter) -> tuple[str, ...]:
    """DNS names and common name of the certificate that the sender had to show; none when it had not to."""
    shown = writer.get_extra_info("peercert") or {}
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"]
    for part in shown.get("subject", ()):
        names += [value for kind, value in part if kind == "commonName"]
    return tuple(dict.fromkeys(name.lower().rstrip(".") for name in names if 0 < len(name) <= 253))[
        :NAMES_MAX
    ]
