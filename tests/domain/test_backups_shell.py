"""Backup plans from the shell."""

import json

import pytest
from django.utils import timezone
from typer.testing import CliRunner

from domain.backup_rows import drill_at, make_backups, run_at
from forestall.backups.models import BackupPlan
from forestall.kernel.errors import Trouble
from forestall.processes.admin_backups import backup_commands

pytestmark = pytest.mark.django_db
runner = CliRunner()


def test_plans_are_listed_and_a_drill_is_wanted_once() -> None:
    site = make_backups(name="Shop files")
    listed = runner.invoke(backup_commands, ["plans", "--json"])
    assert [(one["plan"], one["level"]) for one in json.loads(listed.stdout)] == [("Shop files", "-")]
    wanted = [
        json.loads(runner.invoke(backup_commands, ["drill", word, "--no-wait", "--json"]).stdout)["proof"]
        for word in ("shop FILES", site.plan.pk)
    ]
    assert wanted[0] == wanted[1] == BackupPlan.objects.get().wanted[0]["proof"]
    run = run_at(site.plan, timezone.now())
    site.take(run, drill_at(site.plan, timezone.now(), run, proof=wanted[0]))
    assert BackupPlan.objects.get().wanted == []


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["drill", "nothing"], "no backup plan 'nothing'"),
        (["drill", "files"], "2 plans"),
        (["drill", "files", "--client", "Nobody"], "no client"),
        (["drill", "one", "--work", "service"], "has no work"),
        (["drill", "one", "--work", "prune"], "no work 'prune'"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(command: list[str], says: str) -> None:
    for name in ("files", "files", "one"):
        make_backups(name=name)
    done = runner.invoke(backup_commands, command)
    assert isinstance(done.exception, Trouble) and says in done.exception.what and done.exception.remedy
