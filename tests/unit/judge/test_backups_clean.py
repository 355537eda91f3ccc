"""Clean plans of every nature give nothing, and each fault on top of any of them is found within one
cycle."""

from collections.abc import Callable
from typing import Any

import pytest
from backup_world import DAY, HOUR, World, found
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.judge.backups import Keep
from forestall.kernel.backups import SourceSeen

KEEPS = [Keep(daily=14, weekly=8, monthly=12), Keep(last=7), Keep(daily=7, yearly=3), None]
WORLDS = st.builds(
    World,
    seed=st.integers(0, 1 << 32),
    tool=st.sampled_from(["restic", "borg", "archive"]),
    files=st.integers(50, 400_000),
    size=st.floats(5e6, 4e12),
    keep=st.sampled_from(KEEPS),
    every_days=st.sampled_from([1, 1, 1, 2, 7]),
)


HOURLY = st.builds(
    World,
    seed=st.integers(0, 1 << 32),
    files=st.integers(500, 400_000),
    keep=st.sampled_from(KEEPS),
    every_hours=st.sampled_from([1, 4, 12]),
)


@given(world=st.one_of(WORLDS, WORLDS, HOURLY))
@settings(max_examples=200, deadline=None)
def test_two_hundred_clean_runs_give_nothing(world: World) -> None:
    judged = {world.random.randrange(200) for _ in range(5)} | {0, 2, 199}
    for night in range(200):
        world.night()
        if night in judged:
            hours = world.random.random() * (world.every_hours / 2 or 24 * world.every_days - 10)
            assert found(world.judge(after_ms=int(hours * HOUR))) == {}, (world.seed, night)


def empty(world: World) -> dict[str, Any]:
    return {
        "sources": [SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 0, 0), world.sources()[1]],
        "files": world.files // 5,
        "size": int(world.size * 0.2),
    }


def missing(world: World) -> dict[str, Any]:
    gone = SourceSeen("/srv/mail", False)
    return {
        "sources": [world.sources()[0], gone],
        "files": int(world.files * 0.8),
        "copy_given": {"paths": ["/srv/data"]},
    }


def ransom(world: World) -> dict[str, Any]:
    return {
        "added": int(world.size),
        "files_changed": int(world.files * 0.95),
        "entropy": 7.98,
        "size": int(world.size * 1.01),
    }


FAULTS: dict[str, tuple[str, Callable[[World], dict[str, Any]]]] = {
    "empty source": ("backup-source-empty", empty),
    "missing source": ("backup-source-missing", missing),
    "ransomware": ("backup-encrypted", ransom),
    "warning": (
        "backup-warning",
        lambda _: {"said": "warning", "exit_code": 1, "reason": "a file is unreadable"},
    ),
    "failed": ("backup-failed", lambda _: {"said": "failed", "exit_code": 1, "no_copy": True, "copy": ""}),
    "empty copy": ("backup-copy-empty", lambda _: {"files": 0, "size": 0}),
    "cut short": ("backup-copy-broken", lambda _: {"copy_given": {"problem": "cut short"}}),
    "nothing new": ("backup-copy-missing", lambda _: {"no_copy": True}),
    "overdue": ("backup-overdue", lambda _: {"skip": True}),
    "deleted": (
        "backup-shrunk",
        lambda world: {
            "sources": [],
            "manifest": None,
            "files": max(3, world.files // 20),
            "files_removed": world.files * 19 // 20,
            "size": int(world.size / 20),
        },
    ),
    "left out": (
        "backup-excludes-grown",
        lambda _: {"excludes": ["*.tmp", "/srv/data/cache", "/srv/data/a"]},
    ),
}


@given(world=WORLDS, fault=st.sampled_from(sorted(FAULTS)), nights=st.integers(12, 60))
@settings(max_examples=100, deadline=None)
def test_a_fault_on_any_clean_past_is_found_within_one_cycle(world: World, fault: str, nights: int) -> None:
    world.nights(nights)
    rule, given_ = FAULTS[fault]
    world.night(**given_(world))
    told = found(world.judge(after_ms=world.every_days * DAY // 2 if rule == "backup-overdue" else 0))
    assert set(told) - {"backup-last-good-copy"} == {rule}, (world.seed, told)


@pytest.mark.parametrize("seed", range(3))
def test_every_night_of_a_few_plans_is_judged_twice(seed: int) -> None:
    world = World(seed=seed)
    for _ in range(200):
        world.night()
        assert found(world.judge()) == {} and found(world.judge(after_ms=12 * HOUR)) == {}
