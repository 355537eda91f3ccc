"""A restore drill of Forestall itself: back up an installation that takes in lines, restore it elsewhere."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
    """What becomes a finding with evidence, and a ticket, while other things are looked at."""
    place.cli("client", "add", "Alder Dental")
    place.cli("asset", "add", "web-1", "--client", "Alder Dental", "--kind", "website")
    place.cli("probes", "add", "web-1", "tcp", "127.0.0.1:9", "--every", "5", "--collector", "")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=120, env=environment()
    )


@dataclass
class First:
    """The installation that is backed up, `stop` before another one is begun from its backup; where it keeps
    backups of itself."""

    up: Installation
    kept: Path
    stop: Callable[[], None]

    def recovery_key(self) -> Path:
        """A file with the key that opens what backups seal, made when it is first asked for."""
        path = self.kept.parent / "key"
        if not path.exists():
            path.write_text(self.up.cli("recovery-key").strip())
        return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    folder = tmp_path_factory.mktemp("drill")
    home, kept = folder / "first", folder / "kept"
    home.mkdir()
    (home / "forestall.toml").write_text(f'[backup]\ndirectory = "{kept}"\nkeep = 2\ntelemetry_days = 0\n')
    kept.mkdir()
    for day in (1, 2, 3):
        old = kept / f"forestall-2020010{day}T000000Z.tar.zst"
        old.write_bytes(b"old")
        os.utime(old, (day, day))
    with ExitStack() as stack:
        up = stack.enter_context(installed(home))
        make_trouble(up)
        yield First(up, kept, stack.close)


def test_forestall_backs_itself_up_and_keeps_the_newest(first: First) -> None:
    up = first.up
    poll(
        lambda: len(list(first.kept.glob("*.tar.zst"))) == 2 and (up.data / "run/backup.json").exists(),
        within_s=60,
        what="a backup by itself, and the oldest gone",
    )
    poll(
        lambda: (
            up.desk.ask(
                "from forestall.journal.models import Entry\n"
                "found = Entry.objects.filter(kind='installation.backed_up')\n"
                "return [entry.actor for entry in found]"
            )
            == ["forestall:backup"]
        ),
        within_s=10,
        what="an entry of the journal",
    )
    assert json.loads((up.data / "run/backup.json").read_text())["error"] == ""
    checks = {one["what"]: one for one in json.loads(run("doctor", "--data", str(up.data), "--json").stdout)}
    assert checks["backup of Forestall"]["ok"] and not checks["recovery key"]["ok"]


def test_an_altered_backup_is_not_restored(first: First, tmp_path: Path) -> None:
    up = first.up
    key = first.recovery_key()
    made = json.loads(up.cli("backup", str(tmp_path / "one.tar.zst"), "--telemetry", "none", "--json"))
    assert made["keys_sealed"]
    assert "forestall-" in up.cli("backup", "--telemetry", "1").split("/")[-1]
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
    opened = run(
        *("restore", str(tmp_path / "one.tar.zst"), "--data", str(tmp_path / "other")),
        *("--recovery-key-file", str(key)),
    )
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / "other/secret/vault").read_bytes() == (up.data / "secret/vault").read_bytes()


def test_a_running_installation_is_restored_elsewhere_line_by_line(first: First, tmp_path: Path) -> None:
    archive = tmp_path / "kept" / "one.tar.zst"
    up, key = first.up, first.recovery_key()
    poll(
        lambda: up.desk.ask("from forestall.alerts.models import Evidence\nreturn Evidence.objects.count()"),
        within_s=90,
        what="a finding with evidence",
    )
    talker = Talker(up.port("syslog"))
    poll(lambda: len(numbers(up)) > 3000, within_s=SEND_S, what="lines in the store")
    made = json.loads(up.cli("backup", str(archive), "--json"))
    after = talker.sent
    poll(lambda: talker.sent > after + 500, within_s=SEND_S, what="more lines")
    sent = talker.stop()
    poll(lambda: len(numbers(up)) == sent, within_s=SEND_S, what="every line in the first")
    where = "message NOT LIKE 'number %'"  # of the machine itself; some of them came after the backup
    others = up.desk.ask(SEARCH.format(port=up.port("store"), what="count()", table="lines", where=where))[0]
    at_least = made["rows"]["logs"] - others
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(archive.stat().st_mtime - 30))
    business = up.desk.ask(BUSINESS.format(before=before, size=made["journal"]["size"]))
    evidence = up.desk.ask(
        "from forestall.alerts.models import Evidence\n"
        "return Evidence.objects.order_by('sealed_at').first().pk"
    )
    refusal = run("restore", str(archive), "--data", str(up.data))
    assert refusal.returncode == 1 and "is not empty" in refusal.stderr
    first.stop()
    assert business["root"] == made["journal"]["root"]

    second_home = tmp_path / "second"
    opens = ["--recovery-key-file", str(key)]
    done = run("restore", str(archive), "--data", str(second_home), "--drill", *opens)
    assert done.returncode == 0, done.stderr
    with installed(second_home) as second:
        assert second.desk.ask(BUSINESS.format(before=before, size=made["journal"]["size"])) == business
        second.cli("evidence", "export", evidence, str(tmp_path / "evidence.json"))
        assert run("evidence", "verify", str(tmp_path / "evidence.json")).returncode == 0
        there: list[int] = []

        def whole() -> bool:
            nonlocal there
            there = numbers(second)
            return len(there) >= at_least and there == list(range(len(there)))

        try:
            poll(whole, within_s=SEND_S, what="every line up to the backup, each once")
        except AssertionError as error:
            twice = sorted(number for number in set(there) if there.count(number) > 1)
            missing = sorted(set(range(sent)) - set(there))
            raise AssertionError(
                f"{error}: {len(there)} of {at_least} in the archive; twice {twice[:5]};"
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
