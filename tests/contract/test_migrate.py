"""An empty database gets its tables at once; they are those that the migrations make one by one."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from forestall.kernel.datadir import DataDir

ONE_BY_ONE = """
from django.core.management.commands.migrate import Command
"""
AT_ONCE = """
from forestall.web.management.commands.migrate import Command
"""
SET_UP = """
import django
django.setup()
"""
RUN = """
from django.core.management import call_command
call_command(Command(), verbosity=0)
"""


def tables(data: Path, imported: str) -> dict[str, object]:
    """Every table's columns, every index, trigger and check, and what is recorded as applied."""
    DataDir(data).create()
    environment = {"FORESTALL_DATA": str(data), "DJANGO_SETTINGS_MODULE": "forestall.web.settings"}
    subprocess.run([sys.executable, "-c", SET_UP + imported + RUN], env=environment, check=True, timeout=300)
    database = sqlite3.connect(DataDir(data).database)
    found: dict[str, object] = {}
    for kind, name, text in database.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind == "table":
            columns = database.execute(f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')")
            links = database.execute(f'SELECT "from", "table", "to" FROM pragma_foreign_key_list(\'{name}\')')
            checks = sorted(part.split(" CHECK ")[0] for part in (text or "").split("CONSTRAINT ")[1:])
            found[name] = (set(columns), set(links), checks, (text or "").count(" CHECK "))
        else:
            found[f"{kind} {name}"] = None if name.startswith("sqlite_autoindex") else text
    applied = database.execute("SELECT app, name FROM django_migrations").fetchall()
    permissions = database.execute("SELECT codename FROM auth_permission").fetchall()
    return found | {"applied": set(applied), "permissions": set(permissions)}


def test_both_ways_make_the_same_tables(tmp_path: Path) -> None:
    at_once, one_by_one = (
        tables(tmp_path / name, text) for name, text in (("a", AT_ONCE), ("b", ONE_BY_ONE))
    )
    assert len(at_once["applied"]) > 20 and "tickets_search" in at_once  # type: ignore[arg-type]
    assert set(at_once) == set(one_by_one)
    assert {name for name in at_once if at_once[name] != one_by_one[name]} == set()
