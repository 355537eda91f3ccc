"""Every rule of the packs that come with the product fires, says why, and ends; the words are as expected."""

import pytest
from judge_world import BOOK, DAY, HOUR, MINUTE, START, asset, feed_one_by_one, judge_of, series, told

from forestall.estate.values import ASSET_KINDS
from forestall.judge.rules import KINDS, Look, Op, Pack, Rule
from forestall.judge.values import State

METRIC_RULES = [
    (pack, rule)
    for pack in BOOK.packs
    for rule in pack.rules
    if rule.look is Look.METRIC and rule.metric != "probe.up"
]


def test_the_kinds_are_those_of_the_estate() -> None:
    assert ASSET_KINDS.keys() == KINDS


def test_every_named_pack_is_there() -> None:
    names = {pack.name for pack in BOOK.packs}
    assert names >= {
        "linux-server", "workstation", "website", "network-device", "certificate", "domain", "ups", "printer",
        "forestall-itself",
    }  # fmt: skip


def test_every_rule_says_why_in_a_sentence_and_what_to_do() -> None:
    for pack in BOOK.packs:
        for rule in pack.rules:
            assert rule.why.endswith(".") and rule.first.endswith("."), rule.name
            drifting = rule.level(State.DRIFTING)
            assert drifting is None or not drifting.tells, rule.name


def an_item(rule: Rule) -> str:
    glob = rule.items[0]
    return {"*": "/data" if rule.metric.startswith(("disk", "inodes")) else "x"}.get(
        glob, glob.replace("*", "1")
    )


@pytest.mark.parametrize(("pack", "rule"), METRIC_RULES, ids=lambda one: getattr(one, "name", ""))
def test_a_rule_reaches_its_worst_state_and_ends(pack: Pack, rule: Rule) -> None:
    judge = judge_of(asset(kind=sorted(pack.kinds)[0]))
    worst = [level for level in rule.levels if level.has_limit][-1]
    every = max(worst.for_ms // 10, MINUTE)
    step = max(abs(worst.limit) * 0.01, 0.001)
    match rule.op:
        case Op.ABOVE:
            bad, good = [worst.limit + step] * 13, rule.levels[0].limit - rule.back - step
        case Op.BELOW:
            bad, good = [worst.limit - step] * 13, rule.levels[0].limit + rule.back + step
        case Op.EQUALS:
            bad, good = [worst.limit] * 13, 1 - worst.limit
        case _:
            bad, good = [0.0, worst.limit], worst.limit
    calm = [good] * (rule.back_ms // every + 3)
    taken = feed_one_by_one(judge, series(rule.metric, [*bad, *calm], item=an_item(rule), every=every))
    taken = [one for one in taken if one.rule == rule.name]
    assert worst.state in {one.to for one in taken}
    assert taken[-1].to is State.IN_SPEC
    assert all(one.reason and one.why and one.first_step and one.pack == pack.name for one in taken)
    states = [one.to.concern for one in taken[:-1]]
    assert states == sorted(states)


GOLDEN = [
    (
        series("disk.used_ratio", [0.5, *[0.934] * 7, *[0.8] * 8], item="/var"),
        [
            (6, "out_of_spec", "/var is 93.4% full (limit 92%) for 5 min"),
            (13, "in_spec", "/var is back at 80% (limit 85%) after 12 min"),
        ],
    ),
    (series("disk.used_ratio", [1.0] * 60, item="/snap/core/1"), []),
    (series("cpu.used_ratio", [0.2, *[1.0] * 20, 0.2]), []),
    (
        series("memory.used_ratio", [0.99] * 20),
        [(15, "out_of_spec", "memory is 99% used (limit 97%) for 15 min")],
    ),
    (
        series("service.failed", [1, 1, 1, 0], item="nginx.service"),
        [
            (2, "out_of_spec", "the service nginx.service has failed for 2 min"),
            (3, "in_spec", "nginx.service is as it should be again after 3 min"),
        ],
    ),
    (
        series("certificate.days_left", [30, 20.6, 6.5, -0.5, 90], item="web:443", every=HOUR),
        [
            (60, "drifting", "the certificate of web:443 runs out in 20 days (limit 21 days)"),
            (120, "out_of_spec", "the certificate of web:443 runs out in 6 days (limit 7 days)"),
            (180, "breaking", "the certificate of web:443 ran out 12 h ago (limit 0 days)"),
            (240, "in_spec", "web:443 is back at 90 days (limit 21 days) after 3 h"),
        ],
    ),
    (
        series("oom.kills_count", [0, 0, 1, *[0] * 125]),
        [
            (2, "out_of_spec", "out of memory, the kernel killed processes (1 since the last look)"),
            (123, "in_spec", "oom kills is back at 0 (limit 0) after 2 h 1 min"),
        ],
    ),
    (
        series("updates.reboot_required", [1] * 6, every=6 * HOUR),
        [(1440, "drifting", "a reboot is required to finish updates for 24 h")],
    ),
    (
        series("time.offset_ms", [40_000] * 17),
        [(15, "out_of_spec", "the clock is off by 40 s (limit 30 s) for 15 min")],
    ),
    (
        series("time.offset_ms", [-40_000] * 17),
        [(15, "out_of_spec", "the clock is off by 40 s (limit 30 s) for 15 min")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("points", "expected"), GOLDEN)
def test_the_words_of_a_verdict(points: list, expected: list) -> None:
    told_ones = told(feed_one_by_one(judge_of(), points))
    assert [one for one in told_ones if one[1] != "drifting" or one in expected] == expected


def test_a_counter_that_rises_says_by_how_much() -> None:
    judge = judge_of(asset(kind="forestall"))
    taken = feed_one_by_one(judge, series("forestall.udp_dropped_count", [7, 7, 19, *[19] * 65]))
    assert told(taken) == [
        (2, "drifting", "the system dropped datagrams before they could be read: 12 more than before"),
        (63, "in_spec", "it has not happened again for 60 min"),
    ]


def test_a_disk_that_fills_up_says_when_it_is_full() -> None:
    values = [0.3 + 0.5 * hour / (20 * 24) for hour in range(20 * 24)]
    taken = feed_one_by_one(judge_of(), series("disk.used_ratio", values, item="/var", every=HOUR))
    assert [one.to for one in taken] == [State.DRIFTING]
    assert "/var is " in taken[0].reason and "at this pace it is full in 14 days" in taken[0].reason
    assert taken[0].numbers["days_left"] <= 14 and not taken[0].tells
    assert taken[0].at_ms < START + 20 * DAY


def test_a_disk_with_rotated_logs_is_not_filling_up() -> None:
    values = [0.5 + 0.1 * (hour % 24) / 24 for hour in range(20 * 24)]
    assert not feed_one_by_one(judge_of(), series("disk.used_ratio", values, item="/var", every=HOUR))


def test_levels_are_in_the_order_of_concern() -> None:
    for pack in BOOK.packs:
        for rule in pack.rules:
            states = [level.state for level in rule.levels]
            assert states and states == sorted(set(states), key=lambda state: state.concern)
