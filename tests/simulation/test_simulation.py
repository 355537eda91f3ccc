"""Seeded worlds through production code: every fault one ticket, nothing else, the same journal each time."""

import json
import os
import subprocess
import sys

import pytest

RUN_MOST_S = 300  # minutes on a machine that has other work


def start(*, clients: int, seed: int, hours: int, hash_seed: str = "random") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from forestall.processes.cli import main; main()", "simulate", "--json"]
    command += ["--clients", str(clients), "--seed", str(seed), "--hours", str(hours)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
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
