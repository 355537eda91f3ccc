"""Dumps and base backups of a real PostgreSQL: read, restored, run, and caught when a bit of them flips."""

import gzip
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from contract.backup_files import failed, into, open_folder, repository, said, tell
from contract.backup_site import flip, state
from contract.daemons import Postgres, postgres
from forestall.collect.backups import postgres as running
from forestall.collect.backups.adapter import Repository, Restored
from forestall.collect.jobs import postgres_base, postgres_dump

ROWS = 2_000
PROGRAMS = running.programs_of("")


@dataclass
class Shop:
    """A server with a database, and a directory for what is made of it."""

    server: Postgres
    home: Path

    def run(self, program: str, *words: str, ok: bool = True) -> subprocess.CompletedProcess[bytes]:
        env = os.environ | {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": self.server.user,
            "PGPASSWORD": self.server.password,
        }  # fmt: skip
        ended = subprocess.run(
            [str(PROGRAMS / program), *words], env=env, capture_output=True, timeout=60, check=False
        )
        assert not ok or ended.returncode == 0, ended.stderr
        return ended

    def ask(self, sql: str, database: str = "shop") -> str:
        return self.run("psql", "-XAtq", "-d", database, "-c", sql).stdout.decode().strip()

    def dumps(self) -> Path:
        path = self.home / "dumps"
        path.mkdir(exist_ok=True)
        return path


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with postgres() as server, open_folder() as home:
        found = Shop(server, home)
        until = time.monotonic() + 60
        while found.run("pg_isready", ok=False).returncode != 0:  # it accepts before it answers
            assert time.monotonic() < until
            time.sleep(0.05)
        found.ask("create database shop", "postgres")
        found.ask("create role clerk")
        found.ask(
            "create table orders (id int primary key, customer text not null, note text, at timestamptz); "
            "create index on orders (customer); alter table orders owner to clerk; insert into orders "
            f"select n, 'customer '||lpad(n::text, 6, '0'), 'a note '||lpad(n::text, 6, '0'), now() "
            f"from generate_series(1, {ROWS}) n; create table forestall_canary (plan varchar(32) primary "
            "key, run varchar(64) not null, nonce varchar(64) not null, at_ms bigint not null); insert into "
            f"forestall_canary values ('plan1', 'run1', '{'ab' * 32}', 1790000000123); checkpoint"
        )
        yield found


WHAT_HOLDS = [
    f"select count(*) from orders -> {ROWS}", "select count(*) from orders -> least 1000",
    "select max(at) from orders -> age 1h",
]  # fmt: skip


async def drill(tool: object, at: Repository, *, serve: bool = True) -> tuple[Restored, list[object]]:
    seen = await tool.look(at)  # type: ignore[attr-defined]
    assert seen.opened, seen.reason
    restored = await tool.restore(at, seen.copies[-1], into=into(at), tell=tell)  # type: ignore[attr-defined]
    checks = list(restored.checks)
    if serve:
        checks += await tool.serve(at, restored, tell=tell)  # type: ignore[attr-defined]
    return restored, checks


@pytest.mark.parametrize("form", ["custom", "directory", "plain", "gzip", "zstd"])
async def test_a_dump_in_any_format_runs_again(shop: Shop, form: str) -> None:
    place = shop.home / form
    place.mkdir()
    match form:
        case "custom":
            shop.run("pg_dump", "-Fc", "-f", str(place / "shop.dump"), "shop")
        case "directory":
            shop.run("pg_dump", "-Fd", "-f", str(place / "shop.d"), "shop")
        case _:
            text = shop.run("pg_dump", "shop").stdout
            packed = {"plain": text, "gzip": gzip.compress(text), "zstd": zstandard.compress(text)}[form]
            (place / f"shop.sql.{form}").write_bytes(packed)
    before = state(place)
    at = repository(
        postgres_dump, place, shop.home, database="shop" if form == "custom" else "",
        tables=["public.orders"], invariants=WHAT_HOLDS,
    )  # fmt: skip
    seen = await postgres_dump.look(at)
    assert seen.settings["server version"] == seen.settings["dump version"] != "", seen.settings
    assert (seen.settings.get("database") == "shop") == (form in {"custom", "directory"})
    checks = await postgres_dump.check(at, tell)
    checks += await postgres_dump.read_slice(at, 1, 1, tell=tell)
    assert not failed(checks), said(checks)
    heavy = form in {"custom", "zstd"}  # a server each costs seconds
    restored, found = await drill(postgres_dump, at, serve=heavy)
    assert not failed(found), said(found)
    assert restored.canary_at_ms == 1_790_000_000_123
    if heavy:
        assert {"load", "pg_amcheck", "full dump", "invariant 3", "canary row"} <= {one.name for one in found}
    assert state(place) == before


async def test_what_is_no_dump_any_more_is_said(shop: Shop) -> None:
    place = shop.home / "broken"
    place.mkdir()
    text = shop.run("pg_dump", "shop").stdout
    told = {}
    older = text.replace(b"Dumped by pg_dump version 15", b"Dumped by pg_dump version 13", 1)
    for name, content in {
        "empty": b"", "nothing": gzip.compress(b""), "cut": text[: len(text) // 2],
        "cut.gz": gzip.compress(text)[:-400], "cut.zst": zstandard.compress(text)[:-40],
        "other": b"This is a letter, and no dump at all.\n" * 20, "older": older,
    }.items():  # fmt: skip
        for old in place.iterdir():
            old.unlink()
        (place / name).write_bytes(content)
        at = repository(postgres_dump, place, shop.home)
        told[name] = said([one for one in await postgres_dump.check(at, tell) if not one.ok])
        seen = await postgres_dump.look(at)
        if not name.startswith("cut."):  # of what is packed a look reads the first kilobytes
            assert bool(seen.copies[0].problem) == (name in {"empty", "nothing", "cut", "other"}), name
        if name == "older":
            assert seen.settings["dump version"].startswith("13")
            assert seen.settings["server version"].startswith("15")
    assert "0 bytes" in told["empty"] and "gzip of nothing" in told["nothing"]
    assert "cut short" in told["cut"] and "cut short" in told["cut.gz"] and "cut short" in told["cut.zst"]
    assert "no dump of PostgreSQL" in told["other"]
    assert "tool of version 13" in told["older"] and "older than its server 15" in told["older"]


async def test_the_wrong_database_and_a_missing_table_are_told(shop: Shop) -> None:
    place = shop.home / "wrong"
    place.mkdir()
    shop.run("pg_dump", "-Fc", "-f", str(place / "1.dump"), "postgres")
    at = repository(postgres_dump, place, shop.home, database="shop", tables=["public.orders"])
    told = said([one for one in await postgres_dump.check(at, tell) if not one.ok])
    assert "no table with data" in told and "of database postgres, and shop was to be saved" in told
    assert "public.orders" in told


async def test_a_bit_that_changed_on_the_disk_is_found_by_reading(shop: Shop) -> None:
    place = shop.home / "rot"
    place.mkdir()
    path = place / "1.dump"
    shop.run("pg_dump", "-Fc", "-Z0", "-f", str(path), "shop")
    first = await postgres_dump.read_slice(repository(postgres_dump, place, shop.home), 1, 1, tell=tell)
    assert not failed(first), said(first)
    facts = path.stat()
    flip(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = await postgres_dump.read_slice(repository(postgres_dump, place, shop.home), 1, 1, tell=tell)
    assert failed(again) == ["hashes"] and "without being written" in said(again)


async def test_a_dump_that_names_commands_is_not_loaded(shop: Shop) -> None:
    place = shop.home / "evil"
    place.mkdir()
    text = shop.run("pg_dump", "shop").stdout
    trace = shop.home / "trace"
    for name, line in {"1.sql": f"\\! touch {trace}\n", "2.sql": f"select 1 \\g |touch {trace}\n"}.items():
        for old in place.iterdir():
            old.unlink()
        (place / name).write_bytes(
            text.replace(b"SET statement_timeout", line.encode() + b"SET statement_timeout")
        )
        at = repository(postgres_dump, place, shop.home)
        _, checks = await drill(postgres_dump, at)
        assert not trace.exists()
        assert failed(checks) == ["load"] or name == "2.sql", said(checks)


async def test_a_canary_row_is_planted_by_the_job_and_comes_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shop.home / "canary"
    place.mkdir()
    shop.ask("create database empty", "postgres")
    monkeypatch.setenv("PGPASSWORD", shop.server.password)
    words = ["-h", "127.0.0.1", "-p", str(shop.server.port), "-U", shop.server.user]
    command = [str(PROGRAMS / "pg_dump"), *words, "-Fc", "-f", str(place / "1.dump"), "empty"]
    for at_ms in (1_790_000_000_001, 1_790_000_000_002):
        planted = postgres_dump.plant(command, plan="06YK9KF3KMET7", run="06YK9KFCEFXYR", at_ms=at_ms)
        assert planted is not None and planted.at_ms == at_ms
    subprocess.run(command, check=True)
    at = repository(postgres_dump, place, shop.home)
    restored, checks = await drill(postgres_dump, at, serve=False)
    assert not failed(checks) and restored.canary_at_ms == 1_790_000_000_002, said(checks)
    with pytest.raises(ValueError, match="does not exist"):
        postgres_dump.plant([*command[:-1], "absent"], plan="a1", run="b1", at_ms=1)


@pytest.fixture(scope="module")
def base(shop: Shop) -> Path:
    place = shop.home / "bases"
    (place / "packed").mkdir(parents=True)
    hba = shop.ask("show hba_file", "postgres")
    with Path(hba).open("a") as file:
        file.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    shop.ask("select pg_reload_conf()", "postgres")
    shop.run("pg_basebackup", "-D", str(place / "plain"), "-c", "fast", "--no-sync")
    shop.run("pg_basebackup", "-D", str(place / "packed"), "-Ft", "-z", "-c", "fast", "--no-sync")
    return place


@pytest.mark.parametrize("form", ["plain", "packed"])
async def test_a_base_backup_recovers_and_runs(shop: Shop, base: Path, form: str) -> None:
    before = state(base)
    at = repository(
        postgres_base, base, shop.home, pattern=form, database="shop", invariants=WHAT_HOLDS
    )  # fmt: skip
    checks = await postgres_base.check(at, tell)
    checks += await postgres_base.read_slice(at, 1, 2, tell=tell)
    assert not failed(checks), said(checks)
    _, found = await drill(postgres_base, at, serve=form == "packed")
    assert not failed(found), said(found)
    if form == "packed":
        assert {"pg_verifybackup", "recovery", "pg_checksums", "pg_amcheck", "full dump", "canary row"} <= {
            one.name for one in found
        }
    assert state(base) == before


def heap_of(shop: Shop) -> str:
    shop.ask("checkpoint")
    return shop.ask("select pg_relation_filepath('orders')")


def flip_word(path: Path, word: bytes) -> None:
    at = path.read_bytes().index(word)
    flip(path, at + len(word) - 1)


@pytest.mark.parametrize(
    ("checksums", "word", "catches"),
    [
        (True, b"a note 000321", {"pg_checksums", "full dump"}),
        (False, b"customer 000321", {"pg_amcheck"}),
        (False, b"a note 000321", {"invariant 1"}),
    ],
)
async def test_one_flipped_bit_in_a_heap_page_is_caught_by_running_it(
    shop: Shop, base: Path, *, checksums: bool, word: bytes, catches: set[str]
) -> None:
    line = "select count(*) from orders where note = 'a note ' || lpad(id::text, 6, '0') -> 2000"
    at = repository(postgres_base, base, shop.home, pattern="plain", database="shop", invariants=[line])
    seen = await postgres_base.look(at)
    restored = await postgres_base.restore(at, seen.copies[-1], into=into(at), tell=tell)
    assert not failed(restored.checks), said(restored.checks)
    data = restored.root / "data"
    if checksums:
        running.give(restored.root, running.runs_as(at))
        async with running.serving(at, PROGRAMS, data):
            pass
        ended = await at.run(
            [str(PROGRAMS / "pg_checksums"), "--enable", "--no-sync", "-D", str(data)],
            user=running.runs_as(at),
        )
        assert ended.code == 0, ended.err
    heap = data / heap_of(shop)
    facts = heap.stat()
    flip_word(heap, word)
    os.chown(heap, facts.st_uid, facts.st_gid)
    checks = await postgres_base.serve(at, restored, tell=tell)
    assert checks[0].ok, "the server starts all the same"
    assert catches <= set(failed(checks)), said(checks)


async def test_one_flipped_bit_is_caught_by_the_manifest_of_a_base_backup(shop: Shop, base: Path) -> None:
    copied = shop.home / "flipped" / "one"
    copied.parent.mkdir()
    subprocess.run(["cp", "-a", str(base / "plain"), str(copied)], check=True)
    flip_word(copied / heap_of(shop), b"a note 000321")
    at = repository(postgres_base, copied.parent, shop.home)
    assert not failed(await postgres_base.check(at, tell))  # level 2 reads no content
    _, checks = await drill(postgres_base, at, serve=False)
    assert failed(checks) == ["pg_verifybackup"] and "checksum mismatch" in said(checks)
