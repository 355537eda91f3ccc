"""Ten times what can be taken, for minutes: memory is bounded, what breaks is told, every line counted.

    python benchmarks/overload.py [--minutes 3] [--connections 4] [--udp 300000]

Starts `forestall up` on an empty directory with a queue of a size that fills (QUEUE_BYTES), and offers as
much as the senders can make: syslog over TCP, JSON lines over HTTP, syslog over UDP. After a third of the
time a service that is probed every five seconds is stopped. Prints JSON: offered, taken, turned away (JSON
lines: 429 and 503), dropped by the kernel (UDP, as the console says it), the most memory of each role, how
soon the finding was made. Exit status 1 when accepted + rejected + dropped is not what was sent.
"""

import argparse
import http.client
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from contract.daemons import free_port
from e2e.installation import Installation, installed, poll
from e2e.killing import process_of

FLOOD = Path(__file__).parent.parent / "tests/e2e/flood.py"
QUEUE_BYTES = 256 << 20
SOURCE = "127.0.0.9"
LINES_A_POST = 5000
FOUND = """
from forestall.findings.models import Finding
row = Finding.objects.filter(rule="probe-failed", ended_at=None).first()
return [row.reason, row.opened_at.timestamp() if hasattr(row, "opened_at") else 0] if row else None
"""
SETTLE_S = 120.0
OWNER = """
from forestall.estate.models import Person
Person.objects.create(email="ana@provider.example", name="Ana", role="owner", all_clients=True)
return True
"""


class Answers(http.server.BaseHTTPRequestHandler):
    """The service that is probed."""

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


def listener(up: Installation, name: str) -> dict[str, Any]:
    return dict(up.role("watch").get("numbers", {}).get("listeners", {}).get(name, {}))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--tcp", type=int, default=10_000_000, help="lines a second over all connections")
    parser.add_argument("--udp", type=int, default=300_000, help="lines a second")
    given = parser.parse_args()
    seconds = given.minutes * 60
    service = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Answers)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        data.mkdir()
        (data / "forestall.toml").write_text(f"[limits]\nqueue_max_bytes = {QUEUE_BYTES}\n")
        with installed(data) as up:
            up.desk.ask(OWNER)
            own, port = "Our own network", service.server_address[1]
            up.cli("client", "add", "Benchmark")
            up.cli("asset", "add", "pc-1", "--client", "Benchmark", "--kind", "server", "--address", SOURCE)
            up.cli("asset", "add", "site", "--client", own, "--kind", "website")
            up.cli(
                *("probes", "add", "site", "http", f"http://127.0.0.1:{port}/", "--client", own),
                *("--every", "5", "--collector", "own"),
            )
            made = up.cli("token", "create", "--client", "Benchmark", "--may", "intake", "--json")
            time.sleep(15)  # until the directory of senders is read again, and the probe was made
            before = {name: listener(up, name) for name in ("syslog",)}
            a_s = max(1, given.tcp // given.connections)
            command = [sys.executable, str(FLOOD)]
            arguments = [["tcp", str(a_s)]] * given.connections + [["udp", str(given.udp)]]
            floods = [
                subprocess.Popen(
                    [*command, how, str(up.port("syslog")), rate, str(seconds), SOURCE],
                    stdout=subprocess.PIPE,
                )
                for how, rate in arguments
            ]
            posters = [
                Poster(up.port("web"), json.loads(made)["token"], time.monotonic() + seconds)
                for _ in range(2)
            ]
            for poster in posters:
                poster.start()
            most, began_s = Counter[str](), time.monotonic()
            stopped_s = told_s = 0.0
            while time.monotonic() - began_s < seconds:
                for role in ("watch", "web", "store", "guard"):
                    with suppress(psutil.Error):
                        if pid := process_of(up, role):
                            most[role] = max(most[role], psutil.Process(pid).memory_info().rss >> 20)
                if not stopped_s and time.monotonic() - began_s > seconds / 3:
                    service.shutdown()
                    service.server_close()
                    stopped_s = time.monotonic()
                if stopped_s and not told_s and up.desk.ask(FOUND):
                    told_s = time.monotonic()
                time.sleep(1)
            said = [json.loads(flood.communicate()[0]) for flood in floods]
            for poster in posters:
                poster.join(90)
            tcp, udp = sum(one["sent"] for one in said[:-1]), said[-1]["sent"]
            if not told_s:
                with suppress(AssertionError):
                    poll(lambda: up.desk.ask(FOUND), within_s=SETTLE_S, what="a finding")
                    told_s = time.monotonic()

            def accounted() -> dict[str, int]:
                now, then = listener(up, "syslog"), before["syslog"]
                names = ("received", "rejected", "refused", "lost", "udp_dropped")
                return {name: int(now.get(name, 0)) - int(then.get(name, 0)) for name in names}

            deadline = time.monotonic() + SETTLE_S
            while sum(accounted().values()) < tcp + udp and time.monotonic() < deadline:
                time.sleep(2)
            syslog = accounted()
            pushed: Counter[str] = Counter()
            for poster in posters:
                pushed += poster.counts
            figures = {
                "minutes": given.minutes,
                "sent_tcp": tcp,
                "sent_udp": udp,
                "syslog": syslog,
                "syslog_not_accounted_for": tcp + udp - sum(syslog.values()),
                "sent_json": pushed.pop("sent"),
                "json_by_status": dict(pushed),
                "most_rss_mb": dict(most),
                "finding_after_s": round(told_s - stopped_s, 1) if told_s else None,
            }
    print(json.dumps(figures, indent=1))
    told = figures["finding_after_s"]
    return 1 if figures["syslog_not_accounted_for"] or told is None else 0


if __name__ == "__main__":
    sys.exit(main())
