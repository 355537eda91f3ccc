"""SNMP traps and informs, v1, v2c and v3, as log lines. An inform is answered after it is durable.

Decoding takes about a millisecond a message, so it is done in a thread beside the loop, one batch at a time.
"""

import asyncio
import contextlib
import socket
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from forestall.collect.listeners import Accept, CannotTake, PushedLine, Records
from forestall.collect.parsers.snmp_trap import NotTrap, Trap, read_trap, version_of
from forestall.collect.receiving.binding import bind_udp
from forestall.collect.receiving.datagrams import Datagrams, watch_drops
from forestall.collect.receiving.handing import RETRY_S, plain_address
from forestall.collect.receiving.snmp_v3 import Engine, Pending, Said, read_users
from forestall.kernel.plugins import Setting, Spec

HELD_MAX_BYTES = 1 << 20  # of what is read and not yet decoded; behind it the kernel keeps, and counts
BATCH_MAX = 500
ANSWERED_MAX = 4_096  # informs whose repetition is known

SPEC = Spec(
    name="traps",
    title="SNMP traps",
    about="Receives SNMP traps and informs, v1, v2c, v3, and makes a log line of each. The sender's address "
    "says whose it is; communities are neither checked nor kept. Informs are answered when they are durable.",
    source="RFC 1157, RFC 3416, RFC 3414, RFC 3584",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port, UDP", kind="whole", default=1162, least=0, most=65535),
        Setting(
            "users",
            "Users of SNMPv3",
            kind="lines",
            default=[],
            help="One a line: name, sha256, file with the passphrase, and for privacy aes128 and its file",
        ),
    ),
    limits=f"{HELD_MAX_BYTES >> 20} MiB of messages wait for decoding; the system counts what it drops then.",
    produces=("log records",),
)

Address = tuple[Any, ...]
_Key = tuple[str, int, str, int]


class _Read(NamedTuple):
    """A notification with its answer: bytes, or what the engine needs to make them."""

    address: Address
    trap: Trap
    answer: bytes
    pending: Pending | None


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port or a passphrase cannot be had."""
    users = read_users(settings["users"] or [])
    udp = bind_udp(settings["host"], settings["port"], listener="traps")
    traps = _Traps(udp, accept, stop, Engine(users) if users else None)
    datagrams = Datagrams(udp, accept, traps.take, sender=_whole, held_max_bytes=HELD_MAX_BYTES)
    accept.ready(udp.getsockname()[1])
    with udp:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(datagrams.run(stop))
            tasks.create_task(watch_drops(udp, accept, stop))


def _whole(address: Address) -> Address:
    return address


class _Traps:
    """Decodes, hands over, answers."""

    def __init__(
        self, udp: socket.socket, accept: Accept, stop: asyncio.Event, engine: Engine | None
    ) -> None:
        self._udp = udp
        self._accept = accept
        self._stop = stop
        self._engine = engine
        self._answered: OrderedDict[_Key, None] = OrderedDict()

    async def take(self, held: dict[Address, list[bytes]]) -> None:
        """All datagrams of one tick."""
        waiting = [(address, data) for address, messages in held.items() for data in messages]
        for at in range(0, len(waiting), BATCH_MAX):
            read, replies, wrong = await asyncio.to_thread(self._read, waiting[at : at + BATCH_MAX])
            for address, reply in replies:
                self._send(reply, address)
            for (peer, reason), count in wrong.items():
                self._accept.reject(peer, reason, b"", count)
            await self._hand_over(read)

    def _read(
        self, messages: list[tuple[Address, bytes]]
    ) -> tuple[list[_Read], list[tuple[Address, bytes]], dict[tuple[str, str], int]]:
        """Notifications, what goes back at once, and what was wrong: (peer, reason) → how often."""
        read: list[_Read] = []
        replies: list[tuple[Address, bytes]] = []
        wrong: dict[tuple[str, str], int] = {}
        for address, data in messages:
            try:
                if version_of(data) == 3:
                    said = self._read_v3(data, address)
                    replies += [(address, reply) for reply in said.replies]
                    if said.trap:
                        read.append(_Read(address, said.trap, b"", said.pending))
                else:
                    trap, answer = read_trap(data)
                    read.append(_Read(address, trap, answer, None))
            except NotTrap as error:
                _add(wrong, address, str(error))
            except Exception as error:  # one message must not end the others; what it says is not kept
                _add(wrong, address, f"a mistake of ours on an SNMP message ({type(error).__name__})")
        return read, replies, wrong

    def _read_v3(self, data: bytes, address: Address) -> Said:
        if self._engine is None:
            raise NotTrap(
                "an SNMPv3 message, and no user is known: name users as traps_users in forestall.toml"
            )
        return self._engine.read(data, address)

    async def _hand_over(self, read: list[_Read]) -> None:
        """Make them durable, one group of each sender, then answer the informs. While there is no room, wait:
        senders of informs ask again, and the kernel keeps and counts the rest."""
        now_ms = self._accept.now_ms()
        by_peer: dict[str, list[_Read]] = {}
        known: list[_Read] = []
        for one in read:
            peer = plain_address(one.address[0])
            if one.trap.inform and _key(peer, one.trap) in self._answered:
                known.append(one)
            else:
                by_peer.setdefault(peer, []).append(one)
        self._accept.count("repeated", len(known))
        await self._answer(known)
        for peer, group in by_peer.items():
            lines = [_of_sender(one.trap.line(at_ms=now_ms), peer) for one in group]
            if not await self._make_durable(Records(peer, "traps", now_ms, lines)):
                continue
            informs = [one for one in group if one.trap.inform]
            for one in informs:
                self._answered[_key(peer, one.trap)] = None
            while len(self._answered) > ANSWERED_MAX:
                self._answered.popitem(last=False)
            await self._answer(informs)

    async def _make_durable(self, records: Records) -> bool:
        while True:
            try:
                await self._accept(records)
                return True
            except CannotTake:
                if self._stop.is_set():
                    self._accept.count("lost", len(records.lines))
                    return False
                await asyncio.sleep(RETRY_S)

    async def _answer(self, informs: list[_Read]) -> None:
        for one in informs:
            if one.pending is not None and self._engine is not None:
                for reply in await asyncio.to_thread(self._engine.answer, one.pending):
                    self._send(reply, one.address)
            elif one.answer:
                self._send(one.answer, one.address)

    def _send(self, data: bytes, address: Address) -> None:
        with contextlib.suppress(OSError):  # the sender asks again
            self._udp.sendto(data, address)


def _add(wrong: dict[tuple[str, str], int], address: Address, reason: str) -> None:
    key = (plain_address(address[0]), reason)
    wrong[key] = wrong.get(key, 0) + 1


def _of_sender(line: PushedLine, peer: str) -> PushedLine:
    """A device that speaks for itself need not be named."""
    return line._replace(host="") if line.host == peer else line


def _key(peer: str, trap: Trap) -> _Key:
    return peer, trap.number, trap.oid, trap.uptime
