"""Syslog over UDP and TCP on one port: the messages as they came go to the durable queue, parsed later.

Neither transport has an acknowledgement, so the promise is that gaps are counted: UDP is read as long as
there is room, then the kernel's buffer fills and the kernel counts what it drops; TCP is not read while there
is no room, so that the sender keeps what it has.
"""

import asyncio
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from forestall.collect.listeners import Accept, CannotTake, Received
from forestall.collect.parsers.syslog_framing import MESSAGE_MAX_BYTES
from forestall.collect.receiving.binding import bind_both
from forestall.collect.receiving.connections import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    Connections,
)
from forestall.collect.receiving.datagrams import Datagrams, watch_drops
from forestall.collect.receiving.handing import RETRY_S, in_frames, plain_address
from forestall.collect.receiving.syslog_stream import receive_syslog
from forestall.kernel.plugins import Setting, Spec

SPEC = Spec(
    name="syslog",
    title="Syslog",
    about="Receives syslog over UDP and TCP, RFC 3164 and RFC 5424, octet-counted and newline framing.",
    source="RFC 5424, RFC 3164, RFC 5426, RFC 6587",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port, UDP and TCP", kind="whole", default=5514, least=0, most=65535),
    ),
    limits=f"A message has at most {MESSAGE_MAX_BYTES // 1024} KiB; {CONNECTIONS_MAX} connections, "
    f"{CONNECTIONS_PER_PEER_MAX} from one address.",
    produces=("log records",),
)


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port cannot be had."""
    tcp, udp = bind_both(settings["host"], settings["port"], listener="syslog")

    async def take(held: dict[str, list[bytes]]) -> None:
        await _take_datagrams(accept, held, stop)

    datagrams = Datagrams(udp, accept, take, sender=itemgetter(0))
    streams = Connections(accept, lambda one: receive_syslog(one, accept, transport="tcp"))
    accept.ready(tcp.getsockname()[1])
    with tcp, udp:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(streams.run_until(stop, tcp))
            tasks.create_task(datagrams.run(stop))
            tasks.create_task(watch_drops(udp, accept, stop))


async def _take_datagrams(accept: Accept, held: dict[str, list[bytes]], stop: asyncio.Event) -> None:
    """Hand over one frame per sender, again and again while there is no room, until we stop."""
    now_ms = accept.now_ms()
    frames = []
    for address, messages in held.items():
        lines = [line for message in messages if (line := message.rstrip(b"\r\n\0"))]
        peer = plain_address(address)
        frames += [Received("syslog", peer, "udp", now_ms, part) for part in in_frames(lines)]
    while frames:
        results = await asyncio.gather(*map(accept, frames), return_exceptions=True)
        refused = []
        for frame, result in zip(frames, results, strict=True):
            if isinstance(result, CannotTake):
                refused.append(frame)
            elif isinstance(result, BaseException):
                raise result
        frames = refused
        if frames and stop.is_set():
            accept.count("lost", sum(len(frame.lines) for frame in frames))
            return
        if frames:
            await asyncio.sleep(RETRY_S)
