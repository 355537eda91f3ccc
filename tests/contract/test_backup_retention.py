"""The simulation of retention against the real programs: what restic and borg would keep, they and we
agree on."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from forestall.judge.backups import Keep
from forestall.judge.backups.retention import kept

ZONE = "Europe/Berlin"
# Twice in an hour, twice a day, over a change of year (ISO week 1 begins on 29 December), of month, of the
# clock (29 March), after a gap of months.
TIMES = [
    "2025-03-14 03:00:00", "2025-11-30 22:00:00", "2025-12-28 22:00:00", "2025-12-29 22:00:00",
    "2025-12-31 23:30:00", "2026-01-01 00:30:00", "2026-03-28 22:00:00", "2026-03-29 01:30:00",
    "2026-03-29 03:30:00", "2026-03-30 22:10:00", "2026-03-30 22:50:00", "2026-03-31 22:00:00",
]  # fmt: skip
BOTH = [
    Keep(weekly=3),
    Keep(daily=2, weekly=2, monthly=3),
    Keep(last=1, hourly=3, daily=2, weekly=2, monthly=2, yearly=5),
]
RESTIC = [*BOTH, Keep(last=1, within="3m2d", within_monthly="1y15d")]
BORG = [*BOTH, Keep(hourly=4, minutely=2), Keep(daily=-1), Keep(daily=30)]


def times_ms() -> list[int]:
    zone = ZoneInfo(ZONE)
    return [int(datetime.fromisoformat(one).replace(tzinfo=zone).timestamp() * 1000) for one in TIMES]


def options(keep: Keep) -> list[str]:
    """A keep rule as both programs write it."""
    found = []
    for name in Keep.__dataclass_fields__:
        value = getattr(keep, name)
        if value:
            found += [f"--keep-{name.replace('_', '-')}", str(value)]
    return found


def run(command: list[str], **env: str) -> str:
    """Its output; a failure is the test's."""
    known = {**os.environ, "TZ": ZONE, **env}
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def ours(keep: Keep, tool: str, version: str = "") -> set[str]:
    now_ms = int(datetime.now().timestamp() * 1000)  # noqa: DTZ005
    stays = kept(keep, times_ms(), tool=tool, zone=ZONE, now_ms=now_ms, version=version)
    return {one for one, stay in zip(TIMES, stays, strict=True) if stay}


@pytest.fixture(scope="module")
def restic(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A repository with a snapshot of each time."""
    place = tmp_path_factory.mktemp("restic")
    (place / "file").write_text("x")
    command = ["restic", "--no-cache", "-q", "-r", str(place / "repo")]
    run([*command, "init"], RESTIC_PASSWORD="x")
    saves = [[*command, "backup", "--time", one, str(place / "file")] for one in TIMES]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda save: run(save, RESTIC_PASSWORD="x"), saves))
    return command


@pytest.fixture(scope="module")
def borg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with an archive of each time, each named by its time."""
    place = tmp_path_factory.mktemp("borg")
    (place / "file").write_text("x")
    run(["borg", "init", "-e", "none", str(place / "repo")], BORG_BASE_DIR=str(place))
    for one in TIMES:
        zone = ZoneInfo(ZONE)
        at = datetime.fromisoformat(one).replace(tzinfo=zone).astimezone(ZoneInfo("UTC"))
        name = one.replace(" ", "_")
        run(["borg", "create", "--timestamp", f"{at:%Y-%m-%dT%H:%M:%S}", f"{place / 'repo'}::{name}",
             str(place / "file")], BORG_BASE_DIR=str(place))  # fmt: skip
    return place


@pytest.mark.parametrize("keep", RESTIC, ids=lambda keep: " ".join(options(keep)))
def test_restic_forgets_as_we_say(restic: list[str], keep: Keep) -> None:
    told = json.loads(run([*restic, "forget", "--dry-run", "--json", *options(keep)], RESTIC_PASSWORD="x"))
    theirs = {one["time"][:19].replace("T", " ") for group in told for one in group["keep"]}
    version = run(["restic", "version"]).split()[1]
    assert ours(keep, "restic", version) == theirs


@pytest.mark.parametrize("keep", BORG, ids=lambda keep: " ".join(options(keep)))
def test_borg_prunes_as_we_say(borg: Path, keep: Keep) -> None:
    said = run(
        ["borg", "prune", "--dry-run", "--list", *options(keep), str(borg / "repo")], BORG_BASE_DIR=str(borg)
    )
    theirs = {
        one
        for one in TIMES
        for line in said.splitlines()
        if "Keeping" in line and one.replace(" ", "_") in line
    }
    assert ours(keep, "borg") == theirs


@pytest.mark.parametrize("within", ["400d", "1m"])
def test_borg_keeps_within_a_span_from_now(borg: Path, within: str) -> None:
    said = run(
        [
            "borg",
            "prune",
            "--dry-run",
            "--list",
            "--keep-within",
            within,
            "--keep-yearly",
            "1",
            str(borg / "repo"),
        ],
        BORG_BASE_DIR=str(borg),
    )
    theirs = {
        one
        for one in TIMES
        for line in said.splitlines()
        if "Keeping" in line and one.replace(" ", "_") in line
    }
    assert ours(Keep(within=within, yearly=1), "borg") == theirs
