"""NTP: does the time server answer, is it synchronised, and how far is this machine's clock off it?"""

import asyncio
import secrets
import struct
import time

from forestall.collect.answers import Answer, NoAnswer, Number, Question, read_place, say_place
from forestall.collect.reach import Reach
from forestall.collect.streams import say_failure
from forestall.kernel.plugins import Setting, Spec

SINCE_1900_S = 2_208_988_800  # from 1900 to 1970
PACKET = struct.Struct("!BBbbIII8s8s8s8s")
KISSES = {
    "RATE": "it is asked too often",
    "DENY": "it does not serve this machine",
    "RSTR": "it is restricted",
}

SPEC = Spec(
    name="ntp",
    title="Time server",
    about="Asks for the time and compares it with this machine's.",
    source="RFC 5905, RFC 4330",
    settings=(
        Setting("most_offset_ms", "Off by at most (ms)", "number", least=0, help="Empty: only measured"),
    ),
    limits="One packet a run; the offset is right to half of the time that it took.",
    produces=("probe.up", "probe.took_ms", "ntp.offset_ms"),
)


class _Waiting(asyncio.DatagramProtocol):
    """Hands over the first datagram that answers our own request."""

    def __init__(self, nonce: bytes) -> None:
        self.nonce = nonce
        self.answer: asyncio.Future[tuple[bytes, float]] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: object) -> None:
        at = time.time()
        if self.answer.done():
            return
        if len(data) >= PACKET.size and data[24:32] != self.nonce:
            return  # not to our question: somebody guesses
        self.answer.set_result((data, at))

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _seconds(stamp: bytes) -> float:
    """Seconds since 1970 of an NTP timestamp (era 0 until 2036, then era 1)."""
    whole, part = int.from_bytes(stamp[:4], "big"), int.from_bytes(stamp[4:], "big")
    if whole < 1 << 31:
        whole += 1 << 32
    return whole - SINCE_1900_S + part / 2**32


def read_reply(data: bytes, *, sent_at: float, came_at: float, place: str) -> tuple[float, str]:
    """The offset in ms (positive: this machine is behind) and the answer in words. Raises NoAnswer."""
    if len(data) < PACKET.size:
        raise NoAnswer(f"{place} answers, but not in NTP ({len(data)} bytes)", raw=data.hex())
    first, stratum, _, _, delay, dispersion, reference, _, _, received, transmitted = PACKET.unpack(
        data[: PACKET.size]
    )
    leap, mode = first >> 6, first & 7
    name = reference.to_bytes(4, "big").decode("latin-1")
    raw = (
        f"leap {leap}, mode {mode}, stratum {stratum}, reference {reference.to_bytes(4, 'big').hex()}, "
        f"root delay {delay / 65536:.6f} s, root dispersion {dispersion / 65536:.6f} s"
    )
    if mode != 4:
        raise NoAnswer(f"{place} answers, but not as an NTP server (mode {mode})", raw=raw)
    if stratum == 0:
        raise NoAnswer(f"{place} refuses to tell the time: {KISSES.get(name, repr(name))}", raw=raw)
    if leap == 3 or stratum > 15 or transmitted == bytes(8):
        raise NoAnswer(f"{place} does not know the time itself (it is not synchronised)", raw=raw)
    offset_s = ((_seconds(received) - sent_at) + (_seconds(transmitted) - came_at)) / 2
    return offset_s * 1000, raw


async def probe(question: Question, reach: Reach) -> Answer:
    """Ask host[:123] for the time."""
    host, port = read_place(question.target, port=123)
    address = (await reach.resolve(host))[0]
    place = say_place(address, port)
    question.doing(f"waiting for the time from {place}")
    nonce = secrets.token_bytes(8)  # in place of our own time, which is nobody's business
    loop = asyncio.get_running_loop()
    try:
        transport, waiting = await loop.create_datagram_endpoint(
            lambda: _Waiting(nonce), remote_addr=(address, port)
        )
        try:
            sent_at = time.time()
            transport.sendto(
                PACKET.pack(0x23, 0, 0, 0, 0, 0, 0, bytes(8), bytes(8), bytes(8), nonce)
            )  # version 4, client
            data, came_at = await waiting.answer
        finally:
            transport.close()
    except OSError as error:
        raise NoAnswer(say_failure(error, place)) from error
    offset_ms, raw = read_reply(data, sent_at=sent_at, came_at=came_at, place=place)
    numbers = [Number("ntp.offset_ms", offset_ms)]
    off = abs(offset_ms)
    span = f"{off:.1f} ms" if off < 10_000 else f"{off / 1000:,.0f} s"
    words = f"this machine's clock is {span} {'behind' if offset_ms > 0 else 'ahead of'} {place}"
    most = question.settings["most_offset_ms"]
    if most is not None and off > most:
        return Answer(False, f"{words}, at most {most:g} ms are allowed", raw, numbers)
    return Answer(True, words, raw, numbers, took_ms=(came_at - sent_at) * 1000)
