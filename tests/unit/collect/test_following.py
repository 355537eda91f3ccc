"""Files that are followed: every line once, whatever rotates them, wherever the follower stopped."""

import gzip
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from forestall.collect.following import FIRST_BYTES, LINE_MAX_BYTES, Place, follow
from forestall.collect.host.everywhere import log_files
from forestall.collect.host.everywhere.log_files import record
from forestall.collect.viewing import View


class Reader:
    """Follows one file, with as much memory as is kept between two looks."""

    def __init__(self, path: Path, *, most_bytes: int = 1 << 20, most_lines: int = 10_000) -> None:
        self.path, self.most_bytes, self.most_lines = path, most_bytes, most_lines
        self.places: list[Place] = []
        self.lines: list[str] = []
        self.from_start = True

    def look(self, *, later_s: float = 0.0) -> bool:
        found = follow(
            self.path,
            self.places,
            from_start=self.from_start,
            most_bytes=self.most_bytes,
            most_lines=self.most_lines,
            now_s=time.time() + later_s,
        )
        self.places = found.places
        self.lines += [line.decode() for line in found.lines]
        return found.more


class Writer:
    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def write(self, count: int, path: Path | None = None) -> None:
        with (path or self.path).open("a") as file:
            for _ in range(count):
                file.write(f"{self.count:06} some text of a line\n")
                self.count += 1

    @property
    def lines(self) -> list[str]:
        return [f"{number:06} some text of a line" for number in range(self.count)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def age(path: Path, seconds: float) -> None:
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


def test_a_rename_and_a_daemon_that_writes_on_to_the_old_name(log: Path) -> None:
    writer, reader, old = Writer(log), Reader(log), log.with_name("app.log.1")
    writer.write(5)
    reader.look()
    writer.write(3)
    log.rename(old)
    reader.look()
    log.touch()
    reader.look()
    writer.write(2, old)  # not told to reopen yet
    reader.look()
    writer.write(4)
    reader.look()
    assert reader.lines == writer.lines
    reader.look(later_s=3600)
    assert len(reader.places) == 1


def test_copytruncate_with_lines_that_were_not_read_yet(log: Path) -> None:
    writer, reader = Writer(log), Reader(log)
    writer.write(5)
    reader.look()
    writer.write(5)
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    writer.write(3)
    reader.look()
    reader.look()
    assert reader.lines == writer.lines


@pytest.mark.parametrize("compress", [False, True])
def test_whole_generations_that_came_and_went_unseen(log: Path, compress: bool) -> None:
    writer, reader = Writer(log), Reader(log)
    writer.write(5)
    reader.look()
    for turn in range(3):
        writer.write(4)
        for number in (3, 2, 1):
            for suffix in ("", ".gz"):
                older = log.with_name(f"app.log.{number}{suffix}")
                if older.exists():
                    older.rename(log.with_name(f"app.log.{number + 1}{suffix}"))
        age(log, 1000 - turn * 100)
        log.rename(log.with_name("app.log.1"))
        if compress:
            plain, packed = log.with_name("app.log.1"), log.with_name("app.log.1.gz")
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            shutil.copystat(plain, packed)
            plain.unlink()
        log.touch()
    writer.write(2)
    for _ in range(3):
        reader.look()
    assert reader.lines == writer.lines


@pytest.mark.parametrize("way", ["renamed", "renamed and made again", "compressed"])
def test_a_file_that_is_made_and_rotated_away_between_two_looks(tmp_path: Path, way: str) -> None:
    """Its generations of before are not new; each line comes once."""
    directory = tmp_path / "var/log"
    directory.mkdir(parents=True)
    old = directory / "app.log.2"
    old.write_text("of last week\n")
    age(old, 86_400)
    kept: dict[str, object] = {}
    lines: list[str] = []

    def look(later_s: int = 0) -> None:
        nonlocal kept
        now_ms = time.time_ns() // 1_000_000 + later_s * 1000
        settings = {"more": ["var/log/app*.log"]}
        reading = log_files.look(
            View(now_ms=now_ms, steady_s=1.0, root=tmp_path, kept=kept, settings=settings)
        )
        lines.extend(record.message for record in reading.logs)
        kept = kept if reading.keep is None else reading.keep

    look()
    log = directory / "app.log"
    writer = Writer(log)
    writer.write(5)
    rotated = log.rename(directory / "app.log.1")
    if way == "renamed and made again":
        writer.write(3)
    if way == "compressed":
        packed = directory / "app.log.1.gz"
        packed.write_bytes(gzip.compress(rotated.read_bytes()))
        shutil.copystat(rotated, packed)
        rotated.unlink()
    for later_s in (1, 2, 40, 42, 80):
        look(later_s)
    assert lines == writer.lines
    writer.write(2)
    look(90)
    assert lines == writer.lines


def test_a_line_without_its_end_waits_and_is_taken_when_its_file_is_done_with(log: Path) -> None:
    reader = Reader(log)
    log.write_text("whole\nhalf")
    reader.look()
    assert reader.lines == ["whole"]
    with log.open("a") as file:
        file.write(" and half\nlast words")
    reader.look()
    assert reader.lines == ["whole", "half and half"]
    log.rename(log.with_name("app.log.1"))
    log.write_text("new\n")
    reader.look()
    reader.look(later_s=3600)
    assert reader.lines == ["whole", "half and half", "new", "last words"]


def test_a_line_that_is_too_long_is_cut_up_and_nothing_of_it_is_lost(log: Path) -> None:
    reader = Reader(log, most_bytes=LINE_MAX_BYTES)
    text = "".join(random.Random(1).choices("abc", k=3 * LINE_MAX_BYTES + 100))
    log.write_text(f"a\n{text}\nb\n")
    while reader.look():
        pass
    reader.look()
    assert "".join(reader.lines) == f"a{text}b"
    assert max(map(len, reader.lines)) <= LINE_MAX_BYTES


def test_the_first_look_at_a_long_file_takes_its_end(log: Path) -> None:
    writer, reader = Writer(log), Reader(log)
    reader.from_start = False
    writer.write(10_000)
    reader.look()
    assert 0 < len(reader.lines) * 27 <= FIRST_BYTES
    assert reader.lines == writer.lines[-len(reader.lines) :]


@pytest.mark.parametrize("seed", range(20))
def test_every_line_once_whatever_happens(log: Path, seed: int) -> None:
    dice = random.Random(seed)
    writer = Writer(log)
    reader = Reader(log, most_bytes=LINE_MAX_BYTES, most_lines=dice.choice([3, 50, 1000]))
    writer.write(1)
    reader.look()
    for _ in range(40):
        match dice.randrange(6):
            case 0 if len(reader.places) < 8:
                for number in range(12, 0, -1):
                    older = log.with_name(f"app.log.{number}")
                    if older.exists():
                        older.rename(log.with_name(f"app.log.{number + 1}"))
                log.rename(log.with_name("app.log.1"))
                log.touch()
                time.sleep(0.01)  # file times are only so exact
            case 1 | 2 | 3:
                writer.write(dice.randrange(12))
            case _:
                reader.look(later_s=dice.choice([0, 0, 3600]))
    while reader.look():
        pass
    assert sorted(reader.lines) == writer.lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-23T10:00:00.5+01:00 srv sshd[12]: hello: x", (1795424400500, "sshd", "hello: x", "12")),
        ("2026-11-23T10:00:00Z srv kernel: eth0 up", (1795428000000, "kernel", "eth0 up", None)),
        ("no head at all", (7, "app", "no head at all", None)),
        ("2026-13-45 99:99:99 wrong", (7, "app", "2026-13-45 99:99:99 wrong", None)),
        ("Feb 31 10:00:00 srv x: y", (7, "app", "Feb 31 10:00:00 srv x: y", None)),
        ("0001-01-01T00:00:00+14:00 srv x: y", (7, "app", "0001-01-01T00:00:00+14:00 srv x: y", None)),
    ],
)
def test_heads_of_lines(line: str, expected: tuple[int, str, str, str | None]) -> None:
    found = record(line.encode(), "app", 7)
    assert (found.at_ms, found.source, found.message, found.attrs.get("pid")) == expected


def test_a_time_without_a_year_is_the_last_one() -> None:
    now_s = time.mktime((2026, 1, 2, 3, 0, 0, 0, 0, -1))
    found = record(b"Dec 31 23:00:00 srv cron[1]: x", "syslog", int(now_s * 1000))
    assert time.localtime(found.at_ms / 1000)[:4] == (2025, 12, 31, 23)
