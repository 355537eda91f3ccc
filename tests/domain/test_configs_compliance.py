"""Configurations are judged when they are new, when the spec changes and when a baseline is named; once."""

from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.configs.actions import drop_baseline, name_baseline, store_snapshot
from forestall.configs.models import Configuration, Content, Version
from forestall.estate.models import Asset, Tag
from forestall.findings.actions import apply, override_rule
from forestall.findings.models import Finding
from forestall.journal.models import Entry
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import State
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot
from forestall.processes.judging import load_judged_assets
from forestall.processes.judging_texts import TextsToJudge

pytestmark = pytest.mark.django_db
BOOK = load_packs(builtin_packs())
NOW = START + timedelta(days=2)
TOUCHED = NOW + timedelta(days=1)  # after every look of the watch
GOOD = "version 15.2\nip ssh version 2\nntp server a\nlogging host b\nline vty 0 4\n transport input ssh\n"
TELNET = GOOD.replace("input ssh", "input telnet")


class Watch:
    """The judge's side, without queues."""

    def __init__(self) -> None:
        self.judge = Judge(BOOK)
        self.texts = TextsToJudge(self.judge)
        self.now = NOW

    def turn(self) -> None:
        """The estate is looked at again, what is due is judged."""
        self.now += timedelta(minutes=5)
        now_ms = to_ms(self.now)
        taken = self.judge.set_estate(load_judged_assets(), now_ms=now_ms)
        self.texts.look(now_ms)
        while some := self.texts.judge_some(now_ms):
            taken += some
        apply(taken, now=self.now)


def capture(asset: Asset, text: str, *, minute: int) -> Version:
    at = NOW + timedelta(minutes=minute)
    shot = Snapshot(to_ms(at), "running", text, title="Running configuration")
    version = store_snapshot(asset.client_id, asset.pk, shot, now=TOUCHED).version
    assert version is not None
    return version


def open_rules(asset: Asset) -> dict[str, str]:
    return dict(Finding.objects.filter(asset=asset, ended_at=None).values_list("rule", "reason"))


def test_a_new_version_is_judged_and_what_the_spec_says_is_kept_with_it() -> None:
    watch, asset = Watch(), make_asset(kind="switch")
    capture(asset, TELNET, minute=0)
    watch.turn()
    (finding,) = Finding.objects.filter(asset=asset)
    assert (finding.rule, finding.item, finding.state) == ("vty-ssh-only", "running", State.DRIFTING)
    assert 'line 5 "line vty 0 4"' in finding.reason and finding.began_at == NOW and not finding.tells
    held = Configuration.objects.get(asset=asset)
    assert set(held.judged["broken"]) == {"vty-ssh-only"} and "ntp-set" in held.judged["held"]
    capture(asset, GOOD, minute=1)
    watch.turn()
    assert open_rules(asset) == {}
    assert Configuration.objects.get(asset=asset).judged["broken"] == {}


def test_nothing_is_judged_twice_and_a_restart_changes_nothing() -> None:
    watch, asset = Watch(), make_asset(kind="switch")
    capture(asset, TELNET, minute=0)
    watch.turn()
    entries = Entry.objects.count()
    watch.texts.look(to_ms(watch.now))
    assert watch.texts.judge_some(to_ms(watch.now)) == []
    again = Watch()
    again.judge.set_estate(load_judged_assets(), now_ms=to_ms(NOW))
    assert again.judge.restore(watch.judge.save(), now_ms=to_ms(NOW)) == []
    again.turn()
    fresh = Watch()
    fresh.turn()
    assert Entry.objects.count() == entries, "a judge that begins anew comes to the same"


def test_an_override_and_a_tag_count_at_once_for_what_was_captured_before() -> None:
    watch, asset = Watch(), make_asset(kind="switch")
    capture(asset, TELNET, minute=0)
    watch.turn()
    override_rule(
        EVERYTHING, "vty-ssh-only", client=asset.client_id, because="Old.", now=NOW, book=BOOK,
        settings={"off": True},
    )  # fmt: skip
    override_rule(
        EVERYTHING, "ntp-set", client=asset.client_id, asset=asset.pk, because="Theirs.", now=NOW, book=BOOK,
        settings={"value": {"of": "^ntp server (?P<value>\\S+)", "one_of": ["t.example"]}, "tags": ["pci"]},
    )  # fmt: skip
    watch.turn()
    assert open_rules(asset) == {}
    asset.tags.add(Tag.objects.create(client=asset.client, name="pci"))
    watch.turn()
    assert "a is none of t.example" in open_rules(asset)["ntp-set"]


def test_leaving_the_baseline_is_a_finding_until_it_is_back_or_a_new_one_is_named() -> None:
    watch, asset = Watch(), make_asset(kind="switch")
    first = capture(asset, GOOD, minute=0)
    name_baseline(EVERYTHING, first.pk, because="As we set it up.", now=TOUCHED)
    watch.turn()
    assert open_rules(asset) == {}
    second = capture(asset, GOOD + "hostname x\n", minute=1)
    watch.turn()
    assert open_rules(asset) == {
        "left-baseline": "Running configuration, version 2: it is no longer like its baseline, version 1: "
        "+ hostname x (+1 −0 lines)"
    }
    name_baseline(EVERYTHING, second.pk, because="Renamed on purpose.", now=TOUCHED)
    watch.turn()
    assert open_rules(asset) == {}
    capture(asset, GOOD, minute=20)
    watch.turn()
    assert set(open_rules(asset)) == {"left-baseline"}
    drop_baseline(EVERYTHING, second.pk, now=TOUCHED)
    watch.turn()
    assert open_rules(asset) == {}
    kinds = Entry.objects.filter(kind__startswith="baseline.").order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["baseline.named", "baseline.named", "baseline.dropped"]


def test_a_baseline_is_named_by_who_sees_the_client_and_says_why() -> None:
    asset, other = make_asset(), make_client()
    version = capture(asset, GOOD, minute=0)
    with pytest.raises(Version.DoesNotExist):
        name_baseline(scope_for(other), version.pk, because="Mine.", now=NOW)
    with pytest.raises(Trouble, match="needs a reason"):
        name_baseline(EVERYTHING, version.pk, because=" ", now=NOW)
    with pytest.raises(Trouble, match="has no baseline"):
        drop_baseline(EVERYTHING, version.pk, now=NOW)


def test_a_damaged_text_is_said_and_the_others_are_judged() -> None:
    watch, broken, asset = Watch(), make_asset(kind="switch"), make_asset(kind="switch")
    version = capture(broken, TELNET + "!\n", minute=0)
    Content.objects.filter(pk=version.content_id).update(compressed=b"x")
    capture(asset, TELNET, minute=0)
    watch.turn()
    assert set(open_rules(asset)) == {"vty-ssh-only"} and open_rules(broken) == {}
    assert "is damaged" in Configuration.objects.get(asset=broken).judged["damaged"]
