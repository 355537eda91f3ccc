"""The likeliest suspect is mostly the cause, and every suspect says why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suspect_world import make_problem

from forestall.judge.suspects import (
    Candidate,
    Deviation,
    Saturation,
    Scene,
    Shift,
    count_rates,
    distances,
    rank_suspects,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 30 * DAY


def change(name, at, **more):
    given = {"asset": "web", "kind": "nginx config", "title": name, "after_ms": at - 5 * MINUTE, "at_ms": at}
    return Candidate(id=name, **(given | more))


def test_over_seeds_that_nobody_tuned_on():
    problems = [make_problem(seed) for seed in range(70_000, 70_080)]
    caused = [one for one in problems if one.truth]
    ranked = [[suspect.id for suspect in rank_suspects(one.scene)] for one in caused]
    top = sum(ids[:1] == [one.truth] for ids, one in zip(ranked, caused, strict=True))
    three = sum(one.truth in ids[:3] for ids, one in zip(ranked, caused, strict=True))
    assert top >= 0.7 * len(caused)
    assert three >= 0.9 * len(caused)


@given(st.integers(80_000, 90_000))
@settings(max_examples=20, deadline=None)
def test_shares_are_shares_and_the_order_of_candidates_does_not_count(seed):
    scene = make_problem(seed).scene
    ranked = rank_suspects(scene)
    assert sum(one.share for one in ranked) < 1.0001
    assert [one.share for one in ranked] == sorted((one.share for one in ranked), reverse=True)
    assert all(one.evidence for one in ranked)
    turned = Scene(
        **{name: getattr(scene, name) for name in Scene.__slots__} | {"candidates": scene.candidates[::-1]}
    )
    assert [one.id for one in rank_suspects(turned)] == [one.id for one in ranked]


def test_a_change_that_came_before_every_time_beats_a_nearer_one():
    onsets = [NOW - 9 * DAY, NOW - 6 * DAY, NOW - 3 * DAY, NOW]
    guilty = [change(f"guilty-{n}", at - 2 * HOUR) for n, at in enumerate(onsets)]
    near = change("near", NOW - 10 * MINUTE, kind="accounts")
    scene = Scene(
        asset="web", onset_ms=NOW, candidates=[*guilty, near], onsets=4,
        rates=count_rates([*guilty, near], onsets, now_ms=NOW),
    )  # fmt: skip
    first = rank_suspects(scene)[0]
    assert first.id == "guilty-3" and first.clear
    assert (
        "one like it on this asset came before 4 of the 4 times it failed, and 0 times without trouble"
        in first.evidence
    )


def test_a_change_after_the_onset_is_no_suspect():
    scene = Scene(asset="web", onset_ms=NOW, candidates=[change("late", NOW + HOUR)])
    assert rank_suspects(scene) == []


def test_evidence_is_in_words_and_numbers():
    scene = Scene(
        asset="web",
        onset_ms=NOW,
        names={"web": "web-1", "core": "core switch"},
        parents={"web": "core", "core": None},
        candidates=[change("own", NOW - 20 * MINUTE, words="nginx.conf")],
        deviations=[Deviation("web", "http.latency_ms", NOW - 10 * MINUTE, 9.0)],
        shifts=[Shift("web", "nginx: cannot bind <*>", NOW - 19 * MINUTE)],
        saturations=[Saturation("core", "memory", NOW - HOUR, 0.99)],
    )
    own = next(one for one in rank_suspects(scene) if one.id == "own")
    said = "; ".join(own.evidence)
    assert "it was seen 20 min before the onset" in said
    assert "it is on this very asset" in said
    assert "http.latency_ms on web-1 left its course 10 min later, by 9.0 of its usual spread" in said
    assert "a new kind of log line that speaks of nginx: nginx: cannot bind <*>" in said
    full = next(one for one in rank_suspects(scene) if one.kind == "saturation")
    assert "memory was 99% in use 60 min before the onset" in full.evidence


@pytest.mark.parametrize(("asset", "hops"), [("web", 0), ("core", 1), ("db", 2), ("gate", 2), ("far", None)])
def test_hops(asset, hops):
    parents = {"web": "core", "db": "core", "core": "gate", "gate": None, "far": None}
    assert distances("web", parents).get(asset) == hops
