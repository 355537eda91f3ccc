"""Versions and changes of configurations: history is never rewritten, whatever comes late or twice."""

import hashlib
import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.configs import queries
from forestall.configs.actions import Stored, store_snapshot, text_of
from forestall.configs.models import Change, Content, Refusal, Version
from forestall.configs.packing import RUN
from forestall.configs.texts import read_texts
from forestall.estate.models import Asset
from forestall.estate.tenancy import NOBODY
from forestall.journal.models import Entry
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import Snapshot

pytestmark = pytest.mark.django_db
LATER = START + timedelta(days=30)


def at_minute(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def capture(asset: Asset, text: str, *, minute: int = 0, now: datetime = LATER, **fields: object) -> Stored:
    snapshot = Snapshot(to_ms(at_minute(minute)), "sshd_config", text, **fields)  # type: ignore[arg-type]
    return store_snapshot(asset.client_id, asset.pk, snapshot, now=now)


def test_a_first_version_the_same_again_and_a_change() -> None:
    asset = make_asset()
    first = capture(asset, "Port 22\nPermitRootLogin no\n")
    assert first.version is not None and first.version.number == 1 and first.change is None
    again = capture(asset, "Port 22\nPermitRootLogin no\n", minute=10)
    assert again.version == first.version and again.change is None
    second = capture(asset, "Port 22\nPermitRootLogin yes\n", minute=20, signed_in=["ada", "bob"])
    change = second.change
    assert change is not None and second.version is not None and second.version.number == 2
    assert change.summary == "PermitRootLogin no → yes" and (change.added, change.removed) == (1, 1)
    assert (change.after_at, change.at) == (at_minute(10), at_minute(20)), "between which captures"
    assert change.signed_in == ["ada", "bob"]
    entry = Entry.objects.get(kind="change.seen")
    assert entry.subject == asset.pk and entry.client == asset.client_id
    kinds = [(row.kind, row.old, row.new, row.text) for row in queries.difference(EVERYTHING, change)]
    assert kinds == [
        ("=", 1, 1, "Port 22"),
        ("-", 2, None, "PermitRootLogin no"),
        ("+", None, 2, "PermitRootLogin yes"),
    ]


def test_what_was_refused_is_shown_and_never_a_version() -> None:
    asset = make_asset()
    stored = capture(asset, "", problem="the file is larger than 4 MB")
    assert stored.version is None and stored.refusal is not None
    capture(asset, "half", minute=1, problem="cut short")
    assert [row.problem for row in queries.list_refusals(EVERYTHING, asset=asset.pk)] == ["cut short"]
    assert not Version.objects.exists()
    capture(asset, "whole", minute=2)
    assert not Refusal.objects.exists(), "a whole capture ends it"


def test_a_clock_that_is_ahead_does_not_reach_into_the_future() -> None:
    asset = make_asset()
    stored = capture(asset, "a", minute=60, now=START)
    assert stored.version is not None and stored.version.captured_at == START


captures = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["a\n", "a\nb\n", "b\n", "", "ä ☃\n", "a\r\nb"]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captures)
def test_history_holds_together_in_any_order(order: list[tuple[int, str, bool]]) -> None:
    asset = make_asset()
    newest: tuple[int, str] | None = None
    for minute, text, broken in order:
        before = list(Version.objects.filter(asset=asset).order_by("number").values_list("pk", "content"))
        capture(asset, text, minute=minute, problem="cut short" if broken else "")
        after = list(Version.objects.filter(asset=asset).order_by("number").values_list("pk", "content"))
        assert after[: len(before)] == before, "what was a version stays one"
        if not broken and (newest is None or minute > newest[0]):
            newest = (minute, text)
    versions = list(Version.objects.filter(asset=asset).order_by("number"))
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    if newest is not None:
        assert text_of(versions[-1]) == newest[1]
    for one, next_one in pairwise(versions):
        assert one.captured_at <= one.seen_at < next_one.captured_at
        assert text_of(one) != text_of(next_one)
        change = Change.objects.get(before=one, after=next_one)
        assert (change.after_at, change.at) == (one.seen_at, next_one.captured_at)
    assert Change.objects.filter(asset=asset).count() == max(0, len(versions) - 1)
    for version in versions:
        digest = hashlib.sha256(text_of(version).encode()).hexdigest()
        assert bytes(version.content.digest).hex() == digest
    entries = Entry.objects.filter(subject=asset.pk).count()
    for minute, text, broken in order:
        capture(asset, text, minute=minute, problem="cut short" if broken else "")
    assert Version.objects.filter(asset=asset).count() == len(versions), "the same again changes nothing"
    assert Entry.objects.filter(subject=asset.pk).count() == entries


def test_many_versions_of_a_long_text_take_little_and_are_read_back() -> None:
    asset = make_asset()
    rng = random.Random(1)
    lines = [f"package-{number} {rng.random():.6f}" for number in range(3000)]
    texts = []
    for minute in range(RUN + 8):
        lines[rng.randrange(len(lines))] = f"package changed {minute}"
        texts.append("\n".join(lines))
        capture(asset, texts[-1], minute=minute)
    versions = list(Version.objects.filter(asset=asset).select_related("content").order_by("number"))
    assert [text_of(version) for version in versions] == texts
    contents = Content.objects.all()
    assert max(content.place for content in contents) == RUN - 1
    stored = sum(len(bytes(content.compressed)) for content in contents)
    assert stored < sum(len(text) for text in texts) / 20


def test_texts_that_have_little_in_common_and_empty_ones_are_read_back() -> None:
    asset, rng = make_asset(), random.Random(2)
    texts: list[str] = []
    for minute in range(RUN + 8):
        size = rng.choice([0, 1, 200, 2000])
        text = "".join(rng.choices("abcé\n", k=size)) if rng.random() < 0.5 or not texts else texts[-1] + "x"
        if not texts or text != texts[-1]:
            texts.append(text)
            capture(asset, text, minute=minute)
    versions = Version.objects.filter(asset=asset).select_related("content").order_by("number")
    assert [text_of(version) for version in versions] == texts
    assert dict(read_texts([version.content_id for version in versions])) == {
        version.content_id: text.encode() for version, text in zip(versions, texts, strict=True)
    }


def test_equal_texts_are_kept_once_a_client_and_never_shared_between_clients() -> None:
    one = make_asset()
    two, other = make_asset(one.client), make_asset()
    for asset in (one, two, other):
        capture(asset, "the same\n")
    assert Content.objects.count() == 2


def test_reads_are_scoped_and_paged() -> None:
    asset, other = make_asset(), make_asset()
    for minute in range(5):
        capture(asset, f"line {minute}\n", minute=minute)
        capture(other, f"line {minute}\n", minute=minute)
    mine = scope_for(asset.client)
    version = Version.objects.filter(asset=other).first()
    change = Change.objects.filter(asset=other).first()
    assert version is not None and change is not None
    assert queries.find_version(mine, version.pk) is None and queries.read_text(mine, version.pk) is None
    assert queries.find_change(mine, change.pk) is None and queries.difference(mine, change) == []
    assert queries.compare(mine, version.pk) is None
    assert queries.list_versions(mine, asset=other.pk) == [] == queries.list_versions(NOBODY)
    assert {row.asset_id for row in queries.list_changes(mine)} == {asset.pk}
    page = queries.list_changes(mine, limit=3)
    rest = queries.list_changes(mine, after=(page[-1].at, page[-1].pk))
    assert [row.after.number for row in [*page, *rest]] == [5, 4, 3, 2]
    first = queries.list_versions(mine, limit=2)
    assert [row.number for row in first] == [5, 4]
    last = first[-1]
    others = queries.list_versions(mine, after=(last.captured_at, last.pk))
    assert [row.number for row in others] == [3, 2, 1]
    assert [row.number for row in queries.latest_versions(mine, asset=asset.pk)] == [5]


def test_which_version_was_in_force_and_how_two_differ() -> None:
    asset = make_asset()
    for minute, text in ((0, "a\n"), (10, "b\n"), (20, "c\n")):
        capture(asset, text, minute=minute)
    scope = scope_for(asset.client)
    found = queries.version_at(scope, asset=asset.pk, kind="sshd_config", at=at_minute(15))
    assert found is not None and found.number == 2
    early = queries.version_at(scope, asset=asset.pk, kind="sshd_config", at=START - timedelta(hours=1))
    assert early is None
    first, _, last = Version.objects.filter(asset=asset).order_by("number")
    both = queries.compare(scope, last.pk, other=first.pk)
    assert both is not None and [(row.kind, row.text) for row in both.rows] == [("-", "a"), ("+", "c")]
    alone = queries.compare(scope, first.pk)
    assert alone is not None and [(row.kind, row.text) for row in alone.rows] == [("+", "a")]
    elsewhere = make_asset(asset.client)
    stranger = capture(elsewhere, "a\n").version
    assert stranger is not None
    across = queries.compare(scope, last.pk, other=stranger.pk)
    assert across is not None and across.before == stranger
    assert queries.compare(scope_for(make_client()), last.pk, other=stranger.pk) is None
    foreign = capture(make_asset(), "a\n").version
    assert foreign is not None and queries.compare(scope, last.pk, other=foreign.pk) is None
