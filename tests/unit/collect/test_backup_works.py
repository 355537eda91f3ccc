"""When a work is due, which copy belongs to which run, and what never leaves."""

from types import ModuleType
from typing import Any

import pytest

from forestall.collect.backups.commands import after_word, split_options
from forestall.collect.backups.proving import find_strip, pair
from forestall.collect.backups.records import Done
from forestall.collect.backups.working import due_ms, share, without_secrets
from forestall.kernel.backups import CopySeen, ProofReport, RunReport, WorkOrder, same_copy
from forestall.kernel.plugins import OnDemand

HOUR_MS = 3_600_000


def run(**changes: Any) -> RunReport:
    return RunReport(
        **{"plan": "p", "run": "r", "at_ms": 0, "by": "job", "said": "success", "began_ms": 100_000,
           "ended_ms": 200_000, **changes}
    )  # fmt: skip


def test_the_first_time_is_soon_and_spread() -> None:
    drill, done = WorkOrder("drill", 7 * 86_400), Done(seen_ms=1_000)
    times = [due_ms(f"plan {number}", drill, done, 5_000) for number in range(200)]
    assert 1_000 <= min(times) < HOUR_MS / 10 and HOUR_MS * 0.9 < max(times) <= 1_000 + HOUR_MS
    assert due_ms("plan", WorkOrder("look", 900), done, 5_000) <= 61_000
    assert times[0] == due_ms("plan 0", drill, done, 9_000) and 0 <= share("x") < 1


def test_after_that_every_interval_and_sooner_after_what_could_not_be_tried() -> None:
    drill = WorkOrder("drill", 86_400)
    assert due_ms("p", drill, Done(0, done={"drill": 1000}), 2000) == 1000 + 24 * HOUR_MS
    tried = Done(0, done={"drill": 1000}, tried={"drill": 30 * HOUR_MS})
    assert due_ms("p", drill, tried, 30 * HOUR_MS) == 31 * HOUR_MS
    never = Done(0, tried={"look": 50_000})
    assert due_ms("p", WorkOrder("look", 900), never, 60_000) == 50_000 + 300_000
    assert due_ms("p", WorkOrder("look", 60), never, 60_000) == 50_000 + 60_000


def test_a_clock_that_was_set_back_does_not_stop_the_works() -> None:
    far = Done(seen_ms=9 * 86_400_000, done={"look": 9 * 86_400_000}, tried={"look": 9 * 86_400_000})
    assert due_ms("p", WorkOrder("look", 900), far, 1000) <= 61_000


def test_a_copy_is_paired_by_key_else_by_time_and_only_when_it_is_the_only_one() -> None:
    long, other = CopySeen(key="ab" * 32, at_ms=0), CopySeen(key="cd" * 32, at_ms=150_000)
    assert pair([run(copy="abababab")], [long, other])[0].copy == long.key
    assert pair([run(copy="cd" * 32)], [long, other]) == []
    assert pair([run()], [long, other])[0].copy == other.key
    assert pair([run()], [other, CopySeen(key="ef" * 32, at_ms=160_000)]) == []
    assert (
        pair([run(said="failed")], [other]) == []
        and pair([run(copy=other.key, run="s"), run()], [other]) == []
    )
    assert same_copy("abababab", "ab" * 32) and not same_copy("ababab", "ab" * 32) and not same_copy("", "ab")


def test_secrets_do_not_leave_in_what_a_tool_said() -> None:
    proof = ProofReport(
        plan="p", proof="q", work="check", began_ms=1, ended_ms=2, ok=False,
        reason='wrong pass"word here, pass"word!'
    )  # fmt: skip
    masked = without_secrets(proof, ['pass"word', "pas", ""])
    assert isinstance(masked, ProofReport) and masked.reason == "wrong (secret) here, (secret)!"
    assert without_secrets(proof, ["other"]) is proof


def test_words_of_a_command() -> None:
    command = ["nice", "/usr/bin/restic", "-r", "x", "backup", "--", "-odd", "/a"]
    assert (
        after_word(command, "restic", "backup") == ["--", "-odd", "/a"]
        and after_word(command, "borg", "create") == []
    )
    assert split_options(["-e", "x", "--tag=t", "/a", "-v", "--", "-odd"], {"-e"}) == (
        ["/a", "-odd"], {"-e": ["x"], "--tag": ["t"]},
    )  # fmt: skip


def test_where_the_sources_lie_in_a_restored_tree(tmp_path: Any) -> None:
    (tmp_path / "data" / "x").mkdir(parents=True)
    assert find_strip(tmp_path, ["/srv/client/data"]) == "/srv/client"
    (tmp_path / "srv" / "client" / "data").mkdir(parents=True)
    assert find_strip(tmp_path, ["/srv/client/data"]) == ""
    assert find_strip(tmp_path / "nothing", ["/srv"]) == ""


@pytest.mark.parametrize("name", sorted(OnDemand("forestall.collect.jobs")))
def test_every_adapter_keeps_to_the_interface(name: str) -> None:
    module: ModuleType = OnDemand("forestall.collect.jobs")[name]
    assert module.SPEC.read({}) is not None and module.SPEC.source and module.SPEC.about
    read = getattr(module, "read_run", None)
    if read is not None:
        assert read(0, "", command=[name], version="").said in {"success", "warning", "failed", "unknown"}
        assert read(-9, "", command=[name], version="").said == "failed"
