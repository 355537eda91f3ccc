"""RELP: syslog with an answer to every message. The answer comes after the message is durable.

While there is no room the connection is not read: the sender's window closes, and it keeps what it has.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from forestall.collect.listeners import Accept, Received
from forestall.collect.parsers.relp import Frame, Frames, NotRelp, answer, read_offers
from forestall.collect.parsers.syslog_framing import MESSAGE_MAX_BYTES
from forestall.collect.receiving.binding import bind_tcp
from forestall.collect.receiving.connections import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    READ_BYTES,
    Connection,
    Connections,
)
from forestall.collect.receiving.handing import hand_over_or_leave, in_frames
from forestall.collect.receiving.resent import LastDurable, Resent
from forestall.kernel.plugins import Setting, Spec

IDLE_TIMEOUT_S = 6 * 3600.0
OPENING_TIMEOUT_S = 30.0
UNFINISHED_TIMEOUT_S = 60.0
ANSWERS_TIMEOUT_S = 60.0  # a sender that reads no answers for so long is gone
RAW_BYTES = 200

SPEC = Spec(
    name="relp",
    title="RELP",
    about="Receives syslog over RELP (rsyslog's omrelp) and answers each message when it is durable. What a "
    "sender repeats after a broken connection, because our answer did not reach it, is stored once.",
    source="librelp, doc/relp.html",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port", kind="whole", default=2514, least=0, most=65535),
    ),
    limits=f"A message has at most {MESSAGE_MAX_BYTES // 1024} KiB, what is longer is cut; {CONNECTIONS_MAX} "
    f"connections, {CONNECTIONS_PER_PEER_MAX} from one address. Not inside TLS.",
    produces=("log records",),
)

OFFERS = b"200 OK\nrelp_version=0\nrelp_software=forestall\ncommands=syslog"
TAKEN = b"200 OK"


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port cannot be had."""
    last = LastDurable(accept.durable_lines())
    tcp = bind_tcp(settings["host"], settings["port"], listener="relp")
    streams = Connections(accept, lambda one: _Session(one, accept, last).serve())
    accept.ready(tcp.getsockname()[1])
    await streams.run_until(stop, tcp)


class _Session:
    """One connection."""

    def __init__(self, connection: Connection, accept: Accept, last: LastDurable) -> None:
        self._connection = connection
        self._accept = accept
        self._last = last
        self._resent: Resent | None = None  # until the session is opened
        self._frames = Frames(MESSAGE_MAX_BYTES)

    async def serve(self) -> None:
        """Until the sender closes the session or the connection, or sends what is not RELP."""
        try:
            while True:
                async with asyncio.timeout(self._patience_s()):
                    data = await self._connection.reader.read(READ_BYTES)
                if not data:
                    return
                frames, wrong = self._frames.feed(data)
                if not await self._take(frames):
                    return
                if wrong is not None:
                    self._reject(wrong, data)
                    return
        except NotRelp as error:
            self._reject(error, b"")
        finally:
            self._accept.count("cut", self._frames.cut_count)
            if self._resent:
                self._accept.count("repeated", self._resent.count)

    def _patience_s(self) -> float:
        if self._resent is None:
            return OPENING_TIMEOUT_S
        return UNFINISHED_TIMEOUT_S if self._frames.waiting else IDLE_TIMEOUT_S

    async def _take(self, frames: list[Frame]) -> bool:
        """Do what the frames ask for, in order; whether the session goes on. Raises NotRelp."""
        at = 0
        while at < len(frames):
            end = at
            while end < len(frames) and frames[end].command == b"syslog":
                end += 1
            if end > at:
                await self._take_messages(frames[at:end])
                at = end
                continue
            if not await self._take_command(frames[at]):
                return False
            at += 1
        return True

    async def _take_messages(self, frames: list[Frame]) -> None:
        """Make messages durable, then answer them. Raises Gone when the sender left before."""
        if self._resent is None:
            raise NotRelp("a message before the session was opened")
        peer = self._connection.peer
        lines = [line for frame in frames if (line := frame.data.rstrip(b"\r\n\0"))]
        for part in in_frames(self._resent.without(lines)):
            received = Received("syslog", peer, "relp", self._accept.now_ms(), part)
            await hand_over_or_leave(self._accept, received, gone=self._connection.gone)
            self._last.note(peer, part)
        await self._answer(b"".join([b"%d rsp 6 200 OK\n" % frame.number for frame in frames]))

    async def _take_command(self, frame: Frame) -> bool:
        """Answer a command; whether the session goes on. Raises NotRelp."""
        if frame.command == b"open":
            offers = read_offers(frame.data)
            if "syslog" not in offers.get("commands", "").replace(" ", "").split(","):
                await self._answer(answer(frame.number, b"500 only the command syslog is taken here"))
                raise NotRelp("a session that does not offer the command syslog")
            self._resent = Resent(self._last, self._connection.peer)
            await self._answer(answer(frame.number, OFFERS))
            return True
        if frame.command == b"close":
            await self._answer(answer(frame.number, b"") + b"0 serverclose 0\n")
            return False
        if self._resent is None:
            raise NotRelp("a command before the session was opened")
        if frame.command != b"rsp":
            await self._answer(answer(frame.number, b"500 only the command syslog is taken here"))
        return True

    async def _answer(self, data: bytes) -> None:
        self._connection.writer.write(data)
        async with asyncio.timeout(ANSWERS_TIMEOUT_S):
            await self._connection.writer.drain()

    def _reject(self, wrong: NotRelp, data: bytes) -> None:
        reason = f"{wrong}: send RELP here, syslog to its own port"
        self._accept.reject(self._connection.peer, reason, data[:RAW_BYTES])
