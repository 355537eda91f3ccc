"""When each copy is pruned if things go on as now."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.judge.backups import Keep
from forestall.judge.backups.retention import days_until_each_is_pruned, days_until_gone, kept

DAY_MS = 86_400_000
NOW_MS = 1_795_000_000_000 // DAY_MS * DAY_MS + DAY_MS // 2


def nights(*ago: int) -> list[int]:
    return [NOW_MS - days * DAY_MS for days in ago]


def pruned(keep: Keep, made: list[int], *, goes_on: bool = True, **more: str) -> list[float | None]:
    return days_until_each_is_pruned(
        keep, made, every_ms=DAY_MS, goes_on=goes_on, tool=more.pop("tool", "restic"), zone="UTC",
        now_ms=NOW_MS, **more,
    )  # fmt: skip


def test_seven_nights_go_one_after_the_other() -> None:
    assert pruned(Keep(daily=7), nights(*range(9))) == [7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_without_new_copies_a_count_prunes_nothing_and_a_span_from_now_does() -> None:
    assert pruned(Keep(daily=7), nights(3, 4), goes_on=False) == [None, None]
    assert pruned(Keep(within="10d"), nights(3, 4), goes_on=False, tool="borg") == [7, 6]


def test_without_rules_nothing_is_pruned() -> None:
    assert pruned(Keep(), nights(0, 400)) == [None, None]


def test_newer_restic_keeps_the_oldest_where_a_rule_is_not_filled() -> None:
    made = nights(0, 40)
    keep = Keep(last=1, yearly=5)
    assert kept(keep, made, tool="restic", zone="UTC", now_ms=NOW_MS) == [True, False]
    for version, stays in (("0.14.0", False), ("0.16.4", True), ("0.18.0", True)):
        found = kept(keep, made, tool="restic", zone="UTC", now_ms=NOW_MS, version=version)
        assert found == [True, stays]


@given(
    ago=st.lists(st.integers(0, 90), min_size=1, max_size=12, unique=True),
    keep=st.builds(Keep, last=st.integers(0, 5), daily=st.integers(0, 9), weekly=st.integers(0, 5)),
    tool=st.sampled_from(["restic", "borg"]),
    version=st.sampled_from(["0.14.0", "0.18.0"]),
)
def test_the_last_of_them_goes_when_none_is_left(ago: list[int], keep: Keep, tool: str, version: str) -> None:
    made = nights(*ago)
    each = pruned(keep, made, tool=tool, version=version)
    gone, _ = days_until_gone(
        keep, good_ms=made, bad_ms=[], every_ms=DAY_MS, goes_on=True, tool=tool, zone="UTC", now_ms=NOW_MS,
        version=version,
    )  # fmt: skip
    last = None if None in each else max(one for one in each if one is not None)
    assert last == gone
