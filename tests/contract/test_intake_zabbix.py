"""The real zabbix_sender, zabbix_agentd and zabbix-utils talk to the real listener."""

import asyncio
import json
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest
from zabbix_utils import AsyncSender, ItemValue

from contract.listener_site import OTHER, listening, until
from forestall.collect.listeners import zabbix
from forestall.collect.parsers.zabbix import DATA_MAX_BYTES
from forestall.kernel.ids import to_number


async def send(port: int, *options: str, given: str = "") -> tuple[int, str]:
    """zabbix_sender: its exit status and what it said."""
    command = ["zabbix_sender", "-z", "127.0.0.1", "-p", str(port), *options]
    done = await asyncio.to_thread(
        subprocess.run, command, input=given, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def packet(content: object, flags: int = 1) -> bytes:
    data = json.dumps(content).encode()
    if flags & 2:
        small = zlib.compress(data)
        return b"ZBXD" + struct.pack("<BII", flags, len(small), len(data)) + small
    return b"ZBXD" + struct.pack("<BQQ" if flags & 4 else "<BII", flags, len(data), 0) + data


async def ask(port: int, data: bytes) -> dict[str, object]:
    """The answer to one packet; {} when there was none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    head = await asyncio.wait_for(reader.read(13), 30)
    if not head:
        writer.close()
        return {}
    assert head[:5] == b"ZBXD\x01"
    answer = json.loads(await reader.readexactly(struct.unpack_from("<I", head, 5)[0]))
    writer.close()
    return dict(answer)


async def test_zabbix_sender(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path) as site:
        status, said = await send(site.port, "-s", "web-1", "-k", "vfs.fs.size[/,free]", "-o", "1.5e9")
        assert status == 0, said
        assert "processed: 1; failed: 0; total: 1" in said
        now = int(time.time()) - 60
        lines = f'web-1 backup.state {now} "it failed: größe"\nsrv load {now} 0.25\n- load {now} 7\n'
        status, said = await send(site.port, "-s", "srv", "-T", "-i", "-", given=lines)
        assert status == 0, said
        assert "processed: 3; failed: 0; total: 3" in said
        decoded = site.decoded()
    samples, logs = decoded.samples, decoded.logs
    assert list(
        zip(samples.metric.to_pylist(), samples.value.tolist(), samples.asset.tolist(), strict=True)
    ) == [
        ("vfs.fs.size[/,free]", 1.5e9, 3),
        ("load", 0.25, 2),
        ("load", 7.0, 2),
    ]
    assert samples.at_ms.tolist()[1:] == [now * 1000] * 2
    assert logs.message.to_pylist() == ["it failed: größe"]
    assert (logs.source.to_pylist(), logs.asset.tolist()) == (["zabbix"], [3])
    assert json.loads(logs.attrs[0].as_py()) == {"key": "backup.state"}
    assert site.rejected == []


async def test_zabbix_utils_with_compression(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path) as site:
        sender = AsyncSender(server="127.0.0.1", port=site.port, compression=True)
        values = [ItemValue("web-1", f"key[{k}]", k / 4, 1_700_000_000 + k, 500_000_000) for k in range(600)]
        answer = await sender.send(values)
        assert (answer.processed, answer.failed, answer.total) == (600, 0, 600)
        samples = site.decoded().samples
    assert samples.value.tolist() == [k / 4 for k in range(600)]
    assert samples.at_ms.tolist() == [(1_700_000_000 + k) * 1000 + 500 for k in range(600)]
    assert set(samples.asset.tolist()) == {to_number(OTHER)}


async def test_an_active_agent_is_told_that_there_is_nothing_to_check(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path / "queue") as site:
        log = tmp_path / "agent.log"
        conf = tmp_path / "agent.conf"
        conf.write_text(
            f"ServerActive=127.0.0.1:{site.port}\nHostname=web-1\nLogFile={log}\nPidFile={tmp_path}/pid\n"
            f"StartAgents=0\nRefreshActiveChecks=60\nDebugLevel=4\nAllowRoot=1\n"
        )
        agent = subprocess.Popen(["zabbix_agentd", "-f", "-c", str(conf)], stdout=subprocess.DEVNULL)
        try:
            await until(lambda: log.exists() and '"response":"success","data":[]' in log.read_text())
        finally:
            agent.terminate()
            await asyncio.to_thread(agent.wait, 20)
        assert await ask(site.port, packet({"request": "active check heartbeat", "host": "web-1"})) == {}
    assert site.rejected == []


async def test_the_answer_comes_when_there_is_room(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path) as site:
        site.full = True
        sending = asyncio.create_task(send(site.port, "-s", "web-1", "-k", "load", "-o", "1"))
        await until(lambda: site.asked > 2)
        assert not sending.done()
        site.full = False
        status, said = await asyncio.wait_for(sending, 60)
        assert status == 0, said
        assert len(site.decoded().samples) == 1


async def test_who_leaves_before_there_is_room_keeps_what_it_has(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path) as site:
        site.full = True
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(
            packet({"request": "sender data", "data": [{"host": "web-1", "key": "load", "value": "1"}]})
        )
        await until(lambda: site.asked > 1)
        writer.close()
        await asyncio.sleep(0)
        seen = site.asked
        await until(lambda: site.asked >= seen)
        for _ in range(60):  # it is asked no more, once it was seen that nobody waits
            before = site.asked
            await asyncio.sleep(0.4)
            if site.asked == before:
                break
        site.full = False
        assert (await send(site.port, "-s", "web-1", "-k", "load", "-o", "2"))[0] == 0
        assert site.decoded().samples.value.tolist() == [2.0]


async def test_what_cannot_be_used_is_counted_as_failed(tmp_path: Path) -> None:
    data = [
        {"host": "web-1", "key": "good", "value": "1"},
        {"host": "web-1", "key": "k" * 200, "value": "1"},
        {"host": "", "key": "x", "value": "1"},
        {"host": "web-1", "key": "x"},
        {"host": "web-1", "key": "bad item", "value": "it is not supported", "state": 1},
        {"host": "web-1", "key": "huge", "value": "1e999"},
        {"host": "web-1", "key": "time", "value": 3, "clock": "never", "ns": -5},
    ]
    async with listening(zabbix, tmp_path) as site:
        for flags in (1, 3, 5):
            answer = await ask(
                site.port, packet({"request": "agent data", "host": "srv", "data": data}, flags)
            )
            assert answer["response"] == "success"
            assert str(answer["info"]).startswith("processed: 5; failed: 2; total: 7;"), answer
        decoded = site.decoded()
        assert site.accept.counters["rejected"] == 6
    assert decoded.samples.metric.to_pylist()[:3] == ["good", "x", "time"]
    assert decoded.logs.message.to_pylist()[:2] == ["it is not supported", "1e999"]
    assert decoded.logs.severity.tolist()[:2] == [4, 6]


async def test_unknown_hosts_wait_in_quarantine(tmp_path: Path) -> None:
    async with listening(zabbix, tmp_path) as site:
        assert (await send(site.port, "-s", "stranger", "-k", "load", "-o", "1"))[0] == 0
        assert (await send(site.port, "-s", "web-1", "-k", "load", "-o", "2"))[0] == 0
        decoded = site.decoded()
    assert decoded.samples.value.tolist() == [2.0]
    assert [stray.sender for stray in decoded.strays] == ["stranger"]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"ZBXD\x01" + struct.pack("<II", DATA_MAX_BYTES + 1, 0),
        b"ZBXD\x03" + struct.pack("<II", 20, DATA_MAX_BYTES + 1) + b"x" * 20,
        b"ZBXD\x03" + struct.pack("<II", 4, 9) + b"nope",
        b"ZBXD\x01" + struct.pack("<II", 8, 0) + b"not json",
        b"ZBXD\x01" + struct.pack("<II", 200_000, 0) + b"[" * 200_000,
        packet({"request": "proxy data", "data": []}),
        packet({"request": "sender data", "data": [{"host": ["a"], "key": "x", "value": "1"}]}),
    ],
)
async def test_rubbish_is_told_and_does_not_stop_the_rest(tmp_path: Path, data: bytes) -> None:
    async with listening(zabbix, tmp_path) as site:
        answer = await ask(site.port, data)
        assert answer["response"] == "failed" and answer["info"]
        assert (await send(site.port, "-s", "web-1", "-k", "load", "-o", "2"))[0] == 0
    assert len(site.rejected) == 1


async def test_a_zip_bomb_is_not_blown_up(tmp_path: Path) -> None:
    bomb = zlib.compress(b"0" * 300_000_000)
    async with listening(zabbix, tmp_path) as site:
        data = b"ZBXD\x03" + struct.pack("<II", len(bomb), 1_000_000) + bomb
        answer = await ask(site.port, data)
    assert answer["response"] == "failed"
    assert "length" in site.rejected[0]
