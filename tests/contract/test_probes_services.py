"""The tcp, icmp, smtp, ntp, dns, sql, nagios and domain probes against real daemons, and against bad ones.

DNS is answered by a UDP server made with dnspython, NTP by one made with `struct`, RDAP by nginx with
recorded answers: no such daemon is at hand. nginx, PostgreSQL, aiosmtpd and the Nagios plugins are real.
"""

import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from contract.daemons import Certified, Postgres, free_port, make_certificate, nginx, postgres
from forestall.collect.asking import ask_once
from forestall.collect.probes.ntp import SINCE_1900_S
from forestall.collect.reach import anywhere, of_collector, of_server
from forestall.kernel.observations import Outcome

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def ask(kind: str, target: str, *, timeout_s: float = 5, **settings: object) -> Outcome:
    return await ask_once(kind, target, settings, anywhere(), timeout_s=timeout_s)


def number(outcome: Outcome, metric: str) -> float:
    return next(sample.value for sample in outcome.samples if sample.metric == metric)


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    """A TCP server that talks so; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    started = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield started.sockets[0].getsockname()[1]
    finally:
        started.close()


def says(*lines: bytes, then_wait: bool = True) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(lines))
        await writer.drain()
        if then_wait:
            await reader.read()

    return talk


@asynccontextmanager
async def datagrams(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A UDP server that answers so (None: not at all); its port."""

    class Served(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            if (reply := answer(data)) is not None:
                self.transport.sendto(reply, address)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Served, local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


# tcp


async def test_a_port_that_accepts() -> None:
    async with server(says()) as port:
        outcome = await ask("tcp", f"127.0.0.1:{port}")
        assert outcome.ok and outcome.reason == f"127.0.0.1:{port} accepts connections"
        assert number(outcome, "probe.took_ms") > 0


async def test_a_port_that_is_closed() -> None:
    port = free_port()
    outcome = await ask("tcp", f"127.0.0.1:{port}")
    assert not outcome.ok and outcome.reason == f"connection refused by 127.0.0.1:{port}"
    assert [sample.metric for sample in outcome.samples] == ["probe.up"]
    by_name = await ask("tcp", f"localhost:{port}")
    assert by_name.reason.startswith(f"connection refused by localhost:{port} (")


async def test_a_banner() -> None:
    async with server(says(b"SSH-2.0-Open", b"SSH_9.2\r\n")) as port:
        assert (await ask("tcp", f"127.0.0.1:{port}", banner="SSH-2.0")).ok
    async with server(says(b"220 ftp ready\r\n", then_wait=False)) as port:
        outcome = await ask("tcp", f"127.0.0.1:{port}", banner="SSH-2.0", timeout_s=1)
        assert not outcome.ok and "does not say 'SSH-2.0'; it says '220 ftp ready" in outcome.reason
        assert outcome.answer == "220 ftp ready\n"
    async with server(says()) as port:
        outcome = await ask("tcp", f"127.0.0.1:{port}", banner="SSH-2.0", timeout_s=0.3)
        assert not outcome.ok and "accepts connections, but says nothing" in outcome.reason


# icmp


def may_ping() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not may_ping(), reason="only root may open a raw socket")
async def test_a_ping() -> None:
    outcome = await ask("icmp", "127.0.0.1", count=2)
    assert outcome.ok and outcome.reason.startswith("127.0.0.1 answers 2 of 2 pings (0% lost)")
    assert number(outcome, "icmp.loss_ratio") == 0 and number(outcome, "icmp.rtt_ms") > 0
    many = await asyncio.gather(*(ask("icmp", f"127.0.0.{n}", count=3) for n in range(1, 40)))
    assert all(outcome.ok for outcome in many)


@pytest.mark.skipif(not may_ping(), reason="only root may open a raw socket")
async def test_a_ping_that_gets_lost() -> None:
    # The kernel does not send to a multicast-free, unused link-local address without a route or a neighbour.
    outcome = await ask("icmp", "fe80::1:2:3:4", count=1, timeout_s=5)
    assert not outcome.ok and outcome.reason == "fe80::1:2:3:4 answers none of 1 pings"
    assert number(outcome, "icmp.loss_ratio") == 1 and outcome.answer == "ping 1: lost"


@pytest.mark.skipif(not may_ping(), reason="only root can give a capability away")
def test_a_process_that_may_not_ping_says_so() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    if low <= os.getgid() <= high:
        pytest.skip("every process of this group may ping here")
    program = (
        "import asyncio; from forestall.collect.asking import ask_once; "
        "from forestall.collect.reach import anywhere; "
        "print(asyncio.run(ask_once('icmp', '127.0.0.1', {}, anywhere())).reason)"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("this process may not ping: give it CAP_NET_RAW")


# smtp


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return make_certificate(tmp_path_factory.mktemp("mail"), "mail")


@pytest.fixture
def mail(certified: Certified) -> Iterator[int]:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified.certificate, certified.key)
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), tls_context=context)
    controller.start()
    yield controller.port
    controller.stop()


async def test_a_mail_server(mail: int) -> None:
    outcome = await ask("smtp", f"127.0.0.1:{mail}", starttls=True)
    assert outcome.ok and outcome.reason == f"127.0.0.1:{mail} takes mail and offers STARTTLS"
    assert number(outcome, "smtp.code") == 250 and "> EHLO forestall.invalid" in outcome.answer


async def test_starttls_shows_the_certificate(mail: int, certified: Certified) -> None:
    outcome = await ask("tls", f"127.0.0.1:{mail}", starttls="smtp", ca=certified.pem)
    assert outcome.ok and number(outcome, "certificate.days_left") > 89
    distrusted = await ask("tls", f"127.0.0.1:{mail}", starttls="smtp")
    assert not distrusted.ok and "is self-signed" in distrusted.reason


async def test_a_mail_server_without_encryption() -> None:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        outcome = await ask("smtp", f"127.0.0.1:{controller.port}", starttls=True)
        assert not outcome.ok and "offers no encryption (STARTTLS)" in outcome.reason
        tls = await ask("tls", f"127.0.0.1:{controller.port}", starttls="smtp")
        assert not tls.ok and "refuses STARTTLS over SMTP" in tls.reason
    finally:
        controller.stop()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"554 no service here\r\n", "takes no mail: 554 no service here"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak SMTP: it says 'SSH-2.0-OpenSSH'"),
        (b"220-hello\r\n" * 150, "a reply that never ends"),
        (b"x" * 70_000, "a line of more than 64 kB"),
        (b"", "still waiting for the greeting of 127.0.0.1"),
    ],
)
async def test_a_mail_server_that_is_none(lines: bytes, words: str) -> None:
    async with server(says(lines)) as port:
        outcome = await ask("smtp", f"127.0.0.1:{port}", timeout_s=1)
    assert not outcome.ok and words in outcome.reason


# ntp


def clock(*, ahead_s: float = 0.0, stratum: int = 2, leap: int = 0, reference: bytes = b"\x0a\0\0\1") -> Any:
    """A time server as RFC 5905 has it, whose clock is wrong by `ahead_s`."""

    def stamp() -> bytes:
        at = time.time() + SINCE_1900_S + ahead_s
        return struct.pack("!II", int(at), int((at % 1) * 2**32))

    def answer(asked: bytes) -> bytes:
        first = leap << 6 | 4 << 3 | 4
        head = struct.pack("!BBbbII4s", first, stratum, 6, -20, 100, 100, reference)
        return head + stamp() + asked[40:48] + stamp() + stamp()

    return answer


async def test_a_time_server() -> None:
    async with datagrams(clock()) as port:
        outcome = await ask("ntp", f"127.0.0.1:{port}", most_offset_ms=500)
    assert outcome.ok and abs(number(outcome, "ntp.offset_ms")) < 500
    assert "stratum 2" in outcome.answer


async def test_a_clock_that_is_off() -> None:
    async with datagrams(clock(ahead_s=90)) as port:
        outcome = await ask("ntp", f"127.0.0.1:{port}", most_offset_ms=500)
    assert not outcome.ok
    assert outcome.reason == (
        f"this machine's clock is 90 s behind 127.0.0.1:{port}, at most 500 ms are allowed"
    )
    assert 89_000 < number(outcome, "ntp.offset_ms") < 91_000


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (clock(stratum=0, reference=b"RATE"), "refuses to tell the time: it is asked too often"),
        (clock(leap=3), "is not synchronised"),
        (lambda asked: b"hello", "but not in NTP (5 bytes)"),
        (lambda asked: asked, "still waiting for the time"),
        (lambda asked: None, "still waiting for the time"),
    ],
)
async def test_a_time_server_of_no_use(answer: Any, words: str) -> None:
    async with datagrams(answer) as port:
        outcome = await ask("ntp", f"127.0.0.1:{port}", timeout_s=0.5)
    assert not outcome.ok and words in outcome.reason


async def test_no_time_server_there() -> None:
    outcome = await ask("ntp", f"127.0.0.1:{free_port()}")
    assert not outcome.ok and outcome.reason.startswith("connection refused by 127.0.0.1:")


# dns


def names(asked: bytes) -> bytes:
    query = dns.message.from_wire(asked)
    reply = dns.message.make_response(query)
    question = query.question[0]
    known = {
        ("shop.example.com.", "A"): ["192.0.2.10", "192.0.2.11"],
        ("example.com.", "MX"): ["10 mail.example.com."],
        ("example.com.", "TXT"): ['"v=spf1 -all"'],
    }
    kind = dns.rdatatype.to_text(question.rdtype)
    if records := known.get((question.name.to_text(), kind)):
        reply.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, *records))
    elif question.name.to_text() != "shop.example.com.":
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply.to_wire()


@pytest.mark.parametrize(
    ("target", "settings", "ok", "words"),
    [
        ("shop.example.com", {}, True, "A of shop.example.com is 192.0.2.10 and 192.0.2.11, says 127.0.0.1:"),
        ("shop.example.com", {"expect": "192.0.2.10"}, True, ""),
        ("shop.example.com", {"expect": "192.0.2.99"}, False, "expected 192.0.2.99 is missing"),
        (
            "shop.example.com",
            {"expect": "192.0.2.10", "only": "yes"},
            False,
            "unexpected answers: 192.0.2.11",
        ),
        ("example.com", {"type": "MX", "expect": "10 MAIL.example.com"}, True, ""),
        ("example.com", {"type": "TXT", "expect": "v=spf1 -all"}, True, ""),
        ("shop.example.com", {"type": "AAAA"}, False, "shop.example.com has no AAAA record, says 127.0.0.1:"),
        ("gone.example.com", {}, False, "gone.example.com does not exist, says 127.0.0.1:"),
        ("a" * 70 + ".com", {}, False, "is not a DNS name"),
    ],
)
async def test_a_name_server(target: str, settings: dict[str, str], ok: bool, words: str) -> None:
    async with datagrams(names) as port:
        outcome = await ask("dns", target, server=f"127.0.0.1:{port}", **settings)
    assert outcome.ok is ok and words in outcome.reason
    if ok:
        assert number(outcome, "dns.answers_count") >= 1 and ";ANSWER" in outcome.answer


async def test_a_name_server_of_no_use() -> None:
    async with datagrams(lambda asked: asked[:2] + b"nonsense") as port:
        outcome = await ask("dns", "example.com", server=f"127.0.0.1:{port}", timeout_s=1)
        assert not outcome.ok and "but not in DNS" in outcome.reason
    async with datagrams(lambda asked: None) as port:
        outcome = await ask("dns", "example.com", server=f"127.0.0.1:{port}", timeout_s=0.3)
        assert not outcome.ok
        assert outcome.reason == f"no answer from the name server 127.0.0.1:{port} within 0.27 s"


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
    deadline = time.monotonic() + 5
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
