"""Findings of backup plans through time: they open, worsen, end, outlive a restart; rules are read and
overridden."""

from dataclasses import replace
from typing import Any

import pytest
from backup_world import HOUR, RULES, World
from judge_world import BOOK, asset

from forestall.judge.backups.checks import CHECKS, EXPLAINS
from forestall.judge.check import check_pack
from forestall.judge.judge import Judge
from forestall.judge.marked import PackMistakes
from forestall.judge.overrides import check_override
from forestall.judge.values import RuleOverride, State, Transition
from forestall.kernel.backups import SourceSeen

EMPTY = {"sources": [SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 0, 0)], "files": 0, "size": 0}


def judge_of(world: World, **given: Any) -> Judge:
    judge = Judge(BOOK)
    judge.set_estate([asset(**given)], now_ms=world.now_ms)
    return judge


def observe(judge: Judge, world: World, *, after_ms: int = 0) -> list[Transition]:
    taken, verdict = judge.observe_plan(world.plan, world.history(), now_ms=world.now_ms + after_ms)
    assert verdict is not None
    return taken


def world(nights: int = 20) -> World:
    made = World(natural=False).nights(nights)
    made.plan = replace(made.plan, sources=("/srv/data",))
    return made


def test_a_finding_opens_once_and_ends_with_the_next_good_run() -> None:
    made = world()
    judge = judge_of(made)
    assert observe(judge, made) == []
    made.night(**EMPTY)
    (opened,) = observe(judge, made)
    assert (opened.rule, opened.item, opened.to, opened.tells) == (
        "backup-source-empty",
        "nightly",
        State.BREAKING,
        True,
    )
    assert opened.reason.startswith("nightly: the source /srv/data is empty") and "mount" in opened.first_step
    assert "source /srv/data: 0 files, on ext4 /dev/sda1" in opened.answer
    assert observe(judge, made) == [] and observe(judge, made, after_ms=HOUR) == []
    made.night()
    (ended,) = observe(judge, made)
    assert (ended.was, ended.to, ended.tells) == (State.BREAKING, State.IN_SPEC, True)
    assert ended.began_at_ms == opened.began_at_ms and "from the expected sources" in ended.reason
    assert ended.reason.endswith("after 31 h 58 min")
    assert judge.open == {}


def test_a_silence_worsens() -> None:
    made = world()
    judge = judge_of(made)
    made.plan = replace(made.plan, cadences=())
    (silent,) = observe(judge, made, after_ms=30 * HOUR)
    assert (silent.rule, silent.to) == ("backup-overdue", State.SILENT)
    worse = [one for one in observe(judge, made, after_ms=80 * HOUR) if one.rule == "backup-overdue"]
    assert [(one.was, one.to) for one in worse] == [(State.SILENT, State.BREAKING)]
    assert worse[0].began_at_ms == silent.began_at_ms


def test_the_silence_of_the_collector_explains_and_then_no_longer() -> None:
    made = world()
    made.plan = replace(made.plan, by=9, cadences=())
    judge = judge_of(made)
    judge.set_estate([asset(), asset(9)], now_ms=made.now_ms)
    judge.observe_heard(9, at_ms=made.now_ms)
    (explained,) = observe(judge, made, after_ms=30 * HOUR)
    assert (explained.to, explained.cause, explained.tells) == (State.SILENT, "collector", False)
    assert "the collector srv1 that watches it is silent since" in explained.reason
    later = made.plan, made.history()
    other = judge_of(made)
    other.set_estate([asset(), asset(9)], now_ms=made.now_ms)
    other.observe_heard(9, at_ms=made.now_ms)
    taken, _ = other.observe_plan(*later, now_ms=made.now_ms + 90 * HOUR)
    (breaking,) = [one for one in taken if one.tells]
    assert (breaking.to, breaking.tells) == (State.BREAKING, True) and "is silent since" in breaking.reason
    judge.observe_heard(9, at_ms=made.now_ms + 31 * HOUR)
    (told,) = observe(judge, made, after_ms=31 * HOUR)
    assert (told.was, told.to, told.cause, told.tells) == (State.SILENT, State.SILENT, "", True)


def test_what_is_held_outlives_a_restart() -> None:
    made = world()
    judge = judge_of(made)
    made.night(**EMPTY)
    (opened,) = observe(judge, made)
    again = judge_of(made)
    assert again.restore(judge.save(), now_ms=made.now_ms) == []
    assert again.open == {opened.place: opened} and observe(again, made) == []
    made.night()
    (ended,) = observe(again, made)
    assert ended.to is State.IN_SPEC and ended.began_at_ms == opened.began_at_ms


def test_a_plan_that_is_gone_ends_what_stands_open() -> None:
    made = world()
    judge = judge_of(made)
    made.night(**EMPTY)
    observe(judge, made)
    assert judge.plans.names() == {(5, "nightly")}
    (ended,) = judge.forget_plan(5, "nightly", now_ms=made.now_ms)
    assert ended.to is State.IN_SPEC and "the plan nightly is no longer watched" in ended.reason
    assert judge.open == {} and judge.plans.names() == set()


def test_an_asset_that_is_gone_ends_what_stands_open() -> None:
    made = world()
    judge = judge_of(made)
    made.night(**EMPTY)
    observe(judge, made)
    (ended,) = judge.set_estate([], now_ms=made.now_ms)
    assert ended.to is State.IN_SPEC
    assert judge.observe_plan(made.plan, made.history(), now_ms=made.now_ms) == ([], None)


def test_what_goes_on_for_longer_than_the_history_reaches_stays_open() -> None:
    made = world()
    judge = judge_of(made)
    made.night(**EMPTY)
    observe(judge, made)
    made.nights(5, **EMPTY)
    made.runs = made.runs[-4:]  # only empty ones are left, none that says what is usual
    assert observe(judge, made) == []
    made.night(files=3000, size=1e9, sources=[SourceSeen("/srv/data", True, "ext4 /dev/sda1", False, 12, 5)])
    assert not any(one.rule == "backup-source-empty" for one in observe(judge, made))
    made.night()
    assert {one.to for one in observe(judge, made)} == {State.IN_SPEC}


def test_an_encryption_stays_until_a_person_says_otherwise() -> None:
    made = world()
    judge = judge_of(made)
    made.night(added=40_000_000_000, files_changed=11_900, entropy=7.99)
    (opened,) = observe(judge, made)
    made.nights(20)
    made.runs, made.looks = made.runs[-5:], made.looks[-5:]
    assert observe(judge, made) == [] and opened.place in judge.open
    made.plan = replace(made.plan, accepted_ms=made.now_ms)
    (ended,) = observe(judge, made)
    assert ended.to is State.IN_SPEC


# The rules


def test_a_client_may_have_other_thresholds() -> None:
    made = World(natural=False).nights(20)
    made.night(files=4000, size=38e9 // 1, manifest=None)
    (standard,) = observe(judge_of(made), made)
    assert standard.rule == "backup-shrunk" and standard.to is State.OUT_OF_SPEC
    wider = RuleOverride(rule="backup-shrunk", place="client", settings={"out_of_spec": {"share": "20%"}})
    assert observe(judge_of(made, overrides=(wider,)), made) == []
    off = RuleOverride(rule="backup-shrunk", place="asset", settings={"off": True})
    assert observe(judge_of(made, overrides=(off,)), made) == []
    not_this = RuleOverride(rule="backup-shrunk", place="asset", settings={"except": ["night*"]})
    assert observe(judge_of(made, overrides=(not_this,)), made) == []


MISTAKES = [
    (
        "backup: source-missin\n    breaking: {}",
        5,
        "no check of backups `source-missin`",
        "Write `source-missing`",
    ),
    ("backup: shrunk\n    breaking: {shar: 10%}", 6, "this check has no `shar`", "Write `share`"),
    ("backup: shrunk\n    breaking: {share: 10 GB}", 6, "`share` '10 GB' does not fit", "Write `share: 10%`"),
    ("backup: shrunk\n    breaking: {share: 150%}", 6, "not between 0% and 100%", "share: 10%"),
    (
        "backup: lock-old\n    out_of_spec: {older: 24}",
        6,
        "`older` 24 has no unit of time",
        "Write `older: 24 h`",
    ),
    (
        "backup: run-failed\n    breaking: {intervals: often}",
        6,
        "is not a number from 0",
        "Write `intervals: 3`",
    ),
    ("backup: shrunk\n    breaking: {tells: perhaps}", 6, "`tells` is yes or no", "Write `tells: no`"),
    ("backup: shrunk\n    breaking: soon", 6, "`breaking` is a table of settings", "Write `breaking: {}`"),
    ("backup: shrunk", 5, "never says when something is wrong", "Add `drifting`"),
    (
        "backup: shrunk\n    out_of_spec: {share: 10%}\n    breaking: {share: 50%}",
        7,
        "as easily as `out_of_spec`",
        "",
    ),
    ("backup: run-warning\n    drifting: {}\n    breaking: {}", 7, "as easily as `drifting`", "It has none"),
    (
        "backup: shrunk\n    change: [x]\n    breaking: {}",
        4,
        "looks at `change` and `backup`",
        "Keep exactly one",
    ),
]


@pytest.mark.parametrize(("body", "line", "what", "instead"), MISTAKES)
def test_a_mistake_in_a_rule_says_where_and_what_instead(
    body: str, line: int, what: str, instead: str
) -> None:
    text = f"pack: t\nfor: any\nrules:\n  - name: r\n    {body}\n    why: W.\n    first: F.\n"
    (mistake,) = check_pack("t.yaml", text).mistakes
    assert mistake.line == line and what in str(mistake) and instead in str(mistake)


def test_an_override_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PackMistakes, match="has no `limit`"):
        check_override(BOOK, "backup-shrunk", {"breaking": {"limit": "5%"}})
    check_override(BOOK, "backup-overdue", {"silent": {"intervals": 2}})


def test_every_check_has_a_rule_and_every_explanation_a_check() -> None:
    assert {one.check for one in RULES} == set(CHECKS)
    assert set(EXPLAINS) <= set(CHECKS)
    assert {name for names in EXPLAINS.values() for name in names} <= set(CHECKS)
