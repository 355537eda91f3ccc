"""A rule held against history: how often it would have warned, how early, how often for nothing."""

import pytest

from forestall.judge.marked import Mistakes
from forestall.judge.pack import read_pack
from forestall.judge.prevention import try_rule, write_rule

MINUTE, DAY = 60_000, 86_400_000


def history(spikes, *, days=90, quiet=10.0, high=90.0):
    """A value every 10 min that is high from each of `spikes` on for an hour."""
    times = list(range(0, days * DAY + 1, 10 * MINUTE))
    values = [high if any(0 <= at - spike <= 60 * MINUTE for spike in spikes) else quiet for at in times]
    return times, values


def test_as_the_problem_page_says_it():
    onsets = [10 * DAY, 40 * DAY, 70 * DAY]
    times, values = history([*(onset - 50 * MINUTE for onset in onsets), 20 * DAY, 55 * DAY])
    trial = try_rule(times, values, onsets, limit=80, for_ms=10 * MINUTE)
    assert trial.text == "would have warned 3 of 3 times, 40 min earlier, with 2 false alarms in 90 days"


def test_what_tells_only_after_the_onset_did_not_warn_and_is_no_false_alarm():
    times, values = history([10 * DAY + 10 * MINUTE])
    trial = try_rule(times, values, [10 * DAY], limit=80)
    assert (trial.warned, trial.false_alarms) == (0, 0)


def test_onsets_that_the_series_does_not_reach_do_not_count():
    times, values = history([], days=3)
    assert try_rule(times, values, [30 * DAY], limit=80).onsets == 0
    assert (
        try_rule([], [], [5], limit=1).text == "would have warned 0 of 0 times, with 0 false alarms in 0 days"
    )


@pytest.mark.parametrize(("above", "side"), [(True, "above"), (False, "below")])
def test_the_rule_is_one_that_a_pack_may_hold(above, side):
    rule = write_rule(
        "nginx-slow", "http.latency_ms", limit=800, above=above, for_s=600, why='It "hung" before.'
    )
    assert f"{side}: 800" in rule
    mistakes = Mistakes("made.yaml")
    pack = read_pack(f"pack: made\ntitle: Made from problems\nfor: [server]\nrules:\n{rule}", mistakes)
    assert not mistakes.found
    assert pack is not None and pack.rules[0].name == "nginx-slow"


def test_a_gap_ends_a_warning():
    trial = try_rule([0, MINUTE, 2 * MINUTE, 3 * MINUTE], [9.0, None, 9.0, 1.0], [], limit=5, for_ms=MINUTE)
    assert trial.false_alarms == 0
