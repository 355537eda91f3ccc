"""The walls between clients in a real PostgreSQL: what no query asked for is not there, whoever forgot it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from contract.daemons import postgres
from forestall.estate.tenancy import SETTING

ROOT = Path(__file__).parents[2]
# A world of two clients; then what a careless query (no scope at all) sees of every table, as whom.
LOOK = """
import json
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0, interactive=False)
from django.db import ProgrammingError, connection, transaction
from django.test import Client as Browser
from django.utils import timezone
from estate_factories import make_person
from forestall.estate.values import Role
from forestall.estate.models import Client, Site, Tag
from forestall.estate.tenancy import NOBODY, Scope, keep_within, let_go
from forestall.keeping.reach import rows_of, tables
from tenancy_world import make_world

world = make_world(timezone.now())
mine, other = world.mine.pk, Client.objects.exclude(pk=world.mine.pk).get().pk
every = [(Client, ("pk",)), *tables()]

def count():
    return {model._meta.label: model._base_manager.count() for model, _ in every}

def of(client):
    return {model._meta.label: rows_of(model, ways, client).count() for model, ways in every}

whole, theirs, ours = count(), of(other), of(mine)
said = {"whole": whole, "theirs": theirs, "ours": ours}
keep_within(Scope("somebody", clients=frozenset({mine})))
said["seen"], said["reached"] = count(), of(other)
try:
    with transaction.atomic():
        Tag.objects.create(client_id=other, name="planted")
    said["planted"] = "taken"
except ProgrammingError as error:
    said["planted"] = str(error)
said["after a refusal"] = count() == said["seen"]
said["moved"] = Site.objects.filter(client=other).update(name="taken over")
keep_within(NOBODY)
said["nobody"] = count()
try:
    with transaction.atomic():
        let_go()
        said["inside"] = Client.objects.count()
        keep_within(NOBODY)
        Client.objects.count()
        raise LookupError
except LookupError:
    let_go()
said["rolled back"] = count() == whole
browser = Browser()
browser.force_login(make_person(role=Role.TECHNICIAN, clients=(world.mine,)))
whole = count()
for name, asked in (("page", "/assets/"), ("odd", "/assets/?q=%00"), ("api", "/api/v1/assets?q=%00")):
    said[name] = browser.get(asked).status_code
said["let go"] = count() == whole
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORESTALL_")}
    with postgres() as server:
        url = server.owned("business")
        ended = subprocess.run(
            [sys.executable, "-c", LOOK], check=False, capture_output=True, text=True, timeout=300, cwd=ROOT,
            env=environment | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "settings_for_tests",
                               "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")]),
                               "PYTEST_XDIST_WORKER": "walls"},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3_000:]
        said: dict[str, object] = json.loads(ended.stdout)
        with psycopg.connect(url) as session:
            said["untold"] = _counts(session)
            session.execute(f"SET {SETTING} = '*'")
            said["told"] = _counts(session)
    return said


def _counts(session: "psycopg.Connection[tuple[int, ...]]") -> dict[str, int]:
    found = {}
    for table in ("estate_client", "estate_asset", "tickets_ticket", "alerts_alert_findings"):
        row = session.execute(f"SELECT count(*) FROM {table}").fetchone()
        found[table] = row[0] if row else -1
    return found


def test_a_query_without_a_scope_shows_the_readers_client_alone(looked: dict[str, dict[str, int]]) -> None:
    whole, theirs, ours = looked["whole"], looked["theirs"], looked["ours"]
    assert sum(count > 0 for count in theirs.values()) > 30, "the world is empty"
    for table, seen in looked["seen"].items():
        assert seen == whole[table] - theirs[table], (
            f"{table}: {seen} of {whole[table]} rows, ours {ours[table]}"
        )
        assert looked["reached"][table] == 0, table


def test_who_is_nobody_sees_nothing_of_a_client(looked: dict[str, dict[str, int]]) -> None:
    assert set(looked["nobody"].values()) == {0}


def test_a_session_that_was_told_nothing_has_no_rows(looked: dict[str, dict[str, int]]) -> None:
    assert set(looked["untold"].values()) == {0}
    assert min(looked["told"].values()) > 0


def test_nothing_is_written_on_the_other_side(looked: dict[str, object]) -> None:
    assert "row-level security" in str(looked["planted"])
    assert looked["moved"] == 0


def test_a_rollback_does_not_bring_back_an_older_reader(looked: dict[str, object]) -> None:
    assert looked["after a refusal"] and looked["rolled back"]
    assert looked["inside"] == 2


def test_pages_are_read_behind_the_walls_and_the_next_request_begins_anew(looked: dict[str, object]) -> None:
    assert looked["page"] == 200 and looked["let go"]


def test_what_postgresql_cannot_keep_is_refused_in_words(looked: dict[str, object]) -> None:
    assert (looked["odd"], looked["api"]) == (400, 422)
