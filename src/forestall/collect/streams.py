"""Connections of the probes: to the address that was judged, with failures said in words."""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from forestall.collect.answers import NoAnswer, Question, printable, say_place
from forestall.collect.certificates import (
    Certificate,
    context_that_trusts,
    context_that_trusts_anything,
    read_certificate,
)
from forestall.collect.reach import Reach

LINE_MAX_BYTES = 64 << 10
TLS_GOODBYE_S = 1.0


@dataclass(slots=True)
class Stream:
    """A connection. `place` is how it is said to people. With TLS: `certificate` is the other side's, and
    `distrust` says why it is not trusted ("" when it is, or when that was not to be looked at)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    place: str
    certificate: Certificate | None = None
    distrust: str = ""

    async def line(self) -> bytes:
        """The next line without its end. Raises NoAnswer when the other side hangs up or talks endlessly."""
        try:
            line = await self.reader.readline()
        except ValueError as error:
            raise NoAnswer(f"{self.place} sent a line of more than {LINE_MAX_BYTES >> 10} kB") from error
        except OSError as error:
            raise NoAnswer(say_failure(error, self.place)) from error
        if not line.endswith(b"\n"):
            raise NoAnswer(f"{self.place} hung up before it had answered", raw=printable(line))
        return line.rstrip(b"\r\n")

    async def send(self, data: bytes) -> None:
        """Write all of it. Raises NoAnswer."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise NoAnswer(say_failure(error, self.place)) from error


Prelude = Callable[[Stream], Awaitable[None]]


def say_failure(error: OSError, place: str) -> str:
    """What a failed connection means, for people."""
    if isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).replace("_", " ").lower()
        if "wrong version number" in why or "record layer" in why or "unknown protocol" in why:
            return f"{place} answers, but does not speak TLS ({why})"
        return f"no TLS connection with {place}: {why}"
    match error.errno:
        case errno.ECONNREFUSED:
            return f"connection refused by {place}"
        case errno.ECONNRESET | errno.EPIPE:
            return f"{place} broke the connection off"
        case errno.EHOSTUNREACH | errno.EHOSTDOWN:
            return f"no way to {place}: the machine does not answer in its network"
        case errno.ENETUNREACH | errno.EADDRNOTAVAIL:
            return f"no way to {place}: this machine has no route into that network"
        case errno.ETIMEDOUT:
            return f"no answer from {place}"
        case errno.EACCES | errno.EPERM:
            return f"this machine's own firewall does not let it connect to {place}"
        case errno.EMFILE | errno.ENFILE:
            return f"{place} was not asked: too many files are open on this machine"
    return f"no connection with {place}: {error.strerror or error or type(error).__name__}"


def _say_where(host: str, address: str, port: int) -> str:
    return (
        say_place(address, port)
        if host.strip("[]") == address
        else f"{host}:{port} ({say_place(address, port)})"
    )


@asynccontextmanager
async def connected(
    question: Question, reach: Reach, *, host: str, port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[Stream]:
    """A connection to host:port, with TLS when there is a context; the addresses are tried in turn.

    Raises NotAsked, NoAnswer; ssl.SSLCertVerificationError when the context asks for trust.
    """
    question.doing(f"looking up {host}")
    addresses = await reach.resolve(host)
    failure = NoAnswer(f"{host} has no address")
    for address in addresses:
        place = _say_where(host, address, port)
        question.doing(f"connecting to {place}")
        try:
            async with asyncio.timeout(question.timeout_s / len(addresses)):
                reader, writer = await asyncio.open_connection(
                    address,
                    port,
                    limit=LINE_MAX_BYTES,
                    ssl=context,
                    server_hostname=host.rstrip(".") if context else None,
                    ssl_shutdown_timeout=TLS_GOODBYE_S if context else None,
                )
            break
        except TimeoutError:
            failure = NoAnswer(f"no answer from {place} within {question.timeout_s / len(addresses):.3g} s")
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            failure = NoAnswer(say_failure(error, place))
        except ValueError as error:  # a name that TLS cannot carry
            failure = NoAnswer(f"no TLS connection with {place}: {error}")
    else:
        raise failure
    question.doing(f"waiting for {place}")
    try:
        yield Stream(reader, writer, place)
    finally:
        encrypted = writer.get_extra_info("ssl_object") is not None
        writer.close()
        if encrypted:
            writer.transport.abort()  # no waiting for the other side's goodbye


@asynccontextmanager
async def connected_with_tls(
    question: Question,
    reach: Reach,
    *,
    host: str,
    port: int,
    trust: str = "",
    verify: bool = True,
    prelude: Prelude | None = None,
) -> AsyncIterator[Stream]:
    """A connection with TLS whose certificate is known even when it is not trusted: then it is connected
    to once more without trust, and `distrust` says why. `trust` is PEM text of further authorities;
    `prelude` speaks before TLS begins (STARTTLS).

    Raises NotAsked, NoAnswer.
    """
    distrust = ""
    if verify:
        try:
            async with _with_tls(
                question, reach, host=host, port=port, context=context_that_trusts(trust), prelude=prelude
            ) as stream:
                yield stream
                return
        except ssl.SSLCertVerificationError as error:
            distrust = error.verify_message or str(error)
    context = context_that_trusts_anything()
    async with _with_tls(question, reach, host=host, port=port, context=context, prelude=prelude) as stream:
        stream.distrust = distrust
        yield stream


@asynccontextmanager
async def _with_tls(
    question: Question,
    reach: Reach,
    *,
    host: str,
    port: int,
    context: ssl.SSLContext,
    prelude: Prelude | None,
) -> AsyncIterator[Stream]:
    async with connected(
        question, reach, host=host, port=port, context=None if prelude else context
    ) as stream:
        if prelude:
            await prelude(stream)
            question.doing(f"starting TLS with {stream.place}")
            try:
                await stream.writer.start_tls(context, server_hostname=host.rstrip("."))
            except ssl.SSLCertVerificationError:
                raise
            except (OSError, EOFError) as error:
                failure = error if isinstance(error, OSError) else ConnectionResetError(errno.ECONNRESET, "")
                raise NoAnswer(say_failure(failure, stream.place)) from error
        found = stream.writer.get_extra_info("ssl_object")
        der = found.getpeercert(binary_form=True) if found else None
        stream.certificate = read_certificate(der) if der else None
        yield stream
