"""Silent deaths of dumps and of mirrors, with real gzip, PostgreSQL and rsync."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.daemons import Postgres, Renamed, mariadb, postgres
from forestall.collect.backups import postgres as running
from forestall.collect.jobs import mariadb_dump, postgres_dump, rsync
from gauntlet.ground import Ground

PROGRAMS = running.programs_of("")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        ready = [str(PROGRAMS / "pg_isready"), "-h", "127.0.0.1", "-p", str(found.port)]
        until = time.monotonic() + 30
        while subprocess.run(ready, check=False, timeout=60).returncode:  # it listens before it answers
            assert time.monotonic() < until
            time.sleep(0.05)
        yield found


class Dumps(Ground):
    """Nightly dumps of a database, by a script that pipes them through gzip."""

    def __init__(self, home: Path, server: Postgres) -> None:
        super().__init__(home, postgres_dump)
        self.site.settings = {"database": "shop", "tables": ["public.orders"]}
        self.site.repository.mkdir()
        self.sources = []
        self.server = server
        self.sql("create database shop", "postgres")
        self.sql("create table orders (id int, note text)")
        self.site.environment |= {
            "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": server.user,
            "PGPASSWORD": server.password,
        }  # fmt: skip

    def sql(self, text: str, database: str = "shop") -> None:
        subprocess.run(
            [str(PROGRAMS / "psql"), "-XAtq", "-d", database, "-c", text], check=True, timeout=60,
            env=os.environ | {
                "PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": self.server.user,
                "PGPASSWORD": self.server.password,
            },
        )  # fmt: skip

    def dump(self, *, database: str = "shop", program: str = "pg_dump", errors: str = "2>/dev/null") -> int:
        """A night: the script's exit code is gzip's."""
        number = len(list(self.site.repository.iterdir())) + 1
        target = self.site.repository / f"shop-{number:03}.sql.gz"
        script = f"{PROGRAMS / program} {database} {errors} | gzip > {target}"
        code, _ = self.night(command=["sh", "-c", script])
        if self.day:
            seconds = target.stat().st_mtime - self.day * 86_400
            os.utime(target, (seconds, seconds))
        return code

    def good_dumps(self, count: int = 5) -> None:
        for left in range(count, 0, -1):
            self.day = left
            self.sql(
                f"insert into orders select n, md5(n::text) from generate_series(1, {1000 + 10 * left}) n"
            )
            assert self.dump() == 0
        self.day = 0


@pytest.fixture
def dumps(tmp_path: Path, server: Postgres) -> Iterator[Dumps]:
    made = Dumps(tmp_path, server)
    made.good_dumps()
    yield made
    made.sql("drop database shop with (force)", "postgres")


async def test_08_a_failing_dump_piped_into_gzip(dumps: Dumps) -> None:
    await dumps.look()
    assert dumps.found() == {}
    assert dumps.dump(program="pg_dump --no-such-option") == 0
    newest = max(dumps.site.repository.iterdir())
    assert newest.stat().st_size < 40
    await dumps.look()
    said = dumps.found()
    assert list(said) == ["backup-copy-broken"], said


async def test_19_another_database_is_dumped(dumps: Dumps) -> None:
    await dumps.look()
    assert dumps.dump(database="postgres") == 0
    await dumps.look()
    said = dumps.found()
    assert "backup-shrunk" in said, said
    await dumps.prove("check")
    assert "public.orders" in " ".join(dumps.found().values()), dumps.found()


async def test_09_rsync_deletes_from_an_empty_source(tmp_path: Path) -> None:
    ground = Ground(tmp_path, rsync)
    mirror = ground.site.repository
    mirror.mkdir()
    command = ["rsync", "-a", "--delete", "--stats", f"{ground.site.source}/", f"{mirror}/"]
    for left in range(5, 0, -1):
        ground.day = left
        (ground.site.source / f"new {left}").write_bytes(os.urandom(3_000))
        assert ground.night(command=command)[0] == 0
    ground.day = 0
    await ground.look()
    assert ground.found() == {}
    for one in list(ground.site.source.iterdir()):
        shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
    code, _ = ground.night(command=command)
    assert code == 0 and not any(one.is_file() for one in mirror.rglob("*"))
    await ground.look()
    said = ground.found()
    assert list(said) == ["backup-source-empty", "backup-last-good-copy"], said


async def test_20_the_dump_tool_is_older_than_the_server(dumps: Dumps) -> None:
    """The server was upgraded, the dump tool was not: it refuses, and the pipe swallows that."""
    await dumps.look()
    between = Renamed(dumps.server.port, old=b"server_version\x0015.", new=b"server_version\x0018.")
    dumps.site.environment["PGPORT"] = str(between.port)
    try:
        assert dumps.dump(errors="") == 0
    finally:
        between.close()
    await dumps.look()
    assert "server version mismatch" in dumps.found()["backup-tool-too-old"], dumps.found()


async def test_20_an_older_dump_tool_that_does_not_refuse(tmp_path: Path) -> None:
    """MariaDB's tool dumps any server, and leaves out what it does not know."""
    with mariadb() as server:
        command = [
            "mariadb",
            *server.words(),
            "-e",
            "create database shop; create table shop.orders (id int)",
        ]
        subprocess.run(command, check=True)
        ground = Ground(tmp_path, mariadb_dump)
        ground.site.repository.mkdir()
        ground.sources = []
        version = subprocess.run(
            ["mariadb", *server.words(), "-N", "-e", "select version()"], check=True, capture_output=True
        ).stdout.partition(b"-")[0]
        between = Renamed(server.port, old=b"5.5.5-" + version, new=b"5.5.5-12" + version[2:])
        for left, port in ((4, server.port), (3, server.port), (2, server.port), (0, between.port)):
            ground.day = left
            dump = f"mariadb-dump --no-defaults -h 127.0.0.1 -P {port} -u root shop"
            target = ground.site.repository / f"shop-{left}.sql"
            code, _ = ground.night(command=["sh", "-c", f"{dump} > {target}"])
            assert code == 0
            at = time.time() - left * 86_400
            os.utime(target, (at, at))
        between.close()
    await ground.look()
    said = ground.found()
    assert "12." in said["backup-tool-too-old"] and "10." in said["backup-tool-too-old"], said


async def test_the_dump_is_cut_short_and_gzip_is_content(dumps: Dumps) -> None:
    """Not in the list: the dump was killed midway, and its beginning is a whole gzip."""
    await dumps.look()
    assert dumps.dump(program="pg_dump", errors="2>/dev/null | head -c 9000") == 0
    await dumps.look()
    await dumps.prove("check")
    assert "cut short" in " ".join(dumps.found().values()), dumps.found()


async def test_a_table_is_left_out_of_the_dump(dumps: Dumps) -> None:
    """Not in the list: somebody added --exclude-table, and the job's own words say so."""
    for number, (day, more) in enumerate(((0.5, []), (0, ["--exclude-table=orders"]))):
        dumps.day = day
        target = dumps.site.repository / f"shop-90{number}.sql"
        assert dumps.night(command=[str(PROGRAMS / "pg_dump"), "-f", str(target), *more, "shop"])[0] == 0
        at = time.time() - day * 86_400
        os.utime(target, (at, at))
    await dumps.look()
    assert list(dumps.found()) == ["backup-excludes-grown"], dumps.found()
