"""Findings in the database: applied once, their history, lists, counts, overrides, the gate."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from estate_factories import EVERYTHING, START, make_asset, make_client, make_site, scope_for
from forestall.estate.models import Asset
from forestall.findings import actions, queries
from forestall.findings.models import Finding, Override, Step
from forestall.journal.models import Entry
from forestall.judge.values import State
from forestall.kernel.errors import Trouble
from road_factories import transition

pytestmark = pytest.mark.django_db

LATER = START + timedelta(minutes=5)


def test_a_finding_opens_changes_and_ends_with_the_journal_beside_it():
    asset = make_asset()
    opened = actions.apply([transition(asset, State.DRIFTING, tells=False)], now=START)
    changed = actions.apply([transition(asset, State.BREAKING, at=LATER, began=START)], now=LATER)
    ended = actions.apply([transition(asset, State.IN_SPEC, at=LATER, began=START, reason="ok")], now=LATER)
    assert (len(opened.opened), len(changed.changed), len(ended.ended)) == (1, 1, 1)
    finding = Finding.objects.get()
    assert (finding.worst, finding.ended_at, finding.recovery) == ("breaking", LATER, "ok")
    assert list(Entry.objects.order_by("seq").values_list("kind", flat=True)) == [
        "finding.opened",
        "finding.changed",
        "finding.ended",
    ]
    steps = queries.history(EVERYTHING, finding.pk)
    assert [step.state for step in steps] == ["drifting", "breaking", "in_spec"]


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_replay_after_a_crash_anywhere_gives_the_same_rows(cut):
    asset = make_asset()
    story = [
        transition(asset, State.OUT_OF_SPEC),
        transition(asset, State.IN_SPEC, at=LATER, began=START),
        transition(asset, State.BREAKING, at=LATER, began=LATER),
    ]
    actions.apply(story[:cut], now=LATER)
    actions.apply(story, now=LATER)
    actions.apply(story, now=LATER)
    assert Finding.objects.count() == 2
    assert Step.objects.count() == Entry.objects.count() == 3
    assert Finding.objects.get(ended_at=None).state == "breaking"


def test_late_data_may_end_what_silence_began():
    asset = make_asset()
    actions.apply([transition(asset, State.SILENT, at=LATER, began=START)], now=LATER)
    ended = actions.apply([transition(asset, State.IN_SPEC, at=START, began=START)], now=LATER)
    assert len(ended.ended) == 1
    assert Finding.objects.get().ended_at >= Finding.objects.get().began_at


def test_transitions_of_what_is_gone_or_of_another_client_are_left_out():
    asset, stranger = make_asset(), make_client()
    wrong = replace(transition(asset), client=stranger.pk)
    gone = make_asset(archived_at=START)
    applied = actions.apply([wrong, transition(gone)], now=START)
    assert (applied.skipped, Finding.objects.count()) == (2, 0)


def test_what_a_database_or_json_cannot_hold_is_made_harmless():
    asset = make_asset()
    odd = transition(asset, reason="a\x00b\ud800c" + "x" * 9000, numbers={"v": float("nan")})
    finding = actions.apply([odd], now=START).opened[0]
    assert "\x00" not in finding.reason
    assert len(finding.reason) <= actions.REASON_MAX_CHARS
    entry = json.loads(bytes(Entry.objects.get().body))
    assert entry["body"]["numbers"] == {"v": None}


def test_the_database_itself_refuses_a_second_open_finding_of_a_place():
    asset = make_asset()
    finding = actions.apply([transition(asset)], now=START).opened[0]
    finding.pk, finding.began_at = "0000000000001", LATER
    with pytest.raises(IntegrityError), transaction.atomic():
        finding.save(force_insert=True)


def test_findings_of_an_archived_asset_end():
    asset = make_asset(name="old")
    actions.apply([transition(asset)], now=START)
    Asset.objects.filter(pk=asset.pk).update(archived_at=LATER)
    assert len(actions.end_of_archived(now=LATER)) == 1
    assert Finding.objects.get().recovery == "old was archived."
    assert actions.end_of_archived(now=LATER) == []


def test_the_list_is_worst_first_and_pages_without_gaps():
    states = [State.DRIFTING, State.SILENT, State.OUT_OF_SPEC, State.BREAKING]
    client = make_client()
    for n in range(23):
        at = START + timedelta(seconds=n // 8)
        actions.apply([transition(make_asset(client), states[n % 4], at=at)], now=START)
    seen, after = [], None
    while True:
        page = queries.list_open(EVERYTHING, after=after, most=5)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert len({finding.pk for finding in seen}) == 23
    assert [f.concern for f in seen] == sorted((f.concern for f in seen), reverse=True)
    assert len(queries.list_open(EVERYTHING, states=["breaking"]).items) == 5
    counts = queries.count_open(EVERYTHING)
    assert counts.total["breaking"] == counts.per_client[client.pk]["breaking"] == 5
    with pytest.raises(Trouble):
        queries.list_open(EVERYTHING, after="x")


def test_what_was_prevented_is_what_drifted_and_went_no_further():
    drifted, broke = make_asset(), make_asset()
    actions.apply([transition(a, State.DRIFTING, tells=False) for a in (drifted, broke)], now=START)
    actions.apply([transition(broke, State.BREAKING, at=LATER, began=START)], now=LATER)
    actions.apply([transition(a, State.IN_SPEC, at=LATER, began=START) for a in (drifted, broke)], now=LATER)
    span = {"since": START, "until": LATER + timedelta(hours=1)}
    found = queries.prevented(EVERYTHING, **span)
    assert queries.count_prevented(EVERYTHING, **span) == len(found)
    assert [finding.asset_id for finding in found] == [drifted.pk]


def test_no_client_sees_the_findings_of_another():
    mine, theirs = make_asset(), make_asset()
    actions.apply([transition(mine), transition(theirs)], now=START)
    scope = scope_for(mine.client)
    assert [f.asset_id for f in queries.list_open(scope).items] == [mine.pk]
    assert queries.of_asset(scope, theirs.pk) == []
    assert theirs.client_id not in queries.count_open(scope).per_client
    with pytest.raises(Finding.DoesNotExist):
        queries.get(scope, Finding.objects.get(asset=theirs).pk)
    assert queries.worst_states(scope, [mine.pk, theirs.pk]) == {mine.pk: "breaking"}


def test_overrides_stand_at_client_site_or_asset_and_only_there():
    client = make_client()
    site = make_site(client)
    inside, outside, other = make_asset(client, site=site), make_asset(client), make_asset()
    place = {"client": client.pk, "because": "known", "now": START}
    actions.override_rule(EVERYTHING, "disk-full", settings={"breaking": {"above": "97%"}}, **place)
    actions.override_rule(EVERYTHING, "disk-full", settings={"off": True}, site=site.pk, **place)
    actions.override_rule(EVERYTHING, "load", settings={"off": True}, asset=outside.pk, **place)
    again = actions.override_rule(EVERYTHING, "load", settings={"off": False}, asset=outside.pk, **place)
    loaded = queries.load_overrides(EVERYTHING)
    assert [o.place for o in loaded[inside.pk]] == ["client", "site"]
    assert [(o.rule, o.place, o.settings) for o in loaded[outside.pk]][1] == ("load", "asset", {"off": False})
    assert other.pk not in loaded
    actions.remove_override(EVERYTHING, again.pk, now=START)
    assert len(queries.load_overrides(EVERYTHING)[outside.pk]) == 1
    assert Entry.objects.filter(kind="spec.overridden").count() == 5


def test_an_override_needs_a_reason_and_a_place_that_one_sees():
    asset = make_asset()
    given = {"client": asset.client_id, "settings": {"off": True}, "now": START}
    with pytest.raises(Trouble, match="reason"):
        actions.override_rule(EVERYTHING, "x", because=" ", **given)
    with pytest.raises(Asset.DoesNotExist):
        actions.override_rule(scope_for(make_client()), "x", because="b", **given)
    with pytest.raises(Asset.DoesNotExist):
        actions.override_rule(EVERYTHING, "x", because="b", asset=make_asset().pk, **given)
    assert not Override.objects.exists()
