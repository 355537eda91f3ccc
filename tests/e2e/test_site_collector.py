"""A site's collector in a network of its own: its only way out is a proxy that asks for a password, its
server has a certificate of a private authority, and for a while there is no way at all. Nothing is lost."""

import base64
import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.daemons import free_port, make_certificate, nginx
from contract.test_agent_life import batches, lines, server, until
from e2e.installation import environment
from e2e.machines import Host, host_on_a_wire
from forestall.collect.agent.spool import Spool

pytestmark = pytest.mark.e2e

NAME, PASSWORD = "site", "Wacholder p@ss"
AGENT = (sys.executable, "-m", "forestall.collect.agent")


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy for CONNECT alone, which asks for a name and a password."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Tunnel)
        self.port = self.server_address[1]
        self.refused = 0
        self.tunnels: list[str] = []


class Tunnel(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := self.request.recv(4096)):
            head += piece
        method, target, _ = [*head.split(b"\r\n")[0].decode().split(" "), "", "", ""][:3]
        wanted = b"Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode())
        proxy: Proxy = self.server  # type: ignore[assignment]
        if method != "CONNECT" or wanted not in head:
            proxy.refused += 1
            self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        proxy.tunnels.append(target)
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.request: far, far: self.request}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)


@contextmanager
def proxy_at(address: str) -> Iterator[Proxy]:
    with Proxy(address) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()


def inside(host: Host, *arguments: str, proxy: str) -> "subprocess.Popen[str]":
    """The agent's program in the collector's network."""
    return subprocess.Popen(
        host.inside("env", f"HTTPS_PROXY={proxy}", *AGENT, *arguments),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )  # fmt: skip


def test_a_collector_behind_a_proxy_loses_nothing_while_it_is_cut_off(tmp_path: Path) -> None:
    data, home, log = tmp_path / "data", tmp_path / "collector", tmp_path / "app.log"
    agent_home = home / "agent"
    agent_home.mkdir(parents=True)
    log.touch()
    (agent_home / "agent.toml").write_text(f'[look.log_files]\nmore = ["{log}"]\n')
    authority = make_certificate(tmp_path / "tls", "authority", authority=True)
    own = make_certificate(tmp_path / "tls", "server", issuer=authority)
    port, tls_port = free_port(), free_port()
    front = (
        f"server {{ listen 127.0.0.1:{tls_port} ssl; ssl_certificate {own.certificate};"
        f" ssl_certificate_key {own.key}; client_max_body_size 20m;"
        f" location / {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $host; }} }}"
    )
    url = f"https://localhost:{tls_port}"
    wrote = 0

    def write(count: int) -> None:
        nonlocal wrote
        with log.open("a") as file:
            for _ in range(count):
                file.write(f"2026-11-23T10:00:00+00:00 here counter[1]: line {wrote}\n")
                wrote += 1

    with host_on_a_wire() as host, proxy_at(host.near) as proxy, server(data, port) as token, \
            nginx(front, port=tls_port):  # fmt: skip
        good = f"http://{NAME}:{PASSWORD.replace(' ', '%20').replace('@', '%40')}@{host.near}:{proxy.port}"
        wrong = good.replace(NAME, "stranger")

        def enrol(*more: str, through: str) -> tuple[int, str]:
            asked = inside(host, "enrol", url, "-", "--data", str(home), *more, proxy=through)
            _, said = asked.communicate(f"{token}\n", timeout=60)
            return asked.returncode, said

        status, said = enrol("--ca", str(authority.certificate), through=wrong)
        assert status == 1 and "the proxy asks for a name and a password" in said, said
        assert PASSWORD not in said and "%40" not in said
        status, said = enrol(through=good)
        assert status == 1 and "certificate is not trusted" in said and "--ca FILE" in said, said
        status, said = enrol("--ca", str(authority.certificate), through=good)
        assert status == 0, said

        running = inside(host, "run", "--data", str(home), proxy=good)
        try:
            write(20)
            until(lambda: len(lines(data)) >= 20, "lines arrive through the proxy")
            host.switch_off()
            spool = Spool(agent_home / "spool", now_ms=1)
            before = len(spool)
            write(30)
            until(lambda: waiting(agent_home) > before + 1, "batches wait while there is no way out")
            write(30)
            host.switch_on()
            until(lambda: len(lines(data)) >= wrote, "all lines arrive once there is a way again")
        finally:
            running.send_signal(signal.SIGTERM)
            _, errors = running.communicate(timeout=60)
        assert lines(data) == [f"line {number}" for number in range(wrote)]
        assert sum(batch.dropped for batch in batches(data)) == 0
        assert set(proxy.tunnels) == {f"localhost:{tls_port}"}, "there is no other way out"
        assert PASSWORD not in errors and "Traceback" not in errors, errors


def waiting(agent_home: Path) -> int:
    return len(list((agent_home / "spool").glob("*.batch")))
