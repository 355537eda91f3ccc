"""A disk that answers EIO, below the queue and below the telemetry: told within a minute by the guard's own
channel, named by a finding as soon as findings can be made, nothing acknowledged is lost, and it goes on by
itself."""

import errno
import http.server
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.installation import Installation, poll
from power import PowerDisk, power_disk

pytestmark = pytest.mark.e2e

TOLD_S = 60.0  # what is promised
SLOW_S = 120.0  # what a loaded machine may take for the rest
SETTINGS = '[guard]\nwebhook = "http://127.0.0.1:{port}/"\nwedged_after_s = 5\n'
OWNER = """
from forestall.estate.models import Person
Person.objects.create(email="ana@provider.example", name="Ana", role="owner", all_clients=True)
return True
"""
OPEN = """
from forestall.findings.models import Finding
return list(Finding.objects.filter(rule="disk-fails", ended_at=None).values_list("reason", flat=True))
"""
COUNT = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
rows = store.select(
    "SELECT message, count() FROM forestall.lines WHERE message LIKE 'fails %' GROUP BY message")
return {{row[0]: int(row[1]) for row in rows}}
"""


class Phone(http.server.ThreadingHTTPServer):
    """Takes what the guard tells: (title, text), and when (monotonic)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []
        super().__init__(("127.0.0.1", 0), _Rings)


class _Rings(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Phone)
        self.server.told.append((said["title"], said["text"], time.monotonic()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


class Door:
    """Sends numbered lines, one a request; which were acknowledged, which not."""

    def __init__(self, up: Installation) -> None:
        up.desk.ask(OWNER)
        client = up.cli("client", "add", "Alder Dental").strip()
        up.cli("asset", "add", "pc-1", "--client", client, "--kind", "server")
        made = up.cli("token", "create", "--client", client, "--may", "intake", "--json")
        self._url = f"http://127.0.0.1:{up.port('web')}/insert/jsonline"
        self._token = json.loads(made)["token"]
        self._number = 0
        self.acknowledged: list[str] = []

    def post(self) -> bool:
        text = f"fails {self._number}"
        self._number += 1
        request = urllib.request.Request(
            self._url,
            data=json.dumps({"_msg": text, "host": "pc-1"}).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/stream+json"},
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=60) as answer:
            if answer.status == 200:
                self.acknowledged.append(text)
                return True
        return False


@pytest.fixture
def phone() -> Iterator[Phone]:
    server = Phone()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def failing(tmp_path: Path, phone: Phone) -> Iterator[tuple[Installation, PowerDisk]]:
    """An installation whose queue and telemetry lie on a disk that fails as told."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "forestall.toml").write_text(SETTINGS.format(port=phone.server_port))
    with power_disk(tmp_path / "power") as disk:
        for name in ("queue", "telemetry"):
            (disk.place / name).mkdir(mode=0o700)
            (data / name).symlink_to(disk.place / name)
        up = Installation(data)
        try:
            up.wait_ready()
            yield up, disk
        finally:
            disk.fail()
            up.stop()


def troubles(up: Installation) -> str:
    return str(up.role("guard").get("numbers", {}).get("troubles", {}).get("the disk fails", ""))


def counted(up: Installation) -> dict[str, int]:
    try:
        return dict(up.desk.ask(COUNT.format(port=up.port("store"))))
    except AssertionError as error:
        assert "Store" in str(error), error
        return {}  # it is just started again


def fail(disk: PowerDisk, *places: str) -> None:
    disk.fail(*((op, place, errno.EIO) for place in places for op in ("write", "sync")))


def test_a_disk_that_fails_is_told_and_nothing_acknowledged_is_lost(
    failing: tuple[Installation, PowerDisk], phone: Phone
) -> None:
    up, disk = failing
    door = Door(up)
    assert all(door.post() for _ in range(10))
    fail(disk, "/telemetry/")
    began_s = time.monotonic()

    def rung() -> tuple[str, str, float] | None:
        return next((said for said in phone.told if said[0] == "Forestall: the disk fails"), None)

    _, text, told_s = poll(rung, within_s=TOLD_S, what="the guard tells by its own channel")
    assert "Input/output error" in text and str(up.data / "telemetry") in text
    assert door.post(), "intake goes on while the store's disk fails"
    poll(lambda: up.desk.ask(OPEN), within_s=TOLD_S, what="a finding on Forestall itself")
    print(f"told after {told_s - began_s:.0f} s, found after {time.monotonic() - began_s:.0f} s: {text}")
    fail(disk, "/queue/", "/telemetry/")
    assert not door.post(), "nothing is acknowledged that cannot be written"
    poll(lambda: str(up.data / "queue") in troubles(up), within_s=TOLD_S, what="the guard names the queue")
    disk.fail()
    poll(door.post, within_s=SLOW_S, what="intake goes on by itself", every_s=0.5)
    poll(lambda: set(door.acknowledged) <= counted(up).keys(), within_s=SLOW_S, what="every line", every_s=1)
    found = counted(up)
    assert {found[text] for text in door.acknowledged} == {1}
