"""Floods an installation over TCP, UDP and HTTP, and counts what became of every line. Used by the test of an
overload and by `benchmarks/overload.py`."""

import http.client
import http.server
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from e2e.installation import Installation
from e2e.killing import process_of

FLOOD = Path(__file__).with_name("flood.py")
SOURCE = "127.0.0.9"
LINES_A_POST = 5000
ROLES = ("watch", "web", "store", "guard")
COUNTED = ("received", "rejected", "refused", "lost", "udp_dropped")
ESTATE = """
from forestall.estate.access import make_token
from forestall.estate.actions import add_asset, add_client, add_probe
from forestall.estate.first_use import own_machine
from forestall.estate.models import Collector, Person
from forestall.estate.tenancy import system_scope
scope = system_scope("test")
person = Person.objects.create(email="ana@provider.example", name="Ana", role="owner", all_clients=True)
machine = own_machine()
collector = Collector.objects.get(asset=machine, revoked_at=None)
site = add_asset(scope, client=machine.client_id, site=machine.site_id, name="site", kind="website")
add_probe(scope, asset=site, kind="http", target="http://127.0.0.1:{port}/", interval_s=5,
          collector=collector.pk)
client = add_client(scope, name="Flooded")
add_asset(scope, client=client.pk, name="pc-1", kind="server", addresses=["{source}"])
return make_token(person, name="flood", may=["intake"], client=client.pk)[1]
"""
FOUND = """
from forestall.findings.models import Finding
row = Finding.objects.filter(rule="probe-failed", ended_at=None).first()
return row.reason if row else None
"""


class Service(http.server.ThreadingHTTPServer):
    """The service that is probed; it answers until `stop`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


class Poster(threading.Thread):
    """Sends JSON lines as fast as they are answered; `counts`: lines by status, `sent`, `unanswered`."""

    def __init__(self, port: int, token: str, until_s: float) -> None:
        super().__init__(daemon=True)
        self._port, self._token, self._until_s = port, token, until_s
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        line = json.dumps({"_msg": "a line of the flood by JSON", "host": "pc-1"}).encode() + b"\n"
        body = line * LINES_A_POST
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/stream+json"}
        while time.monotonic() < self._until_s:
            self.counts["sent"] += LINES_A_POST
            try:
                to = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                to.request("POST", "/insert/jsonline", body, headers)
                status = to.getresponse().status
                to.close()
                self.counts[str(status)] += LINES_A_POST
            except (OSError, http.client.HTTPException):
                self.counts["unanswered"] += LINES_A_POST


class Flood:
    """Senders of syslog: `tcp` connections at `tcp_a_s` lines a second each, and one of datagrams."""

    def __init__(self, up: Installation, *, tcp: int, tcp_a_s: int, udp_a_s: int, seconds: float) -> None:
        self._up = up
        self._before = self._counters()
        arguments = [["tcp", str(tcp_a_s)]] * tcp + [["udp", str(udp_a_s)]]
        self._senders = [
            subprocess.Popen(
                [sys.executable, str(FLOOD), how, str(up.port("syslog")), rate, str(seconds), SOURCE],
                stdout=subprocess.PIPE,
            )
            for how, rate in arguments
        ]

    def sent(self) -> tuple[int, int]:
        """Wait for the end: lines over TCP, lines over UDP."""
        said = [json.loads(sender.communicate()[0]) for sender in self._senders]
        return sum(one["sent"] for one in said[:-1]), said[-1]["sent"]

    def accounted(self) -> dict[str, int]:
        """What the installation says became of them."""
        now = self._counters()
        return {name: int(now.get(name, 0)) - int(self._before.get(name, 0)) for name in COUNTED}

    def _counters(self) -> dict[str, Any]:
        return dict(self._up.role("watch").get("numbers", {}).get("listeners", {}).get("syslog", {}))


def note_memory(up: Installation, most: Counter[str]) -> None:
    """Keep the most memory of each role, in MiB."""
    for role in ROLES:
        with suppress(psutil.Error):
            if pid := process_of(up, role):
                most[role] = max(most[role], psutil.Process(pid).memory_info().rss >> 20)


def make_estate(up: Installation, *, probed_port: int) -> str:
    """An owner, a client with a machine that sends, a service of our own that is asked every 5 s; a token to
    push."""
    return str(up.desk.ask(ESTATE.format(source=SOURCE, port=probed_port)))
