"""Business data in a real PostgreSQL: the judge's side of backups as on SQLite."""

import os
import subprocess
import sys
from pathlib import Path

from contract.daemons import postgres
from forestall.collect.backups.postgres import programs_of

ROOT = Path(__file__).parents[2]


def test_plans_are_judged_on_postgresql_as_on_sqlite() -> None:
    with postgres() as server:
        env = {name: value for name, value in os.environ.items() if not name.startswith("FORESTALL_")}
        env["DATABASE_URL"] = server.owned("business")
        tests = ["--no-migrations", "tests/domain/test_backups_judged.py"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:xdist", *tests], env=env, cwd=ROOT, timeout=600,
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        env["PGPASSWORD"] = server.password
        asked = [str(programs_of("") / "psql"), "-h", "127.0.0.1", "-p", str(server.port), "-U", server.user]
        sql = "select sum(xact_commit + xact_rollback) > 200 from pg_stat_database"
        busy = subprocess.run([*asked, "-XAtc", sql], env=env, check=True, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3_000:]
    assert busy.stdout.strip() == "t", "the tests ran on something else"
