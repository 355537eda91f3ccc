"""Every mistake in a pack is answered with file, line and what to write instead."""

import pytest
from judge_world import BOOK, book_of

from forestall.judge.check import check_pack
from forestall.judge.overrides import check_override, decide_override, resolve
from forestall.judge.pack import PackMistakes, load_packs, pack_version
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import RuleOverride, State
from forestall.kernel.errors import Trouble

GOOD = """pack: mine
for: [server]
rules:
  - name: full
    look_at: disk.used_ratio
    out_of_spec: {above: 90%, for: 5 min}
    why: It fills up.
    first: Look.
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def more(line: str) -> str:
    return changed("    first: Look.", f"    first: Look.\n    {line}")


CASES = [
    (changed("look_at: disk", "lookat: disk"), 4, "looks at nothing", "Keep exactly one"),
    (changed("disk.used_ratio", "disk.used_ration"), 5, "no metric `disk.used_ration`", "disk.used_ratio"),
    (changed("above: 90%", "above: 90"), 6, "more than the whole: is 90% meant", "unit"),
    (changed("above: 90%", "above: 5 GB"), 6, "does not fit", "unit"),
    (changed("above: 90%", "over: 90%"), 6, "no `over`", "above"),
    (changed("for: 5 min", "for: 5"), 6, "no unit of time", "10 min"),
    (changed("    why: It fills up.\n", ""), 4, "no `why`", "Add `why:`"),
    (changed("    first: Look.\n", ""), 4, "no `first`", "Add `first:`"),
    (changed("for: [server]", "for: [servers]"), 2, "`servers` is no kind", "server"),
    (changed("pack: mine\n", ""), 1, "no name", "pack: "),
    (changed("pack: mine", "pakc: mine\npack: mine"), 1, "no `pakc`", "pack"),
    (more("breaking: {above: 85%}"), 9, "more easily than", "above"),
    (more("breaking: {above: 90%}"), 9, "as easily as", "above"),
    (more("breaking: {below: 95%}"), 4, "different ways", "one of"),
    (more("back: -1%"), 9, "cannot be negative", "2%"),
    (more("full_within: {drifting: 60 days}"), 9, "28 days", "less"),
    (more("cause: magic"), 9, "cannot be 'magic'", "reachability"),
    (more("first: Twice."), 9, "stands here twice", "Keep one"),
    (GOOD + "\t- x", 9, "not YAML", "indentation"),
    (changed("look_at: disk.used_ratio", "log: {matches: '('}"), 5, "no regular expression", "words"),
    ("", 1, "empty", "Begin with"),
    ("[]", 1, "a pack is a table", "Begin with"),
    ("a: &x 1\nb: *x\n", 2, "aliases", "in full"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "what", "instead"), CASES)
def test_a_mistake_has_its_line_and_a_remedy(text: str, line: int, what: str, instead: str) -> None:
    mistakes = check_pack("mine.yaml", text).mistakes
    found = [one for one in mistakes if what in one.mistake]
    assert found, [str(one) for one in mistakes]
    assert (found[0].file, found[0].line) == ("mine.yaml", line)
    assert instead in found[0].write_instead
    assert str(found[0]).startswith(f"mine.yaml:{line}: ")


def test_several_mistakes_are_told_together() -> None:
    text = changed("above: 90%", "above: lots").replace("why: It fills up.", "because: It fills up.")
    with pytest.raises(PackMistakes) as caught:
        load_packs({"a.yaml": text, "b.yaml": "pack: [x]"})
    assert len(caught.value.mistakes) >= 4
    assert {one.file for one in caught.value.mistakes} == {"a.yaml", "b.yaml"}


def test_two_packs_may_not_have_one_rule_for_one_kind() -> None:
    with pytest.raises(PackMistakes, match="has a rule full for server too"):
        load_packs({"a.yaml": GOOD, "b.yaml": GOOD.replace("mine", "yours")})


def test_a_good_pack_is_summarised_in_words() -> None:
    checked = check_pack("mine.yaml", GOOD)
    assert not checked.mistakes
    assert "out of spec when disk.used_ratio is above 90% for 5 min" in checked.summary


def test_all_packs_of_the_product_can_be_summarised() -> None:
    for file, text in builtin_packs().items():
        assert check_pack(file, text).summary.count("\n") >= 1


def test_a_version_is_the_hash_of_the_text() -> None:
    assert pack_version(GOOD) == pack_version(GOOD) != pack_version(GOOD + "\n")
    assert {pack.version for pack in BOOK.packs} == {pack_version(text) for text in BOOK.texts.values()}


def rule():  # type: ignore[no-untyped-def]
    return BOOK.rules_for("server")["disk-full"]


def test_an_override_changes_only_what_it_names() -> None:
    made = decide_override(rule(), {"out_of_spec": {"above": "95%"}, "except": ["/srv"]})
    level = made.level(State.OUT_OF_SPEC)
    assert level is not None and level.limit == 0.95 and level.for_ms == 300_000
    assert not made.covers("/srv") and not made.covers("/snap/x") and made.covers("/var")


def test_an_override_can_remove_a_state_or_the_rule() -> None:
    assert decide_override(rule(), {"breaking": None}).level(State.BREAKING) is None
    assert decide_override(rule(), {"off": True}).off


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"out_of_spec": {"above": "99%"}}, "more easily than"),
        ({"look_at": "cpu.used_ratio"}, "cannot be overridden"),
        ({"out_of_spec": {"above": "5 GB"}}, "does not fit"),
        ({"off": "maybe"}, "yes or no"),
    ],
)
def test_a_contradictory_override_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(Trouble, match=said):
        check_override(BOOK, "disk-full", settings)


def test_an_override_of_an_unknown_rule_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(Trouble, match="Write `disk-full`"):
        check_override(BOOK, "disk-ful", {})


def test_the_narrowest_override_wins_key_by_key() -> None:
    troubles: list[str] = []
    made = resolve(
        rule(),
        [
            RuleOverride(rule="disk-full", place="asset", settings={"out_of_spec": {"above": "94%"}}),
            RuleOverride(
                rule="disk-full", place="client", settings={"out_of_spec": {"above": "96%", "for": "1 h"}}
            ),
        ],
        troubles,
    )
    level = made.level(State.OUT_OF_SPEC)
    assert level is not None and (level.limit, level.for_ms) == (0.94, 3_600_000) and not troubles


def test_an_override_that_no_longer_fits_is_left_out_and_noted() -> None:
    troubles: list[str] = []
    bad = RuleOverride(rule="disk-full", place="site", settings={"gone": 1})
    assert resolve(rule(), [bad], troubles) == rule() and "at this site is left out" in troubles[0]


def test_a_rule_with_a_forecast_alone_is_a_rule() -> None:
    book = book_of(
        "  - {name: a, look_at: disk.used_ratio, full_within: {drifting: 5 days}, why: W., first: F.}\n"
    )
    assert book.packs[0].rules[0].forecasts
