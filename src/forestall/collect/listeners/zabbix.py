"""The Zabbix trapper: values of zabbix_sender and of active agents. Answered after they are durable.

While there is no room the answer waits, and nothing more is read; after a while the sender is told to send
again, and nothing of what was not taken is kept.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from forestall.collect.listeners import Accept, CannotTake, Records
from forestall.collect.parsers.zabbix import (
    DATA_MAX_BYTES,
    VALUES_MAX,
    NotZabbix,
    Request,
    answer,
    decompress,
    head_size,
    in_parts,
    read_head,
    read_request,
)
from forestall.collect.receiving.binding import bind_tcp
from forestall.collect.receiving.connections import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_PEER_MAX,
    Connection,
    Connections,
)
from forestall.collect.receiving.handing import RETRY_S, Gone
from forestall.kernel.plugins import Setting, Spec

PACKET_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 60.0
ROOM_TIMEOUT_S = 20.0  # senders wait about a minute for an answer
ANSWER_TIMEOUT_S = 30.0
THREAD_FROM_BYTES = 64 << 10  # a packet from this size on is read beside the loop
RAW_BYTES = 1000

VALUES = frozenset(("sender data", "agent data"))
START_BYTES = 5

SPEC = Spec(
    name="zabbix",
    title="Zabbix sender and active agent",
    about="Receives values as a Zabbix server does: numbers become samples of the host that they name, texts "
    "log lines. Active agents that ask what to check are told: nothing. Answers when it is durable.",
    source="Zabbix 7.0 manual, appendices Header and Zabbix sender protocol",
    settings=(
        Setting("host", "Address to listen on", default="127.0.0.1"),
        Setting("port", "Port", kind="whole", default=10051, least=0, most=65535),
    ),
    limits=f"A packet has at most {DATA_MAX_BYTES >> 20} MiB decompressed and {VALUES_MAX} values; "
    f"{CONNECTIONS_MAX} connections, {CONNECTIONS_PER_PEER_MAX} from one address. Not inside TLS.",
    produces=("samples", "log records"),
)


async def listen(settings: Mapping[str, Any], accept: Accept, stop: asyncio.Event) -> None:
    """Listen until `stop` is set. Raises Trouble when the port cannot be had."""
    tcp = bind_tcp(settings["host"], settings["port"], listener="zabbix")
    streams = Connections(accept, lambda one: _serve(one, accept))
    accept.ready(tcp.getsockname()[1])
    await streams.run_until(stop, tcp)


async def _serve(connection: Connection, accept: Accept) -> None:
    """Packets of one connection, each with its answer."""
    while True:
        data = b""
        try:
            data = await _read_packet(connection.reader)
            if not data:
                return
            now_ms = accept.now_ms()
            if len(data) >= THREAD_FROM_BYTES:
                request = await asyncio.to_thread(read_request, data, received_at_ms=now_ms)
            else:
                request = read_request(data, received_at_ms=now_ms)
        except (NotZabbix, MemoryError) as error:
            accept.reject(connection.peer, str(error), data[:RAW_BYTES])
            await _say(connection, {"response": "failed", "info": str(error)})
            return
        except asyncio.IncompleteReadError:
            accept.reject(connection.peer, "a packet ends before the length that its head says")
            return
        told = await _do(request, connection, accept, data, now_ms)
        if told is None:
            return
        await _say(connection, told)


async def _do(
    request: Request, connection: Connection, accept: Accept, data: bytes, now_ms: int
) -> dict[str, object] | None:
    """What to answer; None when there is no answer."""
    if request.kind == "active checks":
        return {"response": "success", "data": []}
    if request.kind == "active check heartbeat":
        return None
    if request.kind not in VALUES:
        reason = "a request that is not for values: only sender data and agent data are taken here"
        accept.reject(connection.peer, reason, data[:RAW_BYTES])
        return {"response": "failed", "info": reason}
    began = time.monotonic()
    if not await _hand_over(request, connection, accept, now_ms):
        return {"response": "failed", "info": "there is no room now: send again later"}
    accept.count("cut", request.cut_count)
    for reason, count in request.refused.items():
        accept.reject(connection.peer, f"{reason}: it was not taken", data[:RAW_BYTES], count)
    failed = sum(request.refused.values())
    info = (
        f"processed: {request.total - failed}; failed: {failed}; total: {request.total}; "
        f"seconds spent: {time.monotonic() - began:.6f}"
    )
    return {"response": "success", "info": info}


async def _hand_over(request: Request, connection: Connection, accept: Accept, now_ms: int) -> bool:
    """Whether all of it is durable within ROOM_TIMEOUT_S. Raises Gone when the sender left before."""
    until = time.monotonic() + ROOM_TIMEOUT_S
    for lines, numbers in in_parts(request):
        while True:
            try:
                await accept(Records(connection.peer, "zabbix", now_ms, lines, numbers))
                break
            except CannotTake:
                if connection.gone():
                    raise Gone("the sender hung up before there was room") from None
                if time.monotonic() >= until:
                    return False
                await asyncio.sleep(RETRY_S)
    return True


async def _read_packet(reader: asyncio.StreamReader) -> bytes:
    """The data of the next packet, or b"" when the sender is done. Raises NotZabbix, IncompleteReadError."""
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        first = await reader.read(1)
    if not first:
        return b""
    async with asyncio.timeout(PACKET_TIMEOUT_S):
        start = first + await reader.readexactly(START_BYTES - 1)
        head = start + await reader.readexactly(head_size(start) - START_BYTES)
        size = read_head(head)
        data = await reader.readexactly(size.length)
    if not size.plain_length:
        return data
    return await asyncio.to_thread(decompress, data, size)


async def _say(connection: Connection, content: dict[str, object]) -> None:
    connection.writer.write(answer(content))
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        await connection.writer.drain()
