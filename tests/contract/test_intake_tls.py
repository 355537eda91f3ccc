"""A real rsyslogd sends over TLS to the real listener, with and without a certificate of its own."""

import asyncio
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from contract.daemons import make_certificate
from contract.listener_site import CLIENT, OTHER, listening, until
from forestall.collect.listeners import syslog_tls
from forestall.collect.receiving.own_certificate import ensure_certificate
from forestall.intake.route import RoutedAsset
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import from_number

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
CONFIGURATION = """
global(workDirectory="{home}" defaultNetstreamDriverCAFile="{authority}" {own})
module(load="imfile" mode="inotify")
input(type="imfile" File="{home}/app.log" Tag="app:")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted"
       StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
       StreamDriverPermittedPeers="localhost" action.resumeRetryCount="-1" action.resumeInterval="1")
"""


@contextmanager
def rsyslogd(home: Path, port: int, authority: Path, own: str = "") -> Iterator[Path]:
    """rsyslogd that follows the yielded file and trusts `authority` alone."""
    home.mkdir()
    (home / "app.log").write_bytes(b"")
    (home / "conf").write_text(CONFIGURATION.format(home=home, port=port, authority=authority, own=own))
    daemon = subprocess.Popen(
        [RSYSLOGD, "-n", "-f", str(home / "conf"), "-i", str(home / "pid")],
        stderr=(home / "said").open("wb"),
    )
    try:
        yield home / "app.log"
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


async def test_rsyslogd_trusts_the_certificate_that_we_make(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", now=datetime.now(UTC))
    assert key.stat().st_mode & 0o777 == 0o600
    given = {"certificate": str(certificate), "key": str(key)}
    async with listening(syslog_tls, tmp_path / "queue", **given) as site:
        with rsyslogd(tmp_path / "r", site.port, certificate) as path:
            write(path, *(f"line {k}: größe" for k in range(500)))
            await until(lambda: len(site.decoded().logs) >= 500)
        logs = site.decoded().logs
        assert logs.message.to_pylist() == [f"line {k}: größe" for k in range(500)]
        assert set(logs.asset.tolist()) == {2}
    assert site.rejected == []


async def test_a_client_certificate_says_who_sends(tmp_path: Path) -> None:
    authority = make_certificate(tmp_path, "authority", names=["authority"], authority=True)
    server = make_certificate(tmp_path, "server", names=["localhost"], issuer=authority)
    client = make_certificate(tmp_path, "client", names=["WEB-1.example.com"], issuer=authority)
    given = {
        "certificate": str(server.certificate),
        "key": str(server.key),
        "client_ca": str(authority.certificate),
    }
    async with listening(syslog_tls, tmp_path / "queue", **given) as site:
        own = f'defaultNetstreamDriverCertFile="{client.certificate}" '
        own += f'defaultNetstreamDriverKeyFile="{client.key}"'
        with rsyslogd(tmp_path / "r", site.port, authority.certificate, own) as path:
            write(path, "who am I")
            await until(lambda: len(site.decoded().logs) >= 1)
        assert set(site.decoded().logs.asset.tolist()) == {3}
        moved = RoutedAsset(
            OTHER, CLIENT, "other", ("127.0.0.1",)
        )  # the name is nobody's: the address counts
        assert set(site.decoded(moved).logs.asset.tolist()) == {3}
        twice = [
            RoutedAsset(from_number(10 + k), from_number(20 + k), f"a{k}", ("web-1.example.com",))
            for k in (0, 1)
        ]
        assert len(site.decoded(*twice).logs) == 0
        assert "names of 2 clients" in site.decoded(*twice).strays[0].reason
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        await shake(site.port, trusting)
        await until(lambda: site.rejected)
        assert "certificate" in site.rejected[0]
    assert site.accept.counters["refused"] == 1


async def shake(port: int, context: ssl.SSLContext) -> None:
    """A handshake, and one line; whatever comes of it."""
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"<13>not taken\n")
            await reader.read()
            writer.close()
    except (ssl.SSLError, ConnectionError):
        pass


async def test_what_is_not_tls_or_old_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", now=datetime.now(UTC))
    given = {"certificate": str(certificate), "key": str(key)}
    async with listening(syslog_tls, tmp_path / "queue", **given) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"<13>plain text\n")
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await until(lambda: site.accept.counters["refused"] == 1)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        await shake(site.port, old)
        await until(lambda: site.accept.counters["refused"] == 2)
        good = ssl.create_default_context(cafile=str(certificate))
        _, sender = await asyncio.open_connection(
            "127.0.0.1", site.port, ssl=good, server_hostname="localhost"
        )
        sender.write(b"18 <13>goes on\nin two<13>and newline\n")
        await until(lambda: len(site.decoded().logs) == 2)
        sender.close()
    assert len(site.rejected) == 2


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", now=datetime.now(UTC))
    (tmp_path / "empty").write_text("")
    for given, said in (
        ({"certificate": "/nonexistent", "key": str(key)}, "/nonexistent"),
        ({"certificate": str(certificate), "key": str(tmp_path / "empty")}, "section tls"),
        (
            {"certificate": str(certificate), "key": str(key), "client_ca": str(tmp_path / "empty")},
            "client_ca",
        ),
    ):
        with pytest.raises(Trouble, match=said):
            async with listening(syslog_tls, tmp_path / "queue", **given):
                pass


def test_the_certificate_is_made_once_and_lasts(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    certificate, _ = ensure_certificate(tmp_path, now=now)
    text = certificate.read_bytes()
    assert ensure_certificate(tmp_path, now=now)[0].read_bytes() == text
    made = x509.load_pem_x509_certificate(text)
    assert made.not_valid_after_utc - now > timedelta(days=3640)
    (tmp_path / "file").write_text("")
    with pytest.raises(Trouble, match="section tls"):
        ensure_certificate(tmp_path / "file" / "below", now=now)
