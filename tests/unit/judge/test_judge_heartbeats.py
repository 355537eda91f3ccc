"""Heartbeats and alerts of other programs: what they say is a finding at once, and silence is one too."""

from judge_world import DAY, HOUR, MINUTE, START, asset, judge_of

from forestall.judge.judge import Judge
from forestall.judge.values import Expected, JudgedOutcome, Transition

NAME = "heartbeat nightly"
DAILY = Expected(what="heartbeat", name=NAME, interval_ms=DAY + HOUR, heard_ms=START)
RUN = Expected(what="heartbeat_end", name=NAME, interval_ms=HOUR, heard_ms=START)


def ping(judge: Judge, at_ms: int, ok: bool = True, kind: str = "heartbeat") -> list[Transition]:
    target = "nightly"
    outcome = JudgedOutcome(
        asset=5, at_ms=at_ms, kind=kind, target=target, ok=ok, reason="it failed", answer="log"
    )
    return judge.observe_outcomes([outcome], received_at_ms=at_ms)


def ticks(judge: Judge, since_ms: int, until_ms: int, every_ms: int = 20_000) -> list[Transition]:
    return [one for at in range(since_ms, until_ms, every_ms) for one in judge.tick(at)]


def told(taken: list[Transition]) -> list[tuple[str, str, str]]:
    return [(one.rule, one.item, str(one.to)) for one in taken]


def test_a_heartbeat_that_does_not_come_is_a_finding_until_it_comes() -> None:
    judge = judge_of(asset(expects=(DAILY,)))
    assert ticks(judge, START, START + DAY + HOUR, MINUTE // 2) == []
    taken = ticks(judge, START + DAY + HOUR, START + DAY + HOUR + 2 * MINUTE)
    assert told(taken) == [("heartbeat-silent", NAME, "silent")]
    assert taken[0].reason == "heartbeat nightly did not come for 25 h (limit 25 h)"
    ended = ping(judge, START + DAY + 3 * HOUR)
    assert told(ended) == [("heartbeat-silent", NAME, "in_spec")]


def test_each_ping_begins_a_new_period() -> None:
    judge = judge_of(asset(expects=(DAILY,)))
    ping(judge, START + DAY)
    assert ticks(judge, START + DAY, START + 2 * DAY) == []


def test_a_heartbeat_that_says_that_it_failed_is_a_finding_at_once_and_stays_one() -> None:
    judge = judge_of(asset(expects=(DAILY,)))
    taken = ping(judge, START + HOUR, ok=False)
    assert told(taken) == [("heartbeat-failed", NAME, "out_of_spec")]
    assert "it failed" in taken[0].reason
    assert taken[0].answer == "log"
    later = ticks(judge, START + HOUR, START + 4 * DAY, HOUR // 2)
    assert ("heartbeat-failed", NAME, "in_spec") not in told(later)
    assert ("heartbeat-failed", NAME, "in_spec") in told(ping(judge, START + 4 * DAY))


def test_a_run_that_began_and_does_not_end_is_a_finding() -> None:
    judge = judge_of(asset(expects=(DAILY, RUN)))
    assert ticks(judge, START, START + HOUR) == []
    taken = ticks(judge, START + HOUR, START + HOUR + 2 * MINUTE)
    assert told(taken) == [("heartbeat-stuck", NAME, "silent")]
    assert taken[0].reason.startswith("heartbeat nightly said that it began, and not that it ended, for 60")
    assert told(ping(judge, START + 2 * HOUR)) == [("heartbeat-stuck", NAME, "in_spec")]


def test_a_run_that_ended_is_expected_no_more() -> None:
    judge = judge_of(asset(expects=(DAILY, RUN)))
    ping(judge, START + MINUTE)
    assert judge.set_estate([asset(expects=(DAILY,))], now_ms=START + 2 * MINUTE) == []
    assert ticks(judge, START + 2 * MINUTE, START + 6 * HOUR, MINUTE // 2) == []


def test_an_outage_of_ours_only_pauses_the_timer_of_a_heartbeat() -> None:
    judge = judge_of(asset(expects=(DAILY,)))
    judge.tick(START + 20 * HOUR)
    judge.tick(START + 21 * HOUR)  # an hour in which nothing could be heard
    late = START + DAY + 2 * HOUR
    assert ticks(judge, START + 21 * HOUR, late) == []
    assert told(ticks(judge, late, late + 2 * MINUTE)) == [("heartbeat-silent", NAME, "silent")]


def test_the_last_ping_is_known_from_elsewhere_when_the_judge_is_new() -> None:
    expected = Expected(what="heartbeat", name=NAME, interval_ms=DAY + HOUR, heard_ms=START - DAY)
    judge = judge_of(asset(expects=(expected,)))
    assert told(ticks(judge, START, START + HOUR + 2 * MINUTE)) == [("heartbeat-silent", NAME, "silent")]


def test_a_later_ping_in_the_estate_changes_nothing() -> None:
    judge = judge_of(asset(expects=(DAILY,)))
    later = Expected(what="heartbeat", name=NAME, interval_ms=DAY + HOUR, heard_ms=START + HOUR)
    assert asset(expects=(later,)) == asset(expects=(DAILY,))
    assert judge.set_estate([asset(expects=(later,))], now_ms=START + HOUR) == []


def test_an_alert_that_is_no_longer_renewed_ends() -> None:
    judge = judge_of(asset())
    taken = [one for n in range(60) for one in ping(judge, START + n * MINUTE, ok=False, kind="alertmanager")]
    assert told(taken) == [("alert-firing", "alertmanager nightly", "out_of_spec")]
    last = START + 59 * MINUTE
    assert ticks(judge, last, last + 30 * MINUTE) == []
    ended = ticks(judge, last + 30 * MINUTE, last + 33 * MINUTE)
    assert told(ended) == [("alert-firing", "alertmanager nightly", "in_spec")]
    assert "no longer reported" in ended[0].reason


def test_an_alert_that_is_resolved_ends() -> None:
    judge = judge_of(asset())
    ping(judge, START, ok=False, kind="alert")
    assert told(ping(judge, START + MINUTE, kind="alert")) == [("alert-notified", "alert nightly", "in_spec")]
