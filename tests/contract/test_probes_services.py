"""The tcp, icmp, smtp, ntp and dns probes against real servers, and against bad ones.

DNS is answered by a UDP server made with dnspython, NTP by one made with `struct`: no such daemon is at hand.
aiosmtpd and ICMP are the real ones.
"""

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from contract.daemons import Certified, free_port, make_certificate
from contract.probe_servers import ask, datagrams, number, says, server
from forestall.collect.probes.ntp import SINCE_1900_S

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


@pytest.mark.skipif(not may_ping(), reason="only root may open a raw socket")
async def test_a_ping_in_little_time_says_that_it_was_lost_and_not_that_time_was_up() -> None:
    outcome = await ask("icmp", "fe80::1:2:3:4", count=4, timeout_s=0.8)
    assert not outcome.ok and outcome.reason == "fe80::1:2:3:4 answers none of 4 pings"
    assert number(outcome, "icmp.loss_ratio") == 1


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
