"""The whole road on a real installation: this machine is seen, a fault becomes a finding, evidence, an alert,
a ticket and messages, roles that are killed come back, and a start that cannot begin says why."""

import base64
import hashlib
import hmac
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
from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.identity import Identity
from forestall.collect.agent.sign import sign
from forestall.kernel.observations import Batch, LogRecord, Observations, encode_batch
from notifier_servers import SECRET, HookServer, MailServer

pytestmark = pytest.mark.e2e

SITE = "site-under-test"
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


def found_lines(up: Installation, query: str) -> list[str]:
    """The messages that a search finds now."""
    return up.desk.ask(
        f"""
        import time
        from forestall.telemetry.client import Store, StoreUnavailable
        from forestall.telemetry.scope import EVERY
        from forestall.telemetry.search import search_logs
        store = Store("127.0.0.1", {up.port("store")}, password=found.data.key("store").hex())
        now_ms = int(time.time() * 1000)
        try:
            page = search_logs(store, {query!r}, clients=EVERY, from_ms=now_ms - 3_600_000,
                               to_ms=now_ms + 60_000, limit=1000)
        except StoreUnavailable:
            return []
        return [line.message for line in page.lines]
        """
    )


def test_this_machine_is_seen_within_a_minute(up):
    with (up.data.parent / "app.log").open("a") as file:
        file.write("the till in the shop says hello\n")
    poll(lambda: found_lines(up, '"till in the shop"'), within_s=60, what="a line of a log file")
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
    poll(lambda: len(found_lines(up, '"drawer open"')) == 2, within_s=30, what="both lines in the store")
    said = [json.loads(line) for line in up.cli("logs", '"drawer open"', "--json").splitlines()]
    assert sorted(line["message"] for line in said) == ["drawer open -T", "drawer open -d"]
    assert {line["source"] for line in said} == {"till"}


def make_channels(up: Installation, mail: MailServer, hook: HookServer) -> None:
    up.desk.ask(
        f"""
        from forestall.alerts.channels import create_channel
        from forestall.estate.tenancy import system_scope
        from forestall.kernel.clock import SystemClock
        for notifier, given in (
            ("smtp", {{"to": "desk@provider.example", "host": "127.0.0.1", "port": {mail.port},
                       "security": "none", "sender": "forestall@provider.example"}}),
            ("webhook", {{"url": {hook.url!r}, "secret": {SECRET!r}, "allow_private": True}}),
        ):
            create_channel(system_scope("test"), notifier=notifier, title=notifier, given=given,
                           now=SystemClock().now())
        """
    )


def road_of(up: Installation) -> dict:
    """The site's findings, evidence, alerts and tickets, and where they stand in the journal."""
    return up.desk.ask(
        f"""
        import json
        from forestall.alerts.models import Alert, Delivery, Evidence
        from forestall.findings.models import Finding
        from forestall.journal.models import Entry
        from forestall.tickets.models import Ticket
        on = {{"asset__name": {SITE!r}}}
        alerts = list(Alert.objects.filter(**on))
        sent = [seq for seq, body in Entry.objects.filter(kind="delivery.sent").values_list("seq", "body")
                if json.loads(bytes(body))["body"]["alert"] in [alert.pk for alert in alerts]]
        return {{
            "findings": [[f.rule, f.ended_at is not None] for f in Finding.objects.filter(**on)],
            "sealed": list(Evidence.objects.filter(**on).values_list("journal_seq", flat=True)),
            "sent": sorted(sent),
            "alerts": [[alert.state, alert.occurrence] for alert in alerts],
            "tickets": list(Ticket.objects.filter(**on).values_list("status", flat=True)),
            "steps": sorted(Delivery.objects.filter(alert__in=alerts, state="sent")
                            .values_list("step", flat=True)),
        }}
        """
    )


def told_of(mail: MailServer, hook: HookServer) -> tuple[list[str], list[str]]:
    """The subjects of the mails and the types of the posts that are about the site."""
    posts = [(headers, body, json.loads(body)) for headers, body in hook.requests]
    mine = [(headers, body, said) for headers, body, said in posts if SITE in json.dumps(said)]
    for headers, body, _ in mine:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
    subjects = [str(one["subject"]) for one in mail.inbox if SITE in str(one["subject"])]
    return subjects, [said["type"] for _, _, said in mine]


def test_a_web_server_that_stops_is_told_once_and_its_recovery_too(up):
    port = free_port()
    server = f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }}"
    up.cli("asset", "add", SITE, "--client", CLIENT, "--kind", "website")
    with MailServer() as mail, HookServer() as hook:
        make_channels(up, mail, hook)
        with nginx(server, port=port):
            up.cli("probes", "add", SITE, "http", f"http://127.0.0.1:{port}/", "--client", CLIENT,
                   "--every", "5", "--collector", "own")  # fmt: skip
            poll(lambda: asked(up, port) >= 2, within_s=60, what="two answers of the web server")
            assert road_of(up)["findings"] == []
        stopped_s = time.monotonic()
        poll(lambda: all(told_of(mail, hook)), within_s=90, what="a mail and a post")
        print(f"told {time.monotonic() - stopped_s:.1f} s after the server stopped")
        road = poll(lambda: (now := road_of(up))["tickets"] and now, within_s=20, what="a ticket")
        assert road["findings"] == [["probe-failed", False]]
        assert len(road["alerts"]) == len(road["tickets"]) == 1
        assert road["steps"] == ["opened", "opened"]
        assert len(road["sealed"]) == 1 and road["sealed"][0] < road["sent"][0]
        assert [len(told) for told in told_of(mail, hook)] == [1, 1]
        with nginx(server, port=port):
            started_s = time.monotonic()
            poll(
                lambda: [len(told) for told in told_of(mail, hook)] == [2, 2],
                within_s=90,
                what="the recovery by mail and by post",
            )
            print(f"recovery told {time.monotonic() - started_s:.1f} s after the server was back")
            road = poll(
                lambda: (now := road_of(up))["tickets"] == ["closed"] and now, within_s=20, what="closed"
            )
        assert road["findings"] == [["probe-failed", True]]
        assert road["alerts"] == [["recovered", 1]]
        assert road["steps"] == ["opened", "opened", "recovered", "recovered"]
        assert told_of(mail, hook)[1] == ["alert.opened", "alert.recovered"]


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
        return sorted(int(line.rsplit(" ", 1)[1]) for line in found_lines(up, '"counted line"'))

    poll(lambda: sent <= set(arrived()), within_s=60, what="everything that was acknowledged")
    assert len(arrived()) == len(set(arrived())), "a line came twice"
    print(f"{len(sent)} lines acknowledged, all found once")


def works(up: Installation, role: str, before: int) -> bool:
    """Whether a role runs as another process and does its work."""
    sign_of_life = up.role(role)
    if sign_of_life.get("pid", before) == before or time.time() - sign_of_life["at"] > 5:
        return False
    if role == "store":
        return bool(found_lines(up, ""))
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
