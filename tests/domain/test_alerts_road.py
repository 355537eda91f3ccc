"""From transitions to told people: one alert per cause, evidence first, recoveries, windows, flapping."""

import json
from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.alerts.actions import acknowledge_alert, close_window, open_window
from forestall.alerts.deliver import deliver_due
from forestall.alerts.models import Alert, Delivery, Evidence
from forestall.journal.models import Entry
from forestall.judge.values import State
from forestall.tickets.models import Ticket
from road_factories import Post, Road, make_channel, transition

pytestmark = pytest.mark.django_db


def kinds() -> list[str]:
    return list(Entry.objects.order_by("seq").values_list("kind", flat=True))


def test_one_fault_is_one_alert_with_evidence_sealed_before_anybody_is_told():
    road, post, asset = Road(), Post(), make_asset(name="web-01")
    make_channel()
    road.feed(transition(asset))
    assert not Delivery.objects.exists(), "the group wait is not over"
    road.wait(10)
    assert deliver_due(now=road.now, most=10, send=post).sent == 1
    assert post.steps == ["opened"]
    assert "web-01 does not answer" in post.sent[0].subject
    assert Ticket.objects.count() == 1
    told = kinds()
    assert told.index("evidence.sealed") < told.index("alert.told") < told.index("delivery.sent")
    road.wait(60)
    road.feed(transition(asset, State.IN_SPEC, at=road.now, began=START, reason="web-01 answers again."))
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened", "recovered"]
    assert "answers again" in post.sent[1].text
    assert post.sent[0].thread == post.sent[1].thread
    assert Ticket.objects.get().status == "closed"


def test_fifty_services_behind_a_host_that_is_off_are_one_alert_though_they_fail_first():
    road, post = Road(), Post()
    make_channel()
    host = make_asset(name="host")
    services = [make_asset(parent=host, kind="service") for _ in range(50)]
    for number, service in enumerate(services):
        road.now = START + timedelta(milliseconds=100 * number)
        road.feed(transition(service, at=road.now))
    road.wait(4)
    away = transition(host, rule="unreachable", cause="reachability", at=road.now, reason="host is away.")
    road.feed(away)
    road.wait(10)
    road.wait(10)
    assert Alert.objects.filter(recovered_at=None).count() == 1
    deliver_due(now=road.now, most=100, send=post)
    assert post.steps == ["opened"]
    assert "50 things behind it" in post.sent[0].subject
    assert Ticket.objects.count() == 1
    assert Evidence.objects.count() == 51
    for asset in [*services, host]:
        rule = "unreachable" if asset == host else "probe-fails"
        began = next(iter(asset.findings.all())).began_at
        road.feed(transition(asset, State.IN_SPEC, rule=rule, at=road.now, began=began))
    deliver_due(now=road.now, most=100, send=post)
    assert post.steps == ["opened", "recovered"]
    assert Ticket.objects.get().status == "closed"


def test_a_probe_that_fails_out_of_spec_counts_as_failing_together():
    road = Road()
    host = make_asset(name="host")
    road.feed(*[transition(make_asset(parent=host), State.OUT_OF_SPEC) for _ in range(4)])
    road.wait(10)
    assert Alert.objects.get(recovered_at=None).cause_key == f"{host.pk}/reach"


def test_a_second_disk_days_later_is_told_on_the_same_alert():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset, State.OUT_OF_SPEC, rule="disk-full", item="/", metric="disk.used_ratio"))
    road.wait(10)
    deliver_due(now=road.now, most=10, send=post)
    road.wait(86400)
    second = transition(asset, State.OUT_OF_SPEC, rule="disk-full", item="/data", at=road.now)
    road.feed(second)
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened", "more"]
    assert Ticket.objects.count() == 1


def test_services_that_were_told_before_the_host_is_known_to_be_away_become_its_alert():
    road, post = Road(), Post()
    make_channel()
    host = make_asset(name="host")
    service = make_asset(name="shop", parent=host, kind="service")
    road.feed(transition(service))
    road.wait(10)
    deliver_due(now=road.now, most=10, send=post)
    road.wait(30)
    road.feed(transition(host, rule="unreachable", cause="reachability", at=road.now))
    road.wait(20)
    deliver_due(now=road.now, most=10, send=post)
    assert Alert.objects.filter(recovered_at=None).count() == 1
    assert post.steps == ["opened", "cause"]
    ticket = Ticket.objects.get()
    assert ticket.asset == host
    assert ticket.cause_key == f"{host.pk}/reach"


def test_three_things_behind_a_switch_are_a_shared_cause():
    road, post = Road(), Post()
    make_channel()
    switch = make_asset(name="switch", kind="switch")
    for _ in range(3):
        road.feed(transition(make_asset(parent=switch), cause="reachability", at=road.now))
        road.now += timedelta(seconds=2)
    road.wait(10)
    deliver_due(now=road.now, most=10, send=post)
    assert [m.title for m in post.sent] == ["Shared cause: 3 things behind switch"]


def test_an_alert_that_ends_within_the_group_wait_is_never_told():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(4)
    road.feed(transition(asset, State.IN_SPEC, at=road.now, began=START))
    road.wait(60)
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == []
    assert not Ticket.objects.exists()
    assert Alert.objects.get().state == "recovered"


def test_a_window_keeps_quiet_and_what_is_still_wrong_at_its_end_is_told():
    road, post = Road(), Post()
    make_channel()
    host = make_asset()
    service = make_asset(parent=host, kind="service")
    window = open_window(
        EVERYTHING,
        client=host.client_id,
        asset=host.pk,
        title="New disks",
        starts_at=START,
        ends_at=START + timedelta(hours=1),
        now=START,
    )
    road.feed(transition(service))
    road.wait(30)
    assert Alert.objects.get().state == "muted"
    assert not Delivery.objects.exists()
    road.now = START + timedelta(minutes=20)
    close_window(EVERYTHING, window.pk, now=road.now)
    road.wait(1)
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened"]
    assert "maintenance “New disks”" in post.sent[0].reason


def test_reminders_come_until_somebody_acknowledges():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(10)
    for _ in range(2):
        road.wait(1800)
        deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened", "repeat"], "the unsent opening stands for its first reminder"
    acknowledge_alert(EVERYTHING, Alert.objects.get().pk, now=road.now)
    road.wait(7200)
    deliver_due(now=road.now, most=10, send=post)
    assert len(post.sent) == 2
    assert Alert.objects.get().state == "acknowledged"


def test_what_comes_and_goes_is_counted_and_not_paged_each_time():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    began = START
    for _ in range(4):
        road.feed(transition(asset, at=road.now, began=(began := road.now)))
        road.wait(15)
        road.feed(transition(asset, State.IN_SPEC, at=road.now, began=began))
        deliver_due(now=road.now, most=10, send=post)
        road.wait(60)
    assert Alert.objects.count() == 1
    assert Alert.objects.get().occurrence == 4
    assert len(post.sent) <= 2, "only the first was told"
    road.feed(transition(asset, at=road.now, began=road.now))
    road.wait(1)
    deliver_due(now=road.now, most=10, send=post)
    assert post.sent[-1].step == "opened"
    assert "comes and goes" in post.sent[-1].reason
    assert Ticket.objects.count() == 1


def test_getting_worse_is_told_once():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset, State.OUT_OF_SPEC))
    road.wait(10)
    deliver_due(now=road.now, most=10, send=post)
    for state in (State.BREAKING, State.OUT_OF_SPEC, State.BREAKING):
        road.wait(5)
        road.feed(transition(asset, state, at=road.now, began=START))
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened", "worse"]
    assert Ticket.objects.get().priority == 1


def test_a_replay_of_the_same_transitions_changes_nothing():
    road, asset = Road(), make_asset()
    story = [
        transition(asset, State.OUT_OF_SPEC),
        transition(asset, State.BREAKING, at=START + timedelta(seconds=5), began=START),
        transition(asset, State.IN_SPEC, at=START + timedelta(seconds=9), began=START),
    ]
    road.feed(*story)
    before = kinds()
    again = road.feed(*story)
    assert again.skipped == 3
    assert kinds() == before


def test_clients_never_share_an_alert_even_if_an_asset_hangs_on_another_clients():
    road = Road()
    theirs = make_asset(make_client())
    ours = make_asset(make_client(), parent=None)
    ours.parent = theirs
    ours.save()
    road.feed(transition(theirs, cause="reachability"), transition(ours))
    assert {a.client_id for a in Alert.objects.all()} == {theirs.client_id, ours.client_id}
    assert Alert.objects.count() == 2


def test_a_scope_sees_its_own_alerts_alone():
    road = Road()
    asset, other = make_asset(), make_asset()
    road.feed(transition(asset), transition(other))
    with pytest.raises(Alert.DoesNotExist):
        acknowledge_alert(scope_for(asset.client), Alert.objects.get(asset=other).pk, now=road.now)


def test_the_journal_says_why_findings_are_one():
    road = Road()
    host = make_asset()
    road.feed(transition(host, cause="reachability"), transition(make_asset(parent=host)))
    body = json.loads(bytes(Entry.objects.get(kind="alert.opened").body))["body"]
    assert body["why_one"] == "it is away, which explains what hangs on it"
    assert len(body["findings"]) == 2


def test_a_certificate_that_runs_out_and_is_not_trusted_is_told_once_and_its_recovery_too():
    road, post, shop = Road(), Post(), make_asset(name="shop", kind="website")
    make_channel()
    road.feed(
        transition(
            shop,
            State.OUT_OF_SPEC,
            rule="certificate-runs-out",
            item="shop.example:443",
            metric="certificate.days_left",
            reason="the certificate of shop.example:443 runs out in 2 days (limit 7 days).",
        )
    )
    road.wait(30)
    road.feed(transition(shop, State.OUT_OF_SPEC, rule="probe-failed", item="tls shop.example", at=road.now))
    road.wait(30)
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened"]
    assert Ticket.objects.count() == 1
    assert Alert.objects.get().findings.count() == 2
    for finding in list(shop.findings.order_by("opened_at")):
        assert Alert.objects.get().recovered_at is None
        end = transition(
            shop, State.IN_SPEC, rule=finding.rule, item=finding.item, at=road.now, began=finding.began_at
        )
        road.feed(end)
    deliver_due(now=road.now, most=10, send=post)
    assert post.steps == ["opened", "recovered"]
    assert Ticket.objects.get().status == "closed"
