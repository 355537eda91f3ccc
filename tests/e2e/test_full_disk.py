"""An installation whose disk is really full says so within a minute, loses nothing, and goes on."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.installation import Installation, installed, poll

pytestmark = pytest.mark.e2e

DISK_BYTES = 1200 << 20
TOLD_S = 60.0
OPEN = """
from forestall.findings.models import Finding
return list(Finding.objects.filter(rule="no-room-left", ended_at=None).values_list("reason", flat=True))
"""
OWNER = """
from forestall.estate.models import Person
Person.objects.create(email="ana@provider.example", name="Ana", role="owner", all_clients=True)
return True
"""
COUNT = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
rows = store.select(
    "SELECT message, count() FROM forestall.lines WHERE message LIKE 'full %' GROUP BY message")
return {{row[0]: int(row[1]) for row in rows}}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of its own; skipped where the kernel refuses to mount one."""
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    done = subprocess.run(
        ["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def post(place: Installation, token: str, text: str) -> int:
    """The status of a line sent as JSON."""
    body = json.dumps({"_msg": text, "host": "pc-1"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{place.port('web')}/insert/jsonline",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/stream+json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(disk: Path) -> None:
    with installed(disk / "data") as place:
        place.desk.ask(OWNER)
        client = place.cli("client", "add", "Alder Dental").strip()
        place.cli("asset", "add", "pc-1", "--client", client, "--kind", "server")
        made = place.cli("token", "create", "--client", client, "--may", "intake", "--json")
        token = json.loads(made)["token"]
        acknowledged = [f"full {number}" for number in range(40)]
        for text in acknowledged[:20]:
            assert post(place, token, text) == 200
        filler = disk / "somebody-else"
        filled_at = time.monotonic()
        subprocess.run(["fallocate", "-l", str(free(disk) - (40 << 20)), str(filler)], check=True)
        poll(lambda: post(place, token, "turned away") == 503, within_s=30, what="503 from the door")
        poll(lambda: place.desk.ask(OPEN), within_s=TOLD_S, what="a finding on Forestall itself")
        assert time.monotonic() - filled_at < TOLD_S
        troubles = poll(
            lambda: place.role("guard").get("numbers", {}).get("troubles"),
            within_s=30,
            what="the guard",
        )
        assert "the disk is full" in troubles
        poll(lambda: "the disk is full" in place.output.read_text(), within_s=30, what="a line in the log")
        filler.unlink()
        poll(lambda: post(place, token, acknowledged[20]) == 200, within_s=60, what="intake goes on")
        for text in acknowledged[21:]:
            assert post(place, token, text) == 200
        poll(lambda: not place.desk.ask(OPEN), within_s=120, what="the finding ends")
        count = COUNT.format(port=place.port("store"))
        poll(
            lambda: set(acknowledged) <= set(place.desk.ask(count)),
            within_s=60,
            what="every acknowledged line",
        )
        assert set(place.desk.ask(count).values()) == {1}


def free(directory: Path) -> int:
    done = subprocess.run(["df", "--output=avail", "-B1", str(directory)], capture_output=True, check=True)
    return int(done.stdout.split()[-1])
