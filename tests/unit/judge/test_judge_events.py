"""Probes, silence, log lines, changes and captures: what opens a finding, and what ends it."""

import random

import pytest
from judge_world import BOOK, DAY, HOUR, MINUTE, START, asset, book_of, feed, judge_of, logs, outcome, series

from forestall.judge.judge import Judge
from forestall.judge.values import (
    Expected,
    JudgedCapture,
    JudgedChange,
    RuleOverride,
    State,
    Transition,
)

S = 1000


def ticks(judge: Judge, since_ms: int, until_ms: int, every: int = 10 * S) -> list[Transition]:
    return [one for now in range(since_ms, until_ms + 1, every) for one in judge.tick(now)]


def test_two_failures_in_a_row_are_a_finding_with_the_probes_own_words() -> None:
    judge = judge_of()
    seen = []
    for n, ok in enumerate([True, False, True, False, False, False, True, True, True, True]):
        at = START + n * 5 * S
        seen += judge.observe_outcomes([outcome(at, ok)], received_at_ms=at)
    assert [(one.to, one.at_ms - START) for one in seen] == [
        (State.OUT_OF_SPEC, 20 * S),
        (State.IN_SPEC, 40 * S),
    ]
    assert seen[0].reason == "tcp web:80: connection refused" and seen[0].answer == "raw connection refused"
    assert seen[0].began_at_ms == START + 15 * S and not seen[0].cause
    assert "answers as it should again" in seen[1].reason


def test_outcomes_in_one_batch_give_the_same() -> None:
    oks = [True, False, False, True, True, True, False, False]
    all_at_once = [outcome(START + n * 5 * S, ok) for n, ok in enumerate(oks)]
    taken = judge_of().observe_outcomes(all_at_once, received_at_ms=START + DAY)
    judge = judge_of()
    singly = [
        one for each in all_at_once for one in judge.observe_outcomes([each], received_at_ms=START + DAY)
    ]
    assert taken == singly and len(taken) == 3


def test_a_host_that_does_not_answer_explains_what_is_on_it() -> None:
    judge = judge_of()
    taken = []
    for n in range(2):
        at = START + n * 5 * S
        taken += judge.observe_outcomes(
            [outcome(at, False, kind="icmp", reason="no answer in 1 s")], received_at_ms=at
        )
    assert [(one.rule, one.to, one.cause) for one in taken] == [
        ("host-unreachable", State.BREAKING, "reachability")
    ]


def expecting(**given: int) -> Judge:
    return judge_of(asset(expects=(Expected(what="asset", interval_ms=15 * S),)), **given)


def test_an_asset_that_is_silent_is_a_finding_until_it_is_heard() -> None:
    judge = expecting()
    feed(judge, series("cpu.used_ratio", [0.1]))
    taken = ticks(judge, START, START + 5 * MINUTE)
    assert [(one.to, one.at_ms - START, one.cause) for one in taken] == [
        (State.SILENT, 3 * MINUTE, "reachability")
    ]
    assert taken[0].reason == "not heard from it for 3 min (expected every 15 s, limit 3 min)"
    back = feed(judge, [(5, "cpu.used_ratio", "", START + 6 * MINUTE, 0.1)])
    assert [(one.to, one.reason) for one in back] == [(State.IN_SPEC, "heard again after 6 min of silence")]


def test_what_a_probe_says_is_no_sign_of_life_of_the_asset() -> None:
    judge = expecting()
    for n in range(30):
        at = START + n * 10 * S
        feed(judge, [(5, "probe.took_ms", "tcp web:80", at, 3.0)])
        judge.observe_outcomes([outcome(at, True)], received_at_ms=at)
        taken = judge.tick(at)
        if taken:
            assert taken[0].rule == "asset-silent"
            return
    raise AssertionError("the asset was never silent")


def test_an_outage_of_ours_is_not_silence_of_the_client() -> None:
    judge = expecting()
    judge.tick(START)
    assert judge.tick(START + 2 * HOUR) == []
    assert ticks(judge, START + 2 * HOUR, START + 2 * HOUR + 2 * MINUTE) == []
    later = ticks(judge, START + 2 * HOUR + 2 * MINUTE, START + 2 * HOUR + 4 * MINUTE)
    assert [one.to for one in later] == [State.SILENT]


def test_a_new_asset_is_given_its_time() -> None:
    judge = judge_of()
    judge.tick(START)
    fresh = asset(9, expects=(Expected(what="asset", interval_ms=S),), created_at_ms=START - DAY)
    judge.set_estate([asset(), fresh], now_ms=START + 10 * S)
    assert ticks(judge, START + 20 * S, START + 3 * MINUTE) == []


def test_a_silent_collector_explains_its_probes() -> None:
    probe = Expected(what="probe", name="tcp web:80", interval_ms=5 * S, by=7)
    box = asset(7, name="box", expects=(Expected(what="asset", interval_ms=15 * S),))
    judge = judge_of(asset(kind="website", expects=(probe,)), box)
    judge.observe_heard(7, at_ms=START)
    taken = ticks(judge, START, START + 5 * MINUTE)
    by_rule = {one.rule: one for one in taken}
    assert by_rule["asset-silent"].tells and not by_rule["probe-silent"].tells
    assert by_rule["probe-silent"].cause == "collector"
    assert "the collector box that asks it is silent" in by_rule["probe-silent"].reason
    now = START + 5 * MINUTE
    goes_on = []
    for n in range(30):
        judge.observe_heard(7, at_ms=now + n * 10 * S)
        goes_on += judge.tick(now + n * 10 * S)
    assert [(one.was, one.to, one.tells) for one in goes_on] == [(State.SILENT, State.SILENT, True)]


def test_a_probe_that_is_taken_away_ends_its_finding() -> None:
    probe = Expected(what="probe", name="tcp web:80", interval_ms=5 * S)
    judge = judge_of(asset(kind="website", expects=(probe,)))
    assert [one.to for one in ticks(judge, START, START + 5 * MINUTE)] == [State.SILENT]
    ended = judge.set_estate([asset(kind="website")], now_ms=START + 6 * MINUTE)
    assert [(one.to, one.reason) for one in ended] == [(State.IN_SPEC, "no longer watched")]


def test_a_log_source_that_was_regular_for_a_day_is_expected() -> None:
    judge = judge_of()
    for n in range(30 * 6):
        at = START + n * 10 * MINUTE
        judge.observe_logs(logs([(at, "cron", "ran")]))
    assert ticks(judge, at, at + 50 * MINUTE) == []
    taken = ticks(judge, at + 50 * MINUTE, at + 70 * MINUTE)
    assert [(one.rule, one.item, one.tells) for one in taken] == [("source-silent", "cron", False)]
    saved = judge.save()
    again = judge_of()
    again.restore(saved, now_ms=at)
    back = again.observe_logs(logs([(at + 2 * HOUR, "cron", "ran")]))
    assert [one.to for one in back] == [State.IN_SPEC]


def test_a_source_that_speaks_now_and_then_is_not_expected() -> None:
    judge = judge_of()
    for n in range(5):
        judge.observe_logs(logs([(START + n * 9 * HOUR, "apt", "ran")]))
    assert ticks(judge, START + 36 * HOUR, START + 60 * HOUR, every=20 * S) == []


def test_lines_are_counted_within_a_time() -> None:
    judge = judge_of()
    quiet = [(START + n * MINUTE, "sshd", f"Failed password for root from 10.0.0.{n}") for n in range(29)]
    assert judge.observe_logs(logs(quiet)) == []
    since = START + HOUR
    burst = [(since + n * S, "sshd", f"Failed password for root port {n}") for n in range(40)]
    (opened,) = judge.observe_logs(logs(burst, severity=6))
    assert (opened.rule, opened.to, opened.tells) == ("sign-in-failures", State.DRIFTING, False)
    assert opened.reason.startswith("30 lines in 29 s (limit 30 in 10 min), the last: Failed password")
    assert opened.answer.count("\n") == 4
    ended = [one for one in ticks(judge, since, since + 2 * HOUR, MINUTE) if one.rule == "sign-in-failures"]
    assert [(one.to, one.at_ms) for one in ended] == [(State.IN_SPEC, since + 39 * S + HOUR)]


def test_a_line_of_the_kernel_about_a_broken_disk_is_enough() -> None:
    line = "EXT4-fs error (device sda1): ext4_find_entry: reading directory"
    judge = judge_of()
    (opened,) = judge.observe_logs(logs([(START, "kernel", line)], severity=3))
    assert (opened.to, opened.reason) == (State.BREAKING, f"the log says: {line}")
    assert judge.observe_logs(logs([(START, "kernel", line)], severity=3)) == []
    assert judge_of().observe_logs(logs([(START, "app", line)], severity=3)) == []


def change(at: int, before: str, after: str, kind: str = "sshd_config", **given: object) -> JudgedChange:
    return JudgedChange(
        asset=5, kind=kind, at_ms=at, after_at_ms=at - HOUR, before=before, after=after,
        summary="1 line added", signed_in=("root", "anna"), **given,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_change_of_who_may_sign_in_is_a_finding_until_it_is_undone() -> None:
    judge = judge_of()
    (opened,) = judge.observe_changes([change(START, "a", "b")])
    assert (opened.rule, opened.to, opened.tells) == ("access-changed", State.OUT_OF_SPEC, True)
    assert "sshd_config changed between" in opened.reason and "signed in: root and anna" in opened.reason
    assert judge.observe_changes([change(START, "a", "b")]) == []
    assert judge.observe_changes([change(START + HOUR, "b", "c")]) == []
    (ended,) = judge.observe_changes([change(START + 2 * HOUR, "c", "a")])
    assert (ended.to, ended.reason, ended.tells) == (State.IN_SPEC, "sshd_config is as it was before", True)


def test_a_change_ends_by_itself_after_a_day_or_when_accepted() -> None:
    judge = judge_of()
    judge.observe_changes([change(START, "a", "b")])
    assert judge.tick(START + DAY - S) == []
    assert [one.at_ms for one in judge.tick(START + DAY)] == [START + DAY]
    judge.observe_changes([change(START + 2 * DAY, "b", "c")])
    (ended,) = judge.accept_change(
        5, rule="access-changed", kind="sshd_config", at_ms=START + 2 * DAY + HOUR, actor="anna"
    )
    assert ended.reason == "accepted by anna"


def test_a_planned_or_ordinary_change_tells_no_one() -> None:
    judge = judge_of()
    taken = judge.observe_changes(
        [change(START, "a", "b", planned=True), change(START, "a", "b", kind="packages")]
    )
    assert [(one.to, one.tells) for one in taken] == [(State.DRIFTING, False)] * 2


def test_a_refused_capture_is_a_finding_until_it_works() -> None:
    judge = judge_of()
    (opened,) = judge.observe_refusals(
        [JudgedCapture(asset=5, kind="sudoers", at_ms=START, problem="permission denied")]
    )
    assert opened.reason == "the capture of sudoers is not whole: permission denied"
    assert (
        judge.observe_refusals([JudgedCapture(asset=5, kind="sudoers", at_ms=START + 1, problem="x")]) == []
    )
    (ended,) = judge.observe_refusals([JudgedCapture(asset=5, kind="sudoers", at_ms=START + HOUR)])
    assert (ended.to, ended.reason) == (State.IN_SPEC, "sudoers is captured again")


def test_a_duration_runs_out_between_two_rare_samples() -> None:
    book = book_of(
        "  - {name: a, look_at: updates.pending_count, drifting: {above: 5, for: 1 h}, why: W., first: F.}\n"
    )
    judge = judge_of(book=book)
    feed(judge, series("updates.pending_count", [0, 9], every=6 * HOUR))
    taken = ticks(judge, START + 6 * HOUR, START + 8 * HOUR, MINUTE)
    assert [(one.to, one.at_ms) for one in taken] == [(State.DRIFTING, START + 7 * HOUR)]


def test_a_machine_that_sleeps_does_not_make_its_last_value_a_finding() -> None:
    judge = judge_of()
    at = START
    for n in range(5):
        at = START + n * MINUTE
        feed(judge, [(5, "memory.used_ratio", "", at, 0.99)])
    assert [o for o in ticks(judge, at, at + HOUR) if o.rule == "memory-short"] == []
    assert feed(judge, [(5, "memory.used_ratio", "", at + 9 * HOUR, 0.99)]) == []


def test_something_that_is_no_longer_reported_ends() -> None:
    judge = judge_of()
    feed(judge, series("disk.used_ratio", [0.99] * 10, item="/mnt/usb"))
    taken = []
    for n in range(10, 40):
        at = START + n * MINUTE
        taken += feed(judge, [(5, "disk.used_ratio", "/", at, 0.5)]) + judge.tick(at)
    assert [(one.item, one.to) for one in taken] == [("/mnt/usb", State.IN_SPEC)]
    assert "no longer reported" in taken[0].reason


def test_an_override_takes_effect_at_once_and_keeps_the_state_that_still_holds() -> None:
    judge = judge_of()
    feed(judge, series("disk.used_ratio", [0.95] * 10, item="/var"))
    off = RuleOverride(rule="disk-full", place="asset", settings={"off": True})
    ended = judge.set_estate([asset(overrides=(off,))], now_ms=START + HOUR)
    assert [(one.to, one.reason) for one in ended] == [(State.IN_SPEC, "no longer watched")]
    judge.set_estate([asset()], now_ms=START + HOUR)
    again = feed(judge, [(5, "disk.used_ratio", "/var", START + HOUR + n * MINUTE, 0.95) for n in range(10)])
    assert [one.to for one in again] == [State.OUT_OF_SPEC]
    higher = RuleOverride(
        rule="disk-full", place="client", settings={"out_of_spec": {"above": "97%"}, "breaking": None}
    )
    eased = judge.set_estate([asset(overrides=(higher,))], now_ms=START + 2 * HOUR)
    assert [one.was for one in eased] == [State.OUT_OF_SPEC]


def test_a_clock_in_the_future_does_not_blind_the_judge() -> None:
    judge = judge_of()
    judge.observe(series_at(START + 400 * DAY, 0.5), received_at_ms=START)
    taken = feed(judge, series("disk.used_ratio", [0.95] * 10, item="/var")[1:])
    assert [one.to for one in taken] == [State.OUT_OF_SPEC]


def series_at(at_ms: int, value: float):  # type: ignore[no-untyped-def]
    from judge_world import columns

    return columns([(5, "disk.used_ratio", "/var", at_ms, value)])


def test_series_that_no_longer_come_are_forgotten() -> None:
    judge = judge_of()
    judge.tick(START)
    feed(judge, series("disk.used_ratio", [0.5], item="/old"))
    feed(judge, [(5, "disk.used_ratio", "/new", START + 8 * DAY, 0.5)])
    judge.tick(START + 8 * DAY + HOUR)
    assert judge.samples.held.series.count == 1
    assert BOOK.named("disk-full")


def test_a_collector_is_called_silent_before_the_probes_that_it_asks() -> None:
    """Else its probes would be told one by one before the one cause is known."""
    rules = BOOK.rules_for("server")
    assert rules["asset-silent"].levels[0].after_ms < rules["probe-silent"].levels[0].after_ms


def test_a_collector_that_may_be_silent_only_briefly_explains_its_probes_as_soon() -> None:
    brief = {"silent": {"after": "20 s", "intervals": None}}
    overrides = (
        RuleOverride(rule="asset-silent", place="asset", settings=brief),
        RuleOverride(rule="probe-silent", place="asset", settings=brief),
    )
    probe = Expected(what="probe", name="tcp web:80", interval_ms=5 * S, by=7)
    web = asset(1, kind="website", expects=(probe,), overrides=overrides[1:])
    box = asset(7, name="box", expects=(Expected(what="asset", interval_ms=15 * S),), overrides=overrides[:1])
    judge = judge_of(web, box)
    judge.observe_heard(7, at_ms=START)
    taken = ticks(judge, START, START + MINUTE)
    assert [(one.rule, one.tells) for one in taken] == [("asset-silent", True), ("probe-silent", False)]


@pytest.mark.parametrize("seed", range(6))
def test_many_lines_at_once_are_judged_as_if_they_came_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    at, lines = START, []
    for n in range(3_000):
        at += dice.choice((0, 10, 10, 1000, 1000, 1000, 20_000, 20 * MINUTE if n % 500 == 0 else 100))
        lines.append((at, "sshd", f"Failed password for root from 10.0.0.7 port {n} ssh2"))
    together, single = judge_of(), judge_of()
    at_once = together.observe_logs(logs(lines, severity=6)) + together.tick(at + 2 * HOUR)
    one_by_one = [one for line in lines for one in single.observe_logs(logs([line], severity=6))]
    one_by_one += single.tick(at + 2 * HOUR)
    assert at_once
    assert [(one.rule, one.was, one.to, one.at_ms, one.began_at_ms) for one in at_once] == [
        (one.rule, one.was, one.to, one.at_ms, one.began_at_ms) for one in one_by_one
    ]
