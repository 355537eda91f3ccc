"""Telnet to a device, only where a person chose it: everything crosses the network in plain text.

Options are refused but for echo and going ahead, which the device may do. Source: RFC 854, 857, 858.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from forestall.collect.answers import NoAnswer, NotAsked
from forestall.collect.devices.cleaning import plain_text
from forestall.collect.streams import say_failure

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
ALLOWED = frozenset((1, 3))  # echo, suppress go ahead
LOGIN_MAX_BYTES = 64 << 10
LOGIN_S = 20.0
_USER = re.compile(r"(?i)(?:user ?name|login|user|account)[^\n:]{0,20}:\s*$")
_PASSWORD = re.compile(r"(?i)pass(?:word|code)[^\n:]{0,20}:\s*$")
_REFUSED = re.compile(r"(?i)\b(?:incorrect|invalid|failed|denied|bad password|bad secrets)\b")


class TelnetLine:
    """A connection whose negotiation is answered here, the rest handed on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._rest = b""

    async def read(self, most: int) -> bytes:
        """Some bytes that are no negotiation; b"" at the end."""
        while True:
            data = await self._reader.read(most)
            if not data:
                return b""
            if text := self._taken_apart(self._rest + data):
                return text

    def write(self, data: bytes) -> None:
        """Send; a newline goes as CR LF, which is what a terminal sends."""
        self._writer.write(data.replace(b"\xff", b"\xff\xff").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    def _taken_apart(self, data: bytes) -> bytes:
        """Data without negotiation, which is answered; an unfinished one waits."""
        text = bytearray()
        place, self._rest = 0, b""
        while place < len(data):
            if data[place] != IAC:
                end = data.find(IAC, place)
                end = len(data) if end < 0 else end
                text += data[place:end]
                place = end
                continue
            size = _size(data, place)
            if size == 0:
                self._rest = data[place:][:LOGIN_MAX_BYTES]
                break
            verb = data[place + 1]
            if verb == IAC:
                text.append(IAC)
            elif verb in (DO, WILL):
                self._answer(verb, data[place + 2])
            place += size
        return bytes(text)

    def _answer(self, verb: int, option: int) -> None:
        if verb == WILL:
            self._writer.write(bytes((IAC, DO if option in ALLOWED else DONT, option)))
        else:
            self._writer.write(bytes((IAC, WONT, option)))


def _size(data: bytes, place: int) -> int:
    """How many bytes a command of the negotiation has; 0 when it is not whole yet."""
    if place + 1 >= len(data):
        return 0
    verb = data[place + 1]
    if verb in (DO, DONT, WILL, WONT):
        return 3 if place + 2 < len(data) else 0
    if verb == SB:
        end = data.find(bytes((IAC, SE)), place + 2)
        return end + 2 - place if end >= 0 else 0
    return 2


@asynccontextmanager
async def connected(
    address: str, port: int, *, place: str, credential: Mapping[str, str], timeout_s: float
) -> AsyncIterator[TelnetLine]:
    """A connection that is signed in. Raises NotAsked for a wrong credential, NoAnswer."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port)
    except TimeoutError as error:
        raise NoAnswer(f"no answer from {place} within {timeout_s:.3g} s") from error
    except OSError as error:
        raise NoAnswer(say_failure(error, place)) from error
    try:
        line = TelnetLine(reader, writer)
        await _sign_in(line, place, credential)
        yield line
    finally:
        writer.close()


async def _sign_in(line: TelnetLine, place: str, credential: Mapping[str, str]) -> None:
    """Answer the questions for user and password; what follows them is the shell's."""
    text, passed = "", False
    try:
        async with asyncio.timeout(LOGIN_S):
            while not passed:
                piece = await line.read(LOGIN_MAX_BYTES)
                if not piece:
                    raise NoAnswer(f"{place} ended the connection before it asked for a user")
                text = plain_text(text + piece.decode(errors="replace"))[-LOGIN_MAX_BYTES:]
                last = text.rpartition("\n")[2]
                if _REFUSED.search(text):
                    raise NotAsked(
                        f"{place} refuses the user {credential.get('user', '')!r}: correct the credential"
                    )
                if _PASSWORD.search(last):
                    line.write(credential.get("password", "").encode() + b"\n")
                    passed = True
                elif _USER.search(last):
                    line.write(credential.get("user", "").encode() + b"\n")
                    text = ""
    except TimeoutError as error:
        raise NoAnswer(f"{place} did not ask for a password within {LOGIN_S:.0f} s") from error
