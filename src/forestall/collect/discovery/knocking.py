"""Knocks at a short list of ports of one machine, one after the other, and keeps what they say at once."""

import asyncio
import contextlib
import re
import ssl

from cryptography import x509
from cryptography.x509.oid import NameOID

from forestall.collect.certificates import context_that_trusts_anything

# SSH, telnet, HTTP, RPC of Windows, HTTPS, SMB, printing, RDP, HTTP of many devices, raw printing
PORTS = (22, 23, 80, 135, 443, 445, 515, 3389, 8080, 8443, 9100)
CONNECT_S = 0.7
SPEAK_S = 1.0
READ_BYTES = 2_048
_TLS = {443, 8443}
_HTTP = {80, 8080}
_SERVER = re.compile(rb"(?im)^server:[ \t]*([^\r\n]{1,100})")
_TITLE = re.compile(rb"(?is)<title[^>]*>(.{1,100}?)</title>")


async def knock(address: str, *, lanes: asyncio.Semaphore) -> tuple[list[int], list[str], list[str]]:
    """The open ports of a machine, what their services say in a few words, and names that they show."""
    ports: list[int] = []
    services: list[str] = []
    names: list[str] = []
    async with lanes:
        for port in PORTS:
            said = await _one(address, port)
            if said is None:
                continue
            ports.append(port)
            service, name = said
            if service:
                services.append(service)
            if name and name not in names:
                names.append(name)
    return ports, services, names


async def _one(address: str, port: int) -> tuple[str, str] | None:
    """What the service says and its name; None when nothing listens."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(address, port, limit=READ_BYTES * 2)
    except (TimeoutError, OSError):
        return None
    try:
        async with asyncio.timeout(SPEAK_S):
            return await _listen(reader, writer, address, port)
    except (TimeoutError, OSError, ssl.SSLError, ValueError):
        return "", ""
    finally:
        writer.close()
        with contextlib.suppress(TimeoutError, OSError, ssl.SSLError):
            async with asyncio.timeout(SPEAK_S):
                await writer.wait_closed()


async def _listen(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int
) -> tuple[str, str]:
    if port == 22:
        return shown(await reader.read(READ_BYTES)).split("\n")[0][:100], ""
    if port in _HTTP:
        writer.write(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        said = await reader.read(READ_BYTES)
        server, title = _SERVER.search(said), _TITLE.search(said)
        words = [shown(found[1]) for found in (server, title) if found]
        return f"HTTP: {', '.join(words)}"[:120] if words else "", ""
    if port in _TLS:
        await writer.start_tls(context_that_trusts_anything(), server_hostname=None)
        tls = writer.get_extra_info("ssl_object")
        name = common_name(tls.getpeercert(binary_form=True) or b"") if tls else ""
        return (f"TLS: {name}"[:120], name) if name else ("", "")
    return "", ""


def common_name(der: bytes) -> str:
    """The name of a certificate's subject; "" for none. It is a stranger's: anything may be in it."""
    try:
        found = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return shown(str(found[0].value).encode(errors="replace"))[:100] if found else ""


def shown(raw: bytes) -> str:
    """Bytes of a stranger as one short text that can be shown."""
    text = raw[:400].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\n" if c in "\r\n" else " " for c in text).strip()
