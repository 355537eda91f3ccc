"""What always holds of the judge: replays, splits and restarts change nothing; a healthy machine is quiet."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_world import BOOK, DAY, HOUR, MINUTE, START, Point, asset, columns, feed, feed_one_by_one, judge_of

from forestall.judge.judge import Judge
from forestall.judge.values import State, Transition
from forestall.kernel.errors import Trouble

METRICS = [
    ("disk.used_ratio", "/var"),
    ("cpu.used_ratio", ""),
    ("oom.kills_count", ""),
    ("certificate.days_left", "web:443"),
    ("service.failed", "nginx.service"),
]
RANGES = {
    "disk.used_ratio": [0.5, 0.86, 0.91, 0.95, 0.99],
    "cpu.used_ratio": [0.2, 0.96, 1.0],
    "oom.kills_count": [0.0, 1.0, 2.0],
    "certificate.days_left": [90.0, 20.0, 5.0, -1.0],
    "service.failed": [0.0, 1.0],
}


@st.composite
def streams(draw: st.DrawFn) -> list[Point]:
    """Samples of a few series in the order of time, with steady stretches and gaps."""
    points: list[Point] = []
    at = START
    for _ in range(draw(st.integers(1, 12))):
        metric, item = draw(st.sampled_from(METRICS))
        value = draw(st.sampled_from(RANGES[metric]))
        step = draw(st.sampled_from([10_000, MINUTE, 5 * MINUTE, HOUR]))
        for _ in range(draw(st.integers(1, 12))):
            at += step
            points.append((5, metric, item, at, value))
    return points


def in_order(taken: list[Transition]) -> list[Transition]:
    return sorted(taken, key=lambda one: (one.at_ms, one.place, one.to))


def split(points: list[Point], cuts: list[int]) -> list[list[Point]]:
    edges = [0, *sorted({cut % (len(points) + 1) for cut in cuts}), len(points)]
    return [points[a:b] for a, b in pairwise(edges) if a < b]


@given(streams(), st.lists(st.integers(0, 200), max_size=8), st.randoms())
@settings(max_examples=60, deadline=None)
def test_batches_do_not_matter(points: list[Point], cuts: list[int], random) -> None:  # type: ignore[no-untyped-def]
    one_by_one = feed_one_by_one(judge_of(), points)
    judge, taken = judge_of(), []
    for part in split(points, cuts):
        random.shuffle(part)  # within a batch the order does not matter either
        taken += feed(judge, part)
    assert in_order(taken) == in_order(one_by_one)


@given(streams(), st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_what_comes_again_changes_nothing(points: list[Point], cut: int) -> None:
    judge = judge_of()
    taken = feed(judge, points)
    before = judge.save()
    assert feed(judge, points[cut % len(points) :]) == []
    assert feed_one_by_one(judge, points) == []
    assert judge.save() == before
    assert in_order(feed(judge_of(), points)) == in_order(taken)


@given(streams(), st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_a_restart_changes_nothing(points: list[Point], cut: int) -> None:
    straight = feed_one_by_one(judge_of(), points)
    cut %= len(points)
    first = judge_of()
    taken = feed_one_by_one(first, points[:cut])
    second = judge_of()
    assert second.restore(first.save(), now_ms=START) == []
    taken += feed_one_by_one(second, points[cut:])
    assert in_order(taken) == in_order(straight)
    assert second.open == {one.place: one for one in second.open.values()}


@given(streams())
@settings(max_examples=40, deadline=None)
def test_a_transition_is_complete_and_follows_the_one_before(points: list[Point]) -> None:
    state: dict[str, State] = {}
    seen = set()
    for one in feed_one_by_one(judge_of(), points):
        assert one.reason and one.why and one.first_step and one.pack_version
        assert one.was is state.get(one.place, State.IN_SPEC) and one.to is not one.was
        assert one.began_at_ms <= one.at_ms
        key = (one.place, one.at_ms, one.to)
        assert key not in seen
        seen.add(key)
        state[one.place] = one.to


def healthy(rng: np.random.Generator, minutes: int) -> dict[tuple[str, str], np.ndarray]:
    """A busy, healthy server: daily load, nightly backup, log rotation, short spikes, updates that wait."""
    t = np.arange(minutes)
    day = (t % 1440) / 1440
    backup = (t % 1440 > 60) & (t % 1440 < 105)
    spike = rng.random(minutes) < 0.01
    cpu = 0.25 + 0.2 * np.sin(2 * np.pi * day) + rng.normal(0, 0.05, minutes) + 0.6 * spike + 0.55 * backup
    memory = 0.72 + 0.08 * np.sin(2 * np.pi * day) + rng.normal(0, 0.02, minutes)
    return {
        ("cpu.used_ratio", ""): np.clip(cpu, 0, 1),
        ("cpu.iowait_ratio", ""): np.clip(0.03 + 0.6 * backup + rng.normal(0, 0.02, minutes), 0, 1),
        ("load.per_core", ""): np.abs(0.5 + 4 * backup + 6 * spike + rng.normal(0, 0.2, minutes)),
        ("memory.used_ratio", ""): np.clip(memory + 0.15 * spike, 0, 1),
        ("swap.used_ratio", ""): np.full(minutes, 0.97),
        ("disk.used_ratio", "/"): 0.61 + 0.02 * day + rng.normal(0, 0.0005, minutes) + t * 1e-8,
        ("disk.used_ratio", "/var"): 0.55 + 0.08 * ((t % 10080) / 10080) + rng.normal(0, 0.001, minutes),
        ("disk.used_ratio", "/snap/core/1"): np.ones(minutes),
        ("inodes.used_ratio", "/"): np.full(minutes, 0.2),
        ("service.failed", "backup.service"): np.zeros(minutes),
        ("updates.reboot_required", ""): (t > 2000).astype(float),
        ("updates.security_count", ""): np.where((t > 500) & (t < 9000), 12.0, 0.0),
        ("time.offset_ms", ""): rng.normal(0, 20, minutes),
        ("network.errors_per_s", "eth0"): (rng.random(minutes) < 0.001) * 2.0,
        ("oom.kills_count", ""): np.zeros(minutes),
        ("uptime_s", ""): t * 60.0,
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_noisy_server_is_quiet_for_a_week(seed: int) -> None:
    minutes = 7 * 1440
    streams_of = healthy(np.random.default_rng(seed), minutes)
    judge = judge_of()
    taken: list[Transition] = []
    for day in range(7):
        here = slice(day * 1440, (day + 1) * 1440)
        points = [
            (5, metric, item, START + n * MINUTE, float(value))
            for (metric, item), values in streams_of.items()
            for n, value in zip(range(here.start, here.stop), values[here], strict=True)
        ]
        taken += judge.observe(columns(points), received_at_ms=START + (day + 1) * DAY)
    assert [one for one in taken if one.tells] == []
    assert {one.rule for one in taken} <= {"reboot-required", "security-updates-pending", "swap-full"}


def test_a_saved_state_that_does_not_fit_is_refused() -> None:
    judge = judge_of()
    for data in (b"", b"\x81\xa7version\x02", b"\xc1", judge.save()[:-5]):
        with pytest.raises(Trouble, match="Start without it"):
            Judge(BOOK).restore(data, now_ms=START)


def test_findings_of_removed_rules_and_assets_end() -> None:
    full = [(5, "disk.used_ratio", "/var", START + n * MINUTE, 0.95) for n in range(10)]
    judge = judge_of()
    assert [one.to for one in feed(judge, full)] == [State.OUT_OF_SPEC]
    saved = judge.save()
    ended = judge.set_estate([], now_ms=START + HOUR)
    assert [(one.to, one.reason, one.tells) for one in ended] == [(State.IN_SPEC, "no longer watched", True)]
    without = type(BOOK)(tuple(pack for pack in BOOK.packs if pack.name != "linux-server"), BOOK.texts)
    again = judge_of(book=without)
    ended = again.restore(saved, now_ms=START + HOUR)
    assert [(one.rule, one.reason) for one in ended] == [("disk-full", "no longer watched")]


def test_the_database_and_the_judge_are_reconciled() -> None:
    from forestall.judge.values import OpenFinding

    full = [(5, "disk.used_ratio", "/var", START + n * MINUTE, 0.95) for n in range(10)]
    judge = judge_of()
    (opened,) = feed(judge, full)
    gone = OpenFinding(
        client="client", asset=asset().id, rule="x", item="", state=State.BREAKING, began_at_ms=START
    )
    taken = judge.reconcile([gone], now_ms=START + HOUR)
    assert opened in taken and [one.rule for one in taken if one.to is State.IN_SPEC] == ["x"]
    known = OpenFinding(
        client="client",
        asset=asset().id,
        rule="disk-full",
        item="/var",
        state=State.OUT_OF_SPEC,
        began_at_ms=opened.began_at_ms,
    )
    assert judge.reconcile([known], now_ms=START + HOUR) == []
