"""The ledger: outages, digests, giving up, crashes between sending and writing it down, order."""

from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, make_asset
from forestall.alerts.actions import acknowledge_alert
from forestall.alerts.channels import edit_channel
from forestall.alerts.deliver import GIVE_UP_AFTER, LEASE, deliver_due
from forestall.alerts.models import Alert, Delivery
from forestall.journal.models import Entry
from forestall.judge.values import State
from road_factories import Post, Road, make_channel, transition

pytestmark = pytest.mark.django_db


class PowerCut(BaseException):
    """The process is gone."""


def end(road: Road, asset) -> None:
    began = asset.findings.latest("began_at").began_at
    road.feed(transition(asset, State.IN_SPEC, at=road.now, began=began, reason=f"{asset.name} is back."))


def test_after_an_outage_what_still_fires_goes_first_and_the_rest_as_one_digest():
    road, post = Road(), Post()
    make_channel()
    gone = [make_asset(name=f"gone-{n}") for n in range(4)]
    still = make_asset(name="still")
    post.down = True
    road.feed(*[transition(asset) for asset in gone])
    road.wait(10)
    deliver_due(now=road.now, most=50, send=post)
    for _ in range(12):
        road.wait(1800)
        deliver_due(now=road.now, most=50, send=post)
    for asset in gone:
        end(road, asset)
    road.feed(transition(still, at=road.now))
    road.wait(10)
    deliver_due(now=road.now, most=50, send=post)
    post.down = False
    road.wait(60)
    deliver_due(now=road.now, most=50, send=post)
    assert post.steps == ["opened", "digest"]
    assert "still" in post.sent[0].title
    assert all(asset.name in post.sent[1].text for asset in gone)
    assert not Delivery.objects.filter(state__in=["due", "given_up"]).exists()


def test_a_recovery_never_goes_before_its_opening():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(10)
    end(road, asset)
    deliver_due(now=road.now, most=50, send=post)
    assert post.steps == ["digest"], "over before it was sent: one message says both"
    deliver_due(now=road.now + timedelta(minutes=5), most=50, send=post)
    assert len(post.sent) == 1


def test_a_channel_that_was_told_hears_of_the_recovery_and_one_that_was_not_does_not():
    road, post, asset = Road(), Post(), make_asset()
    make_channel("first")
    road.feed(transition(asset))
    road.wait(10)
    deliver_due(now=road.now, most=50, send=post)
    make_channel("later")
    end(road, asset)
    deliver_due(now=road.now, most=50, send=post)
    assert post.steps == ["opened", "recovered"]


def test_a_crash_while_sending_repeats_that_message_under_the_same_identifier():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(10)

    def dies(notifier, settings, message):
        post(notifier, settings, message)
        raise PowerCut

    with pytest.raises(PowerCut):
        deliver_due(now=road.now, most=50, send=dies)
    deliver_due(now=road.now + timedelta(seconds=1), most=50, send=post)
    assert len(post.sent) == 1, "the lease of the dead process still holds"
    deliver_due(now=road.now + LEASE, most=50, send=post)
    assert [message.id for message in post.sent] == [post.sent[0].id] * 2
    assert Delivery.objects.get().state == "sent"


def test_two_deliverers_send_a_message_once():
    road, first, second, asset = Road(), Post(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(10)

    def slow(notifier, settings, message):
        first(notifier, settings, message)

    Delivery.objects.update(leased_until=road.now + LEASE)
    deliver_due(now=road.now, most=50, send=second)
    Delivery.objects.update(leased_until=None)
    deliver_due(now=road.now, most=50, send=slow)
    assert (len(first.sent), len(second.sent)) == (1, 0)


def test_a_refused_message_is_given_up_and_seen():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    post.down = post.permanent = True
    road.feed(transition(asset))
    road.wait(10)
    assert deliver_due(now=road.now, most=50, send=post).given_up == 1
    row = Delivery.objects.get()
    assert (row.state, row.error) == ("given_up", "the line is dead")
    assert Entry.objects.filter(kind="delivery.given_up").count() == 1


def test_retries_end_after_a_day():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    post.down = True
    road.feed(transition(asset, State.OUT_OF_SPEC))
    road.wait(10)
    deliver_due(now=road.now, most=50, send=post)
    deliver_due(now=road.now + GIVE_UP_AFTER, most=50, send=post)
    assert Delivery.objects.get().state == "given_up"


def test_one_dead_channel_does_not_hold_up_another():
    road, post = Road(), Post()
    dead, alive = make_channel("dead"), make_channel("alive")
    road.feed(*[transition(make_asset()) for _ in range(3)])
    road.wait(10)
    sent = []

    def send(notifier, settings, message):
        if message.id in dead_rows:
            post.down = True
            post(notifier, settings, message)
        sent.append(message)

    dead_rows = set(Delivery.objects.filter(channel=dead).values_list("pk", flat=True))
    done = deliver_due(now=road.now, most=50, send=send)
    assert len(sent) == 3
    assert done.failed == 1, "a dead channel is tried once in a pass"
    assert Delivery.objects.filter(channel=alive, state="sent").count() == 3


def test_a_reminder_is_not_sent_after_somebody_acknowledged():
    road, post, asset = Road(), Post(), make_asset()
    make_channel()
    road.feed(transition(asset))
    road.wait(10)
    deliver_due(now=road.now, most=50, send=post)
    road.wait(1800)
    acknowledge_alert(EVERYTHING, Alert.objects.get().pk, now=road.now)
    deliver_due(now=road.now, most=50, send=post)
    assert post.steps == ["opened"]


def test_a_channel_that_is_switched_off_sends_nothing():
    road, post, asset = Road(), Post(), make_asset()
    channel = make_channel()
    road.feed(transition(asset))
    road.wait(10)
    edit_channel(EVERYTHING, channel.pk, enabled=False, now=road.now)
    deliver_due(now=road.now, most=50, send=post)
    assert post.sent == []
    assert "switched off" in Delivery.objects.get().error
