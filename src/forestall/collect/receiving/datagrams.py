"""Datagrams of listeners: read as they come, handed over once a tick; what the kernel drops is counted.

UDP has no acknowledgement, so the promise is that gaps are counted: it is read as long as there is room, then
the kernel's buffer fills and the kernel counts what it drops.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from forestall.collect.listeners import Accept

HELD_MAX_BYTES = 16 << 20
DATAGRAM_COST_BYTES = 128  # what keeping one costs beside its bytes
TICK_S = 0.05
PER_WAKE = 512
DATAGRAM_MAX_BYTES = 65_535
DROPS_EVERY_S = 5.0

Sender = TypeVar("Sender")


class Datagrams(Generic[Sender]):
    """Reads one socket. `take` is handed what came since the last tick, by sender, in the order in which it
    came; it returns when it is done with it, and counts as `lost` what it gives up. When we stop, what is
    left in the kernel is read and handed over too. `sender` makes a key of a socket's address."""

    def __init__(
        self,
        udp: socket.socket,
        accept: Accept,
        take: Callable[[dict[Sender, list[bytes]]], Awaitable[None]],
        *,
        sender: Callable[[Any], Sender],
        held_max_bytes: int = HELD_MAX_BYTES,
    ) -> None:
        self._udp = udp
        self._accept = accept
        self._take = take
        self._sender = sender
        self._most = held_max_bytes
        self._held: dict[Sender, list[bytes]] = {}
        self._held_bytes = 0
        self._reading = False

    async def run(self, stop: asyncio.Event) -> None:
        """Read and hand over until `stop` is set, and then what is left."""
        try:
            while not stop.is_set():
                self._resume()
                await asyncio.sleep(TICK_S)
                await self._flush()
        finally:
            if self._reading:
                asyncio.get_running_loop().remove_reader(self._udp)
                self._reading = False
        held = -1
        while held < self._held_bytes < self._most:  # what the kernel still has
            held = self._held_bytes
            self._read()
        await self._flush()

    def _resume(self) -> None:
        if not self._reading and self._held_bytes < self._most:
            asyncio.get_running_loop().add_reader(self._udp, self._read)
            self._reading = True

    def _read(self) -> None:
        held = self._held
        for _ in range(PER_WAKE):
            try:
                data, address = self._udp.recvfrom(DATAGRAM_MAX_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error of an earlier answer; nothing was received
                continue
            self._held_bytes += len(data) + DATAGRAM_COST_BYTES
            sender = self._sender(address)
            kept = held.get(sender)
            if kept is None:
                held[sender] = [data]
            else:
                kept.append(data)
        if self._reading and self._held_bytes >= self._most:
            asyncio.get_running_loop().remove_reader(self._udp)  # from here on the kernel keeps, and counts
            self._reading = False

    async def _flush(self) -> None:
        held, self._held = self._held, {}
        self._held_bytes = 0
        if held:
            await self._take(held)


async def watch_drops(udp: socket.socket, accept: Accept, stop: asyncio.Event) -> None:
    """Count what the kernel drops at a socket as `udp_dropped`, until `stop` is set."""
    inode = os.fstat(udp.fileno()).st_ino
    told = 0
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DROPS_EVERY_S):
                await stop.wait()
        told = _tell_drops(inode, told, accept)


def read_drops(inode: int, tables: tuple[str, ...] = ("/proc/net/udp", "/proc/net/udp6")) -> int | None:
    """How many datagrams the kernel dropped at a socket since it was opened; None where it does not say.

    Source: Linux Documentation/networking/proc_net_tcp, net/ipv4/udp.c (column `drops`, the last one).
    """
    for table in tables:
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if len(fields) >= 13 and fields[9] == str(inode):
                return int(fields[-1])
    return None


def _tell_drops(inode: int, told: int, accept: Accept) -> int:
    drops = read_drops(inode)
    if drops is None or drops <= told:
        return told
    accept.count("udp_dropped", drops - told)
    return drops
