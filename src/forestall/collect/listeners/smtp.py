"""Mail over SMTP: messages to the addresses that we know, and to nobody else's. 250 comes when the message is
durable; while there is no room the sender is told to come again (451).
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from forestall.collect.listeners import AcceptMail, CannotTake, ReceivedMail
from forestall.collect.receiving.binding import bind_tcp
from forestall.collect.receiving.handing import plain_address
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec

MESSAGE_MAX_BYTES = 35_000_000
LINE_MAX_BYTES = 1 << 20  # senders break the 998 of RFC 5322; a message is not lost for it
CONNECTIONS_MAX = 64
CONNECTIONS_PER_PEER_MAX = 16
TRANSFERS_MAX = 8  # messages that are being received at once: about 70 MB of memory each at most
RECIPIENTS_MAX = 50
UNKNOWN_MAX = 10  # recipients that nobody knows: then the sender is guessing
IDLE_TIMEOUT_S = 300.0
RAW_BYTES = 1000

SPEC = Spec(
    name="smtp",
    title="Mail",
    about="Receives mail to the addresses of this installation: to support, and from backup products about "
    "their runs. Nothing is relayed. A message is acknowledged when it is durable.",
    source="RFC 5321, RFC 1870, RFC 3207",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port", kind="whole", default=8025, least=0, most=65535),
        Setting("certificate", "Certificate for STARTTLS, a PEM file", default=""),
        Setting("key", "Its key, a PEM file", default=""),
    ),
    limits=f"A message has at most {MESSAGE_MAX_BYTES // 1_000_000} MB and {RECIPIENTS_MAX} recipients; "
    f"{CONNECTIONS_MAX} connections, {CONNECTIONS_PER_PEER_MAX} from one address; {TRANSFERS_MAX} messages "
    "at once.",
    produces=("mail",),
)


async def listen(settings: Mapping[str, Any], accept: AcceptMail, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port or the certificate cannot be had."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the library writes every line of a mail there
    tls = _tls(settings)
    tcp = bind_tcp(settings["host"], settings["port"], listener="smtp")
    door = _Door(accept)
    server = await asyncio.get_running_loop().create_server(lambda: _Talk(door, tls), sock=tcp)
    accept.ready(tcp.getsockname()[1])
    try:
        await stop.wait()
    finally:
        server.close()
        door.close()


class _Door:
    """What all connections share; the hooks that the library calls."""

    def __init__(self, accept: AcceptMail) -> None:
        self.accept = accept
        self.talks: set[_Talk] = set()
        self.per_peer: Counter[str] = Counter()
        self.transfers = 0

    def close(self) -> None:
        """End every connection: senders keep what was not acknowledged."""
        for talk in list(self.talks):
            if talk.transport is not None:
                talk.transport.close()

    async def handle_RCPT(
        self, server: "_Talk", session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A recipient."""
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return f"452 4.5.3 a message has at most {RECIPIENTS_MAX} recipients here"
        if not await self.accept.knows(address):
            server.unknown += 1
            if server.unknown > UNKNOWN_MAX:
                server.hang_up()
            self.accept.count("refused", 1)
            return "550 5.1.1 no such address here, and nothing is relayed"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 known"

    async def handle_DATA(self, server: "_Talk", session: Session, envelope: Envelope) -> str:
        """A message, all of it."""
        content = envelope.original_content
        assert isinstance(content, bytes)
        received = ReceivedMail(
            peer=server.from_where,
            helo=str(session.host_name or "")[:255],
            received_at_ms=self.accept.now_ms(),
            sender=str(envelope.mail_from or "")[:320],
            recipients=tuple(envelope.rcpt_tos),
            data=content,
        )
        try:
            name = await self.accept.take(received)
        except CannotTake as error:
            self.accept.reject(server.from_where, f"a mail was sent away to come again: {error}")
            return "451 4.3.1 there is no room now: send it again later"
        return f"250 2.0.0 kept as {name}"


class _Talk(SMTP):
    """One connection."""

    line_length_limit = LINE_MAX_BYTES

    def __init__(self, door: _Door, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            door,
            data_size_limit=MESSAGE_MAX_BYTES,
            enable_SMTPUTF8=True,
            hostname="forestall",
            ident="ESMTP",
            tls_context=tls,
            timeout=IDLE_TIMEOUT_S,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )
        self._door = door
        self.from_where = ""
        self.unknown = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts it, or sends it away."""
        if self.from_where:  # the same connection, inside TLS now
            super().connection_made(transport)
            return
        door, peer = self._door, plain_address(str((transport.get_extra_info("peername") or ("",))[0]))
        if len(door.talks) >= CONNECTIONS_MAX or door.per_peer[peer] >= CONNECTIONS_PER_PEER_MAX:
            door.accept.count("refused", 1)
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"421 4.3.2 too many connections: come again later\r\n")
            transport.close()
            return
        self.from_where = peer
        door.talks.add(self)
        door.per_peer[peer] += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        if self in self._door.talks:
            self._door.talks.discard(self)
            self._door.per_peer[self.from_where] -= 1
            super().connection_lost(error)

    def hang_up(self) -> None:
        """End it after what is being said."""
        asyncio.get_running_loop().call_later(1.0, self._end)

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def smtp_DATA(self, arg: str) -> None:
        """One of TRANSFERS_MAX at once."""
        if self._door.transfers >= TRANSFERS_MAX:
            self._door.accept.count("refused", 1)
            await self.push("451 4.3.2 too many messages at once: send it again later")
            return
        self._door.transfers += 1
        try:
            await super().smtp_DATA(arg)
        finally:
            self._door.transfers -= 1

    async def smtp_VRFY(self, arg: str) -> None:
        """Nobody is told who is here."""
        await self.push("252 2.1.5 send it and see")


def _tls(settings: Mapping[str, Any]) -> ssl.SSLContext | None:
    if not settings.get("certificate"):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings["certificate"], settings.get("key") or settings["certificate"])
    except (OSError, ValueError) as error:
        raise Trouble(
            f"mail cannot use the certificate {settings['certificate']}: {error}",
            "Name a PEM certificate and its unencrypted key in the section tls of forestall.toml.",
        ) from error
    return context
