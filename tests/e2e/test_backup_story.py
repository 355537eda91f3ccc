"""The story that the product exists for, on a real installation with its agent and a real restic: a backup
works, its disk is unmounted, the job goes on saying success. It is found with its cause, with evidence, an
alert and a ticket; it is repaired, and a drill proves that it comes back."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.installation import COMMAND, Installation, environment, installed, poll
from e2e.machines import small_disk, system

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed"),
]
PASSWORD = "four-Words-of-0ld"
PLAN = "Shop files"
FILES = 60


@dataclass
class Shop:
    """The installation, the disk with the data, the repository, the plan."""

    up: Installation
    disk: Path
    image: Path
    repository: Path
    plan: str

    def restic(self, *arguments: str | Path) -> None:
        subprocess.run(
            ["restic", "-q", "-r", self.repository, *arguments], check=True, env=self.environment()
        )

    def environment(self) -> dict[str, str]:
        return environment() | {
            "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(self.disk.parent / "cache"),
        }  # fmt: skip

    def job(self) -> int:
        """A night's run, by the one line in the crontab; its exit code."""
        command = ["agent", "job", "--data", str(self.up.data), PLAN, "--"]
        done = subprocess.run(
            [*COMMAND, *command, "restic", "-r", str(self.repository), "backup", str(self.disk)],
            check=False, capture_output=True, text=True, env=self.environment(), timeout=60,
        )  # fmt: skip
        assert "forestall:" not in done.stderr, done.stderr
        return done.returncode

    def drill(self) -> subprocess.Popen[str]:
        """A drill now, from the shell."""
        return subprocess.Popen(
            [*COMMAND, "drill", PLAN, "--data", str(self.up.data)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment() | {"FORESTALL_PORT_OFFSET": str(self.up.offset)},
        )  # fmt: skip

    def page(self) -> str:
        """The plan's page, as its owner sees it."""
        return str(
            self.up.desk.ask(
                f"""
                from django.conf import settings
                from django.test import Client
                from forestall.estate.models import Person
                person, _ = Person.objects.get_or_create(
                    email="owner@provider.example", defaults={{"role": "owner", "all_clients": True}})
                browser = Client(headers={{"host": "localhost"}})
                browser.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[0])
                answer = browser.get("/backups/{self.plan}/")
                assert answer.status_code == 200, answer.status_code
                return answer.content.decode()
                """
            )
        )

    def clients_page(self) -> str:
        """What a contact of the client sees of their backups."""
        return str(
            self.up.desk.ask(
                f"""
                from django.conf import settings
                from django.test import Client
                from forestall.backups.models import BackupPlan
                from forestall.estate.models import Person
                client = BackupPlan.objects.get(pk={self.plan!r}).client
                person, made = Person.objects.get_or_create(
                    email="pat@client.example", defaults={{"role": "client_contact"}})
                person.clients.set([client])
                browser = Client(headers={{"host": "localhost"}})
                browser.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[0])
                answer = browser.get("/portal/backups/")
                assert answer.status_code == 200, answer.status_code
                return answer.content.decode()
                """
            )
        )

    def state(self) -> dict[str, Any]:
        """How the plan stands, and what was found."""
        return dict(
            self.up.desk.ask(
                f"""
                from forestall.alerts.models import Alert, Evidence
                from forestall.backups.models import BackupPlan, BackupRun, Proof
                from forestall.findings.models import Finding
                from forestall.tickets.models import Ticket
                plan = BackupPlan.objects.select_related("standing").get(pk={self.plan!r})
                findings = Finding.objects.filter(asset=plan.asset_id, item=plan.name, tells=True)
                return {{
                    "level": plan.standing.level, "concern": plan.standing.concern,
                    "said": plan.standing.said,
                    "runs": list(BackupRun.objects.filter(plan=plan).order_by("at")
                                 .values_list("said", "files")),
                    "open": {{one.rule: one.reason for one in findings.filter(ended_at=None)}},
                    "over": sorted(set(findings.exclude(ended_at=None).values_list("rule", flat=True))),
                    "evidence": Evidence.objects.filter(finding__in=findings).count(),
                    "tickets": list(Ticket.objects.filter(asset=plan.asset_id, title__icontains=plan.name)
                                    .values_list("title", flat=True)),
                    "alerts": Alert.objects.filter(asset=plan.asset_id, told_at__isnull=False).count(),
                    "proofs": list(Proof.objects.filter(plan=plan).order_by("pk")
                                   .values_list("pk", "work", "ok", "seq")),
                }}
                """
            )
        )

    def runs(self, count: int) -> dict[str, Any]:
        """Wait until so many runs are known and judged."""

        def known() -> dict[str, Any] | None:
            state = self.state()
            ended = [said for said, _ in state["runs"] if said != "running"]
            return state if len(ended) >= count else None

        return dict(poll(known, within_s=30, what=f"{count} runs are known"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("story")
    with small_disk(folder) as disk, installed(folder / "data") as up:
        for number in range(FILES):
            (disk / f"order-{number}.txt").write_bytes(os.urandom(20_000))
        plan = up.desk.ask(
            f"""
            from django.utils import timezone
            from forestall.backups.actions import add_plan
            from forestall.backups.values import PlanTerms
            from forestall.estate.models import Collector
            from forestall.estate.tenancy import system_scope
            agent = Collector.objects.exclude(platform="server").get()
            terms = PlanTerms(
                name={PLAN!r}, tool="restic", every_s=86_400, repository={str(folder / "repo")!r},
                sources=({str(disk)!r},), settings={{"password": {PASSWORD!r}}},
                cadences={{"look": 300, "drill": 7 * 86_400}},
            )
            return add_plan(system_scope("test"), asset=agent.asset, terms=terms, now=timezone.now(),
                            collector=agent.pk).pk
            """
        )
        found = Shop(up, disk, folder / "disk.img", folder / "repo", plan)
        found.restic("init")
        known = up.data / "agent" / "backups" / "plans.json"
        poll(
            lambda: known.exists() and PLAN in known.read_text(), within_s=40, what="the agent knows the plan"
        )
        yield found


def ended(drill: subprocess.Popen[str]) -> str:
    """What a drill said that went well."""
    said, _ = drill.communicate(timeout=90)
    assert drill.returncode == 0, said
    return said


def test_the_story(shop: Shop, tmp_path: Path) -> None:
    for number in range(5):
        (shop.disk / f"new-{number}.txt").write_bytes(os.urandom(10_000))
        assert shop.job() == 0
        if number == 2:
            first = shop.drill()  # the agent fetches what is wanted every 15 s
    state = shop.runs(5)
    assert [said for said, _ in state["runs"]] == ["success"] * 5
    assert "proved: " in ended(first)
    state = poll(lambda: (now := shop.state())["level"] == 4 and now, within_s=20, what="level 4")
    assert not state["open"] and state["concern"] == 0

    system("umount", shop.disk)
    assert shop.job() == 0  # the job is content with an empty folder
    state = poll(
        lambda: (now := shop.state())["tickets"] and now, within_s=90, what="a ticket of what is wrong"
    )
    assert state["runs"][-1][0] == "success"
    assert set(state["open"]) == {"backup-source-empty"}, state["open"]
    reason = state["open"]["backup-source-empty"]
    assert "mount" in reason and str(shop.disk) in reason, reason
    assert "is empty" in shop.page()
    assert "Something is wrong" in shop.clients_page()
    assert state["evidence"] and state["alerts"] == 1 and len(state["tickets"]) == 1

    system("mount", "-o", "loop", shop.image, shop.disk)
    assert shop.job() == 0
    assert "proved: " in ended(shop.drill())
    state = poll(lambda: not (now := shop.state())["open"] and now, within_s=30, what="it is over")
    assert state["level"] == 4 and state["over"] == ["backup-source-empty"]

    assert "Restore" in shop.page()
    seen = shop.clients_page()
    assert PLAN in seen and "It came back when it was tried" in seen and "/portal/proofs/" in seen
    proof, work, ok, seq = state["proofs"][-1]
    assert (work, ok) == ("drill", True) and seq is not None
    written = tmp_path / "proof.json"
    shop.up.desk.ask(
        f"""
        from pathlib import Path
        from django.utils import timezone
        from forestall.backups.sealing import export_proof
        from forestall.estate.tenancy import system_scope
        data = export_proof(system_scope("test"), {proof!r}, now=timezone.now())
        Path({str(written)!r}).write_bytes(data)
        """
    )
    verified = subprocess.run(
        [*COMMAND, "evidence", "verify", str(written)], check=True, capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip
    assert "As it was sealed" in verified.stdout
    bundle = json.loads(written.read_text())["bundle"]
    assert bundle["proof"]["files_equal"] == bundle["proof"]["files_expected"] >= FILES + 5
    assert PASSWORD not in written.read_text()
