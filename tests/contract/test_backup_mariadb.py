"""Dumps of a real MariaDB: read, loaded into a throw-away server, asked; caught when they are not whole."""

import bz2
import gzip
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.backup_files import failed, into, is_root, open_folder, repository, said, tell
from contract.backup_site import state
from contract.daemons import MariaDb, Renamed, mariadb
from forestall.collect.backups.adapter import CannotProve, Repository, Restored
from forestall.collect.jobs import mariadb_dump
from forestall.kernel.backups import CheckSeen

ROWS = 1_500
WHAT_HOLDS = [
    f"SELECT count(*) FROM orders -> {ROWS}", "SELECT count(*) FROM orders -> least 1000",
    "SELECT max(at) FROM orders -> age 2h",
]  # fmt: skip


@dataclass
class Shop:
    """A server with a database, and a directory for what is made of it."""

    server: MariaDb
    home: Path

    def ask(self, sql: str, database: str = "shop") -> str:
        command = ["mariadb", *self.server.words(), "-N", "-B", "-D", database, "-e", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def dump(self, *words: str, port: int | None = None) -> bytes:
        place = self.server.words()
        if port is not None:
            place[4] = str(port)
        return subprocess.run(
            ["mariadb-dump", *place, *words], check=True, capture_output=True, timeout=60
        ).stdout

    def at(self, name: str, content: bytes, **settings: object) -> Repository:
        """A directory with this dump in it."""
        place = self.home / name
        place.mkdir()
        (place / "shop.dump").write_bytes(content)
        return repository(mariadb_dump, place, self.home, run_as="nobody" if is_root() else "", **settings)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with mariadb() as server, open_folder() as home:
        found = Shop(server, home)
        found.ask("create database shop; create database crm", "mysql")
        found.ask(
            "create table orders (id int primary key, customer varchar(80), at timestamp default "
            "current_timestamp, key (customer)); insert into orders (id, customer) select seq, "
            f"concat('customer ', seq) from seq_1_to_{ROWS}; "
            "create definer=`it's a clerk`@`%` view open_orders as select * from orders; "
            "create definer=root@localhost trigger never before delete on orders for each row "
            "signal sqlstate '45000'"
        )
        found.ask("create table people (id int primary key); insert into people values (1), (2)", "crm")
        yield found


async def drill(at: Repository) -> tuple[Restored, list[CheckSeen]]:
    seen = await mariadb_dump.look(at)
    assert seen.opened, seen.reason
    restored = await mariadb_dump.restore(at, seen.copies[-1], into=into(at), tell=tell)
    return restored, [*restored.checks, *await mariadb_dump.serve(at, restored, tell=tell)]


async def test_a_dump_of_one_database_runs_again_with_its_canary(shop: Shop) -> None:
    command = ["mariadb-dump", *shop.server.words(), "--single-transaction", "shop"]
    canary = mariadb_dump.plant(command, plan="plan1", run="run1", at_ms=1_790_000_000_123)
    assert canary is not None and canary.where == "mariadb:forestall_canary"
    at = shop.at("one", gzip.compress(shop.dump("shop")), database="shop", tables=["orders"],
                 invariants=WHAT_HOLDS)  # fmt: skip
    before = state(shop.home / "one")
    seen = await mariadb_dump.look(at)
    assert not seen.copies[0].problem and seen.settings["database"] == "shop"
    assert seen.settings["server version"] == seen.settings["dump version"] != ""
    checks = await mariadb_dump.check(at, tell)
    checks += await mariadb_dump.read_slice(at, 1, 1, tell=tell)
    assert not failed(checks), said(checks)
    assert {"sizes", "format", "versions", "database", "tables", "data read"} <= {one.name for one in checks}
    restored, found = await drill(at)
    assert not failed(found), said(found)
    assert restored.canary_at_ms == 1_790_000_000_123
    assert {"load", "mariadb-check", "full dump", "invariant 3", "canary row"} <= {one.name for one in found}
    assert state(shop.home / "one") == before


async def test_a_dump_of_all_databases_runs_again_without_the_accounts_of_the_other_server(
    shop: Shop,
) -> None:
    holds = [
        "SELECT count(*) FROM people -> 2", "shop: SELECT count(*) FROM orders -> least 9",
        "SELECT count(*) FROM orders -> 1", "WITH a AS (SELECT 2) DELETE FROM people -> 2",
    ]  # fmt: skip
    at = shop.at("all", bz2.compress(shop.dump("--all-databases")), database="crm", invariants=holds)
    _, found = await drill(at)
    assert set(failed(found)) == {"invariant 3", "invariant 4"}, said(found)


async def test_what_is_no_whole_dump_or_another_one_is_said(shop: Shop) -> None:
    text = shop.dump("shop")
    told, looked = {}, {}
    for name, content in {
        "empty": b"", "nothing": gzip.compress(b""), "cut": text[: len(text) // 2],
        "cut.gz": gzip.compress(text[: len(text) // 2]), "short.gz": gzip.compress(text)[:-200],
        "letter": b"This is a letter, and no dump.\n" * 20, "letter.gz": gzip.compress(b"A letter.\n" * 200),
        "wrong": shop.dump("crm"),
    }.items():  # fmt: skip
        at = shop.at(f"bad {name}", content, database="shop", tables=["orders"])
        told[name] = said([one for one in await mariadb_dump.check(at, tell) if not one.ok])
        looked[name] = (await mariadb_dump.look(at)).copies[0].problem
    assert "0 bytes" in told["empty"] and "gzip of nothing" in told["nothing"]
    assert all("cut short" in told[name] for name in ("cut", "cut.gz", "short.gz"))
    assert "no dump of MariaDB" in told["letter"] and "no dump of MariaDB" in told["letter.gz"]
    assert "of database crm, and shop was to be saved" in told["wrong"] and "orders" in told["wrong"]
    assert all(looked[name] for name in ("empty", "nothing", "cut", "letter", "letter.gz", "wrong")), looked


async def test_a_dump_tool_older_than_its_server_is_told(shop: Shop) -> None:
    version = shop.ask("select version()", "mysql").strip().partition("-")[0].encode()
    between = Renamed(shop.server.port, old=b"5.5.5-" + version, new=b"5.5.5-" + b"12" + version[2:])
    try:
        at = shop.at("older", shop.dump("shop", port=between.port))
    finally:
        between.close()
    seen = await mariadb_dump.look(at)
    assert seen.settings["server version"].startswith("12."), seen.settings
    told = said([one for one in await mariadb_dump.check(at, tell) if not one.ok])
    assert "older than its server 12." in told


async def test_a_dump_that_names_commands_of_the_client_runs_none(shop: Shop) -> None:
    mark = shop.home / "ran"
    text = shop.dump("shop")
    head, tail = text[:200].rpartition(b"\n")[0], text[200:].partition(b"\n")[2]
    for number, line in enumerate((rf"\! touch {mark}", f"system touch {mark}", f"\\T {mark}")):
        at = shop.at(f"bad {number}", head + b"\n" + line.encode() + b"\n" + tail)
        _, found = await drill(at)
        assert "load" in failed(found), said(found)
        assert not mark.exists()


async def test_without_a_server_or_its_user_it_says_what_to_install(shop: Shop) -> None:
    at = shop.at("none", shop.dump("shop"), programs="/nowhere")
    with pytest.raises(CannotProve, match="mend `programs`"):
        await drill(at)
    if is_root():
        at = repository(mariadb_dump, shop.home / "none", shop.home, run_as="root")
        with pytest.raises(CannotProve, match="refuses root"):
            await drill(at)


def test_what_the_job_says_is_read_by_its_number(shop: Shop, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        ended = subprocess.run(
            ["mariadb-dump", *shop.server.words(), *words], check=False, capture_output=True, text=True,
            timeout=60, env=os.environ,
        )  # fmt: skip
        return ended.returncode, ended.stderr

    for words, status, words_said in (
        (["shop"], "success", "ended with 0"), (["no_such"], "failed", "the server refused"),
        (["shop", "no_such_table"], "failed", "ended with 6 (a table cannot be dumped)"),
        (["--no-such-option"], "failed", "ended with "),
    ):  # fmt: skip
        code, output = run(*words)
        read = mariadb_dump.read_run(code, output, command=["mariadb-dump", *words], version="")
        assert read.said == status and words_said in read.reason, (words, code, output, read)
        if status == "failed":  # `mariadb-dump … | gzip` ends as gzip does
            assert mariadb_dump.read_run(0, output, command=["sh"], version="").said == "failed", output
    assert mariadb_dump.excludes_of(["mariadb-dump", "--ignore-table=shop.orders", "shop"]) == [
        "--ignore-table shop.orders"
    ]
