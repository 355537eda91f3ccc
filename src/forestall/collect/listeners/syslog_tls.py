"""Syslog over TLS: as over TCP, encrypted; a client certificate can say who sends.

TLS has no acknowledgement of messages either, so the promise is that of plain TCP.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forestall.collect.listeners import Accept
from forestall.collect.parsers.syslog_framing import MESSAGE_MAX_BYTES
from forestall.collect.receiving.binding import bind_tcp
from forestall.collect.receiving.connections import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    HANDSHAKE_TIMEOUT_S,
    Connections,
)
from forestall.collect.receiving.syslog_stream import receive_syslog
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="syslog_tls",
    title="Syslog over TLS",
    about="Receives syslog over TLS 1.2 and 1.3. With a file of authorities, senders must show a certificate "
    "of one of them, and its names say who sends, whatever the address is.",
    source="RFC 5425",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port", kind="whole", default=6514, least=0, most=65535),
        Setting("certificate", "Certificate with its chain (PEM file)", required=True),
        Setting("key", "Its private key (PEM file)", required=True),
        Setting("client_ca", "Authorities whose certificates senders must show (PEM file)", default=""),
    ),
    limits=f"As syslog over TCP: a message has at most {MESSAGE_MAX_BYTES // 1024} KiB, {CONNECTIONS_MAX} "
    f"connections, {CONNECTIONS_PER_PEER_MAX} from one address; a handshake has {HANDSHAKE_TIMEOUT_S:.0f} s.",
    produces=("log records",),
)


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port or the certificate cannot be had."""
    context = server_context(settings["certificate"], settings["key"], client_ca=settings["client_ca"])
    tcp = bind_tcp(settings["host"], settings["port"], listener="syslog_tls")
    streams = Connections(accept, lambda one: receive_syslog(one, accept, transport="tls"), tls=context)
    accept.ready(tcp.getsockname()[1])
    await streams.run_until(stop, tcp)


def server_context(certificate: str, key: str, *, client_ca: str = "") -> ssl.SSLContext:
    """TLS 1.2 or newer with that certificate. Raises Trouble that names the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in filter(None, (certificate, key, client_ca)):
        if not Path(path).is_file():
            raise Trouble(
                f"syslog over TLS: there is no file {path}", "Mend the section tls in forestall.toml."
            )
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise Trouble(
            f"syslog over TLS cannot use {certificate} with {key}: {error}",
            "Name a PEM certificate and its unencrypted key in the section tls of forestall.toml.",
        ) from error
    if client_ca:
        try:
            context.load_verify_locations(cafile=client_ca)
        except (OSError, ValueError) as error:
            raise Trouble(
                f"syslog over TLS cannot use the authorities in {client_ca}: {error}",
                "Name a PEM file of certificates as tls.client_ca in forestall.toml.",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
