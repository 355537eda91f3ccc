"""Backup and restore with a real PostgreSQL: into an empty database, never over another one."""

import json
import os
import subprocess
import sys
from pathlib import Path

from contract.daemons import postgres

COMMAND = (sys.executable, "-c", "from forestall.processes.cli import main; main()")
PREPARE = """
from pathlib import Path
from forestall.kernel.datadir import DataDir
from forestall.processes.setup import start_django
import os
data = DataDir(Path(os.environ["FORESTALL_DATA"]))
data.create()
for name in ("django", "journal", "vault", "store"):
    data.key(name)
start_django()
from django.core.management import call_command
call_command("migrate", verbosity=0, interactive=False)
from forestall.estate.actions import add_client
from forestall.estate.tenancy import system_scope
for number in range(5):
    add_client(system_scope("test"), name=f"Client {number}")
"""
LOOK = """
import json
from forestall.processes.setup import start_django
start_django()
from forestall.estate.models import Client
from forestall.journal import queries
from forestall.journal.models import Entry
print(json.dumps({
    "clients": sorted(Client.objects.values_list("pk", "name")),
    "root": queries.root(SIZE).hex(),
    "last": Entry.objects.order_by("-seq").first().kind,
}))
"""


def run(url: str, data: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORESTALL_")}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    environment |= {"FORESTALL_DATA": str(data), "DATABASE_URL": url}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)


def test_a_backup_of_postgresql_is_restored_into_an_empty_database(tmp_path: Path) -> None:
    first, second, archive = tmp_path / "first", tmp_path / "second", tmp_path / "one.tar.zst"
    with postgres() as server:
        one, other = server.owned("one"), server.owned("other")  # bound by the walls between clients
        made = run(one, first, sys.executable, "-c", PREPARE)
        assert made.returncode == 0, made.stderr
        saved = run(one, first, *COMMAND, "backup", str(archive), "--telemetry", "none", "--json")
        assert saved.returncode == 0, saved.stderr
        state = json.loads(saved.stdout)["journal"]
        look = LOOK.replace("SIZE", str(state["size"]))
        before = json.loads(run(one, first, sys.executable, "-c", look).stdout)
        assert before["root"] == state["root"] and len(before["clients"]) == 5

        over = run(one, second, *COMMAND, "restore", str(archive), "--data", str(second))
        assert over.returncode == 1 and "has" in over.stderr and "tables already" in over.stderr
        assert not second.exists() or not list(second.iterdir())

        done = run(other, second, *COMMAND, "restore", str(archive), "--data", str(second))
        assert done.returncode == 0, done.stderr
        after = json.loads(run(other, second, sys.executable, "-c", look).stdout)
        assert after == before | {"last": "installation.restored"}
        assert server.password not in archive.read_bytes().decode("latin-1")
