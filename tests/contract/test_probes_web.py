"""The http and tls probes: a real nginx with certificates of our own authority, and bad servers."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.daemons import Certified, free_port, make_certificate, nginx
from contract.probe_servers import number, server
from forestall.collect.asking import ask_once
from forestall.collect.reach import Reach, anywhere, of_collector, of_server
from forestall.kernel.observations import Outcome


@dataclass
class Web:
    plain: int
    secure: int
    expired: int
    other: int
    ca: Certified

    async def ask(self, kind: str, target: str, *, reach: Reach | None = None, **settings: object) -> Outcome:
        return await ask_once(kind, target, settings, reach or anywhere(), timeout_s=5)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    now = datetime.now(UTC)
    ca = make_certificate(folder, "authority", authority=True)
    good = make_certificate(folder, "good", issuer=ca, valid_until=now + timedelta(days=12, hours=1))
    expired = make_certificate(
        folder, "expired", issuer=ca, valid_from=now - timedelta(days=90), valid_until=now - timedelta(days=3)
    )
    other = make_certificate(folder, "other", issuer=ca, names=("shop.example.com",))
    found = Web(free_port(), free_port(), free_port(), free_port(), ca)
    (folder / "big").write_bytes(b"x" * (3 << 20))
    (folder / "words").write_text("the quick brown fox\nstock: 17 left\n" + "a" * 40)

    def secure(port: int, used: Certified) -> str:
        return (
            f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {used.certificate}; "
            f"ssl_certificate_key {used.key}; location / {{ return 200 'safe $host'; }} }}"
        )

    servers = f"""
    server {{ listen 127.0.0.1:{found.plain}; root {folder}; add_header Set-Cookie "session=very-secret";
      location = / {{ return 200 "hello from $host, $http_x_token $http_authorization"; }}
      location = /gone {{ return 503 "out of order"; }}
      location = /moved {{ return 302 /; }}
      location = /round {{ return 302 /round; }}
      location = /away {{ return 302 https://127.0.0.1:{found.expired}/; }}
      location = /inside {{ return 302 http://127.9.9.9:{found.plain}/; }}
      location = /strange {{ return 302 ftp://127.0.0.1/; }}
      location = /token {{ return 302 http://localhost:{found.plain}/; }}
    }}
    {secure(found.secure, good)} {secure(found.expired, expired)} {secure(found.other, other)}"""
    with nginx(servers, port=found.plain):
        yield found


async def test_a_page_that_answers_is_ok(web: Web) -> None:
    url = f"http://127.0.0.1:{web.plain}/"
    outcome = await web.ask("http", url, contains="hello")
    assert outcome.ok and outcome.reason.startswith(f"127.0.0.1:{web.plain} answers 200 OK")
    assert number(outcome, "http.status") == 200 and number(outcome, "probe.up") == 1
    assert {sample.item for sample in outcome.samples} == {f"http {url}"}
    assert "HTTP 200 OK" in outcome.answer and "hello from 127.0.0.1" in outcome.answer


async def test_evidence_keeps_no_cookies_and_no_passwords(web: Web) -> None:
    outcome = await web.ask("http", f"http://127.0.0.1:{web.plain}/", user="me", password="hunter22")
    assert "very-secret" not in outcome.answer and "set-cookie: (hidden)" in outcome.answer
    echo = await web.ask("http", f"http://127.0.0.1:{web.plain}/", headers=["X-Token: abc"], contains="abc")
    assert echo.ok


async def test_a_wrong_status_says_what_was_expected(web: Web) -> None:
    outcome = await web.ask("http", f"http://127.0.0.1:{web.plain}/gone")
    assert not outcome.ok and outcome.reason.endswith(
        "/gone answers 503 Service Temporarily Unavailable, expected 200-299"
    )
    assert "out of order" in outcome.answer
    assert (await web.ask("http", f"http://127.0.0.1:{web.plain}/gone", status="503")).ok


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"contains": "sold out"}, "does not contain 'sold out'"),
        ({"lacks": "fox"}, "the page contains 'fox'"),
        ({"matches": r"stock: \d{3,} left"}, "nothing on the page matches"),
        ({"matches": "^(a+)+b$"}, "took longer than"),
        ({"matches": "(unclosed"}, "is not a regular expression"),
    ],
)
async def test_content_that_is_not_as_expected(web: Web, settings: dict[str, str], reason: str) -> None:
    outcome = await web.ask("http", f"http://127.0.0.1:{web.plain}/words", **settings)
    assert not outcome.ok and reason in outcome.reason


async def test_content_as_expected(web: Web) -> None:
    outcome = await web.ask(
        "http", f"http://127.0.0.1:{web.plain}/words", contains="quick", lacks="dog", matches=r"^stock: \d+"
    )
    assert outcome.ok, outcome.reason


async def test_redirects_are_followed_and_bounded(web: Web) -> None:
    base = f"http://127.0.0.1:{web.plain}"
    moved = await web.ask("http", f"{base}/moved")
    assert moved.ok and f"{base}/moved →" in moved.answer
    stays = await web.ask("http", f"{base}/moved", redirects=0)
    assert not stays.ok and "answers 302" in stays.reason
    around = await web.ask("http", f"{base}/round", redirects=3)
    assert not around.ok and around.reason.startswith("more than 3 redirects")
    strange = await web.ask("http", f"{base}/strange")
    assert not strange.ok and "which is no web address" in strange.reason


async def test_each_hop_is_held_to_the_reach(web: Web) -> None:
    base = f"http://127.0.0.1:{web.plain}"
    outcome = await web.ask("http", f"{base}/inside", reach=of_collector(["127.0.0.1/32"]))
    assert not outcome.ok and outcome.reason.startswith("127.9.9.9 is this machine itself")
    refused = await web.ask("http", f"{base}/", reach=of_server())
    assert not refused.ok
    assert refused.reason == (
        "127.0.0.1 is this machine itself: only a collector whose site declares it may ask it"
    )


async def test_what_was_meant_for_one_host_is_not_sent_to_another(web: Web) -> None:
    outcome = await web.ask(
        "http",
        f"http://127.0.0.1:{web.plain}/token",
        headers=["X-Token: abc"],
        user="me",
        password="hunter22",
    )
    assert outcome.ok and "hello from localhost,  " in outcome.answer


async def test_a_long_page_is_read_to_a_limit(web: Web) -> None:
    outcome = await web.ask("http", f"http://127.0.0.1:{web.plain}/big")
    assert outcome.ok and "more than 1.0 MB" in outcome.reason and len(outcome.answer) <= 4096


async def test_https_tells_how_long_the_certificate_lasts(web: Web) -> None:
    outcome = await web.ask("http", f"https://127.0.0.1:{web.secure}/", ca=web.ca.pem)
    assert outcome.ok and "certificate expires in 12 days" in outcome.reason
    sample = next(sample for sample in outcome.samples if sample.metric == "certificate.days_left")
    assert sample.item == f"127.0.0.1:{web.secure}" and 12 <= sample.value < 12.1
    assert "issuer: CN=authority" in outcome.answer


async def test_https_that_is_not_trusted_fails_and_sends_nothing(web: Web) -> None:
    outcome = await web.ask("http", f"https://127.0.0.1:{web.secure}/")
    assert not outcome.ok and "is not from an authority that is trusted here" in outcome.reason
    assert number(outcome, "certificate.days_left") > 12
    assert "safe" not in outcome.answer
    assert (await web.ask("http", f"https://127.0.0.1:{web.secure}/", verify="no")).ok


async def test_an_expired_certificate_says_since_when(web: Web) -> None:
    day = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%d")
    expected = f"certificate of 127.0.0.1:{web.expired} expired 3 days ago ({day})"
    for kind, target in (
        ("http", f"https://127.0.0.1:{web.expired}/"),
        ("http", f"http://127.0.0.1:{web.plain}/away"),
        ("tls", f"127.0.0.1:{web.expired}"),
    ):
        outcome = await web.ask(kind, target, ca=web.ca.pem)
        assert not outcome.ok and outcome.reason == expected
    assert number(outcome, "certificate.days_left") < -2.9


async def test_a_certificate_for_another_name(web: Web) -> None:
    outcome = await web.ask("tls", f"127.0.0.1:{web.other}", ca=web.ca.pem)
    assert not outcome.ok
    assert outcome.reason == (
        f"certificate of 127.0.0.1:{web.other} is for another name: it is for shop.example.com"
    )


async def test_tls_of_a_good_certificate(web: Web) -> None:
    outcome = await web.ask("tls", f"localhost:{web.secure}", ca=web.ca.pem)
    assert outcome.ok and "expires in 12 days" in outcome.reason
    assert (await web.ask("tls", f"127.0.0.1:{web.expired}", verify="no")).ok is False


async def test_tls_of_something_that_does_not_speak_it(web: Web) -> None:
    outcome = await web.ask("tls", f"127.0.0.1:{web.plain}")
    assert not outcome.ok and "TLS" in outcome.reason
    refused = await web.ask("tls", f"127.0.0.1:{free_port()}")
    assert refused.reason.startswith("connection refused by 127.0.0.1:")


async def test_a_wrong_authority_is_a_wrong_setting(web: Web) -> None:
    outcome = await web.ask("tls", f"127.0.0.1:{web.secure}", ca="nonsense")
    assert not outcome.ok and outcome.reason.startswith("the setting ca is not a certificate")


async def test_a_server_that_does_not_speak_http() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\0\1\2")
        await writer.drain()

    async with server(nonsense) as port:
        outcome = await ask_once("http", f"http://127.0.0.1:{port}/", {}, anywhere(), timeout_s=5)
    assert not outcome.ok and "but not in HTTP" in outcome.reason
    assert outcome.answer.startswith("SSH-2.0-OpenSSH_9.2") and "\0" not in outcome.answer


async def test_a_server_that_breaks_off() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    for talk, words in ((half, "broke off in the middle"), (nothing, "hung up without an answer")):
        async with server(talk) as port:
            outcome = await ask_once("http", f"http://127.0.0.1:{port}/", {}, anywhere(), timeout_s=5)
        assert not outcome.ok and words in outcome.reason


async def test_endless_headers_end_at_a_limit() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    async with server(endless) as port:
        outcome = await ask_once("http", f"http://127.0.0.1:{port}/", {}, anywhere(), timeout_s=10)
    assert not outcome.ok and "but not in HTTP" in outcome.reason


async def test_a_server_that_never_answers() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port:
        page = await ask_once("http", f"http://127.0.0.1:{port}/a", {}, anywhere(), timeout_s=0.3)
        hello = await ask_once("tls", f"127.0.0.1:{port}", {}, anywhere(), timeout_s=0.3)
    assert not page.ok and page.reason == (
        f"no answer from http://127.0.0.1:{port}/a within 0.3 s: "
        f"still waiting for the answer of 127.0.0.1:{port} to GET /a"
    )
    assert not hello.ok and hello.reason.startswith(f"no answer from 127.0.0.1:{port} within 0.3 s")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shop.example.com", "is not a web address; write it as https://"),
        ("http://me:secret@127.0.0.1/", "use the settings user and password"),
        ("http://127.0.0.1:99999/", "is not a web address"),
        ("http://127.0.0.1/\r\nX: y", "characters that cannot be sent"),
        ("http://no-such-host.invalid/", "no-such-host.invalid"),
    ],
)
async def test_a_target_that_cannot_be_asked(target: str, words: str) -> None:
    outcome = await ask_once("http", target, {}, anywhere(), timeout_s=5)
    assert not outcome.ok and words in outcome.reason


async def test_a_self_signed_certificate(tmp_path: Path) -> None:
    own = make_certificate(tmp_path, "printer")
    port = free_port()
    servers = (
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {own.certificate}; "
        f"ssl_certificate_key {own.key}; return 200 'printer'; }}"
    )
    with nginx(servers, port=port):
        outcome = await ask_once("tls", f"127.0.0.1:{port}", {}, anywhere(), timeout_s=5)
        trusted = await ask_once("tls", f"127.0.0.1:{port}", {"ca": own.pem}, anywhere(), timeout_s=5)
    assert not outcome.ok and "is self-signed" in outcome.reason
    assert trusted.ok
