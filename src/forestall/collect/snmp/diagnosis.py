"""Why a device does not answer: one short exchange of our own, after a poll has failed.

An agent keeps silent about a wrong community, and gufo-snmp says only that something was refused. Here the
answer is taken from any address, a v3 report is read, and the parts of a credential are tried one by one: is
there an engine, is the user known, is the digest right. Source: RFC 3414 (3.2), RFC 3412 (7.1), RFC 7860.
"""

import asyncio
import hmac
import secrets
from contextlib import suppress
from typing import NamedTuple

from forestall.collect.answers import say_place
from forestall.collect.snmp import ber
from forestall.collect.snmp.session import AUTH, Way

WAIT_S = 1.0
UP_TIME = "1.3.6.1.2.1.1.3.0"
# usmStats and snmpMPDStats of a report
REPORTS = {
    "1.3.6.1.6.3.15.1.1.1.0": "security level",
    "1.3.6.1.6.3.15.1.1.2.0": "time window",
    "1.3.6.1.6.3.15.1.1.3.0": "user",
    "1.3.6.1.6.3.15.1.1.4.0": "engine",
    "1.3.6.1.6.3.15.1.1.5.0": "digest",
    "1.3.6.1.6.3.15.1.1.6.0": "decryption",
}
# name of the hash in hashlib, bytes of the digest that are sent (RFC 3414 6.3.1, RFC 7860 4.2.2)
DIGESTS = {
    "MD5": ("md5", 12), "SHA": ("sha1", 12), "SHA224": ("sha224", 16), "SHA256": ("sha256", 24),
    "SHA384": ("sha384", 32), "SHA512": ("sha512", 48),
}  # fmt: skip
AUTHENTICATED, REPORTABLE = 1, 4


class _Heard(NamedTuple):
    """A datagram, and whether it came from where it was asked."""

    data: bytes
    sender: str
    expected: bool


class _Report(NamedTuple):
    """What a v3 message says: the engine, its clock, and what it complains about ("" for nothing)."""

    engine: bytes
    boots: int
    time_s: int
    complaint: str


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, way: Way, connected: bool) -> None:
        self.way = way
        self.connected = connected
        self.heard: asyncio.Future[_Heard | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        expected = address[:2] == (self.way.address, self.way.port)
        if not self.heard.done():
            self.heard.set_result(_Heard(data, say_place(*address[:2]), expected))

    def error_received(self, error: Exception) -> None:
        if not self.heard.done() and isinstance(error, ConnectionRefusedError):
            self.heard.set_result(None)


async def find_reason(way: Way) -> str:
    """In words: why `way` gives no data, and what to do. Takes at most a few seconds."""
    place = say_place(way.address, way.port)
    if way.version == 3:
        return await _reason_v3(way, place)
    number = secrets.randbits(30)
    heard = await _ask(way, _get(number, way.version - 1, way.credential.get("community", "")))
    if heard == "refused":
        return _nothing_listens(place)
    if isinstance(heard, _Heard):
        if not heard.expected:
            return _elsewhere(place, heard)
        return f"{place} answers now, but did not before: it is overloaded, or packets get lost on the way"
    if await _discover(way) is not None:
        return (
            f"{place} answers SNMP v3, but not v{'1' if way.version == 1 else '2c'} with this community: it "
            "is wrong, that version is switched off there, or an access list leaves this collector out"
        )
    return (
        f"{place} is silent: the community is wrong (an agent says nothing then), SNMP is off, or a firewall "
        "or an access list on the way leaves this collector out"
    )


async def _reason_v3(way: Way, place: str) -> str:
    found = await _discover(way)
    if found == "refused":
        return _nothing_listens(place)
    if isinstance(found, _Heard):
        return _elsewhere(place, found)
    if found is None:
        return (
            f"{place} is silent: SNMP v3 is off there, or a firewall or an access list on the way leaves "
            "this collector out"
        )
    assert isinstance(found, _Report)
    user = way.credential.get("user", "")
    bare = await _report(way, _message_v3(found, flags=REPORTABLE, user=user))
    if bare is not None and bare.complaint == "user":
        return f"{place} knows no user {user!r}: create it there, or correct the name in the credential"
    protocol = way.credential.get("auth_protocol", "")
    if not protocol:
        return f"{place} wants the user {user!r} to authenticate: add the protocol and its passphrase"
    signed = await _report(way, _signed(way, found, protocol))
    if signed is not None and signed.complaint == "digest":
        return (
            f"{place} refuses the signature of {user!r}: the passphrase of authentication is wrong, or the "
            f"protocol is another one than {protocol}"
        )
    if signed is not None and signed.complaint == "time window":
        return (
            f"{place} finds our time outside its window (150 s): its clock runs wrong or it restarts again "
            f"and again (engine boots {found.boots}, time {found.time_s} s)"
        )
    privacy = way.credential.get("privacy_protocol", "")
    if privacy:
        return (
            f"{place} accepts {user!r}, but does not answer what is encrypted: the passphrase of privacy is "
            f"wrong, or the protocol is another one than {privacy}"
        )
    return f"{place} accepts {user!r}, but wants privacy as well: add its protocol and passphrase"


def _nothing_listens(place: str) -> str:
    return f"nothing listens at {place} (UDP): switch SNMP on there, or correct the port"


def _elsewhere(place: str, heard: _Heard) -> str:
    return (
        f"{place} was asked, but {heard.sender} answered: ask that address, or set the source address of "
        "SNMP on the device"
    )


async def _ask(way: Way, message: bytes) -> "_Heard | str | None":
    """The first answer from anywhere; "refused" when nothing listens; None for silence."""
    loop = asyncio.get_running_loop()
    family_any = ("::", 0) if ":" in way.address else ("0.0.0.0", 0)  # noqa: S104 - hears answers alone
    transports: list[asyncio.DatagramTransport] = []
    ears: list[_Ear] = []
    try:
        for connected in (False, True):  # an error reaches a connected socket, a stranger's answer the other

            def make(connected: bool = connected) -> _Ear:
                return _Ear(way, connected)

            if connected:
                made = await loop.create_datagram_endpoint(make, remote_addr=(way.address, way.port))
            else:
                made = await loop.create_datagram_endpoint(make, local_addr=family_any)
            transport, ear = made
            transports.append(transport)
            ears.append(ear)
            transport.sendto(message, None if connected else (way.address, way.port))
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                done, _ = await asyncio.wait([ear.heard for ear in ears], return_when=asyncio.FIRST_COMPLETED)
                answer = next(iter(done)).result()
                return "refused" if answer is None else answer
        return None
    except OSError:
        return None
    finally:
        for transport in transports:
            transport.close()


def _get(number: int, version: int, community: str) -> bytes:
    return ber.encode(
        ber.SEQUENCE,
        ber.encode_integer(version) + ber.encode(ber.OCTETS, community.encode()) + _pdu(number, [UP_TIME]),
    )


def _pdu(number: int, oids: list[str]) -> bytes:
    binds = b"".join(
        ber.encode(ber.SEQUENCE, ber.encode_oid(oid) + ber.encode(ber.NULL, b"")) for oid in oids
    )
    return ber.encode(
        ber.GET,
        ber.encode_integer(number)
        + ber.encode_integer(0)
        + ber.encode_integer(0)
        + ber.encode(ber.SEQUENCE, binds),
    )


def _message_v3(engine: _Report | None, *, flags: int, user: str = "", digest: bytes = b"") -> bytes:
    known = engine or _Report(b"", 0, 0, "")
    header = (
        ber.encode_integer(secrets.randbits(30))
        + ber.encode_integer(ber.MESSAGE_MAX_BYTES)
        + ber.encode(ber.OCTETS, bytes((flags,)))
        + ber.encode_integer(3)
    )
    security = (
        ber.encode(ber.OCTETS, known.engine)
        + ber.encode_integer(known.boots)
        + ber.encode_integer(known.time_s)
        + ber.encode(ber.OCTETS, user.encode())
        + ber.encode(ber.OCTETS, digest)
        + ber.encode(ber.OCTETS, b"")
    )
    scoped = ber.encode(
        ber.SEQUENCE,
        ber.encode(ber.OCTETS, known.engine)
        + ber.encode(ber.OCTETS, b"")
        + _pdu(secrets.randbits(30), [UP_TIME] if engine else []),
    )
    return ber.encode(
        ber.SEQUENCE,
        ber.encode_integer(3)
        + ber.encode(ber.SEQUENCE, header)
        + ber.encode(ber.OCTETS, ber.encode(ber.SEQUENCE, security))
        + scoped,
    )


def _signed(way: Way, engine: _Report, protocol: str) -> bytes:
    """An authenticated question: the digest is over the message with zeros in its place."""
    name, size = DIGESTS[protocol]
    kind = AUTH[protocol]
    master = kind.get_master_key(way.credential.get("auth_passphrase", "").encode())
    key = kind.get_localized_key(master, engine.engine)
    hole = secrets.token_bytes(size)  # found again by its content
    message = _message_v3(
        engine, flags=REPORTABLE | AUTHENTICATED, user=way.credential.get("user", ""), digest=hole
    )
    at = message.index(hole)
    zeros = message[:at] + bytes(size) + message[at + size :]
    return message[:at] + hmac.new(key, zeros, name).digest()[:size] + message[at + size :]


async def _discover(way: Way) -> "_Report | _Heard | str | None":
    """The engine of a device; "refused"; what came from elsewhere; None for silence."""
    heard = await _ask(way, _message_v3(None, flags=REPORTABLE))
    if not isinstance(heard, _Heard):
        return heard
    if not heard.expected:
        return heard
    with suppress(ValueError, IndexError):
        return read_report(heard.data)
    return None


async def _report(way: Way, message: bytes) -> _Report | None:
    heard = await _ask(way, message)
    with suppress(ValueError, IndexError):
        return read_report(heard.data) if isinstance(heard, _Heard) else None
    return None


def read_report(data: bytes) -> _Report:
    """A v3 message that is not encrypted. Raises ValueError, IndexError when it is none."""
    version, _, security, scoped = ber.decode_all(ber.decode(data).content)
    if ber.decode_integer(version) != 3:
        raise ValueError("not SNMP v3")
    engine, boots, time_s, *_ = ber.decode_all(ber.decode(security.content).content)
    complaint = ""
    if scoped.tag == ber.SEQUENCE:
        pdu = ber.decode_all(scoped.content)[2]
        if pdu.tag == ber.REPORT:
            binds = ber.decode_all(ber.decode_all(pdu.content)[3].content)
            oid = ber.decode_oid(ber.decode(binds[0].content))
            complaint = REPORTS.get(oid, oid)
    return _Report(engine.content, ber.decode_integer(boots), ber.decode_integer(time_s), complaint)
