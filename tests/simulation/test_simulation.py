"""Seeded worlds through production code: every fault one ticket, nothing else, the same journal each time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN_MOST_S = 300  # minutes on a machine that has other work


def start(
    *,
    clients: int,
    seed: int,
    hours: int,
    hash_seed: str = "random",
    form: tuple[str, ...] = ("--json",),
    folder: Path | None = None,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from forestall.processes.cli import main; main()", "simulate", *form]
    command += ["--clients", str(clients), "--seed", str(seed), "--hours", str(hours)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    if folder is not None:
        environment["TMPDIR"] = str(folder)
    del environment["DJANGO_SETTINGS_MODULE"]  # it is the tests' own
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen[str]) -> dict:
    try:
        said, wrong = process.communicate(timeout=RUN_MOST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode in (0, 1), wrong[-2000:]
    assert said, wrong[-2000:]
    return json.loads(said)


@pytest.mark.parametrize("seed", [2, 3])
def test_every_fault_has_one_ticket_and_nothing_else_has(seed):
    result = finish(start(clients=6, seed=seed, hours=5))
    assert (result["unmatched"], result["unexplained"], result["broken"]) == ([], [], [])
    assert result["ok"]
    assert result["tickets"] == result["faults"] > 0
    assert result["evidence"] >= result["faults"]
    assert result["messages"] >= 2 * result["faults"]


def test_the_same_seed_gives_the_same_journal():
    both = [start(clients=2, seed=1, hours=6, hash_seed=hash_seed) for hash_seed in ("1", "2")]
    first, second = (finish(process) for process in both)
    assert first["faults"] > 0
    assert (first["journal_size"], first["journal_root"]) == (second["journal_size"], second["journal_root"])


def test_a_world_without_faults_has_no_tickets():
    result = finish(start(clients=3, seed=4, hours=1))
    assert result["ok"]
    assert (result["faults"], result["tickets"], result["messages"]) == (0, 0, 0)


def test_what_is_too_short_for_a_fault_is_said():
    said, _ = start(clients=1, seed=1, hours=1, form=()).communicate(timeout=RUN_MOST_S)
    assert "faults injected: 0 (1 h are too short for a fault and its recovery: give --hours 6)" in said


def test_one_that_is_ended_leaves_nothing_behind(tmp_path):
    process = start(clients=6, seed=1, hours=48, folder=tmp_path)
    deadline = time.monotonic() + RUN_MOST_S
    while not list(tmp_path.glob("forestall-simulation-*/forestall.db")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=RUN_MOST_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.glob("forestall-simulation-*")) == []
