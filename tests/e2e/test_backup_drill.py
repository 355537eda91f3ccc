"""A restore drill of Forestall itself: back up an installation that takes in lines, restore it elsewhere."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from e2e.installation import COMMAND, Installation, environment, installed, poll

pytestmark = pytest.mark.e2e

SEND_S = 60.0
SEARCH = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
return sorted(row[0] for row in store.select(
    "SELECT {what} FROM forestall.{table} WHERE {where}"))
"""
BUSINESS = """
from forestall.findings.models import Finding
from forestall.tickets.models import Ticket
from forestall.journal import queries as journal
from forestall.keeping.checking import root_of
from forestall.journal.models import Entry
from forestall.alerts.models import Evidence
assert root_of(Entry.objects.order_by("seq").values_list("seq", "body", "leaf_hash"))[1] == journal.root()
return {{
    "tickets": sorted(Ticket.objects.filter(opened_at__lt="{before}").values_list("number", "title")),
    "findings": sorted(Finding.objects.filter(opened_at__lt="{before}").values_list("pk", "rule", "item")),
    "evidence": sorted(Evidence.objects.filter(sealed_at__lt="{before}").values_list("pk", "sha256")),
    "root": journal.root({size}).hex(),
}}
"""


class Talker:
    """Sends numbered lines over syslog TCP until told to stop."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._stop = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as wire:
            while not self._stop.wait(0.002):
                for _ in range(10):
                    wire.sendall(f"<13>1 - drillhost app - - - number {self.sent:08d} end\n".encode())
                    self.sent += 1

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.sent


def numbers(place: Installation, where: str = "message LIKE 'number %'") -> list[int]:
    found = place.desk.ask(
        SEARCH.format(port=place.port("store"), what="message", table="lines", where=where)
    )
    return [int(message.split()[1]) for message in found]


def make_trouble(place: Installation) -> None:
    """A finding with evidence, and a ticket."""
    place.cli("client", "add", "Alder Dental")
    place.cli("asset", "add", "web-1", "--client", "Alder Dental", "--kind", "website")
    place.cli("probes", "add", "web-1", "tcp", "127.0.0.1:9", "--every", "5", "--collector", "")
    poll(
        lambda: place.desk.ask(
            "from forestall.alerts.models import Evidence\nreturn Evidence.objects.count()"
        ),
        within_s=90,
        what="a finding with evidence",
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=120, env=environment()
    )


def test_a_running_installation_is_restored_elsewhere_line_by_line(tmp_path: Path) -> None:
    archive = tmp_path / "kept" / "one.tar.zst"
    with installed(tmp_path / "first") as first:
        make_trouble(first)
        talker = Talker(first.port("syslog"))
        poll(lambda: len(numbers(first)) > 3000, within_s=SEND_S, what="lines in the store")
        made = json.loads(first.cli("backup", str(archive), "--json"))
        after = talker.sent
        poll(lambda: talker.sent > after + 500, within_s=SEND_S, what="more lines")
        sent = talker.stop()
        poll(lambda: len(numbers(first)) == sent, within_s=SEND_S, what="every line in the first")
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(archive.stat().st_mtime - 30))
        business = first.desk.ask(BUSINESS.format(before=before, size=made["journal"]["size"]))
        evidence = first.desk.ask(
            "from forestall.alerts.models import Evidence\n"
            "return Evidence.objects.order_by('sealed_at').first().pk"
        )
        refusal = run("restore", str(archive), "--data", str(first.data))
        assert refusal.returncode == 1 and "is not empty" in refusal.stderr
    assert business["root"] == made["journal"]["root"]

    second_home = tmp_path / "second"
    done = run("restore", str(archive), "--data", str(second_home), "--drill")
    assert done.returncode == 0, done.stderr
    with installed(second_home) as second:
        assert second.desk.ask(BUSINESS.format(before=before, size=made["journal"]["size"])) == business
        second.cli("evidence", "export", evidence, str(tmp_path / "evidence.json"))
        assert run("evidence", "verify", str(tmp_path / "evidence.json")).returncode == 0
        there: list[int] = []

        def whole() -> bool:
            nonlocal there
            there = numbers(second)
            return len(there) >= made["rows"]["logs"] and there == list(range(len(there)))

        try:
            poll(whole, within_s=SEND_S, what="every line up to the backup, each once")
        except AssertionError as error:
            twice = sorted(number for number in set(there) if there.count(number) > 1)
            missing = sorted(set(range(sent)) - set(there))
            raise AssertionError(
                f"{error}: {len(there)} of {made['rows']['logs']} in the archive; twice {twice[:5]};"
                f" missing from {missing[:5]}; {sent} were sent"
            ) from error
        assert 3000 < len(there) <= sent
        chart = second.desk.ask(
            SEARCH.format(
                port=second.port("store"), what="count()", table="samples", where="metric LIKE 'cpu%'"
            )
        )
        assert chart[0] > 0
        assert "end" in second.cli("logs", f'"number {there[-1]:08d}"', "--since", "1d")
        poll(lambda: second.role("watch"), within_s=30, what="the watch")


def test_an_altered_backup_is_not_restored(tmp_path: Path) -> None:
    with installed(tmp_path / "first") as first:
        said = first.cli("recovery-key").strip()
        made = json.loads(first.cli("backup", str(tmp_path / "one.tar.zst"), "--telemetry", "none", "--json"))
        assert made["keys_sealed"]
        assert "forestall-" in first.cli("backup", "--telemetry", "1").split("/")[-1]
    whole = (tmp_path / "one.tar.zst").read_bytes()
    for name, data in {
        "cut": whole[: len(whole) // 2],
        "end": whole[:-3000],
        "bit": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
    }.items():
        path = tmp_path / f"{name}.tar.zst"
        path.write_bytes(data)
        done = run("restore", str(path), "--data", str(tmp_path / "other"))
        assert done.returncode == 1 and done.stderr.startswith("forestall: "), (name, done.stderr)
        assert not (tmp_path / "other").exists() or not list((tmp_path / "other").iterdir())
    sealed = run("restore", str(tmp_path / "one.tar.zst"), "--data", str(tmp_path / "other"))
    assert sealed.returncode == 1 and "--recovery-key-file" in sealed.stderr
    (tmp_path / "key").write_text(said)
    opened = run(
        *("restore", str(tmp_path / "one.tar.zst"), "--data", str(tmp_path / "other")),
        *("--recovery-key-file", str(tmp_path / "key")),
    )
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / "other/secret/vault").read_bytes() == (tmp_path / "first/secret/vault").read_bytes()


def test_forestall_backs_itself_up_and_keeps_the_newest(tmp_path: Path) -> None:
    home, kept = tmp_path / "first", tmp_path / "kept"
    home.mkdir()
    (home / "forestall.toml").write_text(f'[backup]\ndirectory = "{kept}"\nkeep = 2\ntelemetry_days = 0\n')
    kept.mkdir()
    for day in (1, 2, 3):
        old = kept / f"forestall-2020010{day}T000000Z.tar.zst"
        old.write_bytes(b"old")
        os.utime(old, (day, day))
    with installed(home) as first:
        poll(
            lambda: len(list(kept.glob("*.tar.zst"))) == 2 and (home / "run/backup.json").exists(),
            within_s=60,
            what="a backup by itself, and the oldest gone",
        )
        poll(
            lambda: (
                first.desk.ask(
                    "from forestall.journal.models import Entry\n"
                    "found = Entry.objects.filter(kind='installation.backed_up')\n"
                    "return [entry.actor for entry in found]"
                )
                == ["forestall:backup"]
            ),
            within_s=10,
            what="an entry of the journal",
        )
        assert json.loads((home / "run/backup.json").read_text())["error"] == ""
        checks = {one["what"]: one for one in json.loads(run("doctor", "--data", str(home), "--json").stdout)}
        assert checks["backup of Forestall"]["ok"] and not checks["recovery key"]["ok"]
