"""The whole road on a real installation: this machine is seen, a fault becomes a finding, evidence, an alert,
a ticket and messages, roles that are killed come back, and a start that cannot begin says why."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from contract.daemons import free_port, nginx
from e2e.installation import Installation, installed, poll, refused
from e2e.telling import Became, Post, make_channels, what_became
from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.identity import Identity
from forestall.collect.agent.sign import sign
from forestall.kernel.observations import Batch, LogRecord, Observations, encode_batch
from notifier_servers import HookServer, MailServer

pytestmark = pytest.mark.e2e

SITE = "site-under-test"
RULES = ["probe-failed"]
CLIENT = "Our own network"
OBSERVATIONS = "/agent/v1/observations"
BACK_WITHIN_S = 10.0
BACK_ASSERTED_S = 60.0  # this machine may be shared: coming back is asserted, how fast is printed


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    data = home / "data"
    (data / "agent").mkdir(mode=0o700, parents=True)
    (home / "app.log").write_text("")
    (data / "agent" / "agent.toml").write_text(f'[look.log_files]\nmore = ["{home}/app.log"]\n')
    with installed(data) as started:
        yield started


def test_this_machine_is_seen_within_a_minute(up):
    with (up.data.parent / "app.log").open("a") as file:
        file.write("the till in the shop says hello\n")
    poll(lambda: up.found_lines('"till in the shop"'), within_s=60, what="a line of a log file")
    seen = poll(
        lambda: up.desk.ask(
            f"""
            import time
            from forestall.configs.models import Version
            from forestall.estate.first_use import own_machine
            from forestall.kernel.ids import to_number
            from forestall.telemetry.client import Store
            from forestall.telemetry.read import latest
            from forestall.telemetry.scope import EVERY
            store = Store("127.0.0.1", {up.port("store")}, password=found.data.key("store").hex())
            machine = own_machine()
            rows = latest(store, clients=EVERY, asset=to_number(machine.pk), now_ms=int(time.time() * 1000))
            metrics = sorted({{row.metric for row in rows}})
            kinds = sorted(Version.objects.filter(asset=machine).values_list("kind", flat=True))
            wanted = {{"cpu.used_ratio", "memory.used_ratio", "disk.used_ratio"}}
            return [metrics, kinds] if wanted <= set(metrics) and kinds else None
            """
        ),
        within_s=60,
        what="samples and snapshots of this machine",
    )
    print(f"{len(seen[0])} metrics, snapshots of {', '.join(seen[1])}")


def test_lines_of_logger_arrive_over_udp_and_tcp(up):
    for transport in ("-d", "-T"):
        subprocess.run(
            ["logger", "-n", "127.0.0.1", "-P", str(up.port("syslog")), transport, "-t", "till",
             f"drawer open {transport}"],
            check=True,
        )  # fmt: skip
    poll(lambda: len(up.found_lines('"drawer open"')) == 2, within_s=30, what="both lines in the store")
    said = [json.loads(line) for line in up.cli("logs", '"drawer open"', "--json").splitlines()]
    assert sorted(line["message"] for line in said) == ["drawer open -T", "drawer open -d"]
    assert {line["source"] for line in said} == {"till"}


def test_a_web_server_that_stops_is_told_once_and_its_recovery_too(up):
    port = free_port()
    server = f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }}"
    up.cli("asset", "add", SITE, "--client", CLIENT, "--kind", "website")
    with MailServer() as mail, HookServer() as hook:
        post = Post(mail, hook)
        make_channels(up, mail, hook)
        with nginx(server, port=port):
            up.cli("probes", "add", SITE, "http", f"http://127.0.0.1:{port}/", "--client", CLIENT,
                   "--every", "5", "--collector", "own")  # fmt: skip
            poll(lambda: asked(up, port) >= 2, within_s=60, what="two answers of the web server")
            assert what_became(up, [SITE], RULES) == Became()
        stopped_s = time.monotonic()

        def became(steps: int, status: str) -> Became | None:
            now = what_became(up, [SITE], RULES)
            return now if len(now.steps) >= steps and now.tickets == [status] else None

        told = poll(lambda: became(2, "open"), within_s=90, what="a mail, a post and a ticket")
        assert [(rule, ended) for rule, _, ended, *_ in told.findings] == [("probe-failed", False)]
        assert told.steps == ["opened", "opened"]
        assert told.sealed and max(told.sealed) < told.first_sent
        alert = told.alerts[0][0]
        [(told_s, _)], [_] = post.mails(alert), post.posts(alert)
        print(f"told {told_s - stopped_s:.1f} s after the server stopped")
        with nginx(server, port=port):
            started_s = time.monotonic()
            over = poll(lambda: became(4, "closed"), within_s=90, what="the recovery by mail and by post")
        assert [(rule, ended) for rule, _, ended, *_ in over.findings] == [("probe-failed", True)]
        assert [one[:3] for one in over.alerts] == [[alert, "recovered", 1]]
        assert over.steps == ["opened", "opened", "recovered", "recovered"]
        assert [said["type"] for said in post.posts(alert)] == ["alert.opened", "alert.recovered"]
        _, (recovered_s, _) = post.mails(alert)
        print(f"recovery told {recovered_s - started_s:.1f} s after the server was back")


def asked(up: Installation, port: int) -> int:
    """How many runs of the probe are in the store."""
    return up.desk.ask(
        f"""
        import time
        from forestall.estate.models import Asset
        from forestall.kernel.ids import to_number
        from forestall.telemetry.client import Store
        from forestall.telemetry.read import read_series
        from forestall.telemetry.scope import EVERY
        store = Store("127.0.0.1", {up.port("store")}, password=found.data.key("store").hex())
        now_ms = int(time.time() * 1000)
        series = read_series(store, clients=EVERY, asset=to_number(Asset.objects.get(name={SITE!r}).pk),
                             metric="probe.up", item="http http://127.0.0.1:{port}/",
                             from_ms=now_ms - 120_000, to_ms=now_ms, pixels=500)
        return len(series.at_ms)
        """
    )


class Sender(threading.Thread):
    """A collector that sends numbered lines, each until it is acknowledged; `acknowledged` are those."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(daemon=True)
        self._identity = identity
        self._stop_it = threading.Event()
        self.acknowledged: list[int] = []

    def run(self) -> None:
        number = 1
        with httpx.Client(timeout=10, trust_env=False) as http:
            while not self._stop_it.wait(0.1):
                if self._send(http, number):
                    self.acknowledged.append(number)
                    number += 1

    def finish(self) -> None:
        self._stop_it.set()
        self.join(30)

    def _send(self, http: httpx.Client, number: int) -> bool:
        at_ms = int(time.time() * 1000)
        line = LogRecord(at_ms=at_ms, severity=6, source="counter", message=f"counted line {number}")
        batch = Batch(number=number, sent_at_ms=at_ms, observations=[Observations(logs=[line])])
        body = zstandard.ZstdCompressor().compress(encode_batch(batch))
        header = sign(self._identity.private_key, collector=self._identity.collector, method="POST",
                      path=OBSERVATIONS, body=body, at_ms=at_ms)  # fmt: skip
        try:
            answer = http.post(
                self._identity.url + OBSERVATIONS,
                content=body,
                headers={"authorization": header, "content-encoding": "zstd"},
            )
        except httpx.HTTPError:
            return False
        return answer.is_success


def test_roles_that_are_killed_come_back_and_nothing_acknowledged_is_missing(up, tmp_path):
    token = up.desk.ask(
        f"""
        from forestall.estate.enrolment import make_enrolment_token
        from forestall.estate.models import Client
        from forestall.estate.tenancy import system_scope
        client = Client.objects.get(name={CLIENT!r})
        return make_enrolment_token(system_scope("test"), client=client.pk)[1]
        """
    )
    sender = Sender(enrol(tmp_path, url=up.url, token=token))
    sender.start()
    for role in ("store", "watch", "web", "guard"):
        before = up.role(role)["pid"]
        os.kill(before, signal.SIGKILL)
        killed_s = time.monotonic()
        poll(
            lambda role=role, before=before: works(up, role, before),
            within_s=BACK_ASSERTED_S,
            what=f"{role} again",
        )
        took_s = time.monotonic() - killed_s
        print(f"{role}: back after {took_s:.1f} s{'' if took_s <= BACK_WITHIN_S else ' (LATE)'}")
    sender.finish()
    sent = set(sender.acknowledged)
    assert len(sent) > 10

    def arrived() -> list[int]:
        return sorted(int(line.rsplit(" ", 1)[1]) for line in up.found_lines('"counted line"'))

    poll(lambda: sent <= set(arrived()), within_s=60, what="everything that was acknowledged")
    assert len(arrived()) == len(set(arrived())), "a line came twice"
    print(f"{len(sent)} lines acknowledged, all found once")


def works(up: Installation, role: str, before: int) -> bool:
    """Whether a role runs as another process and does its work."""
    sign_of_life = up.role(role)
    if sign_of_life.get("pid", before) == before or time.time() - sign_of_life["at"] > 5:
        return False
    if role == "store":
        return bool(up.found_lines(""))
    if role == "web":
        try:
            return httpx.get(f"{up.url}/healthz", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False
    if role == "watch":
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", up.port("syslog"))) == 0
    return True


def says_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_second_start_on_the_same_directory_says_so(up):
    says_one_line(refused(up.data, offset=up.offset), "already runs", str(up.data))
    assert up.process.poll() is None


def test_a_port_in_use_is_named(up, tmp_path):
    says_one_line(refused(tmp_path / "other", offset=up.offset), str(up.port("web")), "in use")


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    """A file in the place of the directory: unreadable for root too, whom permissions do not stop."""
    in_the_way = tmp_path / "data"
    in_the_way.write_text("")
    says_one_line(refused(in_the_way, offset=0), str(in_the_way))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    if not os.access(closed, os.R_OK):
        says_one_line(refused(closed, offset=0), str(closed))


def test_stopping_ends_every_process(tmp_path):
    with installed(Path(tmp_path / "data")) as started:
        pids = [started.role(role)["pid"] for role in ("store", "watch", "web", "guard")]
    assert started.process.returncode == 0
    poll(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=10, what="no process left")
