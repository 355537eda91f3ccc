"""The sql, nagios and domain probes against a real PostgreSQL, real Nagios plugins, and bad ones.

MySQL is answered by a server made with `struct`, RDAP by nginx with recorded answers: no such daemon is here.
"""

import asyncio
import json
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from contract.daemons import Postgres, free_port, nginx, postgres
from contract.probe_servers import ask, number, says, server
from forestall.collect.asking import ask_once
from forestall.collect.reach import of_collector, of_server
from forestall.kernel.observations import Outcome

# sql


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def url(database: Postgres) -> str:
    return f"postgresql://postgres@127.0.0.1:{database.port}/postgres"


async def test_a_database(database: Postgres) -> None:
    outcome = await ask("sql", url(database), password=database.password)
    assert outcome.ok and outcome.reason == f"127.0.0.1:{database.port} lets postgres in and answers '1'"
    assert number(outcome, "sql.value") == 1 and number(outcome, "sql.took_ms") > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"password": "wrong-word"}, 'password authentication failed for user "postgres"'),
        ({"query": "SELECT 41", "expect": "42"}, "answers '41', expected '42'"),
        ({"query": "SELECT 41", "least": 42}, "answers '41', expected at least 42"),
        ({"query": "SELECT 41", "most": 40}, "answers '41', expected at most 40"),
        ({"query": "SELECT 'x'", "most": 40}, "answers 'x', which is not a number"),
        ({"query": "CREATE TABLE x (y int)"}, "cannot execute CREATE TABLE in a read-only transaction"),
        ({"query": "COMMIT; CREATE TABLE x (y int)"}, "cannot insert multiple commands"),
        ({"query": "SELEC 1"}, "syntax error"),
        ({"query": "SELECT pg_sleep(9)"}, "to answer the question"),
        ({"tls": "require"}, "server does not support SSL"),
    ],
)
async def test_a_database_that_does_not_answer_as_expected(
    database: Postgres, settings: dict[str, object], words: str
) -> None:
    given = {"password": database.password, **settings}
    outcome = await ask("sql", url(database), timeout_s=1, **given)
    assert not outcome.ok and words in outcome.reason
    assert database.password not in outcome.reason + outcome.answer


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


async def mysql(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The least of MySQL's protocol: lets everybody in, answers every SELECT with 42, the rest with OK."""

    async def receive() -> tuple[int, bytes]:
        head = await reader.readexactly(4)
        return head[3], await reader.readexactly(int.from_bytes(head[:3], "little"))

    done = b"\0\0\0\2\0\0\0"
    capabilities = 0x000F_A205  # protocol 4.1, plugin authentication, transactions; no TLS
    hello = b"\x0a5.5.5-test\0" + struct.pack("<I", 7) + b"a" * 8 + b"\0"
    hello += struct.pack("<HBHHB", capabilities & 0xFFFF, 45, 2, capabilities >> 16, 21) + bytes(10)
    hello += b"b" * 12 + b"\0mysql_native_password\0"
    writer.write(packet(0, hello))
    number, _ = await receive()
    writer.write(packet(number + 1, done))
    while True:
        _, asked = await receive()
        if not asked.startswith(b"\x03SELECT"):
            writer.write(packet(1, done))
            continue
        column = text(b"def") + text(b"") * 3 + text(b"n") + text(b"")
        column += b"\x0c" + struct.pack("<HIBHB", 33, 20, 8, 0, 0) + b"\0\0"
        end = b"\xfe\0\0\2\0"
        answer = [packet(1, b"\1"), packet(2, column), packet(3, end), packet(4, text(b"42")), packet(5, end)]
        writer.write(b"".join(answer))


async def test_mysql_as_far_as_its_protocol_goes() -> None:
    async with server(mysql) as port:
        target = f"mariadb://me@127.0.0.1:{port}/shop"
        outcome = await ask("sql", target, password="hunter22", most=50)
        assert outcome.ok and outcome.reason == f"127.0.0.1:{port} lets me in and answers '42'"
        assert number(outcome, "sql.value") == 42
        unsafe = await ask("sql", target, password="hunter22", tls="require")
        assert not unsafe.ok and "SSL is required but the server doesn't support it" in unsafe.reason


async def test_a_database_that_is_not_there() -> None:
    port = free_port()
    for kind in ("postgresql", "mysql"):
        outcome = await ask("sql", f"{kind}://me@127.0.0.1:{port}/shop")
        assert not outcome.ok and outcome.reason == f"connection refused by 127.0.0.1:{port}"


async def test_something_else_than_a_database() -> None:
    async with server(says(b"HTTP/1.0 400 Bad Request\r\n\r\n", then_wait=False)) as port:
        for kind in ("postgresql", "mysql"):
            outcome = await ask("sql", f"{kind}://me@127.0.0.1:{port}/shop", timeout_s=2)
            assert not outcome.ok and f"127.0.0.1:{port}" in outcome.reason and "bug" not in outcome.reason


@pytest.mark.parametrize("target", ["db.example.com", "postgresql://127.0.0.1/x", "oracle://me@127.0.0.1/x"])
async def test_an_address_of_no_database(target: str) -> None:
    assert "write it as postgresql://user@host" in (await ask("sql", target)).reason


async def test_a_password_in_the_address_is_refused() -> None:
    outcome = await ask("sql", "postgresql://me:hunter22@127.0.0.1/x")
    assert outcome.reason == "the password does not belong into the address: use the setting password"


# nagios


@pytest.fixture
def own_plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()

    def write(name: str, text: str, mode: int = 0o755) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)

    write("check_two", "echo 'TWO WARNING - slow | time=1.5s;1;2 share=25%'; exit 1")
    write("check_loud", "yes 'OK line' | head -c 3000000; exit 0")
    write("check_hang", f"sleep 300 & echo $! > {tmp_path}/child; wait")
    write("check_crash", "kill -SEGV $$")
    write("check_odd", "echo bye; exit 77")
    write("check_mute", "echo 'cannot open /dev/foo' >&2; exit 3")
    write("check_loose", "exit 0", 0o777)
    write("check_args", 'echo "OK $# [$1]"')
    (folder / "check_link").symlink_to("/bin/sh")
    return folder


async def nagios(target: str, own: Path, *, timeout_s: float = 5, **settings: object) -> Outcome:
    reach = of_collector(["127.0.0.0/8"], own_plugins=own)
    return await ask_once("nagios", target, settings, reach, timeout_s=timeout_s)


async def test_a_real_plugin(own_plugins: Path) -> None:
    outcome = await nagios("check_dummy 0 'all is well'", own_plugins)
    assert outcome.ok and outcome.reason == "check_dummy says OK: all is well"
    disk = await nagios("check_disk -w 0% -c 0% -p /", own_plugins)
    assert disk.ok and number(disk, "nagios./_bytes") > 0
    async with server(says()) as port:
        tcp = await nagios(f"check_tcp -H 127.0.0.1 -p {port}", own_plugins)
    assert tcp.ok and number(tcp, "nagios.time_s") > 0
    critical = await nagios(f"check_tcp -H 127.0.0.1 -p {port}", own_plugins)
    assert not critical.ok and critical.answer.startswith("exit code 2\n")


async def test_a_plugin_of_the_collectors_own(own_plugins: Path) -> None:
    outcome = await nagios("check_two", own_plugins)
    assert not outcome.ok and outcome.reason == "check_two says TWO WARNING - slow"
    assert number(outcome, "nagios.time_s") == 1.5 and number(outcome, "nagios.share_ratio") == 0.25
    assert (await nagios("check_two", own_plugins, warning="passes")).ok


async def test_arguments_never_meet_a_shell(own_plugins: Path) -> None:
    outcome = await nagios("check_args '$(id); rm -rf x'", own_plugins)
    assert outcome.reason == "check_args says OK 1 [$(id); rm -rf x]"


async def test_output_is_read_to_a_limit(own_plugins: Path) -> None:
    outcome = await nagios("check_loud", own_plugins)
    assert outcome.ok and len(outcome.answer) <= 4096


async def test_a_plugin_that_hangs_is_ended_with_its_children(own_plugins: Path, tmp_path: Path) -> None:
    outcome = await nagios("check_hang", own_plugins, timeout_s=0.5)
    assert not outcome.ok and outcome.reason.endswith("within 0.5 s: still running check_hang")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 60
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the plugin's child lives on"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("check_crash", "ended with signal 11, which is no verdict"),
        ("check_odd", "ended with exit code 77, which is no verdict: bye"),
        ("check_mute", "UNKNOWN: cannot open /dev/foo"),
        ("check_loose", "can be changed by others"),
        ("check_link", "is not a program inside that folder"),
        ("check_nothing", "there is no plugin check_nothing in"),
        ("../../../../bin/sh -c id", "is not the name of a plugin"),
        ("/bin/sh -c id", "is not the name of a plugin"),
        ("negate check_dummy 0", "is not among the plugins that every collector may run"),
        ("check_tcp 'unclosed", "cannot be read"),
        (
            "check_tcp -H 10.1.2.3 -p 80",
            "10.1.2.3 is outside the ranges of this collector's site (127.0.0.0/8)",
        ),
        ("check_tcp --hostname=10.1.2.3 -p 80", "10.1.2.3 is outside the ranges"),
        ("check_icmp 10.1.2.3", "10.1.2.3 is outside the ranges"),
    ],
)
async def test_a_plugin_that_is_not_run_or_gives_no_verdict(
    own_plugins: Path, target: str, words: str
) -> None:
    outcome = await nagios(target, own_plugins)
    assert not outcome.ok and words in outcome.reason


async def test_the_server_runs_no_plugins() -> None:
    outcome = await ask_once("nagios", "check_dummy 0", {}, of_server())
    assert not outcome.ok and outcome.reason.startswith("the server runs no plugins")


# domain


def domain(name: str, *, days: float, status: str = "active") -> str:
    at = datetime.now(UTC) + timedelta(days=days, hours=1)
    events = [
        {"eventAction": "registration", "eventDate": "1999-01-01T00:00:00Z"},
        {"eventAction": "expiration", "eventDate": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
    ]
    return json.dumps({"objectClassName": "domain", "ldhName": name, "status": [status], "events": events})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("registry")
    (folder / "domain").mkdir()
    for name, text in {
        "good.example": domain("good.example", days=200),
        "late.example": domain("late.example", days=-3),
        "held.example": domain("held.example", days=90, status="client hold"),
        "mute.example": json.dumps({"ldhName": "mute.example", "events": []}),
        "odd.example": "<html>",
        "list.example": "[1]",
    }.items():
        (folder / "domain" / name).write_text(text)
    port = free_port()
    with nginx(f"server {{ listen 127.0.0.1:{port}; root {folder}; }}", port=port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("name", "ok", "words"),
    [
        ("good.example", True, "good.example is registered until"),
        ("late.example", False, "the registration of late.example expired 3 days ago"),
        ("held.example", False, "held.example is not in use by its registry: client hold"),
        ("mute.example", False, "does not tell until when mute.example is registered"),
        ("odd.example", False, "answers, but not in JSON"),
        ("list.example", False, "answers, but not in RDAP"),
        ("none.example", False, "the registry knows no domain none.example"),
        ("nodot", False, "is not a domain; write for example example.com"),
    ],
)
async def test_a_registration(registry: str, name: str, ok: bool, words: str) -> None:
    outcome = await ask("domain", name, server=registry)
    assert outcome.ok is ok and words in outcome.reason
    if ok:
        assert 199 < number(outcome, "domain.days_left") < 201


async def test_a_registry_that_cannot_be_reached() -> None:
    outcome = await ask("domain", "good.example", server=f"http://127.0.0.1:{free_port()}")
    assert not outcome.ok and outcome.reason.startswith("the registry of good.example could not be asked")
    assert outcome.reason.endswith("nothing is known about good.example")
